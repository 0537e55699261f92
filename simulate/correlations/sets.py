"""Warren-Cowley parameters measured on configurations that a Monte Carlo run ordered to a few targets.

The parameters of one crystal depend on each other, so they cannot be drawn one by one. Three are drawn, for
the nearest neighbours along a, b and c; molecules are swapped on a periodic lattice until those are met; then
every parameter of equation 6 is measured on the configuration. In some sets the lattice's symmetry ties the
targets (`simulate.correlations.symmetric_order`).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsfunet.errors import InputError
from dsfunet.physics import ALPHA_SHAPE, MAX_INDEX
from simulate.correlations.monte_carlo_kernel import order_sites

NEAREST = np.eye(3, dtype=np.int64)
"""The nearest neighbours [100], [010] and [001] that an untied run has targets for."""
NEAREST.flags.writeable = False

_IDENTITY = NEAREST[None]


@dataclass(frozen=True)
class CorrelationSet:
    """Short-range order of one crystal with two species A and B on one site.

    Attributes:
        alphas: Warren-Cowley parameters (11, 11, 11) at [i + 5, j + 5, k + 5], inversion symmetric, 1 at 0.
        m_a: Share of sites that hold A, between 0 and 1.
        kind: Where the set comes from: `monte_carlo`, `monte_carlo_` and the symmetry that tied its targets, or
            lattice and arrangement of an oscillator.
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

    @property
    def lattices(self) -> tuple[str, ...]:
        """Lattices whose symmetry the set goes with: `orthogonal`, `hexagonal`, or both where it has none."""
        if self.kind == "monte_carlo":
            return ("orthogonal", "hexagonal")
        return ("hexagonal",) if "hexagonal" in self.kind else ("orthogonal",)


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


def _pair_counts(occupation: npt.NDArray[np.int8]) -> npt.NDArray[np.float64]:
    """AA pairs of every vector of a periodic lattice, whole numbers, as an FFT autocorrelation."""
    amplitude = np.fft.rfftn(occupation.astype(np.float64))
    # Rounded to the whole numbers they are, pairs make the symmetry exact.
    pairs: npt.NDArray[np.float64] = np.rint(
        np.fft.irfftn(np.abs(amplitude) ** 2, s=occupation.shape, axes=(0, 1, 2))
    )
    return pairs


def _alphas_of(pairs: npt.NDArray[np.float64], occupation: npt.NDArray[np.int8]) -> npt.NDArray[np.float64]:
    """Equation 4 with P^{AB} = 1 - pairs / count_a.

    Raises:
        InputError: One of the species is absent.
    """
    total = occupation.size
    count_a = int(occupation.sum(dtype=np.int64))
    if not 0 < count_a < total:
        raise InputError(f"The configuration holds {count_a} A in {total} sites; expected both species.")
    excess: npt.NDArray[np.float64] = pairs * total - count_a**2
    return excess / (count_a * (total - count_a))


def full_alphas(occupation: npt.NDArray[np.int8]) -> npt.NDArray[np.float64]:
    """Warren-Cowley parameters of every vector of a periodic lattice (equation 4).

    Args:
        occupation: 1 where a site holds A, 0 where it holds B, in three dimensions.

    Returns:
        Parameters of the same shape, indexed by v modulo the lattice; they add up to 0.

    Raises:
        InputError: One of the species is absent.
    """
    return _alphas_of(_pair_counts(occupation), occupation)


def measure_alphas(
    occupation: npt.NDArray[np.int8], operations: npt.NDArray[np.int64] = _IDENTITY
) -> npt.NDArray[np.float64]:
    """Warren-Cowley parameters of the vectors of equation 6 on a periodic configuration.

    With the operations of a point group they are those of the configuration and all its images: averages over
    orbits, taken on the whole periodic lattice, which every operation maps onto itself.

    Args:
        occupation: 1 where a site holds A, 0 where it holds B, in three dimensions of at least 11 sites, which
            must be equal where an operation exchanges axes.
        operations: Integer matrices (m, 3, 3) on the coefficients (i, j, k), a group; by default the identity.

    Returns:
        Parameters (11, 11, 11) indexed [i + 5, j + 5, k + 5], equal over each orbit to the last bit. Orbits that
        leave the box are zero as a whole: a part of one would cost I_SRO the symmetry.

    Raises:
        InputError: The lattice is too small, or one of the species is absent.
    """
    if occupation.ndim != 3 or min(occupation.shape) < 2 * MAX_INDEX + 1:
        raise InputError(
            f"The shape is {occupation.shape}; expected three edges of {2 * MAX_INDEX + 1} or more."
        )
    vectors = np.indices(ALPHA_SHAPE) - MAX_INDEX
    images = np.einsum("nij,j...->in...", operations, vectors)
    i, j, k = (image % edge for image, edge in zip(images, occupation.shape, strict=True))
    # Sums of whole numbers: exact in any order.
    pairs = _pair_counts(occupation)[i, j, k].sum(axis=0) / len(operations)
    complete = np.all(np.abs(images) <= MAX_INDEX, axis=(0, 1))
    return np.where(complete, _alphas_of(pairs, occupation), 0.0)


def nearest_alphas(alphas: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The parameters (3,) of [100], [010] and [001] among all (11, 11, 11)."""
    return alphas[tuple(np.eye(3, dtype=np.int64) + MAX_INDEX)]
