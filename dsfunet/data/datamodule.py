"""The LightningDataModule: which planes a run trains on and is validated with, and how they are loaded."""

import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from dsfunet.data.dataset import PlaneDataset, SampleSource, start_worker
from dsfunet.data.gpu_resident import ResidentPlanes, as_made
from dsfunet.data.sampling import EachOnceSampler, EpochSampler, ResumableLoader
from dsfunet.errors import InputError


class PlaneDataModule(lightning.LightningDataModule):
    """Training and validation batches from the stores that `python -m simulate` makes, or from other sources.

    Args:
        folder: where train.zarr and validation.zarr are; not needed where both sources are given.
        batch_size: planes in a batch.
        workers: loader processes for each of the two loaders; 0 loads in the training process.
        augment: flip and turn training planes at random.
        validation_samples: use only the first so many validation planes; None uses all.
        source: training planes in place of train.zarr, such as `simulate.live.SimulatedPlanes`.
        validation_source: validation planes in place of validation.zarr.
        shards_together: shuffle shards, deal them to the processes, and shuffle planes within so many of them, so that
            few files are read at a time; None shuffles all planes.
        resident: keep all planes, training and validation, in the memory of the GPU and make batches there
            (`dsfunet.data.gpu_resident`), where `workers` are not needed; each GPU keeps all. Planes must come from
            stores.
        harder_masks: share of the training planes, 0 to 1, that wear whichever hides more, their own mask or that of a
            plane drawn at random: most of the form factor's error lies under large masks, which are rare.

    Raises:
        InputError: a number out of its range, or neither a folder nor both sources.
    """

    def __init__(
        self,
        folder: str | None = None,
        batch_size: int = 64,
        workers: int = 1,
        augment: bool = False,
        validation_samples: int | None = None,
        source: SampleSource | None = None,
        validation_source: SampleSource | None = None,
        shards_together: int | None = None,
        resident: bool = False,
        harder_masks: float = 0.0,
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("workers", workers, 0),
            ("validation_samples", validation_samples, 1),
            ("shards_together", shards_together, 1),
        ):
            if value is not None and value < least:
                raise InputError(f"{name} is {value}: expected at least {least}")
        if folder is None and (source is None or validation_source is None):
            raise InputError(
                "data has no folder: expected the folder of train.zarr and validation.zarr,"
                " or both a source and a validation_source"
            )
        if not 0 <= harder_masks <= 1:
            raise InputError(f"harder_masks is {harder_masks:g}: expected a share of 0 to 1")
        self.save_hyperparameters(ignore=["source", "validation_source"])
        self.folder = None if folder is None else Path(folder)
        self.batch_size = batch_size
        self.workers = workers
        self.augment = augment
        self.validation_samples = validation_samples
        self.source = source
        self.validation_source = validation_source
        self.shards_together = shards_together
        self.resident = resident
        self.harder_masks = harder_masks
        self.digests: dict[str, str] = {}
        """Which planes those of each split are, once they are set up."""
        self.trained_on: dict[str, Any] = {}
        """What the source of training planes says of itself, once it is set up: for checkpoints."""

    def setup(self, stage: str) -> None:
        """Open the stores a stage needs.

        Raises:
            InputError: a store is missing, incomplete, or not one.
        """
        # Dropped before they are made again: a GPU's memory may not hold them twice.
        for planes_of_before in ("shown_planes", "validation_planes"):
            self.__dict__.pop(planes_of_before, None)
        if stage == "fit":
            # The seed of the run, which `seed_everything` set.
            self.seed = torch.initial_seed() % 2**32
            self.train_planes = PlaneDataset(
                self._source("train"), self.augment, self.seed, self.harder_masks
            )
            self.digests["train"] = self.train_planes.digest
            describe = getattr(self.train_planes.source, "description", None)
            self.trained_on = {} if describe is None else describe()
            self.shown_planes = self._placed(self.train_planes, None)
        planes = PlaneDataset(self._source("validation"), augment=False)
        self.digests["validation"] = planes.digest
        self.validation_planes = self._placed(planes, self.validation_samples)

    def _placed(self, planes: PlaneDataset, count: int | None) -> Dataset[dict[str, Tensor]]:
        """The first `count` planes, on the device if they are to be resident."""
        if self.resident:
            # Lightning would recommend worker processes.
            warnings.filterwarnings("ignore", message=".*does not have many workers")
            device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
            return ResidentPlanes(planes, device, count)
        return planes if count is None else Subset(planes, range(min(count, len(planes))))

    def _source(self, split: str) -> SampleSource | Path:
        given = self.source if split == "train" else self.validation_source
        if given is not None:
            return given
        assert self.folder is not None
        return self.folder / f"{split}.zarr"

    def _loader_settings(self) -> dict[str, Any]:
        if self.resident:
            return {"collate_fn": as_made}
        return {
            "num_workers": self.workers,
            "persistent_workers": self.workers > 0,
            "pin_memory": torch.cuda.is_available(),
            # Spawned, not forked: zarr and numba keep threads, which do not survive a fork.
            "multiprocessing_context": "spawn" if self.workers > 0 else None,
            "worker_init_fn": start_worker,
        }

    def _place(self) -> dict[str, int]:
        trainer = self.trainer
        return {
            "num_replicas": trainer.world_size if trainer else 1,
            "rank": trainer.global_rank if trainer else 0,
        }

    def _batches_done(self) -> int:
        """Batches of the epoch at hand that training has done, before a stop of the run as well."""
        return self.trainer.fit_loop.batch_idx + 1 if self.trainer else 0

    def train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        """Shuffled training batches, all of one size where there are enough planes; another order every epoch."""
        planes = self.train_planes
        sampler = EpochSampler(
            len(planes),
            **self._place(),
            seed=self.seed,
            block=getattr(planes.source, "block", 1),
            blocks_together=self.shards_together,
        )
        loader = ResumableLoader(
            self.shown_planes,
            sampler=sampler,
            batch_size=self.batch_size,
            drop_last=len(sampler) >= self.batch_size,
            **self._loader_settings(),
        )
        loader.batches_done = self._batches_done
        return loader

    def val_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        """Validation batches, in order; several processes share the planes out, each plane once."""
        place, count = self._place(), len(self.validation_planes)  # type: ignore[arg-type]
        ranks = place["num_replicas"]
        return DataLoader(
            self.validation_planes,
            batch_size=self.batch_size,
            sampler=EachOnceSampler(count, **place) if ranks > 1 else None,
            **self._loader_settings(),
        )

    def test_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        """The validation planes again: species never trained on."""
        return self.val_dataloader()
