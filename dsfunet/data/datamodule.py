"""The LightningDataModule: the planes of a run, for training and for validation, and their loaders."""

import warnings
from typing import Any, Literal

import lightning.pytorch as lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from dsfunet.data.dataset import PlaneDataset, SampleSource, start_worker
from dsfunet.data.expansion import BatchMaker, PackedPlanes, keep_batch
from dsfunet.data.gpu_resident import ResidentPlanes
from dsfunet.data.loaders import PlaneLoader
from dsfunet.data.sampling import EachOnceSampler, EpochSampler, ResumableLoader
from dsfunet.data.store import Store, join_store, open_store
from dsfunet.errors import InputError


class PlaneDataModule(lightning.LightningDataModule):
    """Training and validation batches, from the stores that `python -m simulate` writes or from other sources.

    Args:
        folder: folder of train.zarr and validation.zarr, or its address in an object store (`s3://bucket/folder`); not
            needed if both sources are given.
        batch_size: planes per batch, on each device.
        workers: worker processes of each of the two loaders; 0 loads planes in the training process.
        prefetch_factor: number of batches that each worker prepares ahead.
        cache_folder: folder on this machine for copies of the shards of stores with an address; None uses one for
            temporary files.
        augment: flip training planes and rotate them by quarter turns at random.
        validation_samples: number of validation planes to use, counted from the first; None uses all.
        source: source of training planes instead of train.zarr, for example `simulate.live.SimulatedPlanes`.
        validation_source: source of validation planes instead of validation.zarr.
        shards_together: shuffle whole shards, divide them between the processes, and shuffle planes within groups of
            this many shards, so that few files are read at a time; None shuffles all planes.
        resident: keep all planes, training and validation, in the memory of the GPU and make batches there, without
            `workers`; they must come from stores. With true, each GPU keeps all planes; with `sharded`, each of n GPUs
            keeps one nth of them, its share in every epoch.
        harder_masks: share of the training planes (0 to 1) whose mask is replaced by that of a random plane when that
            hides more pixels; most of the form factor's error lies under large masks, which are rare.

    Raises:
        InputError: a number is out of its range, or neither a folder nor both sources are given.
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
        resident: bool | Literal["sharded"] = False,
        harder_masks: float = 0.0,
        prefetch_factor: int = 2,
        cache_folder: str | None = None,
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("workers", workers, 0),
            ("prefetch_factor", prefetch_factor, 1),
            ("validation_samples", validation_samples, 1),
            ("shards_together", shards_together, 1),
        ):
            if value is not None and value < least:
                raise InputError(f"{name} is {value}; expected {least} or more")
        if folder is None and (source is None or validation_source is None):
            raise InputError(
                "data has no folder; give the folder of train.zarr and validation.zarr, or both a source and a"
                " validation_source"
            )
        if not 0 <= harder_masks <= 1:
            raise InputError(f"harder_masks is {harder_masks:g}; expected a share from 0 to 1")
        self.save_hyperparameters(ignore=["source", "validation_source"])
        self.folder = folder
        self.cache_folder = cache_folder
        self.batch_size = batch_size
        self.workers = workers
        self.prefetch_factor = prefetch_factor
        self.augment = augment
        self.validation_samples = validation_samples
        self.source = source
        self.validation_source = validation_source
        self.shards_together = shards_together
        self.resident = resident
        self.harder_masks = harder_masks
        self._makers: dict[torch.device, BatchMaker] = {}
        self.digests: dict[str, str] = {}
        """Digest of the planes of each split, after `setup`."""
        self.trained_on: dict[str, Any] = {}
        """Description of the training planes for checkpoints, after `setup`."""

    def setup(self, stage: str) -> None:
        """Open the stores that a stage needs.

        Raises:
            InputError: a store is missing, incomplete or not a store.
        """
        # Earlier planes are deleted first: the memory of a GPU may not hold two copies.
        for name in ("placed_train_planes", "validation_planes"):
            self.__dict__.pop(name, None)
        if stage == "fit":
            # The seed of the run, which `seed_everything` set.
            self.seed = torch.initial_seed() % 2**32
            self.train_planes = PlaneDataset(
                self._source("train"), self.augment, self.seed, self.harder_masks
            )
            self.digests["train"] = self.train_planes.digest
            describe = getattr(self.train_planes.source, "description", None)
            self.trained_on = {} if describe is None else describe()
            share = self._train_sampler().share() if self.resident == "sharded" else None
            self.placed_train_planes = self._place_planes(self.train_planes, share)
        planes = PlaneDataset(self._source("validation"), augment=False)
        self.digests["validation"] = planes.digest
        self.validation_count = min(self.validation_samples or len(planes), len(planes))
        kept: int | list[int] | None = self.validation_samples
        if self.resident == "sharded":
            kept = list(EachOnceSampler(self.validation_count, **self._rank()).indices)
        self.validation_planes = self._place_planes(planes, kept)

    def _place_planes(self, planes: PlaneDataset, kept: int | list[int] | None) -> Dataset[dict[str, Tensor]]:
        """Return the first planes, all of them, or, in the memory of the device if `resident`, those listed."""
        if self.resident:
            # Lightning would advise to use worker processes.
            warnings.filterwarnings("ignore", message=".*does not have many workers")
            device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
            return ResidentPlanes(planes, device, kept)
        shown: Dataset[dict[str, Tensor]] = planes
        if self.trainer and isinstance(planes.source, Store):
            # Sent to the device as they are stored, a quarter of the bytes; `on_after_batch_transfer` expands them.
            shown = PackedPlanes(planes)
        return shown if kept is None else Subset(shown, range(self.validation_count))

    def on_after_batch_transfer(self, batch: dict[str, Tensor], dataloader_idx: int) -> dict[str, Tensor]:
        """Make the batch that networks take of planes as they are stored, on their device."""
        if "pictures" not in batch:
            return batch
        device = batch["pictures"].device
        if device not in self._makers:
            self._makers[device] = BatchMaker(device)
        return self._makers[device].make(batch)

    def _source(self, split: str) -> SampleSource:
        given = self.source if split == "train" else self.validation_source
        if given is not None:
            return given
        assert self.folder is not None
        return open_store(join_store(self.folder, split), self.cache_folder)

    def _loader_settings(self, planes: Dataset[dict[str, Tensor]]) -> dict[str, Any]:
        if self.resident:
            return {"collate_fn": keep_batch}
        packed = isinstance(planes.dataset if isinstance(planes, Subset) else planes, PackedPlanes)
        return {
            **({"collate_fn": keep_batch} if packed else {}),
            "num_workers": self.workers,
            "persistent_workers": self.workers > 0,
            "prefetch_factor": self.prefetch_factor if self.workers > 0 else None,
            "pin_memory": torch.cuda.is_available(),
            # Spawned, not forked: the threads of zarr and numba do not survive a fork.
            "multiprocessing_context": "spawn" if self.workers > 0 else None,
            "worker_init_fn": start_worker,
        }

    def _rank(self) -> dict[str, int]:
        trainer = self.trainer
        return {
            "num_replicas": trainer.world_size if trainer else 1,
            "rank": trainer.global_rank if trainer else 0,
        }

    def _batches_done(self) -> int:
        """Return the number of batches already trained in this epoch, including those before a resumed checkpoint."""
        return self.trainer.fit_loop.batch_idx + 1 if self.trainer else 0

    def _train_sampler(self) -> EpochSampler:
        return EpochSampler(
            len(self.train_planes),
            **self._rank(),
            seed=self.seed,
            block=getattr(self.train_planes.source, "block", 1),
            blocks_together=self.shards_together,
            fixed_shares=self.resident == "sharded",
        )

    def train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        """Return the loader of training batches, shuffled anew each epoch; all have one size if planes suffice."""
        sampler = self._train_sampler()
        loader = ResumableLoader(
            self.placed_train_planes,
            sampler=sampler,
            batch_size=self.batch_size,
            drop_last=len(sampler) >= self.batch_size,
            **self._loader_settings(self.placed_train_planes),
        )
        loader.batches_done = self._batches_done
        return loader

    def val_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        """Return the loader of validation batches, in order; several processes divide the planes, each plane once."""
        rank, count = self._rank(), self.validation_count
        ranks = rank["num_replicas"]
        return PlaneLoader(
            self.validation_planes,
            batch_size=self.batch_size,
            sampler=EachOnceSampler(count, **rank) if ranks > 1 else None,
            **self._loader_settings(self.validation_planes),
        )

    def test_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        """Return the loader of validation batches again: their species are not in the training planes."""
        return self.val_dataloader()
