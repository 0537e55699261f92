"""Pieces of the methods without a network: smoothing over missing pixels, folding into one Brillouin zone."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from evaluate.cases import Case, Planes

SCALES = (0.25, 0.5, 1.0, 2.0)
"""Widths of the Gaussians that smooth a form factor, in standard deviations of a reciprocal cell."""

ZONE_BINS = 24
"""Bins of the folded zone along each axis; of 16, 24 and 32 the best on training planes."""

_ZONE_SCALES = (0.5, 1.0, 2.0, 4.0, 8.0)
# Data that carry less than this share of the plane's mean weight yield to the next wider Gaussian.
_WEAK = 1e-4


def unit_range(plane: npt.NDArray[np.floating[Any]]) -> Planes:
    """A plane of finite numbers clipped at 0 and brought to [0, 1] by its own minimum and maximum, float32.

    A constant plane becomes all ones: the factor that changes nothing in a product.
    """
    clipped: npt.NDArray[np.floating[Any]] = np.maximum(plane, 0)
    low, high = float(clipped.min()), float(clipped.max())
    if not high > low:
        return np.ones(plane.shape, np.float32)
    clipped -= low
    clipped /= high - low
    normalised: Planes = np.minimum(clipped, 1).astype(np.float32, copy=False)
    return normalised


def fractional_indices(case: Case) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(h, k) of every pixel along the two axes that span the plane, each (256, 256): h = Q . a / 2 pi [r.l.u.]."""
    plane = case.plane
    vectors = case.cell.direct[list(case.axes)] / (2 * np.pi)
    first, second = (
        vector @ plane.origin
        + np.add.outer((vector @ plane.step_u) * plane.index_u, (vector @ plane.step_v) * plane.index_v)
        for vector in vectors
    )
    return first, second


def cell_deviation(case: Case) -> tuple[float, float]:
    """Standard deviation of one reciprocal cell's area along rows and along columns [pixels].

    A cell a wide is uniform over its width, so that its deviation is a / sqrt(12).
    """
    vectors = case.cell.direct[list(case.axes)] / (2 * np.pi)
    per_pixel = vectors @ np.stack([case.plane.step_u, case.plane.step_v], axis=1)
    along_u, along_v = np.sqrt(np.sum(np.linalg.inv(per_pixel) ** 2, axis=1) / 12)
    return float(along_u), float(along_v)


class Smoother:
    """Convolution with a Gaussian, as products with two square matrices.

    At these sizes that is faster than a filter of sixty taps. The kernel's integral is 1; beyond the plane is 0.

    Args:
        shape: of the planes.
        deviation: along rows and along columns [pixels].
        periodic: whether the plane repeats itself beyond its edges instead.
    """

    def __init__(
        self, shape: tuple[int, int], deviation: tuple[float, float], periodic: bool = False
    ) -> None:
        self._rows = _gaussian_matrix(shape[0], deviation[0], periodic)
        self._columns = _gaussian_matrix(shape[1], deviation[1], periodic)

    def __call__(self, plane: Planes) -> Planes:
        """The smoothed plane, same shape."""
        smoothed: Planes = np.matmul(np.matmul(self._rows, plane), self._columns)
        return smoothed


def _gaussian_matrix(count: int, deviation: float, periodic: bool) -> Planes:
    away = np.arange(-count + 1, count, dtype=np.float64)
    images = [away + shift * count for shift in (range(-2, 3) if periodic else (0,))]
    kernel = np.sum([np.exp(-0.5 * (image / deviation) ** 2) for image in images], axis=0)
    kernel /= np.sqrt(2 * np.pi) * deviation
    windows = np.lib.stride_tricks.sliding_window_view(kernel.astype(np.float32), count)
    return np.ascontiguousarray(windows[::-1])


def cell_smoothers(case: Case, scales: Sequence[float] = SCALES) -> list[Smoother]:
    """Gaussians whose widths are given in standard deviations of the case's reciprocal cell, narrow to wide."""
    along_u, along_v = cell_deviation(case)
    return [Smoother(case.mask.shape, (scale * along_u, scale * along_v)) for scale in scales]


