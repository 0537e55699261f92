"""Steps of the methods without a network: form factors by division, folding into one zone, averages over shells."""

from collections.abc import Sequence

import numpy as np

from dsfunet._typing import Planes
from dsfunet.lattice.smoothing import Smoother, smooth_ratio
from evaluate.predictors.cases import Case

SCALES = (0.25, 0.5, 1.0, 2.0)
"""Widths of the Gaussians that smooth a form factor, in units of `LatticePlane.cell_deviation`."""

ZONE_BINS = 24
"""Bins of the folded zone along each axis; the best of 16, 24 and 32 on training planes."""

_ZONE_SCALES = (0.5, 1.0, 2.0, 4.0, 8.0)


def form_factor_given_order(
    scattering: Planes, weight: Planes, order: Planes, smoothers: Sequence[Smoother]
) -> Planes:
    """Compute I_FF by regularised, band-limited division: smoothed w I S over smoothed w S^2 (`smooth_ratio`).

    This is the least-squares factor of S in the neighbourhood of each pixel. Pixels with S = 0 and missing pixels
    (w = 0) therefore do not contribute.

    Args:
        scattering: intensity I (256, 256).
        weight: w (256, 256), 0 for missing pixels.
        order: short-range order S (256, 256).
        smoothers: Gaussians from narrow to wide.
    """
    weighted = weight * order
    return smooth_ratio(weighted * scattering, weighted * order, smoothers)


class Zone:
    """One reciprocal cell divided into bins of fractional indices, and the bin of each pixel of a plane.

    Args:
        case: test case with the plane and its lattice.
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
        """Sum a plane (256, 256) over the pixels of each bin; returns shape (ZONE_BINS, ZONE_BINS)."""
        total = np.bincount(self._bin.reshape(-1), plane.reshape(-1), ZONE_BINS**2)
        return total.reshape(ZONE_BINS, ZONE_BINS).astype(np.float32)

    def order(self, numerator: Planes, denominator: Planes) -> Planes:
        """Return I_SRO on the pixels of the plane (256, 256), scaled to a maximum of 1.

        It is the ratio of the sums in each bin; empty bins are filled from their neighbours.
        """
        zone = smooth_ratio(self.fold(numerator), self.fold(denominator), self._smoothers)
        zone = np.maximum(zone, 0)
        unfolded: Planes = (zone / max(float(zone.max()), 1e-30)).reshape(-1)[self._bin]
        return unfolded


def shell_average(case: Case) -> Planes:
    """Average the measured intensity over shells of |Q| and smooth it over a reciprocal cell; returns (256, 256).

    Shells are one pixel wide. A shell without measured pixels takes its value from the nearest shells that have some.
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
