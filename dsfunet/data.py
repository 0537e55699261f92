"""Batches for training: planes from shards, augmented, masked and spread."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from dsfunet.errors import InputError
from dsfunet.preprocessing import network_input, spread
from dsfunet.shards import Store, open_store


class PlaneDataset(Dataset[dict[str, Tensor]]):
    """Samples of one store as networks see them, all float32 in spread space [-1, 1].

    A sample is `input` (2, 256, 256): masked scattering as measured, mask (1 = measured); `clean`, the exact
    product of the components, `form_factor`, `short_range_order` (1, 256, 256). With `augment`, planes are flipped
    and turned by quarters at random, and masks by another such draw: all eight are planes the simulator could have
    made.

    Indices beyond the length are later epochs' visits: `epoch * len(self) + index` is plane `index`, turned by a
    draw that follows from seed, epoch and index alone, whichever worker makes it and however often a run resumed.

    Args:
        path: a finished store.
        augment: flip and turn at random.
        seed: of the turns.

    Raises:
        InputError: the store is missing, incomplete, or not one.
    """

    def __init__(self, path: str | Path, augment: bool, seed: int = 0) -> None:
        self.path = Path(path)
        self.augment = augment
        self.seed = seed
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
        epoch, index = divmod(index, self.length)
        sample = self.store.sample(index)
        planes = np.stack([sample.scattering, sample.clean, sample.form_factor, sample.short_range_order])
        mask = sample.mask
        if self.augment:
            turns = np.random.default_rng([self.seed, epoch, index]).integers(8, size=2)
            planes, mask = _turned(planes, int(turns[0])), _turned(mask, int(turns[1]))
        try:
            shown = network_input(planes[0], mask)
        except InputError:
            # A mask turned by itself may hide all that scatters; the plane's own, turned with it, never does.
            if not self.augment:
                raise
            shown = network_input(planes[0], _turned(sample.mask, int(turns[0])))
        clean, form_factor, short_range_order = torch.from_numpy(np.ascontiguousarray(spread(planes[1:])))[
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


class EpochSampler(DistributedSampler[int]):
    """Torch's sampler, shuffled from seed and epoch, that also tells the dataset which epoch it is."""

    def __init__(self, planes: PlaneDataset, **settings: Any) -> None:
        super().__init__(range(len(planes)), **settings)  # type: ignore[arg-type]  # only its length is used
        self.planes = len(planes)

    def __iter__(self) -> Iterator[int]:
        return (self.epoch * self.planes + index for index in super().__iter__())


class PlaneDataModule(lightning.LightningDataModule):
    """Training and validation batches from the stores that `python -m simulate` makes.

    Args:
        folder: where train.zarr and validation.zarr are.
        batch_size: planes in a batch.
        workers: loader processes for each of the two loaders; 0 loads in the training process.
        augment: flip and turn training planes at random.
        validation_samples: use only the first so many validation planes; None uses all.

    Raises:
        InputError: a number out of its range.
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
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("workers", workers, 0),
            ("validation_samples", validation_samples, 1),
        ):
            if value is not None and value < least:
                raise InputError(f"{name} is {value}: expected at least {least}")
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
            # The seed of the run, which `seed_everything` set.
            self.seed = torch.initial_seed() % 2**32
            self.train_planes = PlaneDataset(self.folder / "train.zarr", self.augment, self.seed)
        validation: Dataset[dict[str, Tensor]] = PlaneDataset(self.folder / "validation.zarr", augment=False)
        if self.validation_samples is not None:
            count = min(self.validation_samples, len(validation))  # type: ignore[arg-type]
            validation = torch.utils.data.Subset(validation, range(count))
        self.validation_planes = validation

    def _loader(self, planes: Dataset[dict[str, Tensor]], **settings: Any) -> DataLoader[dict[str, Tensor]]:
        return DataLoader(
            planes,
            batch_size=self.batch_size,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            pin_memory=torch.cuda.is_available(),
            # Spawned, not forked: zarr keeps threads, which do not survive a fork.
            multiprocessing_context="spawn" if self.workers > 0 else None,
            **settings,
        )

    def train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        """Shuffled training batches, all of one size where there are enough planes; another order every epoch."""
        trainer = self.trainer
        sampler = EpochSampler(
            self.train_planes,
            num_replicas=trainer.world_size if trainer else 1,
            rank=trainer.global_rank if trainer else 0,
            seed=self.seed,
        )
        return self._loader(self.train_planes, sampler=sampler, drop_last=len(sampler) >= self.batch_size)

    def val_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        """Validation batches, in order."""
        return self._loader(self.validation_planes)

    def test_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        """The validation planes again: species never trained on."""
        return self._loader(self.validation_planes)
