"""Search for a lattice by folding: a smooth field and a cell that repeats explain the plane, without networks.

The smooth field F and the cell S of a lattice are solved in turn, F = G * I / G * S with a Gaussian G, from a wide
smoothing of the plane. A finer direct lattice (fewer, larger reciprocal cells) always follows the errors of F better,
and a narrower Gaussian lets F stand in for order; so lattices are compared with the same Gaussian, at 0.28 of the
coarser lattice's reciprocal cell, and the coarser one is taken unless it leaves clearly more.
"""

import numpy as np

from dsfunet._typing import Array
from dsfunet.lattice.candidates import propose_bases, reduce_bases, span_same_lattice
from dsfunet.lattice.folding import Fold, Folder
from dsfunet.lattice.projected import is_possible, measure_side
from dsfunet.lattice.series_search import SKETCH_INDEX, SeriesFit, refine
from dsfunet.physics.short_range_order import MAX_INDEX

_COUNT = 5
# Gaussians [pixels]: the plane is divided by these to find candidates; the alternation starts from this;
# and candidates are ranked with F of these.
_ENVELOPES = (8.0, 24.0)
_START = 12.0
_RANKING = (4.0, 9.0)
_FINALISTS_EACH = 2
# Standard deviation of the Gaussian for F, in units of the side of the reciprocal cell.
_SMOOTHING = 0.28
_ROUNDS = 2
_MOVES = 3
_LONGEST = 0.14
"""Longest vector of a lattice [cycles per pixel]: zones of seven pixels."""

# The coarser of two lattices is taken if it leaves at most this much more: shares of what order explains, and of what
# the finer lattice leaves beyond the noise. From 173 planes with known lattices, of which 96 % then keep theirs.
_MOST_OF_GAIN = 0.25
_OF_GAIN = 0.03
_OF_MISFIT = 0.6
# Sublattices of index 2 and 3 of any direct lattice.
_INDEX_2 = [np.array(each, np.float64) for each in (((2, 0), (0, 1)), ((1, 0), (0, 2)), ((1, 1), (1, -1)))]
_INDEX_3 = [
    np.array(each, np.float64)
    for each in (((3, 0), (0, 1)), ((1, 0), (0, 3)), ((1, 1), (2, -1)), ((1, -1), (2, 1)))
]
# A lattice is a sublattice of another if its vectors are whole ones within this [cycles per pixel].
_WHOLE = 2e-3
# The noise is overestimated by the slope of the plane; so much of it is certain.
_OF_NOISE = 0.97


