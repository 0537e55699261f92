"""Layers of reciprocal space that CrysAlisPro unwarps from its frames and keeps as .img.

The file is one of Oxford Diffraction's: a header of 5120 bytes, little-endian, then the pixels, as they are (int32) or
packed as "TY1" (differences of neighbours in one byte each, exceptions behind them). We unpack TY1 ourselves: fabio,
which agrees to the bit (a test holds that), knows only the detectors of its own list and brings 200 MB along. What the
header says of the layer, at fixed bytes, was found out by the authors of rspace3d beside the program's own display:

    864   3 doubles   the layer's centre h, k, l
    896   3 doubles   direction of the picture's x axis in h, k, l
    928   3 doubles   direction of its y axis, of which what is perpendicular to x counts
    1024  double      d_min [Angstrom]; the picture is 2/d_min wide
    2104  double      wavelength [Angstrom]
    2256  9 doubles   UB, columns a*, b*, c* *times the wavelength*, without 2 pi: |a*| = |first column| / wavelength

Pixels are square and Cartesian, 2 / (d_min NX) wide without 2 pi. One based, the centre is at pixel
(NX + 1) // 2 + 1/2, and likewise in y. Beams that hit no detector are kept as -1, regions without any as 0.
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
from dsfunet.io.user_axes import make_cartesian_grid
from dsfunet.physics import Cell
from dsfunet.planes.measured import MeasuredPlane
from dsfunet.planes.names import AXIS_LABELS, PlaneName, parse_plane_name

SIGNATURE = b"OD SAPPHIRE"

_ASCII_BYTES = 256
_LEAST_HEADER = 2256 + 9 * 8
_SIZES = re.compile(rb"NX=\s*(\d+)\s+NY=\s*(\d+)\s+OI=\s*(\d+)\s+OL=\s*(\d+)")
_HEADER_SIZE = re.compile(rb"NHEADER=\s*(\d+)")
_COMPRESSION = re.compile(rb"COMPRESSION=[ ]*(\w*)")

_MOST_PIXELS = 2**26
_SHORT, _LONG = 254, 255
"""Bytes of TY1 that stand for an exception, kept in two or in four bytes behind all pixels."""

_GAP_OF_A_CELL = 0.05
"""Squares of zeros wider than this share of a reciprocal cell were not measured."""
_GAP_PIXELS = (7, 25)
"""Nor narrower and not wider than so many pixels: a few counts leave small clusters of true zeros."""
_BRIGHT = 12.0
"""Among pixels of this mean a zero was not measured, in a window of so many pixels: of counts exp(-12) are zero."""
_WINDOW_PIXELS = 7


@dataclass(frozen=True)
class _Header:
    """What is needed of a header: `shape` is (NY, NX), `unit_cell` and `plane` as they are."""

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


def read_layer(path: Path, plane_name: str | None = None) -> MeasuredPlane:
    """A layer with its axes: rows along the picture's x axis, the plane's first reciprocal axis, columns along y.

    Pixels below zero stay so, and count as missing; zeros become NaN where they fill a square wider than 5 % of a
    reciprocal cell, or lie among pixels of more than 12 counts. Where the plane's axes are oblique, the grid is one of
    a plane that two perpendicular vectors span. The file's rows are taken to run from the bottom up, towards larger y.
    `plane_name` is needed only where the header does not say which layer it is, and must not contradict it.

    Raises:
        InputError: the file is truncated or damaged, packed in another way, a frame of the detector rather than a
            layer, a layer that no two of h, k, l span, or another one than was named.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(8192)
            header = _read_header(start, path.stat().st_size)
            stream.seek(header.bytes_before_pixels)
            counts = _read_pixels(stream.read(), header)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    try:
        name, swapped = _identify_plane(header, plane_name)
        return _place_layer(counts, header, name, swapped)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _read_header(start: bytes, file_bytes: int) -> _Header:
    text = start[:_ASCII_BYTES]
    sizes, header_size, compression = (
        pattern.search(text) for pattern in (_SIZES, _HEADER_SIZE, _COMPRESSION)
    )
    if not (sizes and header_size and compression) or len(start) < _LEAST_HEADER:
        raise InputError("header of a CrysAlisPro .img that is truncated or damaged")
    width, height, shorts, longs = (int(group) for group in sizes.groups())
    before = int(header_size[1])
    method = compression[1].decode("ascii", "replace").upper()
    if re.fullmatch(r"TY\d+", method) and method != "TY1":
        raise InputError(f"pixels packed as {method}, expected TY1 or none: write the layer with 'wd inc'")
    packed = method == "TY1"
    if not (min(width, height) >= 2 and width * height <= _MOST_PIXELS and before >= _LEAST_HEADER):
        raise InputError(f"header of {before} bytes and {width} x {height} pixels, expected a layer")
    needed = before + (width * height + 2 * shorts + 4 * longs if packed else 4 * width * height)
    if file_bytes < needed:
        raise InputError(f"truncated: {file_bytes} bytes, expected {needed} for {width} x {height} pixels")
    d_min, wavelength = _read_doubles(start, 1024, 1)[0], _read_doubles(start, 2104, 1)[0]
    orientation = np.array(_read_doubles(start, 2256, 9)).reshape(3, 3)
    if not (0 < d_min < 1e3 and 0 < wavelength < 1e3):
        raise InputError(
            f"found d_min {d_min:g} and wavelength {wavelength:g}, expected a layer unwarped by CrysAlisPro and not"
            " a frame of the detector"
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
    """The unit cell of a UB whose columns are a*, b*, c* times the wavelength, without 2 pi."""
    with np.errstate(all="ignore"):
        reciprocal = orientation / wavelength
        try:
            metric = np.linalg.inv(reciprocal.T @ reciprocal)
        except np.linalg.LinAlgError as error:
            raise InputError("UB in the header is singular, expected an orientation matrix") from error
        lengths = np.sqrt(np.diag(metric))
        cosines = [metric[i, j] / (lengths[i] * lengths[j]) for i, j in ((1, 2), (0, 2), (0, 1))]
        angles = np.degrees(np.arccos(cosines))
    # A cubic cell through a rotated UB comes back as 89.99999999999999 degrees.
    values = [float(np.round(value, 9)) for value in (*lengths, *angles)]
    if not all(0 < value < 1e5 for value in values):
        raise InputError(f"UB in the header gives the cell {values}, expected an orientation matrix")
    return Cell(*values)


def _read_pixels(content: bytes, header: _Header) -> npt.NDArray[np.int64]:
    """Counts (NY, NX)."""
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
                f"damaged: {len(places)} pixels refer to {len(exceptions)} numbers behind them, expected as many"
            )
        steps[places] = exceptions
    return np.cumsum(steps, out=steps).reshape(header.shape)


