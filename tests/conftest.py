"""Data shared by the tests of all three packages. It is made when needed; nothing is downloaded or checked in."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from simulate.recipe import Recipe

# The simulator is imported where it is used: tests that make no planes should not wait seconds for numba.


@pytest.fixture(scope="session")
def tiny_recipe() -> "Recipe":
    """A few full-size planes that use most options of the recipe, with small Monte Carlo lattices and B = 0."""
    from simulate.correlations.monte_carlo import MonteCarloRecipe
    from simulate.recipe import Counts, Recipe

    return Recipe(
        samples=Counts(12, 8),
        seed=11,
        samples_per_shard=5,
        monte_carlo_share=0.5,
        monte_carlo_sets=Counts(4, 4),
        monte_carlo=MonteCarloRecipe(lattice_sites=12, tolerance=0.03),
        rotated_share=0.5,
        orientation_share=0.25,
        strongest_layer_share=0.5,
        balance_groups=True,
    )


@pytest.fixture(scope="session")
def tiny_store(tiny_recipe: "Recipe", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two finished stores, train.zarr of 12 planes and validation.zarr of 8. Do not write to it."""
    from simulate.stores.writer import simulate

    folder = tmp_path_factory.mktemp("tiny_store")
    simulate(tiny_recipe, folder, workers=1, progress=False)
    return folder
