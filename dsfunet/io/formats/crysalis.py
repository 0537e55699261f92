"""Layers of reciprocal space that CrysAlisPro unwarps from its frames and saves as .img.

The file has the format of Oxford Diffraction: a little-endian header of 5120 bytes, then the pixels, either as int32 or
packed as "TY1" (differences of neighbours in one byte each, followed by the exceptions). TY1 is unpacked here, because
fabio knows only the detectors in its own list and installs 200 MB; a test checks that both agree bit for bit. The
fields of the header that describe the layer were found by the authors of rspace3d, who compared files with the display
of the program:

    864   3 doubles   centre of the layer, h, k, l
    896   3 doubles   direction of the x axis of the picture in h, k, l
    928   3 doubles   direction of the y axis in h, k, l; only its part perpendicular to x counts
    1024  double      d_min [Angstrom]; the picture is 2/d_min wide
    2104  double      wavelength [Angstrom]
    2256  9 doubles   UB, columns a*, b*, c* *times the wavelength*, without 2 pi: |a*| = |first column| / wavelength

Pixels are square and Cartesian, 2 / (d_min NX) wide without 2 pi. Counting from one, the centre is at pixel
(NX + 1) // 2 + 1/2 in x, and likewise in y. Reflections that miss the detector are stored as -1, regions without any
data as 0.
"""

import re
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.files import name_file_in_errors
from dsfunet.io.user_axes import make_cartesian_grid
from dsfunet.physics import Cell
from dsfunet.planes.measured import MeasuredPlane
from dsfunet.planes.names import AXIS_LABELS, AnyPlaneName, PlaneName

SIGNATURE = b"OD SAPPHIRE"

_ASCII_BYTES = 256
_LEAST_HEADER = 2256 + 9 * 8
_SIZES = re.compile(rb"NX=\s*(\d+)\s+NY=\s*(\d+)\s+OI=\s*(\d+)\s+OL=\s*(\d+)")
_HEADER_SIZE = re.compile(rb"NHEADER=\s*(\d+)")
_COMPRESSION = re.compile(rb"COMPRESSION=[ ]*(\w*)")

_MOST_PIXELS = 2**26
_SHORT, _LONG = 254, 255
"""Bytes of TY1 that mark an exception, which is stored in two or in four bytes after all pixels."""

_GAP_OF_A_CELL = 0.05
"""Squares of zeros wider than this fraction of a reciprocal cell were not measured."""
_GAP_PIXELS = (7, 25)
"""Smallest and largest width of these squares [pixels]: low counts leave small clusters of true zeros."""
_BRIGHT = 12.0
"""A zero whose neighbours have at least this mean count was not measured: a true zero has the probability exp(-12)."""
_WINDOW_PIXELS = 7


@dataclass(frozen=True)
class _Header:
    """The fields of a header that are needed; `shape` is (NY, NX)."""

    shape: tuple[int, int]
    bytes_before_pixels: int
    packed: bool
    shorts: int
    longs: int
    centre: tuple[float, float, float]
    x_axis: tuple[float, float, float]
    y_axis: tuple[float, float, float]
    d_min_angstrom: float
    cell: Cell


def read_layer(path: Path, plane: AnyPlaneName | None = None) -> MeasuredPlane:
    """Read a layer with its axes.

    Rows run along the x axis of the picture, which is the first axis of the plane, and columns along its y axis. Pixels
    below zero stay negative, and count as missing. Zeros become NaN where they fill a square wider than 5 % of a
    reciprocal cell, or lie among pixels of more than 12 counts. If the axes of the plane are oblique, the grid belongs
    to a plane spanned by two perpendicular vectors. Rows of the file are assumed to run from the bottom up, towards
    larger y.

    Args:
        path: the file.
        plane: the plane; needed only if the header does not say which layer it is, and must not contradict it.

    Raises:
        InputError: the file is truncated or damaged, is packed in another way, is a frame of the detector, is a layer
            not spanned by two of h, k, l, or is not the requested plane.
    """
    with name_file_in_errors(path):
        try:
            with path.open("rb") as stream:
                start = stream.read(8192)
                header = _read_header(start, path.stat().st_size)
                stream.seek(header.bytes_before_pixels)
                counts = _read_pixels(stream.read(), header)
        except OSError as error:
            raise InputError(f"the file cannot be read ({error.strerror})") from error
        name, swapped = _identify_plane(header, plane)
        return _place_layer(counts, header, name, swapped)


