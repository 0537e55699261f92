"""Planes from .npz, TIFF and PNG: values are kept, and everything that is not an intensity is refused."""

import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsfunet.errors import InputError
from dsfunet.files import leading_bytes
from dsfunet.io import UserAxes, parse_plane_name, read_plane
from dsfunet.io.formats.images import read_picture, read_pixels
from dsfunet.physics import Cell

AXES = UserAxes(Cell(5, 6, 7), parse_plane_name("hk0"), (-3, 3), (-2, 2))


def ramp(dtype: str, shape: tuple[int, int] = (256, 256)) -> np.ndarray:
    return (np.arange(shape[0] * shape[1]).reshape(shape) % 250 * 3).astype(dtype)


def saved(array: np.ndarray, path: Path, **options) -> Path:
    Image.fromarray(array).save(path, **options)
    return path


@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "f4"])
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_grey_tiff(tmp_path: Path, dtype: str, compression: str | None) -> None:
    measured = read_plane(saved(ramp(dtype), tmp_path / "plane.dat", format="TIFF", compression=compression))
    np.testing.assert_array_equal(measured.intensity, ramp(dtype).astype(float))
    assert measured.grid is None
    assert len(measured.notes) == (dtype == "u1")


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_grey_png(tmp_path: Path, dtype: str) -> None:
    measured = read_plane(saved(ramp(dtype), tmp_path / "plane.dat", format="PNG"))
    np.testing.assert_array_equal(measured.intensity, ramp(dtype).astype(float))
    assert [note.startswith("8-bit grey") for note in measured.notes] == [True] * (dtype == "u1")


def tiff(array: np.ndarray, sample_format: int, photometric: int = 1, order: str = "<") -> bytes:
    """An uncompressed TIFF of one strip, as detectors write it, from the specification alone."""
    height, width = array.shape
    pixels = array.astype(array.dtype.newbyteorder(order)).tobytes()
    tags = {
        256: width, 257: height, 258: 8 * array.dtype.itemsize, 259: 1, 262: photometric,
        273: 8, 277: 1, 278: height, 279: len(pixels), 339: sample_format,
    }  # fmt: skip
    entries = b"".join(
        struct.pack(order + "HHI", tag, 4 if tag in (256, 257, 273, 278, 279) else 3, 1)
        + (
            struct.pack(order + "I", value)
            if tag in (256, 257, 273, 278, 279)
            else struct.pack(order + "HH", value, 0)
        )
        for tag, value in tags.items()
    )
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8 + len(pixels))
    return start + pixels + struct.pack(order + "H", len(tags)) + entries + struct.pack(order + "I", 0)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("dtype", "sample_format"), [("u2", 1), ("i2", 2), ("i4", 2), ("f4", 3), ("i1", 2)])
def test_tiff_of_detectors_of_either_byte_order(
    tmp_path: Path, order: str, dtype: str, sample_format: int
) -> None:
    plane = ramp(dtype)
    if sample_format != 1:
        plane[3, 4] = -2  # how Pilatus detectors mark a bad pixel
    path = tmp_path / "plane.tif"
    path.write_bytes(tiff(plane, sample_format, order=order))
    np.testing.assert_array_equal(read_plane(path).intensity, plane.astype(float))


def test_negatives_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "plane.tif"
    path.write_bytes(tiff(ramp("u2"), 1, photometric=0))
    with pytest.raises(InputError, match="the picture is a negative, in which white is zero"):
        read_plane(path)


@pytest.mark.parametrize(
    ("mode", "found"),
    [
        ("RGB", r"colours \(RGB\)"),
        ("RGBA", r"colours \(RGBA\)"),
        ("P", "colours of a palette"),
        ("LA", "grey with transparency"),
        ("1", "black and white pixels"),
    ],
)
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_colours_are_refused(tmp_path: Path, mode: str, found: str, kind: str) -> None:
    path = tmp_path / "plane.dat"
    Image.fromarray(ramp("u1")).convert(mode).save(path, format=kind)
    with pytest.raises(
        InputError, match=f"plane.dat: the picture has {found}; expected one channel of grey levels"
    ):
        read_plane(path)


def test_several_pages_are_refused(tmp_path: Path) -> None:
    page = Image.fromarray(ramp("f4"))
    page.save(tmp_path / "stack.tif", save_all=True, append_images=[page, page])
    with pytest.raises(InputError, match="the picture has several pages; expected one plane"):
        read_plane(tmp_path / "stack.tif")


def test_other_shapes_need_axes(tmp_path: Path) -> None:
    path = saved(ramp("f4", (101, 81)), tmp_path / "plane.tif")
    with pytest.raises(
        InputError,
        match=r"the plane has shape \(101, 81\) and no axes; expected \(256, 256\), or give the axes with",
    ):
        read_plane(path)
    measured = read_plane(path, axes=AXES)
    assert measured.grid is not None and measured.grid.shape == (101, 81)
    pixels = read_pixels(path, leading_bytes(path))
    assert pixels is not None and pixels.grid is None
    np.testing.assert_array_equal(measured.intensity, pixels.intensity)


def test_npy_of_other_shapes_with_axes(tmp_path: Path) -> None:
    np.save(tmp_path / "plane.npy", ramp("f8", (90, 71)))
    measured = read_plane(tmp_path / "plane.npy", axes=AXES)
    assert measured.grid is not None
    np.testing.assert_allclose(measured.grid.rows[[0, -1]], [-3, 3])
    np.testing.assert_allclose(measured.grid.steps, [6 / 89, 4 / 70])