class FoldingSearch:
    """Search for the lattice of one plane by folding, and comparison of lattices.

    Args:
        folder: the plane.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._start = folder.smooth(_START)
        self._noise = folder.estimate_noise()

    def search(self, others: list[Array]) -> Array | None:
        """Search for the lattice that explains the plane best.

        Args:
            others: refined lattices from elsewhere, each (2, 2) with vectors as rows [cycles per pixel].

        Returns:
            reduced direct vectors as rows, (2, 2) [cycles per pixel]; None if there are no candidates.
        """
        signals = tuple(self._folder.divide(self._folder.smooth(each)) for each in _ENVELOPES)
        pairs = [*others]
        for pair in propose_bases(signals, _COUNT):
            if not any(span_same_lattice(pair, other) for other in others):
                pairs.append(pair)
        if not pairs:
            return None
        finalists = [
            pairs[place] if place < len(others) else self._refine(pairs[place], (SKETCH_INDEX, MAX_INDEX))
            for place in self._choose_finalists(pairs)
        ]
        finalists.sort(key=measure_side, reverse=True)
        vectors = finalists[0]
        for coarser in finalists[1:]:
            if self._is_coarser_enough(vectors, coarser):
                vectors = coarser
        for _ in range(_MOVES):
            moved = self._move(vectors)
            if moved is vectors:
                break
            vectors = self._refine(moved, (MAX_INDEX,))
        is_refined = any(vectors is each for each in others)
        return vectors if is_refined else self._refine(vectors, (MAX_INDEX, MAX_INDEX))

    def compare(self, vectors: Array, other: Array) -> float:
        """Return the logarithm of what another lattice leaves over what a lattice leaves, with the same Gaussian."""
        side = min(measure_side(vectors), measure_side(other))
        here, there = (self._leave(self._folder.fold(each), side) for each in (vectors, other))
        return float(np.log(max(there, 1e-300) / max(here, 1e-300)))

    def measure_evidence(self, vectors: Array) -> Array:
        """Return two logarithms, (2,), of shares of what is left of the plane without order.

        The first is that of the share that the lattice leaves, both less the noise: lower is better. The second is that
        of the share that it explains, noise included: higher is better.
        """
        side = measure_side(vectors)
        own, smooth = self._leave(self._folder.fold(vectors), side), self._leave_without_order(side)
        noise = _OF_NOISE * self._noise
        left = max(own - noise, 0.0) / max(smooth - noise, 1e-9 * self._folder.square, 1e-300)
        explained = (smooth - own) / max(smooth, 1e-300)
        return np.asarray(np.log([np.clip(left, 0.02, 1.2), max(explained, 1e-3)]), np.float64)

    def _choose_finalists(self, pairs: list[Array]) -> list[int]:
        """Return the numbers of the best candidates; only that of the first if no other is better.

        They are ranked by their misfits in units of that without order, at two Gaussians.
        """
        folder = self._folder
        smooth = [folder.misfit_without_order(folder.smooth(each)) for each in _RANKING]
        misfits = np.empty((len(pairs), len(_RANKING)))
        for place, pair in enumerate(pairs):
            fold = folder.fold(pair)
            order = fold.order(self._start)
            misfits[place] = [fold.misfit(folder.smooth(each, order)) for each in _RANKING]
        ranks = np.argsort(misfits / np.maximum(smooth, 1e-300), axis=0, kind="stable")[:_FINALISTS_EACH]
        if (ranks[0] == 0).all():
            return [0]
        return list(dict.fromkeys(ranks.T.reshape(-1).tolist()))

    def _refine(self, vectors: Array, indices: tuple[int, ...]) -> Array:
        """Return reduced vectors after a Gauss-Newton step with each of the highest harmonics."""
        signal = self._folder.divide(self._alternate(self._folder.fold(vectors), measure_side(vectors)))
        for index in indices:
            vectors = refine(signal, SeriesFit(signal, vectors, index), 1).vectors
        return np.asarray(reduce_bases(vectors[None])[0], np.float64)

    def _alternate(self, fold: Fold, side: float) -> Array:
        form_factor = self._start
        for _ in range(_ROUNDS):
            form_factor = self._folder.smooth(_SMOOTHING * side, fold.order(form_factor))
        return form_factor

    def _leave(self, fold: Fold, side: float) -> float:
        return fold.misfit(self._alternate(fold, side))

    def _leave_without_order(self, side: float) -> float:
        return self._folder.misfit_without_order(self._folder.smooth(_SMOOTHING * side))

    def _limit(self, own: float, smooth: float) -> float:
        """Return what a coarser lattice may leave if a finer one leaves `own`, and no order `smooth`."""
        gain, beyond = max(smooth - own, 0.0), max(own - self._noise, 0.0)
        return own + min(_MOST_OF_GAIN * gain, _OF_GAIN * gain + _OF_MISFIT * beyond)

    def _is_coarser_enough(self, finer: Array, coarser: Array, own_form_factor: bool = False) -> bool:
        """Return whether the coarser lattice is as good as the finer one.

        F of the finer lattice is used for both, because F of a wrong sublattice would stand in for its missing order;
        with `own_form_factor`, or if the coarser one is no sublattice, its own F may be used as well.
        """
        side = measure_side(coarser)
        one, other = self._folder.fold(finer), self._folder.fold(coarser)
        form_factor = self._alternate(one, side)
        own, left = one.misfit(form_factor), other.misfit(form_factor)
        whole = coarser @ np.linalg.inv(finer)
        if own_form_factor or np.abs((whole - np.rint(whole)) @ finer).max() > _WHOLE:
            left = min(left, self._leave(other, side))
        return left <= self._limit(own, self._leave_without_order(side))

    def _move(self, vectors: Array) -> Array:
        """Return a sublattice that is as good, else a finer lattice that is clearly better, else the same vectors."""
        folder, side = self._folder, measure_side(vectors)
        here = folder.fold(vectors)
        for index, matrices in ((3, _INDEX_3), (2, _INDEX_2)):
            its_side = side / float(np.sqrt(index))
            form_factor = self._alternate(here, its_side)
            limit = self._limit(here.misfit(form_factor), self._leave_without_order(its_side))
            coarser = _possible([matrix @ vectors for matrix in matrices])
            misfits = [folder.fold(each).misfit(form_factor) for each in coarser]
            if misfits and min(misfits) <= limit:
                return coarser[int(np.argmin(misfits))]
        form_factor = self._alternate(here, side)
        finer = _possible([np.linalg.inv(matrix) @ vectors for matrix in (*_INDEX_2, *_INDEX_3)])
        misfits = [folder.fold(each).misfit(form_factor) for each in finer]
        if misfits:
            best = finer[int(np.argmin(misfits))]
            if not self._is_coarser_enough(best, vectors, own_form_factor=True):
                return best
        return vectors


def _possible(bases: list[Array]) -> list[Array]:
    return [
        each
        for each in reduce_bases(np.stack(bases))
        if is_possible(each) and np.linalg.norm(each, axis=1).max() < _LONGEST
    ]
