"""The product of two normalised components, equation (5), fitted to a measured plane by a scale and two floors."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array

_ROUNDS = 50
_CONVERGED = 1e-6
# Columns with a smaller squared sine between them differ by rounding only.
_ALIKE = 1e-10
_ROUNDING = 1e-20


@dataclass(frozen=True)
class Product:
    """A plane as the product s (F + f) (S + g) of two components F and S.

    Attributes:
        intensity: the product in the unit of the measured plane, shape (n, m); NaN where a component is NaN.
        scale: s, 0 or more, in the unit of the measured plane.
        form_factor_floor: f, 0 or more.
        short_range_order_floor: g, 0 or more.
    """

    intensity: Array
    scale: float
    form_factor_floor: float
    short_range_order_floor: float


def fit_product(
    intensity: Array, form_factor: Array, short_range_order: Array, mask: npt.NDArray[np.bool_]
) -> Product:
    """Fit s (F + f) (S + g), the product of equation (5) with floors, to a measured plane by least squares.

    Both components are normalised to [0, 1], so the fit recovers what normalisation removed: the floor g of
    short-range order, the floor f of the form factor, neither negative, and one scale s. For a given floor the problem
    is linear in the other two parameters, so the floors are fitted in turn, starting from f = 0, until they converge.
    This needs only the sums of products of F S, F, S, 1 and the plane, which are computed once.

    Args:
        intensity: measured plane, in any unit, shape (n, m).
        form_factor: F in [0, 1], shape (n, m).
        short_range_order: S in [0, 1], shape (n, m).
        mask: True where `intensity` was measured, shape (n, m).
    """
    plane, terms, unit = _plane_and_terms(intensity, form_factor, short_range_order, mask)
    gram, target = terms @ terms.T, terms @ plane
    scale = smooth_floor = periodic_floor = 0.0
    for _ in range(_ROUNDS):
        before = (smooth_floor, periodic_floor)
        # s (S + g) (F + f) as s [S (F + f)] + s g [F + f], then with F and S exchanged.
        scale, periodic_floor = _scale_and_floor(
            gram, target, np.array([[1, 0, smooth_floor, 0], [0, 1, 0, smooth_floor]])
        )
        scale, smooth_floor = _scale_and_floor(
            gram, target, np.array([[1, periodic_floor, 0, 0], [0, 0, 1, periodic_floor]])
        )
        if np.allclose(before, (smooth_floor, periodic_floor), rtol=_CONVERGED, atol=_CONVERGED):
            break
    product = scale * unit * (form_factor + smooth_floor) * (short_range_order + periodic_floor)
    return Product(product, scale * unit, smooth_floor, periodic_floor)


def explained_by_order(
    intensity: npt.NDArray[np.floating[Any]],
    form_factor: npt.NDArray[np.floating[Any]],
    short_range_order: npt.NDArray[np.floating[Any]],
    mask: npt.NDArray[np.bool_],
) -> float:
    """Return the fraction, 0 to 1, of the residual of I_FF and a constant that I_SRO explains in a measured plane.

    Compares least squares on F S, F, S and 1 with least squares on F and 1. Networks return some order for any plane;
    if nothing repeats in the plane, that order explains almost nothing.

    Args:
        intensity: measured plane, in any unit, shape (n, m).
        form_factor: F, shape (n, m).
        short_range_order: S, shape (n, m).
        mask: True where `intensity` was measured, shape (n, m).
    """
    plane, terms, _ = _plane_and_terms(intensity, form_factor, short_range_order, mask)

    def residual_of(chosen: Array) -> float:
        amplitudes = np.linalg.lstsq(chosen @ chosen.T, chosen @ plane, rcond=None)[0]
        return float(np.sum((plane - amplitudes @ chosen) ** 2))

    alone = residual_of(terms[1::2])
    # If I_FF equals the plane up to rounding, there is nothing left to explain.
    return max(0.0, 1 - residual_of(terms) / alone) if alone > _ROUNDING * float(plane @ plane) else 0.0


def _plane_and_terms(
    intensity: npt.NDArray[np.floating[Any]],
    form_factor: npt.NDArray[np.floating[Any]],
    short_range_order: npt.NDArray[np.floating[Any]],
    mask: npt.NDArray[np.bool_],
) -> tuple[Array, Array, float]:
    """Return measured pixels divided by the brightest, the terms F S, F, S and 1 (4, pixels), and the brightest."""
    measured = mask & np.isfinite(intensity) & np.isfinite(form_factor) & np.isfinite(short_range_order)
    plane, smooth, periodic = (
        each[measured].astype(np.float64) for each in (intensity, form_factor, short_range_order)
    )
    unit = float(plane.max()) or 1.0
    return plane / unit, np.stack([smooth * periodic, smooth, periodic, np.ones_like(plane)]), unit


def _scale_and_floor(gram: Array, target: Array, columns: Array) -> tuple[float, float]:
    """Return s >= 0 and floor >= 0 of plane = s column_0 + s floor column_1; columns (2, 4) in the four terms."""
    (aa, ab), (_, bb) = columns @ gram @ columns.T
    a, b = columns @ target
    determinant = aa * bb - ab * ab
    if determinant > _ALIKE * aa * bb:
        scale, scaled_floor = (bb * a - ab * b) / determinant, (aa * b - ab * a) / determinant
        if scale > 0 and scaled_floor >= 0:
            return float(scale), float(scaled_floor / scale)
    # The columns are parallel, or a floor would be negative: fit the scale alone.
    return float(a / aa) if aa > 0 else 0.0, 0.0
