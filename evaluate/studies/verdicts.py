"""`python -m evaluate verdicts`: how often the verdict flags good planes, and planes that break an assumption.

The noise of good planes alternates between as stored, 1,000 and 100 counts. Every other good plane may be used to fit
the limits of the verdict, and the rest test them. No plane is in both halves, but species and sets of correlations are.
Planes that break an assumption are used for testing only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from dsfunet._typing import Planes
from dsfunet.data.store import Store, open_store
from dsfunet.errors import InputError
from dsfunet.lattice.search import find_lattice
from dsfunet.verdict.judge import Regime, Verdict, judge_numbers, read_limits
from dsfunet.verdict.measures import measure
from evaluate.predictors.cases import Case, CaseReader
from evaluate.predictors.network import NetworkPredictor
from evaluate.runs.devices import one_thread
from evaluate.runs.provenance import check_unseen, describe_store, describe_surroundings
from evaluate.runs.summary import LATTICE_CLASSES, MISSING_CLASSES, lattice_index, missing_index
from evaluate.studies.lattices import plane_numbers
from evaluate.studies.verdict_limits import fit_limits
from evaluate.studies.workers import run_in_processes

COUNTS: tuple[float | None, ...] = (None, 1000.0, 100.0)
"""Noise levels, which alternate between good planes: expected counts in the brightest pixel; None is as stored."""

REGIMES: tuple[Regime, ...] = ("lattice", "none")
"""Lattice mode on the true lattice, and the networks alone."""

Source = Literal["good", "judging", "violations", "training"]
"""Kinds of planes; for "judging", the good planes that test the limits, the lattice is also searched for."""


@dataclass(frozen=True)
class VerdictRequest:
    """The settings of `python -m evaluate verdicts`.

    Raises:
        InputError: if there are fewer than ten planes, or limits are to be fitted without training planes.
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
            raise InputError(f"--samples is {self.samples}; expected 10 or more")
        if self.fit and self.training_shards is None:
            raise InputError(
                "--fit true: the fit needs training planes; give their store with --training-shards"
            )


@dataclass(frozen=True)
class Record:
    """The results for one plane.

    Attributes:
        counts: expected counts in its brightest pixel; None as stored.
        missing: share of missing pixels.
        numbers: results of `dsfunet.verdict.measures.measure` by regime; training planes have only "none".
        found: regime and numbers of the answer that a plane without a cell gets: lattice mode on the lattice found, or
            the networks alone; None if the lattice was not searched for.
    """

    counts: float | None
    missing: float
    numbers: dict[Regime, dict[str, float]]
    found: tuple[Regime, dict[str, float]] | None = None


Job = tuple[Source, int, float | None]


def evaluate_verdicts(request: VerdictRequest) -> tuple[dict[str, Any], dict[str, Any]]:
    """Test the verdict.

    Returns:
        The report in plain values, and the limits of the verdict that were tested: fitted ones or those of the package.

    Raises:
        InputError: if weights or planes cannot be used, or the weights were trained on the species of these planes.
    """
    good, bad = open_store(request.shards), open_store(request.violations)
    violations = _read_violations(bad, request.violations)
    numbers = plane_numbers(good, request.samples).tolist()
    worker = _Worker(request)
    trained = worker.network.factorizer.generators.card.get("data", {})
    warnings = check_unseen(trained, good, len(good), request.allow_trained_species)
    records = run_in_processes(worker, request, _make_jobs(request, numbers, len(bad)), "verdicts")
    good_records = records[: len(numbers)]
    bad_records = records[len(numbers) : len(numbers) + len(bad)]
    training_records = records[len(numbers) + len(bad) :]
    tested_limits = read_limits()
    if request.fit:
        tested_limits = fit_limits(
            [each.numbers for each in good_records[::2]],
            [each.numbers["none"] for each in training_records],
            provenance={
                "command": "python -m evaluate verdicts --fit true",
                "good": describe_store(good, len(good_records[::2])),
                "training": describe_store(open_store(str(request.training_shards)), len(training_records)),
                "weights": worker.network.description["digest"],
                "seed": request.seed,
            },
        )
    judged, judged_numbers = good_records[1::2], np.array(numbers)[1::2]
    classes = {
        "lattice": (LATTICE_CLASSES, lattice_index(good.metadata("cell")[judged_numbers])),
        "missing pixels": (MISSING_CLASSES, missing_index(np.array([each.missing for each in judged]))),
    }
    plain = {
        "weights": worker.network.description,
        "good": describe_store(good, len(judged)),
        "violations": describe_store(bad, len(bad)),
        "surroundings": describe_surroundings(request.device),
        "seed": request.seed,
        "fitted_here": request.fit,
        "thresholds": dict(tested_limits["threshold"]),
        "warnings": warnings,
        **summarise(judged, bad_records, violations, classes, tested_limits),
    }
    return plain, dict(tested_limits)


def _read_violations(store: Store, path: str) -> list[Mapping[str, Any]]:
    """Return the description of each plane's violation."""
    violations = store.attributes.get("violations")
    if not isinstance(violations, list) or len(violations) != len(store):
        raise InputError(
            f"{path}: the store does not describe the violations of its planes; expected a store of"
            " `python -m simulate violations`"
        )
    return violations


