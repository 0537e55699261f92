"""Draw Monte Carlo sets of Warren-Cowley parameters: one, or many in parallel."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from dsfunet.errors import InputError
from simulate.correlations.monte_carlo import MonteCarloRecipe, draw_targets, order_lattice
from simulate.correlations.sets import CorrelationSet, measure_alphas, nearest_alphas
from simulate.correlations.symmetric_order import draw_symmetric_set


def draw_monte_carlo_set(seed: int | np.random.SeedSequence, recipe: MonteCarloRecipe) -> CorrelationSet:
    """Draw a concentration and targets, run the Monte Carlo, and measure all parameters.

    The same seed gives the same set.
    """
    rng = np.random.default_rng(seed)
    # Round to whole molecules before drawing the targets, so that targets at the bound stay feasible.
    total = recipe.lattice_sites**3
    count_a = min(max(round(rng.uniform(*recipe.concentration_range) * total), 1), total - 1)
    m_a = count_a / total
    if recipe.symmetric_share > 0.0 and rng.random() < recipe.symmetric_share:
        return draw_symmetric_set(rng, m_a, recipe)
    targets = draw_targets(rng, m_a, recipe)
    occupation, converged = order_lattice(m_a, targets, recipe, int(rng.integers(2**63)))
    alphas = measure_alphas(occupation)
    return CorrelationSet(alphas, m_a, "monte_carlo", converged, targets, nearest_alphas(alphas))


def draw_monte_carlo_sets(
    count: int, seed: int, recipe: MonteCarloRecipe, workers: int = 1, progress: bool = True
) -> dict[str, npt.NDArray[Any]]:
    """Draw many Monte Carlo sets. Set j depends only on `seed`, j and the recipe, not on the number of workers.

    Args:
        count: Number of sets.
        seed: Seed of all sets.
        recipe: Settings of each set.
        workers: Number of threads; the compiled swaps release the interpreter lock.
        progress: Whether to show a progress bar.

    Returns:
        `alphas` (count, 11, 11, 11), `m_a`, `kind` and `converged` (count,), `targets` and `achieved` (count, 3).

    Raises:
        InputError: `count` or `workers` is below 1.
    """
    if count < 1 or workers < 1:
        raise InputError(f"count is {count} and workers is {workers}; expected both at least 1")

    def one_set(index: int) -> CorrelationSet:
        return draw_monte_carlo_set(np.random.SeedSequence(seed, spawn_key=(index,)), recipe)

    with ThreadPoolExecutor(workers) as pool:
        sets = list(tqdm(pool.map(one_set, range(count)), total=count, unit="set", disable=not progress))
    names = ("alphas", "m_a", "kind", "converged", "targets", "achieved")
    return {name: np.array([getattr(one, name) for one in sets]) for name in names}
