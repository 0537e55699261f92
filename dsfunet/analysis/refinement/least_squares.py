"""Weighted linear least squares whose uncertainties come from the scatter between groups of observations."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.sparse import csr_array

from dsfunet._typing import Array
from dsfunet.errors import InputError

# Of the smallest to the largest eigenvalue of the normal matrix with unit diagonal: noise grows by its inverse root.
_RANK_TOLERANCE = 1e-8
_NO_RESIDUAL = 1e-9


@dataclass(frozen=True, eq=False)
class LinearFit:
    """A fit values = design @ coefficients.

    Attributes:
        coefficients: shape (k,).
        influence: shape (g, k), what each window of observations adds to the error of the coefficients: covariances are
            influence.T @ influence, and those with other quantities likewise.
        residuals: values - design @ coefficients, shape (n,).
    """

    coefficients: Array
    influence: Array
    residuals: Array


def check_rank(design: Array, weights: Array, names: Sequence[str]) -> None:
    """Make sure that the observations settle every column of a design of shape (n, k).

    Raises:
        InputError: there are fewer observations than columns, a column is zero, or some cannot be told apart; the
            columns are named.
    """
    used = weights > 0
    if used.sum() <= design.shape[1]:
        raise InputError(
            f"{design.shape[1]} parameters but only {used.sum()} pixels to fit: expected fewer vectors, or a plane"
            " of which more was measured"
        )
    root = np.sqrt(weights[used])[:, None]
    length = np.sqrt((design[used] ** 2).mean(axis=0))
    unseen = [name for name, each in zip(names, length, strict=True) if each < 1e-6]
    if unseen:
        raise InputError(f"the plane does not see {_listed(unseen)}: expected other vectors or another layer")
    scaled = root * design[used]
    scaled /= np.linalg.norm(scaled, axis=0)
    values, vectors = np.linalg.eigh(scaled.T @ scaled)
    if values[0] < _RANK_TOLERANCE * values[-1]:
        weight = np.abs(vectors[:, 0])
        alike = [name for name, each in zip(names, weight, strict=True) if each > 0.05 * weight.max()]
        raise InputError(
            f"the plane cannot tell {_listed(alike)} apart: expected fewer vectors, or a plane on which they differ"
        )


def fit(design: Array, values: Array, weights: Array, windows: csr_array | None) -> LinearFit:
    """Minimise sum w (values - design @ coefficients)^2, and see from the residuals how well that is known.

    With windows t_g the covariance is the sandwich (X'WX)^-1 [sum_g u_g u_g'] (X'WX)^-1, u_g = X' W t_g e, in
    which observations that share a window may be correlated in any way and differ in variance; each u_g is corrected
    for the share of the fit that its window decides itself, so that independent errors of equal variance give what the
    textbook does on average (after Bell and McCaffrey 2002, "CR2"). Without windows it is the textbook's
    (X'WX)^-1 sum(w e^2) / (n - k), for independent observations.

    Args:
        design: shape (n, k), of full rank, see `check_rank`.
        values: shape (n,).
        weights: shape (n,), all positive.
        windows: shape (g, n), sparse, squares adding up to 1 for each observation; or None.
    """
    root = np.sqrt(weights)
    scaled, target = root[:, None] * design, root * values
    norms = np.linalg.norm(scaled, axis=0)
    scaled = scaled / norms
    eigenvalues, eigenvectors = np.linalg.eigh(scaled.T @ scaled)
    half = eigenvectors * (1 / np.sqrt(eigenvalues)) @ eigenvectors.T
    solution = half @ (half @ (scaled.T @ target))
    residuals = target - scaled @ solution
    # Once more on what is left: normal equations lose half of the digits.
    correction = half @ (half @ (scaled.T @ residuals))
    solution, residuals = solution + correction, residuals - scaled @ correction
    if windows is None:
        variance = residuals @ residuals / (len(values) - len(solution))
        influence = np.sqrt(variance) * half
    else:
        influence = _window_scores(scaled @ half, residuals, windows) @ half
    return LinearFit(solution / norms, influence / norms, residuals / root)


def _window_scores(columns: Array, residuals: Array, windows: csr_array) -> Array:
    """Corrected u_g of each window, for orthonormal columns (n, k): shape (g, k)."""
    scores = np.zeros((len(windows.indptr) - 1, columns.shape[1]))
    for number, (start, end) in enumerate(pairwise(windows.indptr.tolist())):
        mine, height = windows.indices[start:end], np.asarray(windows.data[start:end])
        rows = columns[mine]
        once, twice = rows.T @ (height[:, None] * rows), rows.T @ (height[:, None] ** 2 * rows)
        # Independent errors make E[u u'] = twice - once^2 of `twice`: the rest went into the fit.
        score = rows.T @ (height * residuals[mine])
        scores[number] = root_of(twice) @ (root_of(twice - once @ once, inverse=True) @ score)
    return scores


def root_of(matrix: Array, inverse: bool = False) -> Array:
    """Symmetric square root of a matrix without negative eigenvalues, or the inverse of it."""
    values, vectors = np.linalg.eigh(matrix)
    # A window that decides a combination alone leaves no residual in it, so nothing is to be scaled up.
    roots = np.sqrt(np.maximum(values, 0.0))
    if inverse:
        roots = np.where(values > _NO_RESIDUAL * max(1e-300, values[-1]), 1 / np.maximum(roots, 1e-150), 0.0)
    result: Array = (vectors * roots) @ vectors.T
    return result


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
