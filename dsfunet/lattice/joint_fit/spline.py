"""A tensor product of cubic B-splines on a grid of pixels: values, normal equations, roughness and variances."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.interpolate import BSpline

from dsfunet._typing import Array
from dsfunet.lattice.joint_fit.block_tridiagonal import BlockTridiagonal

_DEGREE = 3
_CHUNK = 48  # pixels
_ORDER = 3
"""Order of the differences that measure roughness: quadratics, and so Gaussian fall-off of exp(spline), are free."""


@dataclass(frozen=True, eq=False)
class SplineAxis:
    """Cubic B-splines on evenly spaced knots along one axis of a grid.

    Attributes:
        basis: values of the splines at the pixels, shape (pixels, splines); four in each row are not 0.
    """

    basis: sparse.csr_matrix

    @classmethod
    def cover(cls, coordinates: Array, spacing: float) -> "SplineAxis":
        """Return splines that cover the coordinates, with knots at most `spacing` apart (same unit)."""
        low, high = float(coordinates.min()), float(coordinates.max())
        margin = 1e-6 * (high - low)  # the last pixel lies inside the last interval
        low, high = low - margin, high + margin
        count = max(int(np.ceil((high - low) / spacing)), 1)
        knots = low + (high - low) / count * np.arange(-_DEGREE, count + _DEGREE + 1)
        return cls(sparse.csr_matrix(BSpline.design_matrix(np.asarray(coordinates), knots, _DEGREE)))

    @property
    def count(self) -> int:
        """Number of splines."""
        return int(self.basis.shape[1])

    @cached_property
    def chunks(self) -> tuple[tuple[slice, slice, Array], ...]:
        """Runs of pixels, the splines that are not 0 there, and their values, shape (pixels, splines) each."""
        found = []
        for start in range(0, self.basis.shape[0], _CHUNK):
            pixels = slice(start, min(start + _CHUNK, self.basis.shape[0]))
            part = self.basis[pixels]
            splines = slice(int(part.indices.min()), int(part.indices.max()) + 1)
            found.append((pixels, splines, np.ascontiguousarray(part[:, splines].toarray())))
        return tuple(found)

    @cached_property
    def pairs(self) -> sparse.csr_matrix:
        """Products of splines i and i + d, d = 0 to 3, at the pixels, shape (pixels, 4 splines), indexed [i + d n]."""
        padded = sparse.hstack([self.basis, sparse.csr_matrix((self.basis.shape[0], _DEGREE))]).tocsc()
        shifted = [padded[:, step : step + self.count] for step in range(_DEGREE + 1)]
        return sparse.hstack([self.basis.multiply(each) for each in shifted]).tocsr()

    @cached_property
    def roughness(self) -> Array:
        """The matrix of squared third differences, shape (splines, splines)."""
        return self.roughness_of(self.count)

    @staticmethod
    def roughness_of(count: int) -> Array:
        """Return the matrix of squared third differences of a number of coefficients, shape (count, count)."""
        differences = np.diff(np.eye(count), min(_ORDER, count - 1), axis=0)
        product: Array = differences.T @ differences
        return product


@dataclass(frozen=True, eq=False)
class SplineSurface:
    """Tensor products of the splines of two axes; coefficients have shape (n, m), first axis first.

    Attributes:
        rows: splines along the first axis of the grid.
        columns: splines along the second axis.
    """

    rows: SplineAxis
    columns: SplineAxis

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of splines along the two axes."""
        return self.rows.count, self.columns.count

    def evaluate(self, coefficients: Array) -> Array:
        """Return the surface at all pixels."""
        values: Array = (self.columns.basis @ (self.rows.basis @ coefficients).T).T
        return values

    def project(self, field: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """Return the sum over pixels of each spline times a field; the transpose of `evaluate`. Shape (n, m)."""
        projected: npt.NDArray[np.generic] = (
            self.columns.basis.T @ np.ascontiguousarray((self.rows.basis.T @ field).T)
        ).T
        return projected

    def normal_matrix(self, weights: Array) -> Array:
        """Return the sum over pixels of weight times products of two splines, as bands.

        Returns:
            shape (4, 4, n, m), indexed [d, e, i, j]: the product of the splines (i, j) and (i + d, j + e), which is
            that of (i, j + e) and (i + d, j) too; 0 where an index is beyond the last spline.
        """
        both = self.columns.pairs.T @ np.ascontiguousarray((self.rows.pairs.T @ weights).T)
        (n, m), width = self.shape, _DEGREE + 1
        bands: Array = both.T.reshape(width, n, width, m).transpose(0, 2, 1, 3)
        return np.ascontiguousarray(bands)

    def variances(self, covariance: Array) -> Array:
        """Return the variance of the surface at all pixels, from bands of the covariance of its coefficients.

        Args:
            covariance: what `covariance_bands` returns.
        """
        (n, m), width = self.shape, _DEGREE + 1
        table = covariance.transpose(0, 2, 1, 3).reshape(width * n, width * m)
        values: Array = (self.columns.pairs @ (self.rows.pairs @ table).T).T
        return values

    @cached_property
    def roughness_bands(self) -> tuple[Array, Array]:
        """Roughness along the first and along the second axis, bands as of `normal_matrix`."""
        (n, m), width = self.shape, _DEGREE + 1
        first, second = np.zeros((width, width, n, m)), np.zeros((width, width, n, m))
        for step in range(width):
            first[step, 0, : n - step] = np.diagonal(self.rows.roughness, step)[:, None]
            second[0, step, :, : m - step] = np.diagonal(self.columns.roughness, step)[None, :]
        return first, second

    @cached_property
    def roughness_spectra(self) -> tuple[Array, Array]:
        """Eigenvalues of the roughness along the two axes, shapes (n,) and (m,), 0 or more."""
        first, second = (np.linalg.eigvalsh(axis.roughness) for axis in (self.rows, self.columns))
        return np.maximum(first, 0), np.maximum(second, 0)

    @property
    def _grouped(self) -> tuple[int, int]:
        """Number of blocks and size of a block: all splines of three neighbouring rows."""
        n, m = self.shape
        return -(-n // _DEGREE), _DEGREE * m

    def factorise(self, bands: Array) -> BlockTridiagonal:
        """Factorise the symmetric matrix of such bands.

        Raises:
            numpy.linalg.LinAlgError: the matrix is not positive definite.
        """
        (n, m), (count, side) = self.shape, self._grouped
        diagonal, below = np.zeros((count, side, side)), np.zeros((count, side, side))
        for block in range(count):  # rows beyond the last have a unit diagonal and no effect
            start = max(n - _DEGREE * block, 0) * m
            if start < side:
                diagonal[block, range(start, side), range(start, side)] = 1
        # Views by row of splines inside each block: [block, row, :, row, :].
        inner = diagonal.reshape(count, _DEGREE, m, _DEGREE, m)
        outer = below.reshape(count, _DEGREE, m, _DEGREE, m)
        for step in range(_DEGREE + 1):
            subs = _symmetric_bands(bands[step])
            for left in range(_DEGREE):
                shift, top = divmod(left + step, _DEGREE)
                chosen = subs[left : n - step : _DEGREE]
                if shift:
                    outer[: len(chosen), top, :, left] = chosen
                else:
                    inner[: len(chosen), top, :, left] = chosen
                    inner[: len(chosen), left, :, top] = chosen
        return BlockTridiagonal(diagonal, below[:-1])

    def pad(self, coefficients: Array, *more: Array) -> Array:
        """Return coefficients as the right-hand sides of `factorise`.

        Args:
            coefficients: shape (n, m), or (n, m, count) for several right-hand sides.
            more: further ones of shape (n, m, count).

        Returns:
            shape (rows of blocks,), or (rows of blocks, total count).
        """
        (count, side), used = self._grouped, self.shape[0] * self.shape[1]
        if coefficients.ndim == 2:
            padded = np.zeros(count * side)
            padded[:used] = coefficients.reshape(-1)
            return padded
        parts = (coefficients, *more)
        padded = np.empty((count * side, sum(part.shape[2] for part in parts)))
        padded[used:] = 0
        np.concatenate([part.reshape(used, -1) for part in parts], axis=1, out=padded[:used])
        return padded

    def unpad(self, padded: Array) -> Array:
        """Return the inverse of `pad`, shape (n, m, ...)."""
        n, m = self.shape
        return padded[: n * m].reshape(n, m, *padded.shape[1:])

    def roughness_traces(self, factor: BlockTridiagonal) -> Array:
        """Return the traces of an inverse matrix times the roughness along either axis, shape (2,); to six digits.

        Args:
            factor: what `factorise` returned of the matrix.
        """
        (n, m), (count, _) = self.shape, self._grouped
        diagonal, below = factor.inverse_blocks(single=True)
        inner = diagonal.reshape(count, _DEGREE, m, _DEGREE, m)
        outer = below.reshape(count - 1, _DEGREE, m, _DEGREE, m)
        rough = np.zeros((count * _DEGREE, count * _DEGREE))
        rough[:n, :n] = self.rows.roughness
        blocks = rough.reshape(count, _DEGREE, count, _DEGREE)
        each = np.arange(count)
        first = np.sum(blocks[each, :, each] * np.einsum("brjsj->brs", inner, dtype=np.float64))
        first += 2 * np.sum(blocks[each[1:], :, each[:-1]] * np.einsum("brjsj->brs", outer, dtype=np.float64))
        own = np.einsum("brjrk->brjk", inner).reshape(count * _DEGREE, m, m)[:n]
        return np.array([float(first), float(np.sum(own * self.columns.roughness))])

    def roughness_forms(self, coefficients: Array) -> tuple[Array, Array]:
        """Return the products of sets of coefficients with the roughness along either axis between them.

        Args:
            coefficients: shape (n, m, count).

        Returns:
            two matrices of shape (count, count).
        """
        forms = []
        for axis, count in enumerate(self.shape):
            differences = np.diff(coefficients, min(_ORDER, count - 1), axis=axis)
            flat = differences.reshape(-1, coefficients.shape[2])
            forms.append(flat.T @ flat)
        return forms[0], forms[1]

    def covariance_bands(self, factor: BlockTridiagonal, modes: Array) -> Array:
        """Return the bands that `variances` takes of the inverse matrix plus modes @ modes'.

        Args:
            factor: what `factorise` returned.
            modes: shape (n, m, count).
        """
        n, m = self.shape
        diagonal, below = factor.inverse_blocks()
        width = _DEGREE + 1
        bands = np.zeros((width, width, n, m))
        for step in range(width):
            for row in range(n - step):
                (first, top), (second, left) = divmod(row + step, _DEGREE), divmod(row, _DEGREE)
                source = diagonal[first] if first == second else below[second]
                sub = source[top * m : (top + 1) * m, left * m : (left + 1) * m]
                for along in range(width):
                    bands[step, along, row, : m - along] = np.diagonal(sub, along) + np.diagonal(sub, -along)
            for along in range(width):
                here, there = modes[: n - step, : m - along], modes[step:, along:]
                across, back = modes[: n - step, along:], modes[step:, : m - along]
                bands[step, along, : n - step, : m - along] += np.einsum("ijk,ijk->ij", here, there)
                bands[step, along, : n - step, : m - along] += np.einsum("ijk,ijk->ij", across, back)
        # Splines (i, j) and (i + d, j + e) occur twice in the quadratic form, as do the crossed ones, which coincide
        # with these where e = 0; for d = 0 the loop above counted both orders, and for d = e = 0 twice the variance.
        bands[1:] *= 2
        bands[:, 0] /= 2
        return bands


def _symmetric_bands(bands: Array) -> Array:
    """Return the symmetric matrices of diagonals 0 to 3, shape (4, n, m) -> (n, m, m)."""
    _, n, m = bands.shape
    matrices = np.zeros((n, m, m))
    for step, values in enumerate(bands):
        index = np.arange(m - step)
        matrices[:, index, index + step] = values[:, : m - step]
        matrices[:, index + step, index] = values[:, : m - step]
    return matrices
