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
"""The nearest neighbours [100], [010] and [001] that an untied run has targets for."""
NEAREST.flags.writeable = False


@dataclass(frozen=True)
class MonteCarloRecipe:
    """How the Monte Carlo sets are drawn.

    Attributes:
        lattice_sites: Unit cells along each edge of the periodic lattice, at least 11 so that no vector of
            equation 6 meets its periodic image. A parameter's sampling error is about lattice_sites ** -1.5.
        concentration_range: Lowest and highest share of A.
        target_max: Highest target, below 1; beyond about 0.83 in size many are missed: domains grow slowly.
        lower_bound_share: Lowest target, as a share of the lowest parameter the concentration allows.
        tolerance: Largest distance of each parameter from its target in a set that counts as converged.
        max_sweeps: Attempted swaps, in units of the number of sites, after which a set counts as missed.
        symmetric_share: Probability that a set's targets are tied by a symmetry
        (`simulate.correlations.symmetric_order`).
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
            raise InputError(f"lattice_sites is {self.lattice_sites}; expected at least {2 * MAX_INDEX + 1}.")
        if not 0.0 < low <= high < 1.0:
            raise InputError(f"concentration_range is {(low, high)}; expected 0 < lowest <= highest < 1.")
        if not 0.0 <= self.target_max < 1.0:
            raise InputError(f"target_max is {self.target_max}; expected a value from 0 to below 1.")
        if not 0.0 <= self.lower_bound_share <= 1.0:
            raise InputError(f"lower_bound_share is {self.lower_bound_share}; expected a value from 0 to 1.")
        if not self.tolerance > 0.0:
            raise InputError(f"tolerance is {self.tolerance}; expected a positive value.")
        if self.max_sweeps < 1:
            raise InputError(f"max_sweeps is {self.max_sweeps}; expected at least 1.")
        if not 0.0 <= self.symmetric_share <= 1.0:
            raise InputError(f"symmetric_share is {self.symmetric_share}; expected a value from 0 to 1.")


def lowest_alpha(m_a: float) -> float:
    """Lowest Warren-Cowley parameter of any vector at one concentration.

    Neither P_v^{AB} nor P_v^{BA} can exceed 1, so equation 4 gives alpha >= -min(m_A, m_B) / max(m_A, m_B).
    """
    return -min(m_a, 1.0 - m_a) / max(m_a, 1.0 - m_a)


def draw_targets(rng: np.random.Generator, m_a: float, recipe: MonteCarloRecipe) -> npt.NDArray[np.float64]:
    """Targets (3,) for [100], [010] and [001], uniform over what the concentration allows."""
    return rng.uniform(lowest_alpha(m_a) * recipe.lower_bound_share, recipe.target_max, size=3)


def order_lattice(
    m_a: float,
    targets: npt.NDArray[np.float64],
    recipe: MonteCarloRecipe,
    seed: int,
    vectors: npt.NDArray[np.int64] = NEAREST,
) -> tuple[npt.NDArray[np.int8], bool]:
    """Configuration whose parameters of a few vectors are the targets.

    Reverse Monte Carlo at zero temperature: random A and B molecules change places when that does not raise
    the sum of (alpha - target)^2 over the vectors. An alpha is linear in the number of AA pairs, so those count.

    Args:
        m_a: Share of A; the nearest whole number of molecules is placed.
        targets: Parameters asked for (k,).
        recipe: Lattice size, tolerance and length of the run.
        seed: Non-negative, below 2^64.
        vectors: Lattice vectors (k, 3) that the targets are for, by default [100], [010] and [001].

    Returns:
        Occupation (n, n, n), 1 for A and 0 for B, and whether every target was met.

    Raises:
        InputError: The concentration leaves no molecule of one species, or a target is below what it allows.
    """
    n = recipe.lattice_sites
    total = n**3
    count_a = round(m_a * total)
    if not 0 < count_a < total:
        raise InputError(f"The share of A is {m_a}; expected both species on a lattice of {total} sites.")
    lowest = lowest_alpha(count_a / total)
    if not np.all((targets >= lowest) & (targets <= 1.0)):
        raise InputError(f"The targets are {targets.tolist()}; expected {lowest:.4f} to 1 at m_A = {m_a}.")
    share_a = count_a / total
    pairs_per_alpha = total * share_a * (1.0 - share_a)
    wanted_pairs = total * share_a**2 + targets * pairs_per_alpha
    slack_pairs = recipe.tolerance * pairs_per_alpha
    max_attempts = recipe.max_sweeps * total
    # A copy can be written to, which makes one compiled kernel do for all: numba has another for read-only arrays.
    occupation, met = order_sites(
        n, count_a, vectors.copy(), wanted_pairs, slack_pairs, max_attempts, np.uint64(seed)
    )
    return occupation.reshape(n, n, n), met
