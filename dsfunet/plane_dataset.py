"""Samples as networks see them: planes from a store or straight from the simulator, augmented, masked and spread.

Worker processes import this module and no more of the training: without Lightning they start in seconds.
"""

import signal
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from dsfunet.errors import InputError
from dsfunet.preprocessing import PIXELS, network_input, spread_into
from dsfunet.sample import Sample
from dsfunet.shards import open_store


class SampleSource(Protocol):
    """Where planes come from; `dsfunet.shards.Store` is one, `simulate.live.SimulatedPlanes` another.

    A source must pickle, because worker processes are spawned. Three attributes are optional. `fresh`, True where the
    planes have no end: then `sample` is asked for plane `epoch * len + index` and no plane is shown twice.
    `block`, the number of consecutive samples that are cheaper together, as those of one shard. `description()`,
    what a checkpoint says of the planes in plain values, as `dsfunet.shards.Store` gives it.
    """

    def __len__(self) -> int:
        """Planes an epoch."""

    def sample(self, index: int) -> Sample:
        """Plane number `index`."""

    @property
    def digest(self) -> str:
        """A digest that says which planes these are."""


class PlaneDataset(Dataset[dict[str, Tensor]]):
    """Samples of one source as networks see them, all float32 in spread space [-1, 1].

    A sample is `input` (2, 256, 256): masked scattering as measured, mask (1 = measured); `clean`, the exact
    product of the components, `form_factor`, `short_range_order` (1, 256, 256); and `short_range_order_floor`
    (1, 1, 1), what normalisation took away from I_SRO, which is not spread. With `augment`, planes are flipped and
    turned by quarters at random, and masks by another such draw: all eight are planes the simulator could have made.

    Indices beyond the length are later epochs' visits: `epoch * len(self) + index` is plane `index` (of a fresh
    source, a plane never seen before), turned by a draw that follows from seed, epoch and index alone, whichever
    worker makes it and however often a run resumed.

    Args:
        source: a source of planes, or the path of a finished store.
        augment: flip and turn at random.
        seed: of the turns.

    Raises:
        InputError: the store is missing, incomplete, or not one.
    """

    def __init__(self, source: SampleSource | str | Path, augment: bool, seed: int = 0) -> None:
        self.source: SampleSource = open_store(source) if isinstance(source, str | Path) else source
        self.augment = augment
        self.seed = seed
        self.length = len(self.source)
        self.digest = self.source.digest
        self.fresh = bool(getattr(self.source, "fresh", False))

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, visit: int) -> dict[str, Tensor]:
        epoch, index = divmod(visit, self.length)
        sample = self.source.sample(visit if self.fresh else index)
        turn, mask_turn = 0, 0
        if self.augment:
            turn, mask_turn = np.random.default_rng([self.seed, epoch, index]).integers(8, size=2).tolist()
        scattering, *planes = (
            turned(plane, turn)
            for plane in (sample.scattering, sample.clean, sample.form_factor, sample.short_range_order)
        )
        try:
            shown = network_input(scattering, turned(sample.mask, mask_turn))
        except InputError:
            # A mask turned by itself may hide all that scatters; the plane's own, turned with it, never does.
            if not self.augment:
                raise
            shown = network_input(scattering, turned(sample.mask, turn))
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


def turned(planes: npt.NDArray[Any], which: int) -> npt.NDArray[Any]:
    """One of the eight symmetries of the square, on the last two axes."""
    rotated = np.rot90(planes, which % 4, axes=(-2, -1))
    return np.swapaxes(rotated, -2, -1) if which >= 4 else rotated


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
