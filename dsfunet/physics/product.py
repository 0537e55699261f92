"""Putting two normalised components back together: the plane they explain (equation 5), in the plane's own unit."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array

_ROUNDS = 50
_CONVERGED = 1e-6
# Columns whose squared sine is less are told apart by rounding only.
_ALIKE = 1e-10
_ROUNDING = 1e-20


@dataclass(frozen=True)
class Product:
    """A plane as s (F + f) (S + g): `intensity` (n, m), NaN where a component is; s, f and g >= 0."""

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
    is linear in the other two, so the floors are fitted in turn, from f = 0, until they stay. All of that needs
    only the sums of products of F S, F, S, 1 and the plane, which are taken once.

    All planes have shape (n, m); `mask` is True where `intensity` was measured.
    """
    plane, terms, unit = _plane_and_terms(intensity, form_factor, short_range_order, mask)
    gram, target = terms @ terms.T, terms @ plane
    scale = smooth_floor = periodic_floor = 0.0
    for _ in range(_ROUNDS):
        before = (smooth_floor, periodic_floor)
        # s (S + g) (F + f), once as s [S (F + f)] + s g [F + f], once the other way about.
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
    """Share, 0 to 1, that I_SRO explains of what I_FF and a constant alone leave of a measured plane.

    By least squares on F S, F, S and 1 against F and 1. All planes have shape (n, m); `mask` is True where `intensity`
    was measured. Networks see an order in any plane: where nothing repeats it explains next to nothing.
    """
    plane, terms, _ = _plane_and_terms(intensity, form_factor, short_range_order, mask)

    def left_by(chosen: Array) -> float:
        amplitudes = np.linalg.lstsq(chosen @ chosen.T, chosen @ plane, rcond=None)[0]
        return float(np.sum((plane - amplitudes @ chosen) ** 2))

    alone = left_by(terms[1::2])
    # Where I_FF is the plane but for rounding nothing is left to explain.
    return max(0.0, 1 - left_by(terms) / alone) if alone > _ROUNDING * float(plane @ plane) else 0.0


def _plane_and_terms(
    intensity: npt.NDArray[np.floating[Any]],
    form_factor: npt.NDArray[np.floating[Any]],
    short_range_order: npt.NDArray[np.floating[Any]],
    mask: npt.NDArray[np.bool_],
) -> tuple[Array, Array, float]:
    """The measured pixels of a plane over its brightest, F S, F, S and 1 there (4, pixels), and the brightest."""
    measured = mask & np.isfinite(intensity) & np.isfinite(form_factor) & np.isfinite(short_range_order)
    plane, smooth, periodic = (
        each[measured].astype(np.float64) for each in (intensity, form_factor, short_range_order)
    )
    unit = float(plane.max()) or 1.0
    return plane / unit, np.stack([smooth * periodic, smooth, periodic, np.ones_like(plane)]), unit


def _scale_and_floor(gram: Array, target: Array, columns: Array) -> tuple[float, float]:
    """s >= 0 and floor >= 0 of plane = s column_0 + s floor column_1, columns (2, 4) in the four terms."""
    (aa, ab), (_, bb) = columns @ gram @ columns.T
    a, b = columns @ target
    determinant = aa * bb - ab * ab
    if determinant > _ALIKE * aa * bb:
        scale, scaled_floor = (bb * a - ab * b) / determinant, (aa * b - ab * a) / determinant
        if scale > 0 and scaled_floor >= 0:
            return float(scale), float(scaled_floor / scale)
    # The columns are alike, or a floor would be negative: the scale alone.
    return float(a / aa) if aa > 0 else 0.0, 0.0
