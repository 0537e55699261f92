"""Whether any crystal at all can have some alphas: their I_SRO must be the sum of waves of no negative weight."""

import numpy as np
from scipy.optimize import nnls

from dsfunet._typing import Array
from dsfunet.analysis.configuration.wanted import WantedCorrelations
from dsfunet.physics.centring import denominator_of

_MOST_WAVES = 24
"""Waves along each axis of the repeat of I_SRO."""

_SUM_WEIGHT = 1e3


def nearest_possible(
    wanted: WantedCorrelations, cells: tuple[int, int, int], sigmas: Array, share_a: float
) -> Array:
    """Return the alphas nearest to those wanted that a non-negative I_SRO has, shape (orbits,).

    I_SRO(q) = 1 + sum of alpha_v cos(q . v) over all vectors is the mean |Fourier sum|^2 of a crystal, so it is
    negative nowhere, and its mean is 1. Vectors that were not refined may have any alpha. Alphas without any such
    I_SRO are those of no configuration, whatever its size. Nor is any alpha below -min(m_A, m_B) / max(m_A, m_B). The
    converse does not hold: occupations are 0 or 1, which excludes more.

    Args:
        wanted: the alphas, values v of which the sum of ((alpha - v) / sigma)^2 is least.
        cells: of the supercell; the waves are those that fit in it, at most 24 in the repeat along each axis.
        sigmas: positive, shape (orbits,).
        share_a: share of A, strictly between 0 and 1.
    """
    repeat = denominator_of(wanted.cell.centring)
    axes = [repeat * np.arange(n) / n for n in (min(repeat * each, _MOST_WAVES) for each in cells)]
    waves = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    # Equal columns, of equivalent waves, are one.
    columns = np.stack(
        [np.cos(2 * np.pi * (waves @ (alpha.numerators.T / repeat))).mean(axis=1) for alpha in wanted.alphas],
        axis=1,
    )
    columns = np.unique(np.round(columns, 9), axis=0)
    matrix = np.vstack([columns.T / sigmas[:, None], np.full(len(columns), _SUM_WEIGHT / sigmas.min())])
    target = np.append(wanted.values / sigmas, _SUM_WEIGHT / sigmas.min())
    weights, _ = nnls(matrix, target)
    lowest = -min(share_a, 1 - share_a) / max(share_a, 1 - share_a)
    found: Array = np.maximum(weights @ columns / weights.sum(), lowest)
    return found
