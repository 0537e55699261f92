"""Smoothing with pixels missing, and the lattice that gives its widths."""

import numpy as np
import pytest

from dsfunet.errors import InputError
from dsfunet.lattice.smoothing import Smoother, smooth_ratio, unit_range
from dsfunet.physics import Cell, plane_through
from dsfunet.physics.lattice_plane import LatticePlane

LAYERS = {
    "orthogonal": (Cell(6.0, 7.5, 5.2), (0, 1), 0.0),
    "hexagonal": (Cell(8.0, 4.0, 8.0, 90.0, 120.0, 90.0), (0, 2), 1.0),
    "triclinic": (Cell(7.1, 6.2, 7.3, 81.0, 97.0, 112.0), (2, 1), 0.37),
}


@pytest.fixture(params=LAYERS)
def lattice(request: pytest.FixtureRequest) -> LatticePlane:
    cell, axes, offset = LAYERS[request.param]
    return LatticePlane(cell, plane_through(cell, axes, offset, 7.0), axes)


def test_smoothing_keeps_a_constant_and_periodic_smoothing_wraps() -> None:
    ones = np.ones((40, 30), np.float32)
    assert smooth_ratio(3 * ones, ones, [Smoother(ones.shape, (2.0, 3.0))]) == pytest.approx(
        3 * ones, rel=1e-5
    )
    spot = np.zeros((12, 12), np.float32)
    spot[0, 5] = 1
    smooth = Smoother(spot.shape, (1.5, 1.0), periodic=True)(spot)
    assert smooth.sum() == pytest.approx(1, rel=1e-3)
    assert smooth[11] == pytest.approx(smooth[1], rel=1e-5)
    assert smooth[1, 5] / smooth[0, 5] == pytest.approx(np.exp(-0.5 / 1.5**2), rel=1e-3)


def test_far_from_data_the_ratio_is_that_of_the_unseen() -> None:
    numerator, denominator = np.zeros((2, 60, 60), np.float32)
    numerator[:10, :10], denominator[:10, :10] = 3, 1
    ratio = smooth_ratio(numerator, denominator, [Smoother((60, 60), (1.0, 1.0))], unseen=1.0, weak=0.01)
    assert ratio[3, 3] == pytest.approx(3, rel=1e-2) and ratio[50, 50] == pytest.approx(1, rel=1e-6)
    assert smooth_ratio(numerator, denominator, [Smoother((60, 60), (1.0, 1.0))])[50, 50] == pytest.approx(3)
    assert (smooth_ratio(numerator, 0 * denominator, []) == 1).all()


def test_indices_and_cell_widths_are_those_of_the_lattice(lattice: LatticePlane) -> None:
    cell, plane = lattice.cell, lattice.plane
    indices = plane.q_points() @ cell.direct.T / (2 * np.pi)
    for found, axis in zip(lattice.fractional_indices(), lattice.axes, strict=True):
        assert np.abs(found - indices[..., axis]).max() < 1e-12
    first, second = (cell.reciprocal[axis] for axis in lattice.axes)
    shares = np.random.default_rng(0).random((20000, 2))
    pixels = (shares @ np.stack([first, second])) @ np.stack([plane.step_u, plane.step_v], 1)
    pixels /= plane.step_u @ plane.step_u
    assert lattice.cell_deviation() == pytest.approx(pixels.std(axis=0), rel=0.03)
    third = 3 - sum(lattice.axes)
    assert lattice.third_index == pytest.approx(indices[128, 128, third])
    assert lattice.inverts_onto_itself == (lattice.third_index == 0)


def test_a_plane_that_the_axes_do_not_span_is_none_of_the_lattice() -> None:
    cell = Cell(6.0, 7.5, 5.2)
    with pytest.raises(InputError, match="expected a plane spanned by axes"):
        LatticePlane(cell, plane_through(cell, (0, 1), 0.0, 7.0), (0, 2))


def test_a_constant_plane_is_normalised_to_ones() -> None:
    assert np.array_equal(unit_range(np.full((3, 3), 0.2)), np.ones((3, 3)))
    assert unit_range(np.array([[-1.0, 0.0], [1.0, 2.0]])).tolist() == [[0, 0], [0.5, 1]]


def test_spacings_of_lattice_lines() -> None:
    # gamma* is 60 degrees: lines are 2 pi / a apart, and a pixel is 14 / 256.
    cell = Cell(9.0, 12.0, 6.0, 90, 90, 120)
    lattice = LatticePlane(cell, plane_through(cell, (0, 1), 1.0, 7.0), (0, 1))
    step = 14 / 256
    assert lattice.line_spacings() == pytest.approx((2 * np.pi / 9 / step, 2 * np.pi / 12 / step))
    with pytest.raises(InputError, match="max_index is -1; expected 0 or more"):
        LatticePlane(cell, lattice.plane, (0, 1), -1)
