"""Mantid's workspaces whose dimensions run along any directions of reciprocal space, or are one bin thick."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from dsfunet.errors import InputError
from dsfunet.inspection.describe import inspect
from dsfunet.io import read_plane
from tests.dsfunet.io.formats.test_mantid import in_data, ub_matrix, write
from tests.dsfunet.io.largest_read import note_largest_read
from tests.dsfunet.marked_volume import edges


def projected(path: Path, matrix: np.ndarray, names: tuple[str, ...], half: int = 8) -> Path:
    """Bins around hkl = matrix @ d, d from -2 to 2 in steps of 1/4, with the value 100 h + 10 k + l."""
    d = 0.25 * np.arange(-half, half + 1)
    h, k, l = np.einsum("ij,jxyz->ixyz", matrix, np.stack(np.meshgrid(d, d, d, indexing="ij")))  # noqa: E741

    def change(workspace: h5py.Group) -> None:
        shape = (len(d),) * 3
        for name, values in (
            ("signal", (1000 + 100 * h + 10 * k + l).transpose(2, 1, 0)),
            ("errors_squared", np.full(shape, 4.0)),
            ("num_events", np.ones(shape)),
            ("mask", np.zeros(shape, np.int8)),
        ):
            in_data(name, values)(workspace)
        for number, name in enumerate(names):
            in_data(f"D{number}", edges(d), long_name=name)(workspace)
        workspace["experiment0/logs/W_MATRIX/value"][...] = matrix.ravel()

    return write(path, change=change)


@pytest.mark.parametrize(
    ("matrix", "names"),
    [
        ([[1, 1, 0], [1, -1, 0], [0, 0, 1]], ("[H,H,0]", "[H,-H,0]", "[0,0,L]")),
        ([[1, -1 / 3, 0], [0, 2 / 3, 0], [0, 0, 1]], ("[H,0,0]", "[-0.333K,0.667K,0]", "[0,0,L]")),
        ([[0, 1, 0], [0, 0, 1], [1, 1, 0]], ("[0,0,L]", "[H,0,H]", "[0,K,0]")),
    ],
)
def test_other_projections_are_interpolated(
    tmp_path: Path, matrix: list[list[float]], names: tuple[str, ...]
) -> None:
    """Values linear in h, k, l are interpolated exactly; there are none beyond the bins."""
    turn = np.array(matrix, float)
    path, far = projected(tmp_path / "w.nxs", turn, names), 0
    for name, fixed, value in (("hk1", 2, 1.0), ("h0l", 1, 0.0), ("1kl", 0, 1.0)):
        measured = read_plane(path, name)
        grid = measured.grid
        assert grid is not None and str(grid.name) == name and measured.sigma is not None
        first, second = (axis for axis in range(3) if axis != fixed)
        hkl = np.full((3, *grid.shape), value)
        hkl[first], hkl[second] = grid.rows[:, None], grid.columns
        inside = (np.abs(np.einsum("ij,jxy->ixy", np.linalg.inv(turn), hkl)) <= 2 + 1e-9).all(axis=0)
        expected = 1000 + 100 * hkl[0] + 10 * hkl[1] + hkl[2]
        assert inside.sum() > 40
        np.testing.assert_allclose(measured.intensity[inside], expected[inside], rtol=1e-9)
        np.testing.assert_allclose(measured.sigma[inside], 2.0)
        beyond = (np.abs(np.einsum("ij,jxy->ixy", np.linalg.inv(turn), hkl)) > 2.25).any(axis=0)
        assert np.isnan(measured.intensity[beyond]).all()
        far += int(beyond.sum())
    assert far > 100 and any("interpolated onto a grid of h, k, l" in note for note in measured.notes)


def test_interpolating_reads_the_layers_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """l is an axis of its own, so hk1 takes one layer of [H,H,0] and [H,-H,0], 17 x 17 bins."""
    path = projected(
        tmp_path / "w.nxs", np.array([[1.0, 1, 0], [1, -1, 0], [0, 0, 1]]), ("[H,H,0]", "[H,-H,0]", "[0,0,L]")
    )
    largest = note_largest_read(monkeypatch)
    read_plane(path, "hk1")
    assert largest[0] == 17 * 17


def spanned(
    path: Path,
    names: tuple[str, str, str],
    shape: tuple[int, int, int],
    frame: str = "HKL",
    matrix: Any = None,
) -> Path:
    """A workspace of which one dimension has one bin, whose values tell the indices of the other two, 100 u + v."""
    centres = [np.array([0.25]) if count == 1 else 0.5 * (np.arange(count) - count // 2) for count in shape]
    thick = [dimension for dimension, count in enumerate(shape) if count > 1]

    def change(workspace: h5py.Group) -> None:
        u, v = (centres[dimension] for dimension in thick)
        values = (1000 + 100 * u[:, None] + v).reshape(shape)
        for name, array in (
            ("signal", values),
            ("errors_squared", np.full(shape, 4.0)),
            ("num_events", np.ones(shape)),
            ("mask", np.zeros(shape, np.int8)),
        ):
            in_data(name, array.transpose(2, 1, 0))(workspace)
        for number, name in enumerate(names):
            step = 0.5 if shape[number] > 1 else 0.2
            centre = centres[number]
            limits = np.append(centre - step / 2, centre[-1] + step / 2)
            in_data(f"D{number}", limits, long_name=name, frame=frame)(workspace)
        del workspace["experiment0/logs"]
        if matrix is not None:
            workspace["experiment0/logs/W_MATRIX/value"] = np.ravel(matrix)

    return write(path, change=change)


@pytest.mark.parametrize(
    ("names", "shape", "plane", "through"),
    [
        (("[H,H,0]", "[H,-H,0]", "[0,0,L]"), (9, 1, 11), "hhl", (0.25, -0.25, 0)),
        (("[0.5H,0.5H,0]", "[0.5H,-0.5H,0]", "[0,0,L]"), (9, 11, 1), "h k 0.25", (0, 0, 0.25)),
        (("[H,H,0]", "[H,-H,0]", "[0,0,L]"), (1, 9, 11), "[1 -1 0] [0 0 1] + [0.25 0.25 0]", (0.25, 0.25, 0)),
        (("[HH0]", "[H-H0]", "[00L]"), (9, 1, 11), "hhl", (0.25, -0.25, 0)),
    ],
)
def test_a_plane_one_bin_thick_in_any_direction(
    tmp_path: Path,
    names: tuple[str, str, str],
    shape: tuple[int, int, int],
    plane: str,
    through: tuple[float, ...],
) -> None:
    path = spanned(tmp_path / "w.nxs", names, shape)
    name = plane if plane != "hhl" else "[1 1 0] [0 0 1] + [0.25 -0.25 0]"
    for wanted in (None, name):
        measured = read_plane(path, wanted)
        grid = measured.grid
        assert grid is not None and measured.sigma is not None and (measured.sigma == 2).all()
        np.testing.assert_allclose(grid.name.origin, through)
        np.testing.assert_allclose(measured.intensity, 1000 + 100 * grid.rows[:, None] + grid.columns)
    with pytest.raises(
        InputError, match=r"plane h1l: the file holds plane .* alone; request that plane or none"
    ):
        read_plane(path, "h1l")
    assert any(label == "planes" and "spanned by two vectors" in text for label, text in inspect(path).lines)


def test_a_diagonal_plane_is_factorised_on_its_own_grid(tmp_path: Path) -> None:
    """hkl of a pixel: half steps along both diagonals."""
    path = spanned(tmp_path / "w.nxs", ("[0.5H,0.5H,0]", "[0.5H,-0.5H,0]", "[0,0,L]"), (9, 11, 1))
    grid = read_plane(path).grid
    assert grid is not None and grid.name.title == "h k 0.25"
    np.testing.assert_allclose(grid.hkl()[8, 5], [1, 1, 0.25])
    np.testing.assert_allclose(grid.hkl()[4, 10], [1.25, -1.25, 0.25])


def test_an_energy_axis_of_one_bin_instead_of_l(tmp_path: Path) -> None:
    path = spanned(tmp_path / "w.nxs", ("[H,0,0]", "[0,K,0]", "DeltaE"), (9, 11, 1))
    with h5py.File(path, "a") as file:
        file["MDHistoWorkspace/data/D2"].attrs["frame"] = "General Frame"
    measured = read_plane(path, "hk0")
    assert measured.intensity.shape == (9, 11)
    assert any("does not give the l of the plane" in note for note in measured.notes)


def test_a_general_frame_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = spanned(tmp_path / "w.nxs", ("[H,0,0]", "[0,K,0]", "[0,0,L]"), (9, 11, 1), frame="General Frame")
    with pytest.raises(
        InputError, match=r"General Frame; expected HKL \(if its axes are h, k, l, say so with SetMDFrame"
    ):
        read_plane(path, "hk0")


def test_q_of_the_sample_is_turned_by_the_matrix(tmp_path: Path) -> None:
    """Values 1000 + 100 h + 10 k + l on a grid of Q_sample."""
    q = 0.2 * np.arange(-15, 16)
    grid = np.stack(np.meshgrid(q, q, q, indexing="ij"))
    h, k, l = np.einsum("ij,jxyz->ixyz", np.linalg.inv(2 * np.pi * ub_matrix()), grid)  # noqa: E741

    def change(workspace: h5py.Group) -> None:
        shape = (31, 31, 31)
        for name, array in (
            ("signal", (1000 + 100 * h + 10 * k + l).transpose(2, 1, 0)),
            ("errors_squared", np.full(shape, 4.0)),
            ("num_events", np.ones(shape)),
            ("mask", np.zeros(shape, np.int8)),
        ):
            in_data(name, array)(workspace)
        for number, name in enumerate(("Q_sample_x", "Q_sample_y", "Q_sample_z")):
            in_data(f"D{number}", edges(q), long_name=name, frame="QSample", units="Angstrom^-1")(workspace)

    path = write(tmp_path / "w.nxs", change=change)
    for plane in ("hk0", "h1l"):
        measured = read_plane(path, plane)
        assert measured.grid is not None
        hkl = measured.grid.hkl()
        inside = (np.abs(2 * np.pi * hkl @ ub_matrix().T) < 2.9).all(axis=2)
        assert inside.sum() > 200
        np.testing.assert_allclose(measured.intensity[inside], (1000 + hkl @ [100, 10, 1])[inside], rtol=1e-6)


def test_directions_in_one_plane_are_refused(tmp_path: Path) -> None:
    path = projected(
        tmp_path / "w.nxs",
        np.array([[1.0, 1, 0], [1, -1, 2], [0, 0, 0]]),
        ("[H,H,0]", "[H,-H,0]", "[0,2K,0]"),
    )
    with pytest.raises(InputError, match="do not span three dimensions"):
        read_plane(path, "hk0")
