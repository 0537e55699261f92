"""Planes made in memory equal those in a store of the same recipe, bit for bit."""

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import simulate.live
from dsfunet.data.datamodule import PlaneDataModule
from dsfunet.data.layout import layout_with
from dsfunet.data.sample import Sample
from dsfunet.data.store import Store, open_store
from dsfunet.errors import InputError
from simulate.artefacts.degradation import SignalRecipe
from simulate.live import SimulatedPlanes, read_recipe
from simulate.recipe import Recipe
from simulate.stores.writer import simulate as make_stores

PICTURES = [field.name for field in dataclasses.fields(Sample)]


def write_recipe(recipe: Recipe, path: Path) -> str:
    path.write_text(yaml.safe_dump(recipe.as_plain()), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def recipe_file(tiny_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_recipe(tiny_recipe, tmp_path_factory.mktemp("recipe") / "tiny.yaml")


@pytest.fixture(scope="module")
def planes(recipe_file: str) -> SimulatedPlanes:
    return SimulatedPlanes(recipe_file, progress=False)


def assert_same_samples(first: Sample, second: Sample) -> None:
    for name in PICTURES:
        ours, theirs = getattr(first, name), getattr(second, name)
        assert np.asarray(ours).dtype == np.asarray(theirs).dtype
        assert np.array_equal(ours, theirs), name


def assert_same_as_store(source: SimulatedPlanes, store: Store) -> None:
    assert len(source) == len(store)
    stored = {name: store.metadata(name) for name in store.layout}
    for index in np.random.default_rng(0).permutation(len(store)).tolist():
        arrays = source.arrays(index)
        assert set(arrays) == set(stored)
        for name, values in arrays.items():
            assert values.dtype == stored[name].dtype and np.array_equal(values, stored[name][index]), name
        assert_same_samples(source.sample(index), store.sample(index))


@pytest.mark.parametrize("split", ["train", "validation"])
def test_samples_are_those_of_the_store(recipe_file: str, tiny_store: Path, split: Any) -> None:
    source = SimulatedPlanes(recipe_file, split, progress=False)
    assert_same_as_store(source, open_store(tiny_store / f"{split}.zarr"))


def test_degraded_planes_and_several_a_crystal(tiny_recipe: Recipe, tmp_path: Path) -> None:
    signal = SignalRecipe(share_background=0.5, share_bragg=0.5, share_counts=0.5)
    recipe = dataclasses.replace(
        tiny_recipe,
        planes_per_crystal=3,
        signal=signal,
        samples=dataclasses.replace(tiny_recipe.samples, train=7, validation=0),
    )
    store = open_store(make_stores(recipe, tmp_path, workers=1, progress=False)["train"])
    assert recipe.optional_arrays == ("scattering",)
    source = SimulatedPlanes(write_recipe(recipe, tmp_path / "recipe.yaml"), progress=False)
    assert source.block == 3
    assert_same_as_store(source, store)


def test_fresh_planes_never_come_again(recipe_file: str, planes: SimulatedPlanes) -> None:
    seen = {planes.sample(index).form_factor.tobytes() for index in range(30)}
    assert len(seen) == 30
    # The next epochs' planes are those of a recipe of more samples.
    fewer = SimulatedPlanes(recipe_file, samples=5, progress=False)
    assert len(fewer) == 5 and fewer.digest != planes.digest
    assert_same_samples(fewer.sample(17), planes.sample(17))
    with pytest.raises(IndexError):
        SimulatedPlanes(recipe_file, samples=5, fresh=False, progress=False).sample(5)


def test_the_same_planes_wherever_they_are_made(planes: SimulatedPlanes, monkeypatch: Any) -> None:
    expected = planes.sample(13)
    content = pickle.dumps(planes)

    def not_again(*arguments: Any) -> None:
        raise AssertionError("the Monte Carlo sets travel")

    monkeypatch.setattr(simulate.live, "load_correlation_sets", not_again)
    copy = pickle.loads(content)
    assert copy.digest == planes.digest
    assert_same_samples(copy.sample(13), expected)


def test_the_digest_says_which_planes_they_are(tiny_recipe: Recipe, recipe_file: str, tmp_path: Path) -> None:
    other = write_recipe(dataclasses.replace(tiny_recipe, seed=12), tmp_path / "other.yaml")
    digests = {
        SimulatedPlanes(recipe_file).digest,
        SimulatedPlanes(recipe_file, "validation").digest,
        SimulatedPlanes(recipe_file, fresh=False).digest,
        SimulatedPlanes(other).digest,
    }
    assert len(digests) == 4
    assert SimulatedPlanes(recipe_file).digest in digests


def test_monte_carlo_sets_can_be_kept(
    recipe_file: str, planes: SimulatedPlanes, tmp_path: Path, monkeypatch: Any
) -> None:
    folder = tmp_path / "sets"
    SimulatedPlanes(recipe_file, sets_folder=str(folder), progress=False).population()
    assert len(list(folder.glob("correlations-*.npz"))) == 1

    def not_again(*arguments: Any, **settings: Any) -> None:
        raise AssertionError("they are there")

    monkeypatch.setattr("simulate.stores.correlation_cache.draw_monte_carlo_sets", not_again)
    again = SimulatedPlanes(recipe_file, sets_folder=str(folder), progress=False)
    assert_same_samples(again.sample(4), planes.sample(4))


def test_only_the_last_crystals_are_kept(tiny_recipe: Recipe, tmp_path: Path, monkeypatch: Any) -> None:
    recipe = dataclasses.replace(tiny_recipe, planes_per_crystal=2, monte_carlo_share=0.0)
    monkeypatch.setattr(simulate.live, "_CRYSTALS_KEPT", 2)
    source = SimulatedPlanes(write_recipe(recipe, tmp_path / "recipe.yaml"), progress=False)
    drawn: list[int] = []
    draw = source._draw
    monkeypatch.setattr(source, "_draw", lambda crystal: drawn.append(crystal) or draw(crystal))
    for index in (0, 1, 2, 0, 4, 1, 3):
        source.sample(index)
    # 1 was used less recently than 0 when 2 came.
    assert drawn == [0, 1, 2, 1]


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_training_without_any_file(recipe_file: str, tiny_store: Path, workers: int) -> None:
    torch.manual_seed(0)
    module = PlaneDataModule(
        batch_size=4,
        workers=workers,
        augment=True,
        source=SimulatedPlanes(recipe_file, progress=False),
        validation_source=SimulatedPlanes(recipe_file, "validation", fresh=False, progress=False),
    )
    from_files = PlaneDataModule(str(tiny_store), 4, workers=0, augment=True)
    for each in (module, from_files):
        each.setup("fit")
    loaders = module.train_dataloader(), from_files.train_dataloader()
    for epoch in range(2):
        for loader in loaders:
            loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        for live, stored in zip(*loaders, strict=True):
            same = [torch.equal(live[name], stored[name]) for name in stored]
            # In the first epoch the store's planes; after that, planes that no store of the recipe holds.
            assert all(same) if epoch == 0 else not any(same)
    for live, stored in zip(module.val_dataloader(), from_files.val_dataloader(), strict=True):
        assert all(torch.equal(live[name], stored[name]) for name in stored)


# --- what is refused


def test_a_recipe_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none.yaml: no such file; expected a recipe such as configs"):
        SimulatedPlanes(str(tmp_path / "none.yaml"))
    for content in ("nonsense: 3\n", "samples: 5\n", "[", "seed: 1\n"):
        (tmp_path / "wrong.yaml").write_text(content)
        with pytest.raises(InputError, match=r"wrong.yaml: not a valid recipe of the simulator \("):
            read_recipe(tmp_path / "wrong.yaml")
    (tmp_path / "wrong.yaml").write_text("samples: {train: 3, validation: 0}\nmonte_carlo_share: 2\n")
    with pytest.raises(InputError, match=r"monte_carlo_share is 2.0; expected a share from 0 to 1"):
        read_recipe(tmp_path / "wrong.yaml")


def test_settings_without_sense(recipe_file: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the number of train samples per epoch is 0; expected at least 1"):
        SimulatedPlanes(recipe_file, samples=0)
    with pytest.raises(InputError, match="split is 'test'; expected train or validation"):
        SimulatedPlanes(recipe_file, "test")  # type: ignore[arg-type]
    (tmp_path / "some.yaml").write_text("samples: {train: 3, validation: 0}\n")
    with pytest.raises(
        InputError, match="the number of validation samples per epoch is 0; expected at least 1"
    ):
        SimulatedPlanes(str(tmp_path / "some.yaml"), "validation")
    (tmp_path / "some.yaml").write_text(
        "samples: {train: 0, validation: 3}\nmonte_carlo_sets: {train: 0, validation: 5}\n"
    )
    with pytest.raises(InputError, match=r"monte_carlo_sets\.train is 0 and monte_carlo_share is 0.5"):
        SimulatedPlanes(str(tmp_path / "some.yaml"), samples=5)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="expected a folder for the Monte Carlo sets"):
        SimulatedPlanes(recipe_file, sets_folder=str(tmp_path / "file" / "sets"), progress=False).population()


def test_a_configuration_names_a_source(recipe_file: str, tmp_path: Path) -> None:
    from jsonargparse import ArgumentParser  # type: ignore[attr-defined]

    settings = {
        "class_path": "simulate.live.SimulatedPlanes",
        "init_args": {"recipe": recipe_file, "samples": 6},
    }
    (tmp_path / "data.yaml").write_text(yaml.safe_dump({"source": settings, "folder": str(tmp_path)}))
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(PlaneDataModule)
    module = PlaneDataModule(**vars(parser.instantiate(parser.parse_path(tmp_path / "data.yaml"))))
    assert isinstance(module.source, SimulatedPlanes) and len(module.source) == 6
    assert module.source.arrays(0).keys() == layout_with(()).keys()
