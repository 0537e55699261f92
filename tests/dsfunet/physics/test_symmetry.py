"""Laue classes as matrices, orbits and shells: counts known from crystallography, cells that do and do not fit."""

import numpy as np
import pytest

from dsfunet.errors import InputError
from dsfunet.physics import Cell
from dsfunet.physics.symmetry import (
    LAUE_CLASSES,
    laue_rotations,
    nearest_shells,
    orbits_of,
    plane_operations,
    symmetric_metric,
)

CELLS = {
    "-1": Cell(5, 6, 7, 80, 95, 103),
    "2/m": Cell(5, 6, 7, 90, 103, 90),
    "mmm": Cell(5, 6, 7),
    "4/m": Cell(5, 5, 7),
    "4/mmm": Cell(5, 5, 7),
    "-3": Cell(5, 5, 7, 90, 90, 120),
    "-3m1": Cell(5, 5, 7, 90, 90, 120),
    "-31m": Cell(5, 5, 7, 90, 90, 120),
    "6/m": Cell(5, 5, 7, 90, 90, 120),
    "6/mmm": Cell(5, 5, 7, 90, 90, 120),
    "m-3": Cell(5, 5, 5),
    "m-3m": Cell(5, 5, 5),
    "-3:R": Cell(5, 5, 5, 80, 80, 80),
    "-3m:R": Cell(5, 5, 5, 80, 80, 80),
}
ORDERS = {
    "-1": 2,
    "2/m": 4,
    "mmm": 8,
    "4/m": 8,
    "4/mmm": 16,
    "-3": 6,
    "-3m1": 12,
    "-31m": 12,
    "6/m": 12,
    "6/mmm": 24,
    "m-3": 24,
    "m-3m": 48,
    "-3:R": 6,
    "-3m:R": 12,
}


def orbit_size(vector: tuple[int, int, int], laue: str, unique_axis: str | None = None) -> int:
    (orbit,) = orbits_of([vector], laue_rotations(laue, unique_axis), np.eye(3))
    return len(orbit.vectors)


@pytest.mark.parametrize("laue", LAUE_CLASSES)
def test_a_class_is_a_group_of_the_right_order_with_inversion(laue: str) -> None:
    rotations = laue_rotations(laue)
    elements = {r.tobytes() for r in rotations}
    assert len(rotations) == len(elements) == ORDERS[laue]
    assert (-np.eye(3, dtype=np.int64)).tobytes() in elements
    assert {(a @ b).tobytes() for a in rotations for b in rotations} == elements
    assert (
        orbit_size((1, 3, 5), laue) == ORDERS[laue]
    )  # a general vector has as many equivalents as operations


@pytest.mark.parametrize("laue", LAUE_CLASSES)
def test_operations_keep_the_metric_of_a_cell_that_obeys_them(laue: str) -> None:
    cell = CELLS[laue]
    metric = cell.direct @ cell.direct.T
    np.testing.assert_allclose(symmetric_metric(cell, laue), metric, atol=1e-9)
    for rotation in laue_rotations(laue):
        np.testing.assert_allclose(rotation.T @ metric @ rotation, metric, atol=1e-9)


@pytest.mark.parametrize(
    ("vector", "laue", "size"),
    [
        ((1, 0, 0), "6/m", 6),
        ((2, 1, 0), "6/m", 6),
        ((3, 1, 0), "6/m", 6),
        ((3, 1, 0), "6/mmm", 12),
        ((0, 0, 1), "6/mmm", 2),
        ((1, 0, 0), "-3", 6),
        ((1, 0, 1), "-3m1", 12),
        ((2, 1, 1), "-3m1", 6),
        ((1, 0, 1), "-31m", 6),
        ((2, 1, 1), "-31m", 12),
        ((1, 1, 0), "m-3m", 12),
        ((1, 1, 1), "m-3m", 8),
        ((2, 1, 0), "m-3m", 24),
        ((2, 1, 0), "m-3", 12),
        ((2, 1, 0), "4/m", 4),
        ((2, 1, 0), "4/mmm", 8),
        ((1, 1, 0), "2/m", 4),
        ((1, 0, 1), "2/m", 2),
        ((1, 1, 1), "-3m:R", 2),
    ],
)
def test_orbit_sizes(vector: tuple[int, int, int], laue: str, size: int) -> None:
    assert orbit_size(vector, laue) == size


def test_unique_axes_only_change_names() -> None:
    assert orbit_size((1, 0, 1), "2/m", "c") == 4 and orbit_size((1, 1, 0), "2/m", "c") == 2
    assert orbit_size((0, 1, 0), "6/m", "b") == 2 and orbit_size((1, 0, 0), "6/m", "b") == 6
    metric = symmetric_metric(Cell(9, 7, 9, 90, 120, 90), "6/m", "b")
    lengths = [shell.length_angstrom for shell in nearest_shells(3, laue_rotations("6/m", "b"), metric, 1)]
    np.testing.assert_allclose(lengths, [9, 9 * np.sqrt(3), 18])
    for rotation in laue_rotations("4/m", "a"):
        assert abs(rotation[0, 0]) == 1 and round(abs(np.linalg.det(rotation))) == 1


