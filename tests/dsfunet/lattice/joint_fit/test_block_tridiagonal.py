"""The factor of a block-tridiagonal matrix agrees with dense linear algebra."""

import numpy as np
import pytest

from dsfunet._typing import Array
from dsfunet.lattice.joint_fit.block_tridiagonal import BlockTridiagonal


def blocks(count: int, side: int) -> tuple[Array, Array, Array]:
    """Return diagonal blocks, blocks below and the dense matrix of a positive definite example."""
    random = np.random.default_rng(3)
    below = random.normal(size=(count - 1, side, side))
    diagonal = random.normal(size=(count, side, side))
    diagonal = diagonal @ diagonal.transpose(0, 2, 1) + 6 * side * np.eye(side)
    dense = np.zeros((count * side, count * side))
    for i in range(count):
        here = slice(i * side, (i + 1) * side)
        dense[here, here] = diagonal[i]
        if i + 1 < count:
            there = slice((i + 1) * side, (i + 2) * side)
            dense[there, here] = below[i]
            dense[here, there] = below[i].T
    return diagonal, below, dense


@pytest.mark.parametrize(("count", "side"), [(1, 4), (2, 3), (5, 4)])
def test_agrees_with_a_dense_matrix(count: int, side: int) -> None:
    diagonal, below, dense = blocks(count, side)
    factor = BlockTridiagonal(diagonal, below)
    assert factor.log_determinant == pytest.approx(np.linalg.slogdet(dense)[1])
    right = np.random.default_rng(1).normal(size=(count * side, 3))
    np.testing.assert_allclose(factor.solve(right), np.linalg.solve(dense, right), atol=1e-12)
    np.testing.assert_allclose(factor.solve(right[:, 0]), np.linalg.solve(dense, right[:, 0]), atol=1e-12)
    half = factor.solve_forward(right)
    np.testing.assert_allclose(half.T @ half, right.T @ np.linalg.solve(dense, right), atol=1e-12)
    on, off = factor.inverse_blocks()
    inverse = np.linalg.inv(dense)
    for i in range(count):
        here = slice(i * side, (i + 1) * side)
        np.testing.assert_allclose(on[i], inverse[here, here], atol=1e-12)
        if i + 1 < count:
            np.testing.assert_allclose(off[i], inverse[(i + 1) * side : (i + 2) * side, here], atol=1e-12)


def test_a_matrix_that_is_not_positive_definite_is_an_error() -> None:
    diagonal, below, _ = blocks(3, 2)
    with pytest.raises(np.linalg.LinAlgError):
        BlockTridiagonal(-diagonal, below)
