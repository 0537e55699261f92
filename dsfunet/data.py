"""Batches for training: planes from shards, augmented, masked and spread."""

from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from dsfunet.errors import InputError
from dsfunet.preprocessing import network_input, spread
from dsfunet.shards import Store, open_store


class PlaneDataset(Dataset[dict[str, Tensor]]):
    """Samples of one store as networks see them, all float32 in spread space [-1, 1].

    A sample is `input` (2, 256, 256): masked scattering, mask (1 = measured); `clean`, `form_factor`,
    `short_range_order` (1, 256, 256). With `augment`, planes are flipped and turned by quarters at random, and
    masks by another such draw: all eight are planes the simulator could have made.

    Args:
        path: a finished store.
        augment: flip and turn at random.

    Raises:
        InputError: the store is missing, incomplete, or not one.
    """

    def __init__(self, path: str | Path, augment: bool) -> None:
        self.path = Path(path)
        self.augment = augment
        self.store: Store | None = open_store(path)
        self.length = len(self.store)
        self.digest = self.store.digest

    def __getstate__(self) -> dict[str, Any]:
        # Each worker opens the store for itself, lazily.
        return {**self.__dict__, "store": None}

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if self.store is None:
            self.store = open_store(self.path)
        sample = self.store.sample(index)
        planes = np.stack([sample.scattering, sample.form_factor, sample.short_range_order])
        mask = sample.mask
        if self.augment:
            # Torch's own random numbers: the loader seeds them by worker and epoch.
            turns = torch.randint(8, (2,)).tolist()
            planes, mask = _turned(planes, turns[0]), _turned(mask, turns[1])
        try:
            shown = network_input(planes[0], mask)
        except (
            InputError
        ):  # a turned mask that hides every pixel that scatters: rare, and nothing to learn from
            mask = np.ones_like(mask)
            shown = network_input(planes[0], mask)
        clean, form_factor, short_range_order = torch.from_numpy(np.ascontiguousarray(spread(planes)))[
            :, None
        ]
        return {
            "input": torch.from_numpy(np.ascontiguousarray(shown)),
            "clean": clean,
            "form_factor": form_factor,
            "short_range_order": short_range_order,
        }


def _turned(planes: npt.NDArray[Any], which: int) -> npt.NDArray[Any]:
    """One of the eight symmetries of the square, on the last two axes."""
    turned = np.rot90(planes, which % 4, axes=(-2, -1))
    return np.swapaxes(turned, -2, -1) if which >= 4 else turned


class PlaneDataModule(lightning.LightningDataModule):
    """Training and validation batches from the stores that `python -m simulate` makes.

    Args:
        folder: where train.zarr and validation.zarr are.
        batch_size: planes in a batch.
        workers: loader processes for each of the two loaders; 0 loads in the training process.
        augment: flip and turn training planes at random.
        validation_samples: use only the first so many validation planes; None uses all.
    """

    def __init__(
        self,
        folder: str,
        batch_size: int = 64,
        workers: int = 1,
        augment: bool = False,
        validation_samples: int | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.folder = Path(folder)
        self.batch_size = batch_size
        self.workers = workers
        self.augment = augment
        self.validation_samples = validation_samples

    def setup(self, stage: str) -> None:
        """Open the stores a stage needs.

        Raises:
            InputError: a store is missing, incomplete, or not one.
        """
        if stage == "fit":
            self.train_planes = PlaneDataset(self.folder / "train.zarr", self.augment)
        validation: Dataset[dict[str, Tensor]] = PlaneDataset(self.folder / "validation.zarr", augment=False)
        if self.validation_samples is not None:
            count = min(self.validation_samples, len(validation))  # type: ignore[arg-type]
            validation = torch.utils.data.Subset(validation, range(count))
        self.validation_planes = validation

    def _loader(self, planes: Dataset[dict[str, Tensor]], training: bool) -> DataLoader[dict[str, Tensor]]:
        return DataLoader(
            planes,
            batch_size=self.batch_size,
            shuffle=training,
            drop_last=training and len(planes) >= self.batch_size,  # type: ignore[arg-type]
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            pin_memory=torch.cuda.is_available(),
            # Spawned, not forked: zarr keeps threads, which do not survive a fork.
            multiprocessing_context="spawn" if self.workers > 0 else None,
        )

    def train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        """Shuffled training batches, all of one size."""
        return self._loader(self.train_planes, training=True)

    def val_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        """Validation batches, in order."""
        return self._loader(self.validation_planes, training=False)

    def test_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        """The validation planes again: species never trained on."""
        return self._loader(self.validation_planes, training=False)
