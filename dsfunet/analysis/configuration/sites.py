"""The sites of a periodic supercell of any centring, their neighbours, and the alphas of a configuration on them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import fft

from dsfunet._typing import Array, Integers
from dsfunet.analysis.configuration.wanted import WantedCorrelations
from dsfunet.errors import InputError
from dsfunet.physics import Cell
from dsfunet.physics.centring import centring_translations, denominator_of

_MOST_SITES = 50_000_000
_LARGEST_TABLE = 4 * 2**30  # [bytes]


@dataclass(frozen=True, eq=False)
class Supercell:
    """A block of conventional cells with periodic boundaries.

    Attributes:
        cell: the conventional cell, with the centring of the sites.
        cells: how many along a, b and c.

    Raises:
        InputError: a number of cells is below 1, or there are more than 50 million sites.

    Examples:
        >>> from dsfunet.analysis.configuration.sites import Supercell
        >>> from dsfunet.physics import Cell
        >>> len(Supercell(Cell(4, 4, 4, centring="F"), (3, 3, 3)).positions)
        108
    """

    cell: Cell
    cells: tuple[int, int, int]

    def __post_init__(self) -> None:
        shown = " ".join(map(str, self.cells))
        if len(self.cells) != 3 or min(self.cells) < 1:
            raise InputError(f"--cells is {shown}; expected three whole numbers, 1 or more")
        total = float(np.prod(np.array(self.cells, float))) * len(centring_translations(self.cell.centring))
        if total > _MOST_SITES:
            raise InputError(
                f"--cells {shown}: these are {total:.3g} sites; expected at most {_MOST_SITES:,}"
            )

    @property
    def denominator(self) -> int:
        """Number of grid points along each edge of a cell; sites lie on some of them."""
        return denominator_of(self.cell.centring)

    @property
    def count(self) -> int:
        """Number of sites."""
        return int(np.prod(self.cells)) * len(centring_translations(self.cell.centring))

    @property
    def grid(self) -> tuple[int, int, int]:
        """Numbers of grid points along a, b and c."""
        i, j, k = (each * self.denominator for each in self.cells)
        return i, j, k

    @cached_property
    def positions(self) -> Integers:
        """Sites in units of 1 / denominator of the edges, shape (sites, 3).

        The sites of one cell are next to each other, and a is the axis along which cells follow first.
        """
        k, j, i = np.meshgrid(*(np.arange(each) for each in self.cells[::-1]), indexing="ij")
        corners = np.stack([i, j, k], axis=-1).reshape(-1, 1, 3)
        inside = np.array(
            [
                [int(x * self.denominator) for x in point]
                for point in centring_translations(self.cell.centring)
            ]
        )
        found: Integers = (corners * self.denominator + inside).reshape(-1, 3)
        return found

    @cached_property
    def _numbers(self) -> npt.NDArray[np.uint32]:
        numbers = np.zeros(self.grid, np.uint32)
        numbers[tuple(self.positions.T)] = np.arange(len(self.positions), dtype=np.uint32)
        return numbers

    def check_reach(self, wanted: WantedCorrelations) -> None:
        """Check that no vector meets the periodic image of another, and that the table of neighbours fits in memory.

        Raises:
            InputError: a vector is half as long as the supercell along an axis or longer, or the table is too large.
        """
        for alpha in wanted.alphas:
            reach = np.abs(alpha.numerators).max(axis=0)
            if (2 * reach >= self.grid).any():
                needed = 2 * reach // self.denominator + 1
                raise InputError(
                    f"--cells {' '.join(map(str, self.cells))}: vector {alpha.name} and its equivalents reach their own"
                    f" periodic images; expected at least {' '.join(map(str, np.maximum(needed, 1)))} cells"
                )
        columns = sum(len(alpha.numerators) for alpha in wanted.alphas)
        if 4 * columns * self.count > _LARGEST_TABLE:
            raise InputError(
                f"--cells {' '.join(map(str, self.cells))}: {columns} neighbours of {self.count} sites do not"
                " fit in 4 GiB; choose fewer cells, or refine fewer vectors"
            )

    def neighbours(self, vectors: Integers) -> npt.NDArray[np.uint32]:
        """Return the numbers of the sites at some vectors from each site, shape (sites, vectors).

        Args:
            vectors: in units of 1 / denominator of the edges, shape (vectors, 3).
        """
        table = np.empty((len(self.positions), len(vectors)), np.uint32)
        for column, vector in enumerate(vectors):
            # Axis by axis, so that only one array of the size of the sites is made at a time.
            i, j, k = ((self.positions[:, axis] + vector[axis]) % self.grid[axis] for axis in range(3))
            table[:, column] = self._numbers[i, j, k]
        return table

    def measure_alphas(self, occupation: npt.NDArray[np.int8]) -> Array:
        """Return the Warren-Cowley parameters of all vectors of a configuration, shape of the grid.

        They come from the autocorrelation of the occupation, by FFT, and not from the table of neighbours.

        Args:
            occupation: 1 where a site holds A, 0 where it holds B, shape (sites,).

        Returns:
            alpha of the vector n / denominator at [n_i, n_j, n_k], modulo the supercell; 1 at 0, and 0 where no two
            sites are joined.
        """
        share = float(occupation.mean())
        away = np.zeros(self.grid)
        away[tuple(self.positions.T)] = occupation - share
        amplitude = fft.rfftn(away)
        power = amplitude.real**2 + amplitude.imag**2
        alphas: Array = fft.irfftn(power, s=self.grid, overwrite_x=True)
        alphas /= len(self.positions) * share * (1 - share)
        return alphas
