"""Manual optimisation by hand, once: steps, micro-batches, several ranks, losses that are not finite, logging."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import torch
from lightning.pytorch.strategies import DDPStrategy, ParallelStrategy
from torch import Tensor, distributed

from dsfunet.errors import DivergedError, InputError

Batch = dict[str, Tensor]


class SteppedModule(lightning.LightningModule):
    """A LightningModule whose training step is several optimizer steps, each over the micro-batches of one batch.

    A training step calls `start_batch`, for each optimizer `stepping` with a `descend` for each part of `split` in
    it, and `finish_batch`.

    The random numbers of a batch (the noise of dropout) follow from seed, rank and number of the batch alone, so that
    a run that was stopped and resumed draws what it would have drawn. Losses are logged, averaged over ranks, as often
    as the trainer's `log_every_n_steps` says.

    With several ranks gradients are averaged here, once before each optimizer step, and not by torch's
    DistributedDataParallel, which Lightning still wraps around the module: its reducer expects every parameter in
    every backward pass and fails on steps that train only some of the networks; told to look for unused ones, it
    walks the graph each time and sends the gradients of all networks in every step, zeros for most. The price is
    that messages do not overlap with the backward pass. So every spelling of ddp works, "auto" as well.

    Args:
        micro_batches: parts of equal size into which each batch is split, their gradients accumulated: what fits a
            small memory does what the whole batch would.

    Attributes:
        batches_done: batches trained on so far, in this run and those it goes on from.

    Raises:
        InputError: fewer than one micro-batch or, in training, a strategy that is neither ddp nor one device's.
    """

    def __init__(self, micro_batches: int = 1) -> None:
        super().__init__()
        if micro_batches < 1:
            raise InputError(f"micro_batches is {micro_batches}: expected at least 1")
        self.automatic_optimization = False
        self.micro_batches = micro_batches
        self.register_buffer("batches_seen", torch.zeros((), dtype=torch.long))
        self.batches_seen: Tensor
        # A second time as a plain number: reading the buffer from a GPU in every batch would make it wait.
        self.batches_done = 0
        self._losses: dict[str, Tensor] = {}
        self._seed = 0

    def setup(self, stage: str) -> None:
        """Look at the strategy, before it wraps the module.

        Raises:
            InputError: it is none that leaves whole networks on every rank.
        """
        strategy = self.trainer.strategy
        # Exactly that class: others, such as DeepSpeed's, derive from it and exchange gradients in their own way.
        if isinstance(strategy, ParallelStrategy) and type(strategy) is not DDPStrategy:
            raise InputError(f"trainer.strategy is a {type(strategy).__name__}: expected ddp or auto")
        # DistributedDataParallel would send its first rank's buffers around in every forward pass, those of validation
        # too, where ranks may have unequal numbers of batches: that would wait for ever. Ours is equal everywhere.
        self._ddp_params_and_buffers_to_ignore = [name for name, _ in self.named_buffers()]

    def on_fit_start(self) -> None:
        """Take up the count of a resumed run, and the seed of the run, which `seed_everything` set."""
        self.batches_done = int(self.batches_seen)
        self._seed = torch.initial_seed()

    def on_train_start(self) -> None:
        """Look whether all ranks have as many batches: one left alone would wait for the others for ever.

        Raises:
            InputError: they have not.
        """
        if self.trainer.world_size > 1:
            batches = float(self.trainer.num_training_batches)
            ends = torch.tensor([batches, -batches], device=self.device)
            distributed.all_reduce(ends, op=distributed.ReduceOp.MAX)
            most, least = float(ends[0]), -float(ends[1])
            if most != least:
                raise InputError(
                    f"the processes have {least:g} to {most:g} training batches: expected equal numbers, as a"
                    " torch DistributedSampler gives"
                )

    def start_batch(self) -> None:
        """Seed the batch's random numbers and forget the losses of the last."""
        entropy = np.random.SeedSequence([self._seed, self.global_rank, self.batches_done])
        torch.manual_seed(int(entropy.generate_state(1, np.uint64)[0]))
        self._losses = {}

    def split(self, batch: Batch) -> list[Batch]:
        """The micro-batches, of equal size, so that the mean of their losses is the loss of the batch.

        Raises:
            InputError: the batch does not split so.
        """
        samples = len(next(iter(batch.values())))
        if samples % self.micro_batches:
            raise InputError(
                f"a batch of {samples} planes on this process does not split into {self.micro_batches}"
                " micro_batches: expected a multiple"
            )
        parts = {name: values.chunk(self.micro_batches) for name, values in batch.items()}
        return [{name: each[number] for name, each in parts.items()} for number in range(self.micro_batches)]

    @contextmanager
    def stepping(self, optimizer: Any, clip: float | None = None) -> Iterator[None]:
        """One step of an optimizer by the gradients that the block gathers; all other weights are frozen in it.

        `clip` is the largest norm of the gradients; None does not clip.
        """
        with self.toggled_optimizer(optimizer):
            optimizer.zero_grad()
            yield
            # Before clipping: the norm that counts is that of the whole batch's gradients.
            self._average_gradients(optimizer)
            if clip is not None:
                self.clip_gradients(optimizer, gradient_clip_val=clip, gradient_clip_algorithm="norm")
            optimizer.step()

    def descend(self, batch: Batch, number: int, losses: dict[str, Tensor]) -> None:
        """Gather the gradients of the losses of micro-batch `number`.

        Raises:
            DivergedError: a loss is not finite, on this rank or another; no weight has moved by it.
        """
        loss = torch.stack(list(losses.values())).sum() / self.micro_batches
        finite = torch.isfinite(loss.detach()).int()
        if self.trainer.world_size > 1:
            # Together or not at all: a rank that stopped alone would leave the others waiting. Not by the strategy's
            # own reduce, which puts a barrier before each.
            distributed.all_reduce(finite, op=distributed.ReduceOp.MIN)
        if not finite:
            values = {name: float(each.detach()) for name, each in losses.items()}
            raise DivergedError(self.batches_done, values, batch)
        with self._without_exchange():
            self.manual_backward(loss)
        for name, each in losses.items():
            share = each.detach() / self.micro_batches
            self._losses[name] = self._losses[name] + share if name in self._losses else share

    @torch.no_grad()
    def _average_gradients(self, optimizer: Any) -> None:
        """Every gradient's mean over ranks, in one message: ranks have batches of one size, so it is the batch's."""
        if self.trainer.world_size == 1:
            return
        # Those that are there: on every rank the same, since all run the same networks.
        parameters = (each for group in optimizer.param_groups for each in group["params"])
        gradients = [each.grad for each in parameters if each.grad is not None]
        message = torch.cat([each.reshape(-1) for each in gradients])
        distributed.all_reduce(message)
        message /= self.trainer.world_size
        means = torch.split(message, [each.numel() for each in gradients])
        torch._foreach_copy_(
            gradients, [mean.view(each.shape) for mean, each in zip(means, gradients, strict=True)]
        )

    def _without_exchange(self) -> AbstractContextManager[Any]:
        strategy = self.trainer.strategy
        return strategy.block_backward_sync() if isinstance(strategy, DDPStrategy) else nullcontext()

    def finish_batch(self) -> None:
        """Count the batch, and log its losses, the mean over ranks, if it is one to be logged."""
        self.batches_done += 1
        self.batches_seen += 1
        every: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]  # set by its connector
        if not every or self.batches_done % every:
            return
        losses = torch.stack(list(self._losses.values()))
        means = self.trainer.strategy.reduce(losses, reduce_op="mean")
        for name, loss in zip(self._losses, means, strict=True):
            self.log(f"train/{name}", loss, prog_bar="l1" in name)
        self.log("batches_seen", float(self.batches_done))
