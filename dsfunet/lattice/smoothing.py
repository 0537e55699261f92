"""Smoothing of planes with pixels missing, at widths that the reciprocal cell gives."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Planes
from dsfunet.physics.lattice_plane import LatticePlane


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
        self.pixels = max(4 * np.pi * deviation[0] * deviation[1], 1.0)
        """How many pixels share in a smoothed one: it has the noise of their mean."""

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


def cell_smoothers(lattice: LatticePlane, scales: Sequence[float]) -> list[Smoother]:
    """Gaussians whose widths are given in standard deviations of the reciprocal cell, narrow to wide."""
    along_u, along_v = lattice.cell_deviation()
    return [Smoother(lattice.plane.shape, (scale * along_u, scale * along_v)) for scale in scales]


def smooth_ratio(
    numerator: Planes,
    denominator: Planes,
    smoothers: Sequence[Smoother],
    unseen: float | None = None,
    weak: float | Sequence[float] = 1e-4,
) -> Planes:
    """Normalised convolution, numerator over denominator, both smoothed; finite everywhere.

    From the widest Gaussian to the narrowest: (G * numerator + e r) / (G * denominator + e) with r the ratio of
    the wider one, at last `unseen`, and e small. So the narrowest decides wherever it sees any data, and
    what it does not see, under a mask or where the denominator vanishes, comes from further away.

    Args:
        numerator: 0 or more, such as w I S; shape of the plane.
        denominator: 0 or more, such as w S^2. All zero is allowed: the ratio is then 1.
        smoothers: narrow to wide.
        unseen: the ratio far from all data; None takes that of the means.
        weak: e, as a share of the mean denominator: data of less weight yield to the next wider Gaussian. One for all
            smoothers, or one for each.
    """
    mean = float(denominator.mean(dtype=np.float64))
    if mean < np.finfo(np.float32).tiny:  # nor can numbers as small be divided by
        return np.ones_like(denominator)
    floors = np.broadcast_to(np.asarray(weak, np.float32), len(smoothers))
    # Scaled to mean 1, so that nothing under- or overflows.
    numerator, denominator = numerator / np.float32(mean), denominator / np.float32(mean)
    ratio = np.full_like(numerator, numerator.mean(dtype=np.float64) if unseen is None else unseen)
    for smoother, floor in zip(smoothers[::-1], floors[::-1], strict=True):
        ratio = (smoother(numerator) + floor * ratio) / (smoother(denominator) + floor)
    return ratio
