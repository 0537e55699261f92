"""How often the verdict flags planes that keep every assumption, and how often those that break one.

Planes of a store of good planes are measured as stored, with 1,000 and with 100 counts in turn. Every other one of them
may set the limits, the rest judge them; no plane is in both halves, while species and sets of correlations are. Planes
that break an assumption only judge.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from dsfunet._typing import Planes
from dsfunet.data.store import open_store
from dsfunet.errors import InputError
from dsfunet.lattice.search import find_lattice
from dsfunet.verdict.judge import Regime, Verdict, judge_numbers, read_limits
from dsfunet.verdict.measures import measure
from evaluate.predictors.cases import Case, CaseReader
from evaluate.predictors.network import NetworkPredictor
from evaluate.runs.provenance import check_unseen, describe_store, describe_surroundings
from evaluate.runs.running import one_thread
from evaluate.runs.summary import lattice_index, missing_index
from evaluate.studies.lattices import plane_numbers
from evaluate.studies.verdict_limits import fit_limits
from evaluate.studies.workers import measured

COUNTS: tuple[float | None, ...] = (None, 1000.0, 100.0)
"""Noise levels that good planes take in turn; None is as stored."""

REGIMES: tuple[Regime, ...] = ("lattice", "none")
"""The lattice of the plane's cell and axes, and the networks alone."""

Source = Literal["good", "judging", "violations", "training"]
"""Good planes that judge are asked for their lattice, too."""


@dataclass(frozen=True)
class VerdictRequest:
    """What is asked of `python -m evaluate verdicts`.

    Raises:
        InputError: fewer than ten planes are asked for, or limits are to be fitted without training planes.
    """

    weights: str
    shards: str
    violations: str
    training_shards: str | None = None
    samples: int = 1200
    fit: bool = False
    device: str = "cpu"
    seed: int = 0
    allow_trained_species: bool = False
    progress: bool = True

    def __post_init__(self) -> None:
        if self.samples < 10:
            raise InputError(f"{self.samples} planes: expected 10 or more")
        if self.fit and self.training_shards is None:
            raise InputError(
                "limits are to be fitted: expected --training-shards, planes of the training species"
            )


@dataclass(frozen=True)
class Record:
    """What was measured of one plane.

    Attributes:
        counts: in its brightest pixel; None as stored.
        missing: share of its pixels.
        numbers: of `dsfunet.verdict.measures.measure` by regime; training planes have those without a lattice alone.
        found: those of the answer that a plane without a cell gets, on the lattice that is found or by the networks
            alone, and which of both; None where that was not tried.
    """

    counts: float | None
    missing: float
    numbers: dict[Regime, dict[str, float]]
    found: tuple[Regime, dict[str, float]] | None = None


Job = tuple[Source, int, float | None]


