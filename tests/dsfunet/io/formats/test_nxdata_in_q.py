"""NXdata whose axes are components of Q, which need a unit cell or a UB matrix."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from dsfunet.errors import InputError
from dsfunet.io import MeasuredPlane, read_plane
from dsfunet.physics import Cell
from tests.dsfunet.marked_volume import CELL


def turned_by(ub: np.ndarray | None) -> np.ndarray:
    """The matrix, or that of the cell with a* along x and b* in the x-y plane."""
    reciprocal = Cell(*CELL).reciprocal / (2 * np.pi)
    return np.linalg.cholesky(reciprocal @ reciprocal.T).T if ub is None else ub


def check_linear(plane: MeasuredPlane, ub: np.ndarray, reach: float) -> None:
    """Values are 1000 + 100 h + 10 k + l wherever all components of Q are below `reach`."""
    assert plane.grid is not None
    hkl = plane.grid.hkl()
    inside = (np.abs(2 * np.pi * hkl @ ub.T) < reach).all(axis=2)
    assert inside.sum() > 100
    np.testing.assert_allclose(plane.intensity[inside], (1000 + hkl @ [100, 10, 1])[inside], rtol=1e-6)


def in_q(path: Path, ub: np.ndarray | None, q: np.ndarray, counts: tuple[int, int, int]) -> None:
    """An NXdata over Qx, Qy, Qz with the values 1000 + 100 h + 10 k + l, the cell, and perhaps a UB matrix."""
    axes = [q[n] * (np.arange(counts[n]) - counts[n] // 2) for n in range(3)]
    turn = turned_by(ub)
    grid = np.stack(np.meshgrid(*axes, indexing="ij"))
    h, k, l = np.einsum("ij,jxyz->ixyz", np.linalg.inv(2 * np.pi * turn), grid)  # noqa: E741
    with h5py.File(path, "w") as file:
        file.attrs["default"] = "e"
        file.create_group("e").attrs["default"] = "d"
        data = file.create_group("e/d")
        data.attrs.update({"NX_class": "NXdata", "signal": "v", "axes": ["Qx", "Qy", "Qz"]})
        data["v"] = 1000 + 100 * h + 10 * k + l
        for name, values in zip(("Qx", "Qy", "Qz"), axes, strict=True):
            data[name] = values
            data[name].attrs["units"] = "1/angstrom"
        sample = file.create_group("e/sample")
        sample.attrs["NX_class"] = "NXsample"
        if ub is not None:
            sample["ub_matrix"] = ub
        sample["unit_cell"] = np.array(CELL)


@pytest.mark.parametrize("turned", [False, True])
def test_axes_along_components_of_q(tmp_path: Path, turned: bool) -> None:
    """Monoclinic, so that l runs along no component; values linear in h, k, l are interpolated exactly."""
    ub = None
    if turned:
        cosine, sine = np.cos(0.4), np.sin(0.4)
        ub = (
            np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
            @ Cell(*CELL).reciprocal.T
            / (2 * np.pi)
        )
    in_q(tmp_path / "q.nxs", ub, np.full(3, 0.1), (41, 41, 41))
    for name in ("hk0", "h1l", "hhl"):
        plane = read_plane(tmp_path / "q.nxs", name)
        assert plane.cell == Cell(*CELL)
        check_linear(plane, turned_by(ub), 1.9)
        assert any("assumed" in note for note in plane.notes) != turned


def test_components_of_q_need_a_cell_or_a_matrix(tmp_path: Path) -> None:
    in_q(tmp_path / "q.nxs", None, np.full(3, 0.1), (21, 21, 21))
    with h5py.File(tmp_path / "q.nxs", "a") as file:
        del file["e/sample/unit_cell"]
    with pytest.raises(
        InputError, match="the axes are Qx, Qy, Qz in 1/Angstrom; give the orientation with --ub, or"
    ):
        read_plane(tmp_path / "q.nxs", "hk0")
    plane = read_plane(tmp_path / "q.nxs", "hk0", cell=Cell(*CELL))
    check_linear(plane, turned_by(None), 0.9)


def test_the_ub_matrix_gives_the_cell_and_is_checked_against_it(tmp_path: Path) -> None:
    """A file with a matrix alone has the cell of the matrix; one that includes 2 pi is told by the file's cell."""
    matrix = Cell(*CELL).reciprocal.T / (2 * np.pi)
    in_q(tmp_path / "q.nxs", matrix, np.full(3, 0.1), (21, 21, 21))
    with h5py.File(tmp_path / "q.nxs", "a") as file:
        sample = file["e/sample"]
        del sample["unit_cell"]
    plane = read_plane(tmp_path / "q.nxs", "hk0")
    assert plane.grid is not None and any("the unit cell comes from the UB matrix" in n for n in plane.notes)
    np.testing.assert_allclose(plane.grid.cell.parameters, CELL, rtol=1e-9)
    with h5py.File(tmp_path / "q.nxs", "a") as file:
        file["e/sample/unit_cell"] = np.array(CELL)
        file["e/sample/ub_matrix"][...] = 2 * np.pi * matrix
    again = read_plane(tmp_path / "q.nxs", "hk0")
    np.testing.assert_allclose(again.intensity, plane.intensity, atol=1e-9)
    assert any("includes the factor 2 pi, as the unit cell shows" in note for note in again.notes)
    with h5py.File(tmp_path / "q.nxs", "a") as file:
        file["e/sample/ub_matrix"][...] = 1.2 * matrix
    with pytest.raises(InputError, match=r"the UB matrix gives the unit cell 5 .*, and the cell is 6 7 8 "):
        read_plane(tmp_path / "q.nxs", "hk0")
