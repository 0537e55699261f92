"""A second forward model: an alloy on an F or I lattice, its sites one by one, and |Fourier sum|^2 of its occupancy.

It shares no code with dsfunet.physics. Sites lie on a grid of half the cell's edge, on a periodic box, so intensities
are exact where h, k and l are multiples of 1 / `CELLS`, and correlations are counted pair by pair.
"""

from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

CELLS = 8
"""Edge of the box [conventional cells]."""

_CONFIGURATIONS = 30
_NEIGHBOURS = {"F": (1, 1, 0), "I": (1, 1, 1)}
HalfEdges = tuple[int, int, int]


def images_of(vector: HalfEdges) -> set[HalfEdges]:
    """Return all vectors that a cubic cell (m-3m) relates to one."""
    return {
        (s * x, t * y, u * z) for x, y, z in permutations(vector) for s, t, u in product((1, -1), repeat=3)
    }


@dataclass(frozen=True, eq=False)
class Alloy:
    """Averages over many configurations of one short-range order.

    Attributes:
        intensities: |sum of (occupancy - mean) exp(2 pi i Q . r)|^2 for each site and unit variance, at multiples of
            1 / `CELLS` of h, k and l from 0 to 2, shape (2 CELLS,) * 3.
        correlations: mean product of (occupancy - mean) at all pairs of sites a vector apart, for unit variance,
            by the components of the vector in half edges, averaged over m-3m.
    """

    intensities: Array
    correlations: Array

    def alpha(self, vector: HalfEdges) -> float:
        """Return the correlation of a vector, in half edges."""
        return float(self.correlations[tuple(np.array(vector) % (2 * CELLS))])

    def layer_correlation(self, pair: tuple[int, int], offset: float) -> float:
        """Return the sum over the third component of alpha exp(2 pi i l n), relative to that of 0 0."""
        half = np.arange(2 * CELLS)
        phases = np.exp(2j * np.pi * offset * half / 2)
        column, zero = (
            self.correlations[pair[0] % (2 * CELLS), pair[1] % (2 * CELLS)],
            self.correlations[0, 0],
        )
        return float((column @ phases).real / (zero @ phases).real)

    def plane(self, rows: Array, columns: Array, offset: float) -> Array:
        """Return the intensity of the layer of an index l, at multiples of 1 / `CELLS`."""
        index = [
            np.rint(values * CELLS).astype(int) % (2 * CELLS)
            for values in (rows, columns, np.array([offset]))
        ]
        return self.intensities[np.ix_(*index)][..., 0]


def make_alloy(centring: str) -> Alloy:
    """Return an alloy whose near neighbours tend to be of the other kind.

    Occupancies are the sign of noise from which a share of that of the neighbours is subtracted, so correlations end
    two steps to a neighbour away.
    """
    size = 2 * CELLS
    x, y, z = np.indices((size,) * 3)
    sites = (x + y + z) % 2 == 0 if centring == "F" else (x % 2 == y % 2) & (y % 2 == z % 2)
    neighbours = images_of(_NEIGHBOURS[centring])
    random = np.random.default_rng(5)
    intensities, correlations = np.zeros((size,) * 3), np.zeros((size,) * 3)
    for _ in range(_CONFIGURATIONS):
        noise = random.normal(size=(size,) * 3)
        field = noise - 0.12 * sum(np.roll(noise, step, axis=(0, 1, 2)) for step in neighbours)
        occupancy = np.where(sites, field > np.quantile(field[sites], 0.6), 0.0)
        fluctuation = np.where(sites, occupancy - occupancy[sites].mean(), 0.0)
        fluctuation /= np.sqrt((fluctuation[sites] ** 2).mean())
        intensities += np.abs(np.fft.fftn(fluctuation)) ** 2 / sites.sum()
        for step in product(range(size), repeat=3):
            if sites[step]:
                correlations[step] += (
                    np.vdot(fluctuation, np.roll(fluctuation, step, axis=(0, 1, 2))) / sites.sum()
                )
    return Alloy(_cubic(intensities / _CONFIGURATIONS), _cubic(correlations / _CONFIGURATIONS))


def _cubic(values: Array) -> Array:
    """Return the average over all operations of m-3m about the origin of a periodic array."""
    total = np.zeros_like(values)
    for order in permutations(range(3)):
        turned = values.transpose(order)
        for flips in product((False, True), repeat=3):
            image = turned
            for axis in range(3):
                if flips[axis]:
                    image = np.roll(np.flip(image, axis), 1, axis)
            total += image
    return total / 48
