"""A recipe that is made in a second, its store as an undisturbed run leaves it, and every byte of a folder."""

from collections.abc import Callable
from pathlib import Path

import pytest

from simulate.recipe import Counts, Recipe
from simulate.stores.writer import simulate

Content = dict[str, bytes | None]


def content(folder: Path) -> Content:
    """Every file below a folder, hidden ones too, by its path in it; folders count as None."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture(scope="session")
def every_byte() -> Callable[[Path], Content]:
    """Reads all that is in a folder, to compare it with another."""
    return content


@pytest.fixture(scope="session")
def oscillators() -> Recipe:
    """Six planes in three shards, nothing but oscillators: no Monte Carlo has to run."""
    return Recipe(samples=Counts(6, 0), seed=3, samples_per_shard=2, monte_carlo_share=0.0)


@pytest.fixture(scope="session")
def undisturbed(oscillators: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the store of `oscillators`, made by one run that nothing stopped: not to be written to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    simulate(oscillators, folder, workers=1, progress=False)
    return folder
