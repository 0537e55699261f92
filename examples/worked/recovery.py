"""Test the error bars: factorise and refine the same plane with many seeds of counting noise.

The networks' error for a crystal is the same for all seeds. A pull (found - true) / s.u. therefore has a mean, due to
that constant error, and a standard deviation, due to counting noise. Uncertainties that cover both give pulls with a
root mean square of about 1; a much larger value means that the uncertainties are too small.
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
from dsfunet.analysis.refinement.known_form_factor import prepare_known
from dsfunet.analysis.refinement.zones import Zones, zones_of
from dsfunet.errors import InputError
from dsfunet.factorize.pipeline import factorize_plane
from dsfunet.io import Result
from dsfunet.physics.symmetry import Orbit
from dsfunet.planes.preprocessing import COMPONENTS
from examples.worked.crystals import Crystal, all_crystals
from examples.worked.torsion import near_minimum

ComponentSource = Literal["shown", "networks", "lattice", "truth"]
"""Source of the components: the result as `dsfunet factorize` gives it (shown), the networks alone, lattice mode
whether accepted or not, or the true I_FF as a control."""

SPECIES_KNOWN = "species known"
"""Name of the method of `dsfunet refine --model`: divide the measured plane by the species' I_FF and refine B."""

METHODS: dict[str, tuple[ComponentSource, FitTo]] = {
    "default": ("shown", "measured"),
    "networks, I_SRO": ("networks", "short-range-order"),
    "lattice, I_SRO": ("lattice", "short-range-order"),
    "lattice, measured": ("lattice", "measured"),
    SPECIES_KNOWN: ("shown", "measured"),
}
"""Methods to obtain Warren-Cowley parameters: source of the components, and value of `dsfunet refine --fit-to`. The
default divides the plane by the networks' I_FF, "lattice, measured" by the I_FF that lattice mode has corrected, and
the last method by the I_FF of the species."""

EXCLUDE_BELOW = 0.05


@dataclass(frozen=True, eq=False)
class Trial:
    """Results of one seed.

    Attributes:
        lattice_mode_accepted: whether the result of lattice mode was accepted.
        alphas: alphas by method, each (k,), NaN if the refinement failed.
        uncertainties: standard uncertainties by method, each (k,).
        torsion_deg: torsion angle at the minimum [degrees], NaN if there is none or it was not scanned.
        torsion_su_deg: its standard uncertainty [degrees].
    """

    lattice_mode_accepted: bool
    alphas: dict[str, Array]
    uncertainties: dict[str, Array]
    torsion_deg: float = np.nan
    torsion_su_deg: float = np.nan


@dataclass(frozen=True, eq=False)
class Pulls:
    """Statistics of one method over all successful seeds; arrays are (k,), one entry per parameter.

    Attributes:
        truth: true values.
        mean: mean of the alphas.
        scatter: standard deviation of the alphas.
        uncertainty: mean standard uncertainty.
        pull_mean: mean of the pulls (found - true) / s.u.
        pull_deviation: standard deviation of the pulls.
        pull_rms: root mean square of the pulls.
        within_two: share of all pulls between -2 and 2.
        failed: number of seeds for which the refinement failed.
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
    """Return a result whose components come from one source; the refinement then fits the floors again.

    `dsfunet` uses the result of lattice mode only if it accepts it, and keeps the other result as well.
    """
    if source == "shown":
        return result
    if source == "truth":
        true = crystal.form_factor / crystal.form_factor[crystal.mask].max()
        return replace(result, form_factor=true.astype(np.float32), form_factor_of_networks=None, process={})
    kept = {"networks": "of_networks", "lattice": "on_lattice"}[source]
    form_factor, order = (getattr(result, f"{name}_{kept}") for name in COMPONENTS)
    if form_factor is None:  # this source is already the one in use
        form_factor, order = result.form_factor, result.short_range_order
    # Remove the networks' I_FF, which `dsfunet refine` would use to fit the measured plane.
    return replace(
        result,
        form_factor=form_factor,
        short_range_order=order,
        form_factor_of_networks=None,
        process={},
    )


def normalise_truth(true: Array, result: Result) -> Array:
    """Normalise a true component to [0, 1] over the networks' pixels, as in a result; NaN elsewhere."""
    seen = np.where(np.isfinite(result.form_factor), true, np.nan)
    unit: Array = (seen - np.nanmin(seen)) / (np.nanmax(seen) - np.nanmin(seen))
    return unit


def refine_result(
    crystal: Crystal, result: Result, zones: Zones, fit_to: FitTo, orbits: Sequence[Orbit] | None = None
) -> Refinement:
    """Refine a result as `dsfunet refine` does, without files; by default the orbits are those of the crystal.

    Raises:
        InputError: as `refine` and `prepare_data`.
    """
    data = prepare_data(result, crystal.grid, zones, EXCLUDE_BELOW, fit_to)
    return refine([data], crystal.orbits if orbits is None else orbits)


def refine_species_known(
    planes: Sequence[tuple[Crystal, Result, Zones]], orbits: Sequence[Orbit]
) -> Refinement:
    """Refine planes of one crystal as `dsfunet refine --model` does with the true species, without files.

    Raises:
        InputError: as `refine` and `prepare_data`.
    """

    def prepare(form_factors: Sequence[Array]) -> list[PlaneData]:
        return [
            prepare_data(result, crystal.grid, zones, EXCLUDE_BELOW, known_form_factor=known)
            for (crystal, result, zones), known in zip(planes, form_factors, strict=True)
        ]

    pair, grids = planes[0][0].pair, [crystal.grid for crystal, _, _ in planes]
    return refine(prepare_known(pair, grids, prepare, orbits)[0], orbits)


def run_trial(
    crystal: Crystal, zones: Zones, factorizer: Factorizer, seed: int, with_torsion: bool = False
) -> Trial:
    """Measure the plane with one seed, factorise it, and refine it by every method."""
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
    """Run the trials of all seeds from 0 and return them by crystal; the first `torsion_seeds` include the torsion.

    Each process uses one thread, so that the numbers do not depend on the number of processes.
    """
    jobs = [
        (crystal.name, seed, crystal.name == crystals[0].name and seed < torsion_seeds)
        for crystal in crystals
        for seed in range(seeds)
    ]
    trials: dict[str, list[Trial]] = {crystal.name: [] for crystal in crystals}
    # Spawn, do not fork: torch has threads that do not survive a fork.
    with ProcessPoolExecutor(processes, get_context("spawn"), _start_process) as pool:
        done = pool.map(_run_job, jobs)
        for (name, _, _), trial in zip(
            jobs, tqdm(done, total=len(jobs), unit="plane", disable=not progress), strict=True
        ):
            trials[name].append(trial)
    return trials


def summarise_pulls(trials: Sequence[Trial], method: str, truth: Array) -> Pulls:
    """Compute mean, scatter and pulls of one method over all seeds."""
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
    """The crystals, zones and networks that a worker process keeps between its trials."""

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
