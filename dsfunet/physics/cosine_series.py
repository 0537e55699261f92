"""I_SRO of a lattice plane as a sum of in-plane harmonics: fitted to pixels, or exact from alphas (SPEC section 6).

On a plane that two reciprocal axes span, the third index l is the same everywhere, so equation (3) sums along the
third axis to I(h, k) = sum over |m|, |n| <= M of c_mn exp(2 pi i (m h + n k)) with c_-m-n = conj(c_mn): (2M+1)^2 real
numbers, 121 for M = 5. h and k are fractional indices along the spanning axes, h = Q . a / 2 pi, affine in the pixels.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array, ComplexArray
from dsfunet.errors import InputError
from dsfunet.physics.lattice import Cell, Plane
from dsfunet.physics.short_range_order import MAX_INDEX, check_alphas

DEFAULT_RIDGE = 1e-6
"""Relative to the diagonal of the normal equations; see `fit_cosine_series`."""

# How much the third index may change across a whole plane [r.l.u.]: the phase of the highest harmonic along that
# axis then drifts by 2 pi 5 / 1000, a thirtieth of a radian.
_LAYER_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class CosineSeries:
    """A real function of the plane, periodic in two reciprocal axes.

    Attributes:
        coefficients: c_mn, shape (2M+1, 2M+1), indexed [m + M, n + M], in units of the intensity;
            c_-m-n = conj(c_mn).
        cell: of the average structure.
        axes: the two reciprocal axes (0, 1, 2 for a*, b*, c*) of m and n.
    """

    coefficients: ComplexArray
    cell: Cell
    axes: tuple[int, int]

    def evaluate(self, plane: Plane) -> Array:
        """sum c_mn exp(2 pi i (m h + n k)) on a plane along the same axes, shape of the plane, not clipped.

        Raises:
            InputError: the plane does not lie along the axes.
        """
        # Half of the harmonics: c and its partner at -m, -n add up to twice the real part.
        phases = _phases(self.cell, plane, tuple(self.axes), len(self.coefficients) // 2)
        weight = 2 * self.coefficients.reshape(-1)[: phases.count]
        weight[-1] /= 2
        # Re[(r + i s) (u + i v)] = r u - s v as one real product of thin matrices.
        rows = np.conj(phases.rows) * (weight * np.conj(phases.origin))
        intensity: Array = rows.view(np.float64) @ phases.columns.view(np.float64).T
        return intensity


def third_index(cell: Cell, plane: Plane, axes: tuple[int, int]) -> float:
    """Index l of a lattice plane along the axis that does not span it, Q . c / 2 pi at its centre [r.l.u.].

    Raises:
        InputError: the axes are not two different numbers out of 0, 1, 2, or the plane is not spanned by them: l
            changes by more than 0.001 across it.
    """
    number = _third_axis(axes)
    third = cell.direct[number] / (2 * np.pi)
    change = plane.shape[0] * abs(plane.step_u @ third) + plane.shape[1] * abs(plane.step_v @ third)
    if change > _LAYER_TOLERANCE:
        raise InputError(
            f"plane: the index along axis {number} changes by {change:.3g} across it, expected a plane"
            f" spanned by axes {axes}, where it stays within {_LAYER_TOLERANCE:g}"
        )
    return float(plane.origin @ third)


def fit_cosine_series(
    values: npt.NDArray[np.floating[Any]],
    weights: npt.NDArray[np.floating[Any]],
    cell: Cell,
    plane: Plane,
    axes: tuple[int, int],
    max_index: int = MAX_INDEX,
    ridge: float = DEFAULT_RIDGE,
) -> CosineSeries:
    """The series nearest to measured pixels: minimises sum w (values - series)^2 + ridge sum(w) sum |c_mn|^2.

    The design matrix, one column a harmonic, is never built. With f~(p, q) = sum over pixels of
    f exp(-2 pi i (p h + q k)) the normal equations are sum_n (w~(m - n) + ridge w~(0) delta_mn) c_n = (w values)~(m),
    and all of these sums are products of thin matrices, because the plane is affine in its pixels.

    Args:
        values: shape of the plane, any unit; whatever stands where the weight is 0 is not looked at.
        weights: shape of the plane, 0 or more, 0 = missing.
        cell: of the average structure.
        plane: where the pixels lie.
        axes: the two reciprocal axes (0, 1, 2 for a*, b*, c*) that span the plane.
        max_index: M, 0 or more.
        ridge: relative to the diagonal of the normal equations, 0 or more. Where every part of the zone was
            measured a harmonic shrinks by about this share. It keeps the fit solvable where the measured pixels
            cover less than a cell or are fewer than the harmonics: what they do not settle comes out small.

    Raises:
        InputError: shapes differ, a weight is negative or not finite, a value of positive weight is not finite, all
            weights are 0, max_index or ridge is negative, the plane is not spanned by the axes, or the normal
            equations are singular, which only a ridge of 0 allows.
    """
    if max_index < 0 or not 0 <= ridge < np.inf:
        raise InputError(f"max_index {max_index}, ridge {ridge}: expected zero or positive numbers")
    return normal_equations(values, weights, cell, plane, axes, max_index).solve(ridge)


@dataclass(frozen=True, eq=False)
class NormalEquations:
    """What decides a cosine series: of two sets of pixels apart from one another, the sum of theirs.

    Attributes:
        harmonics: (w values)~(m), |m| <= M, shape (2M+1, 2M+1).
        differences: w~(m - n), |m - n| <= 2M, shape (4M+1, 4M+1).
        cell: of the average structure.
        axes: the two reciprocal axes.
    """

    harmonics: ComplexArray
    differences: ComplexArray
    cell: Cell
    axes: tuple[int, int]

    def without(self, part: "NormalEquations") -> "NormalEquations":
        """Those of the pixels that are not in a part of them."""
        return NormalEquations(
            self.harmonics - part.harmonics, self.differences - part.differences, self.cell, self.axes
        )

    def solve(self, ridge: float = DEFAULT_RIDGE) -> CosineSeries:
        """The series that they settle; `ridge` as in `fit_cosine_series`.

        Raises:
            InputError: they are singular.
        """
        side = len(self.harmonics)
        m, n = (index.reshape(-1) for index in np.indices((side, side)))
        matrix = self.differences[m[:, None] - m[None, :] + side - 1, n[:, None] - n[None, :] + side - 1]
        # w~(0) is the sum of all weights.
        matrix[np.diag_indices_from(matrix)] += ridge * self.differences[side - 1, side - 1].real
        try:
            solution = np.linalg.solve(matrix, self.harmonics.reshape(-1))
        except np.linalg.LinAlgError as error:
            raise InputError(
                f"the measured pixels do not settle {matrix.shape[0]} harmonics, expected more pixels or a ridge"
                " above 0"
            ) from error
        solution = (solution + np.conj(solution[::-1])) / 2  # holds but for rounding
        return CosineSeries(solution.reshape(self.harmonics.shape), self.cell, self.axes)


def normal_equations(
    values: npt.NDArray[np.floating[Any]],
    weights: npt.NDArray[np.floating[Any]],
    cell: Cell,
    plane: Plane,
    axes: tuple[int, int],
    max_index: int = MAX_INDEX,
) -> NormalEquations:
    """The normal equations of `fit_cosine_series`, whose arguments these are.

    Raises:
        InputError: as `fit_cosine_series`.
    """
    weighted, weight = _weighted(values, weights, plane)
    harmonics = _phases(cell, plane, tuple(axes), max_index).transform(weighted)
    differences = _phases(cell, plane, tuple(axes), 2 * max_index).transform(weight)
    return NormalEquations(harmonics, differences, cell, axes)


def plane_harmonics(alphas: Array, cell: Cell, axes: tuple[int, int], offset: float) -> CosineSeries:
    """The exact series of the layer l = `offset` [r.l.u.] along the third axis: c_mn = sum_k alpha exp(2 pi i k l).

    `alphas` is a full set, shape (11, 11, 11), indexed [i+5, j+5, k+5]; the series is dimensionless, M = 5.

    Raises:
        InputError: `alphas` is not a full inversion-symmetric set, or the axes are not two different ones.
    """
    check_alphas(alphas)
    third = _third_axis(axes)
    along = np.exp(2j * np.pi * offset * (np.arange(alphas.shape[0]) - MAX_INDEX))
    coefficients = alphas.transpose(*axes, third) @ along
    return CosineSeries(coefficients, cell, axes)


def _third_axis(axes: tuple[int, int]) -> int:
    if len({*axes}) != 2 or not {*axes} <= {0, 1, 2}:
        raise InputError(f"axes {axes}: expected two different numbers out of 0, 1, 2")
    return 3 - axes[0] - axes[1]


def check_weights(values: npt.NDArray[Any], weights: npt.NDArray[Any], shape: tuple[int, ...]) -> None:
    """Check that values and their weights have the shape of a plane, and that weights are finite and 0 or more.

    Raises:
        InputError: they do not, or are not.
    """
    if values.shape != shape or weights.shape != shape:
        raise InputError(
            f"values of shape {values.shape} and weights of shape {weights.shape}: expected {shape}"
        )
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise InputError("weights: found a negative or not finite number, expected 0 or more")


def _weighted(values: npt.NDArray[Any], weights: npt.NDArray[Any], plane: Plane) -> tuple[Array, Array]:
    """(weights * values, weights) in float64, 0 where nothing counts; raises as `fit_cosine_series` says."""
    check_weights(values, weights, plane.shape)
    counts = weights > 0
    if not counts.any():
        raise InputError("plane has no measured pixel: expected a positive weight somewhere")
    shown = np.where(counts, values, 0.0)
    if not np.isfinite(shown).all():
        raise InputError(
            "plane holds NaN or infinity where its weight is positive: expected finite intensities"
        )
    as_float: Array = weights.astype(np.float64)
    return as_float * shown, as_float


class _Phases:
    """exp(-2 pi i (m h + n k)) = origin rows columns of half of the harmonics |m|, |n| <= M of a plane.

    The half is the first in C order of (m, n), the origin last; the other half is its conjugate in reverse.
    Shapes: origin (K,), rows (n, K), columns (m, K) with K = ((2M+1)^2 + 1) / 2.
    """

    def __init__(self, cell: Cell, plane: Plane, axes: tuple[int, int], max_index: int) -> None:
        third_index(cell, plane, axes)
        self._side = 2 * max_index + 1
        self.count = (self._side**2 + 1) // 2
        first, second = (index.reshape(-1)[: self.count] for index in np.indices((self._side,) * 2))
        vectors = cell.direct[list(axes)] / (2 * np.pi)

        def phases(q: Array, index: Array) -> ComplexArray:
            # Products of powers of two phases: one exponential for each pixel and vector, not for each harmonic.
            h, k = (_powers(np.exp(index * (-2j * np.pi * (vector @ q))), max_index) for vector in vectors)
            product: ComplexArray = h.take(first, axis=1) * k.take(second, axis=1)
            return product

        self.origin = phases(plane.origin, np.ones(1))[0]
        self.rows = phases(plane.step_u, plane.index_u)
        self.columns = phases(plane.step_v, plane.index_v)

    def transform(self, field: Array) -> ComplexArray:
        """sum over pixels of field exp(-2 pi i (m h + n k)), shape (2M+1, 2M+1), indexed [m + M, n + M]."""
        # A real field times real and imaginary parts side by side: half the work of a complex product.
        along_rows = np.ascontiguousarray(field @ self.columns.view(np.float64)).view(np.complex128)
        half = self.origin * np.einsum("ik,ik->k", self.rows, along_rows)
        return np.concatenate([half, np.conj(half[-2::-1])]).reshape(self._side, self._side)


@lru_cache(maxsize=8)
def _phases(cell: Cell, plane: Plane, axes: tuple[int, int], max_index: int) -> _Phases:
    """Asked for several times in a row: to fit a lattice, to evaluate it, to fit it again without some pixels."""
    return _Phases(cell, plane, axes, max_index)


def _powers(phase: ComplexArray, highest: int) -> ComplexArray:
    """Powers -highest to highest of phases (n,), shape (n, 2 highest + 1)."""
    powers = np.ones((len(phase), 2 * highest + 1), np.complex128)
    for power in range(1, highest + 1):
        # Of its halves: rounding then grows with the number of doublings.
        np.multiply(
            powers[:, highest + power // 2],
            powers[:, highest + power - power // 2] if power > 1 else phase,
            out=powers[:, highest + power],
        )
    powers[:, :highest] = np.conj(powers[:, :highest:-1])
    return powers
