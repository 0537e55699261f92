"""Maps of crystallography: CCP4 from dials.rs_mapper and others, XPLOR; images of detectors, CBF and EDF."""

import sys
from pathlib import Path

import fabio.cbfimage
import fabio.edfimage
import gemmi
import numpy as np
import pytest

from dsfunet.errors import InputError
from dsfunet.inspection.describe import inspect
from dsfunet.io import ReadOptions, read_plane
from dsfunet.io.read_options import parse_read_options
from dsfunet.physics import Cell
from tests.dsfunet.marked_volume import CELL, volume

VALUES = volume() + 500
OPTIONS = parse_read_options(array_axes="h -2 2, k -2.5 2.5, l -1 1")


def ccp4(path: Path, values: np.ndarray, edge: float = 10.0, label: str = "") -> Path:
    grid = gemmi.FloatGrid(np.asfortranarray(values, dtype=np.float32))
    grid.set_unit_cell(gemmi.UnitCell(edge, edge, edge, 90, 90, 90))
    grid.spacegroup = gemmi.SpaceGroup("P1")
    found = gemmi.Ccp4Map()
    found.grid = grid
    found.update_ccp4_header()
    if label:
        found.set_header_i32(56, 1)
        found.set_header_str(57, label.ljust(80))
    found.write_ccp4_map(str(path))
    return path


def check_with_options(path: Path) -> None:
    with pytest.raises(
        InputError, match=r"the array has shape \(9, 11, 5\) and no axes; give them with --array-axes"
    ):
        read_plane(path, "hk1")
    for name, part in (("hk1", VALUES[:, :, 4]), ("h0l", VALUES[:, 5]), ("-1kl", VALUES[2])):
        plane = read_plane(path, name, cell=Cell(*CELL), options=OPTIONS)
        np.testing.assert_allclose(plane.intensity, part, rtol=1e-5)


def test_a_ccp4_map_takes_its_axes_from_options(tmp_path: Path) -> None:
    check_with_options(ccp4(tmp_path / "a.ccp4", VALUES))


def test_a_map_of_dials_is_placed_by_the_orientation_matrix(tmp_path: Path) -> None:
    """Box of 100 * 2 / d_min for 40 voxels; the origin is voxel 20; values 1000 + 100 h + 10 k + l."""
    d_min, count = 1.0, 40
    s = 2 / d_min / count * (np.arange(count) - count // 2)
    turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
    ub = turn @ Cell(*CELL).reciprocal.T / (2 * np.pi)
    grid = np.stack(np.meshgrid(s, s, s, indexing="ij"))
    hkl = np.einsum("ij,jxyz->ixyz", np.linalg.inv(ub), grid)
    values = 1000 + 10 * hkl[0] + 5 * hkl[1] + hkl[2]
    path = ccp4(tmp_path / "a.ccp4", values, 200.0 / d_min, "cctbx.miller.fft_map")
    with pytest.raises(
        InputError, match="the axes are Qx, Qy, Qz in 1/Angstrom; give the orientation with --ub"
    ):
        read_plane(path, "hk0")
    options = ReadOptions(ub=tuple(map(float, ub.ravel())))
    for name in ("hk0", "h2l"):
        plane = read_plane(path, name, cell=Cell(*CELL), options=options)
        assert plane.grid is not None
        place = plane.grid.hkl()
        inside = (np.abs(place @ ub.T) < 0.9).all(axis=2)
        assert inside.sum() > 100
        np.testing.assert_allclose(plane.intensity[inside], (1000 + place @ [10, 5, 1])[inside], rtol=1e-5)
    assert any("dials.rs_mapper" in note for note in plane.notes)


def xplor(path: Path, values: np.ndarray) -> Path:
    """As CNS writes it: I8 and E12.5 columns, six a line, x fastest, a section for each z."""
    n = values.shape
    lines = ["", f"{2:8d} !NTITLE", " REMARKS diffuse", " REMARKS scattering"]
    lines.append("".join(f"{number:8d}" for count in n for number in (count, 0, count - 1)))
    lines.append("".join(f"{number:12.5E}" for number in CELL))
    lines.append("ZYX")
    for z in range(n[2]):
        lines.append(f"{z:8d}")
        flat = [f"{value:12.5E}" for value in values[:, :, z].T.ravel()]
        lines += ["".join(flat[m : m + 6]) for m in range(0, len(flat), 6)]
    lines += [f"{-9999:8d}", f"{0.0:12.4E} {1.0:12.4E}"]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_an_xplor_map_takes_its_axes_from_options(tmp_path: Path) -> None:
    check_with_options(xplor(tmp_path / "a.xplor", VALUES))


@pytest.mark.parametrize("name", ["ccp4", "xplor"])
def test_truncated_maps_are_named(tmp_path: Path, name: str) -> None:
    path = (ccp4 if name == "ccp4" else xplor)(tmp_path / "a", VALUES)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(
        InputError, match=f"a: an? {name.upper()} map .*damaged|section . of the XPLOR map has"
    ):
        read_plane(path, "hk0", options=OPTIONS)


@pytest.mark.parametrize("name", ["cbf", "edf"])
def test_images_of_detectors(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).poisson(100, (256, 256)).astype(np.int32)
    values[10], values[12] = -1, -2
    kind = fabio.cbfimage.CbfImage if name == "cbf" else fabio.edfimage.EdfImage
    kind(data=values).write(str(tmp_path / f"a.{name}"))
    path = (tmp_path / f"a.{name}").rename(tmp_path / "plane")
    np.testing.assert_array_equal(read_plane(path).intensity, values)
    assert dict(inspect(path).lines)["file"].endswith(
        f"picture ({name.upper()}), {path.stat().st_size / 1e6:.3g} MB"
    )
    monkeypatch.setitem(sys.modules, "fabio", None)
    with pytest.raises(InputError, match=f"plane: a file in {name.upper()}: pip install fabio"):
        read_plane(path)
