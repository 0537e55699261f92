"""Are the error bars right? The same plane with many seeds of counting noise, factorised and refined each time.

Over seeds what the networks get wrong about a crystal stays the same, so that a pull (found - true) / s.u. has two
sides: its mean, which is that constant error, and its standard deviation, which is counting noise. Uncertainties that
hold both are right when the root mean square is about 1, and too small when it is far above.
"""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Literal

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from dsfunet import Factorizer
from dsfunet._typing import Array
from dsfunet.analysis.refinement.data import FitTo, PlaneData, prepare_data
from dsfunet.analysis.refinement.fit import Refinement, refine
from dsfunet.analysis.refinement.known_form_factor import damped_form_factor, refine_debye_waller
from dsfunet.analysis.refinement.zones import Zones, zones_of
from dsfunet.errors import InputError
from dsfunet.factorize.pipeline import factorize_plane
from dsfunet.io import Result
from dsfunet.physics.symmetry import Orbit
from dsfunet.planes.preprocessing import COMPONENTS
from examples.worked.crystals import Crystal, all_crystals
from examples.worked.torsion import near_minimum

ComponentSource = Literal["shown", "networks", "lattice", "truth"]
"""Whose I_FF: what `dsfunet factorize` shows, with all it keeps beside it; that of the networks alone; of lattice mode,
believed or not; or the one put in, as a control."""

SPECIES_KNOWN = "species known"
"""The way of `dsfunet refine --model`: the measured plane divided by the species' I_FF, its B refined."""

METHODS: dict[str, tuple[ComponentSource, FitTo]] = {
    "default": ("shown", "measured"),
    "networks, I_SRO": ("networks", "short-range-order"),
    "lattice, I_SRO": ("lattice", "short-range-order"),
    "lattice, measured": ("lattice", "measured"),
    SPECIES_KNOWN: ("shown", "measured"),
}
"""Ways to Warren-Cowley parameters: whose components, and `dsfunet refine --fit-to`. The default divides the plane by
the networks' I_FF; "lattice, measured" by that which lattice mode has corrected; the last by no answer's."""

EXCLUDE_BELOW = 0.05


@dataclass(frozen=True, eq=False)
class Trial:
    """One seed: alphas and standard uncertainties by way, each (k,), NaN where the refinement found no answer.

    `lattice_mode_accepted` says whether lattice mode's answer is the one shown; `torsion_deg` and its uncertainty are NaN where the
    crystal has none or the seed was not asked for it.
    """

    lattice_mode_accepted: bool
    alphas: dict[str, Array]
    uncertainties: dict[str, Array]
    torsion_deg: float = np.nan
    torsion_su_deg: float = np.nan


@dataclass(frozen=True, eq=False)
class Pulls:
    """What many seeds say about one way: all (k,), one entry a parameter; over seeds that gave an answer.

    `mean` and `scatter` of the alphas, `uncertainty` their mean s.u., `pull_mean` and `pull_deviation` (standard
    deviation) of (found - true) / s.u., `pull_rms`; `within_two` the share of all pulls between -2 and 2; `failed` the
    number of seeds without an answer.
    """

    truth: Array
    mean: Array
    scatter: Array
    uncertainty: Array
    pull_mean: Array
    pull_deviation: Array
    pull_rms: Array
    within_two: float
    failed: int


def select_components(result: Result, crystal: Crystal, source: ComponentSource) -> Result:
    """A result with the components of one answer as the believed ones; floors are then fitted anew.

    `dsfunet` shows lattice mode's answer only where it accepts it, and keeps the other one beside it.
    """
    if source == "shown":
        return result
    if source == "truth":
        true = crystal.form_factor / crystal.form_factor[crystal.mask].max()
        return replace(result, form_factor=true.astype(np.float32), form_factor_of_networks=None, process={})
    kept = {"networks": "of_networks", "lattice": "on_lattice"}[source]
    form_factor, order = (getattr(result, f"{name}_{kept}") for name in COMPONENTS)
    if form_factor is None:  # it is the one that is shown
        form_factor, order = result.form_factor, result.short_range_order
    # Without the networks' beside it, which `dsfunet refine` would take for a fit to the measured plane.
    return replace(
        result,
        form_factor=form_factor,
        short_range_order=order,
        form_factor_of_networks=None,
        process={},
    )


def normalise_truth(true: Array, result: Result) -> Array:
    """A true component brought to [0, 1] over the pixels that the networks saw, as answers are; NaN elsewhere."""
    seen = np.where(np.isfinite(result.form_factor), true, np.nan)
    unit: Array = (seen - np.nanmin(seen)) / (np.nanmax(seen) - np.nanmin(seen))
    return unit


def refine_result(
    crystal: Crystal, result: Result, zones: Zones, fit_to: FitTo, orbits: Sequence[Orbit] | None = None
) -> Refinement:
    """What `dsfunet refine` does with a result, less the files; the crystal's own orbits unless others are given.

    Raises:
        InputError: as `refine` and `prepare_data`.
    """
    data = prepare_data(result, crystal.grid, zones, EXCLUDE_BELOW, fit_to)
    return refine([data], crystal.orbits if orbits is None else orbits)


