"""The form factor of a result as an observation that models are fitted to: used pixels, sigma, and blocks."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.physics import Plane
from dsfunet.planes.result import Result

_FEWEST_PIXELS = 100
_SMALLEST_BLOCK_PIXELS, _FEWEST_BLOCKS_PER_AXIS = 16, 8


@dataclass(frozen=True, eq=False)
class Observation:
    """A form factor on a plane of Q that models are fitted to.

    Attributes:
        form_factor: I_FF in [0, 1] with its minimum subtracted, shape (n, m).
        plane: of the pixels.
        used: True for pixels that count, shape (n, m).
        blocks: number, from 0, of the block of pixels that are resampled together, shape (n, m); -1 for unused pixels.
        sigma: standard uncertainty of the form factor, shape (n, m), if known.

    Raises:
        InputError: fewer than 100 pixels count, or all have the same value.
    """

    form_factor: Array
    plane: Plane
    used: npt.NDArray[np.bool_]
    blocks: npt.NDArray[np.intp]
    sigma: Array | None = None

    def __post_init__(self) -> None:
        if self.used.sum() < _FEWEST_PIXELS:
            raise InputError(
                f"form factor: found {self.used.sum()} measured pixels; expected {_FEWEST_PIXELS} or more"
            )
        if not np.ptp(self.values) > 0:
            raise InputError("form factor: found the same value in every pixel; expected values that vary")

    @classmethod
    def of(cls, result: Result) -> "Observation":
        """Return the observation of a result: its form factor where it was measured, and its sigma if it has one.

        Errors of neighbouring pixels are correlated, so whole blocks are resampled. A side of a block is one reciprocal
        cell and at least 16 pixels, but short enough for eight blocks along each axis. In a plane through the
        origin a block and its image under inversion count as one, because they are equal by Friedel's law.

        Raises:
            InputError: the result has no axes, or its form factor cannot be used (see the class).
        """
        if result.grid is None:
            raise InputError(
                "the result has no unit cell and axes; expected a result from a file that has them"
            )
        form_factor = result.form_factor.astype(np.float64)
        used = result.mask & np.isfinite(form_factor)
        sigma = None
        if result.sigma_form_factor is not None:
            sigma = result.sigma_form_factor.astype(np.float64)
            used &= np.isfinite(sigma) & (sigma >= 0)
        grid, numbers = result.grid, []
        for coordinates, step in zip((grid.rows, grid.columns), np.abs(grid.steps), strict=True):
            most = max(1, len(coordinates) // _FEWEST_BLOCKS_PER_AXIS)
            size = min(max(_SMALLEST_BLOCK_PIXELS, round(1 / step)), most) * step
            numbers.append(np.floor(coordinates / size + 0.5).astype(np.intp))
        rows, columns = np.meshgrid(*numbers, indexing="ij")
        if not grid.name.origin.any():
            half = (rows < 0) | ((rows == 0) & (columns < 0))
            rows, columns = np.where(half, -rows, rows), np.where(half, -columns, columns)
        pairs = rows * (np.ptp(columns) + 1) + columns - columns.min()
        _, blocks = np.unique(pairs[used], return_inverse=True)
        everywhere = np.full(used.shape, -1, dtype=np.intp)
        everywhere[used] = blocks
        return cls(form_factor, grid.plane, used, everywhere, sigma)

    @cached_property
    def values(self) -> Array:
        """The form factor in the k used pixels, in [0, 1], shape (k,)."""
        return np.clip(self.form_factor[self.used], 0.0, 1.0)

    @cached_property
    def q_squared(self) -> Array:
        """|Q|^2 of every pixel [1/Angstrom^2], shape (n, m)."""
        return self.plane.q_squared()

    @property
    def block_count(self) -> int:
        """Number of blocks that contain a used pixel."""
        return int(self.blocks.max()) + 1

    def draws(self, resamples: int, seed: int) -> npt.NDArray[np.int64]:
        """Return how often each block is drawn in bootstrap resamples of all blocks, shape (resamples, blocks).

        Raises:
            InputError: `resamples` is below 10, or `seed` is negative.
        """
        if resamples < 10:
            raise InputError(f"--resamples is {resamples}; expected 10 or more")
        if seed < 0:
            raise InputError(f"--seed is {seed}; expected 0 or more")
        chances = np.full(self.block_count, 1 / self.block_count)
        return np.random.default_rng(seed).multinomial(self.block_count, chances, size=resamples)

    def block_sums(self, values: Array) -> Array:
        """Return the sums over each block, shape (blocks, ...), of values (k, ...) at the used pixels."""
        sums = np.zeros((self.block_count, *values.shape[1:]))
        np.add.at(sums, self.blocks[self.used], values)
        return sums
