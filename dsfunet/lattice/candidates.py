"""Candidates for the lattice of a plane: pairs of vectors from the Fourier transform of the plane.

The Fourier transform of a periodic I_SRO is zero except at the lattice vectors, projected onto the plane, where its
peaks are as sharp as the plane is wide. Vectors are given in cycles per pixel, along rows and along columns: the phase
of exp(i Q . v) changes by so many cycles from one pixel to the next.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import scipy.fft
from scipy.ndimage import maximum_filter

from dsfunet._typing import Array
from dsfunet.physics.short_range_order import MAX_INDEX

SHORTEST = 0.0125
"""Shortest vector that is searched for [cycles per pixel]: three reciprocal cells on a plane of 256 pixels.

The planes of centred metals come close: hk0 of an F lattice with a = 3.6 Angstrom repeats as if sites were 1.8
Angstrom apart, 0.013 with Q up to 6 1/Angstrom."""

_LONGEST = 0.48
_PADDED = 512
_PEAKS = 8
_PEAKS_OFF_THE_ROW = 10
# Of a vector, its half and its third, the longest is chosen whose harmonics hold this share of the highest power.
_ALL_BUT = 0.97
_LENGTHS_ACROSS = (0.04, 0.09)
"""Range of lengths for a vector along which nothing repeats: those of common cells [cycles per pixel]."""


@dataclass(frozen=True, eq=False)
class Signal:
    """Values that should be periodic on a plane, and their weights.

    Attributes:
        values: (n, m).
        weights: (n, m), 0 or more; 0 = missing.
    """

    values: Array
    weights: Array

    def spectrum(self, shortest: float) -> Array:
        """Return the power of the windowed signal minus its mean, sum 1, on the half plane of `scipy.fft.rfft2`."""
        weighted = _window(self.values.shape) * self.weights
        mean = float((weighted * self.values).sum() / weighted.sum())
        padded = (_PADDED, _PADDED)
        power: Array = (
            np.abs(scipy.fft.rfft2((weighted * (self.values - mean)).astype(np.float32), padded)) ** 2
        )
        total = float((power * _searched_range(shortest)).sum())
        return np.asarray(power / max(total, 1e-30), np.float64)

    def without_row(self, vector: Array) -> "Signal":
        """Subtract the best-fitting harmonics 0 to 5 of one vector."""
        # Thin products, as in `dsfunet.physics.cosine_series`: no harmonic is evaluated at all pixels.
        count = _count_harmonics(vector)
        rows, columns = (
            np.exp(
                -2j * np.pi * vector[axis] * np.outer(np.arange(size) - size // 2, np.arange(2 * count + 1))
            )
            for axis, size in enumerate(self.values.shape)
        )

        def transform(field: Array) -> npt.NDArray[np.complex128]:
            return np.asarray(np.einsum("ik,ik->k", rows, field @ columns))

        differences, harmonics = transform(self.weights), transform(self.weights * self.values)[: count + 1]
        both_ways = np.concatenate([np.conj(differences[:0:-1]), differences])
        numbers = np.arange(-count, count + 1)
        matrix = both_ways[numbers[:, None] - numbers + 2 * count]
        matrix[np.diag_indices_from(matrix)] *= 1 + 1e-6
        amplitudes = np.linalg.solve(matrix, np.concatenate([np.conj(harmonics[:0:-1]), harmonics]))[count:]
        amplitudes[1:] *= 2  # and their conjugates at -k
        row = (np.conj(rows[:, : count + 1]) * amplitudes) @ np.conj(columns[:, : count + 1]).T
        return Signal(self.values - row.real, self.weights)


def propose_bases(signals: tuple[Signal, ...], count: int, shortest: float = SHORTEST) -> list[Array]:
    """Propose reduced bases, each (2, 2) with vectors as rows [cycles per pixel]; the most promising comes first.

    1. Find the peaks of the spectra, and the vector whose harmonics hold most of the power.
    2. Find the peaks that are left without those harmonics, because order is often strong along one direction and weak
       along the other.
    3. Rank all pairs of these vectors by the power at their 60 sums with |m|, |n| <= 5, in both spectra.

    Returns:
        At most `count` bases, and one more: the strongest vector with one across it along which nothing repeats, for
        order along one direction only. Empty if the spectra have no peak.
    """
    power = np.sum([signal.spectrum(shortest) for signal in signals], axis=0)
    peaks = _find_peaks(power, _PEAKS, shortest)
    if not len(peaks):
        return []
    row = _find_strongest_row(power, peaks, shortest)
    left = np.sum([signal.without_row(row).spectrum(shortest) for signal in signals], axis=0)
    others = _find_peaks(left, _PEAKS_OFF_THE_ROW, shortest)
    vectors = np.concatenate([row[None], row[None] / 2, peaks, others])
    first, second = np.triu_indices(len(vectors), 1)
    pairs = reduce_bases(np.stack([vectors[first], vectors[second]], axis=1))
    lengths = np.linalg.norm(pairs, axis=2)
    kept = (lengths > shortest).all(axis=1) & (np.abs(np.linalg.det(pairs)) > 0.8 * lengths.prod(axis=1))
    pairs = pairs[kept]
    ranked: list[Array] = []
    if len(pairs):
        scores = [_sum_power_of_pairs(each, pairs) for each in (power, left)]
        total = np.sum([score / max(score.max(), 1e-30) for score in scores], axis=0)
        for place in np.argsort(-total, kind="stable"):
            if not any(span_same_lattice(pairs[place], other) for other in ranked):
                ranked.append(pairs[place])
            if len(ranked) == count:
                break
    length = float(np.linalg.norm(row))
    across = np.array([-row[1], row[0]]) * (min(max(length, _LENGTHS_ACROSS[0]), _LENGTHS_ACROSS[1]) / length)
    return [*ranked, np.stack([row, across])]


def reduce_bases(pairs: Array, metric: Array | None = None) -> Array:
    """Return the shortest bases of the same lattices (Gauss reduction), the shorter vector first, at 90 to 120 degrees.

    Args:
        pairs: bases, (n, 2, 2), with vectors as rows.
        metric: metric tensor for lengths, (2, 2); by default the unit matrix.
    """
    metric = np.eye(2) if metric is None else metric
    short, long = pairs[:, 0].copy(), pairs[:, 1].copy()

    def product(one: Array, other: Array) -> Array:
        return np.asarray(np.einsum("ni,ij,nj->n", one, metric, other))

    for _ in range(32):  # each round shortens the vectors; those of a plane need a handful
        swap = (product(short, short) > product(long, long))[:, None]
        short, long = np.where(swap, long, short), np.where(swap, short, long)
        turns = np.rint(product(short, long) / np.maximum(product(short, short), 1e-30))
        if not turns.any():
            break
        long = long - turns[:, None] * short
    long = np.where((product(short, long) > 0)[:, None], -long, long)
    return np.stack([short, long], axis=1)


def span_same_lattice(one: Array, other: Array) -> bool:
    """Return whether two bases span the same lattice, within a third of the resolution of a plane."""
    whole = one @ np.linalg.inv(other)
    off = np.abs((whole - np.rint(whole)) @ other).max()
    return bool(off < 1e-3 and abs(abs(np.linalg.det(np.rint(whole))) - 1) < 0.5)


@cache
def _window(shape: tuple[int, ...]) -> Array:
    rows, columns = (np.hanning(size + 1)[:-1] for size in shape)
    return np.outer(rows, columns)


@cache
def _searched_range(shortest: float) -> npt.NDArray[np.bool_]:
    along_rows, along_columns = np.fft.fftfreq(_PADDED)[:, None], np.fft.rfftfreq(_PADDED)[None]
    long_enough = np.hypot(along_rows, along_columns) > shortest
    return np.asarray(long_enough & (np.abs(along_rows) < _LONGEST) & (along_columns < _LONGEST), np.bool_)


def _count_harmonics(vector: Array) -> int:
    """Return how many of the harmonics 1 to 5 of a vector are below half a cycle per pixel along both axes."""
    longest = float(np.abs(vector).max())
    return next((index - 1 for index in range(1, MAX_INDEX + 1) if index * longest >= 0.5), MAX_INDEX)


def _find_peaks(power: Array, count: int, shortest: float) -> Array:
    """Find the highest maxima, (k, 2), interpolated by a parabola through the logarithm of the power."""
    shown = power * _searched_range(shortest)
    # In the half plane of a Fourier transform each vector on the first column occurs twice; one is enough.
    once = (np.arange(shown.shape[1])[None] > 0) | (np.arange(_PADDED)[:, None] < _PADDED // 2)
    row, column = np.nonzero((shown == maximum_filter(shown, 3, mode="wrap")) & (shown > 0) & once)
    order = np.argsort(-shown[row, column], kind="stable")[:count]
    row, column = row[order], column[order]
    level = np.log(np.maximum(power, 1e-30))
    before = np.where(column > 0, level[row, column - 1], level[-row % _PADDED, 1])
    centre = level[row, column]
    along_rows = _find_vertex(level[row - 1, column], centre, level[(row + 1) % _PADDED, column])
    along_columns = _find_vertex(before, centre, level[row, column + 1])
    signed = np.where(row < _PADDED // 2, row, row - _PADDED)
    return np.stack([signed + along_rows, column + along_columns], axis=1) / _PADDED


def _find_vertex(before: Array, centre: Array, after: Array) -> Array:
    """Return the position of the top of a parabola through three neighbours, -0.5 to 0.5."""
    bend = before - 2 * centre + after
    return np.clip(0.5 * (before - after) / np.where(bend < 0, bend, -np.inf), -0.5, 0.5)


def _find_strongest_row(power: Array, peaks: Array, shortest: float) -> Array:
    vectors = np.concatenate([peaks, peaks / 2, peaks / 3])
    lengths = np.linalg.norm(vectors, axis=1)
    vectors, lengths = vectors[lengths > shortest], lengths[lengths > shortest]
    held = _interpolate_power(power, vectors[:, None] * np.arange(1, MAX_INDEX + 1)[:, None]).sum(axis=1)
    enough = held > _ALL_BUT * held.max()
    row: Array = vectors[enough][np.argmax(lengths[enough])]
    return row


def _sum_power_of_pairs(power: Array, pairs: Array) -> Array:
    numbers = np.indices((2 * MAX_INDEX + 1,) * 2).reshape(2, -1).T - MAX_INDEX
    half = numbers[: len(numbers) // 2]
    return np.asarray(_interpolate_power(power, np.einsum("kn,cnd->ckd", half, pairs)).sum(axis=1))


def _interpolate_power(power: Array, vectors: Array) -> Array:
    """Interpolate the power at vectors (..., 2); 0 beyond the range that is searched."""
    vectors = np.where(vectors[..., 1:] < 0, -vectors, vectors)
    inside = np.asarray((np.abs(vectors) < _LONGEST).all(axis=-1))
    place = np.where(inside[..., None], vectors * _PADDED, 0)
    corner = np.floor(place).astype(int)
    (row, column), (down, right) = np.moveaxis(corner, -1, 0), np.moveaxis(place - corner, -1, 0)
    below = (row + 1) % _PADDED
    row = row % _PADDED
    upper = power[row, column] * (1 - right) + power[row, column + 1] * right
    lower = power[below, column] * (1 - right) + power[below, column + 1] * right
    return np.asarray((upper * (1 - down) + lower * down) * inside)
