"""Compiled kernel of the Monte Carlo runs: species change sites until the pairs along some vectors are as wanted.

The sites, the vectors that join them and the boundary conditions enter as a table of neighbours, so that the kernel
serves any lattice. It needs numba, and is imported only where a run is made.
"""

import numba
import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array, Integers

Occupation = npt.NDArray[np.int8]
"""1 where a site holds A, 0 where it holds B; shape (sites,)."""

Neighbours = npt.NDArray[np.uint32]
"""Numbers of the sites around each site, shape (sites, columns). Unsigned, because numba tests signed indices for
counting from the end."""


# We use our own generator, so that a seed gives the same configuration with every release of numba and NumPy.
@numba.njit(cache=True, nogil=True)
def draw_below(state: npt.NDArray[np.uint64], bound: int) -> np.int64:
    """Return the next SplitMix64 integer below `bound` (Steele, Lea & Flood 2014) and advance `state` (1,)."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    mixed = state[0]
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed = mixed ^ (mixed >> np.uint64(31))
    return np.int64(((mixed >> np.uint64(32)) * np.uint64(bound)) >> np.uint64(32))


@numba.njit(cache=True, nogil=True)
def shuffle_sites(total: int, state: npt.NDArray[np.uint64]) -> Integers:
    """Return the numbers of `total` sites in random order, and advance `state` (1,)."""
    sites = np.arange(total)
    for last in range(total - 1, 0, -1):
        other = draw_below(state, last + 1)
        sites[last], sites[other] = sites[other], sites[last]
    return sites


@numba.njit(cache=True, nogil=True)
def exchange_sites(
    occupation: Occupation,
    sites: Integers,
    count_a: int,
    neighbours: Neighbours,
    starts: Integers,
    excess: Array,
    weights: Array,
    slack: Array,
    limit: float,
    attempts: int,
    state: npt.NDArray[np.uint64],
) -> tuple[int, bool]:
    """Exchange A and B on randomly chosen sites, in place, unless that raises the cost above its limit.

    The cost is the sum over groups of weight * excess^2. An exchange is accepted if it does not raise the cost, or if
    the cost stays at or below `limit`. Above the limit this is reverse Monte Carlo at zero temperature. Below, it is a
    random walk over all configurations that the limit allows, each as probable as the others (Creutz 1983).

    Args:
        occupation: of the sites; changed.
        sites: numbers of the sites, shape (sites,); the first `count_a` of them hold A. Changed.
        count_a: number of A.
        neighbours: both neighbours of each site along each vector, the columns of one group side by side.
        starts: first column of each group, and the number of columns, shape (groups + 1,).
        excess: AA pairs of each group above the number wanted, shape (groups,); changed.
        weights: 0 or more, shape (groups,).
        slack: the run ends when every |excess| is below its slack; zeros for a run that makes all attempts.
        limit: of the cost; negative for none.
        attempts: number of exchanges to try.
        state: of the random numbers, shape (1,); changed.

    Returns:
        the number of accepted exchanges, and whether every excess was below its slack before the attempts were spent.
    """
    groups = len(excess)
    change = np.zeros(groups)
    accepted = 0
    cost = 0.0
    for group in range(groups):
        cost += weights[group] * excess[group] * excess[group]
    others = len(sites) - count_a
    for _ in range(attempts):
        met = True
        for group in range(groups):
            met = met and abs(excess[group]) < slack[group]
        if met:
            return accepted, True
        index_a = draw_below(state, count_a)
        index_b = count_a + draw_below(state, others)
        site_a, site_b = sites[index_a], sites[index_b]
        # Remove A from its site first. Then all neighbours count as after the exchange, and two sites that are
        # neighbours need no special case.
        occupation[site_a] = 0
        cost_change = 0.0
        for group in range(groups):
            gained = 0
            for column in range(starts[group], starts[group + 1]):
                gained += occupation[neighbours[site_b, column]] - occupation[neighbours[site_a, column]]
            change[group] = gained
            cost_change += weights[group] * (gained * (2.0 * excess[group] + gained))
        # Exchanges of zero cost are accepted too, so that molecules diffuse instead of freezing.
        if cost_change <= 0.0 or cost + cost_change <= limit:
            occupation[site_b] = 1
            sites[index_a], sites[index_b] = site_b, site_a
            cost += cost_change
            accepted += 1
            for group in range(groups):
                excess[group] += change[group]
        else:
            occupation[site_a] = 1
    return accepted, False
