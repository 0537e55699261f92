"""`python -m evaluate lattices`: tests the search for lattices, and lattice mode on true, found and wrong ones."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Planes
from dsfunet.data.store import Store, open_store
from dsfunet.errors import InputError
from dsfunet.lattice.mode import LatticeAnswer
from dsfunet.lattice.projected import lattice_plane
from dsfunet.lattice.search import find_lattice
from dsfunet.physics.lattice_plane import LatticePlane
from dsfunet.planes.preprocessing import COMPONENTS
from evaluate.metrics.errors import spread_mse
from evaluate.predictors.cases import Case, CaseReader, Truth
from evaluate.predictors.network import NetworkPredictor
from evaluate.runs.devices import one_thread
from evaluate.runs.provenance import check_unseen, describe_store, describe_surroundings
from evaluate.runs.summary import LATTICE_CLASSES, MISSING_CLASSES, lattice_index, missing_index
from evaluate.studies.workers import run_in_processes

COUNTS = (1000.0, 100.0, 30.0)
"""Noise levels besides the planes as stored: expected counts in the brightest pixel."""

NOISE_LEVELS: dict[str, float | None] = {"as stored": None, **{f"{each:g} counts": each for each in COUNTS}}
"""All noise levels by name."""

SECONDS = ("networks", "find_lattice", "split_on_lattice")
"""The steps whose running times are measured."""

OUTCOMES = ("right", "equivalent", "wrong", "refused")
"""Outcomes of the search: the lattice found is the true lattice; another lattice gives equally small errors; neither;
no lattice was accepted."""

EQUIVALENT_MSE = 0.001
"""A lattice is equivalent if the MSE of I_SRO in spread space exceeds that on the true lattice by at most this."""

SAME_LATTICE = 0.1
"""Largest distance of a vector found from a true lattice vector, in units of the true basis."""

ANSWERS = ("networks", "found", "known")
"""The compared answers: networks alone, lattice mode on the lattice found (networks if none), on the true lattice."""

AXIS_FACTORS: dict[str, float] = {
    "exact": 1.0,
    "longer by 0.3 %": 1.003,
    "longer by 1 %": 1.01,
    "longer by 3 %": 1.03,
    "longer by 10 %": 1.1,
    "halved": 0.5,
    "doubled": 2.0,
}
"""Factors on the first direct axis of the true lattice, for the wrong lattices that lattice mode is tested with."""


@dataclass(frozen=True)
class LatticeRequest:
    """The settings of `python -m evaluate lattices`.

    Raises:
        InputError: if there is less than one plane.
    """

    weights: str
    shards: str
    samples: int
    device: str = "cpu"
    seed: int = 0
    allow_trained_species: bool = False
    progress: bool = True

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise InputError(f"--samples is {self.samples}; expected 1 or more")


@dataclass
class Record:
    """The results for one plane at one noise level; `mse` is by answer (ANSWERS) and component."""

    number: int
    noise: str
    outcome: str
    confidence: float
    mse: dict[str, dict[str, float]]
    given: dict[str, tuple[bool, float]] = field(default_factory=dict)
    """By name of AXIS_FACTORS: whether lattice mode accepts this lattice, and the MSE of its I_SRO."""


_OfPlane = tuple[list[Record], float, dict[str, float]]


def plane_numbers(store: Store, samples: int) -> npt.NDArray[np.intp]:
    """Choose planes spread evenly over a store; returns their numbers (samples,).

    Raises:
        InputError: if the store has fewer planes.
    """
    if not 1 <= samples <= len(store):
        raise InputError(
            f"--samples is {samples}, but {store.path.name} has {len(store)} planes; expected 1 to {len(store)}"
        )
    return np.linspace(0, len(store) - 1, samples).round().astype(np.intp)


def evaluate_lattices(request: LatticeRequest) -> tuple[dict[str, Any], dict[str, float]]:
    """Test the search for lattices.

    Returns:
        The report in plain values, and the running time of each step per plane [s].

    Raises:
        InputError: if weights or planes cannot be used, or the weights were trained on the species of these planes.
    """
    store = open_store(request.shards)
    numbers = plane_numbers(store, request.samples)
    worker = _Worker(request)
    generators = worker.network.factorizer.generators
    trained = generators.card.get("data", {})
    warnings = check_unseen(trained, store, len(store), request.allow_trained_species)
    records: list[Record] = []
    missing: list[float] = []
    seconds = dict.fromkeys(SECONDS, 0.0)
    for found, share, spent in run_in_processes(worker, request, numbers.tolist(), "lattices"):
        records += found
        missing.append(share)
        for name, value in spent.items():
            seconds[name] += value
    classes = {
        "lattice": (LATTICE_CLASSES, lattice_index(store.metadata("cell")[numbers])),
        "order kind": (tuple(store.attributes["order_kinds"]), store.metadata("order_kind")[numbers]),
        "missing pixels": (MISSING_CLASSES, missing_index(np.array(missing))),
    }
    plain = {
        "weights": worker.network.description,
        "store": describe_store(store, len(numbers)),
        "surroundings": describe_surroundings(request.device),
        "seed": request.seed,
        "warnings": warnings,
        **summarise_records(records, list(NOISE_LEVELS), classes),
    }
    return plain, {name: value / len(records) for name, value in seconds.items()}


class _Worker:
    """The worker of the study: networks and store."""

    def __init__(self, request: LatticeRequest) -> None:
        from dsfunet.factorize.loading import load_factorizer

        self._seed = request.seed
        self._reader = CaseReader(open_store(request.shards))
        self.network = NetworkPredictor(load_factorizer(request.weights, request.device, 1))

    def measure(self, number: int) -> _OfPlane:
        """Return the records of a plane (one per noise level), its share of missing pixels, and running times [s]."""
        seconds = dict.fromkeys(SECONDS, 0.0)
        records = []
        with one_thread():
            for noise, counts in NOISE_LEVELS.items():
                case, truth = self._reader(number, counts, self._seed)
                records.append(_measure_plane(noise, case, truth, self.network, seconds))
        return records, float(1 - case.mask.mean()), seconds


def _measure_plane(
    noise: str, case: Case, truth: Truth, network: NetworkPredictor, seconds: dict[str, float]
) -> Record:
    start = time.perf_counter()
    answer = network([case])
    form_factor, order = answer.form_factor[0], answer.short_range_order[0]
    networks_done = time.perf_counter()
    found = find_lattice(case.scattering, case.mask, form_factor, order, case.plane)
    search_done = time.perf_counter()

    def split(lattice: LatticePlane) -> LatticeAnswer:
        return network.factorizer.split_on_lattice(case.scattering, case.mask, lattice, form_factor, order)

    known = split(case.lattice)
    seconds["networks"] += networks_done - start
    seconds["find_lattice"] += search_done - networks_done
    seconds["split_on_lattice"] += time.perf_counter() - search_done
    alone = _errors(form_factor, order, truth)
    given = _errors(known.form_factor, known.short_range_order, truth) if known.accepted else alone
    on_true = _errors(known.form_factor, known.short_range_order, truth)
    vectors = true_vectors(case.lattice)
    outcome, on_found = "refused", alone
    if found is not None and found.accepted:
        answer_on_found = split(found.lattice)
    if found is not None and found.accepted and answer_on_found.accepted:
        on_found = _errors(answer_on_found.form_factor, answer_on_found.short_range_order, truth)
        small_error = on_found["short_range_order"] <= on_true["short_range_order"] + EQUIVALENT_MSE
        right = spans_same_lattice(np.asarray(np.linalg.inv(found.reciprocal_pixels).T, np.float64), vectors)
        # The true lattice with badly refined axes counts as wrong.
        outcome = ("right" if right else "equivalent") if small_error else "wrong"
    record = Record(
        number=case.number,
        noise=noise,
        outcome=outcome,
        confidence=0.0 if found is None else found.confidence,
        mse={"networks": alone, "found": on_found, "known": given},
    )
    if noise == "as stored":
        for name, factor in AXIS_FACTORS.items():
            wrong = split(lattice_plane(vectors * [[factor], [1.0]], case.plane))
            error = _errors(wrong.form_factor, wrong.short_range_order, truth)["short_range_order"]
            record.given[name] = wrong.accepted, error
    return record


def true_vectors(lattice: LatticePlane) -> npt.NDArray[np.float64]:
    """Project the direct axes of a lattice plane onto the plane; returns them as rows (2, 2) [cycles per pixel]."""
    axes = lattice.cell.direct[list(lattice.axes)] / (2 * np.pi)
    vectors: npt.NDArray[np.float64] = axes @ np.stack([lattice.plane.step_u, lattice.plane.step_v], axis=1)
    return vectors


def spans_same_lattice(vectors: npt.NDArray[np.float64], others: npt.NDArray[np.float64]) -> bool:
    """Return whether two pairs of vectors, rows (2, 2), span the same lattice, within SAME_LATTICE of the second."""
    whole = vectors @ np.linalg.inv(others)
    nearest = np.rint(whole)
    return bool(np.abs(whole - nearest).max() < SAME_LATTICE and round(abs(np.linalg.det(nearest))) == 1)


def _errors(form_factor: Planes, order: Planes, truth: Truth) -> dict[str, float]:
    answers, truths = (form_factor, order), (truth.form_factor, truth.short_range_order)
    return {
        component: float(spread_mse(answer[None], true[None])[0])
        for component, answer, true in zip(COMPONENTS, answers, truths, strict=True)
    }


def summarise_records(
    records: list[Record],
    levels: list[str],
    classes: Mapping[str, tuple[tuple[str, ...], npt.NDArray[np.integer[Any]]]],
) -> dict[str, Any]:
    """Summarise records as rates of outcomes, errors, and results on wrong lattices.

    Args:
        records: all records.
        levels: names of the noise levels; the first is the planes as stored.
        classes: by breakdown, the names of the classes and the class of each plane, in the order of the records.
    """
    by_level = {level: [record for record in records if record.noise == level] for level in levels}
    rates = {"all": {level: _rates(each) for level, each in by_level.items()}}
    for breakdown, (labels, index) in classes.items():
        for number, label in enumerate(labels):
            members = [each for each, own in zip(by_level[levels[0]], index, strict=True) if own == number]
            if members:
                rates.setdefault(breakdown, {})[label] = _rates(members)
    errors = {
        level: {answer: {name: _summary(each, answer, name) for name in COMPONENTS} for answer in ANSWERS}
        for level, each in by_level.items()
    }
    return {"rates": rates, "errors": errors, "given": _summarise_wrong_lattices(by_level[levels[0]])}


def _rates(records: list[Record]) -> dict[str, float]:
    worse = [
        record.mse["found"]["short_range_order"] > record.mse["networks"]["short_range_order"]
        for record in records
    ]
    shares = {name: float(np.mean([each.outcome == name for each in records])) for name in OUTCOMES}
    return {"planes": len(records), **shares, "worse than the networks": float(np.mean(worse))}


def _summary(records: list[Record], answer: str, component: str) -> dict[str, float]:
    values = np.array([record.mse[answer][component] for record in records])
    return {
        "mean": float(values.mean()),
        "median": float(np.median(values)),
        "percentile_90": float(np.percentile(values, 90)),
    }


def _summarise_wrong_lattices(records: list[Record]) -> dict[str, dict[str, float | None]]:
    table: dict[str, dict[str, float | None]] = {}
    for name in AXIS_FACTORS:
        pairs = [(*each.given[name], each.mse["networks"]["short_range_order"]) for each in records]
        better = [error < alone for accepted, error, alone in pairs if accepted]
        table[name] = {
            "accepted": float(np.mean([accepted for accepted, _, _ in pairs])),
            "accepted and better": float(np.mean(better)) if better else None,
            "better if used": float(np.mean([error < alone for _, error, alone in pairs])),
            "median_mse": float(np.median([error for _, error, _ in pairs])),
        }
    return table
