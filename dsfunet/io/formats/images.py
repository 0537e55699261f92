"""Files that hold a single plane: NumPy .npy and .npz, grey TIFF and PNG, and layers of CrysAlisPro.

The format is recognised by content. Apart from the layers of CrysAlisPro, these files have no axes and no unit cell, so
the user gives them as `UserAxes`.
"""

import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from dsfunet.errors import InputError
from dsfunet.files import NPY_SIGNATURE, leading_bytes, name_file_in_errors
from dsfunet.io.formats import crysalis
from dsfunet.io.user_axes import UserAxes, put_on_axes
from dsfunet.io.volume import MOST_PIXELS
from dsfunet.planes.measured import MeasuredPlane
from dsfunet.planes.names import AnyPlaneName
from dsfunet.planes.preprocessing import PIXELS

NPZ_SIGNATURE = b"PK\x03\x04"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

EXPECTED = "a .npz, a grey TIFF or PNG, or a layer unwarped by CrysAlisPro (.img)"
"""What this reader looks for besides .npy, in words, for messages."""

_MOST_COMPRESSED = 2000
"""Largest compression ratio that is believed: deflate reaches 1032, LZW about 1400."""

# Pillow's names of the modes of grey pictures, and of modes that are not intensities.
_GREY_MODES = {
    "L": "8-bit",
    "I;16": "16-bit",
    "I;16L": "16-bit",
    "I;16B": "16-bit",
    "I": "32-bit",
    "F": "float",
}
_OTHER_MODES = {
    "1": "black and white pixels",
    "P": "colours of a palette",
    "PA": "colours of a palette",
    "LA": "grey with transparency",
}
_AXIS_OPTIONS = "--cell, --plane and either --q-max-inv-angstrom or both ranges"

_TIFF_BITS, _TIFF_COMPRESSION, _TIFF_PHOTOMETRIC, _TIFF_SAMPLE_FORMAT = 258, 259, 262, 339
_TIFF_PIECES = ((273, 279), (324, 325))
"""TIFF tags with the offsets and the byte counts of strips, and of tiles."""


def read_picture(
    path: Path, start: bytes, plane: AnyPlaneName | None = None, axes: UserAxes | None = None
) -> MeasuredPlane | None:
    """Read the plane in a file of one of these formats and put it onto the user's axes.

    Args:
        path: the file.
        start: its first bytes.
        plane: for a layer of CrysAlisPro, the plane that it must be; not allowed for a file without axes.
        axes: where the pixels lie, for a file without axes.

    Returns:
        the plane; None if the file has another format.

    Raises:
        InputError: the file is damaged or holds anything but one plane of real numbers; it has no axes, is given none
            and is not 256 x 256; or it has axes and is given others.
    """
    measured = read_pixels(path, start, plane)
    if measured is None:
        return None
    with name_file_in_errors(path):
        if axes is not None:
            return put_on_axes(measured, axes)
        if measured.grid is None and plane is not None:
            raise InputError(
                f"the {_describe_kind(start)} file has no axes, so it has no plane {plane}; remove the plane, or give"
                f" the axes with {_AXIS_OPTIONS}"
            )
        if measured.grid is None and measured.intensity.shape != (PIXELS, PIXELS):
            raise InputError(
                f"the plane has shape {measured.intensity.shape} and no axes; expected {(PIXELS, PIXELS)}, or give the"
                f" axes with {_AXIS_OPTIONS}"
            )
    return measured


def read_pixels(path: Path, start: bytes, plane: AnyPlaneName | None = None) -> MeasuredPlane | None:
    """Read the plane in a file of one of these formats, of any shape, with axes only if the file has them.

    Args:
        path: the file.
        start: its first bytes.
        plane: for a layer of CrysAlisPro, the plane that it must be; ignored for other files.

    Returns:
        the plane; None if the file has another format.

    Raises:
        InputError: the file is damaged, or holds anything but one plane of real numbers.
    """
    if start.startswith(crysalis.SIGNATURE):
        return crysalis.read_layer(path, plane)
    if start.startswith(NPY_SIGNATURE):
        return _read_npy(path)
    if start.startswith(NPZ_SIGNATURE):
        return _read_npz(path)
    if start.startswith((PNG_SIGNATURE, *TIFF_SIGNATURES)):
        return _read_grey(path)
    return None


