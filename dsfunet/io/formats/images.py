"""Files that hold a single plane: NumPy .npy and .npz, grey TIFF and PNG, and layers of CrysAlisPro.

The format is recognised by content. Apart from the layers of CrysAlisPro, these files have no axes and no unit cell, so
the user gives them as `UserAxes`.
"""

from pathlib import Path
from typing import Any

import numpy as np

from dsfunet.errors import InputError
from dsfunet.files import NPY_SIGNATURE, leading_bytes, name_file_in_errors
from dsfunet.io.formats import crysalis
from dsfunet.io.formats.array_files import name_array_file, read_array_file
from dsfunet.io.formats.arrays import ArrayFile
from dsfunet.io.formats.damage import MOST_COMPRESSED, convert_errors
from dsfunet.io.formats.numpy_arrays import NPZ_SIGNATURE
from dsfunet.io.user_axes import UserAxes, put_on_axes
from dsfunet.io.volume import MOST_PIXELS
from dsfunet.physics import Cell
from dsfunet.planes.measured import MeasuredPlane
from dsfunet.planes.names import AnyPlaneName
from dsfunet.planes.preprocessing import PIXELS

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

EXPECTED = "a .npz, a grey TIFF or PNG, or a layer unwarped by CrysAlisPro (.img)"
"""What this reader looks for besides .npy, in words, for messages."""

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
    path: Path,
    start: bytes,
    plane: AnyPlaneName | None = None,
    axes: UserAxes | None = None,
    cell: Cell | None = None,
) -> MeasuredPlane | None:
    """Read the plane in a file of one of these formats and put it onto the user's axes.

    Args:
        path: the file.
        start: its first bytes.
        plane: for a layer of CrysAlisPro, the plane that it must be; not allowed for a file without axes.
        axes: where the pixels lie, for a file without axes.
        cell: the unit cell that the user gave; it only changes what is said about missing axes.

    Returns:
        the plane; None if the file has another format, has axes or is a volume.

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
                f"the {_describe_kind(start)} file has no axes, so it has no plane {plane}; "
                + (
                    f"remove the plane, or give the axes with {_AXIS_OPTIONS}"
                    if cell is None
                    else "besides the cell and the plane, give --first-range and --second-range, the indices of its"
                    ' first and last pixel, such as "-6 6", or --q-max-inv-angstrom'
                )
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
    if start.startswith((PNG_SIGNATURE, *TIFF_SIGNATURES)):
        return _read_grey(path)
    with name_file_in_errors(path):
        found = read_array_file(path, start)
        if found is None or found.has_axes or np.squeeze(found.intensity).ndim > 2:
            return None
        return _make_plane(found)


def _make_plane(found: ArrayFile) -> MeasuredPlane:
    """Make a plane without axes of an array of two dimensions."""
    shape = np.squeeze(found.intensity).shape
    if len(shape) != 2 or min(shape) < 2:
        raise InputError(
            f"the array has shape {found.intensity.shape}; expected {(PIXELS, PIXELS)}, or another plane with axes"
        )
    _check_pixels(shape)
    values, sigma = (
        None if each is None else np.array(each, dtype=np.float64).reshape(shape)
        for each in (found.intensity, found.sigma)
    )
    assert values is not None
    return MeasuredPlane(values, notes=found.notes, sigma=sigma)


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
    if start.startswith(PNG_SIGNATURE):
        return "PNG"
    return "TIFF" if start.startswith(TIFF_SIGNATURES) else name_array_file(start)


def _check_pixels(shape: tuple[int, ...]) -> None:
    if int(shape[0]) * int(shape[1]) > MOST_PIXELS:
        raise InputError(f"the plane has shape {shape}; expected at most {MOST_PIXELS} pixels")


def _read_grey(path: Path) -> MeasuredPlane:
    """Read a TIFF or PNG picture with one page and one channel of grey levels, in which black is zero."""
    # Imported here, because it takes time and only pictures need it.
    from PIL import Image

    with (
        convert_errors(path, "the picture cannot be read; it is truncated or damaged"),
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
        if size > MOST_COMPRESSED * held:
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
