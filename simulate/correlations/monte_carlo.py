"""One Monte Carlo run: order a lattice until a few Warren-Cowley parameters meet their targets.

The parameters of one crystal depend on each other, so they cannot be drawn one by one. Instead a run draws targets
for the nearest neighbours along a, b and c, and swaps molecules on a periodic lattice until those targets are met.
`simulate.correlations.sets` then measures every parameter of equation 6 on the configuration.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsfunet.errors import InputError
from dsfunet.physics import MAX_INDEX
from simulate.correlations.monte_carlo_kernel import order_sites

NEAREST = np.eye(3, dtype=np.int64)
"""Vectors [100], [010] and [001] to the nearest neighbours: a run without symmetry has targets for these."""
NEAREST.flags.writeable = False


@dataclass(frozen=True)
class MonteCarloRecipe:
    """Settings of the Monte Carlo sets.

    Attributes:
        lattice_sites: unit cells along each edge of the periodic lattice, at least 11 to keep every vector of
            equation 6 apart from its periodic image; the sampling error of a parameter is about lattice_sites^-1.5.
        concentration_range: lowest and highest share of species A.
        target_max: highest target, below 1; many targets above about 0.83 are missed because domains grow slowly.
        lower_bound_share: lowest target, as a share of the lowest parameter that the concentration allows.
        tolerance: largest deviation of a parameter from its target in a converged set.
        max_sweeps: largest number of attempted swaps per site; a set that needs more is discarded.
        symmetric_share: probability that equivalent neighbours share one target (symmetric order).
    """

    lattice_sites: int = 32
    concentration_range: tuple[float, float] = (0.1, 0.9)
    target_max: float = 0.85
    lower_bound_share: float = 0.95
    tolerance: float = 0.005
    max_sweeps: int = 40
    symmetric_share: float = 0.0

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            InputError: A field is outside its range.
        """
        low, high = self.concentration_range
        if self.lattice_sites < 2 * MAX_INDEX + 1:
            raise InputError(f"lattice_sites is {self.lattice_sites}; expected at least {2 * MAX_INDEX + 1}")
        if not 0.0 < low <= high < 1.0:
            raise InputError(f"concentration_range is {(low, high)}; expected 0 < lowest <= highest < 1")
        if not 0.0 <= self.target_max < 1.0:
            raise InputError(f"target_max is {self.target_max}; expected 0 to below 1")
        if not 0.0 <= self.lower_bound_share <= 1.0:
            raise InputError(f"lower_bound_share is {self.lower_bound_share}; expected 0 to 1")
        if not self.tolerance > 0.0:
            raise InputError(f"tolerance is {self.tolerance}; expected a positive number")
        if self.max_sweeps < 1:
            raise InputError(f"max_sweeps is {self.max_sweeps}; expected at least 1")
        if not 0.0 <= self.symmetric_share <= 1.0:
            raise InputError(f"symmetric_share is {self.symmetric_share}; expected 0 to 1")


def lowest_alpha(m_a: float) -> float:
    """Return the lowest Warren-Cowley parameter that a vector can have at one concentration.

    Neither P_v^{AB} nor P_v^{BA} can exceed 1, so equation 4 gives alpha >= -min(m_A, m_B) / max(m_A, m_B).
    """
    return -min(m_a, 1.0 - m_a) / max(m_a, 1.0 - m_a)


def draw_targets(rng: np.random.Generator, m_a: float, recipe: MonteCarloRecipe) -> npt.NDArray[np.float64]:
    """Draw targets (3,) for [100], [010] and [001], uniform over the range that the concentration allows."""
    return rng.uniform(lowest_alpha(m_a) * recipe.lower_bound_share, recipe.target_max, size=3)


def order_lattice(
    m_a: float,
    targets: npt.NDArray[np.float64],
    recipe: MonteCarloRecipe,
    seed: int,
    vectors: npt.NDArray[np.int64] = NEAREST,
) -> tuple[npt.NDArray[np.int8], bool]:
    """Order a lattice until the parameters of a few vectors meet their targets.

    This is reverse Monte Carlo at zero temperature: random A and B molecules change places unless that raises the
    sum of (alpha - target)^2 over the vectors. An alpha is linear in the number of AA pairs, so the kernel counts
    those.

    Args:
        m_a: Share of A, rounded to a whole number of molecules.
        targets: Wanted parameters (k,).
        recipe: Lattice size, tolerance and length of the run.
        seed: Seed of the run, from 0 to below 2^64.
        vectors: Lattice vectors (k, 3) of the targets, by default [100], [010] and [001].

    Returns:
        Occupation (n, n, n), 1 for A and 0 for B, and whether every target was met.

    Raises:
        InputError: One species has no molecule at this concentration, or a target is out of the possible range.
    """
    n = recipe.lattice_sites
    total = n**3
    count_a = round(m_a * total)
    if not 0 < count_a < total:
        raise InputError(f"the share of A is {m_a}; expected both species on a lattice of {total} sites")
    lowest = lowest_alpha(count_a / total)
    if not np.all((targets >= lowest) & (targets <= 1.0)):
        raise InputError(f"the targets are {targets.tolist()}; expected {lowest:.4f} to 1 at m_A = {m_a}")
    share_a = count_a / total
    pairs_per_alpha = total * share_a * (1.0 - share_a)
    wanted_pairs = total * share_a**2 + targets * pairs_per_alpha
    slack_pairs = recipe.tolerance * pairs_per_alpha
    max_attempts = recipe.max_sweeps * total
    # Pass a writable copy: numba would compile a second kernel for read-only arrays.
    occupation, met = order_sites(
        n, count_a, vectors.copy(), wanted_pairs, slack_pairs, max_attempts, np.uint64(seed)
    )
    return occupation.reshape(n, n, n), met