def smooth_ratio(numerator: Planes, denominator: Planes, smoothers: Sequence[Smoother]) -> Planes:
    """Normalised convolution, numerator over denominator, both smoothed; finite everywhere.

    From the widest Gaussian to the narrowest: (G * numerator + e r) / (G * denominator + e) with r the ratio of
    the wider one, at last of the means, and e small. So the narrowest decides wherever it sees any data, and
    what it does not see, under a mask or where the denominator vanishes, comes from further away.

    Args:
        numerator: 0 or more, such as w I S; shape of the plane.
        denominator: 0 or more, such as w S^2. All zero is allowed: the ratio is then 1.
        smoothers: narrow to wide.
    """
    mean = float(denominator.mean(dtype=np.float64))
    if mean <= 0:
        return np.ones_like(denominator)
    floor = np.float32(_WEAK)
    # Scaled to mean 1, so that nothing under- or overflows.
    numerator, denominator = numerator / np.float32(mean), denominator / np.float32(mean)
    ratio = np.full_like(numerator, numerator.mean(dtype=np.float64))
    for smoother in reversed(smoothers):
        ratio = (smoother(numerator) + floor * ratio) / (smoother(denominator) + floor)
    return ratio


def form_factor_given_order(
    scattering: Planes, weight: Planes, order: Planes, smoothers: Sequence[Smoother]
) -> Planes:
    """I_FF by regularised, band-limited division: smoothed w I S over smoothed w S^2 (`smooth_ratio`).

    That is the least-squares factor of S in the neighbourhood of each pixel, so pixels where S vanishes, or
    which are missing (w = 0), decide nothing.
    """
    weighted = weight * order
    return smooth_ratio(weighted * scattering, weighted * order, smoothers)


class Zone:
    """One Brillouin zone in bins of the fractional indices, and the way of a plane's pixels into it.

    Args:
        case: whose lattice counts.
    """

    def __init__(self, case: Case) -> None:
        first, second = (
            np.minimum((index - np.floor(index)) * ZONE_BINS, ZONE_BINS - 1).astype(np.intp)
            for index in fractional_indices(case)
        )
        self._bin = first * ZONE_BINS + second
        self._smoothers = [
            Smoother((ZONE_BINS, ZONE_BINS), (width, width), periodic=True) for width in _ZONE_SCALES
        ]

    def fold(self, plane: Planes) -> Planes:
        """Sum over the pixels of each bin, shape (ZONE_BINS, ZONE_BINS)."""
        total = np.bincount(self._bin.reshape(-1), plane.reshape(-1), ZONE_BINS**2)
        return total.reshape(ZONE_BINS, ZONE_BINS).astype(np.float32)

    def order(self, numerator: Planes, denominator: Planes) -> Planes:
        """I_SRO on the plane's pixels: sums in each bin divided, empty bins filled from their neighbours.

        Scaled to maximum 1.
        """
        zone = smooth_ratio(self.fold(numerator), self.fold(denominator), self._smoothers)
        zone = np.maximum(zone, 0)
        unfolded: Planes = (zone / max(float(zone.max()), 1e-30)).reshape(-1)[self._bin]
        return unfolded


def shell_average(case: Case) -> Planes:
    """Mean of the measured intensity over shells of |Q|, smoothed over a reciprocal cell, on every pixel.

    Shells are a pixel wide; those without a measured pixel take the mean of the nearest that have some.
    """
    plane = case.plane
    pixel = float(np.sqrt(np.linalg.norm(np.cross(plane.step_u, plane.step_v))))
    shell = (np.sqrt(plane.q_squared()) / pixel).astype(np.intp)
    count = int(shell.max()) + 1
    pixels = np.bincount(shell[case.mask], minlength=count).astype(np.float32)[None]
    totals = np.bincount(shell[case.mask], case.scattering[case.mask], count).astype(np.float32)[None]
    width = float(np.mean(cell_deviation(case)))
    smoothers = [Smoother((1, count), (1.0, scale * width)) for scale in (1.0, 2.0, 4.0)]
    average: Planes = smooth_ratio(totals, pixels, smoothers)[0][shell]
    return average
