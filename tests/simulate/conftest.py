"""A recipe that takes a second, its store from an undisturbed run, and a function that reads a whole folder."""

from collections.abc import Callable
from pathlib import Path

import pytest

from simulate.recipe import Counts, Recipe
from simulate.stores.writer import simulate

Content = dict[str, bytes | None]


def content(folder: Path) -> Content:
    """Return every file below a folder, including hidden ones, by its relative path; folders are None."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture(scope="session")
def every_byte() -> Callable[[Path], Content]:
    """A function that reads all files of a folder, to compare it with another."""
    return content


@pytest.fixture(scope="session")
def oscillators() -> Recipe:
    """Six planes in three shards, with oscillators only, so that no Monte Carlo run is needed."""
    return Recipe(samples=Counts(6, 0), seed=3, samples_per_shard=2, monte_carlo_share=0.0)


@pytest.fixture(scope="session")
def undisturbed(oscillators: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the store of `oscillators`, made by one run without interruption. Do not write to it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    simulate(oscillators, folder, workers=1, progress=False)
    return folder
