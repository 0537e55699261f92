"""Samples for training: planes from a store or from the simulator, augmented, masked and spread.

Worker processes import this module and nothing else of the training: without Lightning they start in seconds.
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
    """A source of planes, such as `dsfunet.data.store.Store` or `simulate.live.SimulatedPlanes`.

    A source must be picklable, because worker processes are spawned. Four attributes are optional:

    * `fresh`: True if the source makes new planes without end; `sample` then gets `epoch * len + index`, and no plane
      is used twice;
    * `mask(index)`: the mask of a plane, if that is cheaper than the whole plane;
    * `block`: number of consecutive samples that are cheaper to read together, such as those of one shard;
    * `description()`: plain values that describe the planes in a checkpoint, as `dsfunet.data.store.Store` gives.
    """

    def __len__(self) -> int:
        """Return the number of planes per epoch."""

    def sample(self, index: int) -> Sample:
        """Return plane number `index`."""

    @property
    def digest(self) -> str:
        """Digest that identifies the planes."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """The random choices for one plane in one epoch.

    Attributes:
        index: index of the plane.
        turn: symmetry applied to the plane, 0 to 7, as for `rotate_and_flip`.
        mask_turn: symmetry applied to the mask, likewise.
        other: index of the plane whose mask is used if it hides more pixels; None if the plane keeps its own mask.
    """

    index: int
    turn: int
    mask_turn: int
    other: int | None


class PlaneDataset(Dataset[dict[str, Tensor]]):
    """Samples of one source as networks take them, all float32 in spread space [-1, 1].

    A sample is `input` (2, 256, 256): the masked scattering as measured, and the mask (1 = measured); `clean`, the
    exact product of the components, `form_factor` and `short_range_order`, (1, 256, 256) each; and
    `short_range_order_floor` (1, 1, 1), the minimum of I_SRO divided by its range, which is not spread.

    With `augment`, one of the eight symmetries of the square is drawn for each plane and another one for its mask: all
    eight are planes that the simulator could have made. With `harder_masks`, a share of the planes gets the mask of a
    random plane if that mask hides more pixels.

    Indices beyond the length belong to later epochs: `epoch * len(self) + index` is plane `index` in that epoch (of a
    fresh source, a new plane). Its random choices depend on seed, epoch and index alone, and not on the worker or on
    how often a run was resumed.

    Args:
        source: a source of planes, or the path of a finished store.
        augment: flip and rotate planes at random.
        seed: seed of all random choices.
        harder_masks: share of the planes (0 to 1) for which a second mask is drawn.

    Raises:
        InputError: the store is missing, incomplete or not a store.
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

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        drawn = self.augmentation(number)
        sample = self.source.sample(number if self.fresh else drawn.index)
        turn, mask_turn, mask = drawn.turn, drawn.mask_turn, sample.mask
        if drawn.other is not None:
            mask = min(mask, self._mask(number // self.length, drawn.other), key=np.count_nonzero)
        scattering, *planes = (
            rotate_and_flip(plane, turn)
            for plane in (sample.scattering, sample.clean, sample.form_factor, sample.short_range_order)
        )
        try:
            shown = network_input(scattering, rotate_and_flip(mask, mask_turn))
        except InputError:
            # A mask that was turned, or replaced, may hide all of the scattering; the plane's own mask does not.
            if mask_turn == turn and mask is sample.mask:
                raise
            shown = network_input(scattering, rotate_and_flip(sample.mask, turn))
        # Contiguous in memory, although a turned plane is not.
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

    def augmentation(self, number: int) -> Augmentation:
        """Return the random choices for sample `number`, which depend on seed, epoch and index alone."""
        epoch, index = divmod(number, self.length)
        if self._drawn is None or self._drawn[0] != epoch:
            # Drawn for a whole epoch at once: a generator per plane would cost as much as turning the plane.
            random = np.random.default_rng([self.seed, epoch])
            turns = random.integers(8, size=(2, self.length)) * self.augment
            others = random.integers(self.length, size=self.length)
            others[random.random(self.length) >= self.harder_masks] = -1
            self._drawn = epoch, np.stack([*turns, others], axis=1)
        turn, mask_turn, other = self._drawn[1][index].tolist()
        return Augmentation(index, turn, mask_turn, other if other >= 0 else None)

    def _mask(self, epoch: int, index: int) -> npt.NDArray[np.bool_]:
        number = epoch * self.length + index if self.fresh else index
        alone = getattr(self.source, "mask", None)
        mask: npt.NDArray[np.bool_] = self.source.sample(number).mask if alone is None else alone(number)
        return mask


def start_worker(worker: int) -> None:
    """Make a worker process of a loader ignore the first signal, which the training process handles.

    A cluster signals all processes of a job, a terminal all that it runs (Ctrl-C), and training still needs planes to
    finish its batch. A second SIGTERM ends the worker, which is how Python terminates workers. Random numbers need no
    seed here. Without this function, Lightning would set its own, and import itself in each worker.
    """
    for number in (signal.SIGUSR1, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _restore_default_handler)


def _restore_default_handler(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
