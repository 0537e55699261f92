"""Compiled part of the Monte Carlo runs: molecules change sites on a periodic lattice until the pairs are as wanted."""

import numba
import numpy as np
import numpy.typing as npt

from dsfunet.physics.site_exchange import exchange_sites, shuffle_sites


@numba.njit(cache=True, nogil=True)
def order_sites(
    n: int,
    count_a: int,
    vectors: npt.NDArray[np.int64],
    wanted_pairs: npt.NDArray[np.float64],
    slack_pairs: float,
    max_attempts: int,
    seed: np.uint64,
) -> tuple[npt.NDArray[np.int8], bool]:
    """Swap A and B until the numbers of AA pairs along some lattice vectors reach their targets.

    `count_a` of the n^3 sites hold A. The run ends when the number of pairs along each of `vectors` (k, 3) is within
    `slack_pairs` of its `wanted_pairs` (k,), or after `max_attempts` attempted swaps.

    Returns:
        Occupation of the sites (n^3,), 1 for A and 0 for B, and whether all targets were reached.
    """
    total = n * n * n
    state = np.array([seed], dtype=np.uint64)
    sites = shuffle_sites(total, state)
    occupation = np.zeros(total, dtype=np.int8)
    occupation[sites[:count_a]] = 1

    # Table of both neighbours of every site along every vector: computing them at each swap would need divisions.
    count = len(vectors)
    neighbours = np.empty((total, 2 * count), dtype=np.uint32)
    excess = -wanted_pairs
    for site in range(total):
        i, j, k = site // (n * n), site // n % n, site % n
        for which in range(count):
            for behind in range(2):
                sign = 1 - 2 * behind
                along_i = (i + sign * vectors[which, 0]) % n
                along_j = (j + sign * vectors[which, 1]) % n
                along_k = (k + sign * vectors[which, 2]) % n
                neighbours[site, 2 * which + behind] = (along_i * n + along_j) * n + along_k
            excess[which] += occupation[site] * occupation[neighbours[site, 2 * which]]

    starts = 2 * np.arange(count + 1)
    slack = np.full(count, slack_pairs)
    # A negative limit: no swap may raise the cost.
    _, met = exchange_sites(
        occupation,
        sites,
        count_a,
        neighbours,
        starts,
        excess,
        np.ones(count),
        slack,
        -1.0,
        max_attempts,
        state,
    )
    return occupation, met
