"""Planes kept in the memory of the GPU that trains on them, where batches are made: no loader to wait for.

A network of this size takes thousands of planes a second from a GPU, which loader processes do not bring; their half
floats fit its memory.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from dsfunet.data.dataset import Batch, PlaneDataset
from dsfunet.data.store import Store
from dsfunet.errors import InputError
from dsfunet.planes.preprocessing import PIXELS, network_input, spread
from dsfunet.planes.turns import rotate_and_flip

_TOGETHER = 512  # planes on their way to the device at a time
_READERS = 4  # 1,700 planes a second on 16 cores; with a thread a core it was 600, they share Python's lock
_BYTES_A_MASK = PIXELS * PIXELS // 8
_SHARE_OF_MEMORY = 0.8  # the rest is for training


class ResidentPlanes(Dataset[Batch]):
    """The planes of a store on a device, as they are stored; batches are those of `PlaneDataset`, but for rounding.

    A plane takes 0.27 MB, 0.4 where noise is stored. `__getitems__` makes a whole batch, on the device, of the entries
    that `PlaneDataset` describes.

    Args:
        dataset: planes of a store, with what is drawn for each visit.
        device: where to keep them.
        planes: only the first so many, which wear their own masks; None keeps all.
        progress: show a bar while they are read.

    Raises:
        InputError: the dataset is of no store, the planes do not fit the device's memory, or one of them is damaged or
            all of one value where it was measured.
        ValueError: only some planes are kept of a dataset whose planes wear each other's masks.
    """

    def __init__(
        self, dataset: PlaneDataset, device: torch.device, planes: int | None = None, progress: bool = True
    ) -> None:
        store = dataset.source
        if not isinstance(store, Store):
            raise InputError(
                f"planes of a {type(store).__name__} are made anew: expected those of a store to keep on {device}, or"
                " data.resident false"
            )
        self.dataset = dataset
        self.length = len(dataset) if planes is None else min(planes, len(dataset))
        if self.length < len(dataset) and dataset.harder_masks:
            raise ValueError("only some planes are kept of a dataset with harder_masks, expected all")
        self.names = [
            each for each in ("form_factor", "short_range_order", "scattering") if each in store.layout
        ]
        pixels = PIXELS * PIXELS
        self._check_memory(device)
        self._pictures = torch.empty(self.length, len(self.names), pixels, dtype=torch.float16, device=device)
        self._masks = torch.empty(self.length, _BYTES_A_MASK, dtype=torch.uint8, device=device)
        self._floors = torch.empty(self.length, 2, device=device)
        self._measured = np.empty(self.length, np.int64)
        places = np.arange(pixels).reshape(PIXELS, PIXELS)
        sources = np.stack([rotate_and_flip(places, turn).reshape(-1) for turn in range(8)])
        self._sources = torch.from_numpy(sources).to(device)
        self._bits = torch.arange(7, -1, -1, dtype=torch.uint8, device=device)
        self._fill(store, progress)

    def _check_memory(self, device: torch.device) -> None:
        if device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
        elif "SC_AVPHYS_PAGES" in os.sysconf_names:
            free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        else:
            return
        needed = self.length * (len(self.names) * 2 * PIXELS * PIXELS + _BYTES_A_MASK)
        if needed > _SHARE_OF_MEMORY * free:
            raise InputError(
                f"{self.length} planes take {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB of memory of {device}"
                f" are free: expected at most {_SHARE_OF_MEMORY:.0%} of it; data.resident false reads them as it goes"
            )

    def _fill(self, store: Store, progress: bool) -> None:
        pictures = np.empty((_TOGETHER, len(self.names), PIXELS * PIXELS), np.float16)
        masks = np.empty((_TOGETHER, _BYTES_A_MASK), np.uint8)
        floors = np.empty((_TOGETHER, 2), np.float32)

        def read(index: int) -> None:
            place, stored = index % _TOGETHER, store.stored(index)
            for name, picture in zip(self.names, pictures[place], strict=True):
                picture[:] = getattr(stored, name).reshape(-1)
            masks[place], floors[place] = stored.packed_mask.reshape(-1), stored.floors
            self._measured[index] = int(np.bitwise_count(stored.packed_mask).sum())

        with (
            ThreadPoolExecutor(_READERS) as threads,
            tqdm(total=self.length, unit="planes", desc="to the device", disable=not progress) as bar,
        ):
            for first in range(0, self.length, _TOGETHER):
                last = min(first + _TOGETHER, self.length)
                list(threads.map(read, range(first, last)))
                self._pictures[first:last] = torch.from_numpy(pictures[: last - first]).to(
                    self._pictures.device
                )
                self._masks[first:last] = torch.from_numpy(masks[: last - first]).to(self._masks.device)
                self._floors[first:last] = torch.from_numpy(floors[: last - first]).to(self._floors.device)
                self._check_planes(first, last)
                bar.update(last - first)

    def _check_planes(self, first: int, last: int) -> None:
        """Refuse planes that no network can be shown, in the words of who shows them."""
        index = torch.arange(first, last, device=self._masks.device)
        scattering, _ = self._scattering(index)
        low, high = _extremes(scattering, self._unpacked(index))
        for place in torch.nonzero(~(high > low)[:, 0])[:, 0].tolist():
            sample = self.dataset.source.sample(first + place)
            network_input(sample.scattering, sample.mask)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, visit: int) -> Batch:
        return {name: values[0] for name, values in self.__getitems__([visit]).items()}

    @torch.no_grad()
    def __getitems__(self, visits: Sequence[int]) -> Batch:
        """One batch, as `PlaneDataset` describes its samples, with n planes in front: (n, 2, 256, 256) and so on."""
        drawn = [self.dataset.visit(visit) for visit in visits]
        worn = [each.index if each.other is None else self._harder(each.index, each.other) for each in drawn]
        index, mask_index, turn, mask_turn = torch.tensor(
            [
                [each.index for each in drawn],
                worn,
                [each.turn for each in drawn],
                [each.mask_turn for each in drawn],
            ],
            device=self._masks.device,
        )
        scattering, pictures = self._scattering(index)
        scattering, form_factor, short_range_order, clean = (
            self._turned(each, turn) for each in (scattering, *pictures)
        )
        mask = self._turned(self._unpacked(mask_index), mask_turn)
        low, high = _extremes(scattering, mask)
        # Another mask than the plane's own, turned with it, may hide all that scatters.
        own = self._turned(self._unpacked(index), turn)
        mask = torch.where(high > low, mask, own)
        low, high = _extremes(scattering, mask)
        shown = spread(torch.where(mask, (scattering - low) / (high - low), 0.0))
        shape = (len(drawn), 1, PIXELS, PIXELS)
        return {
            "input": torch.stack([shown, mask.float()], dim=1).view(len(drawn), 2, PIXELS, PIXELS),
            "clean": spread(clean).view(shape),
            "form_factor": spread(form_factor).view(shape),
            "short_range_order": spread(short_range_order).view(shape),
            "short_range_order_floor": self._floors[index, 1].view(-1, 1, 1, 1),
        }

    def _harder(self, index: int, other: int) -> int:
        return other if self._measured[other] < self._measured[index] else index

    def _scattering(self, index: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """What was measured, and I_FF, I_SRO and their exact product, linear, (n, pixels)."""
        stored = self._pictures[index].float()
        form_factor, short_range_order = stored[:, 0], stored[:, 1]
        floors = self._floors[index]
        product = (form_factor + floors[:, :1]) * (short_range_order + floors[:, 1:])
        low, high = product.amin(1, keepdim=True), product.amax(1, keepdim=True)
        clean = (product - low) / (high - low)
        scattering = stored[:, 2] if "scattering" in self.names else clean
        return scattering, (form_factor, short_range_order, clean)

    def _unpacked(self, index: Tensor) -> Tensor:
        """Masks (n, pixels), True = measured."""
        bits = (self._masks[index][:, :, None] >> self._bits) & 1
        return bits.bool().flatten(1)

    def _turned(self, planes: Tensor, turn: Tensor) -> Tensor:
        """Planes (n, pixels), each with its own turn."""
        return planes.gather(1, self._sources[turn])


def _extremes(planes: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Least and largest measured value of planes (n, pixels), (n, 1) each; infinities where nothing was measured."""
    low = torch.where(mask, planes, torch.inf).amin(1, keepdim=True)
    return low, torch.where(mask, planes, -torch.inf).amax(1, keepdim=True)


def as_made(batch: Batch) -> Batch:
    """The batch, which `ResidentPlanes` made whole: what a loader calls instead of putting samples together."""
    return batch
