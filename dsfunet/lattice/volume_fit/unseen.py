"""Short-range order where no zone was measured, as at Bragg positions that were removed everywhere."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage, sparse

from dsfunet._typing import Array, Integers
from dsfunet.lattice.volume_fit.series import LatticeVectors

_UNSEEN = 0.01  # information on S in such a hole, at most, in the median of the information
_LARGEST = (
    0.03  # share of a zone that such a hole fills; larger regions without information are weak, not removed
)
_MOST = 64  # holes, the largest ones
_RELATIVE = 0.06  # standard uncertainty of the mean of S over such a hole, in that mean


def find_unseen_directions(
    vectors: LatticeVectors,
    alphas: Array,
    terms: LatticeVectors,
    information: Array,
) -> Array:
    """Find how the correlations change with S in the holes that all zones have, one standard uncertainty each.

    The prior takes the order in a hole for as smooth as it is elsewhere. Holes are mostly at Bragg positions, where
    order has its sharp maxima, so the mean of S over each is taken for uncertain by 6 % of itself besides.

    Args:
        vectors: of the correlations, k of them.
        alphas: the correlations, shape (k,).
        terms: vectors of the series of the information on S.
        information: its amplitudes, from that of the vector 0 0 0 on, shape (1 + number of terms,).

    Returns:
        changes of the correlations, shape (holes, k).
    """
    reach = np.abs(terms.numerators).max(axis=0)
    shape = tuple(int(2 * each + 1) for each in reach)
    order = _sum_series(vectors.numerators, alphas, 1.0, shape)
    known = _sum_series(terms.numerators, information[1:], float(information[0]), shape)
    holes = _label_periodic(known < _UNSEEN * float(np.median(known)))
    sizes = np.bincount(holes.reshape(-1))
    sizes[0] = 0
    small = np.flatnonzero((sizes > 0) & (sizes <= _LARGEST * holes.size))
    found = []
    for number in small[np.argsort(-sizes[small], kind="stable")][:_MOST]:
        hole = (holes == number) & (order > 0)
        waves = np.fft.fftn(np.where(hole, _RELATIVE * order, 0.0)).real / hole.size
        found.append(waves[tuple(vectors.numerators.T)])
    return np.array(found).reshape(len(found), vectors.count)


def _sum_series(numerators: Integers, amplitudes: Array, constant: float, shape: tuple[int, ...]) -> Array:
    """Return constant + 2 sum of amplitudes times cosines on a grid that spans the repeat of all of them."""
    table = np.zeros(shape)
    table[tuple(numerators.T)] = amplitudes
    table[tuple(-numerators.T)] = amplitudes
    table[0, 0, 0] = constant
    return np.asarray(np.fft.fftn(table).real)


def _label_periodic(mask: npt.NDArray[np.bool_]) -> Integers:
    """Return numbers from 1 on of the connected parts of a periodic mask; a part and its Friedel mate are one."""
    labels, count = ndimage.label(mask)
    mates = np.roll(labels[::-1, ::-1, ::-1], 1, axis=(0, 1, 2))
    first, second = [labels.reshape(-1)], [mates.reshape(-1)]
    for axis in range(mask.ndim):
        first.append(labels.take(0, axis).reshape(-1))
        second.append(labels.take(-1, axis).reshape(-1))
    pairs = np.stack([np.concatenate(first), np.concatenate(second)])
    pairs = pairs[:, (pairs > 0).all(axis=0)]
    joined = sparse.coo_array((np.ones(pairs.shape[1]), pairs), shape=(count + 1, count + 1))
    _, numbers = sparse.csgraph.connected_components(joined, directed=False)
    return np.asarray(numbers[labels])  # the first component is 0 alone: what is not in the mask
