"""Cells, their reciprocal vectors with 2 pi, and planes of Q pixel by pixel."""

from itertools import permutations

import numpy as np
import pytest

from dsfunet.errors import InputError
from dsfunet.physics import Cell, Plane, plane_through
from tests.reference import oblique_plane, reference_direct, reference_q, reference_reciprocal

CELLS = {
    "cubic": Cell(5.0, 5.0, 5.0),
    "orthogonal": Cell(4.0, 7.0, 11.0),
    "hexagonal_unique_b": Cell(6.0, 4.0, 6.0, 90.0, 120.0, 90.0),
    "hexagonal_unique_c": Cell(14.12, 14.12, 6.934, 90.0, 90.0, 120.0),
    "monoclinic": Cell(5.0, 6.0, 7.0, 90.0, 103.0, 90.0),
    "triclinic": Cell(5.1, 6.2, 7.3, 81.0, 97.0, 112.0),
}
every_cell = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS.keys())


@every_cell
def test_direct_and_reciprocal_vectors_are_those_of_gemmi(cell: Cell) -> None:
    np.testing.assert_allclose(cell.direct, reference_direct(cell.parameters), atol=1e-12)
    np.testing.assert_allclose(cell.reciprocal, reference_reciprocal(cell.parameters), atol=1e-12)


@every_cell
def test_reciprocal_vectors_carry_two_pi(cell: Cell) -> None:
    np.testing.assert_allclose(cell.direct @ cell.reciprocal.T, 2 * np.pi * np.eye(3), atol=1e-12)


@every_cell
def test_edges_and_angles_come_back_right_handed(cell: Cell) -> None:
    edges = np.linalg.norm(cell.direct, axis=1)
    cosines = (cell.direct @ cell.direct.T) / np.outer(edges, edges)
    np.testing.assert_allclose(edges, cell.parameters[:3])
    angles = np.degrees(np.arccos([cosines[1, 2], cosines[0, 2], cosines[0, 1]]))
    np.testing.assert_allclose(angles, cell.parameters[3:])
    assert np.linalg.det(cell.direct) > 0
    assert cell.direct[0, 1] == cell.direct[0, 2] == cell.direct[1, 2] == 0.0


def test_d_spacings_worked_out_by_hand() -> None:
    assert np.linalg.norm(CELLS["cubic"].reciprocal[0]) == pytest.approx(2 * np.pi / 5)
    hexagonal = CELLS["hexagonal_unique_b"]
    assert np.linalg.norm(hexagonal.reciprocal[0]) == pytest.approx(4 * np.pi / (np.sqrt(3) * 6))
    assert np.linalg.norm(hexagonal.reciprocal[1]) == pytest.approx(2 * np.pi / 4)
    assert np.linalg.det(hexagonal.direct) == pytest.approx(np.sqrt(3) / 2 * 6 * 6 * 4)


def test_right_angles_leave_exact_zeros() -> None:
    np.testing.assert_array_equal(Cell(4, 7, 11).direct, np.diag([4.0, 7.0, 11.0]))


def test_a_cell_is_its_six_numbers() -> None:
    assert Cell(4, 7, 11) == Cell(4.0, 7.0, 11.0, 90.0, 90.0, 90.0)
    assert Cell(4, 7, 11) != Cell(4, 7, 11, 91)
    with pytest.raises(ValueError, match="read-only"):
        Cell(4, 7, 11).direct[0, 0] = 5.0


@pytest.mark.parametrize("wrong", [0.0, -5.0, np.nan, np.inf])
@pytest.mark.parametrize("which", range(6))
def test_a_cell_refuses_numbers_that_are_no_lengths_or_angles(wrong: float, which: int) -> None:
    parameters = [5.0, 6.0, 7.0, 90.0, 90.0, 90.0]
    parameters[which] = wrong
    with pytest.raises(InputError, match=r"^cell \(.*expected six finite positive numbers"):
        Cell(*parameters)


@pytest.mark.parametrize(
    "angles", [(130, 130, 130), (60, 60, 120), (30, 40, 100), (180, 90, 90), (90, 90, 180)]
)
def test_a_cell_refuses_angles_that_do_not_close(angles: tuple[float, float, float]) -> None:
    with pytest.raises(InputError, match=r"its angles do not form a cell; expected a positive volume$"):
        Cell(5, 6, 7, *angles)


@pytest.mark.parametrize("shape", [(256, 256), (8, 6), (7, 4), (1, 3)])
def test_q_points_are_affine_in_the_pixel_indices(shape: tuple[int, int]) -> None:
    plane = oblique_plane(2, shape)
    pixels = [(i, j) for i in range(shape[0]) for j in range(shape[1])]
    expected = reference_q(plane.origin, plane.step_u, plane.step_v, shape, pixels)
    np.testing.assert_allclose(plane.q_points().reshape(-1, 3), expected, atol=1e-13)
    np.testing.assert_allclose(plane.q_squared().reshape(-1), np.sum(expected**2, axis=1), atol=1e-12)


