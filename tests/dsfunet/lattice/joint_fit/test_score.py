"""Score tests: what a plane says on terms that were not fitted, against a fit that is right and one that is not."""

import numpy as np
import pytest

from dsfunet.lattice.joint_fit import JointFit, fit_plane
from dsfunet.lattice.joint_fit.evaluation import evaluate_order
from dsfunet.lattice.joint_fit.score import score_terms
from dsfunet.physics import Cell
from dsfunet.planes.measured import PlaneGrid
from dsfunet.planes.names import PlaneName
from tests.virtual_crystals import measure


def fit_alloy(background: float = 0.0, seed: int = 0) -> tuple[JointFit, PlaneGrid, float]:
    """Fit a plane of the primitive alloy with a constant background, in counts; returns its mean too."""
    plane = measure("P alloy", seed=seed, step=1 / 12)
    counts = plane.counts + np.random.default_rng(seed + 10).poisson(background, plane.counts.shape)
    grid = PlaneGrid(Cell(4, 4, 4), PlaneName((0, 1), 0.0), plane.rows, plane.columns)
    return fit_plane(counts.astype(np.float64), plane.mask, grid), grid, float(counts.mean())


@pytest.mark.parametrize("seed", range(3))
def test_a_background_is_found_with_its_height_where_there_is_one(seed: int) -> None:
    ones = np.ones((1, 101, 101))
    clean, _, _ = fit_alloy(seed=seed)
    ones = np.ones((1, *clean.form_factor.shape))
    without = score_terms(clean.solution, ones)
    assert without.gain < 8 and abs(without.amplitudes[0]) < 4 * np.sqrt(without.covariance[0, 0])
    spoilt, _, _ = fit_alloy(background=60.0, seed=seed)
    found = score_terms(spoilt.solution, ones)
    assert found.gain > 30 and found.amplitudes[0] == pytest.approx(60, rel=0.35)


def test_the_unit_of_a_term_does_not_matter() -> None:
    fit, _, _ = fit_alloy(background=60.0)
    ones = np.ones((1, *fit.form_factor.shape))
    one, other = score_terms(fit.solution, ones), score_terms(fit.solution, 1e6 * ones)
    assert one.gain == pytest.approx(other.gain, rel=1e-6)
    assert one.amplitudes[0] == pytest.approx(1e6 * other.amplitudes[0], rel=1e-6)


def test_order_on_another_grid_in_any_direction() -> None:
    fit, grid, _ = fit_alloy()
    same = evaluate_order(fit, grid, grid.plane)
    np.testing.assert_allclose(same, fit.short_range_order, atol=1e-9)
    square = grid.square(4.0)
    turned = evaluate_order(fit, grid, square)
    h = square.q_points() @ grid.cell.direct.T / (2 * np.pi)
    row, column = 40, 77
    phases = np.cos(2 * np.pi * h[row, column, :2] @ fit.harmonics.indices.T)
    assert turned[row, column] == pytest.approx(1 + 2 * phases @ fit.alphas, abs=1e-9)
