"""A plane as a verdict sees it: in units of its brightest pixel, with the product of its components and its noise."""

from dataclasses import dataclass

import numpy as np

from dsfunet._typing import Array, Floats, Mask
from dsfunet.physics.lattice_plane import LatticePlane
from dsfunet.physics.product import fit_product
from dsfunet.planes.noise import estimate_noise_variance_by_level


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
    plane: Floats,
    mask: Mask,
    form_factor: Floats,
    short_range_order: Floats,
    sigma: Floats | None = None,
    lattice: LatticePlane | None = None,
) -> Seen:
    """A plane with the product of its components and its noise; shapes all (n, m)."""
    brightest = float(plane[mask].max())
    shown = np.where(mask, plane, 0.0).astype(np.float64) / brightest
    smooth, periodic = (np.asarray(each, np.float64) for each in (form_factor, short_range_order))
    product = fit_product(shown, smooth, periodic, mask).intensity
    if sigma is None:
        variance = estimate_noise_variance_by_level(shown, mask, product)
    else:
        variance = (np.where(mask, sigma, 0.0).astype(np.float64) / brightest) ** 2
    return Seen(shown, mask, product, variance, _radius(mask.shape, lattice))


def _radius(shape: tuple[int, ...], lattice: LatticePlane | None) -> Array:
    if lattice is not None:
        q = np.sqrt(lattice.plane.q_squared())
        edge = min(np.linalg.norm(lattice.plane.step_u), np.linalg.norm(lattice.plane.step_v)) * shape[0] / 2
        return np.asarray(q / edge)
    rows, columns = (np.arange(count) - count // 2 for count in shape)
    return np.asarray(np.hypot.outer(rows, columns) / (min(shape) / 2))
