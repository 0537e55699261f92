"""Cholesky factors of symmetric positive definite block-tridiagonal matrices, with their solves and inverse blocks."""

import numpy as np
from scipy import linalg

from dsfunet._typing import Array


class BlockTridiagonal:
    """The Cholesky factor of a block-tridiagonal matrix; its diagonal blocks are factors of equal size b.

    Works by blocks, so that a solve with many right-hand sides runs at the speed of matrix products.

    Args:
        diagonal: diagonal blocks, shape (k, b, b); symmetric.
        below: blocks below the diagonal, (row i + 1, column i), shape (k - 1, b, b).

    Raises:
        numpy.linalg.LinAlgError: the matrix is not positive definite.
    """

    def __init__(self, diagonal: Array, below: Array) -> None:
        self._factors: list[Array] = []
        self._links: list[Array] = []
        current = diagonal[0]
        for index in range(len(diagonal)):
            factor = linalg.cholesky(current, lower=True, check_finite=False)
            self._factors.append(factor)
            if index + 1 < len(diagonal):
                link = linalg.solve_triangular(factor, below[index].T, lower=True, check_finite=False).T
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
        side, result = self._side, np.array(right, dtype=np.float64)
        for index, factor in enumerate(self._factors):
            rows = slice(index * side, (index + 1) * side)
            if index:
                result[rows] -= self._links[index - 1] @ result[(index - 1) * side : index * side]
            result[rows] = linalg.solve_triangular(factor, result[rows], lower=True, check_finite=False)
        return result

    def solve_backward(self, right: Array) -> Array:
        """Solve L' x = right for the transpose of the lower Cholesky factor L."""
        side, result = self._side, np.array(right, dtype=np.float64)
        for index in range(len(self._factors) - 1, -1, -1):
            rows = slice(index * side, (index + 1) * side)
            if index + 1 < len(self._factors):
                result[rows] -= self._links[index].T @ result[(index + 1) * side : (index + 2) * side]
            result[rows] = linalg.solve_triangular(
                self._factors[index], result[rows], lower=True, trans=1, check_finite=False
            )
        return result

    def inverse_blocks(self) -> tuple[Array, Array]:
        """Return the blocks of the inverse on and below the diagonal, shapes (k, b, b) and (k - 1, b, b).

        The inverse is full; these are its blocks where the matrix itself has some (Takahashi's recursion by blocks).
        """
        count, side = len(self._factors), self._side
        diagonal, below = np.empty((count, side, side)), np.empty((max(count - 1, 0), side, side))
        identity = np.eye(side)
        for index in range(count - 1, -1, -1):
            half = linalg.solve_triangular(self._factors[index], identity, lower=True, check_finite=False)
            diagonal[index] = half.T @ half
            if index + 1 < count:
                ratio = self._links[index] @ half
                below[index] = -diagonal[index + 1] @ ratio
                diagonal[index] -= ratio.T @ below[index]
        return diagonal, below
