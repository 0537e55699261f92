"""A plane in units of its brightest pixel, with the product of its components and its noise, ready to be measured."""

from dataclasses import dataclass

import numpy as np

from dsfunet._typing import Array, Floats, Mask
from dsfunet.physics.lattice_plane import LatticePlane
from dsfunet.physics.product import fit_product
from dsfunet.planes.noise import estimate_noise_variance_by_level


@dataclass(frozen=True, eq=False)
class ScaledPlane:
    """Plane in units of its brightest pixel, with the product of its components; all arrays have shape (n, m).

    Attributes:
        plane: intensity, 0 where missing; the brightest measured pixel is 1.
        mask: True = measured.
        product: product of both components with fitted scale and floors.
        variance: variance of the noise of each pixel, given or estimated.
        radius: |Q| of each pixel, in units of its value at the middle of the nearest edge.
    """

    plane: Array
    mask: Mask
    product: Array
    variance: Array
    radius: Array

    @property
    def residual(self) -> Array:
        """Plane minus product, 0 where missing."""
        return np.where(self.mask, self.plane - self.product, 0.0)

    @property
    def power(self) -> float:
        """Sum of the squared plane minus that of its noise."""
        total = float(np.sum(self.plane**2))
        return max(total - float(self.variance[self.mask].sum()), 1e-6 * total)


def scale_plane(
    plane: Floats,
    mask: Mask,
    form_factor: Floats,
    short_range_order: Floats,
    sigma: Floats | None = None,
    lattice: LatticePlane | None = None,
) -> ScaledPlane:
    """Scale a plane to its brightest pixel, fit the product of its components, and estimate its noise.

    Args:
        plane: measured intensity (n, m), any unit; pixels outside the mask are ignored.
        mask: True = measured.
        form_factor: I_FF, (n, m).
        short_range_order: I_SRO, (n, m).
        sigma: standard deviation of each pixel in the unit of the plane; None estimates it from the plane.
        lattice: positions of the pixels in Q; without them |Q| is measured in pixels from the centre.
    """
    brightest = float(plane[mask].max())
    shown = np.where(mask, plane, 0.0).astype(np.float64) / brightest
    smooth, periodic = (np.asarray(each, np.float64) for each in (form_factor, short_range_order))
    product = fit_product(shown, smooth, periodic, mask).intensity
    if sigma is None:
        variance = estimate_noise_variance_by_level(shown, mask, product)
    else:
        variance = (np.where(mask, sigma, 0.0).astype(np.float64) / brightest) ** 2
    return ScaledPlane(shown, mask, product, variance, _radius(mask.shape, lattice))


def _radius(shape: tuple[int, ...], lattice: LatticePlane | None) -> Array:
    if lattice is not None:
        q = np.sqrt(lattice.plane.q_squared())
        edge = min(np.linalg.norm(lattice.plane.step_u), np.linalg.norm(lattice.plane.step_v)) * shape[0] / 2
        return np.asarray(q / edge)
    rows, columns = (np.arange(count) - count // 2 for count in shape)
    return np.asarray(np.hypot.outer(rows, columns) / (min(shape) / 2))
