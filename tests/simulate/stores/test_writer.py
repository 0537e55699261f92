"""Stores are the same for any number of workers and after a kill, and never mix two recipes."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import zarr

import simulate.stores.correlation_cache
import simulate.stores.writer
from dsfunet import __version__
from dsfunet.data.layout import LAYOUT
from dsfunet.data.manifests import MANIFEST_FOLDER
from dsfunet.data.store import open_store
from dsfunet.errors import InputError
from simulate.correlations.monte_carlo import MonteCarloRecipe
from simulate.crystals.draw import Population, build_population
from simulate.crystals.planes import draw_sample
from simulate.recipe import Counts, Recipe

TRAIN = 6
RECIPE = Recipe(
    samples=Counts(TRAIN, 0),
    seed=3,
    samples_per_shard=2,
    monte_carlo_sets=Counts(2, 0),
    monte_carlo=MonteCarloRecipe(lattice_sites=11, tolerance=0.04),
)
# Nothing but oscillators: no Monte Carlo has to run.
OSCILLATORS = Recipe(samples=Counts(2, 0), seed=3, samples_per_shard=2, monte_carlo_share=0.0)


def make(recipe: Recipe, out: Path, workers: int = 1) -> Path:
    """The training store of a recipe."""
    return simulate.stores.writer.simulate(recipe, out, workers=workers, progress=False)["train"]


def content(path: Path) -> dict[str, npt.NDArray[Any]]:
    """All arrays of a store."""
    store = open_store(path)
    return {name: store.metadata(name) for name in LAYOUT}


def assert_same(first: Path, second: Path) -> None:
    """Check that two stores have the same planes, bit for bit."""
    for name, values in content(first).items():
        assert values.tobytes() == content(second)[name].tobytes(), name
    assert open_store(first).digest == open_store(second).digest


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The training store of RECIPE, made in this process."""
    return make(RECIPE, tmp_path_factory.mktemp("made"))


@pytest.mark.slow
def test_two_processes_make_the_same_planes_as_one(made: Path, tmp_path: Path) -> None:
    assert_same(make(RECIPE, tmp_path, workers=2), made)


@pytest.mark.slow
def test_shards_may_be_of_any_size(made: Path, tmp_path: Path) -> None:
    """Digests depend on the shards, but the planes are the same."""
    other = make(dataclasses.replace(RECIPE, samples_per_shard=4), tmp_path)
    for name, values in content(made).items():
        np.testing.assert_array_equal(content(other)[name], values, err_msg=name)


def test_another_seed_makes_other_planes(made: Path, tmp_path: Path) -> None:
    other = make(dataclasses.replace(RECIPE, seed=4, samples=Counts(2, 0)), tmp_path)
    assert open_store(other).digest != open_store(made).digest
    assert not np.array_equal(content(other)["form_factor"][0], content(made)["form_factor"][0])


def test_a_killed_run_is_finished_alike(made: Path, tmp_path: Path) -> None:
    path = make(RECIPE, tmp_path)
    (path / MANIFEST_FOLDER / "000001.json").unlink()
    for name in ("form_factor", "mask", "alphas"):
        (shard,) = (each for each in (path / name / "c" / "1").rglob("*") if each.is_file())
        shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    zarr.open_group(path, mode="r+").attrs["complete"] = False
    untouched = path / "form_factor" / "c" / "0" / "0" / "0"
    before = untouched.stat().st_mtime_ns
    with pytest.raises(InputError, match="incomplete, 2 of 3 shards written"):
        open_store(path)

    assert_same(make(RECIPE, tmp_path), made)
    assert untouched.stat().st_mtime_ns == before