def test_the_origin_lies_on_the_central_pixel() -> None:
    plane = oblique_plane(3)
    np.testing.assert_array_equal(plane.q_points()[128, 128], plane.origin)


def test_q_squared_is_not_negative_where_rounding_would_make_it_so() -> None:
    step_u, step_v = np.array([0.03, 0.01, 0.02]) / 3, np.array([0.01, -0.03, 0.007]) / 7
    plane = Plane(-(100 * step_u + 90 * step_v), step_u, step_v)  # Q = 0 falls on pixel (228, 218)
    squared = plane.q_squared()
    assert squared.min() >= 0.0
    assert squared[228, 218] == pytest.approx(0.0, abs=1e-14)


def test_phase_factors_multiply_to_the_phase() -> None:
    plane = oblique_plane(4, (9, 8))
    positions = np.random.default_rng(5).normal(scale=5.0, size=(4, 3))
    origin, rows, columns = plane.phase_factors(positions)
    product = origin * rows[:, None, :] * columns[None, :, :]
    np.testing.assert_allclose(product, np.exp(1j * plane.q_points() @ positions.T), atol=1e-12)


def test_a_plane_keeps_its_own_copy() -> None:
    origin = np.zeros(3)
    plane = Plane(origin, np.array([1.0, 0, 0]), np.array([0, 1.0, 0]))
    origin[0] = 9.0
    assert plane.origin[0] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        plane.origin[0] = 1.0


@pytest.mark.parametrize("name", ["origin", "step_u", "step_v"])
@pytest.mark.parametrize("wrong", [[1.0, 2.0], [np.nan, 0.0, 0.0], [[1.0, 0.0, 0.0]], [np.inf, 0.0, 0.0]])
def test_a_plane_refuses_what_is_no_vector(name: str, wrong: list[float]) -> None:
    vectors = {"origin": [0.0, 0, 0], "step_u": [0.1, 0, 0], "step_v": [0, 0.1, 0], name: wrong}
    with pytest.raises(InputError, match=f"^plane {name}: found .*; expected three finite numbers"):
        Plane(**{key: np.array(value) for key, value in vectors.items()})


@pytest.mark.parametrize("step_v", [[0.2, 0.4, -0.6], [0.0, 0.0, 0.0], [-0.1, -0.2, 0.3]])
def test_a_plane_refuses_parallel_steps(step_v: list[float]) -> None:
    with pytest.raises(InputError, match=r"^plane: its steps are parallel or zero"):
        Plane(np.zeros(3), np.array([0.1, 0.2, -0.3]), np.array(step_v))


@every_cell
@pytest.mark.parametrize("axes", list(permutations(range(3), 2)))
def test_plane_through_is_one_layer_on_square_pixels(cell: Cell, axes: tuple[int, int]) -> None:
    third = 3 - sum(axes)
    plane = plane_through(cell, axes, 1.5, 7.0)
    step = 2 * 7.0 / 256
    assert np.linalg.norm(plane.step_u) == pytest.approx(step)
    assert np.linalg.norm(plane.step_v) == pytest.approx(step)
    assert plane.step_u @ plane.step_v == pytest.approx(0.0, abs=1e-15)
    # Q = 2 pi (h a* + k b* + l c*), so the direct vectors give the indices back.
    indices = plane.q_points() @ cell.direct.T / (2 * np.pi)
    np.testing.assert_allclose(indices[..., third], 1.5, atol=1e-12)
    np.testing.assert_allclose(indices[128, 128, list(axes)], 0.0, atol=1e-12)
    along_rows = (plane.q_points()[200, 128] - plane.origin) @ cell.direct.T
    assert along_rows[axes[0]] > 0
    np.testing.assert_allclose(np.delete(along_rows, axes[0]), 0.0, atol=1e-12)
    assert np.linalg.norm(plane.q_points()[0, 128] - plane.origin) == pytest.approx(7.0)


def test_plane_through_takes_other_sizes() -> None:
    assert plane_through(CELLS["cubic"], (0, 1), 0.0, 8.0, pixels=64).shape == (64, 64)


@pytest.mark.parametrize("axes", [(0, 0), (0, 3), (-1, 1)])
def test_plane_through_refuses_what_are_no_two_axes(axes: tuple[int, int]) -> None:
    with pytest.raises(InputError, match=r"^axes \(.*expected two different numbers from 0, 1, 2$"):
        plane_through(CELLS["cubic"], axes, 0.0, 8.0)


@pytest.mark.parametrize("q_max", [0.0, -8.0, np.nan])
def test_plane_through_refuses_a_range_that_is_none(q_max: float) -> None:
    with pytest.raises(InputError, match=r"^q_max is .*; expected a positive number"):
        plane_through(CELLS["cubic"], (0, 1), 0.0, q_max)


def test_plane_through_refuses_an_offset_that_is_no_number() -> None:
    with pytest.raises(InputError, match=r"^plane origin: found .*; expected three finite numbers"):
        plane_through(CELLS["cubic"], (0, 1), np.nan, 8.0)
