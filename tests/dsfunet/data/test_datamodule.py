"""Batches for training and validation, from stores and other sources, in one process and in several."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from dsfunet.data.datamodule import PlaneDataModule
from dsfunet.data.dataset import PlaneDataset
from dsfunet.data.loaders import stop_workers
from dsfunet.data.store import create_store, open_store
from dsfunet.errors import InputError


def data_module(folder: Path, stage: str = "fit", **settings: Any) -> PlaneDataModule:
    module = PlaneDataModule(str(folder), **{"batch_size": 5, "workers": 0, **settings})
    module.setup(stage)
    return module


def test_training_batches_are_shuffled_and_of_one_size(tiny_store: Path) -> None:
    module = data_module(tiny_store)
    stored = open_store(tiny_store / "train.zarr")
    totals = [float((2 * np.sqrt(stored.sample(i).form_factor) - 1).sum()) for i in range(12)]

    def order(number: int) -> list[list[int]]:
        loader = module.train_dataloader()
        loader.sampler.set_epoch(number)  # type: ignore[attr-defined]  # as Lightning does
        sums = [batch["form_factor"].sum(dim=(1, 2, 3)).tolist() for batch in loader]
        return [[int(np.argmin(np.abs(np.array(totals) - each))) for each in batch] for batch in sums]

    first, second = order(0), order(1)
    assert [len(batch) for batch in first] == [5, 5]
    assert first != second
    for each in ([*first[0], *first[1]], [*second[0], *second[1]]):
        assert len(set(each)) == 10 and each != sorted(each)
    assert order(0) == first
    assert order(1) == second
    module.seed += 1
    assert order(0) != first


@pytest.mark.parametrize(
    "setting", [{"batch_size": 0}, {"workers": -1}, {"validation_samples": 0}, {"prefetch_factor": 0}]
)
def test_numbers_out_of_range_are_refused(tmp_path: Path, setting: dict[str, int]) -> None:
    [(name, value)] = setting.items()
    with pytest.raises(InputError, match=f"{name} is {value}; expected . or more"):
        PlaneDataModule(str(tmp_path), **setting)  # type: ignore[arg-type]


def test_a_share_of_harder_masks_above_1_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"harder_masks is 1\.5; expected a share from 0 to 1"):
        PlaneDataModule(str(tmp_path), harder_masks=1.5)


def test_harder_masks_reach_the_training_planes_alone(tiny_store: Path) -> None:
    module = data_module(tiny_store, augment=True, harder_masks=1.0)
    assert module.train_planes.harder_masks == 1.0
    assert module.validation_planes.harder_masks == 0.0  # type: ignore[attr-defined]


def test_a_batch_larger_than_the_store_is_the_whole_store(tiny_store: Path) -> None:
    batches = list(data_module(tiny_store, batch_size=64).train_dataloader())
    assert [len(batch["input"]) for batch in batches] == [12]


def test_validation_batches_are_all_planes_in_order(tiny_store: Path) -> None:
    module = data_module(tiny_store, "validate", augment=True)
    dataset = PlaneDataset(tiny_store / "validation.zarr", augment=False)
    for loader in (module.val_dataloader(), module.test_dataloader()):
        batches = list(loader)
        assert [len(batch["input"]) for batch in batches] == [5, 3]
        for name in dataset[0]:
            joined = torch.cat([batch[name] for batch in batches])
            assert torch.equal(joined, torch.stack([dataset[index][name] for index in range(8)]))


@pytest.mark.parametrize(("asked", "given"), [(3, 3), (8, 8), (1000, 8)])
def test_part_of_the_validation_planes(tiny_store: Path, asked: int, given: int) -> None:
    module = data_module(tiny_store, "validate", validation_samples=asked)
    assert sum(len(batch["input"]) for batch in module.val_dataloader()) == given


@pytest.mark.slow
def test_worker_processes_load_the_same_planes(tiny_store: Path) -> None:
    here = next(iter(data_module(tiny_store).val_dataloader()))
    batches: Any = iter(data_module(tiny_store, workers=1).val_dataloader())
    there = next(batches)
    assert all(torch.equal(there[name], here[name]) for name in here)
    # As at the exit of a program that failed in the middle of an epoch.
    [worker] = batches._workers
    assert worker.is_alive()
    stop_workers()
    assert worker.exitcode == 0


def test_validation_needs_no_training_store(tiny_store: Path, tmp_path: Path) -> None:
    (tmp_path / "validation.zarr").symlink_to(tiny_store / "validation.zarr")
    assert len(data_module(tmp_path, "validate").val_dataloader()) == 2
    with pytest.raises(InputError, match=r"train\.zarr: no such store; make one with `python -m simulate`"):
        data_module(tmp_path, "fit")


def test_missing_and_incomplete_stores(tiny_store: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train\.zarr: no such store"):
        data_module(tmp_path)
    (tmp_path / "train.zarr").mkdir()
    with pytest.raises(InputError, match=r"train\.zarr: not a Zarr v3 store"):
        data_module(tmp_path)
    (tmp_path / "train.zarr").rmdir()
    (tmp_path / "train.zarr").symlink_to(tiny_store / "train.zarr")
    create_store(tmp_path / "validation.zarr", 4, 2, {"digest": "0"})
    with pytest.raises(InputError, match=r"validation\.zarr: incomplete, 0 of 2 shards written"):
        data_module(tmp_path)


def test_sources_take_the_place_of_stores(tiny_store: Path, tmp_path: Path) -> None:
    train, validation = (open_store(tiny_store / f"{split}.zarr") for split in ("train", "validation"))
    module = PlaneDataModule(batch_size=4, workers=0, source=train, validation_source=validation)
    module.setup("fit")
    expected = data_module(tiny_store, batch_size=4)
    for ours, theirs in (
        (module.train_dataloader(), expected.train_dataloader()),
        (module.val_dataloader(), expected.val_dataloader()),
    ):
        for batch, other in zip(ours, theirs, strict=True):
            assert all(torch.equal(batch[name], other[name]) for name in other)
    assert set(module.hparams) == {
        "folder", "batch_size", "workers", "augment", "validation_samples", "shards_together",
        "harder_masks", "resident", "prefetch_factor", "cache_folder",
    }  # fmt: skip
    # One source, and a store for the other split.
    (tmp_path / "validation.zarr").symlink_to(tiny_store / "validation.zarr")
    assert len(data_module(tmp_path, source=train).train_planes) == 12


def test_without_a_folder_both_sources_are_needed(tiny_store: Path) -> None:
    store = open_store(tiny_store / "train.zarr")
    for given in ({}, {"source": store}, {"validation_source": store}):
        with pytest.raises(
            InputError, match=r"no folder; give the folder of train\.zarr and validation\.zarr"
        ):
            PlaneDataModule(**given)  # type: ignore[arg-type]


class Rank:
    """The parts of a trainer that the data module uses, for one of several processes."""

    class fit_loop:  # noqa: N801
        batch_idx = -1

    def __init__(self, rank: int, world_size: int) -> None:
        self.global_rank = rank
        self.world_size = world_size
        self.strategy = SimpleNamespace(root_device=torch.device("cpu"))


@pytest.mark.parametrize("shards_together", [None, 1])
def test_ranks_share_planes_out(tiny_store: Path, shards_together: int | None) -> None:
    # 12 training and 7 validation planes for 2: in batches of 3 one rank would validate two, the other one.
    seen: dict[str, list[list[float]]] = {"train": [], "validation": []}
    for rank in range(2):
        module = PlaneDataModule(
            str(tiny_store), 3, workers=0, validation_samples=7, shards_together=shards_together
        )
        module.trainer = Rank(rank, 2)  # type: ignore[assignment]
        module.setup("fit")
        for split, loader in (("train", module.train_dataloader()), ("validation", module.val_dataloader())):
            made = [module.on_after_batch_transfer(batch, 0) for batch in loader]
            batches = [batch["clean"].double().sum(dim=(1, 2, 3)).tolist() for batch in made]
            # In validation, ranks may have different numbers of planes, each plane once.
            assert len(batches) == len(loader) == (2 if split == "train" or rank == 0 else 1)
            seen[split].append([each for batch in batches for each in batch])
    for split, count in (("train", 12), ("validation", 7)):
        dataset = PlaneDataset(tiny_store / f"{split}.zarr", augment=False)
        expected = [float(dataset[index]["clean"].double().sum()) for index in range(count)]
        assert sorted(seen[split][0] + seen[split][1]) == pytest.approx(sorted(expected), rel=1e-5)
