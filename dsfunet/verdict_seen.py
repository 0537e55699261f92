"""A plane as a verdict sees it: in units of its brightest pixel, with the product of its components and its noise."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from dsfunet.physics.lattice_plane import LatticePlane
from dsfunet.product import fit_product

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Picture = npt.NDArray[np.floating]

# The square of a mixed second difference (1, -2, 1 along rows and columns) of independent noise of variance v is
# 36 v on average; smooth structure hardly counts in it.
_STENCIL_VARIANCE = 36.0
_NOISE_BINS = 8
# Mean square of a normal variable of variance 1 without the largest fiftieth of its squares.
_KEPT_VARIANCE = 0.8735


@dataclass(frozen=True, eq=False)
class Seen:
    """A plane as it is judged.

    Attributes:
        plane: intensity, 0 where missing; its brightest measured pixel is 1.
        mask: True = measured.
        product: what both components make of it, scale and floors fitted.
        variance: of each pixel's noise, told or estimated.
        radius: |Q|, 1 at the middle of the nearest edge, of each pixel.
    """

    plane: Array
    mask: Mask
    product: Array
    variance: Array
    radius: Array

    @property
    def residual(self) -> Array:
        """What the product leaves of the plane, 0 where missing."""
        return np.where(self.mask, self.plane - self.product, 0.0)

    @property
    def power(self) -> float:
        """Sum of the squared plane less its noise."""
        total = float(np.sum(self.plane**2))
        return max(total - float(self.variance[self.mask].sum()), 1e-6 * total)


def seen(
    plane: Picture,
    mask: Mask,
    form_factor: Picture,
    short_range_order: Picture,
    sigma: Picture | None = None,
    lattice: LatticePlane | None = None,
) -> Seen:
    """A plane with the product of its components and its noise; shapes all (n, m)."""
    brightest = float(plane[mask].max())
    shown = np.where(mask, plane, 0.0).astype(np.float64) / brightest
    smooth, periodic = (np.asarray(each, np.float64) for each in (form_factor, short_range_order))
    product = fit_product(shown, smooth, periodic, mask).intensity
    if sigma is None:
        variance = noise_variance(shown, mask, product)
    else:
        variance = (np.where(mask, sigma, 0.0).astype(np.float64) / brightest) ** 2
    return Seen(shown, mask, product, variance, _radius(mask.shape, lattice))


def noise_variance(plane: Array, mask: Mask, product: Array) -> Array:
    """Variance of each pixel's noise as a rising function of what the product expects there.

    From mixed second differences of the residual in eight classes of equally many pixels, the largest fiftieth of each
    left out: spots and edges are no noise.
    """
    inner = ndimage.minimum_filter(mask, 3, mode="constant", cval=False)
    if inner.sum() < 8 * _NOISE_BINS:
        return np.zeros(plane.shape)
    squares = second_difference(np.where(mask, plane - product, 0.0))[inner] ** 2 / _STENCIL_VARIANCE
    expected = product[inner]
    order = np.argsort(expected, kind="stable")
    levels, variances = [], []
    for part in np.array_split(order, _NOISE_BINS):
        values = np.sort(squares[part])
        levels.append(float(np.mean(expected[part])))
        variances.append(float(np.mean(values[: max(int(0.98 * len(values)), 1)])) / _KEPT_VARIANCE)
    rising = np.maximum.accumulate(variances)
    found: Array = np.interp(product, levels, rising)
    # Brighter than the brightest class: as counts go.
    return found * np.maximum(product / max(levels[-1], 1e-9), 1.0)


def second_difference(values: Array) -> Array:
    """Mixed second differences, 1 -2 1 along rows and along columns."""
    along = np.array([1.0, -2.0, 1.0])
    once: Array = ndimage.correlate1d(values, along, axis=0, mode="nearest")
    twice: Array = ndimage.correlate1d(once, along, axis=1, mode="nearest")
    return twice


def _radius(shape: tuple[int, ...], lattice: LatticePlane | None) -> Array:
    if lattice is not None:
        q = np.sqrt(lattice.plane.q_squared())
        edge = min(np.linalg.norm(lattice.plane.step_u), np.linalg.norm(lattice.plane.step_v)) * shape[0] / 2
        return np.asarray(q / edge)
    rows, columns = (np.arange(count) - count // 2 for count in shape)
    return np.asarray(np.hypot.outer(rows, columns) / (min(shape) / 2))
