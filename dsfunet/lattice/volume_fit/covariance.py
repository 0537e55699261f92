"""Uncertainties of a volume's fit by Laplace's approximation: of all correlations, of both factors in each voxel."""

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from dsfunet._typing import Array, Integers
from dsfunet.lattice.volume_fit.model import LinearSystem, State
from dsfunet.lattice.volume_fit.series import CosineSeries, LatticeVectors, keep_half
from dsfunet.lattice.volume_fit.solver import (
    HiddenDirections,
    Preconditioner,
    Prior,
    find_hidden_directions,
    solve,
    split_levels,
)
from dsfunet.lattice.volume_fit.splines import multiply_along_axes
from dsfunet.lattice.volume_fit.unseen import find_unseen_directions

MOST_VECTORS = 1500
"""The covariance is kept for so many of the shortest vectors."""

_MOST_JOINT = 6000
"""So many of the shortest vectors may vary with them, and longer ones stay as they are.

Where all zones have the same hole, as at Bragg positions, long vectors trade with short ones.
"""

UNTOUCHED = 0.85
"""Correlations that keep more than this share of their information if the form factor is free are treated as alone."""

_CALIBRATION = 1.3
"""Factor of the variances of correlations with which pulls on virtual crystals have a root mean square of about 1.

What the envelope leaves is in no covariance. Set on seeds 0 and 1 of the kinds of `benchmarks.volumes`.
"""

_FIELD_CALIBRATION = 2.0
"""The same for the variance of the form factor."""

_ROWS = 512  # of a matrix, filled at a time


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """Uncertainties at a solution.

    Attributes:
        covariance: of the first k correlations, at most 1500, whatever the others are, shape (k, k).
        bias: first-order change of each correlation by the prior of the form factor, shape (k,).
        field_variance: variance of u at the centres of the splines, with the square of its own change by the prior.
        order_terms: cosine terms of the variance of S: the vectors.
        order_amplitudes: their amplitudes, shape (number of terms,).
        order_constant: the constant term.
    """

    covariance: Array
    bias: Array
    field_variance: Array
    order_terms: LatticeVectors
    order_amplitudes: Array
    order_constant: float


def find_uncertainty(
    system: LinearSystem,
    prior: Prior,
    state: State,
    centres: tuple[Array, Array, Array],
    inflation: float,
) -> Uncertainty:
    """Find all uncertainties at a solution.

    Args:
        system: the problem linearised there.
        prior: the priors.
        state: the estimate.
        centres: values of the splines at their centres, along each axis, shape (splines, splines) each.
        inflation: factor of all variances.
    """
    preconditioner = Preconditioner(system, prior)
    hidden = find_hidden_directions(system, prior, preconditioner.field, UNTOUCHED, 2e-2)
    vectors = system.problem.series.vectors
    kept = min(vectors.count, _MOST_JOINT)
    pairs = _Pairs(vectors.select(np.arange(vectors.count) < kept))
    sums = _sum_order_information(system, pairs)
    information = _order_information(sums, pairs)
    information[:, hidden.places] = hidden.order_columns[:kept]
    information[hidden.places, :] = hidden.order_columns[:kept].T
    information[np.ix_(hidden.places, hidden.places)] = hidden.information
    information[np.diag_indices(kept)] += 1 / prior.order_variances[:kept]
    covariance = _invert(information)
    covariance *= inflation
    pull = -prior.pull(state.coefficients), np.zeros(vectors.count)
    shift, bias = solve(system, prior, preconditioner, pull)
    unseen = find_unseen_directions(pairs.vectors, state.alphas[:kept], pairs.terms, sums)
    covariance += unseen.T @ unseen
    variance = (
        _FIELD_CALIBRATION * inflation * _field_variance(prior, preconditioner.field.information, centres)
    )
    variance += _hidden_variance(hidden, covariance, centres, shift.shape)
    variance += multiply_along_axes(centres, shift) ** 2
    amplitudes, constant = pairs.variance_series(covariance)
    shown = min(kept, MOST_VECTORS)
    covariance = _CALIBRATION * covariance[:shown, :shown]
    return Uncertainty(covariance, bias[:shown], variance, pairs.terms, amplitudes, constant)


