"""Pieces of the methods without a network: smoothing over missing pixels, folding into one Brillouin zone."""

from collections.abc import Sequence

import numpy as np

from dsfunet._typing import Planes
from dsfunet.lattice.smoothing import Smoother, smooth_ratio
from evaluate.predictors.cases import Case

SCALES = (0.25, 0.5, 1.0, 2.0)
"""Widths of the Gaussians that smooth a form factor, in standard deviations of a reciprocal cell."""

ZONE_BINS = 24
"""Bins of the folded zone along each axis; of 16, 24 and 32 the best on training planes."""

_ZONE_SCALES = (0.5, 1.0, 2.0, 4.0, 8.0)


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
            for index in case.lattice.fractional_indices()
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
    width = float(np.mean(case.lattice.cell_deviation()))
    smoothers = [Smoother((1, count), (1.0, scale * width)) for scale in (1.0, 2.0, 4.0)]
    average: Planes = smooth_ratio(totals, pixels, smoothers)[0][shell]
    return average
