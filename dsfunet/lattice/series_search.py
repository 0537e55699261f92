"""Search for a lattice by cosine series with five harmonics, fitted to I / I_FF and I_SRO of the networks.

Where the networks are right, nothing needs fewer data. A lattice whose order reaches further than five cells is taken
for a coarser one; `dsfunet.lattice.folding_search` is for those, and for planes on which the networks fail.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array
from dsfunet.lattice.candidates import Signal, propose_bases, reduce_bases
from dsfunet.lattice.projected import is_possible, lattice_plane, nominal_plane
from dsfunet.physics.cosine_series import CosineSeries, NormalEquations, normal_equations
from dsfunet.physics.short_range_order import MAX_INDEX

# Weight of the networks' I_SRO, as a share of the mean weight of the measured pixels.
_NETWORK_WEIGHT = 0.15
# The shortest vector that five harmonics tell from the form factor [cycles per pixel].
_SHORTEST = 0.02
_COUNT = 5
SKETCH_INDEX = 2
"""Highest harmonic of a first fit, which still converges where a candidate is off."""

# Candidates are dropped if their first harmonics explain less than this share of what those of the best one explain.
_PROMISING = 0.5
_FINALISTS = 4
# Fewer and more widely spaced harmonics are preferred up to this multiple of the smallest misfit, noise included.
_AS_GOOD = 1.01
_AS_GOOD_ALONG_ONE = 1.02
_BLOCK = 64
# Bases count as equally short up to this ratio; the hexagonal lattice has three of them.
_NEARLY_AS_SHORT = 1.1


def search_by_series(data: Signal, networks: Signal) -> Array | None:
    """Search for the lattice on which a series describes the plane best.

    The best candidate has the series that, fitted to one half of the blocks of the plane, predicts the other half best.
    Among those nearly as good, the one with the fewest harmonics per range of Q is chosen.

    Args:
        data: the plane divided by I_FF of the networks.
        networks: I_SRO of the networks.

    Returns:
        direct vectors as rows, (2, 2) [cycles per pixel]; None if the plane has no candidates.
    """
    pairs = propose_bases((data, networks), _COUNT, _SHORTEST)
    if not pairs:
        return None
    signal = combine_signals(data, networks)
    fit = _choose_best(signal, pairs)
    fits = [SeriesFit(signal, each, MAX_INDEX) for each in _short_bases(fit.vectors)]
    return refine(signal, min(fits, key=lambda each: each.misfit), 2).vectors


def combine_signals(data: Signal, networks: Signal) -> Signal:
    """Combine both signals into one, whose misfit is the sum of both misfits up to a constant.

    I_SRO of the networks is brought to the scale of the data; it guides the fit where pixels are missing or noisy.
    """
    target, weights = networks.values, data.weights
    total = weights.sum()
    centred = target - float((weights * target).sum() / total)
    mean = float((weights * data.values).sum() / total)
    variance = float((weights * centred**2).sum())
    scale = float((weights * centred * (data.values - mean)).sum()) / variance if variance > 0 else 0.0
    share = _NETWORK_WEIGHT * float(weights.mean())
    expected = mean + max(scale, 0.0) * centred
    return Signal((weights * data.values + share * expected) / (weights + share), weights + share)


class SeriesFit:
    """Least-squares fit of the cosine series on a lattice to a signal."""

    def __init__(self, signal: Signal, vectors: Array, index: int) -> None:
        self.vectors, self.index = vectors, index
        self._signal = signal
        self._lattice = lattice_plane(vectors, nominal_plane(signal.values.shape))
        self._equations = self._equations_of(signal.weights)
        self._series = self._equations.solve()
        self._left = signal.values - self._series.evaluate(self._lattice.plane)
        self.misfit = float(np.sum(signal.weights * self._left**2))

    def _equations_of(self, weights: Array) -> NormalEquations:
        lattice = self._lattice
        return normal_equations(
            self._signal.values, weights, lattice.cell, lattice.plane, lattice.axes, self.index
        )

    def step(self) -> Array:
        """Return the change of the vectors in a Gauss-Newton step with fixed harmonics, (2, 2)."""
        plane, series = self._lattice.plane, self._series
        numbers = 2j * np.pi * np.arange(-self.index, self.index + 1)

        def slope(factor: npt.NDArray[np.complexfloating[Any, Any]]) -> Array:
            return CosineSeries(
                (factor * series.coefficients).astype(np.complex128), series.cell, series.axes
            ).evaluate(plane)

        by_first, by_second = slope(numbers[:, None]), slope(numbers[None])
        rows, columns = plane.index_u[:, None], plane.index_v[None]
        slopes = np.stack([rows * by_first, columns * by_first, rows * by_second, columns * by_second])
        slopes = slopes.reshape(4, -1)
        weighted = slopes * self._signal.weights.reshape(-1)
        matrix = weighted @ slopes.T
        matrix[np.diag_indices(4)] += 1e-9 * np.trace(matrix) + 1e-30
        change = np.linalg.solve(matrix, weighted @ self._left.reshape(-1))
        return np.asarray(change.reshape(2, 2), np.float64)

    def cross_validate(self) -> float:
        """Return the misfit of each half of the blocks, divided like a chessboard, to the series of the other half."""
        weights = self._signal.weights
        rows, columns = (np.arange(size) // _BLOCK for size in weights.shape)
        black = (rows[:, None] + columns) % 2 == 0
        of_black = self._equations_of(np.where(black, weights, 0))
        total = 0.0
        for part, equations in ((~black, of_black), (black, self._equations.without(of_black))):
            left = self._signal.values - equations.solve().evaluate(self._lattice.plane)
            total += float(np.sum(np.where(part, weights, 0) * left**2))
        return total


def refine(signal: Signal, best: SeriesFit, rounds: int) -> SeriesFit:
    """Take Gauss-Newton steps while they help; none shifts the highest harmonic by more than a cycle at the edges."""
    for _ in range(rounds):
        step = best.step()
        turn = float(np.abs(step).max()) * best.index * max(signal.values.shape) / 2
        moved = best.vectors + step / max(turn, 1.0)
        if not is_possible(moved):
            break
        after = SeriesFit(signal, moved, best.index)
        if after.misfit >= best.misfit:
            break
        best = after
        if turn < 1e-3:
            break
    return best


def _choose_best(signal: Signal, pairs: list[Array]) -> SeriesFit:
    """Return the fit that predicts the plane best; the last of the pairs is for order along one direction only."""
    variance = sum_of_squares_about_mean(signal)
    sketches = [refine(signal, SeriesFit(signal, pair, SKETCH_INDEX), 1) for pair in pairs]
    explained = [variance - sketch.misfit for sketch in sketches]
    enough = _PROMISING * max(explained)
    order = sorted(range(len(pairs) - 1), key=lambda each: -explained[each])[: _FINALISTS - 1]
    chosen = [each for each in order if explained[each] >= enough] + [len(pairs) - 1]
    fits = [refine(signal, SeriesFit(signal, sketches[each].vectors, MAX_INDEX), 1) for each in chosen]
    misfits = np.array([fit.cross_validate() for fit in fits])
    least = float(misfits.min())
    if misfits[-1] <= _AS_GOOD_ALONG_ONE * least:
        return fits[-1]
    areas = np.array([abs(np.linalg.det(fit.vectors)) for fit in fits])
    return fits[int(np.argmax(np.where(misfits <= _AS_GOOD * least, areas, 0)))]


def _short_bases(vectors: Array) -> list[Array]:
    """Return the reduced basis, and others that are as short.

    A series with |m|, |n| <= 5 contains different harmonics in each basis.
    """
    first, second = reduce_bases(vectors[None])[0]
    third = -first - second
    if np.linalg.norm(third) > _NEARLY_AS_SHORT * np.linalg.norm(second):
        return [np.stack([first, second])]
    return [np.stack(pair) for pair in ((first, second), (second, third), (third, first))]


def sum_of_squares_about_mean(signal: Signal) -> float:
    """Return the weighted sum of squares of a signal about its weighted mean."""
    mean = (signal.weights * signal.values).sum() / signal.weights.sum()
    return float(np.sum(signal.weights * (signal.values - mean) ** 2))
