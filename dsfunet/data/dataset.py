"""Samples as networks see them: planes from a store or straight from the simulator, augmented, masked and spread.

Worker processes import this module and no more of the training: without Lightning they start in seconds.
"""

import signal
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from dsfunet.data.sample import Sample
from dsfunet.data.store import open_store
from dsfunet.errors import InputError
from dsfunet.planes.preprocessing import PIXELS, network_input, spread_into
from dsfunet.planes.turns import rotate_and_flip

Batch = dict[str, Tensor]


class SampleSource(Protocol):
    """Where planes come from; `dsfunet.data.store.Store` is one, `simulate.live.SimulatedPlanes` another.

    A source must pickle, because worker processes are spawned. Four attributes are optional. `fresh`, True where the
    planes have no end: then `sample` is asked for plane `epoch * len + index` and no plane is shown twice.
    `mask(index)`, the mask of a plane alone where that is cheaper than all of it.
    `block`, the number of consecutive samples that are cheaper together, as those of one shard. `description()`,
    what a checkpoint says of the planes in plain values, as `dsfunet.data.store.Store` gives it.
    """

    def __len__(self) -> int:
        """Planes an epoch."""

    def sample(self, index: int) -> Sample:
        """Plane number `index`."""

    @property
    def digest(self) -> str:
        """A digest that says which planes these are."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One plane of one epoch: which it is, how it and its mask are turned, and whose mask it may wear instead.

    Attributes:
        index: of the plane.
        turn: of the plane, 0 to 7, as `rotate_and_flip` takes it.
        mask_turn: of the mask, likewise.
        other: index of the plane whose mask is worn where it hides more; None where the plane wears its own.
    """

    index: int
    turn: int
    mask_turn: int
    other: int | None


class PlaneDataset(Dataset[dict[str, Tensor]]):
    """Samples of one source as networks see them, all float32 in spread space [-1, 1].

    A sample is `input` (2, 256, 256): masked scattering as measured, mask (1 = measured); `clean`, the exact
    product of the components, `form_factor`, `short_range_order` (1, 256, 256); and `short_range_order_floor`
    (1, 1, 1), what normalisation took away from I_SRO, which is not spread. With `augment`, planes are flipped and
    turned by quarters at random, and masks by another such draw: all eight are planes the simulator could have made.
    `harder_masks` has a share of the planes wear whichever hides more, their own mask or one drawn from all.

    Indices beyond the length are later epochs' visits: `epoch * len(self) + index` is plane `index` (of a fresh
    source, a plane never seen before), turned by a draw that follows from seed, epoch and index alone, whichever
    worker makes it and however often a run resumed.

    Args:
        source: a source of planes, or the path of a finished store.
        augment: flip and turn at random.
        seed: of the turns, and of which planes wear which masks.
        harder_masks: share of the planes that are drawn a second mask to choose from.

    Raises:
        InputError: the store is missing, incomplete, or not one.
    """

    def __init__(
        self, source: SampleSource | str | Path, augment: bool, seed: int = 0, harder_masks: float = 0.0
    ) -> None:
        self.source: SampleSource = open_store(source) if isinstance(source, str | Path) else source
        self.augment = augment
        self.harder_masks = harder_masks
        self.seed = seed
        self.length = len(self.source)
        self.digest = self.source.digest
        self.fresh = bool(getattr(self.source, "fresh", False))
        self._drawn: tuple[int, npt.NDArray[np.int64]] | None = None

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, visit: int) -> dict[str, Tensor]:
        drawn = self.visit(visit)
        sample = self.source.sample(visit if self.fresh else drawn.index)
        turn, mask_turn, mask = drawn.turn, drawn.mask_turn, sample.mask
        if drawn.other is not None:
            mask = min(mask, self._mask(visit // self.length, drawn.other), key=np.count_nonzero)
        scattering, *planes = (
            rotate_and_flip(plane, turn)
            for plane in (sample.scattering, sample.clean, sample.form_factor, sample.short_range_order)
        )
        try:
            shown = network_input(scattering, rotate_and_flip(mask, mask_turn))
        except InputError:
            # Another mask than the plane's own, turned with it, may hide all that scatters.
            if mask_turn == turn and mask is sample.mask:
                raise
            shown = network_input(scattering, rotate_and_flip(sample.mask, turn))
        # Written in order, whichever way the plane is turned.
        truths = np.empty((3, 1, PIXELS, PIXELS), np.float32)
        for plane, truth in zip(planes, truths, strict=True):
            spread_into(truth[0], plane)
        clean, form_factor, short_range_order = torch.from_numpy(truths)
        return {
            "input": torch.from_numpy(shown),
            "clean": clean,
            "form_factor": form_factor,
            "short_range_order": short_range_order,
            "short_range_order_floor": torch.full((1, 1, 1), sample.short_range_order_floor),
        }

    def visit(self, visit: int) -> Visit:
        """What was drawn for one visit: it follows from seed, epoch and index alone."""
        epoch, index = divmod(visit, self.length)
        if self._drawn is None or self._drawn[0] != epoch:
            # All of an epoch together: a generator for each plane costs as much as turning it.
            random = np.random.default_rng([self.seed, epoch])
            turns = random.integers(8, size=(2, self.length)) * self.augment
            others = random.integers(self.length, size=self.length)
            others[random.random(self.length) >= self.harder_masks] = -1
            self._drawn = epoch, np.stack([*turns, others], axis=1)
        turn, mask_turn, other = self._drawn[1][index].tolist()
        return Visit(index, turn, mask_turn, other if other >= 0 else None)

    def _mask(self, epoch: int, index: int) -> npt.NDArray[np.bool_]:
        visit = epoch * self.length + index if self.fresh else index
        alone = getattr(self.source, "mask", None)
        mask: npt.NDArray[np.bool_] = self.source.sample(visit).mask if alone is None else alone(visit)
        return mask


def start_worker(worker: int) -> None:
    """What a loader's worker process does first: leave signals to the training process.

    A job that is told to end is told so in all its processes; training then wants planes to the end of its batch. The
    second SIGTERM counts: that is how Python ends workers that do not end by themselves. Random numbers need no seeds
    here, each draw has its stream; Lightning, finding no such function, would seed, and load itself into each worker.
    """
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _obey_the_next)


def _obey_the_next(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
