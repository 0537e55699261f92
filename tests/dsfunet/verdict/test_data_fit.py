"""The verdict on a joint fit: nothing against good planes, and the right reason against spoilt ones."""

from dataclasses import replace

import numpy as np
import pytest

from dsfunet.lattice.joint_fit import fit_plane
from dsfunet.lattice.other_sites import OtherSites
from dsfunet.physics import Cell
from dsfunet.planes.measured import PlaneGrid
from dsfunet.planes.names import PlaneName
from dsfunet.verdict.data_fit import DataFit, measure_data_fit, score_data_fit
from dsfunet.verdict.judge import Verdict, judge_data_fit
from dsfunet.verdict.reasons import REASONS
from tests.virtual_crystals import measure

GOOD = DataFit(60_000, 1.0, 0.95, 0.001, 0.4, 7.0, 80.0)
NOTHING = Verdict("explained", "", {}, [])
SEVERAL = OtherSites(True, np.array([[0.5, 0.25]]))


def measured_fit(background: float, missing: bool = False, brightest: float = 2000.0) -> DataFit:
    plane = measure("P alloy", step=1 / 14, missing=missing, brightest=brightest)
    counts = plane.counts + np.random.default_rng(4).poisson(background, plane.counts.shape)
    grid = PlaneGrid(Cell(4, 4, 4), PlaneName((0, 1), 0.0), plane.rows, plane.columns)
    values = np.where(plane.mask, counts, 0.0).astype(np.float64)
    return measure_data_fit(fit_plane(values, plane.mask, grid), values, plane.mask, grid)


@pytest.mark.parametrize(("missing", "brightest"), [(False, 2000.0), (True, 2000.0), (False, 30.0)])
def test_nothing_is_said_against_a_good_plane(missing: bool, brightest: float) -> None:
    assert score_data_fit(measured_fit(0.0, missing, brightest)) == {}


def test_a_background_is_named_with_its_height() -> None:
    found = measured_fit(120.0)
    assert next(iter(score_data_fit(found))) == "constant background"
    assert found.background_share == pytest.approx(0.2, abs=0.08)
    verdict = judge_data_fit(found, None, NOTHING)
    assert not verdict.trustworthy and "the plane holds a background of about" in verdict.sentence
    assert "chi-squared" in verdict.sentence and verdict.numbers["background_gain"] > 15


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"contrast": 1.0}, "no order"),
        ({"displacement_gain": 200.0}, "size effect"),
        ({"chi_squared": 1.12}, "left over"),
        ({"smooth_chi_squared": 2.5}, "left over"),
        ({"background_gain": 900.0, "background_share": 0.05}, "constant background"),
    ],
)
def test_each_number_has_its_reason(change: dict[str, float], reason: str) -> None:
    scores = score_data_fit(replace(GOOD, **change))
    assert list(scores) == [reason] and scores[reason] > 1


def test_a_misfit_that_displacements_hardly_explain_is_not_blamed_on_them() -> None:
    """A twin has a large misfit, of which displacements explain a little."""
    scores = score_data_fit(replace(GOOD, displacement_gain=300.0, chi_squared=1.3))
    assert list(scores) == ["left over"]
    assert score_data_fit(replace(GOOD, background_gain=900.0, background_share=-0.05)) == {}


def test_several_sites_come_first_and_levels_follow_the_score() -> None:
    spoilt = replace(GOOD, chi_squared=1.05, background_gain=100.0, background_share=0.02)
    verdict = judge_data_fit(spoilt, SEVERAL, NOTHING)
    assert verdict.reasons[0] == "several sites" and verdict.level == "not explained"
    assert REASONS["several sites"][:30] in verdict.sentence
    assert judge_data_fit(replace(GOOD, chi_squared=1.07), None, NOTHING).level == "doubtful"
    assert judge_data_fit(replace(GOOD, chi_squared=1.3), None, NOTHING).level == "not explained"
    large = judge_data_fit(replace(GOOD, chi_squared=9.0), SEVERAL, NOTHING)
    assert large.reasons[0] == "several sites" and REASONS["several sites"][:30] in large.sentence
    good = judge_data_fit(GOOD, None, NOTHING)
    assert good.trustworthy and good.sentence.startswith("Explained: ") and good.numbers["score"] == 0


def test_a_caution_stands_in_the_verdict_on_a_plane_that_is_explained() -> None:
    careful = OtherSites(False, np.zeros((0, 2)), caution="with this c/a it could be hexagonal close packing")
    verdict = judge_data_fit(GOOD, careful, NOTHING)
    assert verdict.trustworthy
    assert verdict.sentence.endswith(
        "repeats on the lattice; with this c/a it could be hexagonal close packing."
    )


def test_the_appearance_of_the_plane_names_the_reason_of_a_misfit() -> None:
    by_appearance = Verdict("not explained", "", {}, ["Bragg", "left over", "no order"])
    verdict = judge_data_fit(replace(GOOD, chi_squared=5.0), None, by_appearance)
    assert verdict.reasons == ["Bragg", "lattice"] and "Bragg peaks" in verdict.sentence
    assert judge_data_fit(replace(GOOD, chi_squared=5.0), None, NOTHING).reasons == ["lattice"]
