"""Numbers that mark gaps, such as 65535 or 4294967295: the largest value of an integer type and its neighbour.

Detectors of Dectris mark gaps between modules by the largest value of their unsigned integers and bad pixels by the
value below it; other detectors saturate at it. Negative marks (-1, -2) need no care, because negative values are
missing anyway.
"""

from collections import Counter
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

_CANDIDATES = {*_CERTAIN, *_LIKELY}

_MANY_PIXELS, _MANY = 10, 1e-4
_MOST_MARKS = 4


def find_gap_marks(values: Array) -> dict[float, int]:
    """Find the values that mark gaps in some intensities, and how many pixels hold each.

    Args:
        values: intensities, any shape; NaN is missing already.
    """
    marks: dict[float, int] = {}
    highest = float(np.fmax.reduce(values, axis=None, initial=0.0))
    if np.isfinite(highest) and highest not in _CANDIDATES:  # no copy of a large plane
        return marks
    left = values[np.isfinite(values)]
    for _ in range(_MOST_MARKS):
        largest = float(left.max(initial=0.0))
        holds = left == largest
        count = int(np.count_nonzero(holds))
        many = count >= max(_MANY_PIXELS, _MANY * values.size)
        if not (largest in _CERTAIN or (largest in _LIKELY and many)):
            break
        marks[largest] = count
        left = left[~holds]
    if marks.keys() <= set(_LIKELY) and not (left.size and left.min() < left.max()):
        return {}  # of two values, such as those of a mask, neither marks a gap
    return marks


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
    return f"{mark:.0f}" if mark < 1e20 else f"{mark:g}"
