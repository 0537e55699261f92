"""The form factor of a result as models are held against it: pixels that count, their weights, blocks to resample."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.io import Result
from dsfunet.physics import Plane

_FEWEST_PIXELS = 100
_SMALLEST_BLOCK_PIXELS, _FEWEST_BLOCKS_PER_AXIS = 16, 8


@dataclass(frozen=True, eq=False)
class Observation:
    """A form factor that models are held against, on a plane of Q.

    `form_factor` (n, m) in [0, 1], its minimum subtracted; `used` (n, m) True where it counts; `sigma` (n, m) its
    standard uncertainty, if known; `blocks` (n, m) numbers of the blocks of pixels that are resampled together.

    Raises:
        InputError: too few pixels, or all alike.
    """

    form_factor: Array
    plane: Plane
    used: npt.NDArray[np.bool_]
    blocks: npt.NDArray[np.intp]
    sigma: Array | None = None

    def __post_init__(self) -> None:
        if self.used.sum() < _FEWEST_PIXELS:
            raise InputError(
                f"form factor: found {self.used.sum()} measured pixels, expected {_FEWEST_PIXELS} or more"
            )
        if not np.ptp(self.values) > 0:
            raise InputError("form factor: found the same value in every pixel, expected values that vary")

    @classmethod
    def of(cls, result: Result) -> "Observation":
        """The form factor of a result where it was measured, with its sigma if the file has one.

        Neighbouring pixels are wrong together, so whole blocks are resampled: one reciprocal cell a side and at
        least 16 pixels, but eight or more blocks to an axis. In a plane through the origin a block and its image
        under inversion count as one, being the same by Friedel's law.

        Raises:
            InputError: the result has no axes, or as the class.
        """
        if result.grid is None:
            raise InputError(
                "result has no axes: found a plane whose place in reciprocal space is unknown, expected one"
                " factorised from a file with unit cell and axes"
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
        """The pixels that count, in [0, 1], shape (k,)."""
        return np.clip(self.form_factor[self.used], 0.0, 1.0)

    @cached_property
    def q_squared(self) -> Array:
        """|Q|^2 [1/Angstrom^2], shape (n, m)."""
        return self.plane.q_squared()

    @property
    def block_count(self) -> int:
        """Number of blocks with a pixel that counts."""
        return int(self.blocks.max()) + 1

    def draws(self, resamples: int, seed: int) -> npt.NDArray[np.int64]:
        """How often each block is drawn in bootstrap resamples of as many blocks, shape (resamples, blocks).

        Raises:
            InputError: fewer than 10 resamples, or a negative seed.
        """
        if resamples < 10:
            raise InputError(f"{resamples} bootstrap resamples: expected 10 or more")
        if seed < 0:
            raise InputError(f"seed {seed}: expected zero or a positive number")
        chances = np.full(self.block_count, 1 / self.block_count)
        return np.random.default_rng(seed).multinomial(self.block_count, chances, size=resamples)

    def block_sums(self, values: Array) -> Array:
        """Sums over each block of values (k, ...) at the pixels that count; shape (blocks, ...)."""
        sums = np.zeros((self.block_count, *values.shape[1:]))
        np.add.at(sums, self.blocks[self.used], values)
        return sums
