"""Batches made on the device from planes as they are stored: half floats and packed masks, a quarter of the bytes."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from dsfunet.data.dataset import Batch, PlaneDataset
from dsfunet.data.store import Store
from dsfunet.planes.preprocessing import PIXELS, spread
from dsfunet.planes.turns import rotate_and_flip


def list_pictures(store: Store) -> list[str]:
    """List the pictures of a store that a batch is made of: both components, and the scattering if it is stored."""
    return [each for each in ("form_factor", "short_range_order", "scattering") if each in store.layout]


class PackedPlanes(Dataset[Batch]):
    """Samples of a store as they are stored, with the random choices for each; `BatchMaker` makes batches of them.

    A sample is `pictures` (2 or 3, 65536), float16, linear; `mask` and `own_mask` (8192,), eight pixels a byte, the
    mask to show and that of the plane; `floors` (2,); and `turns` (2,), the symmetries of plane and mask.

    Args:
        dataset: planes of a store, with the random choices for each.
    """

    def __init__(self, dataset: PlaneDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, number: int) -> Batch:
        return {name: values[0] for name, values in self.__getitems__([number]).items()}

    def __getitems__(self, numbers: Sequence[int]) -> Batch:
        """Return a whole batch, decoded into the memory in which a worker sends it."""
        store: Any = self.dataset.source
        drawn = [self.dataset.augmentation(number) for number in numbers]
        size, names = len(drawn), len(list_pictures(store))
        batch = {
            "pictures": _allocate((size, names, PIXELS * PIXELS), torch.float16),
            "mask": _allocate((size, PIXELS * PIXELS // 8), torch.uint8),
            "own_mask": _allocate((size, PIXELS * PIXELS // 8), torch.uint8),
            "floors": torch.tensor([store.floors(each.index) for each in drawn], dtype=torch.float32),
            "turns": torch.tensor([(each.turn, each.mask_turn) for each in drawn]),
        }
        pictures, masks, own_masks = (batch[name].numpy() for name in ("pictures", "mask", "own_mask"))
        for row, each in enumerate(drawn):
            own = own_masks[row]
            store.read_into(each.index, pictures[row], own)
            masks[row] = own
            if each.other is not None:
                other = store.packed_mask(each.other).reshape(-1)
                if np.bitwise_count(other).sum() < np.bitwise_count(own).sum():
                    masks[row] = other
        return batch


def _allocate(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Return a tensor that is not initialised; in a worker process, in memory shared with the training process."""
    if get_worker_info() is None:
        return torch.empty(shape, dtype=dtype)
    size = math.prod(shape) * dtype.itemsize
    storage = torch.UntypedStorage._new_shared(size, device="cpu")  # type: ignore[no-untyped-call]
    values = torch.empty(0, dtype=dtype)
    values.set_(storage, 0, shape)  # type: ignore[call-overload]
    return values


def keep_batch(batch: Batch) -> Batch:
    """Return the batch unchanged: datasets of stores make whole batches, so a loader has nothing to collate."""
    return batch


class BatchMaker:
    """Makes batches of `PlaneDataset` on a device; they equal those of the dataset but for rounding.

    Args:
        device: device of the batches.
    """

    def __init__(self, device: torch.device) -> None:
        places = np.arange(PIXELS * PIXELS).reshape(PIXELS, PIXELS)
        sources = np.stack([rotate_and_flip(places, turn).reshape(-1) for turn in range(8)])
        self._sources = torch.from_numpy(sources).to(device)
        self._bits = torch.arange(7, -1, -1, dtype=torch.uint8, device=device)

    @torch.no_grad()
    def make(self, packed: Batch) -> Batch:
        """Return the entries of `PlaneDataset` for n planes, (n, 2, 256, 256) and so on, of packed ones.

        Args:
            packed: n samples of `PackedPlanes`, stacked, on the device.
        """
        turn, mask_turn = packed["turns"].unbind(1)
        scattering, pictures = linear_planes(packed["pictures"], packed["floors"])
        scattering, form_factor, short_range_order, clean = (
            self._turn(each, turn) for each in (scattering, *pictures)
        )
        mask = self._turn(self.unpack_masks(packed["mask"]), mask_turn)
        low, high = extremes(scattering, mask)
        # A mask that was turned, or replaced, may hide all of the scattering; the plane's own mask does not.
        own = self._turn(self.unpack_masks(packed["own_mask"]), turn)
        mask = torch.where(high > low, mask, own)
        low, high = extremes(scattering, mask)
        shown = spread(torch.where(mask, (scattering - low) / (high - low), 0.0))
        shape = (len(turn), 1, PIXELS, PIXELS)
        return {
            "input": torch.stack([shown, mask.float()], dim=1).view(len(turn), 2, PIXELS, PIXELS),
            "clean": spread(clean).view(shape),
            "form_factor": spread(form_factor).view(shape),
            "short_range_order": spread(short_range_order).view(shape),
            "short_range_order_floor": packed["floors"][:, 1].reshape(-1, 1, 1, 1),
        }

    def unpack_masks(self, packed: Tensor) -> Tensor:
        """Return masks (n, pixels), True = measured, of bytes (n, pixels / 8)."""
        return ((packed[:, :, None] >> self._bits) & 1).bool().flatten(1)

    def _turn(self, planes: Tensor, turn: Tensor) -> Tensor:
        """Return planes (n, pixels), each turned by its own symmetry."""
        return planes.gather(1, self._sources[turn])


def linear_planes(pictures: Tensor, floors: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
    """Return the measured scattering, and I_FF, I_SRO and their exact product, all linear, (n, pixels).

    Args:
        pictures: (n, 2 or 3, pixels), half floats as stored.
        floors: (n, 2), minima of both components divided by their ranges.
    """
    stored = pictures.float()
    form_factor, short_range_order = stored[:, 0], stored[:, 1]
    product = (form_factor + floors[:, :1]) * (short_range_order + floors[:, 1:])
    low, high = product.amin(1, keepdim=True), product.amax(1, keepdim=True)
    clean = (product - low) / (high - low)
    scattering = stored[:, 2] if stored.shape[1] > 2 else clean
    return scattering, (form_factor, short_range_order, clean)


def extremes(planes: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return the least and largest measured value, (n, 1) each, of planes (n, pixels); infinite if none is measured."""
    low = torch.where(mask, planes, torch.inf).amin(1, keepdim=True)
    return low, torch.where(mask, planes, -torch.inf).amax(1, keepdim=True)
