"""Manual optimisation by hand, once: steps, micro-batches, several ranks, losses that are not finite, logging."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import torch
from lightning.pytorch.strategies import DDPStrategy, ParallelStrategy
from torch import Tensor, distributed

from dsfunet.data.dataset import Batch
from dsfunet.errors import DivergedError, InputError


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
        self._batch: Batch = {}
        self._losses: dict[str, Tensor] = {}
        self._step_losses: dict[str, Tensor] = {}
        self._seed = 0

    def setup(self, stage: str) -> None:
        """Look at the strategy, before it wraps the module.

        Raises:
            InputError: it is none that leaves whole networks on every rank, or the precision is float16.
        """
        strategy = self.trainer.strategy
        if getattr(self.trainer.precision_plugin, "scaler", None) is not None:
            raise InputError(
                f"trainer.precision is {self.trainer.precision}: expected bf16-mixed or 32-true, which need no scaling"
            )
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

    def on_fit_end(self) -> None:
        """Give torch the run's seed again, which each batch replaced: who trains once more starts from it."""
        torch.manual_seed(self._seed)

    def start_batch(self, batch: Batch) -> None:
        """Seed the batch's random numbers and forget the losses of the last."""
        self._batch = batch
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

        Raises:
            DivergedError: a loss or a gradient is not finite, on this rank or another; no weight has moved by it.
        """
        with self.toggled_optimizer(optimizer):
            optimizer.zero_grad()
            self._step_losses = {}
            yield
            parameters = [each for group in optimizer.param_groups for each in group["params"]]
            gradients = [each.grad for each in parameters if each.grad is not None]
            # Before clipping: the norm that counts is that of the whole batch's gradients.
            loss = self._averaged(gradients, torch.stack(list(self._step_losses.values())).sum())
            norm = torch.nn.utils.get_total_norm(gradients)
            # Averages are the same on every rank, so all stop together or none.
            if not torch.isfinite(norm + loss):
                values = {name: float(each) for name, each in self._step_losses.items()}
                raise DivergedError(self.batches_done, values, float(norm), self._batch)
            if clip is not None:
                # Not by Lightning's, which refuses fused optimizers under bf16-mixed; there is no scaler here.
                torch.nn.utils.clip_grads_with_norm_(parameters, clip, norm)
            optimizer.step()
            self._losses |= self._step_losses

    def descend(self, losses: dict[str, Tensor]) -> None:
        """Gather the gradients of the losses of one micro-batch."""
        loss = torch.stack(list(losses.values())).sum() / self.micro_batches
        with self._without_exchange():
            self.manual_backward(loss)
        for name, each in losses.items():
            share = each.detach() / self.micro_batches
            self._step_losses[name] = self._step_losses[name] + share if name in self._step_losses else share

    @torch.no_grad()
    def _averaged(self, gradients: list[Tensor], loss: Tensor) -> Tensor:
        """Every gradient's mean over ranks, in place, and that of a loss, in one message.

        Ranks have batches of one size, so the means are those of the whole batch.
        """
        if self.trainer.world_size == 1:
            return loss
        message = torch.cat([*(each.reshape(-1) for each in gradients), loss.reshape(1)])
        distributed.all_reduce(message)
        message /= self.trainer.world_size
        sizes = [each.numel() for each in gradients]
        *means, loss = torch.split(message, [*sizes, 1])
        torch._foreach_copy_(
            gradients, [mean.view(each.shape) for mean, each in zip(means, gradients, strict=True)]
        )
        return loss[0]

    def _without_exchange(self) -> AbstractContextManager[Any]:
        strategy = self.trainer.strategy
        return strategy.block_backward_sync() if isinstance(strategy, DDPStrategy) else nullcontext()

    def losses_are_due(self) -> bool:
        """Whether this batch, just finished, is one to be logged."""
        every: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]  # set by its connector
        return every > 0 and self.batches_done % every == 0

    def finish_batch(self) -> None:
        """Count the batch, and log its losses, the mean over ranks, if it is one to be logged."""
        self.batches_done += 1
        self.batches_seen += 1
        if not self.losses_are_due():
            return
        losses = torch.stack(list(self._losses.values()))
        means = self.trainer.strategy.reduce(losses, reduce_op="mean")
        for name, loss in zip(self._losses, means, strict=True):
            self.log(f"train/{name}", loss, prog_bar="l1" in name)
        self.log("batches_seen", float(self.batches_done))
