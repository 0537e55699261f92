"""Grids of VTK: legacy files as Scatty writes them, XML files, and structured grids as rmc-discord writes them."""

import base64
import zlib
from pathlib import Path

import numpy as np
import pytest

from dsfunet.errors import InputError
from dsfunet.io import read_plane
from dsfunet.physics import Cell
from tests.dsfunet.marked_volume import AXES, CELL, H, K, L, volume

VALUES = volume() + 500
FAST_X = VALUES.transpose(2, 1, 0).ravel()
CRYSTAL = Cell(*CELL)


def check_planes(path: Path) -> None:
    for name, part in (("hk1", VALUES[:, :, 4]), ("h0l", VALUES[:, 5]), ("-1kl", VALUES[2])):
        plane = read_plane(path, name, cell=CRYSTAL)
        np.testing.assert_allclose(plane.intensity, part, rtol=1e-6)
        assert plane.grid is not None and str(plane.grid.name) == name


def legacy(path: Path, binary: bool, kind: str = "float", field: bool = False, cells: bool = False) -> Path:
    dtype = {"float": ">f4", "double": ">f8", "unsigned_short": ">u2"}[kind]
    data = FAST_X.astype(dtype).tobytes() if binary else " ".join(f"{v:g}" for v in FAST_X).encode()
    counts = [len(axis) + cells for axis in AXES]
    origin = [axis[0] - 0.25 * cells for axis in AXES]
    name = (
        b"FIELD FieldData 1\nintensity 1 495 %s\n"
        if field
        else b"SCALARS intensity %s 1\nLOOKUP_TABLE default\n"
    )
    head = (
        f"# vtk DataFile Version 2.0\nintensity (HKL grid)\n{'BINARY' if binary else 'ASCII'}\n"
        f"DATASET STRUCTURED_POINTS\nDIMENSIONS {counts[0]} {counts[1]} {counts[2]}\n"
        f"ORIGIN {origin[0]} {origin[1]} {origin[2]}\nSPACING 0.5 0.5 0.5\n{'CELL' if cells else 'POINT'}_DATA 495\n"
    )
    path.write_bytes(head.encode() + name % kind.encode() + data + b"\n")
    return path


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize(
    ("kind", "field", "cells"), [("float", False, False), ("double", True, False), ("float", False, True)]
)
def test_structured_points(tmp_path: Path, binary: bool, kind: str, field: bool, cells: bool) -> None:
    check_planes(legacy(tmp_path / "a.vtk", binary, kind, field, cells))


def test_rectilinear_grid(tmp_path: Path) -> None:
    lines = "\n".join(
        f"{name}_COORDINATES {len(axis)} double\n{' '.join(map(str, axis))}"
        for name, axis in zip("XYZ", AXES, strict=True)
    )
    (tmp_path / "a.vtk").write_text(
        f"# vtk DataFile Version 3.0\nx\nASCII\nDATASET RECTILINEAR_GRID\nDIMENSIONS 9 11 5\n{lines}\nPOINT_DATA 495\n"
        f"SCALARS i float\nLOOKUP_TABLE default\n" + "\n".join(map(str, FAST_X))
    )
    check_planes(tmp_path / "a.vtk")


def data_array(form: str, header: str = "UInt32", compress: bool = False) -> tuple[str, str]:
    """The array as an element of XML, and what is appended."""
    content = FAST_X.astype("<f4").tobytes()
    head = np.dtype("<u8" if header == "UInt64" else "<u4")
    if form == "ascii":
        return (
            f'<DataArray type="Float32" Name="i" format="ascii">{" ".join(map(str, FAST_X))}</DataArray>',
            "",
        )
    if compress:
        width = 1024
        blocks = [content[n : n + width] for n in range(0, len(content), width)]
        packed = [zlib.compress(block) for block in blocks]
        sizes = np.array([len(blocks), width, len(blocks[-1]) % width, *map(len, packed)], head).tobytes()
        text = (base64.b64encode(sizes) + base64.b64encode(b"".join(packed))).decode()
    else:
        text = base64.b64encode(np.array(len(content), head).tobytes() + content).decode()
    if form == "binary":
        return f'<DataArray type="Float32" Name="i" format="binary">{text}</DataArray>', ""
    element = '<DataArray type="Float32" Name="i" format="appended" offset="0"/>'
    return element, f'<AppendedData encoding="base64">_{text}</AppendedData>'


@pytest.mark.parametrize(
    ("form", "header", "compress"),
    [
        ("ascii", "UInt32", False),
        ("binary", "UInt32", False),
        ("binary", "UInt64", True),
        ("appended", "UInt32", True),
        ("appended", "UInt64", False),
    ],
)
def test_image_data(tmp_path: Path, form: str, header: str, compress: bool) -> None:
    array, appended = data_array(form, header, compress)
    compressor = ' compressor="vtkZLibDataCompressor"' if compress else ""
    (tmp_path / "a.vti").write_text(
        f'<?xml version="1.0"?>\n<VTKFile type="ImageData" byte_order="LittleEndian" header_type="{header}"'
        f'{compressor}>\n<ImageData WholeExtent="0 8 0 10 0 4" Origin="-2 -2.5 -1" Spacing="0.5 0.5 0.5">'
        f'<Piece Extent="0 8 0 10 0 4"><PointData Scalars="i">{array}</PointData></Piece></ImageData>'
        f"{appended}</VTKFile>"
    )
    check_planes(tmp_path / "a.vti")