def describe_layout(start: bytes) -> str:
    """Describe the format of a file of these formats by its first bytes."""
    if start.startswith(crysalis.SIGNATURE):
        return "layer of reciprocal space, unwarped by CrysAlisPro (.img)"
    return f"picture ({_describe_kind(start)})"


def read_npy(path: Path | str) -> MeasuredPlane:
    """Read a 256 x 256 plane of real numbers without axes from a .npy file.

    Raises:
        InputError: the file is missing, damaged or not .npy, or holds anything but one such plane.
    """
    path = Path(path)
    start = leading_bytes(path)
    if not start.startswith(NPY_SIGNATURE):
        raise InputError(f"{path}: the file begins with {start[:8]!r}; expected a .npy file")
    measured = read_picture(path, start)
    assert measured is not None
    return measured


def _describe_kind(start: bytes) -> str:
    if start.startswith(NPY_SIGNATURE):
        return ".npy"
    if start.startswith(NPZ_SIGNATURE):
        return ".npz"
    return "PNG" if start.startswith(PNG_SIGNATURE) else "TIFF"


def _read_npy(path: Path) -> MeasuredPlane:
    with _convert_errors(
        path, "the .npy file cannot be read; it is truncated, damaged or does not hold numbers"
    ):
        # Mapped, so that shape and type are checked before gigabytes are read, and a short file is noticed.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        _check_array(array.shape, array.dtype)
        return MeasuredPlane(np.array(array, dtype=np.float64))


