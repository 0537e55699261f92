"""Planes that come alone: NumPy .npy and .npz, grey TIFF and PNG, and CrysAlisPro's layers, told apart by content."""

import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from dsfunet.errors import InputError
from dsfunet.files import NPY_SIGNATURE, leading_bytes
from dsfunet.io.formats import crysalis
from dsfunet.io.user_axes import UserAxes, put_on_axes
from dsfunet.io.volume import MOST_PIXELS
from dsfunet.planes.measured import MeasuredPlane
from dsfunet.planes.preprocessing import PIXELS

NPZ_SIGNATURE = b"PK\x03\x04"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

EXPECTED = "a .npz, a grey TIFF or PNG, or a layer unwarped by CrysAlisPro (.img)"
"""What this reader looks for beside .npy, in words."""

_MOST_COMPRESSED = 2000
"""How many bytes of pixels one byte of a file can stand for: deflate reaches 1032, LZW some 1400."""

# Pillow's name of how pixels are kept, and what it means that such a picture is not one of intensities.
_GREY_MODES = {
    "L": "8-bit",
    "I;16": "16-bit",
    "I;16L": "16-bit",
    "I;16B": "16-bit",
    "I": "32-bit",
    "F": "float",
}
_OTHER_MODES = {
    "1": "black and white",
    "P": "colours of a palette",
    "PA": "colours of a palette",
    "LA": "grey with transparency",
}

_TIFF_BITS, _TIFF_COMPRESSION, _TIFF_PHOTOMETRIC, _TIFF_SAMPLE_FORMAT = 258, 259, 262, 339
_TIFF_PIECES = ((273, 279), (324, 325))
"""Where strips or tiles begin and how many bytes they have."""


def read_picture(
    path: Path, start: bytes, plane_name: str | None = None, axes: UserAxes | None = None
) -> MeasuredPlane | None:
    """The plane in a file that begins with `start`, on the axes that are given; None for a file of another kind.

    A picture without axes has no plane to be named: `plane_name` is for CrysAlisPro's layers, which have a name of
    their own that must then be the same.

    Raises:
        InputError: the file is damaged or holds anything but one plane of real numbers; or it has no axes, is given
            none and is not 256 x 256; or has axes and is given others.
    """
    measured = read_pixels(path, start, plane_name)
    if measured is None:
        return None
    if measured.grid is None and plane_name is not None and axes is None:
        raise InputError(
            f"{path}: {_describe_kind(start)} is a plane without axes, so plane {plane_name!r} means nothing in it"
        )
    if axes is not None:
        try:
            return put_on_axes(measured, axes)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
    if measured.grid is None and measured.intensity.shape != (PIXELS, PIXELS):
        raise InputError(
            f"{path}: found shape {measured.intensity.shape}, expected {(PIXELS, PIXELS)} as there are no axes,"
            " or --cell, --plane and --q-max-inv-angstrom or both ranges"
        )
    return measured


def read_pixels(path: Path, start: bytes, plane_name: str | None = None) -> MeasuredPlane | None:
    """The plane in a file as it is, of any shape, with axes only where the file has them; None as `read_picture`.

    Raises:
        InputError: the file is damaged, or holds anything but one plane of real numbers.
    """
    if start.startswith(crysalis.SIGNATURE):
        return crysalis.read_layer(path, plane_name)
    if start.startswith(NPY_SIGNATURE):
        return _read_npy(path)
    if start.startswith(NPZ_SIGNATURE):
        return _read_npz(path)
    if start.startswith((PNG_SIGNATURE, *TIFF_SIGNATURES)):
        return _read_grey(path)
    return None


def describe_layout(start: bytes) -> str:
    """What kind of picture begins like this, in words."""
    if start.startswith(crysalis.SIGNATURE):
        return "layer of reciprocal space, unwarped by CrysAlisPro (.img)"
    return f"picture ({_describe_kind(start).removeprefix('a ').removesuffix(' file')})"


def read_npy(path: Path | str) -> MeasuredPlane:
    """A 256 x 256 plane of real numbers from a .npy file, which has no axes: its pixels stay as they are.

    Raises:
        InputError: the file is missing, not .npy, damaged, or holds anything but one such plane.
    """
    path = Path(path)
    start = leading_bytes(path)
    if not start.startswith(NPY_SIGNATURE):
        raise InputError(f"{path}: begins with {start[:8]!r}, expected a .npy file")
    measured = read_picture(path, start)
    assert measured is not None
    return measured


def _describe_kind(start: bytes) -> str:
    if start.startswith(NPY_SIGNATURE):
        return "a .npy file"
    if start.startswith(NPZ_SIGNATURE):
        return "a .npz file"
    return "a PNG file" if start.startswith(PNG_SIGNATURE) else "a TIFF file"


def _read_npy(path: Path) -> MeasuredPlane:
    with _told_as(path, "cannot be read as .npy, truncated, damaged or not numbers"):
        # Mapped, so that shape and type are judged before gigabytes are read, and a short file is noticed.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        _check_array(array.shape, array.dtype)
        return MeasuredPlane(np.array(array, dtype=np.float64))