def test_raw_appended_data(tmp_path: Path) -> None:
    content = FAST_X.astype("<f4").tobytes()
    head = (
        '<?xml version="1.0"?>\n<VTKFile type="ImageData" version="1.0" byte_order="LittleEndian" header_type="UInt64">'
        '<ImageData WholeExtent="-4 4 -5 5 -2 2" Origin="0 0 0" Spacing="0.5 0.5 0.5"><Piece Extent="-4 4 -5 5 -2 2">'
        '<PointData><DataArray type="Float32" Name="i" format="appended" offset="0"/></PointData></Piece></ImageData>'
        '<AppendedData encoding="raw">\n_'
    )
    tail = b"\n</AppendedData></VTKFile>"
    (tmp_path / "a.vti").write_bytes(head.encode() + np.uint64(len(content)).tobytes() + content + tail)
    check_planes(tmp_path / "a.vti")


def structured(path: Path, matrix: np.ndarray, values: np.ndarray = VALUES) -> Path:
    """A structured grid of rmc-discord: points B (h, k, l), x fastest."""
    h, k, l = (each.transpose(2, 1, 0).ravel() for each in np.meshgrid(*AXES, indexing="ij"))  # noqa: E741
    points = np.stack([h, k, l], axis=1) @ matrix.T
    head = "# vtk DataFile Version 5.1\nx\nBINARY\nDATASET STRUCTURED_GRID\nDIMENSIONS 9 11 5\nPOINTS 495 double\n"
    data = "\nPOINT_DATA 495\nSCALARS intensity double\nLOOKUP_TABLE default\n"
    flat = values.transpose(2, 1, 0).ravel()
    path.write_bytes(
        head.encode() + points.astype(">f8").tobytes() + data.encode() + flat.astype(">f8").tobytes()
    )
    return path


def test_the_structured_grid_of_rmc_discord(tmp_path: Path) -> None:
    """Its points are Cartesian, without 2 pi; the cell leads back to h, k, l, without interpolation."""
    reciprocal = CRYSTAL.reciprocal / (2 * np.pi)
    path = structured(tmp_path / "a.vtk", np.linalg.cholesky(reciprocal @ reciprocal.T).T)
    with pytest.raises(InputError, match="in 1/Angstrom; give the orientation with --ub, or with --cell"):
        read_plane(path, "hk0")
    check_planes(path)
    check_planes(structured(tmp_path / "b.vtk", np.eye(3)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((b"STRUCTURED_POINTS", b"POLYDATA"), "a VTK file with DATASET POLYDATA; expected a structured"),
        ((b"float 1", b"float 3"), "a VTK file with 3 numbers for each voxel; expected one"),
        ((b"DIMENSIONS 9", b"DIMENSIONS 8"), "a VTK file of 8 x 11 x 5 points with 495 values"),
        ((b"BINARY", b"OCTAL "), "a VTK file whose third line is 'OCTAL'"),
        ((b"float", b"bit  "), "a VTK file that cannot be read"),
    ],
)
def test_damaged_files(tmp_path: Path, change: tuple[bytes, bytes], message: str) -> None:
    path = legacy(tmp_path / "a.vtk", binary=True)
    path.write_bytes(path.read_bytes().replace(*change))
    with pytest.raises(InputError, match=f"a.vtk: {message}"):
        read_plane(path, "hk0", cell=CRYSTAL)
    path = legacy(tmp_path / "a.vtk", binary=True)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"a.vtk: a VTK file that is truncated; 495 values need 1980 bytes"):
        read_plane(path, "hk0", cell=CRYSTAL)


def test_entities_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.vti").write_text(
        '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]><VTKFile type="ImageData"></VTKFile>'
    )
    with pytest.raises(InputError, match="definitions of XML entities; expected none"):
        read_plane(tmp_path / "a.vti", "hk0")


def test_one_layer(tmp_path: Path) -> None:
    values = VALUES[:, :, 3]
    (tmp_path / "a.vtk").write_text(
        "# vtk DataFile Version 2.0\nx\nASCII\nDATASET STRUCTURED_POINTS\nDIMENSIONS 9 11 1\nORIGIN -2 -2.5 1.5\n"
        "SPACING 0.5 0.5 1\nPOINT_DATA 99\nSCALARS i float\nLOOKUP_TABLE default\n"
        f"{' '.join(map(str, values.T.ravel()))}"
    )
    plane = read_plane(tmp_path / "a.vtk", cell=CRYSTAL)
    assert plane.grid is not None and str(plane.grid.name) == "h k 1.5"
    np.testing.assert_allclose(plane.intensity, values)
    np.testing.assert_allclose([plane.grid.rows[0], plane.grid.columns[0]], [H[0], K[0]])
    assert len(L) == 5
