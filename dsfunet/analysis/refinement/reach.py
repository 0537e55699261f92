"""How far order reaches: the distance of the last significant correlation, and a correlation length."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.optimize import minimize

from dsfunet._typing import Array
from dsfunet.analysis.formatting import with_uncertainty
from dsfunet.physics.symmetry import Orbit

SIGNIFICANT = 4.0
"""Size of a correlation, in standard uncertainties, from which it counts as order: one of 16,000 by chance."""

_FEWEST_ORBITS = 4
_LARGEST_RELATIVE_ERROR = 0.5


@dataclass(frozen=True)
class Reach:
    """How far order reaches.

    Attributes:
        farthest: name of the longest orbit whose alpha exceeds 4 standard uncertainties; empty if none does.
        farthest_angstrom: its length [Angstrom]; 0 if there is none.
        significant: number of orbits above 4 standard uncertainties.
        correlation_length_angstrom: xi [Angstrom], over which the root mean square of alpha falls by a factor e; None
            if the data do not settle it.
        standard_uncertainty: of xi [Angstrom]; None without it.
    """

    farthest: str
    farthest_angstrom: float
    significant: int
    correlation_length_angstrom: float | None = None
    standard_uncertainty: float | None = None

    @property
    def length_text(self) -> str | None:
        """The correlation length [Angstrom] with its standard uncertainty, as 7.8(3); None if it is not settled."""
        if self.correlation_length_angstrom is None or self.standard_uncertainty is None:
            return None
        return with_uncertainty(self.correlation_length_angstrom, self.standard_uncertainty)


def describe_reach(reach: Reach, count: int, quantity: str = "alpha") -> str:
    """Return the line of a report about how far order reaches; `count` is the number of orbits that were fitted."""
    if not reach.significant:
        return f"reach      none of {count} correlations exceeds {SIGNIFICANT:g} s.u."
    length = (
        "the data do not settle a correlation length"
        if reach.length_text is None
        else f"their root mean square, whatever the signs, falls as exp(-r/xi) with xi = {reach.length_text} Å"
    )
    of_layer = "" if quantity == "alpha" else " of the layer"
    return (
        f"reach      {reach.significant} of {count} correlations{of_layer} exceed {SIGNIFICANT:g} s.u., the farthest"
        f" {reach.farthest} at {reach.farthest_angstrom:.1f} Å; {length}"
    )


def reach_record(reach: Reach) -> dict[str, object]:
    """Return how far order reaches for a JSON file."""
    return {**asdict(reach), "method": "maximum likelihood of a root mean square that falls as exp(-r/xi)"}


def find_reach(orbits: Sequence[Orbit], alphas: Array, uncertainties: Array) -> Reach:
    """Find how far order reaches.

    Correlations change sign and size from orbit to orbit, so that a line through log |alpha| would follow those that
    happen to be large. Each alpha is taken as a draw from a normal distribution about 0 with variance A^2
    exp(-2 r / xi) + sigma^2, where r is the length of its vector and sigma its standard uncertainty. A and xi maximise
    the likelihood of all orbits; the standard uncertainty of xi is that of Fisher's information.

    Args:
        orbits: in order of length.
        alphas: shape (n,).
        uncertainties: of the alphas, shape (n,).
    """
    significant = np.flatnonzero(np.abs(alphas) > SIGNIFICANT * uncertainties)
    if not significant.size:
        return Reach("", 0.0, 0)
    last = orbits[int(significant[-1])]
    found = Reach(last.name, last.length_angstrom, int(significant.size))
    if significant.size < _FEWEST_ORBITS:
        return found
    lengths = np.array([orbit.length_angstrom for orbit in orbits])
    fit = _fit_envelope(lengths, alphas, uncertainties)
    if fit is None:
        return found
    return Reach(found.farthest, found.farthest_angstrom, found.significant, *fit)


def _fit_envelope(lengths: Array, alphas: Array, uncertainties: Array) -> tuple[float, float] | None:
    """Return xi and its standard uncertainty [Angstrom]; None if the data do not settle it."""
    noise = np.maximum(uncertainties, 1e-12) ** 2

    def variance(parameters: Array) -> Array:
        """Return the variances for log A^2 and 1 / xi."""
        exponent = np.clip(parameters[0] - 2 * lengths * parameters[1], -200, 50)
        return np.asarray(np.exp(exponent) + noise)

    def cost(parameters: Array) -> float:
        expected = variance(parameters)
        return float(np.sum(np.log(expected) + alphas**2 / expected)) / 2

    middle = float(np.median(lengths))
    starts = [
        np.array([2 * np.log(np.abs(alphas).max()) + 2 * lengths[0] / length, 1 / length])
        for length in (middle / 8, middle / 4, middle / 2, middle)
    ]
    best = min(
        (minimize(cost, start, method="Nelder-Mead", options={"maxiter": 2000}) for start in starts),
        key=lambda each: float(each.fun),
    )
    total = variance(best.x)
    order = (total - noise) / total  # derivative of log variance with respect to log A^2
    slopes = np.column_stack([order, -2 * lengths * order])
    information = slopes.T @ slopes / 2
    decay = float(best.x[1])
    if decay <= 0 or np.linalg.cond(information) > 1e12:
        return None
    sigma = float(np.sqrt(np.linalg.inv(information)[1, 1])) / decay
    if sigma > _LARGEST_RELATIVE_ERROR:
        return None
    return 1 / decay, sigma / decay
