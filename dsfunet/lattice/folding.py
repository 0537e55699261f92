"""Folding of a plane onto one reciprocal cell: how well a lattice predicts a plane, without a series.

All pixels that a lattice makes equivalent share one value of I_SRO, the weighted least-squares solution
S = sum w I F / sum w F^2 over the pixels of a bin of the reciprocal cell. Nothing but the bins limits how sharp it is.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array
from dsfunet.lattice.candidates import Signal

_BLOCK = 64
# A cell has about this number squared of bins; 2 x 2 or 4 x 4 are joined where that predicts better. The number is the
# same for cells of all sizes, or larger cells would have the advantage of more bins.
_BINS = 48
_JOINED = (1, 2, 4)
# Weight of the mean of I_SRO in each bin, in units of the mean weight of a bin.
_PRIOR = 0.03
# Weights are 1 over the plane smoothed by this Gaussian [pixels] plus this share of its highest value.
_ENVELOPE = 24.0
_FLOOR = 0.03
_SMALLEST_LEVEL = 0.01


class Folder:
    """Folds of one plane onto lattices, compared by cross-validation between halves of its blocks.

    The blocks of 64 x 64 pixels are divided like the fields of a chessboard. The weights are those of counting noise.

    Args:
        scattering: plane (n, m), 0 or more; pixels outside the mask are ignored.
        mask: True = measured.

    Attributes:
        values: the plane, 0 where missing, (n, m).
        weights: weights of its pixels, 0 where missing, (n, m).
        rows: numbers of the rows from the middle, (n, 1).
        columns: numbers of the columns from the middle, (1, m).
        halves: half that a pixel belongs to, 0 or 1, (n, m).
        square: weighted sum of squares of the plane.
    """

    def __init__(self, scattering: npt.NDArray[np.floating], mask: npt.NDArray[np.bool_]) -> None:
        self.values = np.where(mask, scattering, 0).astype(np.float64)
        self._mask, self._measured = mask, mask.astype(np.float64)
        self._smoothed: dict[float, Array] = {}
        envelope = self.smooth(_ENVELOPE)
        level = envelope + _FLOOR * float(envelope.max())
        self.weights: Array = np.where(mask & (level > 0), 1 / np.where(level > 0, level, 1), 0)
        rows, columns = (np.arange(size) for size in mask.shape)
        self.rows, self.columns = rows[:, None] - mask.shape[0] // 2, columns[None] - mask.shape[1] // 2
        self.halves = ((rows[:, None] // _BLOCK + columns[None] // _BLOCK) % 2).astype(np.int32)
        self.square = float(np.sum(self.weights * self.values**2))

    def smooth(self, deviation: float, order: Array | None = None) -> Array:
        """Smooth the plane and divide it by the smoothed order, (n, m).

        Args:
            deviation: standard deviation of the Gaussian [pixels].
            order: I_SRO at all pixels, (n, m); None = 1.
        """
        rows, columns = (_smoothing_matrix(size, deviation) for size in self.values.shape)
        under = rows @ _sum_pairs(self._measured if order is None else self._measured * order) @ columns.T
        over = self._smoothed.get(deviation)
        if over is None:
            over = self._smoothed[deviation] = rows @ _sum_pairs(self.values) @ columns.T
        return np.asarray(over / np.maximum(under, 1e-3 * float(under.max()) + 1e-300))

    def estimate_noise(self) -> float:
        """Estimate the weighted sum of squares of the noise, from differences of four neighbouring pixels."""
        both = self._mask[1:] & self._mask[:-1]
        both = both[:, 1:] & both[:, :-1]
        if not both.any():
            return 0.0
        step = self.values[1:] - self.values[:-1]
        second = (step[:, 1:] - step[:, :-1])[both]
        return float(np.mean(self.weights[1:, 1:][both] * second**2) / 4 * self._measured.sum())

    def divide(self, form_factor: Array) -> Signal:
        """Divide the plane by a form factor; the weights are those of the least-squares fit of I = F S."""
        divisor = np.maximum(form_factor, _SMALLEST_LEVEL * float(form_factor.max()))
        return Signal(self.values / divisor, self.weights * divisor**2)

    def misfit_without_order(self, form_factor: Array) -> float:
        """Return the weighted sum of squares that a form factor with the best scale leaves."""
        weighted = self.weights * form_factor
        product = float((weighted * self.values).sum())
        return self.square - product**2 / max(float((weighted * form_factor).sum()), 1e-300)

    def fold(self, vectors: Array) -> "Fold":
        """Return the fold onto the cell of a lattice with these vectors as rows, (2, 2) [cycles per pixel]."""
        return Fold(self, vectors)


class Fold:
    """A plane folded onto the reciprocal cell of a lattice."""

    def __init__(self, folder: Folder, vectors: Array) -> None:
        self._folder = folder
        lengths = np.linalg.norm(np.linalg.inv(vectors), axis=0)
        ratio = float(np.clip(np.sqrt(lengths[0] / lengths[1]), 0.2, 5))
        counts = [4 * max(2, round(_BINS * each / 4)) for each in (ratio, 1 / ratio)]
        first, second = (
            np.floor((folder.rows * vector[0] + folder.columns * vector[1]) * count).astype(np.int32) % count
            for vector, count in zip(vectors, counts, strict=True)
        )
        self._shape = counts[0], counts[1]
        self._bins = first * counts[1] + second
        self._places = (self._bins + counts[0] * counts[1] * folder.halves).reshape(-1)

    def misfit(self, form_factor: Array) -> float:
        """Return the weighted sum of squares that S of each half of the plane leaves of the other half."""
        return self._folder.square + self._cross_validate(*self._sum_bins(form_factor))[0]

    def order(self, form_factor: Array) -> Array:
        """Return S of the whole plane at all pixels, (n, m)."""
        over, under = self._sum_bins(form_factor)
        size = self._cross_validate(over, under)[1]
        table = _divide(_join_bins(over, size).sum(axis=0), _join_bins(under, size).sum(axis=0))
        table = np.repeat(np.repeat(table, size, axis=0), size, axis=1)
        return np.asarray(table.reshape(-1)[self._bins])

    def _sum_bins(self, form_factor: Array) -> tuple[Array, Array]:
        weighted, count = self._folder.weights * form_factor, 2 * self._shape[0] * self._shape[1]
        over, under = (
            np.asarray(np.bincount(self._places, each.reshape(-1), count), np.float64).reshape(
                2, *self._shape
            )
            for each in (weighted * self._folder.values, weighted * form_factor)
        )
        return over, under

    def _cross_validate(self, over: Array, under: Array) -> tuple[float, int]:
        """Return the smallest misfit less that of S = 0, and the size of the joined bins that gives it."""
        misfits = []
        for size in _JOINED:
            above, below = _join_bins(over, size), _join_bins(under, size)
            order = np.stack([_divide(above[1], below[1]), _divide(above[0], below[0])])
            misfits.append(float(np.sum(order * (order * below - 2 * above))))
        best = int(np.argmin(misfits))
        return misfits[best], _JOINED[best]


def _join_bins(table: Array, size: int) -> Array:
    while size > 1:  # sums of slices are several times as fast as sums over axes of a reshaped array
        table = table[:, ::2] + table[:, 1::2]
        table = table[:, :, ::2] + table[:, :, 1::2]
        size //= 2
    return table


def _divide(over: Array, under: Array) -> Array:
    mean = float(over.sum()) / max(float(under.sum()), 1e-300)
    prior = _PRIOR * float(under.mean())
    return np.asarray((over + prior * mean) / (under + prior + 1e-300))


def _sum_pairs(plane: Array) -> Array:
    n, m = plane.shape
    if n % 2 or m % 2:
        plane = np.pad(plane, ((0, n % 2), (0, m % 2)))
    plane = plane[::2] + plane[1::2]
    return np.asarray(plane[:, ::2] + plane[:, 1::2])


@lru_cache(maxsize=32)
def _smoothing_matrix(size: int, deviation: float) -> Array:
    """Return Gaussians around all pixels at the centres of pairs, (size, pairs)."""
    centres = 2 * np.arange((size + 1) // 2) + 0.5
    return np.asarray(np.exp(-0.5 * ((np.arange(size)[:, None] - centres) / deviation) ** 2))
