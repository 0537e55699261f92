"""`python -m evaluate calibration`: makes the calibration of the uncertainty on simulated planes, judges it on others.

Planes are split by their pair of molecules: coefficients are fitted on one half, and every number of the report is of
the other, which shows none of these pairs.
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
from evaluate.runs.provenance import check_unseen, describe_store, describe_surroundings
from evaluate.runs.running import one_thread
from evaluate.studies.calibration_fit import LEVELS, Measured, PlaneRecord, fit, judge
from evaluate.studies.lattices import plane_numbers
from evaluate.studies.workers import measured

PIXELS_PER_PLANE = 256
"""Drawn from each plane: the pixels of a plane share their errors, so more say little more."""


@dataclass(frozen=True)
class CalibrationRequest:
    """What is asked of `python -m evaluate calibration`.

    Raises:
        InputError: fewer planes are asked for than can be split in two halves.
    """

    weights: str
    shards: str
    samples: int
    device: str = "cpu"
    seed: int = 0
    allow_trained_species: bool = False
    progress: bool = True

    def __post_init__(self) -> None:
        if self.samples < 2 * len(LEVELS):
            raise InputError(f"{self.samples} planes: expected {2 * len(LEVELS)} or more")


def calibrate(
    request: CalibrationRequest,
) -> tuple[Calibration, dict[str, Any], dict[str, float]]:
    """The calibration, the report in plain values, and the seconds a pass took.

    Raises:
        InputError: weights or planes cannot be used, or do not go together.
    """
    store = open_store(request.shards)
    numbers = plane_numbers(store, request.samples)
    fitted = fitting_half(store, numbers)
    if fitted.all() or not fitted.any():
        raise InputError(f"{store.path.name}: its planes are of one pair of molecules; expected several")
    bench = _Bench(request)
    generators = bench.factorizer.generators
    warnings = check_unseen(generators.card.get("data", {}), store, len(store), request.allow_trained_species)
    records = measure(bench, request, numbers)
    with one_thread():
        calibration = fit([each for each, of in zip(records, fitted, strict=True) if of], generators.digest)
        judged = [each for each, of in zip(records, fitted, strict=True) if not of]
        plain = {
            "weights": generators.source,
            "weights_sha256": generators.digest,
            "store": describe_store(store, len(numbers)),
            "surroundings": describe_surroundings(request.device),
            "seed": request.seed,
            "warnings": warnings,
            "planes_fitted": int(fitted.sum()),
            "planes_judged": len(judged),
            **judge(calibration, judged),
        }
    seconds = np.mean([each.seconds for each in records], axis=0)
    return calibration, plain, {"networks": float(seconds[0]), "lattice": float(seconds[1])}


def measure(bench: "_Bench", request: CalibrationRequest, numbers: npt.NDArray[np.intp]) -> list[PlaneRecord]:
    """Records of planes, in order; they take the noise levels in turn."""
    jobs = [(int(number), list(LEVELS)[place % len(LEVELS)]) for place, number in enumerate(numbers)]
    return measured(bench, request, jobs, "calibration")


def fitting_half(store: Store, numbers: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    """Which planes are fitted on: half of the pairs of molecules, whichever way either is turned."""
    names = store.attributes["species_names"]
    pairs = [
        "+".join(sorted(str(names[each]).removesuffix("_rotated") for each in pair))
        for pair in store.metadata("species")[numbers]
    ]
    different = sorted(set(pairs))
    # Shuffled, always alike: neighbours in the alphabet share a molecule.
    order = np.random.default_rng(0).permutation(len(different))
    first = {different[place] for place in order[: (len(different) + 1) // 2]}
    return np.array([pair in first for pair in pairs])


class _Bench:
    """What a process keeps from plane to plane: the networks and the store."""

    def __init__(self, request: CalibrationRequest) -> None:
        from dsfunet.factorize.loading import load_factorizer

        self._seed = request.seed
        self._reader = CaseReader(open_store(request.shards))
        self.factorizer: Factorizer = load_factorizer(request.weights, request.device, 1)

    def measure(self, job: tuple[int, str]) -> PlaneRecord:
        """Both modes with every calibrated number of passes, of one plane at one noise level."""
        number, noise = job
        with one_thread():
            case, truth = self._reader(number, LEVELS[noise], self._seed)
            true = spread(np.stack([truth.form_factor, truth.short_range_order]))
            rng = np.random.default_rng([self._seed, number])
            # Each plane turned in its own order, since a user's seed may be any.
            turns = choose_turns(max(CALIBRATED_PASSES), int(rng.integers(2**31)))
            pixels = rng.choice(case.mask.size, PIXELS_PER_PLANE, replace=False)
            start = time.perf_counter()
            stack, mask = case.scattering[None].astype(np.float64), case.mask[None]
            outputs = self.factorizer.network_passes(stack, mask, turns)[:, :, 0]
            asked = time.perf_counter()
            form_factor, order = np.clip(unspread(outputs[0]), 0.0, 1.0)
            answer, on_lattice = self.factorizer.lattice_passes(
                case.scattering, case.mask, case.lattice, form_factor, order, turns
            )
            spent = time.perf_counter() - asked
            seconds = (asked - start) / len(turns), spent / len(on_lattice)
            of_passes = {
                (mode, passes): _measured(of[:passes], true, case.scattering, case.mask, pixels)
                for mode, of in zip(MODES, (outputs, on_lattice), strict=True)
                for passes in CALIBRATED_PASSES
                if mode == "networks" or answer.accepted
            }
        return PlaneRecord(number, noise, float(1 - case.mask.mean()), of_passes, seconds)


def _measured(
    outputs: Planes,
    true: Planes,
    scattering: Planes,
    mask: npt.NDArray[np.bool_],
    pixels: npt.NDArray[np.int64],
) -> Measured:
    mean, deviation = summarise_passes(outputs)
    error = mean - true
    features = describe_answer(mean, deviation, scattering, mask).reshape(2, len(FEATURES), -1)
    drawn, errors = features[:, :, pixels], error.reshape(2, -1)[:, pixels]
    place = FEATURES.index("log_deviation")
    ranks = [
        float(spearmanr(of[place], np.abs(errors[component])).statistic) if np.ptp(of[place]) > 0 else 0.0
        for component, of in enumerate(drawn)
    ]
    squares = np.zeros(2) if deviation is None else np.mean(deviation.astype(np.float64) ** 2, axis=(1, 2))
    return Measured(
        drawn,
        errors,
        np.mean(error.astype(np.float64) ** 2, axis=(1, 2)),
        np.sqrt(squares),
        np.array(ranks),
    )