def test_pictures_have_no_named_planes(tmp_path: Path) -> None:
    path = saved(ramp("f4"), tmp_path / "plane.tif")
    with pytest.raises(
        InputError, match="the TIFF file has no axes, so it has no plane hk0; remove the plane"
    ):
        read_plane(path, "hk0")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_with_one_plane(tmp_path: Path, save) -> None:
    save(tmp_path / "plane.npz", intensity=ramp("f4"), h=np.arange(256.0), note=np.array("text"))
    measured = read_plane(tmp_path / "plane.npz")
    np.testing.assert_array_equal(measured.intensity, ramp("f8"))
    assert measured.notes == ("the file also holds h, note, which is ignored",)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"a": ramp("f4"), "b": ramp("f4")},
            r"the file holds a \(256, 256\), b \(256, 256\); expected one array of two",
        ),
        ({"a": np.arange(3)}, r"the file holds a \(3,\); expected one array of two or three dimensions"),
        (
            {"a": np.zeros((3, 256, 256))},
            r"the array has shape \(3, 256, 256\) and no axes; give them with --array-axes",
        ),
        ({"a": np.zeros((256, 256), complex)}, "the numbers have type complex128; expected real"),
        ({"a": np.full((256, 256), None)}, "plane.npz: "),
        ({}, "plane.npz: "),
    ],
)
def test_other_archives_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "plane.npz", **arrays)
    with pytest.raises(InputError, match=message):
        read_plane(tmp_path / "plane.npz")


def test_archives_that_lie_about_their_size(tmp_path: Path) -> None:
    header = b"\x93NUMPY\x01\x00\x76\x00" + b"{'descr': '<f8', 'fortran_order': False, 'shape': (%d, %d), }"
    for shape, message in ((7000, "and 928 bytes; expected 392000000 bytes"), (10**12, "expected 8000000")):
        with zipfile.ZipFile(tmp_path / "plane.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("plane.npy", (header % (shape, shape)).ljust(127) + b"\n" + bytes(800))
        with pytest.raises(InputError, match=message):
            read_plane(tmp_path / "plane.npz")


def test_archives_of_too_many_pixels(tmp_path: Path) -> None:
    # 68 MB of zeros, which deflate packs into 68 kB: nothing of that size may be made.
    header = (
        b"\x93NUMPY\x01\x00\x76\x00" + b"{'descr': '|u1', 'fortran_order': False, 'shape': (8200, 8300), }"
    )
    with (
        zipfile.ZipFile(tmp_path / "plane.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("plane.npy", "w", force_zip64=True) as stream,
    ):
        stream.write(header.ljust(127) + b"\n")
        for _ in range(8200):
            stream.write(bytes(8300))
    with pytest.raises(
        InputError, match=r"the plane has shape \(8200, 8300\); expected at most 67108864 pixels"
    ):
        read_plane(tmp_path / "plane.npz")


def png(width: int, height: int, rows: bytes) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("width", "height", "message"),
    [
        (8000, 8000, "the picture has shape .* and the file only .* bytes; the file is truncated"),
        (9000, 9000, "expected at most 67108864 pixels"),
        (10_000, 10_000, "the picture cannot be read; .*|expected at most 67108864 pixels"),
        (2**31 - 1, 2**31 - 1, "the picture cannot be read"),
        (0, 0, "the picture cannot be read"),
        (256, 256, "the picture cannot be read"),
    ],
)
def test_pictures_that_lie_about_their_size(tmp_path: Path, width: int, height: int, message: str) -> None:
    path = tmp_path / "plane.png"
    path.write_bytes(png(width, height, zlib.compress(bytes(1000))))
    with pytest.raises(InputError, match=message):
        read_plane(path)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "LZW", "NPZ"])
def test_damaged_pictures_are_refused_or_harmless(
    tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "plane.dat"
    if kind == "NPZ":
        np.savez(tmp_path / "a.npz", a=ramp("u2"))
        (tmp_path / "a.npz").rename(path)
    else:
        compression = {"compression": "tiff_lzw"} if kind == "LZW" else {}
        saved(ramp("u2"), path, format="PNG" if kind == "PNG" else "TIFF", **compression)
    content, random = path.read_bytes(), np.random.default_rng(11)
    refused, original = 0, ramp("f8")
    for turn in range(150):
        damaged = bytearray(content)
        for _ in range(3):
            near = turn % 3
            end = (min(200, len(content)), len(content), len(content))[near]
            begin = (8, 8, len(content) - 300)[near]
            damaged[random.integers(begin, end)] = random.integers(256)
        if turn % 5 == 0:
            damaged = damaged[: random.integers(8, len(content))]
        path.write_bytes(damaged)
        try:
            measured = read_picture(path, leading_bytes(path), axes=AXES)
            assert measured is not None and measured.intensity.size < 2**20
            if kind == "PNG":  # it has checksums
                np.testing.assert_array_equal(measured.intensity, original)
        except InputError as error:
            refused += 1
            assert str(error).startswith(f"{path}: ")
    assert refused > 20
    if kind != "LZW":  # libtiff's own complaints go past Python
        assert capfd.readouterr() == ("", "")


def test_a_cell_without_axes_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "plane.npy", np.ones((256, 256)))
    with pytest.raises(
        InputError, match="the file has no axes, and a cell alone does not place its pixels; also give"
    ):
        read_plane(tmp_path / "plane.npy", cell=Cell(5, 5, 5))
