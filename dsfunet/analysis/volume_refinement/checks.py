"""Checks of the correlations of a volume: I_SRO must not be negative, and its mean over zones is 1."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import fft

from dsfunet._typing import Array
from dsfunet.physics.symmetry import Orbit

_FINENESS = 4
"""Points of the mesh for each period of the longest harmonic."""

_MOST_POINTS = 128
"""Most points of the mesh along an axis, unless the harmonics need more."""


@dataclass(frozen=True)
class SumRule:
    """The lowest value of I_SRO = sum of alpha exp(2 pi i q r) over the zone, which is an intensity.

    Attributes:
        lowest: smallest value on a fine mesh.
        standard_uncertainty: of this value.
        place: its h, k, l [r.l.u.].
        highest: largest value.
        negative_share: share of the zone where the series is below 0.
        file_mean: mean of the I_SRO of the file over whole zones, expected to be 1; None if it does not cover one.
    """

    lowest: float
    standard_uncertainty: float
    place: tuple[float, float, float]
    highest: float
    negative_share: float
    file_mean: float | None = None


def check_sum_rule(
    orbits: Sequence[Orbit], alphas: Array, covariance: Array, file_mean: float | None = None
) -> SumRule:
    """Evaluate the series of all orbits on a mesh over the zone, and find its lowest value.

    Args:
        orbits: that together hold all vectors of a fit, with one denominator.
        alphas: shape (n,).
        covariance: of the alphas, shape (n, n).
        file_mean: as of `SumRule`.
    """
    denominator = orbits[0].denominator
    reach = np.max([np.abs(orbit.vectors).max(axis=0) for orbit in orbits], axis=0)
    shape = [
        fft.next_fast_len(max(2 * each + 1, min(_FINENESS * each, _MOST_POINTS), 16))
        for each in reach.tolist()
    ]
    table = np.zeros(shape)
    table[0, 0, 0] = 1.0
    for orbit, alpha in zip(orbits, alphas.tolist(), strict=True):
        table[tuple((orbit.vectors % shape).T)] = alpha
    series = fft.fftn(table).real
    index = np.unravel_index(int(np.argmin(series)), series.shape)
    # One unit of the numerators is a period of `denominator` reciprocal units.
    place = denominator * np.array(index) / shape
    place = (place + denominator / 2) % denominator - denominator / 2
    slopes = np.array([np.cos(2 * np.pi * orbit.components @ place).sum() for orbit in orbits])
    return SumRule(
        float(series[index]),
        float(np.sqrt(slopes @ covariance @ slopes)),
        (float(place[0]), float(place[1]), float(place[2])),
        float(series.max()),
        float(np.mean(series < 0)),
        file_mean,
    )


def mean_over_zones(values: Any, axes: Sequence[Array], denominator: int) -> float | None:
    """Return the mean of a volume over as many whole repeats as it covers; None if it covers none along an axis.

    Every lattice with this denominator repeats after as many reciprocal units along each axis. The volume is
    interpolated linearly between its voxels.

    Args:
        values: shape (n, m, o), an array or an open dataset, which is read in layers.
        axes: coordinates of the voxels along h, k, l, increasing and evenly spaced [r.l.u.].
        denominator: of the components of the lattice vectors: 1, 2 or 3.
    """
    weights = []
    for axis in axes:
        along = _repeat_weights(axis, denominator)
        if along is None:
            return None
        weights.append(along)
    first, second, third = weights
    total = 0.0
    for row in np.flatnonzero(first):
        total += float(first[row] * (second @ np.asarray(values[int(row)], np.float64) @ third))
    return total if np.isfinite(total) else None


def _repeat_weights(axis: Array, period: int) -> Array | None:
    """Return weights, with a sum of 1, of the mean over whole periods in the middle of an axis."""
    if len(axis) < 2:
        return None
    step = float(axis[-1] - axis[0]) / (len(axis) - 1)
    length = np.floor((axis[-1] - axis[0]) / period + 1e-6) * period / step
    if length < 1:
        return None
    start = max((len(axis) - 1 - length) / 2, 0.0)
    if abs(length - round(length)) < 1e-4:  # then no interpolation is needed
        start, length = float(int(start)), float(round(length))
    # Integral of the hat function around each voxel: differences of its second antiderivative.
    place = np.arange(-1, len(axis) + 1)[:, None]
    limits = np.clip(np.array([start, start + length])[None, :] - place, 0, None)
    second = limits**2 / 2
    integral = second[:-2] - 2 * second[1:-1] + second[2:]
    weights: Array = (integral[:, 1] - integral[:, 0]) / length
    return weights
