"""One correlation for each orbit from values that a Laue class makes equal, by generalised least squares."""

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from dsfunet._typing import Array

DISAGREEMENT = 3.0
"""Chi-squared per degree of freedom above which equivalent values disagree."""


@dataclass(frozen=True, eq=False)
class CombinedValues:
    """One value for each of n orbits, and how well equivalent values agree.

    Attributes:
        values: shape (n,).
        covariance: of the values, shape (n, n).
        chi_squared: of the differences between equivalent values.
        degrees_of_freedom: number of differences; 0 where nothing is equivalent.
    """

    values: Array
    covariance: Array
    chi_squared: float
    degrees_of_freedom: int

    @property
    def reduced(self) -> float:
        """Chi-squared per degree of freedom; 1 where nothing is equivalent."""
        return self.chi_squared / self.degrees_of_freedom if self.degrees_of_freedom else 1.0

    @property
    def enlarged(self) -> Array:
        """The covariance, larger where equivalent values disagree, shape (n, n)."""
        return self.covariance * max(1.0, self.reduced)


def combine_equivalents(
    values: Array, covariance: Array, design: Array, systematic: Array | None = None
) -> CombinedValues:
    """Combine values that are equal up to known factors.

    Args:
        values: shape (k,).
        covariance: of the values, positive definite, shape (k, k).
        design: values are expected to be design @ combined values, shape (k, n); rows of zeros are not used.
        systematic: sizes of systematic errors of the values, shape (k,), or None. They lower the weights, and
            equivalent values may differ by them, but they are not in the covariance that is returned.
    """
    used = design.any(axis=1)
    design, values, covariance = design[used], values[used], covariance[np.ix_(used, used)]
    expected = covariance if systematic is None else covariance + np.diag(systematic[used] ** 2)
    factor = linalg.cho_factor(expected, lower=True)
    weighted = linalg.cho_solve(factor, design)
    gain = linalg.solve(design.T @ weighted, weighted.T, assume_a="pos")
    combined: Array = gain @ values
    left = values - design @ combined
    chi_squared = float(left @ linalg.cho_solve(factor, left))
    return CombinedValues(combined, gain @ covariance @ gain.T, chi_squared, len(values) - design.shape[1])


def note_disagreement(reduced: float) -> str:
    """Return a sentence about equivalent values that disagree, with chi-squared per degree of freedom."""
    return (
        "correlations that the Laue class makes equal differ by more than their errors (chi-squared"
        f" {reduced:.1f} per degree of freedom): the symmetry may be lower"
    )