def _read_header(start: bytes, file_bytes: int) -> _Header:
    text = start[:_ASCII_BYTES]
    sizes, header_size, compression = (
        pattern.search(text) for pattern in (_SIZES, _HEADER_SIZE, _COMPRESSION)
    )
    if not (sizes and header_size and compression) or len(start) < _LEAST_HEADER:
        raise InputError("the header is truncated or damaged; expected a .img file of CrysAlisPro")
    width, height, shorts, longs = (int(group) for group in sizes.groups())
    before = int(header_size[1])
    method = compression[1].decode("ascii", "replace").upper()
    if re.fullmatch(r"TY\d+", method) and method != "TY1":
        raise InputError(
            f"the pixels are packed as {method}; expected TY1 or no packing (write the layer with 'wd inc')"
        )
    packed = method == "TY1"
    if not (min(width, height) >= 2 and width * height <= _MOST_PIXELS and before >= _LEAST_HEADER):
        raise InputError(
            f"the file has a header of {before} bytes and {width} x {height} pixels; expected a layer of at most"
            f" {_MOST_PIXELS:,} pixels"
        )
    needed = before + (width * height + 2 * shorts + 4 * longs if packed else 4 * width * height)
    if file_bytes < needed:
        raise InputError(
            f"the file is truncated to {file_bytes} bytes; expected {needed} for {width} x {height} pixels"
        )
    d_min, wavelength = _read_doubles(start, 1024, 1)[0], _read_doubles(start, 2104, 1)[0]
    orientation = np.array(_read_doubles(start, 2256, 9)).reshape(3, 3)
    if not (0 < d_min < 1e3 and 0 < wavelength < 1e3):
        raise InputError(
            f"the header has d_min {d_min:g} and wavelength {wavelength:g}; expected a layer unwarped by CrysAlisPro,"
            " not a frame of the detector"
        )
    centre, x_axis, y_axis = (_read_doubles(start, place, 3) for place in (864, 896, 928))
    return _Header(
        shape=(height, width),
        bytes_before_pixels=before,
        packed=packed,
        shorts=shorts,
        longs=longs,
        centre=(centre[0], centre[1], centre[2]),
        x_axis=(x_axis[0], x_axis[1], x_axis[2]),
        y_axis=(y_axis[0], y_axis[1], y_axis[2]),
        d_min_angstrom=d_min,
        cell=_compute_cell(orientation, wavelength),
    )


def _read_doubles(start: bytes, place: int, count: int) -> tuple[float, ...]:
    values: tuple[float, ...] = struct.unpack_from(f"<{count}d", start, place)
    return values


def _compute_cell(orientation: Array, wavelength: float) -> Cell:
    """Compute the unit cell from a UB whose columns are a*, b*, c* times the wavelength, without 2 pi."""
    with np.errstate(all="ignore"):
        reciprocal = orientation / wavelength
        try:
            metric = np.linalg.inv(reciprocal.T @ reciprocal)
        except np.linalg.LinAlgError as error:
            raise InputError("the UB in the header is singular; expected an orientation matrix") from error
        lengths = np.sqrt(np.diag(metric))
        cosines = [metric[i, j] / (lengths[i] * lengths[j]) for i, j in ((1, 2), (0, 2), (0, 1))]
        angles = np.degrees(np.arccos(cosines))
    # The right angles of a cubic cell with a rotated UB come out as 89.99999999999999 degrees.
    values = [float(np.round(value, 9)) for value in (*lengths, *angles)]
    if not all(0 < value < 1e5 for value in values):
        raise InputError(f"the UB in the header gives the cell {values}; expected an orientation matrix")
    return Cell(*values)


def _read_pixels(content: bytes, header: _Header) -> npt.NDArray[np.int64]:
    """Unpack the counts, shape (NY, NX)."""
    pixels = header.shape[0] * header.shape[1]
    if not header.packed:
        return np.frombuffer(content, "<i4", pixels).astype(np.int64).reshape(header.shape)
    codes = np.frombuffer(content, np.uint8, pixels)
    shorts = np.frombuffer(content, "<i2", header.shorts, pixels)
    longs = np.frombuffer(content, "<i4", header.longs, pixels + 2 * header.shorts)
    steps = codes.astype(np.int64) - 127
    for code, exceptions in ((_SHORT, shorts), (_LONG, longs)):
        places = np.flatnonzero(codes == code)
        if len(places) != len(exceptions):
            raise InputError(
                f"the file is damaged: {len(places)} pixels refer to {len(exceptions)} stored numbers; expected as many"
                " numbers as pixels"
            )
        steps[places] = exceptions
    return np.cumsum(steps, out=steps).reshape(header.shape)


