"""Compiled kernel of the Monte Carlo runs: swap molecules on a periodic lattice until the pair counts are as wanted."""

import numba
import numpy as np
import numpy.typing as npt


# We use our own generator, so that a seed gives the same configuration with every release of numba and NumPy.
@numba.njit(cache=True, nogil=True)
def _draw_below(state: npt.NDArray[np.uint64], bound: int) -> np.int64:
    """Return the next SplitMix64 integer below `bound` (Steele, Lea & Flood 2014) and advance `state` (1,)."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    mixed = state[0]
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed = mixed ^ (mixed >> np.uint64(31))
    return np.int64(((mixed >> np.uint64(32)) * np.uint64(bound)) >> np.uint64(32))


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
    sites = np.arange(total)
    for last in range(total - 1, 0, -1):
        other = _draw_below(state, last + 1)
        sites[last], sites[other] = sites[other], sites[last]
    occupation = np.zeros(total, dtype=np.int8)
    occupation[sites[:count_a]] = 1

    # Table of both neighbours of every site along every vector: computing them at each swap would need divisions. The
    # indices are unsigned because numba checks signed ones for counting from the end.
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

    change = np.zeros(count)
    for _ in range(max_attempts):
        largest = 0.0
        for which in range(count):
            largest = max(largest, abs(excess[which]))
        if largest < slack_pairs:
            return occupation, True
        index_a = _draw_below(state, count_a)
        index_b = count_a + _draw_below(state, total - count_a)
        site_a, site_b = sites[index_a], sites[index_b]
        # Remove A from its site first. Then all neighbours count as after the swap, and two swapped sites that are
        # neighbours need no special case.
        occupation[site_a] = 0
        cost_change = 0.0
        for which in range(count):
            gained = float(
                occupation[neighbours[site_b, 2 * which]]
                + occupation[neighbours[site_b, 2 * which + 1]]
                - occupation[neighbours[site_a, 2 * which]]
                - occupation[neighbours[site_a, 2 * which + 1]]
            )
            change[which] = gained
            cost_change += gained * (2.0 * excess[which] + gained)
        # Swaps of zero cost are accepted too, so that molecules diffuse instead of freezing.
        if cost_change <= 0.0:
            occupation[site_b] = 1
            sites[index_a], sites[index_b] = site_b, site_a
            for which in range(count):
                excess[which] += change[which]
        else:
            occupation[site_a] = 1
    return occupation, False
