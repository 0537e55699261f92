"""Smoothing of planes with missing pixels, at widths given in reciprocal cells."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Planes
from dsfunet.physics.lattice_plane import LatticePlane


def unit_range(plane: npt.NDArray[np.floating[Any]]) -> Planes:
    """Clip a plane of finite numbers at 0 and scale it to [0, 1] by its minimum and maximum, float32.

    A constant plane becomes all ones, which leave a product unchanged.
    """
    clipped: npt.NDArray[np.floating[Any]] = np.maximum(plane, 0)
    low, high = float(clipped.min()), float(clipped.max())
    if not high > low:
        return np.ones(plane.shape, np.float32)
    clipped -= low
    clipped /= high - low
    normalised: Planes = np.minimum(clipped, 1).astype(np.float32, copy=False)
    return normalised


class Smoother:
    """Convolution with a Gaussian, as products with two square matrices.

    At these sizes this is faster than a filter of sixty taps. The kernel has an integral of 1.

    Args:
        shape: shape of the planes.
        deviation: standard deviation along rows and along columns [pixels].
        periodic: whether the plane repeats beyond its edges; otherwise it is 0 there.
    """

    def __init__(
        self, shape: tuple[int, int], deviation: tuple[float, float], periodic: bool = False
    ) -> None:
        self._rows = _gaussian_matrix(shape[0], deviation[0], periodic)
        self._columns = _gaussian_matrix(shape[1], deviation[1], periodic)
        self.pixels = max(4 * np.pi * deviation[0] * deviation[1], 1.0)
        """Effective number of pixels in a smoothed one, which has the noise of their mean."""

    def __call__(self, plane: Planes) -> Planes:
        """Return the smoothed plane, same shape."""
        smoothed: Planes = np.matmul(np.matmul(self._rows, plane), self._columns)
        return smoothed


def _gaussian_matrix(count: int, deviation: float, periodic: bool) -> Planes:
    away = np.arange(-count + 1, count, dtype=np.float64)
    images = [away + shift * count for shift in (range(-2, 3) if periodic else (0,))]
    kernel = np.sum([np.exp(-0.5 * (image / deviation) ** 2) for image in images], axis=0)
    kernel /= np.sqrt(2 * np.pi) * deviation
    windows = np.lib.stride_tricks.sliding_window_view(kernel.astype(np.float32), count)
    return np.ascontiguousarray(windows[::-1])


def cell_smoothers(lattice: LatticePlane, scales: Sequence[float]) -> list[Smoother]:
    """Return Gaussians with widths in standard deviations of the reciprocal cell, in the order of the scales."""
    along_u, along_v = lattice.cell_deviation()
    return [Smoother(lattice.plane.shape, (scale * along_u, scale * along_v)) for scale in scales]


def smooth_ratio(
    numerator: Planes,
    denominator: Planes,
    smoothers: Sequence[Smoother],
    unseen: float | None = None,
    weak: float | Sequence[float] = 1e-4,
) -> Planes:
    """Divide numerator by denominator, both smoothed (normalised convolution); finite everywhere.

    From the widest Gaussian to the narrowest, the ratio is (G * numerator + e r) / (G * denominator + e), where e is
    small and r is the ratio of the next wider one, or `unseen` for the widest. So the narrowest decides wherever it
    covers data. Under a mask, or where the denominator vanishes, the ratio comes from further away.

    Args:
        numerator: 0 or more, such as w I S; shape of the plane.
        denominator: 0 or more, such as w S^2; if all of it is zero, the ratio is 1.
        smoothers: Gaussians from narrow to wide.
        unseen: ratio far from all data; None takes the ratio of the means.
        weak: e as a share of the mean denominator; below this weight the next wider Gaussian takes over. One number for
            all smoothers, or one for each.
    """
    mean = float(denominator.mean(dtype=np.float64))
    if mean < np.finfo(np.float32).tiny:  # division by such small numbers fails as well
        return np.ones_like(denominator)
    floors = np.broadcast_to(np.asarray(weak, np.float32), len(smoothers))
    # Scaled to mean 1 against under- and overflow.
    numerator, denominator = numerator / np.float32(mean), denominator / np.float32(mean)
    ratio = np.full_like(numerator, numerator.mean(dtype=np.float64) if unseen is None else unseen)
    for smoother, floor in zip(smoothers[::-1], floors[::-1], strict=True):
        ratio = (smoother(numerator) + floor * ratio) / (smoother(denominator) + floor)
    return ratio