def test_shells_go_by_length_and_hold_inequivalent_orbits_of_equal_length() -> None:
    rotations, metric = laue_rotations("6/m"), symmetric_metric(CELLS["6/m"], "6/m")
    orbits = nearest_shells(5, rotations, metric, 2)
    assert [orbit.name for orbit in orbits] == ["1 0 0", "2 1 0", "2 0 0", "3 1 0", "1 3 0", "3 0 0"]
    squares = np.array([orbit.length_angstrom for orbit in orbits]) ** 2 / 25
    np.testing.assert_allclose(squares, [1, 3, 4, 7, 7, 9])
    cubic = nearest_shells(9, laue_rotations("m-3m"), symmetric_metric(CELLS["m-3m"], "m-3m"))
    assert [len(orbit.vectors) for orbit in cubic] == [6, 12, 8, 6, 24, 24, 12, 6, 24, 24]


@pytest.mark.parametrize("laue", LAUE_CLASSES)
def test_shells_leave_no_vector_out(laue: str) -> None:
    cell = CELLS[laue]
    orbits = nearest_shells(6, laue_rotations(laue), symmetric_metric(cell, laue))
    found = np.concatenate([orbit.vectors for orbit in orbits])
    assert len(np.unique(found, axis=0)) == len(found)
    grid = np.stack(np.meshgrid(*[np.arange(-6, 7)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    lengths = np.linalg.norm(grid @ cell.direct, axis=1)
    farthest = max(orbit.length_angstrom for orbit in orbits)
    assert len(found) == ((lengths > 0) & (lengths < farthest + 1e-6)).sum()


def test_the_plane_keeps_only_its_own_vectors() -> None:
    rotations, metric = laue_rotations("m-3m"), symmetric_metric(CELLS["m-3m"], "m-3m")
    (orbit,) = orbits_of([(0, 0, 1)], rotations, metric, fixed_axis=2)
    assert orbit.name == "1 0 0" and len(orbit.vectors) == 4
    with pytest.raises(InputError, match="component along c"):
        orbits_of([(1, 1, 1)], rotations, metric, fixed_axis=2)


def test_operations_that_keep_a_layer() -> None:
    rotations = laue_rotations("4/mmm")
    counts = [len(plane_operations(rotations, 2, offset, periodic=False)) for offset in (0, 0.5, 0.3, 1)]
    assert counts == [16, 8, 8, 8]
    counts = [len(plane_operations(rotations, 2, offset, periodic=True)) for offset in (0, 0.5, 0.3, 1)]
    assert counts == [16, 16, 8, 16]


@pytest.mark.parametrize(
    ("laue", "cell", "axis", "message"),
    [
        ("6/m", Cell(5, 5, 7), None, "cell 5 5 7 90 90 90: it does not obey Laue class 6/m"),
        ("4/m", Cell(5, 5.2, 7), None, "expected a cell such as 5.101 5.101 7 90 90 90"),
        ("6/m", Cell(9, 7, 9, 90, 120, 90), None, "or --unique-axis b, which fits"),
        ("2/m", Cell(5, 6, 7, 90, 90, 103), None, "or --unique-axis c, which fits"),
        ("m-3m", Cell(5, 5, 7), None, "does not obey"),
        ("-3m:R", Cell(5, 5, 7, 90, 90, 120), None, "does not obey"),
        ("5/m", Cell(5, 5, 7), None, "Laue class '5/m': expected one of -1, 2/m"),
        ("mmm", Cell(5, 6, 7), "b", "Laue class mmm has no unique axis"),
    ],
)
def test_cells_and_classes_that_do_not_fit(laue: str, cell: Cell, axis: str | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        symmetric_metric(cell, laue, axis)


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ([(0, 0, 0)], "alpha is 1 by definition"),
        ([(1, 0, 0), (0, -1, 0)], "vector 0 -1 0: it is equivalent to 1 0 0; name each orbit once"),
    ],
)
def test_vectors_that_make_no_parameters(vectors: list[tuple[int, int, int]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        orbits_of(vectors, laue_rotations("4/m"), np.eye(3))


def test_a_measured_cell_need_not_obey_to_the_last_digit() -> None:
    metric = symmetric_metric(Cell(14.12, 14.14, 6.93, 90.1, 89.9, 120.1), "6/m")
    assert metric[0, 0] == pytest.approx(metric[1, 1]) == pytest.approx(-2 * metric[0, 1])
