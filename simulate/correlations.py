"""Warren-Cowley parameters measured on configurations that a Monte Carlo run ordered to three targets.

The parameters of one crystal depend on each other, so they cannot be drawn one by one. Three are drawn, for
the nearest neighbours along a, b and c; molecules are swapped on a periodic lattice until those are met; then
every parameter of equation 6 is measured on the configuration.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from dsfunet.errors import InputError
from dsfunet.physics import MAX_INDEX


@dataclass(frozen=True)
class CorrelationSet:
    """Short-range order of one crystal with two species A and B on one site.

    Attributes:
        alphas: Warren-Cowley parameters (11, 11, 11) at [i + 5, j + 5, k + 5], inversion symmetric, 1 at 0.
        m_a: Share of sites that hold A, between 0 and 1.
        kind: Where the set comes from: `monte_carlo`, or lattice and arrangement of an oscillator.
        converged: False where the Monte Carlo run missed its targets; such a set is recorded, not used.
        targets: Parameters asked for along [100], [010] and [001] (3,); an oscillator asks for what it gets.
        achieved: The same three parameters as they are in `alphas` (3,).
    """

    alphas: npt.NDArray[np.float64]
    m_a: float
    kind: str
    converged: bool
    targets: npt.NDArray[np.float64]
    achieved: npt.NDArray[np.float64]


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
    """

    lattice_sites: int = 32
    concentration_range: tuple[float, float] = (0.1, 0.9)
    target_max: float = 0.85
    lower_bound_share: float = 0.95
    tolerance: float = 0.005
    max_sweeps: int = 40

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


def lowest_alpha(m_a: float) -> float:
    """Lowest Warren-Cowley parameter of any vector at one concentration.

    Neither P_v^{AB} nor P_v^{BA} can exceed 1, so equation 4 gives alpha >= -min(m_A, m_B) / max(m_A, m_B).
    """
    return -min(m_a, 1.0 - m_a) / max(m_a, 1.0 - m_a)


def draw_targets(rng: np.random.Generator, m_a: float, recipe: MonteCarloRecipe) -> npt.NDArray[np.float64]:
    """Targets (3,) for [100], [010] and [001], uniform over what the concentration allows."""
    return rng.uniform(lowest_alpha(m_a) * recipe.lower_bound_share, recipe.target_max, size=3)


# A generator of our own, so that a seed gives the same configuration under every release of numba and NumPy.
@numba.njit(cache=True, nogil=True)
def _draw_below(state: npt.NDArray[np.uint64], bound: int) -> np.int64:
    """Next integer below `bound` of SplitMix64 (Steele, Lea & Flood 2014); `state` (1,) moves on."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    mixed = state[0]
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed = mixed ^ (mixed >> np.uint64(31))
    return np.int64(((mixed >> np.uint64(32)) * np.uint64(bound)) >> np.uint64(32))


@numba.njit(cache=True, nogil=True)
def _order(
    n: int,
    count_a: int,
    wanted_pairs: npt.NDArray[np.float64],
    slack_pairs: float,
    max_attempts: int,
    seed: np.uint64,
) -> tuple[npt.NDArray[np.int8], bool]:
    """Swap A and B until the numbers of AA pairs along the three axes are as wanted.

    Works on n^3 sites of which `count_a` hold A; ends when all three numbers of pairs are less than
    `slack_pairs` from `wanted_pairs` (3,), or after `max_attempts` attempted swaps.

    Returns:
        Occupation of the sites (n^3,), 1 for A and 0 for B, and whether the wanted numbers were met.
    """
    total = n * n * n
    state = np.array([seed], dtype=np.uint64)
    sites = np.arange(total)
    for last in range(total - 1, 0, -1):
        other = _draw_below(state, last + 1)
        sites[last], sites[other] = sites[other], sites[last]
    occupation = np.zeros(total, dtype=np.int8)
    occupation[sites[:count_a]] = 1

    strides = (n * n, n, 1)
    excess = -wanted_pairs
    for site in range(total):
        for axis in range(3):
            stride = strides[axis]
            ahead = site + stride if (site // stride) % n < n - 1 else site - (n - 1) * stride
            excess[axis] += occupation[site] * occupation[ahead]

    change = np.zeros(3)
    for _ in range(max_attempts):
        if max(abs(excess[0]), abs(excess[1]), abs(excess[2])) < slack_pairs:
            return occupation, True
        index_a = _draw_below(state, count_a)
        index_b = count_a + _draw_below(state, total - count_a)
        site_a, site_b = sites[index_a], sites[index_b]
        # With A taken off its site first, the neighbours of both sites count as they will after the swap: two
        # swapped sites that are neighbours of each other need no case of their own.
        occupation[site_a] = 0
        cost_change = 0.0
        for axis in range(3):
            stride = strides[axis]
            gained = 0.0
            for site, sign in ((site_a, -1), (site_b, 1)):
                position = (site // stride) % n
                ahead = site + stride if position < n - 1 else site - (n - 1) * stride
                behind = site - stride if position > 0 else site + (n - 1) * stride
                gained += sign * (occupation[ahead] + occupation[behind])
            change[axis] = gained
            cost_change += gained * (2.0 * excess[axis] + gained)
        # Swaps that cost nothing are accepted too: molecules diffuse instead of freezing where they started.
        if cost_change <= 0.0:
            occupation[site_b] = 1
            sites[index_a], sites[index_b] = site_b, site_a
            excess += change
        else:
            occupation[site_a] = 1
    return occupation, False


def order_lattice(
    m_a: float, targets: npt.NDArray[np.float64], recipe: MonteCarloRecipe, seed: int
) -> tuple[npt.NDArray[np.int8], bool]:
    """Configuration whose nearest-neighbour parameters along a, b and c are the targets.

    Reverse Monte Carlo at zero temperature: random A and B molecules change places when that does not raise
    the sum of (alpha - target)^2 over the axes. An alpha is linear in the number of AA pairs, so those count.

    Args:
        m_a: Share of A; the nearest whole number of molecules is placed.
        targets: Parameters asked for along [100], [010] and [001] (3,).
        recipe: Lattice size, tolerance and length of the run.
        seed: Non-negative, below 2^64.

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
    occupation, met = _order(n, count_a, wanted_pairs, slack_pairs, max_attempts, np.uint64(seed))
    return occupation.reshape(n, n, n), met