def evaluate_verdicts(request: VerdictRequest) -> tuple[dict[str, Any], dict[str, Any]]:
    """The report in plain values, and the limits that it holds for, fitted or those of the package.

    Raises:
        InputError: weights or planes cannot be used, or do not go together.
    """
    good, bad = open_store(request.shards), open_store(request.violations)
    told = bad.attributes.get("violations")
    if not isinstance(told, list) or len(told) != len(bad):
        raise InputError(
            f"{request.violations}: does not say what was done to its planes; expected a store of"
            " `python -m simulate violations`"
        )
    numbers = plane_numbers(good, request.samples).tolist()
    bench = _Bench(request)
    trained = bench.network.factorizer.generators.card.get("data", {})
    warnings = check_unseen(trained, good, len(good), request.allow_trained_species)
    jobs: list[Job] = [
        ("judging" if place % 2 else "good", number, COUNTS[place // 6 % len(COUNTS)])
        for place, number in enumerate(numbers)
    ]
    jobs += [("violations", number, None) for number in range(len(bad))]
    training = []
    if request.fit and request.training_shards is not None:
        training = list(range(min(len(open_store(request.training_shards)), 1024)))
        jobs += [("training", number, COUNTS[number % len(COUNTS)]) for number in training]
    records = measured(bench, request, jobs, "verdicts")
    of_good = records[: len(numbers)]
    of_bad = records[len(numbers) : len(numbers) + len(bad)]
    fitted = read_limits()
    if request.fit:
        fitted = fit_limits(
            [each.numbers for each in of_good[::2]],
            [each.numbers["none"] for each in records[len(numbers) + len(bad) :]],
            provenance={
                "command": "python -m evaluate verdicts --fit true",
                "good": describe_store(good, len(of_good[::2])),
                "training": describe_store(open_store(str(request.training_shards)), len(training)),
                "weights": bench.network.description["digest"],
                "seed": request.seed,
            },
        )
    judged, places = of_good[1::2], np.array(numbers)[1::2]
    classes = {
        "lattice": (("orthogonal", "hexagonal", "oblique"), lattice_index(good.metadata("cell")[places])),
        "missing pixels": (
            ("none", "under 10 %", "10-25 %", "25-40 %", "40 % and more"),
            missing_index(np.array([each.missing for each in judged])),
        ),
    }
    plain = {
        "weights": bench.network.description,
        "good": describe_store(good, len(judged)),
        "violations": describe_store(bad, len(bad)),
        "surroundings": describe_surroundings(request.device),
        "seed": request.seed,
        "fitted_here": request.fit,
        "thresholds": dict(fitted["threshold"]),
        "warnings": warnings,
        **summarise(judged, of_bad, told, classes, fitted),
    }
    return plain, dict(fitted)


class _Bench:
    """What a process keeps from plane to plane: the networks and the stores."""

    def __init__(self, request: VerdictRequest) -> None:
        from dsfunet.factorize.loading import load_factorizer

        self._seed = request.seed
        paths = {
            "good": request.shards,
            "judging": request.shards,
            "violations": request.violations,
            "training": request.training_shards,
        }
        self._readers = {
            name: CaseReader(open_store(path)) for name, path in paths.items() if path is not None
        }
        self.network = NetworkPredictor(load_factorizer(request.weights, request.device, 1))

    def measure(self, job: Job) -> Record:
        """All numbers of a plane, on its lattice and without."""
        source, number, counts = job
        with one_thread():
            case, _ = self._readers[source](number, counts, self._seed)
            answer = self.network([case])
            alone = answer.form_factor[0], answer.short_range_order[0]
            known = shown = None
            if source != "training":
                known = self.network.factorizer.split_on_lattice(
                    case.scattering, case.mask, case.lattice, *alone
                )
                shown = (known.form_factor, known.short_range_order) if known.accepted else alone
            plane = case.scattering, case.mask
            found: dict[Regime, dict[str, float]] = {"none": measure(*plane, *alone)}
            if known is not None and shown is not None:
                form_factor, order = shown
                found["lattice"] = measure(*plane, form_factor, order, known, case.lattice)
            on_found = None
            if source == "judging":
                on_found = self._on_found(case, *alone) or ("none", found["none"])
        return Record(counts, float(1 - case.mask.mean()), found, on_found)

    def _on_found(
        self, case: Case, form_factor: Planes, order: Planes
    ) -> tuple[Regime, dict[str, float]] | None:
        """As `dsfunet factorize` judges a plane without axes; None where no lattice is found that convinces."""
        plane = case.scattering, case.mask
        found = find_lattice(*plane, form_factor, order)
        if found is None or not found.accepted:
            return None
        answer = self.network.factorizer.split_on_lattice(*plane, found.lattice, form_factor, order)
        shown = (answer.form_factor, answer.short_range_order) if answer.accepted else (form_factor, order)
        return "lattice", measure(*plane, *shown, answer, found.lattice)


def summarise(
    good: list[Record],
    bad: list[Record],
    told: list[Mapping[str, Any]],
    classes: Mapping[str, tuple[tuple[str, ...], Any]],
    fitted: Mapping[str, Any],
) -> dict[str, Any]:
    """Shares of flagged planes: good ones by way and class, others by regime, kind and level, with their reasons."""
    of_good: dict[str, Any] = {
        regime: _of_good([(regime, each.numbers[regime]) for each in good], good, classes, fitted)
        for regime in REGIMES
    }
    on_found = [each.found for each in good if each.found is not None]
    if len(on_found) == len(good):
        of_good["found"] = _of_good(on_found, good, classes, fitted)
    of_bad = {
        regime: _of_bad([judge_numbers(each.numbers[regime], regime, fitted) for each in bad], told)
        for regime in REGIMES
    }
    lattices = sum(regime == "lattice" for regime, _ in on_found) / max(len(on_found), 1)
    return {"flagged_good": of_good, "flagged_bad": of_bad, "lattices_found": lattices}


def _of_good(
    numbers: Sequence[tuple[Regime, dict[str, float]]],
    good: list[Record],
    classes: Mapping[str, tuple[tuple[str, ...], Any]],
    fitted: Mapping[str, Any],
) -> dict[str, Any]:
    flags = np.array([not judge_numbers(each, regime, fitted).trustworthy for regime, each in numbers])
    noise = ["as stored" if each.counts is None else f"{each.counts:g} counts" for each in good]
    table = {"all": {"all": _rate(flags)}}
    table["noise"] = {
        level: _rate(flags[[each == level for each in noise]]) for level in dict.fromkeys(noise)
    }
    for way, (labels, index) in classes.items():
        table[way] = {
            label: _rate(flags[np.asarray(index) == place])
            for place, label in enumerate(labels)
            if np.any(np.asarray(index) == place)
        }
    return table


def _of_bad(verdicts: list[Verdict], told: list[Mapping[str, Any]]) -> dict[str, Any]:
    kinds: dict[str, Any] = {}
    for kind in dict.fromkeys(each["kind"] for each in told):
        of_kind = [(each, what) for each, what in zip(verdicts, told, strict=True) if what["kind"] == kind]
        levels = dict.fromkeys(what["level"] for _, what in of_kind)
        reasons = [each.reasons[0] for each, _ in of_kind if each.reasons]
        kinds[kind] = {
            "all": _rate(np.array([not each.trustworthy for each, _ in of_kind])),
            "levels": {
                level: _rate(
                    np.array([not each.trustworthy for each, what in of_kind if what["level"] == level])
                )
                for level in levels
            },
            "reasons": {
                reason: reasons.count(reason) / len(reasons)
                for reason in sorted(set(reasons), key=lambda each: (-reasons.count(each), each))
            },
        }
    return kinds


def _rate(flags: Any) -> dict[str, float]:
    return {"planes": int(np.size(flags)), "flagged": float(np.mean(flags))}