def test_a_finished_store_is_left_as_it_is(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def not_again(*arguments: object) -> None:
        raise AssertionError("a finished store needs no sets and no workers")

    monkeypatch.setattr(simulate.stores.writer, "load_correlation_sets", not_again)
    monkeypatch.setattr(simulate.stores.writer, "write_shards", not_again)
    digest = open_store(made).digest
    assert make(RECIPE, made.parent) == made
    assert open_store(made).digest == digest


def test_correlations_are_made_once(tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cached,) = made.parent.glob("correlations-*.npz")
    (tmp_path / cached.name).write_bytes(cached.read_bytes())

    def not_again(*arguments: object, **named: object) -> None:
        raise AssertionError("the sets are in the cache")

    monkeypatch.setattr(simulate.stores.correlation_cache, "draw_monte_carlo_sets", not_again)
    assert_same(make(RECIPE, tmp_path), made)


def test_the_order_of_a_store_comes_from_its_correlation_sets(made: Path) -> None:
    (cached,) = made.parent.glob("correlations-*.npz")
    with np.load(cached) as sets:
        known = sets["alphas"].astype(np.float32)
    store = open_store(made)
    from_sets = store.metadata("order_kind") == store.attributes["order_kinds"].index("monte_carlo")
    assert 0 < from_sets.sum() < TRAIN
    for alphas in store.metadata("alphas")[from_sets]:
        assert any(np.array_equal(alphas, each) for each in known)


def test_a_store_holds_the_samples_that_are_drawn(tmp_path: Path) -> None:
    stored = content(make(OSCILLATORS, tmp_path))
    for index in range(2):
        for name, values in draw_sample(build_population(OSCILLATORS, "train", ()), index).items():
            np.testing.assert_array_equal(stored[name][index], values, err_msg=name)


def test_a_store_says_where_it_comes_from(made: Path) -> None:
    attributes = open_store(made).attributes
    assert attributes["recipe"] == RECIPE.as_plain()
    assert attributes["recipe_digest"] == RECIPE.digest
    assert attributes["code_version"] == __version__
    assert attributes["split"] == "train"
    assert set(attributes["versions"]) == {"numpy", "numba", "gemmi", "zarr"}


def test_nothing_but_stores_and_sets_is_left_behind(made: Path) -> None:
    names = sorted(path.name for path in made.parent.iterdir())
    assert names[1:] == ["train.zarr"]
    assert names[0].startswith("correlations-")
    manifests = sorted((made / MANIFEST_FOLDER).iterdir())
    assert [path.name for path in manifests] == ["000000.json", "000001.json", "000002.json"]
    assert [json.loads(path.read_text())["samples"] for path in manifests] == [2, 2, 2]


def test_validation_shows_no_species_and_no_order_of_training(tiny_store: Path) -> None:
    train, validation = (open_store(tiny_store / f"{split}.zarr") for split in ("train", "validation"))
    names = train.attributes["species_names"]
    assert validation.attributes["species_names"] == names
    shown = [{names[number] for number in store.metadata("species").ravel()} for store in (train, validation)]
    assert not shown[0] & shown[1]

    def sets(store: Any) -> set[bytes]:
        monte_carlo = store.metadata("order_kind") == store.attributes["order_kinds"].index("monte_carlo")
        return {alphas.tobytes() for alphas in store.metadata("alphas")[monte_carlo]}

    assert sets(train)
    assert sets(validation)
    assert not sets(train) & sets(validation)


# --- what is refused


@pytest.mark.parametrize("change", [{"seed": 4}, {"samples": Counts(8, 0)}, {"samples_per_shard": 3}])
def test_another_recipe_does_not_go_into_the_same_store(made: Path, change: dict[str, Any]) -> None:
    digest = open_store(made).digest
    with pytest.raises(
        InputError, match=r"train\.zarr: this store was made with another recipe; choose another --out"
    ):
        make(dataclasses.replace(RECIPE, **change), made.parent)
    assert open_store(made).digest == digest


def test_other_molecules_do_not_go_into_the_same_store(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Population, "species_digest", "0" * 64)
    with pytest.raises(
        InputError, match=r"train\.zarr: this store was made with other species; choose another --out"
    ):
        make(RECIPE, made.parent)


@pytest.mark.parametrize("what", ["file", "folder", "array"])
def test_what_is_no_store_is_not_overwritten(what: str, tmp_path: Path) -> None:
    path = tmp_path / "train.zarr"
    if what == "file":
        path.write_text("precious")
    elif what == "folder":
        path.mkdir()
        (path / "precious").touch()
    else:
        zarr.create_array(path, shape=(3,), dtype="f4")
    before = sorted(path.rglob("*"))
    with pytest.raises(InputError, match=r"train\.zarr: exists but is not a store; move it away first$"):
        make(OSCILLATORS, tmp_path)
    assert sorted(path.rglob("*")) == before


def test_a_folder_below_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        InputError, match=r"file.below: cannot be written \(.*\); expected a folder for the stores$"
    ):
        make(OSCILLATORS, tmp_path / "file" / "below")
    with pytest.raises(InputError, match=r"file: cannot be written"):
        make(OSCILLATORS, tmp_path / "file")


def test_sets_of_which_none_converged_are_refused(tmp_path: Path) -> None:
    hopeless = MonteCarloRecipe(lattice_sites=11, tolerance=1e-9, max_sweeps=1)
    recipe = dataclasses.replace(RECIPE, monte_carlo=hopeless)
    with pytest.raises(
        InputError, match=r"^none of the 2 Monte Carlo sets met its targets; loosen monte_carlo"
    ):
        make(recipe, tmp_path)


def test_an_unknown_species_folder_is_refused(tmp_path: Path) -> None:
    recipe = dataclasses.replace(OSCILLATORS, species_folder=str(tmp_path / "none"))
    with pytest.raises(
        InputError, match=r"none: no such folder; expected one with \.xyz or \.cif files of species$"
    ):
        make(recipe, tmp_path)
