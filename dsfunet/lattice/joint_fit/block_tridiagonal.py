"""Cholesky factors of symmetric positive definite block-tridiagonal matrices, with their solves and inverse blocks."""

import numpy as np
from scipy.linalg import blas, lapack

from dsfunet._typing import Array


class BlockTridiagonal:
    """The Cholesky factor of a block-tridiagonal matrix; its diagonal blocks are factors of equal size b.

    Works by blocks, so that a solve with many right-hand sides runs at the speed of matrix products. BLAS is called on
    transposed views of arrays in C order, which are in its own order, so that nothing is copied.

    Args:
        diagonal: diagonal blocks, shape (k, b, b); symmetric.
        below: blocks below the diagonal, (row i + 1, column i), shape (k - 1, b, b).

    Raises:
        numpy.linalg.LinAlgError: the matrix is not positive definite.
    """

    def __init__(self, diagonal: Array, below: Array) -> None:
        # Transposes of the diagonal blocks L_i of the factor, and the blocks below them.
        self._factors: list[Array] = []
        self._links: list[Array] = []
        current = diagonal[0].copy()
        for index in range(len(diagonal)):
            factor, failed = lapack.dpotrf(current.T, lower=0, clean=1, overwrite_a=1)
            if failed:
                raise np.linalg.LinAlgError("the matrix is not positive definite")
            self._factors.append(factor)
            if index + 1 < len(diagonal):
                link = below[index].copy()
                link = blas.dtrsm(1.0, factor, link.T, side=0, lower=0, trans_a=1, overwrite_b=1).T
                self._links.append(link)
                current = diagonal[index + 1] - link @ link.T
        self._side = diagonal.shape[1]

    @property
    def log_determinant(self) -> float:
        """Logarithm of the determinant of the matrix."""
        return float(2 * sum(np.log(np.diagonal(factor)).sum() for factor in self._factors))

    def solve(self, right: Array) -> Array:
        """Solve for one right-hand side, shape (k b,), or for several, shape (k b, count); same shape."""
        return self.solve_backward(self.solve_forward(right))

    def solve_forward(self, right: Array) -> Array:
        """Solve L x = right for the lower Cholesky factor L; x' x is the quadratic form of the inverse matrix."""
        result = self._copy(right)
        for index, factor in enumerate(self._factors):
            here = self._block(result, index)
            if index:
                here -= self._links[index - 1] @ self._block(result, index - 1)
            here[:] = blas.dtrsm(1.0, factor, here.T, side=1, lower=0, trans_a=0, overwrite_b=1).T
        return result.reshape(right.shape)

    def solve_backward(self, right: Array) -> Array:
        """Solve L' x = right for the transpose of the lower Cholesky factor L."""
        result = self._copy(right)
        for index in range(len(self._factors) - 1, -1, -1):
            here = self._block(result, index)
            if index + 1 < len(self._factors):
                here -= self._links[index].T @ self._block(result, index + 1)
            here[:] = blas.dtrsm(
                1.0, self._factors[index], here.T, side=1, lower=0, trans_a=1, overwrite_b=1
            ).T
        return result.reshape(right.shape)

    def inverse_blocks(self, single: bool = False) -> tuple[Array, Array]:
        """Return the blocks of the inverse on and below the diagonal, shapes (k, b, b) and (k - 1, b, b).

        The inverse is full; these are its blocks where the matrix itself has some (Takahashi's recursion by blocks).

        Args:
            single: whether single precision will do, which takes half the time.
        """
        count, side, kind = len(self._factors), self._side, np.float32 if single else np.float64
        triangular_inverse, triangular_solve = (
            (lapack.strtri, blas.strsm) if single else (lapack.dtrtri, blas.dtrsm)
        )
        diagonal = np.empty((count, side, side), kind)
        below = np.empty((max(count - 1, 0), side, side), kind)
        for index in range(count - 1, -1, -1):
            factor = self._factors[index].astype(kind, order="F", copy=False)
            half, _ = triangular_inverse(factor, lower=0)
            diagonal[index] = half @ half.T
            if index + 1 < count:
                link = self._links[index].astype(kind, copy=False).T
                ratio = triangular_solve(1.0, factor, link, side=0, lower=0, trans_a=0).T
                below[index] = -diagonal[index + 1] @ ratio
                diagonal[index] -= ratio.T @ below[index]
        return diagonal, below

    def _copy(self, right: Array) -> Array:
        return np.array(right, dtype=np.float64, order="C").reshape(len(right), -1)

    def _block(self, values: Array, index: int) -> Array:
        return values[index * self._side : (index + 1) * self._side]