def _read_npz(path: Path) -> MeasuredPlane:
    """The only array of two dimensions in an archive; others, such as lists of coordinates, are named in a note."""
    with (
        _told_as(path, "cannot be read as .npz, truncated, damaged or not numbers"),
        zipfile.ZipFile(path) as archive,
    ):
        shapes = {
            name: _read_npy_header(archive, name)[:2] for name in archive.namelist() if name.endswith(".npy")
        }
        planes = [name for name, (shape, _) in shapes.items() if len(shape) >= 2]
        if len(planes) != 1:
            found = ", ".join(
                f"{name.removesuffix('.npy')} {shape}" for name, (shape, _) in list(shapes.items())[:8]
            )
            raise InputError(f"found {found or 'no arrays'}, expected one array of two dimensions")
        _check_array(*shapes[planes[0]])
        with archive.open(planes[0]) as stream:
            array = np.lib.format.read_array(stream, allow_pickle=False)
        others = [name.removesuffix(".npy") for name in shapes if name != planes[0]]
    notes = (f"the archive's {', '.join(others)} is not looked at: axes come from options",) if others else ()
    return MeasuredPlane(np.array(array, dtype=np.float64), notes=notes)


def _read_npy_header(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of an array in an archive; its size is checked against that of the archive's entry."""
    entry = archive.getinfo(name)
    with archive.open(name) as stream:
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in read:
            raise InputError(f"array {name} is of .npy version {version}, expected 1.0 or 2.0")
        shape, _, dtype = read[version](stream)
    size = int(np.prod([int(count) for count in shape], dtype=object)) * dtype.itemsize
    if not dtype.hasobject and not 0 < entry.file_size - size < 2**16:
        raise InputError(
            f"array {name} of shape {shape} takes {size} bytes, but the archive keeps {entry.file_size}"
        )
    if entry.file_size > _MOST_COMPRESSED * max(entry.compress_size, 1):
        raise InputError(
            f"array {name} is said to be packed into {entry.compress_size} bytes, fewer than can be"
        )
    return shape, dtype


def _check_array(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if dtype.kind not in "iuf":
        raise InputError(f"found numbers of type {dtype}, expected real intensities")
    if len(shape) == 3:
        raise InputError(
            f"found a stack of {shape[0]} planes, expected one of {shape[1:]}: give stacks to Python's API"
        )
    if len(shape) != 2 or min(shape) < 2:
        raise InputError(f"found shape {shape}, expected {(PIXELS, PIXELS)} or, with axes, another plane")
    _check_pixels(shape)


def _check_pixels(shape: tuple[int, ...]) -> None:
    if int(shape[0]) * int(shape[1]) > MOST_PIXELS:
        raise InputError(f"found shape {shape}, expected at most {MOST_PIXELS} pixels")


def _read_grey(path: Path) -> MeasuredPlane:
    """A TIFF or PNG picture of grey levels, one page, one channel, black being zero."""
    # Here, because only those who bring pictures need it, and it takes its time.
    from PIL import Image

    with (
        _told_as(path, "cannot be read as a picture, truncated or damaged"),
        Image.open(path, formats=["PNG", "TIFF"]) as image,
    ):
        if image.format == "PNG":
            with Image.open(path, formats=["PNG"]) as again:
                again.verify()  # the checksums, which are not looked at otherwise
        if image.mode not in _GREY_MODES:
            found = _OTHER_MODES.get(image.mode, f"colours ({image.mode})")
            raise InputError(f"found {found}, expected intensities: one channel of grey levels")
        tags: Any = getattr(image, "tag_v2", {})
        if tags.get(_TIFF_PHOTOMETRIC) == 0:
            raise InputError("found a negative, white being zero, expected intensities from black on")
        if "transparency" in image.info:
            raise InputError("found grey with transparency, expected intensities: one channel of grey levels")
        shape = image.height, image.width
        if min(shape) < 2:
            raise InputError(f"found shape {shape}, expected a plane")
        _check_pixels(shape)
        bits = tags.get(_TIFF_BITS, 16 if "16" in image.mode else 8)
        bits = bits[0] if isinstance(bits, tuple) else bits
        size, held = image.height * image.width * max(int(bits), 8) // 8, path.stat().st_size
        if size > _MOST_COMPRESSED * held:
            raise InputError(f"found shape {shape} in a file of {held} bytes, fewer than can hold it")
        _check_strips(tags, size, held)
        if _has_second_page(image):
            raise InputError("found several pages, expected one plane: save the page that is meant by itself")
        image.load()
        array = np.asarray(image)
        kind = _GREY_MODES[image.mode]
    signed: Any = tags.get(_TIFF_SAMPLE_FORMAT, 1)
    if array.dtype == np.uint8 and signed in (2, (2,)):
        array = array.view(np.int8)  # Pillow takes no notice of the sign of a byte
    notes = (
        ()
        if kind != "8-bit"
        else ("8-bit grey levels: if they were scaled to be looked at, they are no intensities",)
    )
    return MeasuredPlane(np.array(array, dtype=np.float64), notes=notes)


def _check_strips(tags: Any, size: int, held: int) -> None:
    """All pixels of a TIFF are in the file: else Pillow makes zeros of those that are not."""
    for first, lengths in _TIFF_PIECES:
        begins, counts = (tuple(np.ravel(tags.get(tag, ())).tolist()) for tag in (first, lengths))
        if len(begins) != len(counts) or any(map(lambda begin, count: begin + count > held, begins, counts)):
            raise InputError(f"truncated: {held} bytes are fewer than its pixels take")
        if counts and tags.get(_TIFF_COMPRESSION, 1) == 1 and sum(counts) < size:
            raise InputError(f"damaged: its parts have {sum(counts)} bytes, its pixels take {size}")


def _has_second_page(image: Any) -> bool:
    try:
        image.seek(1)
    except EOFError:
        return False
    return True


@contextmanager
def _told_as(path: Path, trouble: str) -> Iterator[None]:
    """Whatever goes wrong in the block becomes one sentence about the file, and nothing is printed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers from Python 2, of tags that nobody needs
            yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except Exception as error:  # a damaged header fails in any of a dozen ways
        raise InputError(f"{path}: {trouble} ({error})") from error
