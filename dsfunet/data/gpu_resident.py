"""Planes in the memory of the GPU, where batches are made without a loader.

A GPU trains these networks on thousands of planes per second, more than loader processes deliver. Stored in half
precision, the planes fit into its memory.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
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
        planes: planes to keep: their number, counted from the first, or the index of each; None keeps all. The masks of
            all planes are kept where planes exchange masks (harder_masks).
        progress: show a progress bar while planes are read.

    Raises:
        InputError: the dataset is not of a store, the planes do not fit into the memory, or a plane is damaged or
            constant where it was measured.
    """

    def __init__(
        self,
        dataset: PlaneDataset,
        device: torch.device,
        planes: int | Sequence[int] | None = None,
        progress: bool = True,
    ) -> None:
        store = dataset.source
        if not isinstance(store, Store):
            raise InputError(
                f"data.resident is true and the planes come from a {type(store).__name__}; expected a store of planes,"
                " or data.resident false"
            )
        self.dataset = dataset
        every = np.arange(len(dataset))
        self.kept = (
            every[:planes] if planes is None or isinstance(planes, int) else np.array(planes, np.int64)
        )
        """Index of every plane that is kept, in its order."""
        self.length = len(self.kept)
        masked = every if dataset.harder_masks else self.kept
        self._place, self._mask_place = (np.full(len(dataset), -1) for _ in range(2))
        self._place[self.kept] = np.arange(self.length)
        self._mask_place[masked] = np.arange(len(masked))
        self.names = list_pictures(store)
        pixels = PIXELS * PIXELS
        self._check_memory(device, len(masked))
        self._pictures = torch.empty(self.length, len(self.names), pixels, dtype=torch.float16, device=device)
        self._masks = torch.empty(len(masked), _MASK_BYTES, dtype=torch.uint8, device=device)
        self._floors = torch.empty(self.length, 2, device=device)
        self._measured = np.empty(len(masked), np.int64)
        self._maker = BatchMaker(device)
        self._fill_masks(store, masked)
        self._fill(store, progress)

    def _check_memory(self, device: torch.device, masks: int) -> None:
        if device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
        elif "SC_AVPHYS_PAGES" in os.sysconf_names:
            free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        else:
            return
        needed = self.length * len(self.names) * 2 * PIXELS * PIXELS + masks * _MASK_BYTES
        if needed > _SHARE_OF_MEMORY * free:
            raise InputError(
                f"{self.length} planes need {needed / 2**30:.1f} GiB and {device} has {free / 2**30:.1f} GiB of free"
                f" memory; expected at most {_SHARE_OF_MEMORY:.0%} of it: use more GPUs with data.resident sharded, or"
                " data.resident false"
            )

    def _fill_masks(self, store: Store, masked: npt.NDArray[np.int64]) -> None:
        masks = np.empty((len(masked), _MASK_BYTES), np.uint8)

        def read(place: int) -> None:
            masks[place] = store.packed_mask(int(masked[place])).reshape(-1)

        with ThreadPoolExecutor(_READERS) as threads:
            list(threads.map(read, range(len(masked))))
        self._measured[:] = np.bitwise_count(masks).sum(axis=1)
        self._masks.copy_(torch.from_numpy(masks))

    def _fill(self, store: Store, progress: bool) -> None:
        pictures = np.empty((_PLANES_PER_TRANSFER, len(self.names), PIXELS * PIXELS), np.float16)
        floors = np.empty((_PLANES_PER_TRANSFER, 2), np.float32)

        def read(place: int) -> None:
            row, stored = place % _PLANES_PER_TRANSFER, store.stored(int(self.kept[place]))
            for name, picture in zip(self.names, pictures[row], strict=True):
                picture[:] = getattr(stored, name).reshape(-1)
            floors[row] = stored.floors

        with (
            ThreadPoolExecutor(_READERS) as threads,
            tqdm(total=self.length, unit="planes", desc="loading planes", disable=not progress) as bar,
        ):
            for first in range(0, self.length, _PLANES_PER_TRANSFER):
                last = min(first + _PLANES_PER_TRANSFER, self.length)
                list(threads.map(read, range(first, last)))
                self._pictures[first:last].copy_(torch.from_numpy(pictures[: last - first]))
                self._floors[first:last].copy_(torch.from_numpy(floors[: last - first]))
                self._check_planes(first, last)
                bar.update(last - first)

    def _check_planes(self, first: int, last: int) -> None:
        """Raise the error of `network_input` for planes that are constant where they were measured."""
        index = torch.arange(first, last, device=self._masks.device)
        scattering, _ = linear_planes(self._pictures[index], self._floors[index])
        own = torch.from_numpy(self._mask_place[self.kept[first:last]]).to(index.device)
        low, high = extremes(scattering, self._maker.unpack_masks(self._masks[own]))
        for place in torch.nonzero(~(high > low)[:, 0])[:, 0].tolist():
            sample = self.dataset.source.sample(int(self.kept[first + place]))
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
        indices = np.array([each.index for each in drawn])
        place, own, mask, *turns = torch.from_numpy(
            np.stack(
                [
                    self._place[indices],
                    self._mask_place[indices],
                    self._mask_place[mask_of],
                    [each.turn for each in drawn],
                    [each.mask_turn for each in drawn],
                ]
            )
        ).to(self._masks.device)
        return self._maker.make(
            {
                "pictures": self._pictures[place],
                "mask": self._masks[mask],
                "own_mask": self._masks[own],
                "floors": self._floors[place],
                "turns": torch.stack(turns, dim=1),
            }
        )

    def _harder(self, index: int, other: int) -> int:
        measured = self._measured[self._mask_place[[index, other]]]
        return other if measured[1] < measured[0] else index
