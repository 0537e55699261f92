"""How often the right lattice is found, what an answer on it is worth, and what becomes of wrong lattices."""

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
from dsfunet.lattice.search import find_lattice, lattice_plane
from dsfunet.physics.lattice_plane import LatticePlane
from dsfunet.planes.preprocessing import COMPONENTS
from evaluate.metrics.errors import spread_mse
from evaluate.predictors.cases import Case, CaseReader, Truth
from evaluate.predictors.network import NetworkPredictor
from evaluate.runs.provenance import check_unseen, describe_store, describe_surroundings
from evaluate.runs.running import one_thread
from evaluate.runs.summary import lattice_index, missing_index
from evaluate.studies.workers import measured

COUNTS = (1000.0, 100.0, 30.0)
"""Noise levels beside the planes as stored, counts expected in the brightest pixel."""

LEVELS: dict[str, float | None] = {"as stored": None, **{f"{each:g} counts": each for each in COUNTS}}
"""All noise levels by name."""

SECONDS = ("networks", "find_lattice", "split_on_lattice")
"""What is timed."""

OUTCOMES = ("right", "equivalent", "wrong", "refused")
"""What became of a plane: the lattice found spans what the true one spans; or another does no worse; or neither; or
none was accepted."""

AS_GOOD = 0.001
"""A lattice is equivalent where the MSE of I_SRO, spread space, exceeds that on the true lattice by at most this."""

SAME_LATTICE = 0.1
"""Vectors found are within so much of a true lattice vector, in units of the true basis."""

WAYS = ("networks", "found", "known")
"""The answers compared: the networks alone, on the lattice they find (else alone), on the lattice given."""

WRONG: dict[str, float] = {
    "exact": 1.0,
    "longer by 0.3 %": 1.003,
    "longer by 1 %": 1.01,
    "longer by 3 %": 1.03,
    "longer by 10 %": 1.1,
    "halved": 0.5,
    "doubled": 2.0,
}
"""What the first direct axis is multiplied by where a lattice is given wrong."""