def refine_species_known(
    planes: Sequence[tuple[Crystal, Result, Zones]], orbits: Sequence[Orbit]
) -> Refinement:
    """What `dsfunet refine --model` does with planes of one crystal and the species put in, less the files.

    Raises:
        InputError: as `refine` and `prepare_data`.
    """

    def prepared(b_angstrom2: float) -> list[PlaneData]:
        return [
            prepare_data(
                result,
                crystal.grid,
                zones,
                EXCLUDE_BELOW,
                known_form_factor=damped_form_factor(crystal.pair, crystal.grid, b_angstrom2),
            )
            for crystal, result, zones in planes
        ]

    def refined(data: Sequence[PlaneData]) -> Refinement:
        return refine(data, orbits)

    return refined(prepared(refine_debye_waller(prepared, refined)))


def run_trial(
    crystal: Crystal, zones: Zones, factorizer: Factorizer, seed: int, with_torsion: bool = False
) -> Trial:
    """Measure with one seed, factorise, and refine in every way."""
    result = factorize_plane(crystal.measured(seed), factorizer=factorizer).result
    alphas, uncertainties = {}, {}
    nothing = np.full(len(crystal.orbits), np.nan)
    for method, (source, fit_to) in METHODS.items():
        try:
            if method == SPECIES_KNOWN:
                found = refine_species_known([(crystal, result, zones)], crystal.orbits)
            else:
                found = refine_result(crystal, select_components(result, crystal, source), zones, fit_to)
        except InputError:
            alphas[method], uncertainties[method] = nothing, nothing
        else:
            alphas[method], uncertainties[method] = found.alphas, found.uncertainties
    minimum = near_minimum(crystal, select_components(result, crystal, "lattice")) if with_torsion else None
    return Trial(
        lattice_mode_accepted=result.form_factor_on_lattice is None,
        alphas=alphas,
        uncertainties=uncertainties,
        torsion_deg=minimum.angle_deg if minimum else np.nan,
        torsion_su_deg=minimum.su_deg if minimum else np.nan,
    )


def run_trials(
    crystals: Sequence[Crystal], seeds: int, torsion_seeds: int, processes: int, progress: bool = True
) -> dict[str, list[Trial]]:
    """Trials of all seeds from 0, by the crystal's name; the torsion is looked for in the first `torsion_seeds`.

    Each process computes with one thread, so that the numbers do not depend on how many there are.
    """
    jobs = [
        (crystal.name, seed, crystal.name == crystals[0].name and seed < torsion_seeds)
        for crystal in crystals
        for seed in range(seeds)
    ]
    trials: dict[str, list[Trial]] = {crystal.name: [] for crystal in crystals}
    # torch keeps threads, which do not survive a fork
    with ProcessPoolExecutor(processes, get_context("spawn"), _start_process) as pool:
        done = pool.map(_run_job, jobs)
        for (name, _, _), trial in zip(
            jobs, tqdm(done, total=len(jobs), unit="plane", disable=not progress), strict=True
        ):
            trials[name].append(trial)
    return trials


def summarise_pulls(trials: Sequence[Trial], method: str, truth: Array) -> Pulls:
    """Mean, scatter and pulls of one way over seeds."""
    alphas = np.array([trial.alphas[method] for trial in trials])
    uncertainties = np.array([trial.uncertainties[method] for trial in trials])
    answered = np.isfinite(alphas).all(axis=1)
    alphas, uncertainties = alphas[answered], uncertainties[answered]
    pulls = (alphas - truth) / uncertainties
    return Pulls(
        truth=truth,
        mean=alphas.mean(axis=0),
        scatter=alphas.std(axis=0, ddof=1),
        uncertainty=uncertainties.mean(axis=0),
        pull_mean=pulls.mean(axis=0),
        pull_deviation=pulls.std(axis=0, ddof=1),
        pull_rms=np.sqrt((pulls**2).mean(axis=0)),
        within_two=float((np.abs(pulls) < 2).mean()),
        failed=int((~answered).sum()),
    )


class _TrialWorker:
    """What a process keeps between its jobs."""

    def __init__(self) -> None:
        self.crystals = {crystal.name: crystal for crystal in all_crystals()}
        self.zones: dict[str, Zones] = {}
        self.factorizer = Factorizer.from_pretrained("cpu")

    def do(self, name: str, seed: int, with_torsion: bool) -> Trial:
        crystal = self.crystals[name]
        if name not in self.zones:
            self.zones[name] = zones_of(crystal.grid, crystal.rotations)
        return run_trial(crystal, self.zones[name], self.factorizer, seed, with_torsion)


_worker: _TrialWorker | None = None


def _start_process() -> None:
    global _worker
    torch.set_num_threads(1)
    threadpool_limits(1)
    _worker = _TrialWorker()


def _run_job(job: tuple[str, int, bool]) -> Trial:
    assert _worker is not None
    return _worker.do(*job)
