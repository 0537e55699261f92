"""The slow, simple twin of `dsfunet.physics.site_exchange`: all pairs are counted again at each attempt."""

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from tests.reference_correlations import ReferenceSplitMix64


def reference_exchange(
    occupation: npt.NDArray[np.int8],
    sites: list[int],
    neighbours: npt.NDArray[np.uint32],
    starts: list[int],
    wanted: npt.NDArray[np.float64],
    weights: npt.NDArray[np.float64],
    limit: float,
    attempts: int,
    seed: int,
) -> npt.NDArray[np.int8]:
    """Exchange A and B where the cost does not rise, or stays at or below the limit; return the occupation."""
    random, sites, count_a = ReferenceSplitMix64(seed), list(sites), int(occupation.sum())

    def cost(trial: npt.NDArray[np.int8]) -> float:
        pairs = [
            sum(int(trial[s]) * int(trial[n]) for s in range(len(trial)) for n in neighbours[s, first:last])
            / 2
            for first, last in pairwise(starts)
        ]
        return float(np.sum(weights * (np.array(pairs) - wanted) ** 2))

    before = cost(occupation)
    for _ in range(attempts):
        a = random.draw_below(count_a)
        b = count_a + random.draw_below(len(sites) - count_a)
        trial = occupation.copy()
        trial[sites[a]], trial[sites[b]] = 0, 1
        after = cost(trial)
        if after <= before or after <= limit:
            occupation, before = trial, after
            sites[a], sites[b] = sites[b], sites[a]
    return occupation
