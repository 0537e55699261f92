"""Arrays without HDF5 or with MATLAB's: .npz and .mat with axes, .npy volumes with axes from options or a side file."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from dsfunet.cli.main import main
from dsfunet.errors import InputError
from dsfunet.inspection.describe import inspect
from dsfunet.io import ReadOptions, read_plane
from dsfunet.io.read_options import parse_array_axes, parse_read_options
from dsfunet.physics import Cell
from tests.dsfunet.marked_volume import AXES, CELL, H, K, L, check, edges, volume


def matlab73(path: Path, arrays: dict[str, Any]) -> None:
    """As MATLAB writes it: 512 bytes before the HDF5 part, dimensions reversed, the class of each variable."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            file[name] = np.atleast_2d(np.asarray(array, dtype=float)).T
            file[name].attrs["MATLAB_class"] = np.bytes_("double")
    with path.open("r+b") as stream:
        stream.write(
            b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Jan  1 00:00:00 2024 HDF5 schema 1.00 ."
        )
        stream.seek(124)
        stream.write(b"\x00\x02IM")


def save(path: Path, arrays: dict[str, Any], kind: str) -> Path:
    if kind == "npz":
        with path.open("wb") as stream:
            np.savez(stream, **arrays)
    elif kind == "mat5":
        savemat(path, arrays, appendmat=False)
    else:
        matlab73(path, arrays)
    return path


KINDS = ("npz", "mat5", "mat73")


@pytest.mark.parametrize("kind", KINDS)
def test_volumes_with_their_axes_and_cell(tmp_path: Path, kind: str) -> None:
    arrays = {"data": volume(), "h": H, "k": K, "l": L, "unit_cell": np.array(CELL)}
    measured = check(save(tmp_path / "a", arrays, kind))
    assert "array order in the file: [h, k, l]" in measured.notes


@pytest.mark.parametrize("kind", KINDS)
def test_grids_of_coordinates_tell_their_dimensions(tmp_path: Path, kind: str) -> None:
    """As meshgrid makes them, in the order k, h, l of MATLAB."""
    k, h, l = np.meshgrid(K, H, L)  # noqa: E741
    order = (1, 0, 2)
    arrays = {
        "I": volume().transpose(order),
        "H": h.transpose(order),
        "K": k.transpose(order),
        "L": l.transpose(order),
    }
    path = save(tmp_path / "a", arrays, kind)
    plane = read_plane(path, "hk1", cell=Cell(*CELL))
    assert "array order in the file: [k, h, l]" in plane.notes
    np.testing.assert_allclose(plane.intensity, volume()[:, :, 4])


def test_bin_edges_and_reversed_order(tmp_path: Path) -> None:
    arrays = {
        "intensity": volume().transpose(2, 1, 0),
        "Qh": edges(H),
        "Qk": edges(K),
        "Ql": edges(L),
        "cell": CELL,
    }
    path = save(tmp_path / "a", {name: np.asarray(array) for name, array in arrays.items()}, "npz")
    measured = check(path)
    assert "array order in the file: [l, k, h]" in measured.notes


@pytest.mark.parametrize("kind", KINDS)
def test_a_plane_with_its_axes(tmp_path: Path, kind: str) -> None:
    arrays = {
        "intensity": volume()[:, :, 4],
        "h": H,
        "k": K,
        "l": 1.0,
        "sigma": np.full((9, 11), 2.0),
        "other": np.arange(4.0),
    }
    path = save(tmp_path / "a", arrays, kind)
    with pytest.raises(InputError, match=r'a: the file has no unit cell; give one with --cell "a b c alpha'):
        read_plane(path)
    plane = read_plane(path, cell=Cell(*CELL))
    assert plane.grid is not None and str(plane.grid.name) == "hk1" and plane.sigma is not None
    np.testing.assert_allclose(plane.intensity, volume()[:, :, 4])
    np.testing.assert_allclose(plane.grid.rows, H)
    assert (plane.sigma == 2).all() and "the file also holds other, which is ignored" in plane.notes
    assert dict(inspect(path).lines)["axis h"].startswith("from -2 to 2")


@pytest.mark.parametrize("kind", ["npz", "mat5"])
def test_a_plane_without_axes_is_a_picture(tmp_path: Path, kind: str) -> None:
    values = np.random.default_rng(0).uniform(1, 2, (256, 256))
    path = save(tmp_path / "a", {"I": values}, kind)
    assert read_plane(path).grid is None
    np.testing.assert_array_equal(read_plane(path).intensity, values)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"a": np.ones((5, 6)), "b": np.ones((5, 6))},
            r"the file holds .*a \(5, 6\), b \(5, 6\); expected one array",
        ),
        (
            {"s": {"x": np.ones((5, 6))}},
            r"a MATLAB v5 file with s; expected an array of intensities \(not in a struct\)",
        ),
    ],
)
def test_matlab_files_that_are_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    savemat(tmp_path / "a.mat", arrays)
    with pytest.raises(InputError, match=f"a.mat: {message}"):
        read_plane(tmp_path / "a.mat")


def test_a_damaged_matlab_file_is_named(tmp_path: Path) -> None:
    savemat(tmp_path / "a.mat", {"I": np.ones((50, 60))})
    (tmp_path / "a.mat").write_bytes((tmp_path / "a.mat").read_bytes()[:4000])
    with pytest.raises(
        InputError, match=r"a.mat: a MATLAB v5 file that cannot be read; it is truncated or damaged"
    ):
        read_plane(tmp_path / "a.mat")


