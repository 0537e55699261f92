"""The simulator's kernels agree with the direct sums of tests/reference.py and with `dsfunet.physics`."""

from itertools import permutations

import numpy as np
import numpy.typing as npt
import pytest

from dsfunet import physics
from dsfunet.physics import Cell, Molecule, Plane, plane_through
from simulate.crystals.kernels import form_factor_intensity, measured_range, short_range_order_intensity
from tests.reference import (
    at,
    oblique_plane,
    random_alphas,
    reference_direct,
    reference_form_factor_intensity,
    reference_q,
    reference_short_range_order,
    some_pixels,
)

TRICLINIC = Cell(6.1, 7.3, 9.2, 82.0, 103.0, 71.0)
CELLS = [Cell(5.0, 8.0, 11.0), Cell(9.0, 6.0, 9.0, 90.0, 120.0, 90.0), TRICLINIC]
ONE = (("C", "O", "C", "Fe", "H"), np.random.default_rng(1).normal(scale=2.0, size=(5, 3)))
OTHER = (("N", "C", "H", "Ag"), np.random.default_rng(2).normal(scale=2.0, size=(4, 3)))
# Single precision: a few units of 6e-8, times the atoms that may cancel.
TOLERANCE = 1e-5


def pixels_of(plane: Plane) -> npt.NDArray[np.float64]:
    """Q of some pixels."""
    return reference_q(plane.origin, plane.step_u, plane.step_v, plane.shape, some_pixels(plane.shape))


def planes() -> list[Plane]:
    """Planes in general position; one contains Q = 0, and one is not square."""
    return [
        oblique_plane(3),
        oblique_plane(4, (96, 160)),
        plane_through(TRICLINIC, (0, 2), 0.0, 8.0),
        plane_through(TRICLINIC, (2, 1), 3.0, 12.0),
    ]


@pytest.mark.parametrize("plane", planes())
@pytest.mark.parametrize("b", [0.0, 1.7])
def test_form_factor_agrees_with_the_direct_sum(plane: Plane, b: float) -> None:
    found = form_factor_intensity(Molecule(*ONE), Molecule(*OTHER), plane, 0.3, b)
    assert found.dtype == np.float32 and found.shape == plane.shape
    expected = reference_form_factor_intensity(ONE, OTHER, pixels_of(plane), 0.3, b)
    error = np.abs(at(found.astype(np.float64), some_pixels(plane.shape)) - expected)
    assert error.max() < TOLERANCE * found.max()
    whole = physics.form_factor_intensity(Molecule(*ONE), Molecule(*OTHER), plane, 0.3, b)
    assert np.abs(found - whole).max() < TOLERANCE * whole.max()


def test_far_from_the_origin_the_tables_reach() -> None:
    plane = Plane(np.array([30.0, 20.0, 0.0]), np.array([0.2, 0.0, 0.0]), np.array([0.0, 0.0, 0.2]))
    found = form_factor_intensity(Molecule(*ONE), Molecule(*OTHER), plane)
    whole = physics.form_factor_intensity(Molecule(*ONE), Molecule(*OTHER), plane)
    assert np.abs(found - whole).max() < TOLERANCE * whole.max()


def test_a_vacancy_and_one_atom() -> None:
    plane = plane_through(CELLS[0], (0, 1), 1.0, 8.0)
    copper, nothing = Molecule(("Cu",), np.zeros((1, 3))), Molecule((), np.zeros((0, 3)))
    for pair in ((copper, nothing), (nothing, copper)):
        found = form_factor_intensity(*pair, plane, 0.5)
        expected = physics.form_factor_intensity(*pair, plane, 0.5)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert (form_factor_intensity(nothing, nothing, plane) == 0).all()


def test_species_alike_scatter_nothing() -> None:
    plane = oblique_plane(5)
    found = form_factor_intensity(Molecule(*ONE), Molecule(*ONE), plane)
    assert found.max() < 1e-9 * sum(map(len, ONE[0])) ** 2


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("axes", list(permutations(range(3), 2)))
@pytest.mark.parametrize("offset", [0.0, 1.0, 2.37])
def test_short_range_order_agrees_with_the_direct_sum(
    cell: Cell, axes: tuple[int, int], offset: float
) -> None:
    plane = plane_through(cell, axes, offset, 7.0)
    alphas = random_alphas(7)
    found = short_range_order_intensity(alphas, cell, plane, axes)
    assert found.dtype == np.float32 and found.min() >= 0
    expected = reference_short_range_order(alphas, reference_direct(cell.parameters), pixels_of(plane))
    error = np.abs(at(found.astype(np.float64), some_pixels(plane.shape)) - np.maximum(expected, 0))
    assert error.max() < TOLERANCE * found.max()


def test_measured_range_by_hand() -> None:
    plane = np.array([[1.0, 5.0], [3.0, -2.0]], np.float32)
    assert measured_range(plane, np.array([[True, False], [True, False]])) == 2.0
    assert measured_range(plane, np.ones((2, 2), bool)) == 7.0
    assert measured_range(plane, np.array([[False, False], [True, False]])) == 0.0
    assert measured_range(plane, np.zeros((2, 2), bool)) == 0.0
