"""Planes in the memory of the GPU, where batches are made without a loader.

A GPU trains these networks on thousands of planes per second, more than loader processes deliver. Stored in half
precision, the planes fit into its memory.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch.utils.data import Dataset
from tqdm import tqdm

from dsfunet.data.dataset import Batch, PlaneDataset
from dsfunet.data.expansion import BatchMaker, extremes, linear_planes, list_pictures
from dsfunet.data.store import Store
from dsfunet.errors import InputError
from dsfunet.planes.preprocessing import PIXELS, network_input

_PLANES_PER_TRANSFER = 512
_READERS = 4  # threads: 1,700 planes/s on 16 cores; one thread per core gave 600, because of Python's lock
_MASK_BYTES = PIXELS * PIXELS // 8
_SHARE_OF_MEMORY = 0.8  # the rest is left for training


class ResidentPlanes(Dataset[Batch]):
    """The planes of a store in the memory of a device; batches equal those of `PlaneDataset` but for rounding.

    A plane takes 0.27 MB, or 0.4 MB if its scattering is stored. `__getitems__` makes a whole batch on the device, with
    the entries that `PlaneDataset` describes.

    Args:
        dataset: planes of a store, with the random choices for each.
        device: device that keeps the planes.
        planes: number of planes to keep, counted from the first; None keeps all.
        progress: show a progress bar while planes are read.

    Raises:
        InputError: the dataset is not of a store, the planes do not fit into the memory, or a plane is damaged or
            constant where it was measured.
        ValueError: `planes` is given for a dataset with harder_masks, which needs the masks of all planes.
    """

    def __init__(
        self, dataset: PlaneDataset, device: torch.device, planes: int | None = None, progress: bool = True
    ) -> None:
        store = dataset.source
        if not isinstance(store, Store):
            raise InputError(
                f"data.resident is true and the planes come from a {type(store).__name__}; expected a store of planes,"
                " or data.resident false"
            )
        self.dataset = dataset
        self.length = len(dataset) if planes is None else min(planes, len(dataset))
        if self.length < len(dataset) and dataset.harder_masks:
            raise ValueError(
                "planes is given for a dataset with harder_masks; expected None, to keep all planes"
            )
        self.names = list_pictures(store)
        pixels = PIXELS * PIXELS
        self._check_memory(device)
        self._pictures = torch.empty(self.length, len(self.names), pixels, dtype=torch.float16, device=device)
        self._masks = torch.empty(self.length, _MASK_BYTES, dtype=torch.uint8, device=device)
        self._floors = torch.empty(self.length, 2, device=device)
        self._measured = np.empty(self.length, np.int64)
        self._maker = BatchMaker(device)
        self._fill(store, progress)

    def _check_memory(self, device: torch.device) -> None:
        if device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
        elif "SC_AVPHYS_PAGES" in os.sysconf_names:
            free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        else:
            return
        needed = self.length * (len(self.names) * 2 * PIXELS * PIXELS + _MASK_BYTES)
        if needed > _SHARE_OF_MEMORY * free:
            raise InputError(
                f"{self.length} planes need {needed / 2**30:.1f} GiB and {device} has {free / 2**30:.1f} GiB of free"
                f" memory; expected at most {_SHARE_OF_MEMORY:.0%} of it, or data.resident false"
            )

    def _fill(self, store: Store, progress: bool) -> None:
        pictures = np.empty((_PLANES_PER_TRANSFER, len(self.names), PIXELS * PIXELS), np.float16)
        masks = np.empty((_PLANES_PER_TRANSFER, _MASK_BYTES), np.uint8)
        floors = np.empty((_PLANES_PER_TRANSFER, 2), np.float32)

        def read(index: int) -> None:
            place, stored = index % _PLANES_PER_TRANSFER, store.stored(index)
            for name, picture in zip(self.names, pictures[place], strict=True):
                picture[:] = getattr(stored, name).reshape(-1)
            masks[place], floors[place] = stored.packed_mask.reshape(-1), stored.floors
            self._measured[index] = int(np.bitwise_count(stored.packed_mask).sum())

        with (
            ThreadPoolExecutor(_READERS) as threads,
            tqdm(total=self.length, unit="planes", desc="loading planes", disable=not progress) as bar,
        ):
            for first in range(0, self.length, _PLANES_PER_TRANSFER):
                last = min(first + _PLANES_PER_TRANSFER, self.length)
                list(threads.map(read, range(first, last)))
                self._pictures[first:last] = torch.from_numpy(pictures[: last - first]).to(
                    self._pictures.device
                )
                self._masks[first:last] = torch.from_numpy(masks[: last - first]).to(self._masks.device)
                self._floors[first:last] = torch.from_numpy(floors[: last - first]).to(self._floors.device)
                self._check_planes(first, last)
                bar.update(last - first)

    def _check_planes(self, first: int, last: int) -> None:
        """Raise the error of `network_input` for planes that are constant where they were measured."""
        index = torch.arange(first, last, device=self._masks.device)
        scattering, _ = linear_planes(self._pictures[index], self._floors[index])
        low, high = extremes(scattering, self._maker.unpack_masks(self._masks[index]))
        for place in torch.nonzero(~(high > low)[:, 0])[:, 0].tolist():
            sample = self.dataset.source.sample(first + place)
            network_input(sample.scattering, sample.mask)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, number: int) -> Batch:
        return {name: values[0] for name, values in self.__getitems__([number]).items()}

    @torch.no_grad()
    def __getitems__(self, numbers: Sequence[int]) -> Batch:
        """Return one batch: the entries of `PlaneDataset` for n planes, (n, 2, 256, 256) and so on."""
        drawn = [self.dataset.augmentation(number) for number in numbers]
        mask_of = [
            each.index if each.other is None else self._harder(each.index, each.other) for each in drawn
        ]
        index, mask_index, *turns = torch.tensor(
            [
                [each.index for each in drawn],
                mask_of,
                [each.turn for each in drawn],
                [each.mask_turn for each in drawn],
            ],
            device=self._masks.device,
        )
        return self._maker.make(
            {
                "pictures": self._pictures[index],
                "mask": self._masks[mask_index],
                "own_mask": self._masks[index],
                "floors": self._floors[index],
                "turns": torch.stack(turns, dim=1),
            }
        )

    def _harder(self, index: int, other: int) -> int:
        return other if self._measured[other] < self._measured[index] else index


def keep_batch(batch: Batch) -> Batch:
    """Return the batch unchanged: `ResidentPlanes` makes whole batches, so a loader has nothing to collate."""
    return batch
