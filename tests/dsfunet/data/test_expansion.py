"""Batches made on the device of planes as they are stored equal those of the dataset."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, default_collate

from dsfunet.data.datamodule import PlaneDataModule
from dsfunet.data.dataset import PlaneDataset
from dsfunet.data.expansion import BatchMaker, PackedPlanes
from tests.dsfunet.data.test_gpu_resident import assert_same, stacked

CPU = torch.device("cpu")


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize(("augment", "harder_masks"), [(False, 0.0), (True, 0.0), (True, 0.7)])
def test_batches_are_those_of_the_dataset(
    tiny_store: Path, split: str, augment: bool, harder_masks: float
) -> None:
    dataset = PlaneDataset(tiny_store / f"{split}.zarr", augment, seed=4, harder_masks=harder_masks)
    visits = [3, 0, 3 * len(dataset) + 1, 7 * len(dataset) + 2]
    packed = PackedPlanes(dataset)
    assert len(packed) == len(dataset)
    batch = default_collate([packed[visit] for visit in visits])
    assert_same(BatchMaker(CPU).make(batch), stacked(dataset, visits))


def test_a_sample_is_sent_in_a_quarter_of_the_bytes(tiny_store: Path) -> None:
    dataset = PlaneDataset(tiny_store / "train.zarr", augment=True)
    sizes = [
        sum(each.nbytes for each in sample.values()) for sample in (PackedPlanes(dataset)[0], dataset[0])
    ]
    assert sizes[0] < 0.3e6 and sizes[0] < sizes[1] / 4


def test_a_mask_that_hides_all_scattering_is_replaced_by_the_planes_own(tiny_store: Path) -> None:
    dataset = PlaneDataset(tiny_store / "train.zarr", augment=False)
    batch = default_collate([PackedPlanes(dataset)[2]])
    batch["mask"] = torch.zeros_like(batch["mask"])
    assert_same(BatchMaker(CPU).make(batch), stacked(dataset, [2]))


@pytest.mark.parametrize("validation_samples", [None, 3])
def test_the_loaders_of_a_trainer_send_planes_as_stored(
    tiny_store: Path, validation_samples: int | None
) -> None:
    module = PlaneDataModule(str(tiny_store), 2, workers=0, validation_samples=validation_samples)
    loop = SimpleNamespace(batch_idx=-1)
    trainer: Any = SimpleNamespace(world_size=1, global_rank=0, fit_loop=loop)
    module.trainer = trainer
    module.setup("fit")
    for loader in (module.train_dataloader(), module.val_dataloader()):
        batch = next(iter(loader))
        assert batch["pictures"].dtype == torch.float16
        expanded = module.on_after_batch_transfer(batch, 0)
        assert expanded["input"].shape == (2, 2, 256, 256) and expanded["input"].dtype == torch.float32
        assert module.on_after_batch_transfer(expanded, 0) is expanded


def test_workers_prepare_as_many_batches_as_asked(tiny_store: Path) -> None:
    module = PlaneDataModule(str(tiny_store), 2, workers=1, prefetch_factor=5)
    module.setup("validate")
    loader = module.val_dataloader()
    assert isinstance(loader, DataLoader) and loader.prefetch_factor == 5
