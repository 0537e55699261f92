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

_IDENTITY = np.eye(3, dtype=np.int64)[None]


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