def _identify_plane(header: _Header, wanted: str | None) -> tuple[PlaneName, bool]:
    """Which layer it is, and whether the picture's x axis is the second of the plane's two."""
    named = None if wanted is None else parse_plane_name(wanted)
    directions = []
    for vector in (header.x_axis, header.y_axis):
        along = [axis for axis in range(3) if np.allclose(vector, np.eye(3)[axis], atol=1e-6)]
        directions += along
    if not any(header.x_axis) and not any(header.y_axis) and named is not None:
        return named, False  # an older header, which does not say
    if len(directions) != 2 or directions[0] == directions[1]:
        raise InputError(
            f"layer along {_format_vector(header.x_axis)} and {_format_vector(header.y_axis)}, expected two of h, k, l"
            + (": name the plane" if not any(header.x_axis) else "")
        )
    fixed = 3 - sum(directions)
    in_plane = [header.centre[axis] for axis in directions]
    if not np.allclose(in_plane, 0, atol=1e-6):
        raise InputError(
            f"layer about {_format_vector(header.centre)}, expected its centre on {AXIS_LABELS[fixed]}*"
        )
    axes = sorted(directions)
    name = PlaneName((axes[0], axes[1]), float(np.round(header.centre[fixed], 9)))
    if named is not None and (named.axes != name.axes or abs(named.offset - name.offset) > 1e-3):
        raise InputError(f"holds plane {name}, expected {named}")
    return name, directions[0] > directions[1]


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
                f"layer with {name.labels[1]} to the right, oblique: expected {name.labels[0]}, then {name.labels[1]}"
            )
        pixels, centre = counts, (centre_y, centre_x)
    grid = make_cartesian_grid(header.cell, name, step, (pixels.shape[0], pixels.shape[1]), centre)
    intensity = pixels.astype(np.float64)
    gaps = _find_gaps(intensity, grid.steps)
    intensity[gaps] = np.nan
    notes = (
        (
            f"{100 * gaps.mean():.1f} % of the pixels are 0 in wide regions or among bright pixels, as"
            " CrysAlisPro writes what was not measured: they count as missing",
        )
        if gaps.any()
        else ()
    )
    return MeasuredPlane(intensity, grid, notes)


def _find_gaps(intensity: Array, steps: tuple[float, float]) -> npt.NDArray[np.bool_]:
    """Zeros that fill a square wider than 5 % of a reciprocal cell, and zeros among bright pixels."""
    cell_pixels = 1 / min(abs(step) for step in steps)
    width = int(np.clip(np.ceil(_GAP_OF_A_CELL * cell_pixels), *_GAP_PIXELS)) | 1
    zero = intensity == 0
    # A morphological opening; outside the picture nothing was measured either.
    eroded = ndimage.minimum_filter(zero.astype(np.uint8), width, mode="constant", cval=1)
    wide = ndimage.maximum_filter(eroded, width, mode="constant", cval=0) > 0
    counted = intensity > 0
    total, share = (
        ndimage.uniform_filter(values.astype(np.float64), _WINDOW_PIXELS, mode="constant")
        for values in (np.where(counted, intensity, 0.0), counted)
    )
    gaps: npt.NDArray[np.bool_] = wide | (zero & (total > _BRIGHT * share) & (share > 1e-6))
    return gaps
