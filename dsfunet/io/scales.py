"""Intensities that a file holds on another scale: the one of DSFU-Net from -1 to 1, square roots, logarithms."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from dsfunet._typing import Array
from dsfunet.planes.measured import MeasuredPlane
from dsfunet.planes.preprocessing import unspread
from dsfunet.planes.scale_names import Scale

_NOTES: dict[Scale, str] = {
    "spread": "read on its scale 2 sqrt(x) - 1, gaps at -1; give --scale centred if they are 2 x - 1",
    "centred": "most are so close to -1 that they are read as 2 x - 1, gaps at -1; give --scale spread if they are"
    " 2 sqrt(x) - 1",
}

_LEAST_MEDIAN = 0.02
"""Median of (s + 1) / 2 below which numbers from -1 to 1 are 2 x - 1. On the scale 2 sqrt(x) - 1, half of the plane
would have less than 1/2500 of its largest intensity, as no diffuse scattering has."""

_FEWEST_NEGATIVE = 0.1
"""Smallest share of negative numbers among those above -1: on both scales, a negative number is a weak intensity."""

_RANGE_TOLERANCE = 1e-6
_FEWEST_VALUES = 200
_LARGEST_COUNT = 1e5
"""Counts above this are not recognised in logarithms: float32 does not keep their units digit."""


@dataclass(frozen=True)
class _Inverse:
    """How intensities come back from a scale: the intensity of a value, and its derivative, for uncertainties."""

    intensity: Callable[[Array], Array]
    slope: Callable[[Array], Array]


_INVERSES: dict[str, _Inverse] = {
    "spread": _Inverse(unspread, lambda s: 0.5 * (s + 1)),
    "centred": _Inverse(lambda s: 0.5 * (s + 1), lambda s: np.full(s.shape, 0.5)),
    "sqrt": _Inverse(np.square, lambda s: 2 * s),
    "log": _Inverse(np.exp, np.exp),
    "log10": _Inverse(lambda s: np.asarray(10.0**s), lambda s: np.asarray(np.log(10.0) * 10.0**s)),
    "log1p": _Inverse(np.expm1, np.exp),
}


def undo_scale(values: Array, scale: Scale) -> Array:
    """Return the intensities of values on a scale; NaN where a value means a gap or lies outside the scale.

    On the two scales of DSFU-Net, -1 marks gaps.

    Args:
        values: numbers of a file, any shape.
        scale: their scale; "auto" and "linear" change nothing.
    """
    inverse = _INVERSES.get(scale)
    if inverse is None:
        return values
    with np.errstate(all="ignore"):
        found = np.asarray(inverse.intensity(values), dtype=np.float64)
        lowest = (
            -1.0 + _RANGE_TOLERANCE if scale in ("spread", "centred") else 0.0 if scale == "sqrt" else -np.inf
        )
        return np.where(np.isfinite(found) & (values >= lowest), found, np.nan)


def undo_scale_of_sigma(sigma: Array, values: Array, scale: Scale) -> Array:
    """Return the standard uncertainties of intensities from those of the values on a scale, to first order.

    Args:
        sigma: standard uncertainties of the values.
        values: the values, same shape.
        scale: their scale.
    """
    inverse = _INVERSES.get(scale)
    if inverse is None:
        return sigma
    with np.errstate(all="ignore"):
        return np.asarray(np.abs(inverse.slope(values)) * sigma, dtype=np.float64)


def read_on_scale(measured: MeasuredPlane, scale: Scale) -> MeasuredPlane:
    """Return a plane with its intensities on the linear scale; "auto" recognises the scale of DSFU-Net, with a note.

    Planes that were interpolated are left as they are by "auto": negative values were ignored in them.
    """
    if scale == "auto":
        scale = "linear" if measured.interpolated else guess_scale(measured.intensity)
        if scale != "linear":
            note = (
                f"the values run from -1 to 1 and most are negative, as in files of DSFU-Net: {_NOTES[scale]}"
            )
            measured = replace(measured, notes=(*measured.notes, f"{note}, or --scale linear to keep them"))
    if scale == "linear":
        return measured
    sigma = measured.sigma
    return replace(
        measured,
        intensity=undo_scale(measured.intensity, scale),
        sigma=None if sigma is None else undo_scale_of_sigma(sigma, measured.intensity, scale),
    )


def guess_scale(values: Array) -> Scale:
    """Guess the scale of numbers as in files of DSFU-Net: exactly from -1 to 1, most of them negative.

    Returns:
        spread or centred; linear for all other numbers.
    """
    known = values[np.isfinite(values)]
    if not (
        known.size >= _FEWEST_VALUES
        and abs(known.min() + 1) <= _RANGE_TOLERANCE
        and abs(known.max() - 1) <= _RANGE_TOLERANCE
        and np.mean(known < 0) > 0.5
    ):
        return "linear"
    measured = known[known > -1 + _RANGE_TOLERANCE]
    if np.mean(measured < 0) < _FEWEST_NEGATIVE:  # intensities from 0 to 1 whose gaps are -1
        return "linear"
    return "centred" if np.median(measured + 1) / 2 < _LEAST_MEDIAN else "spread"


def recognise_scale(values: Array) -> Scale | None:
    """Recognise square roots and logarithms of whole counts; None for everything else.

    Scaled or smoothed intensities leave no trace by which their roots or logarithms could be told.
    """
    known = np.unique(values[np.isfinite(values)])
    if known.size < 20 or np.array_equal(known, np.round(known)):
        return None
    # Both logarithms give whole counts; without a zero, which ln(x) has for a single count, it is more likely ln(x).
    order: tuple[Scale, ...] = (
        ("sqrt", "log1p", "log10") if 0.0 in known else ("sqrt", "log", "log1p", "log10")
    )
    for scale in order:
        with np.errstate(all="ignore"):
            counts = _INVERSES[scale].intensity(known.astype(np.float64))
        if not np.isfinite(counts).all() or not 10 < counts.max() < _LARGEST_COUNT or counts.min() < -1e-6:
            continue
        # float32 keeps seven digits of the value; its error grows with the slope of the inverse.
        error = np.abs(_INVERSES[scale].slope(known)) * np.maximum(np.abs(known), 1e-3) * 2e-7 + 1e-6
        if (np.abs(counts - np.round(counts)) <= error).all() and error.max() < 0.1:
            return scale
    return None
