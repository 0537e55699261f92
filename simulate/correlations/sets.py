"""A set of Warren-Cowley parameters, and how to measure the parameters of a configuration on a periodic lattice."""

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
        kind: Origin of the set: `monte_carlo`, `monte_carlo_` plus the symmetry of its targets, or the lattice and
            arrangement of an oscillator.
        converged: False if the Monte Carlo run missed its targets; such a set is kept on record but not used.
        targets: Wanted parameters of [100], [010] and [001] (3,); for an oscillator the same as `achieved`.
        achieved: Parameters of the same vectors in `alphas` (3,).
    """

    alphas: npt.NDArray[np.float64]
    m_a: float
    kind: str
    converged: bool
    targets: npt.NDArray[np.float64]
    achieved: npt.NDArray[np.float64]

    @property
    def lattices(self) -> tuple[str, ...]:
        """Lattices that the set's symmetry fits: `orthogonal`, `hexagonal`, or both if it has no symmetry."""
        if self.kind == "monte_carlo":
            return ("orthogonal", "hexagonal")
        return ("hexagonal",) if "hexagonal" in self.kind else ("orthogonal",)


def _pair_counts(occupation: npt.NDArray[np.int8]) -> npt.NDArray[np.float64]:
    """Return the number of AA pairs along every vector of a periodic lattice, from an FFT autocorrelation."""
    amplitude = np.fft.rfftn(occupation.astype(np.float64))
    # Pair counts are whole numbers; rounding makes the symmetry exact.
    pairs: npt.NDArray[np.float64] = np.rint(
        np.fft.irfftn(np.abs(amplitude) ** 2, s=occupation.shape, axes=(0, 1, 2))
    )
    return pairs


def _alphas_of(pairs: npt.NDArray[np.float64], occupation: npt.NDArray[np.int8]) -> npt.NDArray[np.float64]:
    """Return equation 4 with P^{AB} = 1 - pairs / count_a.

    Raises:
        InputError: One of the species is absent.
    """
    total = occupation.size
    count_a = int(occupation.sum(dtype=np.int64))
    if not 0 < count_a < total:
        raise InputError(f"the configuration has {count_a} A on {total} sites; expected both species")
    excess: npt.NDArray[np.float64] = pairs * total - count_a**2
    return excess / (count_a * (total - count_a))


def full_alphas(occupation: npt.NDArray[np.int8]) -> npt.NDArray[np.float64]:
    """Measure the Warren-Cowley parameters of every vector of a periodic lattice (equation 4).

    Args:
        occupation: 1 where a site holds A, 0 where it holds B; three dimensions.

    Returns:
        Parameters of the same shape, indexed by v modulo the lattice; their sum is 0.

    Raises:
        InputError: One of the species is absent.
    """
    return _alphas_of(_pair_counts(occupation), occupation)


def measure_alphas(
    occupation: npt.NDArray[np.int8], operations: npt.NDArray[np.int64] = _IDENTITY
) -> npt.NDArray[np.float64]:
    """Measure the Warren-Cowley parameters of equation 6 on a periodic configuration.

    With the operations of a point group, the parameters are averaged over each orbit, that is over the configuration
    and all its images. Every operation maps the periodic lattice onto itself.

    Args:
        occupation: 1 where a site holds A, 0 where it holds B; three dimensions of at least 11 sites each, equal
            where an operation exchanges axes.
        operations: Group of integer matrices (m, 3, 3) acting on (i, j, k); by default the identity.

    Returns:
        Parameters (11, 11, 11) indexed [i + 5, j + 5, k + 5], equal over each orbit to the last bit. Orbits that
        extend beyond the box are set to zero, since a partial orbit would break the symmetry of I_SRO.

    Raises:
        InputError: The lattice is too small, or one of the species is absent.
    """
    if occupation.ndim != 3 or min(occupation.shape) < 2 * MAX_INDEX + 1:
        raise InputError(
            f"the configuration has shape {occupation.shape}; expected three edges of {2 * MAX_INDEX + 1} or more"
        )
    vectors = np.indices(ALPHA_SHAPE) - MAX_INDEX
    images = np.einsum("nij,j...->in...", operations, vectors)
    i, j, k = (image % edge for image, edge in zip(images, occupation.shape, strict=True))
    # Sums of whole numbers are exact in any order.
    pairs = _pair_counts(occupation)[i, j, k].sum(axis=0) / len(operations)
    complete = np.all(np.abs(images) <= MAX_INDEX, axis=(0, 1))
    return np.where(complete, _alphas_of(pairs, occupation), 0.0)


def nearest_alphas(alphas: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the parameters (3,) of [100], [010] and [001] among all (11, 11, 11)."""
    return alphas[tuple(np.eye(3, dtype=np.int64) + MAX_INDEX)]
