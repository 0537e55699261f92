"""Monte Carlo sets depend on their seed alone and record targets and results."""

import numpy as np
import pytest

from dsfunet.errors import InputError
from simulate.correlations.draw import draw_monte_carlo_set, draw_monte_carlo_sets
from simulate.correlations.monte_carlo import MonteCarloRecipe


def test_sets_depend_on_seed_and_index_alone() -> None:
    """Set j is the same for any number of workers and sets, and equal to the set made alone."""
    recipe = MonteCarloRecipe(lattice_sites=12, tolerance=0.02, max_sweeps=20)
    one = draw_monte_carlo_sets(5, 42, recipe, workers=1, progress=False)
    three = draw_monte_carlo_sets(9, 42, recipe, workers=3, progress=False)
    for name, values in one.items():
        np.testing.assert_array_equal(values, three[name][:5])
    alone = draw_monte_carlo_set(np.random.SeedSequence(42, spawn_key=(3,)), recipe)
    np.testing.assert_array_equal(one["alphas"][3], alone.alphas)
    assert one["m_a"][3] == alone.m_a
    assert not np.array_equal(one["alphas"], draw_monte_carlo_sets(5, 43, recipe, progress=False)["alphas"])


def test_sets_are_the_ones_they_have_always_been() -> None:
    """Numbers from before symmetric sets were added: without them no draw and no swap has changed."""
    recipe = MonteCarloRecipe(lattice_sites=12, tolerance=0.02, max_sweeps=20)
    sets = draw_monte_carlo_sets(3, 42, recipe, progress=False)
    sites = 12**3
    assert (sets["m_a"] * sites).round().tolist() == [1440, 819, 271]
    shares = sets["m_a"][:, None]
    # [120], [4-33] and [005] in AA pairs.
    some = sets["alphas"][:, [6, 9, 5], [7, 2, 5], [5, 8, 10]]
    pairs = sites * (shares**2 + some * shares * (1 - shares))
    assert pairs.round(6).tolist() == [[1292, 1212, 1222], [381, 390, 417], [38, 35, 39]]
    drawn = draw_monte_carlo_set(np.random.SeedSequence(42, spawn_key=(3,)), recipe)
    assert drawn.lattices == ("orthogonal", "hexagonal")


def test_sets_say_what_they_asked_for_and_got() -> None:
    """`converged` compares targets with results, and m_A corresponds to a whole number of molecules."""
    recipe = MonteCarloRecipe(lattice_sites=16, tolerance=0.01, max_sweeps=5)
    sets = draw_monte_carlo_sets(40, 1, recipe, workers=2, progress=False)
    assert {name: values.shape for name, values in sets.items()} == {
        "alphas": (40, 11, 11, 11),
        "m_a": (40,),
        "kind": (40,),
        "converged": (40,),
        "targets": (40, 3),
        "achieved": (40, 3),
    }
    assert set(sets["kind"].tolist()) == {"monte_carlo"}
    misfit = np.abs(sets["achieved"] - sets["targets"]).max(axis=1)
    np.testing.assert_array_equal(sets["converged"], misfit < recipe.tolerance)
    assert 0 < sets["converged"].sum() < 40
    np.testing.assert_array_equal(sets["achieved"][:, 1], sets["alphas"][:, 5, 6, 5])
    np.testing.assert_allclose(sets["m_a"] * 16**3, np.rint(sets["m_a"] * 16**3), rtol=0, atol=1e-9)
    assert sets["m_a"].min() >= 0.1 - 16**-3
    assert sets["m_a"].max() <= 0.9 + 16**-3


@pytest.mark.parametrize(("count", "workers"), [(0, 1), (1, 0)])
def test_sets_need_a_count_and_a_worker(count: int, workers: int) -> None:
    """A count or a number of workers of 0 is not silently raised to 1."""
    with pytest.raises(InputError, match="at least 1"):
        draw_monte_carlo_sets(count, 0, MonteCarloRecipe(), workers, progress=False)
