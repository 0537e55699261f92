"""Putting two normalised components back together: the plane they explain (equation 5), in the plane's own unit."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

Array = npt.NDArray[np.float64]

_ROUNDS = 50
_CONVERGED = 1e-6


@dataclass(frozen=True)
class Product:
    """A plane as s (F + f) (S + g): `intensity` (n, m), NaN where a component is; s > 0, f and g >= 0."""

    intensity: Array
    scale: float
    form_factor_floor: float
    short_range_order_floor: float


def fit_product(
    intensity: Array, form_factor: Array, short_range_order: Array, mask: npt.NDArray[np.bool_]
) -> Product:
    """Scale and floors that bring two components closest to a measured plane, by least squares where measured.

    Components come normalised to [0, 1] each on its own, so what normalisation took away is fitted back: the floor
    g of short-range order and f of the form factor, none negative, and one scale s. Given one floor the problem
    is linear in the other two, so the floors are fitted in turn, from f = 0, until they stay.

    All planes have shape (n, m); `mask` is True where `intensity` was measured.
    """
    measured = mask & np.isfinite(intensity) & np.isfinite(form_factor) & np.isfinite(short_range_order)
    plane, smooth, periodic = intensity[measured], form_factor[measured], short_range_order[measured]
    unit = float(plane.max()) or 1.0
    scale = smooth_floor = periodic_floor = 0.0
    for _ in range(_ROUNDS):
        before = (smooth_floor, periodic_floor)
        scale, periodic_floor = _scale_and_floor(plane / unit, periodic, smooth + smooth_floor)
        scale, smooth_floor = _scale_and_floor(plane / unit, smooth, periodic + periodic_floor)
        if np.allclose(before, (smooth_floor, periodic_floor), rtol=_CONVERGED, atol=_CONVERGED):
            break
    product = scale * unit * (form_factor + smooth_floor) * (short_range_order + periodic_floor)
    return Product(product, scale * unit, smooth_floor, periodic_floor)


def _scale_and_floor(plane: Array, component: Array, other: Array) -> tuple[float, float]:
    """s and floor >= 0 of plane = s (component + floor) other."""
    (scale, scaled_floor), _ = nnls(np.stack([component * other, other], axis=1), plane)
    # No scale at all: the component explains nothing, and a floor without it has no meaning.
    return float(scale), float(scaled_floor / scale) if scale > 0 else 0.0
