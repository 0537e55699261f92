"""Which square of a plane the networks see: its size and its place."""

import numpy as np
import pytest

from dsfunet.io import MeasuredPlane, PlaneGrid, parse_plane_name
from dsfunet.physics import (
    Cell,
    Plane,
)
from dsfunet.planes.resampling import (
    LARGEST_SQUARE,
    SMALLEST_SQUARE,
    to_network_grid,
    to_user_grid,
)
from tests.dsfunet.planes.test_resampling import smooth


def cartesian_grid(low: float, high: float, pixels: int = 201) -> PlaneGrid:
    """hk0 of a cubic crystal, rows and columns from `low` to `high` [1/Angstrom]."""
    cell = Cell(5.0, 5.0, 5.0)
    axis = np.linspace(low, high, pixels) * 5.0 / (2 * np.pi)
    return PlaneGrid(cell, parse_plane_name("hk0"), axis, axis)


def reach(plane: Plane) -> float:
    return 128 * float(np.linalg.norm(plane.step_u))


def test_a_wide_plane_is_cut_to_the_largest_square() -> None:
    grid = cartesian_grid(-12, 12)
    values = smooth(grid.plane)
    there, plane = to_network_grid(MeasuredPlane(values, grid))
    assert plane is not None and reach(plane) == pytest.approx(LARGEST_SQUARE)
    assert not plane.origin.any() and np.isfinite(there).all()
    np.testing.assert_allclose(there, smooth(plane), atol=0.05)
    back = to_user_grid(smooth(plane), plane, grid)
    # Components are where the networks looked, and nowhere else.
    q = np.abs(grid.plane.q_points()[..., :2]).max(axis=-1)
    np.testing.assert_array_equal(np.isfinite(back[q < 8.7]), True)
    assert np.isnan(back[q > 8.9]).all()
    whole, wide = to_network_grid(MeasuredPlane(values, grid), whole=True)
    assert wide is not None and reach(wide) == pytest.approx(12.06 * 128 / 127, abs=0.01)
    assert np.isfinite(to_user_grid(whole, wide, grid)).all()


def test_the_square_moves_to_a_plane_measured_on_one_side() -> None:
    # One quadrant out to 12: all of it fits a square about its own centre.
    quadrant = cartesian_grid(0, 12)
    there, plane = to_network_grid(MeasuredPlane(smooth(quadrant.plane), quadrant))
    assert plane is not None and reach(plane) == pytest.approx(6.03 * 128 / 127, abs=0.01)
    np.testing.assert_allclose(plane.origin[:2], 6.0, atol=0.01)
    assert np.isfinite(to_user_grid(np.ones((256, 256)), plane, quadrant)).all()
    inside = np.isfinite(there)
    np.testing.assert_allclose(there[inside], smooth(plane)[inside], atol=0.05)
    # From -2 to 30: the part of it that is nearest the centre.
    wide = cartesian_grid(-2, 30)
    _, plane = to_network_grid(MeasuredPlane(smooth(wide.plane), wide))
    assert plane is not None
    np.testing.assert_allclose(plane.origin[:2], -2 + 8.8 * 127 / 128, atol=0.1)


def test_a_small_plane_has_missing_pixels_around_it() -> None:
    grid = cartesian_grid(-3, 3)
    there, plane = to_network_grid(MeasuredPlane(smooth(grid.plane), grid))
    assert plane is not None and reach(plane) == pytest.approx(SMALLEST_SQUARE)
    assert np.isfinite(there).mean() == pytest.approx((3.0 / SMALLEST_SQUARE) ** 2, abs=0.02)
    assert np.isfinite(to_user_grid(np.ones((256, 256)), plane, grid)).all()
