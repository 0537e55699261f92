"""Manual optimisation: optimizer steps, micro-batches, several ranks, losses that are not finite, logging."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import torch
from lightning.pytorch.strategies import DDPStrategy, ParallelStrategy
from torch import Tensor, distributed, nn

from dsfunet.data.dataset import Batch
from dsfunet.errors import DivergedError, InputError
from dsfunet.training.gradient_exchange import GradientExchange


class ManualOptimizationModule(lightning.LightningModule):
    """A LightningModule whose training step is several optimizer steps, each over the micro-batches of one batch.

    A training step calls `start_batch`; then, for each optimizer, `take_step` and within it `accumulate_gradients` for
    each part of `split`; and last `finish_batch`.

    The random numbers of a batch (the noise of dropout) depend on seed, rank and number of the batch alone, so that a
    resumed run draws the numbers that the uninterrupted run would have drawn. Losses are logged, averaged over ranks,
    every `log_every_n_steps` batches.

    With several ranks, gradients are averaged here, once before each optimizer step, and not by torch's
    DistributedDataParallel, which Lightning still wraps around the module. Its reducer expects every parameter in every
    backward pass and fails on steps that train only some of the networks. With `find_unused_parameters` it walks the
    graph each time and sends the gradients of all networks in every step, most of them zeros. Messages are sent during
    the backward pass (`dsfunet.training.gradient_exchange`). All variants of ddp work, and so does "auto".

    Args:
        micro_batches: number of equal parts into which each batch is split to save memory; gradients are accumulated
            over the parts.

    Attributes:
        batches_done: number of batches trained so far, including those before a checkpoint.

    Raises:
        InputError: fewer than one micro-batch or, in training, a strategy that is neither ddp nor that of one device.
    """

    def __init__(self, micro_batches: int = 1) -> None:
        super().__init__()
        if micro_batches < 1:
            raise InputError(f"micro_batches is {micro_batches}; expected 1 or more")
        self.automatic_optimization = False
        self.micro_batches = micro_batches
        self.register_buffer("batches_seen", torch.zeros((), dtype=torch.long))
        self.batches_seen: Tensor
        # The same number in Python: reading the buffer from a GPU in every batch would stall it.
        self.batches_done = 0
        self._batch: Batch = {}
        self._losses: dict[str, Tensor] = {}
        self._step_losses: dict[str, Tensor] = {}
        self._seed = 0
        self._parts_left = 0
        self._exchange: GradientExchange | None = None
        self._exchanges: dict[nn.Parameter, GradientExchange] = {}

    def setup(self, stage: str) -> None:
        """Check precision and strategy, before the strategy wraps the module.

        Raises:
            InputError: the strategy does not keep whole networks on every rank, or the precision is float16.
        """
        strategy = self.trainer.strategy
        if getattr(self.trainer.precision_plugin, "scaler", None) is not None:
            raise InputError(
                f"trainer.precision is {self.trainer.precision}; expected bf16-mixed or 32-true, which need no scaling"
            )
        # Exactly this class: subclasses, such as DeepSpeed's, exchange gradients in their own way.
        if isinstance(strategy, ParallelStrategy) and type(strategy) is not DDPStrategy:
            raise InputError(f"trainer.strategy is a {type(strategy).__name__}; expected ddp or auto")
        # DistributedDataParallel would broadcast the first rank's buffers in every forward pass, in validation too,
        # where ranks may have unequal numbers of batches: some would wait for ever. Our buffer is equal on all ranks.
        self._ddp_params_and_buffers_to_ignore = [name for name, _ in self.named_buffers()]

    def on_fit_start(self) -> None:
        """Restore the count of a resumed run, and read the seed of the run, which `seed_everything` set."""
        self.batches_done = int(self.batches_seen)
        self._seed = torch.initial_seed()

    def on_train_start(self) -> None:
        """Check that all ranks have the same number of batches; otherwise some would wait for the others for ever.

        Raises:
            InputError: the numbers differ.
        """
        if self.trainer.world_size > 1:
            batches = float(self.trainer.num_training_batches)
            ends = torch.tensor([batches, -batches], device=self.device)
            distributed.all_reduce(ends, op=distributed.ReduceOp.MAX)
            most, least = float(ends[0]), -float(ends[1])
            if most != least:
                raise InputError(
                    f"the processes have {least:g} to {most:g} training batches; expected equal numbers, as from a"
                    " torch DistributedSampler"
                )

    def on_fit_end(self) -> None:
        """Restore torch's seed to that of the run, for a second training in the same process."""
        torch.manual_seed(self._seed)

    def start_batch(self, batch: Batch) -> None:
        """Seed the random numbers of this batch and clear the losses of the previous one."""
        self._batch = batch
        entropy = np.random.SeedSequence([self._seed, self.global_rank, self.batches_done])
        torch.manual_seed(int(entropy.generate_state(1, np.uint64)[0]))
        self._losses = {}

    def split(self, batch: Batch) -> list[Batch]:
        """Return micro-batches of equal size, so that the mean of their losses is the loss of the batch.

        Raises:
            InputError: the size of the batch is not a multiple of `micro_batches`.
        """
        samples = len(next(iter(batch.values())))
        if samples % self.micro_batches:
            raise InputError(
                f"a batch on this process has {samples} planes; expected a multiple of micro_batches,"
                f" {self.micro_batches}"
            )
        parts = {name: values.chunk(self.micro_batches) for name, values in batch.items()}
        return [{name: each[number] for name, each in parts.items()} for number in range(self.micro_batches)]

    @contextmanager
    def take_step(self, optimizer: Any, clip: float | None = None) -> Iterator[None]:
        """Take one step of an optimizer with the gradients accumulated in the block; all other weights are frozen.

        `clip` is the largest norm of the gradients; None does not clip.

        Raises:
            DivergedError: a loss or a gradient is not finite, on this rank or another; no weight has changed by it.
        """
        with self.toggled_optimizer(optimizer):
            optimizer.zero_grad()
            self._step_losses = {}
            self._parts_left = self.micro_batches
            parameters = [each for group in optimizer.param_groups for each in group["params"]]
            self._exchange = self._find_exchange(parameters)
            yield
            gradients = [each.grad for each in parameters if each.grad is not None]
            # Averaged before clipping: the norm to clip is that of the whole batch's gradients.
            loss = self._averaged(torch.stack(list(self._step_losses.values())).sum())
            norm = torch.nn.utils.get_total_norm(gradients)
            # The averages are the same on every rank, so either all ranks stop or none.
            if not torch.isfinite(norm + loss):
                raise self._diverged(float(norm))
            if clip is not None:
                # Lightning's clipping refuses fused optimizers under bf16-mixed; there is no scaler here.
                torch.nn.utils.clip_grads_with_norm_(parameters, clip, norm)
            optimizer.step()
            self._losses |= self._step_losses

    def accumulate_gradients(self, losses: dict[str, Tensor]) -> None:
        """Add the gradients of the losses of one micro-batch."""
        loss = torch.stack(list(losses.values())).sum() / self.micro_batches
        self._parts_left -= 1
        if self._exchange is not None and self._parts_left == 0:
            self._exchange.start()
        with self._without_exchange():
            self.manual_backward(loss)
        for name, each in losses.items():
            share = each.detach() / self.micro_batches
            self._step_losses[name] = self._step_losses[name] + share if name in self._step_losses else share

    def _diverged(self, gradient_norm: float) -> DivergedError:
        losses = {name: float(each) for name, each in self._step_losses.items()}
        values = ", ".join(f"{name} {value:g}" for name, value in losses.items())
        record = {
            "batch": self._batch,
            "losses": losses,
            "gradient_norm": gradient_norm,
            "batches_done": self.batches_done,
        }
        return DivergedError(
            f"training diverged at batch {self.batches_done}: the losses on this process are {values} and the norm of"
            f" the gradients is {gradient_norm:g}; try a lower learning rate or a smaller gradient_clip",
            record,
        )

    @torch.no_grad()
    def _averaged(self, loss: Tensor) -> Tensor:
        """Wait for the averages of the gradients over ranks, which replace them, and return the average of a loss.

        All ranks have batches of the same size, so the averages are those of the whole batch.
        """
        if self.trainer.world_size == 1:
            return loss
        assert self._exchange is not None
        self._exchange.finish(self.trainer.world_size)
        loss = loss.clone()
        distributed.all_reduce(loss)
        return loss / self.trainer.world_size

    def _find_exchange(self, parameters: list[nn.Parameter]) -> GradientExchange | None:
        """Return the exchange for the parameters of one optimizer, made at its first step; None on a single rank."""
        if self.trainer.world_size == 1:
            return None
        if parameters[0] not in self._exchanges:
            self._exchanges[parameters[0]] = GradientExchange(parameters)
        return self._exchanges[parameters[0]]

    def _without_exchange(self) -> AbstractContextManager[Any]:
        strategy = self.trainer.strategy
        return strategy.block_backward_sync() if isinstance(strategy, DDPStrategy) else nullcontext()

    def losses_are_due(self) -> bool:
        """Return whether the batch that just ended is to be logged."""
        every: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]  # set by its connector
        return every > 0 and self.batches_done % every == 0

    def finish_batch(self) -> None:
        """Count the batch and, every `log_every_n_steps` batches, log its losses averaged over ranks."""
        self.batches_done += 1
        self.batches_seen += 1
        if not self.losses_are_due():
            return
        losses = torch.stack(list(self._losses.values()))
        means = self.trainer.strategy.reduce(losses, reduce_op="mean")
        for name, loss in zip(self._losses, means, strict=True):
            self.log(f"train/{name}", loss, prog_bar="l1" in name)
        self.log("batches_seen", float(self.batches_done))
