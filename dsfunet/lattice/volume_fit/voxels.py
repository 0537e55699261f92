"""The measured voxels of a volume, in memory, and random subsets of them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array
from dsfunet.errors import InputError

Float32 = npt.NDArray[np.float32]
Counts = npt.NDArray[np.uint8]
Axes = tuple[Array, Array, Array]
Rows = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.intp]]

_BLOCK = 1_000_000
"""Number of voxels that are worked on at a time: their arrays stay in the cache."""

_FEWEST = 2000


@dataclass(frozen=True, eq=False)
class Voxels:
    """Intensities on a grid h x k x l, of which some are missing.

    Attributes:
        axes: coordinates of the voxels along h, k, l, each in increasing order [r.l.u.].
        intensity: mean intensities, 0 where missing, shape (n, m, o).
        count: number of measured voxels that each mean is of, 0 where missing, same shape: 2 where Friedel mates were
            averaged, more with a Laue class.
        precision: inverse variance of each mean by the file's standard uncertainties, same shape; None without any.
        shares: weight of the voxels of each layer of constant h, above 0 to 1, shape (n,); below 1 where a measured
            value is in several voxels, by symmetry. None is 1 for all.

    Raises:
        InputError: shapes differ or fewer than 2000 voxels were measured.
    """

    axes: Axes
    intensity: Float32
    count: Counts
    precision: Float32 | None = None
    shares: Array | None = None

    def __post_init__(self) -> None:
        shape = tuple(len(axis) for axis in self.axes)
        for name in ("intensity", "count", "precision"):
            values = getattr(self, name)
            if values is not None and values.shape != shape:
                raise InputError(f"{name}: found shape {values.shape}; expected {shape}")
        measured = int(np.count_nonzero(self.count))
        if measured < _FEWEST:
            raise InputError(f"volume: found {measured} measured voxels; expected {_FEWEST} or more")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of voxels along h, k, l."""
        n, m, o = self.intensity.shape
        return n, m, o

    @property
    def blocks(self) -> Iterator[slice]:
        """Runs of layers of constant h that are worked on at a time."""
        return split_blocks(self.shape)

    def take(self, rows: Rows) -> "Voxels":
        """Return the voxels at some places along each axis."""
        where = np.ix_(*rows)
        return Voxels(
            (self.axes[0][rows[0]], self.axes[1][rows[1]], self.axes[2][rows[2]]),
            np.ascontiguousarray(self.intensity[where]),
            np.ascontiguousarray(self.count[where]),
            None if self.precision is None else np.ascontiguousarray(self.precision[where]),
            None if self.shares is None else self.shares[rows[0]],
        )

    def share(self, block: slice) -> Float32:
        """Return the weight of the voxels of a block of layers, shape (layers, 1, 1)."""
        if self.shares is None:
            return np.ones((1, 1, 1), np.float32)
        return self.shares[block].astype(np.float32)[:, None, None]

    @property
    def independent(self) -> float:
        """Mean weight of a voxel: independent measurements for each voxel."""
        return 1.0 if self.shares is None else float(self.shares.mean())

    def choose_rows(self, most: int, seed: int) -> Rows:
        """Choose places along each axis at random, so that the grid of their voxels has about `most` of them.

        Regular steps would make long harmonics look like slow changes of the form factor; random ones do not.

        Args:
            most: largest number of voxels.
            seed: of the random choice.
        """
        share = min((most / self.intensity.size) ** (1 / 3), 1.0)
        random = np.random.default_rng(seed)
        kept = [max(min(round(n * share), n), min(n, 24)) for n in self.shape]
        # Axes that are kept whole because they are short leave more to the others.
        for _ in range(3):
            free = [axis for axis in range(3) if kept[axis] < self.shape[axis]]
            if free and np.prod(kept, dtype=float) > most:
                factor = (most / np.prod(kept, dtype=float)) ** (1 / len(free))
                for axis in free:
                    kept[axis] = max(round(kept[axis] * factor), min(self.shape[axis], 24))
        first, second, third = (
            np.sort(random.choice(n, size=k, replace=False)) for n, k in zip(self.shape, kept, strict=True)
        )
        return first, second, third


def step_of(axis: Array) -> float:
    """Return the spacing of evenly spaced coordinates in increasing order; 0 for a single one."""
    return float(np.ptp(axis)) / max(len(axis) - 1, 1)


def split_blocks(shape: tuple[int, int, int]) -> Iterator[slice]:
    """Yield runs of layers along the first axis with about a million voxels each."""
    layers = max(_BLOCK // (shape[1] * shape[2]), 1)
    for start in range(0, shape[0], layers):
        yield slice(start, min(start + layers, shape[0]))