def _make_jobs(request: VerdictRequest, numbers: list[int], violations: int) -> list[Job]:
    """Return the jobs: good planes (every other one for testing), then violations, then training planes for a fit."""
    jobs: list[Job] = [
        ("judging" if place % 2 else "good", number, COUNTS[place // 6 % len(COUNTS)])
        for place, number in enumerate(numbers)
    ]
    jobs += [("violations", number, None) for number in range(violations)]
    if request.fit and request.training_shards is not None:
        training = min(len(open_store(request.training_shards)), 1024)
        jobs += [("training", number, COUNTS[number % len(COUNTS)]) for number in range(training)]
    return jobs


class _Worker:
    """The worker of the study: networks and stores."""

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
        """Return all numbers of a plane, on its true lattice and without a lattice."""
        source, number, counts = job
        with one_thread():
            case, _ = self._readers[source](number, counts, self._seed)
            answer = self.network([case])
            alone = answer.form_factor[0], answer.short_range_order[0]
            known = components = None
            if source != "training":
                known = self.network.factorizer.split_on_lattice(
                    case.scattering, case.mask, case.lattice, *alone
                )
                components = (known.form_factor, known.short_range_order) if known.accepted else alone
            plane = case.scattering, case.mask
            numbers: dict[Regime, dict[str, float]] = {"none": measure(*plane, *alone)}
            if known is not None and components is not None:
                form_factor, order = components
                numbers["lattice"] = measure(*plane, form_factor, order, known, case.lattice)
            on_found = None
            if source == "judging":
                on_found = self._measure_on_found_lattice(case, *alone) or ("none", numbers["none"])
        return Record(counts, float(1 - case.mask.mean()), numbers, on_found)

    def _measure_on_found_lattice(
        self, case: Case, form_factor: Planes, order: Planes
    ) -> tuple[Regime, dict[str, float]] | None:
        """Measure as `dsfunet factorize` does for a plane without axes; None if no lattice is accepted."""
        plane = case.scattering, case.mask
        found = find_lattice(*plane, form_factor, order)
        if found is None or not found.accepted:
            return None
        answer = self.network.factorizer.split_on_lattice(*plane, found.lattice, form_factor, order)
        components = (
            (answer.form_factor, answer.short_range_order) if answer.accepted else (form_factor, order)
        )
        return "lattice", measure(*plane, *components, answer, found.lattice)


def summarise(
    good: list[Record],
    bad: list[Record],
    violations: list[Mapping[str, Any]],
    classes: Mapping[str, tuple[tuple[str, ...], Any]],
    limits: Mapping[str, Any],
) -> dict[str, Any]:
    """Compute the shares of flagged planes.

    Args:
        good: records of good planes.
        bad: records of planes that break an assumption.
        violations: kind and level of the violation of each of these.
        classes: by breakdown, the names of the classes and the class of each good plane.
        limits: limits of the verdict.

    Returns:
        Shares of good planes by regime, breakdown and class; shares of the others by regime, kind and level, with the
        reasons of the verdict; and the share of good planes on which a lattice was found.
    """
    flagged_good: dict[str, Any] = {
        regime: _flagged_good([(regime, each.numbers[regime]) for each in good], good, classes, limits)
        for regime in REGIMES
    }
    on_found = [each.found for each in good if each.found is not None]
    if len(on_found) == len(good):
        flagged_good["found"] = _flagged_good(on_found, good, classes, limits)
    flagged_bad = {
        regime: _flagged_bad(
            [judge_numbers(each.numbers[regime], regime, limits) for each in bad], violations
        )
        for regime in REGIMES
    }
    lattices = sum(regime == "lattice" for regime, _ in on_found) / max(len(on_found), 1)
    return {"flagged_good": flagged_good, "flagged_bad": flagged_bad, "lattices_found": lattices}


def _flagged_good(
    numbers: Sequence[tuple[Regime, dict[str, float]]],
    good: list[Record],
    classes: Mapping[str, tuple[tuple[str, ...], Any]],
    limits: Mapping[str, Any],
) -> dict[str, Any]:
    flags = np.array([not judge_numbers(each, regime, limits).trustworthy for regime, each in numbers])
    noise = ["as stored" if each.counts is None else f"{each.counts:g} counts" for each in good]
    table = {"all": {"all": _rate(flags)}}
    table["noise"] = {
        level: _rate(flags[[each == level for each in noise]]) for level in dict.fromkeys(noise)
    }
    for breakdown, (labels, index) in classes.items():
        table[breakdown] = {
            label: _rate(flags[np.asarray(index) == number])
            for number, label in enumerate(labels)
            if np.any(np.asarray(index) == number)
        }
    return table


def _flagged_bad(verdicts: list[Verdict], violations: list[Mapping[str, Any]]) -> dict[str, Any]:
    kinds: dict[str, Any] = {}
    for kind in dict.fromkeys(each["kind"] for each in violations):
        of_kind = [
            (verdict, violation["level"])
            for verdict, violation in zip(verdicts, violations, strict=True)
            if violation["kind"] == kind
        ]
        levels = dict.fromkeys(level for _, level in of_kind)
        reasons = [verdict.reasons[0] for verdict, _ in of_kind if verdict.reasons]
        kinds[kind] = {
            "all": _rate(np.array([not verdict.trustworthy for verdict, _ in of_kind])),
            "levels": {
                level: _rate(np.array([not verdict.trustworthy for verdict, own in of_kind if own == level]))
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
