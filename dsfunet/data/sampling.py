"""Which planes each process sees in which order, and how a stopped run finds its place in that order again.

All samplers are DistributedSamplers, also on one process: Lightning leaves those alone and tells them the epoch.
"""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler

from dsfunet.errors import InputError


class EpochSampler(DistributedSampler[int]):
    """Shuffled from seed and epoch, the same number on every rank; it also tells the dataset which epoch it is.

    Yields `epoch * planes + index`. Without `blocks_together` that is torch's own order: any plane anywhere. With it,
    blocks of neighbouring planes (shards, crystals) are shuffled and dealt to the ranks, a run of whole blocks
    each but for the ends, and planes are shuffled within so many blocks: a rank reads few files at a time, and
    mostly its own. Where the planes do not come out even, the first few of the epoch are repeated at its end.

    Args:
        planes: planes an epoch.
        num_replicas: ranks.
        rank: which of them this is.
        seed: of the order, the same on all ranks.
        block: neighbouring planes in a block; the last may have fewer.
        blocks_together: blocks that are shuffled into each other; None shuffles all planes.
    """

    def __init__(
        self,
        planes: int,
        num_replicas: int = 1,
        rank: int = 0,
        seed: int = 0,
        block: int = 1,
        blocks_together: int | None = None,
    ) -> None:
        super().__init__(range(planes), num_replicas=num_replicas, rank=rank, seed=seed)  # type: ignore[arg-type]  # only its length is used
        self.planes = planes
        self.block = block
        self.blocks_together = blocks_together
        self.start = 0
        """Planes of this rank's share of the epoch that were seen before a stop and are left out."""

    def __iter__(self) -> Iterator[int]:
        order = list(super().__iter__()) if self.blocks_together is None else self._blockwise()
        return (self.epoch * self.planes + index for index in order[self.start :])

    def _blockwise(self) -> list[int]:
        assert self.blocks_together is not None
        blocks = np.random.default_rng([self.seed, self.epoch]).permutation(-(-self.planes // self.block))
        starts = blocks * self.block
        order = np.concatenate([np.arange(each, min(each + self.block, self.planes)) for each in starts])
        # Cut, not dealt block by block: a short last shard would leave one rank waiting for the others.
        padded = np.resize(order, self.total_size)
        share = padded[self.rank * self.num_samples : (self.rank + 1) * self.num_samples].copy()
        rng = np.random.default_rng([self.seed, self.epoch, self.rank])
        window = self.block * self.blocks_together
        for first in range(0, len(share), window):
            rng.shuffle(share[first : first + window])
        return [int(index) for index in share]


class EachOnceSampler(DistributedSampler[int]):
    """Rank r of W takes planes r, r + W, r + 2 W ...: over all ranks every plane once, none twice.

    Raises:
        InputError: there are fewer planes than ranks.
    """

    def __init__(self, planes: int, num_replicas: int = 1, rank: int = 0) -> None:
        if planes < num_replicas:
            raise InputError(
                f"{planes} validation planes for {num_replicas} processes: expected one each at least"
            )
        super().__init__(range(planes), num_replicas=num_replicas, rank=rank, shuffle=False)  # type: ignore[arg-type]
        self.indices = range(rank, planes, num_replicas)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)

    def __len__(self) -> int:
        return len(self.indices)


class ResumableLoader(DataLoader[dict[str, Tensor]]):
    """Batches of an `EpochSampler`, from the first that this epoch has not trained on yet.

    `batches_done` says how many that are, asked when the first batch of an epoch is wanted. Lightning restores that
    number and the epoch from a checkpoint, so there is one account of where a run is, kept by who trains:
    what workers fetched ahead does not count. Nothing is sampled before: Lightning makes its first
    iterator before it tells the sampler the epoch, and workers would fetch ahead from another epoch's order.
    """

    batches_done: Callable[[], int] = staticmethod(lambda: 0)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:  # type: ignore[override]  # a generator, begun when asked
        if isinstance(self.sampler, EpochSampler):
            assert self.batch_size is not None
            self.sampler.start = self.batches_done() * self.batch_size
        yield from super().__iter__()

    def _order(self) -> dict[str, Any]:
        order: dict[str, Any] = {"batch_size": self.batch_size}
        if isinstance(self.sampler, EpochSampler):
            names = ("planes", "num_replicas", "seed", "block", "blocks_together")
            order |= {name: getattr(self.sampler, name) for name in names}
        return order

    def state_dict(self) -> dict[str, Any]:
        """What decides which planes batch number so-and-so of an epoch holds; Lightning puts it in checkpoints."""
        return self._order()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Warn where the rest of the epoch will not be the planes left over.

        Lightning calls this in runs that go on in the middle of an epoch.
        """
        for name, value in self._order().items():
            if name in state_dict and state_dict[name] != value:
                warnings.warn(
                    f"the run goes on in the middle of an epoch with {name} {value}, and was stopped with"
                    f" {state_dict[name]}: until the epoch ends some planes are shown twice and some not at all",
                    stacklevel=2,
                )
