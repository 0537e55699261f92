"""Unit cells of Yell's layout: invalid ones, metric tensors, and axes of another cell."""

from pathlib import Path

import numpy as np
import pytest

from dsfunet.errors import InputError
from dsfunet.io import read_plane
from dsfunet.physics import Cell
from tests.dsfunet.io.formats.test_yell import CELL, write


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ((1, 1, 1, 90, 90, 90), "which is a placeholder"),
        ((0, 0, 0, 0, 0, 0), "is not a valid cell"),
        ((5, 5, 5, 10, 10, 100), "do not form a cell"),
        ((5, np.nan, 5, 90, 90, 90), "is not a valid cell"),
    ],
)
def test_invalid_cells_are_refused(tmp_path: Path, cell: tuple[float, ...], message: str) -> None:
    with pytest.raises(InputError, match=f'{message}.*; give one with --cell "a b c'):
        read_plane(write(tmp_path / "v.h5", unit_cell=np.array(cell, float)), "hk0")
    path = write(tmp_path / "w.h5", unit_cell=np.array(cell, float), data=np.full((256, 256, 3), 2.0))
    measured = read_plane(path, "hk-1")
    assert measured.grid is None and measured.intensity.shape == (256, 256)
    assert len(measured.notes) == 1 and "without axes" in measured.notes[0]


def metric(*cell: float) -> np.ndarray:
    return np.asarray(Cell(*cell).direct @ Cell(*cell).direct.T)


def test_metric_tensor_where_there_is_no_cell(tmp_path: Path) -> None:
    measured = read_plane(write(tmp_path / "v.h5", drop=("unit_cell",), metric_tensor=metric(*CELL)), "hk0")
    assert measured.cell is not None and "metric_tensor" in measured.notes[0]
    np.testing.assert_allclose(measured.cell.parameters, CELL, rtol=1e-9)


def test_metric_tensor_that_agrees_gives_no_note(tmp_path: Path) -> None:
    measured = read_plane(write(tmp_path / "v.h5", metric_tensor=metric(*CELL)), "hk0")
    assert measured.cell == Cell(*CELL) and measured.notes == ()


def test_axes_of_a_transformed_cell(tmp_path: Path) -> None:
    """Meerkat's unit_cell_transform_matrix: the axes and metric_tensor are transformed, unit_cell is not."""
    measured = read_plane(write(tmp_path / "v.h5", metric_tensor=metric(12, 7, 8, 90, 100, 90)), "hk0")
    assert measured.cell is not None and measured.cell.a == pytest.approx(12)
    assert "unit_cell disagrees with metric_tensor" in measured.notes[0]


def test_axes_on_an_orthonormal_basis_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="so the axes are in 1/Angstrom and not h, k, l of a cell; give one with --cell"
    ):
        read_plane(write(tmp_path / "v.h5", metric_tensor=np.eye(3)), "hk0")
