"""Numbers that mark gaps, such as 65535 or 4294967295: the largest value of an integer type and its neighbour.

Detectors of Dectris mark gaps between modules by the largest value of their unsigned integers and bad pixels by the
value below it; other detectors saturate at it. Programs mark gaps by a number far above all others, such as 1e20.
Negative marks (-1, -2, -999) are only described, because negative values are missing anyway.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array
from dsfunet.io.volume import Box, Volume
from dsfunet.planes.measured import MeasuredPlane

# float32 rounds 2^31 - 1 and 2^32 - 1 up; the last three are the fill values of C libraries and of netCDF.
_CERTAIN = (
    *(float(2**bits - less) for bits in (31, 32, 63, 64) for less in (0, 1, 2)),
    float(np.finfo(np.float32).max),
    float(np.finfo(np.float64).max),
    float(np.float32(9.9692099683868690e36)),
    9.9692099683868690e36,
)
"""Values that no detector counts: each of them marks a gap."""

_LIKELY = (32767.0, 65534.0, 65535.0)
"""Values that mark gaps, or saturated pixels, if they are the largest ones and many pixels hold them."""

_OF_EIGHT_BITS = (127.0, 255.0)
"""Values that mark gaps or saturated pixels of 8 bits, if far more pixels hold them than the values below."""

_FAR_ABOVE = 1e3
"""A value that many pixels hold marks gaps if it is so many times larger than all others."""

_SPIKE, _NEIGHBOURS = 5, 4
_MANY_PIXELS, _MANY = 10, 1e-4
_MOST_MARKS = 4


def find_gap_marks(values: Array) -> dict[float, int]:
    """Find the values that mark gaps in some intensities, and how many pixels hold each.

    Args:
        values: intensities, any shape; NaN is missing already.
    """
    marks: dict[float, int] = {}
    highest = float(np.fmax.reduce(values, axis=None, initial=0.0))
    count = int(np.count_nonzero(values == highest))
    if np.isfinite(highest) and highest not in _CERTAIN and not _are_many(count, values):
        return marks  # no copy of a large plane
    left = values[np.isfinite(values)]
    for _ in range(_MOST_MARKS):
        largest = float(left.max(initial=0.0))
        holds = left == largest
        count = int(np.count_nonzero(holds))
        others = left[~holds]
        if not (largest in _CERTAIN or (_are_many(count, values) and _is_mark(largest, count, others))):
            break
        marks[largest] = count
        left = others
    if not marks.keys() & set(_CERTAIN) and not (left.size and left.min() < left.max()):
        return {}  # of two values, such as those of a mask, neither marks a gap
    return marks


def _are_many(count: int, values: Array) -> bool:
    return count >= max(_MANY_PIXELS, _MANY * values.size)


def _is_mark(value: float, count: int, others: Array) -> bool:
    """Whether the largest value, which many pixels hold, marks gaps among the other values."""
    if value in _LIKELY:
        return True
    if value in _OF_EIGHT_BITS:
        below = others[others > value - 1 - _NEIGHBOURS]
        most = int(np.unique(below, return_counts=True)[1].max(initial=1))
        return count > _SPIKE * most and bool((others == np.round(others)).all())
    return 0 < float(others.max(initial=0.0)) * _FAR_ABOVE < value


def describe_negative_marks(values: Array) -> tuple[str, ...]:
    """Describe the negative values that mark gaps: few different ones, each held by many pixels.

    Args:
        values: intensities, any shape.
    """
    negative = values[np.isfinite(values) & (values < 0)]
    if not negative.size or not _are_many(int(np.count_nonzero(negative == negative.min())), values):
        return ()
    held, counts = np.unique(negative, return_counts=True)
    if len(held) > _MOST_MARKS or not all(_are_many(int(count), values) for count in counts):
        return ()
    return describe_gap_marks({float(value): int(count) for value, count in zip(held, counts, strict=True)})


class GapReader:
    """Reads blocks of an array with NaN where a value marks a gap, before they are interpolated, and tells of it."""

    def __init__(self, read: Callable[[Box], Array]) -> None:
        self._read = read
        self._marks: set[float] = set()

    def __call__(self, box: Box) -> Array:
        """Read a block."""
        values = self._read(box)
        marks = find_gap_marks(values)
        self._marks |= set(marks)
        return np.where(np.isin(values, list(marks)), np.nan, values) if marks else values

    def describe(self) -> tuple[str, ...]:
        """Describe the marks that were found so far, a sentence for each."""
        # Blocks overlap, so that a number of voxels would count some of them twice.
        return tuple(
            f"voxels hold {_format(mark)}, which marks gaps or saturation, and count as missing"
            for mark in sorted(self._marks)
        )


def clear_gaps(values: Array) -> Array:
    """Return intensities with NaN where a value marks a gap."""
    marks = find_gap_marks(values)
    return np.where(np.isin(values, list(marks)), np.nan, values) if marks else values


def describe_gap_marks(marks: dict[float, int]) -> tuple[str, ...]:
    """Describe the marks and the number of their pixels, a sentence for each."""
    return tuple(
        f"{count} pixel{'s' * (count > 1)} hold{'s' * (count == 1)} {_format(mark)}, which marks gaps or saturation,"
        f" and count{'s' * (count == 1)} as missing"
        for mark, count in marks.items()
    )


def clear_gaps_of_plane(measured: MeasuredPlane) -> MeasuredPlane:
    """Return a plane with NaN where a value marks a gap, and a note about it."""
    marks = find_gap_marks(measured.intensity)
    if not marks:
        return measured
    notes = (*measured.notes, *describe_gap_marks(marks))
    return replace(measured, intensity=clear_gaps(measured.intensity), notes=notes)


def clear_gaps_of_volume(volume: Volume) -> Volume:
    """Return a volume whose blocks are read with NaN where a value marks a gap; `Volume.remarks` then tells of them."""
    found: Counter[float] = Counter()

    def read(box: Box) -> Array:
        values = volume.read(box)
        marks = find_gap_marks(values)
        if not marks:
            return values
        found.update(marks)
        chosen: npt.NDArray[np.bool_] = np.isin(values, list(marks))
        return np.where(chosen, np.nan, values)

    return replace(
        volume,
        read=read,
        remarks=lambda: (*volume.remarks(), *describe_gap_marks(dict(sorted(found.items())))),
    )


def _format(mark: float) -> str:
    if mark in (2.0**63, 2.0**64):  # the largest integers, which float64 rounds up
        return str(int(mark) - 1)
    return f"{mark:.0f}" if abs(mark) < 1e20 and mark == round(mark) else f"{mark:g}"