OPTIONS = parse_read_options(array_axes="h -2 2, k -2.5 2.5, l -1 1")


def test_a_volume_in_npy_with_axes_from_options(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", volume())
    with pytest.raises(
        InputError, match=r"the array has shape \(9, 11, 5\) and no axes; give them with --array-axes"
    ):
        read_plane(tmp_path / "v.npy", "hk1")
    for name, fixed, value in (("hk1", 2, 1.0), ("h0l", 1, 0.0), ("-1kl", 0, -1.0)):
        plane = read_plane(tmp_path / "v.npy", name, cell=Cell(*CELL), options=OPTIONS)
        assert plane.grid is not None
        place = int(np.abs(AXES[fixed] - value).argmin())
        np.testing.assert_allclose(plane.intensity, np.take(volume(), place, axis=fixed))
    lines = dict(inspect(tmp_path / "v.npy", "hk1", OPTIONS, Cell(*CELL)).lines)
    assert lines["file"].endswith(".npy, 0.00409 MB") and lines["axis k"].startswith("from -2.5 to 2.5")


@pytest.mark.parametrize("cell", [" ".join(map(str, CELL)), list(CELL)])
def test_a_volume_in_npy_with_a_side_file(tmp_path: Path, cell: object) -> None:
    np.save(tmp_path / "v.npy", volume().transpose(2, 0, 1))
    side = {"axes": ["l -1 1", "h -2 2", "k -2.5 2.5"], "cell": cell}
    (tmp_path / "v.npy.json").write_text(json.dumps(side))
    check(tmp_path / "v.npy")
    (tmp_path / "v.npy.json").write_text("{")
    with pytest.raises(InputError, match=r"v.npy.json: the file cannot be read as JSON"):
        read_plane(tmp_path / "v.npy", "hk1")
    (tmp_path / "v.npy.json").write_text('{"axes": "h 1"}')
    with pytest.raises(
        InputError, match=r"v.npy.json: array axes 'h 1': expected the index along each dimension"
    ):
        read_plane(tmp_path / "v.npy", "hk1")
    (tmp_path / "v.npy.json").write_text('{"other": 1}')
    with pytest.raises(InputError, match=r"v.npy: the array has shape \(5, 9, 11\) and no axes"):
        read_plane(tmp_path / "v.npy", "hk1")


def test_axes_of_a_plane_with_its_layer(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", volume()[:, 2])
    plane = read_plane(
        tmp_path / "p.npy", cell=Cell(*CELL), options=parse_read_options(array_axes="h -2 2, l -1 1, k -1.5")
    )
    assert plane.grid is not None and str(plane.grid.name) == "h -1.5 l"
    np.testing.assert_array_equal(plane.intensity, volume()[:, 2])


@pytest.mark.parametrize(
    "text",
    ["", "h -6 6", "h -6 6, h 0 1", "h -6 6, x 0 1", "h 1 1, k 0 2", "h 1 2 3, k 0 1", "h -6 6, k 0 nan"],
)
def test_array_axes_that_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"array axes .*expected the index along each dimension"):
        parse_array_axes(text)


def test_a_file_with_axes_is_given_no_others(tmp_path: Path) -> None:
    path = save(tmp_path / "a", {"data": volume(), "h": H, "k": K, "l": L}, "npz")
    with pytest.raises(InputError, match="the file already defines its axes; remove --array-axes"):
        read_plane(path, "hk1", options=OPTIONS)


def test_a_cell_and_a_plane_without_ranges(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "p.npy", np.ones((256, 256)))
    words = ["--cell", "5 6 7 90 90 90", "--plane", "hk0"]
    assert main(["factorize", str(tmp_path / "p.npy"), "-o", str(tmp_path / "o.nxs"), *words]) == 2
    assert "besides the cell and the plane, give --first-range and --second-range" in capsys.readouterr().err


def test_qx_and_qy_of_an_archive(tmp_path: Path) -> None:
    """An orthorhombic cell: 2 pi / a along Qx."""
    q = np.linspace(-5, 5, 51)
    values = np.add.outer(q, 2 * q) + 50
    path = save(tmp_path / "a", {"intensity": values, "Qx": q, "Qy": q}, "npz")
    with pytest.raises(
        InputError, match=r"the axes are Qx, Qy in 1/Angstrom; give the orientation with --ub, or"
    ):
        read_plane(path)
    plane = read_plane(path, cell=Cell(5, 6, 7))
    assert plane.grid is not None and str(plane.grid.name) == "hk0"
    np.testing.assert_allclose(plane.grid.rows, q * 5 / (2 * np.pi), atol=1e-12)
    np.testing.assert_allclose(plane.grid.columns, q * 6 / (2 * np.pi), atol=1e-12)
    np.testing.assert_array_equal(plane.intensity, values)
    turned = ReadOptions(ub=(0, 1 / 6, 0, 1 / 5, 0, 0, 0, 0, 1 / 7))
    plane = read_plane(path, cell=Cell(5, 6, 7), options=turned)
    assert plane.grid is not None
    np.testing.assert_array_equal(plane.intensity, values.T)
