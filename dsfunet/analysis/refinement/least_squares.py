"""Weighted linear least squares whose uncertainties come from the scatter between groups of observations."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.sparse import csr_array

from dsfunet._typing import Array
from dsfunet.errors import InputError

# Ratio of the smallest to the largest eigenvalue of the normal matrix with unit diagonal; noise grows with its inverse
# square root.
_RANK_TOLERANCE = 1e-8
_NO_RESIDUAL = 1e-9


@dataclass(frozen=True, eq=False)
class LinearFit:
    """A linear least-squares fit, values = design @ coefficients.

    Attributes:
        coefficients: shape (k,).
        influence: contribution of each window of observations to the error of the coefficients, shape (g, k). Their
            covariance is influence.T @ influence.
        residuals: values - design @ coefficients, shape (n,).
    """

    coefficients: Array
    influence: Array
    residuals: Array


def check_rank(design: Array, weights: Array, names: Sequence[str]) -> None:
    """Check that the observations determine the coefficient of every column of a design.

    Args:
        design: shape (n, k).
        weights: shape (n,), 0 for observations that do not count.
        names: of the columns, for error messages.

    Raises:
        InputError: there are no more observations than columns, a column is zero, or some columns are linearly
            dependent; the message names the columns.
    """
    used = weights > 0
    if used.sum() <= design.shape[1]:
        raise InputError(
            f"found {design.shape[1]} parameters but only {used.sum()} pixels to fit; use fewer vectors, or a plane"
            " with more measured pixels"
        )
    root = np.sqrt(weights[used])[:, None]
    length = np.sqrt((design[used] ** 2).mean(axis=0))
    unseen = [name for name, each in zip(names, length, strict=True) if each < 1e-6]
    if unseen:
        raise InputError(
            f"the plane does not depend on {_joined(unseen)}; choose other vectors or another layer"
        )
    scaled = root * design[used]
    scaled /= np.linalg.norm(scaled, axis=0)
    values, vectors = np.linalg.eigh(scaled.T @ scaled)
    if values[0] < _RANK_TOLERANCE * values[-1]:
        weight = np.abs(vectors[:, 0])
        alike = [name for name, each in zip(names, weight, strict=True) if each > 0.05 * weight.max()]
        raise InputError(
            f"the data cannot distinguish {_joined(alike)}; use fewer vectors, or a plane on which they differ"
        )


def fit(design: Array, values: Array, weights: Array, windows: csr_array | None) -> LinearFit:
    """Minimise sum w (values - design @ coefficients)^2, and estimate errors of the coefficients from the residuals.

    With windows t_g the covariance is the sandwich (X'WX)^-1 [sum_g u_g u_g'] (X'WX)^-1 with u_g = X' W t_g e.
    Observations that share a window may be correlated in any way and may differ in variance. Each u_g is corrected for
    its window's own leverage on the fit, so that independent errors of equal variance give the ordinary covariance on
    average (Bell and McCaffrey 2002, "CR2"). Without windows the covariance is the ordinary
    (X'WX)^-1 sum(w e^2) / (n - k) for independent observations.

    Args:
        design: shape (n, k), of full rank, see `check_rank`.
        values: shape (n,).
        weights: shape (n,), all positive.
        windows: shape (g, n), sparse, with squares that add up to 1 for each observation; None for independent
            observations.
    """
    root = np.sqrt(weights)
    scaled, target = root[:, None] * design, root * values
    norms = np.linalg.norm(scaled, axis=0)
    scaled = scaled / norms
    eigenvalues, eigenvectors = np.linalg.eigh(scaled.T @ scaled)
    half = eigenvectors * (1 / np.sqrt(eigenvalues)) @ eigenvectors.T
    solution = half @ (half @ (scaled.T @ target))
    residuals = target - scaled @ solution
    # Solve once more for the remainder: normal equations lose half of the digits.
    correction = half @ (half @ (scaled.T @ residuals))
    solution, residuals = solution + correction, residuals - scaled @ correction
    if windows is None:
        variance = residuals @ residuals / (len(values) - len(solution))
        influence = np.sqrt(variance) * half
    else:
        influence = _window_scores(scaled @ half, residuals, windows) @ half
    return LinearFit(solution / norms, influence / norms, residuals / root)


def _window_scores(columns: Array, residuals: Array, windows: csr_array) -> Array:
    """Return the corrected u_g of each window, shape (g, k), for orthonormal columns (n, k)."""
    scores = np.zeros((len(windows.indptr) - 1, columns.shape[1]))
    for number, (start, end) in enumerate(pairwise(windows.indptr.tolist())):
        mine, height = windows.indices[start:end], np.asarray(windows.data[start:end])
        rows = columns[mine]
        once, twice = rows.T @ (height[:, None] * rows), rows.T @ (height[:, None] ** 2 * rows)
        # For independent errors E[u u'] is twice - once^2 instead of `twice`, because the fit absorbs the rest.
        score = rows.T @ (height * residuals[mine])
        scores[number] = root_of(twice) @ (root_of(twice - once @ once, inverse=True) @ score)
    return scores


def root_of(matrix: Array, inverse: bool = False) -> Array:
    """Return the symmetric square root of a positive semidefinite matrix (k, k), or its pseudo-inverse."""
    values, vectors = np.linalg.eigh(matrix)
    # A window that alone determines a combination leaves no residual in it, so there is nothing to scale up.
    roots = np.sqrt(np.maximum(values, 0.0))
    if inverse:
        roots = np.where(values > _NO_RESIDUAL * max(1e-300, values[-1]), 1 / np.maximum(roots, 1e-150), 0.0)
    result: Array = (vectors * roots) @ vectors.T
    return result


def _joined(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