class _Pairs:
    """Sums and differences of all pairs of lattice vectors, as places in a list of half-vectors."""

    def __init__(self, vectors: LatticeVectors) -> None:
        self.vectors = vectors
        reach = 2 * np.abs(vectors.numerators).max(axis=0)
        self._low = -reach
        self._size = 2 * reach + 1
        present = np.zeros(self._size, np.bool_)
        for first in self.vectors.numerators:
            for sign in (1, -1):
                present[tuple((first + sign * self.vectors.numerators - self._low).T)] = True
        found = np.argwhere(present) + self._low
        half = keep_half(found)
        self.terms = LatticeVectors(half, vectors.denominator, np.zeros(len(half)))
        self._table = np.zeros(self._size, np.int64)  # 0 is the vector 0 0 0
        self._table[tuple((half - self._low).T)] = 1 + np.arange(len(half))
        self._table[tuple((-half - self._low).T)] = 1 + np.arange(len(half))

    def places(self, place: int) -> tuple[Integers, Integers]:
        """Return the places of the differences and sums of one vector with all, 0 for 0 0 0, shape (k,) each."""
        first = self.vectors.numerators[place]
        minus, plus = (
            self._table[tuple((first + sign * self.vectors.numerators - self._low).T)] for sign in (-1, 1)
        )
        return minus, plus

    def variance_series(self, covariance: Array) -> tuple[Array, float]:
        """Return amplitudes and constant of the series of the variance of S, as of `CosineSeries.evaluate`."""
        total = np.zeros(1 + self.terms.count)
        for place in range(len(covariance)):
            for where in self.places(place):
                total += np.bincount(where, covariance[place], len(total))
        # 2 cos x 2 cos y = 2 cos (x - y) + 2 cos (x + y), and a series has 2 cos for each term.
        return total[1:], 2 * float(total[0])


def _sum_order_information(system: LinearSystem, pairs: _Pairs) -> Array:
    """Return sums of the squared derivative with respect to S, times 2 and 2 cos of each term, shape (1 + terms,)."""
    problem = system.problem
    series = CosineSeries(pairs.terms, problem.voxels.axes)
    sums = np.zeros(series.count)
    for block in problem.voxels.blocks:
        series.project(system.order[block] ** 2, block, sums)
    return np.concatenate([[2 * system.order_sum], sums])


def _order_information(sums: Array, pairs: _Pairs) -> Array:
    """Return the information of the correlations for a fixed form factor, shape (k, k)."""
    information = np.empty((pairs.vectors.count, pairs.vectors.count))
    for place in range(pairs.vectors.count):
        minus, plus = pairs.places(place)
        information[place] = sums[minus] + sums[plus]
    return information


def _invert(matrix: Array) -> Array:
    """Return the inverse of a positive definite matrix in its own memory, which is overwritten."""
    factor, _ = linalg.cho_factor(matrix.T, lower=True, overwrite_a=True, check_finite=False)
    inverse, failed = linalg.lapack.dpotri(factor, lower=1, overwrite_c=1)
    assert not failed, "a Cholesky factor has no zero on its diagonal"
    found: Array = inverse.T  # in C order, with the upper triangle filled
    for first in range(0, len(found), _ROWS):
        rows = slice(first, first + _ROWS)
        found[rows.stop :, rows] = found[rows, rows.stop :].T
        corner = found[rows, rows]
        corner[...] = np.triu(corner) + np.triu(corner, 1).T
    return found


def _field_variance(prior: Prior, information: Array, centres: tuple[Array, Array, Array]) -> Array:
    """Return the variance of u at the centres of the splines for known S, from levels of local information."""
    first, second, third = (
        (values @ modes) ** 2 for values, modes in zip(centres, prior.modes.modes, strict=True)
    )
    precisions = prior.precisions[prior.modes.shells]
    total = np.zeros(information.shape)
    for level, window in split_levels(np.log(information)):
        variance = multiply_along_axes((first, second, third), 1 / (level + precisions))
        total += window * np.log(variance)
    return np.exp(total)


def _hidden_variance(
    hidden: HiddenDirections, covariance: Array, centres: tuple[Array, Array, Array], shape: tuple[int, ...]
) -> Array:
    """Return the variance of u at the centres that comes with the uncertainty of the correlations."""
    total = np.zeros(shape)
    if not len(hidden.places):
        return total
    part = covariance[np.ix_(hidden.places, hidden.places)]
    values, vectors = np.linalg.eigh(part)
    for change in (np.sqrt(np.maximum(values, 0)) * vectors).T @ hidden.changes:
        total += multiply_along_axes(centres, change.reshape(shape)) ** 2
    return total
