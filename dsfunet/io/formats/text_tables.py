"""Planes and volumes as text: grids of numbers, lists of h k l and intensity, CSV, and nipl files of DISCUS and KUPLOT.

A list has one voxel a line. Its columns are named in the line above it ("h,k,l,intensity", "# h k l I sigma"), or are
h k l I, or h k l I sigma, as Scatty and many scripts write them. A nipl file begins with the numbers of pixels along x
and y and with their first and last coordinates; x changes fastest.
"""

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.io.axis_names import find_cartesian_axis, find_direction, find_index_axis
from dsfunet.io.formats import rmcprofile
from dsfunet.io.formats.arrays import ArrayFile

_COMMENT = re.compile(r"^\s*(?:[#%!]|//)+")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][+-]?\d+)?|[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
_INTENSITY = {"i", "intensity", "int", "counts", "signal", "data", "value", "z", "f2", "intensities", "s"}
_SIGMA = {"sigma", "error", "err", "di", "sig", "esd", "std", "uncertainty", "sigi"}
_LARGEST_FILE = 500_000_000
"""Largest text that is read [bytes]."""

_SPARSEST = 50
"""A list with fewer than one point for so many voxels of its box is not a grid."""


def recognises(start: bytes) -> bool:
    """Whether a file that begins with these bytes is text with two lines of numbers near its beginning."""
    if b"\0" in start:
        return False
    try:
        text = start.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(start) - 4:  # the last letter may be cut
            return False
        text = start[: error.start].decode("utf-8-sig")
    lines = [line for line in text.splitlines()[:60] if line.strip() and not _COMMENT.match(line)]
    return sum(_is_numeric(_split(line)) for line in lines[:6]) >= 2


def read_array(path: Path) -> ArrayFile:
    """Read the plane or the volume in a text.

    Raises:
        InputError: the numbers are neither a grid nor a list of the voxels of one.
    """
    if path.stat().st_size > _LARGEST_FILE:
        raise InputError(f"a text of {path.stat().st_size} bytes; expected at most {_LARGEST_FILE}")
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    comments = [_COMMENT.sub("", line).strip() for line in lines[:100] if _COMMENT.match(line)]
    kept = [line for line in lines if line.strip() and not _COMMENT.match(line)]
    first = next((n for n, line in enumerate(kept[:4]) if _is_numeric(_split(line))), 0)
    heads = [*comments, *kept[:first]]
    rows = [_split(line) for line in kept[first:]]
    if rmcprofile.recognises(rows):
        values = _convert([word for row in rows[1:] for word in row])
        width = len(rows[1])
        return rmcprofile.read_array(rows[0], values[: len(values) // width * width].reshape(-1, width))
    found = _read_nipl(rows)
    if found is not None:
        return found
    width = len(rows[0])
    uneven = next((n for n, row in enumerate(rows) if len(row) != width), None)
    if uneven is not None:
        raise InputError(
            f"a text whose line {first + uneven + 1} has {len(rows[uneven])} numbers; expected {width} in every line"
        )
    table = _convert([word for row in rows for word in row]).reshape(len(rows), width)
    names = next((names for head in reversed(heads) if (names := _read_names(head, width))), None)
    if names is None and width in (4, 5) and len(rows) > width * width and _is_grid(table[:, :3]):
        names = ["h", "k", "l", "intensity", "sigma"][:width]
    if names is not None:
        return _read_list(table, names)
    if width == 3 and len(rows) > 9 and _is_grid(table[:, :2]):
        return _read_pairs(table)
    return ArrayFile("table of numbers", table)


def _split(line: str) -> list[str]:
    """Split a line at semicolons, commas, tabs or blanks; empty fields between the first three are missing values."""
    for separator in (";", ",", "\t"):
        if separator in line:
            words = [word.strip().strip('"') for word in line.rstrip(" \r\n").split(separator)]
            if separator == ";":  # decimal commas go with semicolons
                words = [word.replace(",", ".") for word in words]
            if words and not words[-1]:
                words.pop()  # a separator at the end of the line
            return [word or "nan" for word in words]
    return line.split()


def _is_numeric(words: list[str]) -> bool:
    return bool(words) and all(_NUMBER.fullmatch(word) for word in words)


def _convert(words: list[str]) -> Array:
    try:
        return np.array(words, dtype=np.float64)
    except ValueError:
        try:
            return np.array([word.replace("D", "E").replace("d", "e") for word in words], dtype=np.float64)
        except ValueError as error:
            raise InputError(
                f"a text in which not everything is a number ({error}); expected a table"
            ) from error


def _read_nipl(rows: list[list[str]]) -> ArrayFile | None:
    """Read a file in the format of KUPLOT: nx ny, xmin xmax ymin ymax, then the values, x fastest."""
    if len(rows) < 3 or len(rows[0]) != 2 or len(rows[1]) != 4 or not all(w.isdigit() for w in rows[0]):
        return None
    width, height = int(rows[0][0]), int(rows[0][1])
    limits = _convert(rows[1])
    values = [word for row in rows[2:] for word in row]
    if min(width, height) < 2 or len(values) < width * height:
        raise InputError(
            f"a nipl file of {width} x {height} pixels with {len(values)} values; expected {width * height}"
        )
    if not np.isfinite(limits).all() or limits[0] == limits[1] or limits[2] == limits[3]:
        raise InputError(f"a nipl file with the limits {limits.tolist()}; expected x and y with some width")
    array = _convert(values[: width * height]).reshape(height, width).T
    ranges = (float(limits[0]), float(limits[1])), (float(limits[2]), float(limits[3]))
    return ArrayFile("nipl of DISCUS or KUPLOT", np.ascontiguousarray(array), ranges=ranges)


def _read_names(head: str, width: int) -> list[str] | None:
    """Read names of columns that hold at least two coordinates and an intensity."""
    for words in (_split(head), re.split(r"\s{2,}|\t", head.strip()), head.replace(",", " ").split()):
        plain = [word.strip().strip('"') for word in words]
        axes = [w for w in plain if find_direction(w) is not None or find_cartesian_axis(w) is not None]
        if len(plain) == width and len(axes) >= 2 and _find_intensity(plain) is not None:
            return plain
    return None


def _find_intensity(names: list[str]) -> int | None:
    for n, name in enumerate(names):
        if re.sub(r"[\s(\[].*", "", name.lower()) in _INTENSITY:
            return n
    left = [
        n
        for n, name in enumerate(names)
        if find_direction(name) is None and find_cartesian_axis(name) is None
    ]
    return left[0] if len(left) == 1 else None


def _read_list(table: Array, names: list[str]) -> ArrayFile:
    """Read a list of voxels with named columns."""
    at = _find_intensity(names)
    assert at is not None
    sigma_at = next((n for n, name in enumerate(names) if name.lower() in _SIGMA), None)
    columns = [
        n
        for n, name in enumerate(names)
        if find_direction(name) is not None or find_cartesian_axis(name) is not None
    ]
    values = [_find_values(table[:, n]) for n in columns]
    thick = [n for n, each in enumerate(values) if len(each) > 1]
    layers = {
        number: float(values[n][0])
        for n in range(len(columns))
        if n not in thick and (number := find_index_axis(names[columns[n]])) is not None
    }
    shape = tuple(len(values[n]) for n in thick)
    if len(thick) < 2 or np.prod([float(count) for count in shape]) > _SPARSEST * len(table):
        raise InputError(
            f"a list of {len(table)} points with {' x '.join(str(len(each)) for each in values)} different"
            f" {', '.join(names[n] for n in columns)}; expected the points of a grid"
        )
    places = tuple(_find_places(table[:, columns[n]], values[n]) for n in thick)
    intensity = np.full(shape, np.nan)
    intensity[places] = table[:, at]
    sigma = None
    if sigma_at is not None:
        sigma = np.full(shape, np.nan)
        sigma[places] = table[:, sigma_at]
    axes = {dimension: (names[columns[n]], values[n]) for dimension, n in enumerate(thick)}
    return ArrayFile("list of h, k, l and intensity", intensity, axes, layers, sigma=sigma)


def _read_pairs(table: Array) -> ArrayFile:
    """Read a list of x, y and intensity, whose axes have no names."""
    x, y = _find_values(table[:, 0]), _find_values(table[:, 1])
    intensity = np.full((len(x), len(y)), np.nan)
    intensity[_find_places(table[:, 0], x), _find_places(table[:, 1], y)] = table[:, 2]
    ranges = (float(x[0]), float(x[-1])), (float(y[0]), float(y[-1]))
    return ArrayFile("list of x, y and intensity", intensity, ranges=ranges)


def _find_values(column: Array) -> Array:
    """Find the different coordinates in a column, in increasing order; rounding of the text is not a difference."""
    if not np.isfinite(column).all():
        raise InputError("a list with coordinates that are not finite; expected numbers")
    values = np.unique(column)
    wide = np.diff(values) > 1e-4 * max(float(np.ptp(values)), 1e-12)
    return np.asarray(values[np.concatenate([[True], wide])])


def _find_places(column: Array, values: Array) -> npt.NDArray[np.intp]:
    middles = 0.5 * (values[1:] + values[:-1])
    return np.asarray(np.searchsorted(middles, column))


def _is_grid(coordinates: Array) -> bool:
    """Whether points fill a grid: their number is the product of the numbers of different coordinates."""
    if not np.isfinite(coordinates).all():
        return False
    counts = [len(_find_values(column)) for column in coordinates.T]
    return sum(count > 1 for count in counts) >= 2 and np.prod(counts) == len(coordinates)