def _identify_plane(header: _Header, named: AnyPlaneName | None) -> tuple[PlaneName, bool]:
    """Return which layer it is, and whether the x axis of the picture is the second axis of the plane."""
    directions = []
    for vector in (header.x_axis, header.y_axis):
        along = [axis for axis in range(3) if np.allclose(vector, np.eye(3)[axis], atol=1e-6)]
        directions += along
    if not any(header.x_axis) and not any(header.y_axis):
        if isinstance(named, PlaneName):
            return named, False  # an older header, which does not name the layer
        raise InputError("the header does not say which layer this is; name the plane, such as hk0")
    if len(directions) != 2 or directions[0] == directions[1]:
        raise InputError(
            f"the layer runs along {_format_vector(header.x_axis)} and {_format_vector(header.y_axis)}; expected two of"
            " h, k, l"
        )
    fixed = 3 - sum(directions)
    in_plane = [header.centre[axis] for axis in directions]
    if not np.allclose(in_plane, 0, atol=1e-6):
        raise InputError(
            f"the centre of the layer is {_format_vector(header.centre)}; expected a point on {AXIS_LABELS[fixed]}*"
        )
    axes = sorted(directions)
    name = PlaneName((axes[0], axes[1]), float(np.round(header.centre[fixed], 9)))
    if named is not None and not _is_same_plane(name, named):
        raise InputError(f"the file holds plane {name}, not {named}; request {name} or no plane")
    return name, directions[0] > directions[1]


def _is_same_plane(name: PlaneName, named: AnyPlaneName) -> bool:
    return (
        isinstance(named, PlaneName) and named.axes == name.axes and abs(named.offset - name.offset) <= 1e-3
    )


def _format_vector(vector: tuple[float, float, float]) -> str:
    return "(" + " ".join(f"{value:g}" for value in vector) + ")"


def _place_layer(
    counts: npt.NDArray[np.int64], header: _Header, name: PlaneName, swapped: bool
) -> MeasuredPlane:
    height, width = header.shape
    step = 2 * np.pi * 2 / (header.d_min_angstrom * width)
    centre_x, centre_y = (float((count + 1) // 2 - 0.5) for count in (width, height))
    pixels, centre = counts.T, (centre_x, centre_y)
    if swapped:
        if abs(float(np.dot(*(header.cell.reciprocal[axis] for axis in name.axes)))) > 1e-6:
            raise InputError(
                f"the oblique layer has {name.labels[1]} to the right; expected {name.labels[0]} to the right and"
                f" {name.labels[1]} up"
            )
        pixels, centre = counts, (centre_y, centre_x)
    grid = make_cartesian_grid(header.cell, name, step, (pixels.shape[0], pixels.shape[1]), centre)
    intensity = pixels.astype(np.float64)
    gaps = _find_gaps(intensity, grid.steps)
    intensity[gaps] = np.nan
    notes = (
        (
            f"{100 * gaps.mean():.1f} % of the pixels are 0 in wide regions or among bright pixels, which is how"
            " CrysAlisPro writes pixels that were not measured; they count as missing",
        )
        if gaps.any()
        else ()
    )
    return MeasuredPlane(intensity, grid, notes)


def _find_gaps(intensity: Array, steps: tuple[float, float]) -> npt.NDArray[np.bool_]:
    """Find zeros that fill a square wider than 5 % of a reciprocal cell, and zeros among bright pixels."""
    cell_pixels = 1 / min(abs(step) for step in steps)
    width = int(np.clip(np.ceil(_GAP_OF_A_CELL * cell_pixels), *_GAP_PIXELS)) | 1
    zero = intensity == 0
    # A morphological opening; the outside of the picture counts as not measured.
    eroded = ndimage.minimum_filter(zero.astype(np.uint8), width, mode="constant", cval=1)
    wide = ndimage.maximum_filter(eroded, width, mode="constant", cval=0) > 0
    counted = intensity > 0
    total, share = (
        ndimage.uniform_filter(values.astype(np.float64), _WINDOW_PIXELS, mode="constant")
        for values in (np.where(counted, intensity, 0.0), counted)
    )
    gaps: npt.NDArray[np.bool_] = wide | (zero & (total > _BRIGHT * share) & (share > 1e-6))
    return gaps