def _read_npz(path: Path) -> MeasuredPlane:
    """Read the only array of two dimensions in an archive; a note names the others, such as coordinates."""
    with (
        _convert_errors(
            path, "the .npz file cannot be read; it is truncated, damaged or does not hold numbers"
        ),
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
            raise InputError(
                f"the archive holds {found or 'no arrays'}; expected one array of two dimensions"
            )
        _check_array(*shapes[planes[0]])
        with archive.open(planes[0]) as stream:
            array = np.lib.format.read_array(stream, allow_pickle=False)
        others = [name.removesuffix(".npy") for name in shapes if name != planes[0]]
    ignored = f"the archive also holds {', '.join(others)}, which is ignored; give the axes as options"
    notes = (ignored,) if others else ()
    return MeasuredPlane(np.array(array, dtype=np.float64), notes=notes)


def _read_npy_header(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Read the shape and type of an array in an archive, and check them against the size of the archive's entry."""
    entry = archive.getinfo(name)
    with archive.open(name) as stream:
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in read:
            raise InputError(f"array {name} has the .npy version {version}; expected 1.0 or 2.0")
        shape, _, dtype = read[version](stream)
    size = int(np.prod([int(count) for count in shape], dtype=object)) * dtype.itemsize
    if not dtype.hasobject and not 0 < entry.file_size - size < 2**16:
        raise InputError(
            f"array {name} has shape {shape} and {entry.file_size} bytes; expected {size} bytes (the file is damaged)"
        )
    if entry.file_size > _MOST_COMPRESSED * max(entry.compress_size, 1):
        raise InputError(
            f"array {name} has {entry.file_size} bytes packed into {entry.compress_size}; expected a compression of at"
            f" most {_MOST_COMPRESSED} (the file is damaged)"
        )
    return shape, dtype


def _check_array(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if dtype.kind not in "iuf":
        raise InputError(f"the numbers have type {dtype}; expected real intensities")
    if len(shape) == 3:
        raise InputError(
            f"the file holds a stack of {shape[0]} planes; expected one plane of shape {shape[1:]} (the Python"
            " API takes stacks)"
        )
    if len(shape) != 2 or min(shape) < 2:
        raise InputError(
            f"the array has shape {shape}; expected {(PIXELS, PIXELS)}, or another plane with axes"
        )
    _check_pixels(shape)


def _check_pixels(shape: tuple[int, ...]) -> None:
    if int(shape[0]) * int(shape[1]) > MOST_PIXELS:
        raise InputError(f"the plane has shape {shape}; expected at most {MOST_PIXELS} pixels")


def _read_grey(path: Path) -> MeasuredPlane:
    """Read a TIFF or PNG picture with one page and one channel of grey levels, in which black is zero."""
    # Imported here, because it takes time and only pictures need it.
    from PIL import Image

    with (
        _convert_errors(path, "the picture cannot be read; it is truncated or damaged"),
        Image.open(path, formats=["PNG", "TIFF"]) as image,
    ):
        if image.format == "PNG":
            with Image.open(path, formats=["PNG"]) as again:
                again.verify()  # the checksums, which load() does not check
        if image.mode not in _GREY_MODES:
            found = _OTHER_MODES.get(image.mode, f"colours ({image.mode})")
            raise InputError(f"the picture has {found}; expected one channel of grey levels, the intensities")
        tags: Any = getattr(image, "tag_v2", {})
        if tags.get(_TIFF_PHOTOMETRIC) == 0:
            raise InputError("the picture is a negative, in which white is zero; expected black to be zero")
        if "transparency" in image.info:
            raise InputError(
                "the picture has grey with transparency; expected one channel of grey levels, the intensities"
            )
        shape = image.height, image.width
        if min(shape) < 2:
            raise InputError(f"the picture has shape {shape}; expected two or more rows and columns")
        _check_pixels(shape)
        bits = tags.get(_TIFF_BITS, 16 if "16" in image.mode else 8)
        bits = bits[0] if isinstance(bits, tuple) else bits
        size, held = image.height * image.width * max(int(bits), 8) // 8, path.stat().st_size
        if size > _MOST_COMPRESSED * held:
            raise InputError(
                f"the picture has shape {shape} and the file only {held} bytes; the file is truncated or damaged"
            )
        _check_strips(tags, size, held)
        if _has_second_page(image):
            raise InputError(
                "the picture has several pages; expected one plane (save that page as its own file)"
            )
        image.load()
        array = np.asarray(image)
        kind = _GREY_MODES[image.mode]
    signed: Any = tags.get(_TIFF_SAMPLE_FORMAT, 1)
    if array.dtype == np.uint8 and signed in (2, (2,)):
        array = array.view(np.int8)  # Pillow ignores the sign of bytes
    notes = (
        ("8-bit grey levels: if they were scaled for display, they are not intensities",)
        if kind == "8-bit"
        else ()
    )
    return MeasuredPlane(np.array(array, dtype=np.float64), notes=notes)


def _check_strips(tags: Any, size: int, held: int) -> None:
    """Check that all pixels of a TIFF are in the file, because Pillow silently replaces missing ones by zeros."""
    for first, lengths in _TIFF_PIECES:
        begins, counts = (tuple(np.ravel(tags.get(tag, ())).tolist()) for tag in (first, lengths))
        if len(begins) != len(counts) or any(map(lambda begin, count: begin + count > held, begins, counts)):
            raise InputError(f"the file is truncated to {held} bytes; its pixels need more")
        if counts and tags.get(_TIFF_COMPRESSION, 1) == 1 and sum(counts) < size:
            raise InputError(
                f"the file is damaged: its parts have {sum(counts)} bytes; its pixels need {size}"
            )


def _has_second_page(image: Any) -> bool:
    try:
        image.seek(1)
    except EOFError:
        return False
    return True


@contextmanager
def _convert_errors(path: Path, trouble: str) -> Iterator[None]:
    """Convert every error in the block to an InputError that names the file; warnings are suppressed."""
    with name_file_in_errors(path):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about headers from Python 2 and unknown tags
                yield
        except InputError:
            raise
        except Exception as error:  # a damaged header fails in a dozen ways
            raise InputError(f"{trouble} ({error})") from error
