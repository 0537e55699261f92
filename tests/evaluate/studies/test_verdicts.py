"""Limits of the verdict fitted to synthetic numbers, and the counting of flagged planes."""

from typing import Any

import numpy as np
import pytest

from dsfunet.errors import InputError
from dsfunet.verdict.judge import TESTS, Regime, judge_numbers
from dsfunet.verdict.measures import measure_appearance
from evaluate.studies.verdict_limits import TARGET, fit_limits
from evaluate.studies.verdicts import Record, VerdictRequest, summarise
from evaluate.studies.verdicts_report import verdict_tables

LIKE = [*measure_appearance(np.random.default_rng(0).random((64, 64)), np.ones((64, 64), np.bool_))]


def numbers(rng: np.random.Generator, **changes: float) -> dict[Regime, dict[str, float]]:
    """Synthetic numbers of a good plane: lognormal for tests, normal for numbers that are compared directly."""
    made = {name: float(np.exp(rng.normal(-3, 0.3))) for name in TESTS if name != "unlike"}
    made |= {name: float(rng.normal()) for name in LIKE} | {"noise": 0.001} | changes
    return {"lattice": made, "none": made}


@pytest.fixture(scope="module")
def fitted() -> dict[str, Any]:
    rng = np.random.default_rng(1)
    good = [numbers(rng) for _ in range(400)]
    return fit_limits(good, [each["none"] for each in good], {"why": "a test"})


def test_the_threshold_flags_the_share_aimed_at_of_other_planes(fitted: dict[str, Any]) -> None:
    rng = np.random.default_rng(2)
    for regime in ("lattice", "none"):
        flags = [not judge_numbers(numbers(rng)[regime], regime, fitted).trustworthy for _ in range(2000)]
        # With limits from 400 planes, the share of other planes scatters by 1 %.
        assert np.mean(flags) == pytest.approx(TARGET, abs=0.02)


def test_training_planes_are_at_distance_one(fitted: dict[str, Any]) -> None:
    rng = np.random.default_rng(3)
    found = [judge_numbers(numbers(rng)["none"], "none", fitted).numbers["unlike"] for _ in range(200)]
    assert np.sqrt(np.mean(np.square(found))) == pytest.approx(1, abs=0.1)


def test_flags_are_counted_by_kind_level_and_class(fitted: dict[str, Any]) -> None:
    rng = np.random.default_rng(4)
    made = [(counts, numbers(rng)) for counts in (None, 1000.0) for _ in range(10)]
    good = [Record(counts, 0.2, each, ("none", each["none"])) for counts, each in made]
    bad = [Record(None, 0.2, numbers(rng, bragg_residual=value)) for value in (50.0, 50.0, 0.05, 0.05)]
    told = [{"kind": "Bragg", "level": level} for level in ("strong", "strong", "weak", "weak")]
    classes = {"missing pixels": (("none", "some"), np.ones(20, int))}
    report = summarise(good, bad, told, classes, fitted)
    levels = report["flagged_bad"]["lattice"]["Bragg"]["levels"]
    assert levels["strong"] == {"planes": 2, "flagged": 1.0} and levels["weak"]["flagged"] < 1
    assert max(report["flagged_bad"]["lattice"]["Bragg"]["reasons"]) == "Bragg"
    assert [*report["flagged_good"]["none"]["noise"]] == ["as stored", "1000 counts"]
    assert [*report["flagged_good"]["none"]["missing pixels"]] == ["some"]
    # No lattice was found on any plane, so the result equals that of the networks alone.
    assert report["flagged_good"]["found"] == report["flagged_good"]["none"]
    assert report["lattices_found"] == 0
    about = {"name": "x.zarr", "planes": 20}
    plain = {"good": about, "violations": about, "weights": {"weights": "w"}, "seed": 0, "warnings": []}
    text = "\n".join(verdict_tables({**plain, "fitted_here": True, **report}))
    assert "| Bragg | 4 | strong, weak | " in text


def test_limits_are_not_fitted_without_training_planes() -> None:
    with pytest.raises(InputError, match="training"):
        VerdictRequest("release", "a.zarr", "b.zarr", fit=True)
    with pytest.raises(InputError, match="10 or more"):
        VerdictRequest("release", "a.zarr", "b.zarr", samples=3)
