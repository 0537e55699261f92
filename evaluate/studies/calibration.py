"""`python -m evaluate calibration`: fits the calibration of the uncertainty to planes and tests it on other planes.

Planes are split by their pair of molecules: the coefficients are fitted to one half, and all numbers of the report are
of the other half, which shows none of the pairs of the first.
"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

from dsfunet._typing import Planes
from dsfunet.data.store import Store, open_store
from dsfunet.errors import InputError
from dsfunet.factorize.factorizer import Factorizer
from dsfunet.factorize.uncertainty import describe_answer, summarise_passes
from dsfunet.networks.calibration import CALIBRATED_PASSES, FEATURES, MODES, Calibration
from dsfunet.planes.preprocessing import spread, unspread
from dsfunet.planes.turns import choose_turns
from evaluate.predictors.cases import CaseReader
from evaluate.runs.devices import one_thread
from evaluate.runs.provenance import check_unseen, describe_store, describe_surroundings
from evaluate.studies.calibration_fit import NOISE_LEVELS, PassStatistics, PlaneRecord, fit, judge_calibration
from evaluate.studies.lattices import plane_numbers
from evaluate.studies.workers import run_in_processes

PIXELS_PER_PLANE = 256
"""Pixels drawn from each plane; the errors of the pixels of a plane are correlated, so more would add little."""


@dataclass(frozen=True)
class CalibrationRequest:
    """The settings of `python -m evaluate calibration`.

    Raises:
        InputError: if there are too few planes to be split into two halves.
    """

    weights: str
    shards: str
    samples: int
    device: str = "cpu"
    seed: int = 0
    allow_trained_species: bool = False
    progress: bool = True

    def __post_init__(self) -> None:
        if self.samples < 2 * len(NOISE_LEVELS):
            raise InputError(
                f"--samples is {self.samples}; expected {2 * len(NOISE_LEVELS)} or more for a calibration"
            )


def calibrate(
    request: CalibrationRequest,
) -> tuple[Calibration, dict[str, Any], dict[str, float]]:
    """Fit and test a calibration.

    Returns:
        The calibration, the report in plain values, and the running time of one pass [s] without and with lattice mode.

    Raises:
        InputError: if weights or planes cannot be used, or the weights were trained on the species of these planes.
    """
    store = open_store(request.shards)
    numbers = plane_numbers(store, request.samples)
    fitted = fitting_half(store, numbers)
    if fitted.all() or not fitted.any():
        raise InputError(
            f"{store.path.name}: all planes show the same pair of molecules; expected planes of several pairs"
        )
    worker = _Worker(request)
    generators = worker.factorizer.generators
    warnings = check_unseen(generators.card.get("data", {}), store, len(store), request.allow_trained_species)
    records = measure_planes(worker, request, numbers)
    with one_thread():
        fitting = [each for each, used in zip(records, fitted, strict=True) if used]
        calibration = fit(fitting, generators.digest)
        judged = [each for each, used in zip(records, fitted, strict=True) if not used]
        plain = {
            "weights": generators.source,
            "weights_sha256": generators.digest,
            "store": describe_store(store, len(numbers)),
            "surroundings": describe_surroundings(request.device),
            "seed": request.seed,
            "warnings": warnings,
            "planes_fitted": int(fitted.sum()),
            "planes_judged": len(judged),
            **judge_calibration(calibration, judged),
        }
    seconds = np.mean([each.seconds for each in records], axis=0)
    return calibration, plain, {"networks": float(seconds[0]), "lattice": float(seconds[1])}


def measure_planes(
    worker: "_Worker", request: CalibrationRequest, numbers: npt.NDArray[np.intp]
) -> list[PlaneRecord]:
    """Measure planes in order; the noise levels alternate from plane to plane."""
    jobs = [
        (int(number), list(NOISE_LEVELS)[place % len(NOISE_LEVELS)]) for place, number in enumerate(numbers)
    ]
    return run_in_processes(worker, request, jobs, "calibration")


def fitting_half(store: Store, numbers: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    """Return which planes are used for fitting (n,): those of half of the pairs of molecules.

    Rotated copies of a molecule count as the same molecule.
    """
    names = store.attributes["species_names"]
    pairs = [
        "+".join(sorted(str(names[each]).removesuffix("_rotated") for each in pair))
        for pair in store.metadata("species")[numbers]
    ]
    different = sorted(set(pairs))
    # Shuffled with a fixed seed, because pairs that are neighbours in the alphabet share a molecule.
    order = np.random.default_rng(0).permutation(len(different))
    first = {different[place] for place in order[: (len(different) + 1) // 2]}
    return np.array([pair in first for pair in pairs])


class _Worker:
    """The worker of the calibration: networks and store."""

    def __init__(self, request: CalibrationRequest) -> None:
        from dsfunet.factorize.loading import load_factorizer

        self._seed = request.seed
        self._reader = CaseReader(open_store(request.shards))
        self.factorizer: Factorizer = load_factorizer(request.weights, request.device, 1)

    def measure(self, job: tuple[int, str]) -> PlaneRecord:
        """Measure one plane at one noise level, in both modes, with every calibrated number of passes."""
        number, noise = job
        with one_thread():
            case, truth = self._reader(number, NOISE_LEVELS[noise], self._seed)
            true = spread(np.stack([truth.form_factor, truth.short_range_order]))
            rng = np.random.default_rng([self._seed, number])
            # The order of the rotated copies differs between planes, because users may choose any seed.
            turns = choose_turns(max(CALIBRATED_PASSES), int(rng.integers(2**31)))
            pixels = rng.choice(case.mask.size, PIXELS_PER_PLANE, replace=False)
            start = time.perf_counter()
            stack, mask = case.scattering[None].astype(np.float64), case.mask[None]
            outputs = self.factorizer.network_passes(stack, mask, turns)[:, :, 0]
            networks_done = time.perf_counter()
            form_factor, order = np.clip(unspread(outputs[0]), 0.0, 1.0)
            answer, on_lattice = self.factorizer.lattice_passes(
                case.scattering, case.mask, case.lattice, form_factor, order, turns
            )
            lattice_seconds = time.perf_counter() - networks_done
            seconds = (networks_done - start) / len(turns), lattice_seconds / len(on_lattice)
            statistics = {
                (mode, passes): _pass_statistics(answers[:passes], true, case.scattering, case.mask, pixels)
                for mode, answers in zip(MODES, (outputs, on_lattice), strict=True)
                for passes in CALIBRATED_PASSES
                if mode == "networks" or answer.accepted
            }
        return PlaneRecord(number, noise, float(1 - case.mask.mean()), statistics, seconds)


def _pass_statistics(
    outputs: Planes,
    true: Planes,
    scattering: Planes,
    mask: npt.NDArray[np.bool_],
    pixels: npt.NDArray[np.int64],
) -> PassStatistics:
    mean, deviation = summarise_passes(outputs)
    error = mean - true
    features = describe_answer(mean, deviation, scattering, mask).reshape(2, len(FEATURES), -1)
    drawn, errors = features[:, :, pixels], error.reshape(2, -1)[:, pixels]
    place = FEATURES.index("log_deviation")
    ranks = [
        float(spearmanr(of_component[place], np.abs(errors[component])).statistic)
        if np.ptp(of_component[place]) > 0
        else 0.0
        for component, of_component in enumerate(drawn)
    ]
    squares = np.zeros(2) if deviation is None else np.mean(deviation.astype(np.float64) ** 2, axis=(1, 2))
    return PassStatistics(
        drawn,
        errors,
        np.mean(error.astype(np.float64) ** 2, axis=(1, 2)),
        np.sqrt(squares),
        np.array(ranks),
    )
