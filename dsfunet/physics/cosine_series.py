"""I_SRO of a lattice plane as a sum of in-plane harmonics, fitted to pixels or computed from alphas.

On a plane that two reciprocal axes span, the third index l is constant, so the sum of equation (3) along the third axis
gives I(h, k) = sum over |m|, |n| <= M of c_mn exp(2 pi i (m h + n k)) with c_-m-n = conj(c_mn). These are (2M+1)^2 real
numbers, 121 for M = 5. h and k are fractional indices along the two axes, h = Q . a / 2 pi, which are affine in the
pixel indices.
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
"""Default ridge of `fit_cosine_series`, relative to the diagonal of the normal equations."""

# Largest change of the third index across a whole plane [r.l.u.]: the phase of the highest harmonic along that axis
# then changes by 2 pi 5 / 1000, a thirtieth of a radian.
_LAYER_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class CosineSeries:
    """A real function of a plane of Q that is periodic along two reciprocal axes.

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
        """Return sum c_mn exp(2 pi i (m h + n k)) on a plane of shape (n, m), unclipped, in units of the coefficients.

        Raises:
            InputError: the axes of the series do not span the plane.
        """
        # Half of the harmonics: the terms at (m, n) and (-m, -n) add up to twice the real part.
        phases = _phases(self.cell, plane, tuple(self.axes), len(self.coefficients) // 2)
        weight = 2 * self.coefficients.reshape(-1)[: phases.count]
        weight[-1] /= 2
        # Re[(r + i s) (u + i v)] = r u - s v as one real product of thin matrices.
        rows = np.conj(phases.rows) * (weight * np.conj(phases.origin))
        intensity: Array = rows.view(np.float64) @ phases.columns.view(np.float64).T
        return intensity


def third_index(cell: Cell, plane: Plane, axes: tuple[int, int]) -> float:
    """Return the index l of a lattice plane along the third axis, Q . c / 2 pi at its centre [r.l.u.].

    Args:
        cell: of the average structure.
        plane: in the Cartesian setting of the cell.
        axes: the two reciprocal axes (0, 1, 2 for a*, b*, c*) that span the plane.

    Raises:
        InputError: the axes are not two different numbers from 0, 1, 2, or they do not span the plane: l changes by
            more than 0.001 across it.
    """
    number = _third_axis(axes)
    third = cell.direct[number] / (2 * np.pi)
    change = plane.shape[0] * abs(plane.step_u @ third) + plane.shape[1] * abs(plane.step_v @ third)
    if change > _LAYER_TOLERANCE:
        raise InputError(
            f"plane: the index along axis {number} changes by {change:.3g} across it; expected a plane spanned by axes"
            f" {axes}, with a change of {_LAYER_TOLERANCE:g} or less"
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
    """Fit a series to measured pixels: minimise sum w (values - series)^2 + ridge sum(w) sum |c_mn|^2.

    The design matrix, with one column for each harmonic, is never built. With f~(p, q) = sum over pixels of
    f exp(-2 pi i (p h + q k)) the normal equations are sum_n (w~(m - n) + ridge w~(0) delta_mn) c_n = (w values)~(m).
    All these sums are products of thin matrices, because the plane is affine in its pixel indices.

    Args:
        values: shape of the plane, any unit; values of weight 0 are ignored.
        weights: shape of the plane, 0 or more, 0 = missing.
        cell: of the average structure.
        plane: of the pixels, in the Cartesian setting of the cell.
        axes: the two reciprocal axes (0, 1, 2 for a*, b*, c*) that span the plane.
        max_index: M, 0 or more.
        ridge: relative to the diagonal of the normal equations, 0 or more. Harmonics shrink by about this fraction if
            every part of the zone was measured. The ridge keeps the fit solvable if the measured pixels cover less
            than a cell or are fewer than the harmonics; undetermined harmonics then come out small.

    Raises:
        InputError: shapes differ, a weight is negative or not finite, a value of positive weight is not finite, all
            weights are 0, max_index or ridge is negative, the plane is not spanned by the axes, or the normal
            equations are singular, which only a ridge of 0 allows.
    """
    if max_index < 0 or not 0 <= ridge < np.inf:
        raise InputError(f"max_index is {max_index} and ridge is {ridge}; expected 0 or more for both")
    return normal_equations(values, weights, cell, plane, axes, max_index).solve(ridge)


@dataclass(frozen=True, eq=False)
class NormalEquations:
    """Normal equations of a cosine series; those of disjoint sets of pixels add up.

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
        """Return the normal equations of all pixels except those of a part of them."""
        return NormalEquations(
            self.harmonics - part.harmonics, self.differences - part.differences, self.cell, self.axes
        )

    def solve(self, ridge: float = DEFAULT_RIDGE) -> CosineSeries:
        """Return the series that solves the equations; `ridge` is that of `fit_cosine_series`.

        Raises:
            InputError: the equations are singular.
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
                f"the measured pixels do not determine {matrix.shape[0]} harmonics; expected more pixels or a ridge"
                " above 0"
            ) from error
        solution = (solution + np.conj(solution[::-1])) / 2  # removes rounding errors
        return CosineSeries(solution.reshape(self.harmonics.shape), self.cell, self.axes)


def normal_equations(
    values: npt.NDArray[np.floating[Any]],
    weights: npt.NDArray[np.floating[Any]],
    cell: Cell,
    plane: Plane,
    axes: tuple[int, int],
    max_index: int = MAX_INDEX,
) -> NormalEquations:
    """Return the normal equations of `fit_cosine_series`; the arguments are the same.

    Raises:
        InputError: shapes differ, a weight is negative or not finite, a value of positive weight is not finite, all
            weights are 0, or the axes do not span the plane.
    """
    weighted, weight = _weighted(values, weights, plane)
    harmonics = _phases(cell, plane, tuple(axes), max_index).transform(weighted)
    differences = _phases(cell, plane, tuple(axes), 2 * max_index).transform(weight)
    return NormalEquations(harmonics, differences, cell, axes)


def plane_harmonics(alphas: Array, cell: Cell, axes: tuple[int, int], offset: float) -> CosineSeries:
    """Return the exact series of I_SRO on a layer, equation (3): c_mn = sum_k alpha_mnk exp(2 pi i k l).

    Args:
        alphas: full set of Warren-Cowley parameters, shape (11, 11, 11), indexed [i + 5, j + 5, k + 5].
        cell: of the average structure.
        axes: the two reciprocal axes (0, 1, 2 for a*, b*, c*) that span the layer.
        offset: l, the index of the layer along the third axis [r.l.u.].

    Returns:
        The dimensionless series with M = 5.

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
        raise InputError(f"axes {axes}: expected two different numbers from 0, 1, 2")
    return 3 - axes[0] - axes[1]


def check_weights(values: npt.NDArray[Any], weights: npt.NDArray[Any], shape: tuple[int, ...]) -> None:
    """Check that values and their weights have the shape of a plane, and that weights are finite and 0 or more.

    Raises:
        InputError: a shape or a weight is not as it should be.
    """
    if values.shape != shape or weights.shape != shape:
        raise InputError(
            f"values and weights: found shapes {values.shape} and {weights.shape}; expected {shape}"
        )
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise InputError("weights: found negative, NaN or infinite numbers; expected 0 or more")


def _weighted(values: npt.NDArray[Any], weights: npt.NDArray[Any], plane: Plane) -> tuple[Array, Array]:
    """Return weights * values and weights in float64, 0 where the weight is 0, after checking them."""
    check_weights(values, weights, plane.shape)
    counts = weights > 0
    if not counts.any():
        raise InputError("plane: found no measured pixel; expected some positive weights")
    shown = np.where(counts, values, 0.0)
    if not np.isfinite(shown).all():
        raise InputError(
            "plane: found NaN or infinity where the weight is positive; expected finite intensities"
        )
    as_float: Array = weights.astype(np.float64)
    return as_float * shown, as_float


class _Phases:
    """The factors exp(-2 pi i (m h + n k)) = origin rows columns of half of the harmonics |m|, |n| <= M of a plane.

    This is the first half in C order of (m, n), with the origin last; the other half is its conjugate in reverse order.
    Shapes: origin (K,), rows (n, K), columns (m, K) with K = ((2M+1)^2 + 1) / 2.
    """

    def __init__(self, cell: Cell, plane: Plane, axes: tuple[int, int], max_index: int) -> None:
        third_index(cell, plane, axes)
        self._side = 2 * max_index + 1
        self.count = (self._side**2 + 1) // 2
        first, second = (index.reshape(-1)[: self.count] for index in np.indices((self._side,) * 2))
        vectors = cell.direct[list(axes)] / (2 * np.pi)

        def phases(q: Array, index: Array) -> ComplexArray:
            # Products of powers of two phases need one exponential for each pixel and vector, not for each harmonic.
            h, k = (_powers(np.exp(index * (-2j * np.pi * (vector @ q))), max_index) for vector in vectors)
            product: ComplexArray = h.take(first, axis=1) * k.take(second, axis=1)
            return product

        self.origin = phases(plane.origin, np.ones(1))[0]
        self.rows = phases(plane.step_u, plane.index_u)
        self.columns = phases(plane.step_v, plane.index_v)

    def transform(self, field: Array) -> ComplexArray:
        """Return sum over pixels of field exp(-2 pi i (m h + n k)), shape (2M+1, 2M+1), indexed [m + M, n + M]."""
        # Multiplying a real field by real and imaginary parts side by side halves the work of a complex product.
        along_rows = np.ascontiguousarray(field @ self.columns.view(np.float64)).view(np.complex128)
        half = self.origin * np.einsum("ik,ik->k", self.rows, along_rows)
        return np.concatenate([half, np.conj(half[-2::-1])]).reshape(self._side, self._side)


@lru_cache(maxsize=8)
def _phases(cell: Cell, plane: Plane, axes: tuple[int, int], max_index: int) -> _Phases:
    """Return cached phases: a lattice is fitted, evaluated and fitted again without some pixels on the same plane."""
    return _Phases(cell, plane, axes, max_index)


def _powers(phase: ComplexArray, highest: int) -> ComplexArray:
    """Return the powers -highest to highest of phases (n,), shape (n, 2 highest + 1)."""
    powers = np.ones((len(phase), 2 * highest + 1), np.complex128)
    for power in range(1, highest + 1):
        # As a product of two halves, so that rounding errors grow with the number of doublings only.
        np.multiply(
            powers[:, highest + power // 2],
            powers[:, highest + power - power // 2] if power > 1 else phase,
            out=powers[:, highest + power],
        )
    powers[:, :highest] = np.conj(powers[:, :highest:-1])
    return powers