def full_alphas(occupation: npt.NDArray[np.int8]) -> npt.NDArray[np.float64]:
    """Warren-Cowley parameters of every vector of a periodic lattice (equation 4), as an FFT autocorrelation.

    Args:
        occupation: 1 where a site holds A, 0 where it holds B, in three dimensions.

    Returns:
        Parameters of the same shape, indexed by v modulo the lattice; they add up to 0.

    Raises:
        InputError: One of the species is absent.
    """
    total = occupation.size
    count_a = int(occupation.sum(dtype=np.int64))
    if not 0 < count_a < total:
        raise InputError(f"The configuration holds {count_a} A in {total} sites; expected both species.")
    amplitude = np.fft.rfftn(occupation.astype(np.float64))
    pairs = np.fft.irfftn(np.abs(amplitude) ** 2, s=occupation.shape, axes=(0, 1, 2))
    # Rounded to the whole numbers they are, AA pairs make the symmetry exact. P^{AB} = 1 - pairs / count_a.
    excess: npt.NDArray[np.float64] = np.rint(pairs) * total - count_a**2
    return excess / (count_a * (total - count_a))


def measure_alphas(occupation: npt.NDArray[np.int8]) -> npt.NDArray[np.float64]:
    """Warren-Cowley parameters of the vectors of equation 6 on a periodic configuration.

    Args:
        occupation: 1 where a site holds A, 0 where it holds B, in three dimensions of at least 11 sites.

    Returns:
        Parameters (11, 11, 11) indexed [i + 5, j + 5, k + 5].

    Raises:
        InputError: The lattice is too small, or one of the species is absent.
    """
    if occupation.ndim != 3 or min(occupation.shape) < 2 * MAX_INDEX + 1:
        raise InputError(
            f"The shape is {occupation.shape}; expected three edges of {2 * MAX_INDEX + 1} or more."
        )
    steps = np.arange(-MAX_INDEX, MAX_INDEX + 1)
    return full_alphas(occupation)[np.ix_(steps, steps, steps)]


def nearest_alphas(alphas: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The parameters (3,) of [100], [010] and [001] among all (11, 11, 11)."""
    return alphas[tuple(np.eye(3, dtype=np.int64) + MAX_INDEX)]


def monte_carlo_set(seed: int | np.random.SeedSequence, recipe: MonteCarloRecipe) -> CorrelationSet:
    """One concentration, three targets, one run and all its parameters; the same seed gives the same set."""
    rng = np.random.default_rng(seed)
    # Rounded to molecules before the targets are drawn, so that targets at the bound stay feasible.
    total = recipe.lattice_sites**3
    count_a = min(max(round(rng.uniform(*recipe.concentration_range) * total), 1), total - 1)
    m_a = count_a / total
    targets = draw_targets(rng, m_a, recipe)
    occupation, converged = order_lattice(m_a, targets, recipe, int(rng.integers(2**63)))
    alphas = measure_alphas(occupation)
    return CorrelationSet(alphas, m_a, "monte_carlo", converged, targets, nearest_alphas(alphas))


def monte_carlo_sets(
    count: int, seed: int, recipe: MonteCarloRecipe, workers: int = 1, progress: bool = True
) -> dict[str, npt.NDArray[Any]]:
    """Many Monte Carlo sets; set j depends on `seed`, j and the recipe only, whatever the number of workers.

    Args:
        count: Number of sets.
        seed: Seed of the whole run.
        recipe: How each set is drawn.
        workers: Threads; the swaps run outside the interpreter lock.
        progress: Whether a progress bar is shown.

    Returns:
        `alphas` (count, 11, 11, 11), `m_a` and `converged` (count,), `targets` and `achieved` (count, 3).

    Raises:
        InputError: `count` or `workers` is below 1.
    """
    if count < 1 or workers < 1:
        raise InputError(f"count is {count} and workers {workers}; expected both at least 1.")

    def one_set(index: int) -> CorrelationSet:
        return monte_carlo_set(np.random.SeedSequence(seed, spawn_key=(index,)), recipe)

    with ThreadPoolExecutor(workers) as pool:
        sets = list(tqdm(pool.map(one_set, range(count)), total=count, unit="set", disable=not progress))
    names = ("alphas", "m_a", "converged", "targets", "achieved")
    return {name: np.array([getattr(one, name) for one in sets]) for name in names}
