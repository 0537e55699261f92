"""Slow and simple references for the short-range-order parts of the simulator."""

from itertools import product

import numpy as np
import numpy.typing as npt

_WORD = 1 << 64


def reference_alphas(occupation: npt.NDArray[np.int8], reach: int = 5) -> npt.NDArray[np.float64]:
    """Count Warren-Cowley parameters: P_v^{AB} is the share of A that have B at v (equation 4)."""
    edge = 2 * reach + 1
    alphas = np.empty((edge, edge, edge))
    share_b = 1.0 - occupation.mean()
    for vector in product(range(-reach, reach + 1), repeat=3):
        at_vector = np.roll(occupation, [-step for step in vector], axis=(0, 1, 2))
        pair_probability = np.sum((occupation == 1) & (at_vector == 0)) / np.sum(occupation == 1)
        alphas[tuple(step + reach for step in vector)] = 1.0 - pair_probability / share_b
    return alphas


class ReferenceSplitMix64:
    """SplitMix64 (Steele, Lea & Flood 2014) with Python's unlimited integers."""

    def __init__(self, seed: int) -> None:
        """Start from a seed below 2^64."""
        self.state = seed

    def draw_below(self, bound: int) -> int:
        """Return the next integer in [0, bound): the scaled upper half of the next word."""
        self.state = (self.state + 0x9E3779B97F4A7C15) % _WORD
        mixed = self.state
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 % _WORD
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB % _WORD
        return ((mixed ^ (mixed >> 31)) >> 32) * bound >> 32


def reference_pairs(
    occupation: npt.NDArray[np.int8], vectors: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Count the AA pairs (k,) along each of the vectors (k, 3) of a periodic lattice."""
    wide = occupation.astype(np.int64)
    return np.array([np.sum(wide * np.roll(wide, vector, axis=(0, 1, 2))) for vector in vectors.tolist()])


def reference_order(
    n: int,
    count_a: int,
    vectors: npt.NDArray[np.int64],
    wanted_pairs: npt.NDArray[np.float64],
    slack_pairs: float,
    max_attempts: int,
    seed: int,
) -> tuple[npt.NDArray[np.int8], bool]:
    """Run the swaps of `simulate.correlations.monte_carlo_kernel`, counting all pairs at each attempt."""
    random = ReferenceSplitMix64(seed)
    sites = list(range(n**3))
    for last in range(n**3 - 1, 0, -1):
        other = random.draw_below(last + 1)
        sites[last], sites[other] = sites[other], sites[last]
    occupation = np.zeros(n**3, dtype=np.int8)
    occupation[sites[:count_a]] = 1
    for _ in range(max_attempts):
        before = reference_pairs(occupation.reshape(n, n, n), vectors) - wanted_pairs
        if np.all(np.abs(before) < slack_pairs):
            return occupation, True
        index_a = random.draw_below(count_a)
        index_b = count_a + random.draw_below(n**3 - count_a)
        swapped = occupation.copy()
        swapped[sites[index_a]], swapped[sites[index_b]] = 0, 1
        after = reference_pairs(swapped.reshape(n, n, n), vectors) - wanted_pairs
        if np.sum(after**2) <= np.sum(before**2):
            occupation = swapped
            sites[index_a], sites[index_b] = sites[index_b], sites[index_a]
    return occupation, False


def reference_intensity(
    alphas: npt.NDArray[np.float64], q_fractional: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """I_SRO (equation 3) at points (points, 3) in reciprocal-lattice units, term by term."""
    intensity = np.zeros(len(q_fractional))
    for vector in product(range(-5, 6), repeat=3):
        index = tuple(step + 5 for step in vector)
        intensity += alphas[index] * np.cos(2.0 * np.pi * q_fractional @ np.array(vector))
    return intensity