@dataclass(frozen=True)
class LatticeRequest:
    """What is asked of `python -m evaluate lattices`.

    Raises:
        InputError: fewer than one plane is asked for.
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
            raise InputError(f"{self.samples} planes: expected 1 or more")


@dataclass
class Record:
    """What was measured of one plane at one noise level: an outcome, MSEs by way and component, and so on."""

    number: int
    noise: str
    outcome: str
    confidence: float
    mse: dict[str, dict[str, float]]
    given: dict[str, tuple[bool, float]] = field(default_factory=dict)
    """By name of WRONG: whether lattice mode accepts it, and the MSE of its I_SRO."""


_OfPlane = tuple[list[Record], float, dict[str, float]]


def plane_numbers(store: Store, samples: int) -> npt.NDArray[np.intp]:
    """So many planes spread evenly over a store.

    Raises:
        InputError: the store holds fewer.
    """
    if not 1 <= samples <= len(store):
        raise InputError(f"{samples} planes asked of {store.path.name}: expected 1 to {len(store)}")
    return np.linspace(0, len(store) - 1, samples).round().astype(np.intp)


def evaluate_lattices(request: LatticeRequest) -> tuple[dict[str, Any], dict[str, float]]:
    """The report in plain values, and the seconds a plane took.

    Raises:
        InputError: weights or planes cannot be used, or do not go together.
    """
    store = open_store(request.shards)
    numbers = plane_numbers(store, request.samples)
    bench = _Bench(request)
    generators = bench.network.factorizer.generators
    trained = generators.card.get("data", {})
    warnings = check_unseen(trained, store, len(store), request.allow_trained_species)
    records: list[Record] = []
    missing: list[float] = []
    seconds = dict.fromkeys(SECONDS, 0.0)
    for found, share, spent in measured(bench, request, numbers.tolist(), "lattices"):
        records += found
        missing.append(share)
        for name, value in spent.items():
            seconds[name] += value
    classes = {
        "lattice": (("orthogonal", "hexagonal", "oblique"), lattice_index(store.metadata("cell")[numbers])),
        "order kind": (tuple(store.attributes["order_kinds"]), store.metadata("order_kind")[numbers]),
        "missing pixels": (
            ("none", "under 10 %", "10-25 %", "25-40 %", "40 % and more"),
            missing_index(np.array(missing)),
        ),
    }
    plain = {
        "weights": bench.network.description,
        "store": describe_store(store, len(numbers)),
        "surroundings": describe_surroundings(request.device),
        "seed": request.seed,
        "warnings": warnings,
        **summarise_records(records, list(LEVELS), classes),
    }
    return plain, {name: value / len(records) for name, value in seconds.items()}


class _Bench:
    """What a process keeps from plane to plane: the networks and the store."""

    def __init__(self, request: LatticeRequest) -> None:
        from dsfunet.factorize.loading import load_factorizer

        self._seed = request.seed
        self._reader = CaseReader(open_store(request.shards))
        self.network = NetworkPredictor(load_factorizer(request.weights, request.device, 1))

    def measure(self, number: int) -> _OfPlane:
        """Records of a plane, one a noise level, its share of missing pixels, and the seconds that were spent."""
        seconds = dict.fromkeys(SECONDS, 0.0)
        records = []
        with one_thread():
            for noise, counts in LEVELS.items():
                case, truth = self._reader(number, counts, self._seed)
                records.append(_measured(noise, case, truth, self.network, seconds))
        return records, float(1 - case.mask.mean()), seconds


def _measured(
    noise: str, case: Case, truth: Truth, network: NetworkPredictor, seconds: dict[str, float]
) -> Record:
    start = time.perf_counter()
    answer = network([case])
    form_factor, order = answer.form_factor[0], answer.short_range_order[0]
    asked = time.perf_counter()
    found = find_lattice(case.scattering, case.mask, form_factor, order, case.plane)
    searched = time.perf_counter()

    def split(lattice: LatticePlane) -> LatticeAnswer:
        return network.factorizer.split_on_lattice(case.scattering, case.mask, lattice, form_factor, order)

    known = split(case.lattice)
    seconds["networks"] += asked - start
    seconds["find_lattice"] += searched - asked
    seconds["split_on_lattice"] += time.perf_counter() - searched
    alone = _errors(form_factor, order, truth)
    given = _errors(known.form_factor, known.short_range_order, truth) if known.accepted else alone
    on_true = _errors(known.form_factor, known.short_range_order, truth)
    vectors = true_vectors(case.lattice)
    outcome, ours = "refused", alone
    if found is not None and found.accepted:
        mine = split(found.lattice)
    if found is not None and found.accepted and mine.accepted:
        ours = _errors(mine.form_factor, mine.short_range_order, truth)
        as_good = ours["short_range_order"] <= on_true["short_range_order"] + AS_GOOD
        right = spans_the_same(np.asarray(np.linalg.inv(found.reciprocal_pixels).T, np.float64), vectors)
        # A right one that was refined badly is no success.
        outcome = ("right" if right else "equivalent") if as_good else "wrong"
    record = Record(
        number=case.number,
        noise=noise,
        outcome=outcome,
        confidence=0.0 if found is None else found.confidence,
        mse={"networks": alone, "found": ours, "known": given},
    )
    if noise == "as stored":
        for name, factor in WRONG.items():
            wrong = split(lattice_plane(vectors * [[factor], [1.0]], case.plane))
            error = _errors(wrong.form_factor, wrong.short_range_order, truth)["short_range_order"]
            record.given[name] = wrong.accepted, error
    return record


def true_vectors(lattice: LatticePlane) -> npt.NDArray[np.float64]:
    """The direct axes of a lattice plane projected onto it, rows, (2, 2) [cycles a pixel]."""
    axes = lattice.cell.direct[list(lattice.axes)] / (2 * np.pi)
    vectors: npt.NDArray[np.float64] = axes @ np.stack([lattice.plane.step_u, lattice.plane.step_v], axis=1)
    return vectors


def spans_the_same(vectors: npt.NDArray[np.float64], others: npt.NDArray[np.float64]) -> bool:
    """Whether two pairs of vectors span the same lattice, within SAME_LATTICE of the second."""
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
    """Rates, errors and the table of wrong lattices; `classes` are of the planes, in the order of the records."""
    by_level = {level: [record for record in records if record.noise == level] for level in levels}
    rates = {"all": {level: _rates(each) for level, each in by_level.items()}}
    for way, (labels, index) in classes.items():
        for place, label in enumerate(labels):
            members = [each for each, of in zip(by_level[levels[0]], index, strict=True) if of == place]
            if members:
                rates.setdefault(way, {})[label] = _rates(members)
    errors = {
        level: {way: {name: _summary(each, way, name) for name in COMPONENTS} for way in WAYS}
        for level, each in by_level.items()
    }
    return {"rates": rates, "errors": errors, "given": _given(by_level[levels[0]])}


def _rates(records: list[Record]) -> dict[str, float]:
    worse = [
        record.mse["found"]["short_range_order"] > record.mse["networks"]["short_range_order"]
        for record in records
    ]
    shares = {name: float(np.mean([each.outcome == name for each in records])) for name in OUTCOMES}
    return {"planes": len(records), **shares, "worse than the networks": float(np.mean(worse))}


def _summary(records: list[Record], way: str, component: str) -> dict[str, float]:
    values = np.array([record.mse[way][component] for record in records])
    return {
        "mean": float(values.mean()),
        "median": float(np.median(values)),
        "percentile_90": float(np.percentile(values, 90)),
    }


def _given(records: list[Record]) -> dict[str, dict[str, float | None]]:
    table: dict[str, dict[str, float | None]] = {}
    for name in WRONG:
        pairs = [(*each.given[name], each.mse["networks"]["short_range_order"]) for each in records]
        better = [error < alone for accepted, error, alone in pairs if accepted]
        table[name] = {
            "accepted": float(np.mean([accepted for accepted, _, _ in pairs])),
            "accepted and better": float(np.mean(better)) if better else None,
            "better if used": float(np.mean([error < alone for _, error, alone in pairs])),
            "median_mse": float(np.median([error for _, error, _ in pairs])),
        }
    return table
