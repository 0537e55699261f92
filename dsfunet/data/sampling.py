"""Samplers that divide the planes between processes, and a loader that resumes in the middle of an epoch.

All samplers are DistributedSamplers, on one process too: Lightning does not replace those, and sets their epoch.
"""

import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import DistributedSampler

from dsfunet.data.loaders import PlaneLoader
from dsfunet.errors import InputError


class EpochSampler(DistributedSampler[int]):
    """A sampler that shuffles planes by seed and epoch, with the same number of planes on every rank.

    Yields `epoch * planes + index`, so that the dataset knows the epoch. Without `blocks_together`, all planes are
    shuffled, in torch's own order. With it, blocks of neighbouring planes (shards, crystals) are shuffled; each rank
    gets a run of them, whole but for the two ends; and planes are shuffled within groups of `blocks_together` blocks. A
    rank then reads few files at a time, and mostly files of its own. If the number of planes is not a multiple of the
    number of ranks, the first planes of the epoch are repeated at its end.

    Args:
        planes: number of planes per epoch.
        num_replicas: number of ranks.
        rank: number of this rank.
        seed: seed of the order, the same on all ranks.
        block: number of neighbouring planes in a block; the last block may have fewer.
        blocks_together: number of blocks whose planes are shuffled together; None shuffles all planes.
        fixed_shares: give each rank the same planes in every epoch, a share drawn by the seed, shuffled anew. Since
            shares are drawn at random, the order of all planes in one epoch is as random as otherwise: each batch of
            all ranks is a simple random sample without repetition. Only the division between ranks is repeated.
    """

    def __init__(
        self,
        planes: int,
        num_replicas: int = 1,
        rank: int = 0,
        seed: int = 0,
        block: int = 1,
        blocks_together: int | None = None,
        fixed_shares: bool = False,
    ) -> None:
        super().__init__(range(planes), num_replicas=num_replicas, rank=rank, seed=seed)  # type: ignore[arg-type]  # only its length is used
        self.planes = planes
        self.block = block
        self.blocks_together = blocks_together
        self.fixed_shares = fixed_shares
        self.start = 0
        """Number of planes of this rank's share that were used before the run was resumed, and are skipped."""

    def __iter__(self) -> Iterator[int]:
        if self.fixed_shares:
            order = self._shuffled_share()
        else:
            order = list(super().__iter__()) if self.blocks_together is None else self._blockwise()
        return (self.epoch * self.planes + index for index in order[self.start :])

    def share(self) -> list[int]:
        """Return the planes of this rank in every epoch, if shares are fixed, in increasing order."""
        drawn = np.random.default_rng(self.seed).permutation(self.planes)
        # The first planes of the permutation are repeated if the ranks' shares are not equal otherwise.
        return [
            int(each) for each in np.sort(np.resize(drawn, self.total_size)[self.rank :: self.num_replicas])
        ]

    def _shuffled_share(self) -> list[int]:
        return [
            int(each)
            for each in np.random.default_rng([self.seed, self.epoch, self.rank]).permutation(self.share())
        ]

    def _blockwise(self) -> list[int]:
        assert self.blocks_together is not None
        blocks = np.random.default_rng([self.seed, self.epoch]).permutation(-(-self.planes // self.block))
        starts = blocks * self.block
        order = np.concatenate([np.arange(each, min(each + self.block, self.planes)) for each in starts])
        # Cut into equal shares, not divided by blocks: with a short last shard, one rank would wait for the others.
        padded = np.resize(order, self.total_size)
        share = padded[self.rank * self.num_samples : (self.rank + 1) * self.num_samples].copy()
        rng = np.random.default_rng([self.seed, self.epoch, self.rank])
        window = self.block * self.blocks_together
        for first in range(0, len(share), window):
            rng.shuffle(share[first : first + window])
        return [int(index) for index in share]


class EachOnceSampler(DistributedSampler[int]):
    """A sampler that uses every plane exactly once: rank r of W gets planes r, r + W, r + 2 W and so on.

    Raises:
        InputError: there are fewer planes than ranks.
    """

    def __init__(self, planes: int, num_replicas: int = 1, rank: int = 0) -> None:
        if planes < num_replicas:
            raise InputError(
                f"{planes} validation planes for {num_replicas} processes; expected at least one plane per process"
            )
        super().__init__(range(planes), num_replicas=num_replicas, rank=rank, shuffle=False)  # type: ignore[arg-type]
        self.indices = range(rank, planes, num_replicas)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)

    def __len__(self) -> int:
        return len(self.indices)


class ResumableLoader(PlaneLoader[dict[str, Tensor]]):
    """A loader for an `EpochSampler` that starts with the first batch on which this epoch has not trained yet.

    `batches_done` returns the number of batches already trained in this epoch; it is called when the first batch of
    the epoch is requested. Lightning restores that number and the epoch from a checkpoint, so batches that workers
    fetched ahead do not count. Nothing is sampled earlier, because Lightning makes its first iterator before it sets
    the epoch of the sampler.
    """

    batches_done: Callable[[], int] = staticmethod(lambda: 0)
    seconds_waited = 0.0
    """Time that the training waited for batches of this loader [s]."""

    def __iter__(self) -> Iterator[dict[str, Tensor]]:  # type: ignore[override]  # a generator, which starts at the first batch
        if isinstance(self.sampler, EpochSampler):
            assert self.batch_size is not None
            self.sampler.start = self.batches_done() * self.batch_size
        batches = super().__iter__()
        while True:
            start = time.monotonic()
            batch = next(batches, None)
            self.seconds_waited += time.monotonic() - start
            if batch is None:
                return
            yield batch

    def _order(self) -> dict[str, Any]:
        order: dict[str, Any] = {"batch_size": self.batch_size}
        if isinstance(self.sampler, EpochSampler):
            names = ("planes", "num_replicas", "seed", "block", "blocks_together", "fixed_shares")
            order |= {name: getattr(self.sampler, name) for name in names}
        return order

    def state_dict(self) -> dict[str, Any]:
        """Return the settings that determine the planes of each batch; Lightning saves them in checkpoints."""
        return self._order()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Warn if the rest of the epoch will not be the planes that are left.

        Lightning calls this in runs that resume in the middle of an epoch.
        """
        for name, value in self._order().items():
            if name in state_dict and state_dict[name] != value:
                warnings.warn(
                    f"the run resumes in the middle of an epoch with {name} {value} instead of {state_dict[name]}; in"
                    " the rest of this epoch, some planes are repeated and some are left out",
                    stacklevel=2,
                )
