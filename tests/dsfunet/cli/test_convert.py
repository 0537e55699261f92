"""`dsfunet convert`: what is written is read again as it was."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from dsfunet.cli.main import main
from dsfunet.io import MeasuredPlane, PlaneGrid, read_plane
from dsfunet.io.exports import ExportFormat, write_plane
from dsfunet.physics import Cell
from dsfunet.planes.names import parse_plane
from tests.dsfunet.marked_volume import CELL, H, K, L, check, volume

SUFFIXES = {"yell": ".h5", "nxdata": ".nxs", "npz": ".npz"}


def source(path: Path) -> Path:
    """An NXdata [l, k, h] with uncertainties, a cell in nm and a gap."""
    with h5py.File(path, "w") as file:
        file.attrs["default"] = "e"
        file.create_group("e").attrs["default"] = "d"
        data = file.create_group("e/d")
        data.attrs.update({"NX_class": "NXdata", "signal": "v", "axes": ["Ql", "Qk", "Qh"]})
        data["v"], data["v_errors"] = volume().transpose(2, 1, 0), np.full((5, 11, 9), 3.0)
        data["v"][4, 2, 1] = np.nan
        data["Qh"], data["Qk"], data["Ql"] = H, K, L
        data["unit_cell"] = [CELL[0] / 10, CELL[1] / 10, CELL[2] / 10, *CELL[3:]]
    return path


@pytest.mark.parametrize("layout", SUFFIXES)
def test_a_volume_is_read_again_as_it_was(
    tmp_path: Path, layout: ExportFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    path, target = source(tmp_path / "a.nxs"), tmp_path / f"b{SUFFIXES[layout]}"
    assert main(["convert", str(path), str(target), "--cell-unit", "nm"]) == 0
    said = capsys.readouterr().out
    assert "9 x 11 x 5 voxels along h, k, l" in said and f"wrote      {target}" in said
    before = read_plane(path, "hk1", options=None, cell=Cell(*CELL))
    after = read_plane(target, "hk1")
    np.testing.assert_array_equal(after.intensity, before.intensity)
    assert np.isnan(after.intensity[1, 2]) and after.cell is not None
    np.testing.assert_allclose(after.cell.parameters, CELL)
    if layout != "yell":
        assert after.sigma is not None and (after.sigma[2] == 3).all()
    with h5py.File(path, "a") as file:
        file["e/d/v"][4, 2, 1] = volume()[1, 2, 4]
    assert main(["convert", str(path), str(target), "--cell-unit", "nm"]) == 0
    check(target)


@pytest.mark.parametrize("layout", SUFFIXES)
@pytest.mark.parametrize("name", ["hk1", "h k 0.5", "-1kl"])
def test_a_plane_is_read_again_as_it_was(tmp_path: Path, layout: ExportFormat, name: str) -> None:
    path, target = source(tmp_path / "a.nxs"), tmp_path / "b"
    words = ["convert", str(path), str(target), "--plane", name, "--format", layout, "--cell-unit", "nm"]
    assert main(words) == 0
    before, after = read_plane(path, name, cell=Cell(*CELL)), read_plane(target)
    assert after.grid is not None and before.grid is not None and str(after.grid.name) == name
    np.testing.assert_array_equal(after.intensity, before.intensity)
    np.testing.assert_allclose(after.grid.rows, before.grid.rows)
    np.testing.assert_allclose(after.grid.columns, before.grid.columns)


@pytest.mark.parametrize("layout", ["nxdata", "npz"])
@pytest.mark.parametrize(
    "name", ["hhl", "h -h l", "[1 -0.5 0] [0 1 0] + [0 0 1.5]", "[0.5 0.5 0] [0.5 -0.5 0] + [0 0 2]"]
)
def test_planes_spanned_by_vectors(tmp_path: Path, layout: ExportFormat, name: str) -> None:
    grid = PlaneGrid(Cell(*CELL), parse_plane(name), np.linspace(-2, 2, 9), np.linspace(-1, 1, 11))
    plane = MeasuredPlane(np.arange(99.0).reshape(9, 11), grid, sigma=np.ones((9, 11)))
    write_plane(tmp_path / "a", plane, layout)
    after = read_plane(tmp_path / "a")
    assert after.grid is not None and after.grid.name == grid.name and after.sigma is not None
    np.testing.assert_array_equal(after.intensity, plane.intensity)
    np.testing.assert_allclose(after.grid.hkl(), grid.hkl(), atol=1e-12)


def test_a_picture_with_axes_from_options(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", volume()[:, :, 1])
    words = [
        "--cell",
        "5 6 7 90 90 90",
        "--plane",
        "hk0",
        "--first-range",
        "-2 2",
        "--second-range",
        "-2.5 2.5",
    ]
    assert main(["convert", str(tmp_path / "p.npy"), str(tmp_path / "p.h5"), *words]) == 0
    after = read_plane(tmp_path / "p.h5")
    assert after.grid is not None and str(after.grid.name) == "hk0"
    np.testing.assert_array_equal(after.intensity, volume()[:, :, 1])
    np.testing.assert_allclose(after.grid.columns, K)


@pytest.mark.parametrize(
    ("target", "words", "message"),
    [
        (
            "b.txt",
            [],
            "b.txt: expected a name that ends in .h5 (Yell), .nxs (NXdata) or .npz, or give --format",
        ),
        ("a.nxs", [], "a.nxs: this is the file to convert; give another name for the result"),
        ("no/b.h5", [], "the directory"),
        ("b.h5", ["--plane", "hhl"], "and Yell's layout only along h, k and l; write it as .nxs or .npz"),
        ("b.h5", ["--plane", "hk9"], "plane hk9: the volume has no such layer"),
        ("b.h5", [], "give --cell-unit 'nm'"),
    ],
)
def test_nothing_is_written_when_refused(
    tmp_path: Path, target: str, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = source(tmp_path / "a.nxs")
    units = [] if "cell-unit" in message else ["--cell-unit", "nm"]
    assert main(["convert", str(path), str(tmp_path / target), *words, *units]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
    assert [each.name for each in tmp_path.iterdir()] == ["a.nxs"]
