"""Folding of a plane onto one reciprocal cell: how well a lattice predicts a plane, without a series.

All pixels that a lattice makes equivalent share one value of I_SRO, the weighted least-squares solution
S = sum w I F / sum w F^2 over the pixels of a bin of the reciprocal cell. Nothing limits how sharp it is but the bins,
and one fold takes about a millisecond.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array
from dsfunet.lattice.candidates import Signal

_BLOCK = 64
# The cell is divided into about this number squared of bins; wider ones are taken where they predict better.
_BINS = 48
_POOLED = (1, 2, 4)
# Weight of the mean of I_SRO in each bin, in units of the mean weight of a bin.
_PRIOR = 0.03
_ENVELOPE = 24.0
# Planes are smoothed from sums of so many pixels along each axis.
_COARSE = 2
_FLOOR = 0.03


class Folder:
    """Folds of one plane onto lattices, compared by cross-validation between halves of its blocks.

    The blocks of 64 x 64 pixels are divided like the fields of a chessboard. The weights are those of counting noise:
    1 over a smoothed plane.

    Args:
        scattering: plane (n, m), 0 or more; pixels outside the mask are ignored.
        mask: True = measured.
    """

    def __init__(self, scattering: npt.NDArray[np.floating], mask: npt.NDArray[np.bool_]) -> None:
        self.values = np.where(mask, scattering, 0).astype(np.float64)
        self.mask = mask
        self._measured = mask.astype(np.float64)
        self._over: dict[float, Array] = {}
        self.envelope = self.smooth(_ENVELOPE)
        self.weights = np.where(mask, 1 / (self.envelope + _FLOOR * float(self.envelope.max())), 0)
        rows, columns = (np.arange(size) for size in mask.shape)
        self._rows, self._columns = rows[:, None] - mask.shape[0] // 2, columns[None] - mask.shape[1] // 2
        self._black = ((rows[:, None] // _BLOCK + columns[None] // _BLOCK) % 2).astype(np.int64)
        self._square = float(np.sum(self.weights * self.values**2))

    def smooth(self, deviation: float, order: Array | None = None) -> Array:
        """Smooth the plane, divided by the smoothed order if there is one, (n, m).

        Args:
            deviation: standard deviation of the Gaussian [pixels].
            order: I_SRO at all pixels; None = 1.
        """
        rows, columns = (_smoothing_matrix(size, deviation) for size in self.mask.shape)
        under = rows @ self._sum_blocks(self._measured if order is None else self._measured * order) @ columns.T
        over = self._over.get(deviation)
        if over is None:
            over = self._over[deviation] = rows @ self._sum_blocks(self.values) @ columns.T
        return np.asarray(over / np.maximum(under, 1e-3 * float(under.max())))

    def _sum_blocks(self, plane: Array) -> Array:
        n, m = (-(-size // _COARSE) for size in plane.shape)
        if (n * _COARSE, m * _COARSE) != plane.shape:
            plane = np.pad(plane, ((0, n * _COARSE - plane.shape[0]), (0, m * _COARSE - plane.shape[1])))
        return np.asarray(plane.reshape(n, _COARSE, m, _COARSE).sum(axis=(1, 3)))

    def estimate_noise(self) -> float:
        """Return the weighted sum of squares of the noise, from differences of neighbouring pixels."""
        both = self.mask[1:] & self.mask[:-1]
        both = both[:, 1:] & both[:, :-1]
        turned = self.values[1:] - self.values[:-1]
        turned = (turned[:, 1:] - turned[:, :-1])[both]
        weights = self.weights[1:, 1:][both]
        return float(np.mean(weights * turned**2) / 4 * self.mask.sum()) if both.any() else 0.0

    def divide(self, form_factor: Array) -> Signal:
        """Divide the plane by a form factor; the weights are those of the least-squares fit of I = F S."""
        divisor = np.maximum(form_factor, 0.01 * float(form_factor.max()))
        return Signal(self.values / divisor, self.weights * divisor**2)

    def misfit_without_order(self, form_factor: Array) -> float:
        """Return the weighted sum of squares that a form factor with the best scale leaves."""
        weighted = self.weights * form_factor
        scale = float((weighted * self.values).sum() / (weighted * form_factor).sum())
        return self._square - scale * float((weighted * self.values).sum())

    def fold(self, vectors: Array) -> "FoldedLattice":
        """Fold the plane onto the cell of a lattice, given as rows [cycles per pixel]."""
        return FoldedLattice(self, vectors)


class FoldedLattice:
    """Bins of a lattice."""

    def __init__(self, folder: Folder, vectors: Array) -> None:
        self.vectors, self._folder = vectors, folder
        lengths = np.linalg.norm(np.linalg.inv(vectors), axis=0)
        ratio = float(np.sqrt(lengths[0] / lengths[1]))
        shape = tuple(4 * max(2, round(_BINS * each / 4)) for each in (ratio, 1 / ratio))
        bins = []
        for vector, count in zip(vectors, shape, strict=True):
            phase = (folder._rows * vector[0] + folder._columns * vector[1]) * count
            bins.append(np.floor(phase).astype(np.int32) % count)
        self.shape = shape[0], shape[1]
        self._number = bins[0] * shape[1] + bins[1]
        total = shape[0] * shape[1]
        self._place = (self._number + total * folder._black).reshape(-1)

    def _sums(self, form_factor):
        folder, total = self._folder, self.shape[0] * self.shape[1]
        weighted = folder.weights * form_factor
        over = np.bincount(self._place, (weighted * folder.values).reshape(-1), 2 * total)
        under = np.bincount(self._place, (weighted * form_factor).reshape(-1), 2 * total)
        return over.reshape(2, *self.shape), under.reshape(2, *self.shape)

    def order(self, form_factor):
        over, under = self._sums(form_factor)
        _, pooled = self._cross_validate(over, under)
        table = _divide(_pool(over, pooled).sum(axis=0), _pool(under, pooled).sum(axis=0))
        table = np.repeat(np.repeat(table, pooled, axis=0), pooled, axis=1)
        return table.reshape(-1)[self._number]

    def misfit(self, form_factor):
        return self._cross_validate(*self._sums(form_factor))[0]

    def alternate(self, form_factor, deviation, rounds=1):
        for _ in range(rounds):
            form_factor = self._folder.smooth(deviation, self.order(form_factor))
        return form_factor

    def _cross_validate(self, over: Array, under: Array) -> tuple[float, int]:
        misfits = []
        for pooled in _POOLED:
            a, b = _pool(over, pooled), _pool(under, pooled)
            order = np.stack([_divide(*each) for each in zip(a, b, strict=True)])[::-1]
            misfits.append(float(np.sum(order * (order * b - 2 * a))))
        best = int(np.argmin(misfits))
        return self._folder._square + misfits[best], _POOLED[best]


@lru_cache(maxsize=16)
def _smoothing_matrix(size: int, deviation: float) -> Array:
    """Return Gaussians around all pixels at the centres of blocks, shape (size, blocks)."""
    centres = (np.arange(-(-size // _COARSE)) + 0.5) * _COARSE - 0.5
    return np.asarray(np.exp(-0.5 * ((np.arange(size)[:, None] - centres) / deviation) ** 2))


def _pool(table: Array, size: int) -> Array:
    parts, rows, columns = table.shape
    return np.asarray(table.reshape(parts, rows // size, size, columns // size, size).sum(axis=(2, 4)))


def _divide(over: Array, under: Array) -> Array:
    mean = float(over.sum()) / max(float(under.sum()), 1e-300)
    prior = _PRIOR * float(under.mean())
    return np.asarray((over + prior * mean) / (under + prior + 1e-300))
