"""What a training run does beside training: learning rate by schedule, throughput, pictures for the dashboard."""

import math
import time
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import WandbLogger

from dsfunet.errors import InputError
from dsfunet.module import DSFUNet
from dsfunet.preprocessing import COMPONENTS
from dsfunet.stepping import Batch


class CosineSchedule(Callback):
    """Learning rates of all optimizers: linear warm-up, then half a cosine down to `final_share` of the maximum.

    The way along the cosine is the share of batches done or, where a budget of time is given, the share of the
    budget spent, and training stops when that is spent: the way to use a machine lent by the hour to its end.
    The time already spent is kept in checkpoints.

    Args:
        warmup_batches: batches of linear warm-up.
        final_share: learning rate at the end, as a share of the maximum.
        budget_minutes: training time [minutes], validation included; None counts batches instead.
    """

    def __init__(
        self, warmup_batches: int = 100, final_share: float = 0.01, budget_minutes: float | None = None
    ) -> None:
        if budget_minutes is not None and budget_minutes <= 0:
            raise InputError(
                f"budget_minutes is {budget_minutes}: expected more than 0, or null for no budget"
            )
        self.warmup_batches = warmup_batches
        self.final_share = final_share
        self.budget_minutes = budget_minutes
        self._spent_seconds = 0.0
        self._last_tick: float | None = None

    def state_dict(self) -> dict[str, Any]:
        """Time spent so far [s]."""
        return {"spent_seconds": self._spent_seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the time spent before an interruption."""
        self._spent_seconds = float(state_dict["spent_seconds"])

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start the clock."""
        self._last_tick = time.monotonic()

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Set every learning rate for this batch."""
        now = time.monotonic()
        assert self._last_tick is not None
        self._spent_seconds += now - self._last_tick
        self._last_tick = now
        assert isinstance(pl_module, DSFUNet)
        seen = pl_module.batches_done
        progress = self._progress(trainer, seen)
        factor = min(1.0, (seen + 1) / max(1, self.warmup_batches)) * self.factor(progress)
        for optimizer in trainer.optimizers:
            for group in optimizer.param_groups:
                group.setdefault("maximum_lr", group["lr"])
                group["lr"] = factor * group["maximum_lr"]
        pl_module.log("learning_rate", trainer.optimizers[0].param_groups[0]["lr"])
        if self.budget_minutes is not None and progress >= 1:
            trainer.should_stop = True

    def factor(self, progress: float) -> float:
        """The cosine's factor on the learning rate, from 1 at `progress` 0 to `final_share` at 1."""
        return self.final_share + (1 - self.final_share) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    def _progress(self, trainer: lightning.Trainer, seen: int) -> float:
        if self.budget_minutes is not None:
            return self._spent_seconds / (60 * self.budget_minutes)
        if trainer.max_epochs is None or trainer.max_epochs < 0:
            return 0.0
        return seen / max(1, trainer.max_epochs * int(trainer.num_training_batches))


class Throughput(Callback):
    """Logs training samples a second, and on a GPU the most memory taken [GiB], averaged over `every` batches."""

    def __init__(self, every: int = 50) -> None:
        self.every = every
        self._since = 0.0
        self._samples = 0

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start a new average, so that the time of a validation is not counted."""
        self._since, self._samples = time.monotonic(), 0

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Count, and log every so often."""
        self._samples += len(batch["input"]) * trainer.world_size
        if (batch_idx + 1) % self.every == 0:
            pl_module.log(
                "samples_per_second", self._samples / (time.monotonic() - self._since), prog_bar=True
            )
            if torch.cuda.is_available():
                pl_module.log("gpu_memory_gib", torch.cuda.max_memory_allocated() / 2**30)
            self._since, self._samples = time.monotonic(), 0


class PlanePictures(Callback):
    """Sends pictures of the first validation planes to W&B: input, then truth, output, difference of each component.

    Does nothing with loggers that cannot show pictures.

    Args:
        planes: how many planes to draw.
    """

    def __init__(self, planes: int = 4) -> None:
        self.planes = planes

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Draw the first batch."""
        loggers = [logger for logger in trainer.loggers if isinstance(logger, WandbLogger)]
        if batch_idx or trainer.sanity_checking or not loggers:
            return
        assert isinstance(pl_module, DSFUNet)
        strips = component_strips(pl_module, {name: each[: self.planes] for name, each in batch.items()})
        for logger in loggers:
            logger.log_image("planes", [strip.numpy() for strip in strips])


@torch.no_grad()
def component_strips(module: DSFUNet, batch: Batch) -> torch.Tensor:
    """One strip of seven panels a plane, in [0, 1], shape (n, h, 7 w), on the CPU.

    Input, then for form factor and short-range order: truth, output, and difference (grey where there is none).
    """
    panels = [(batch["input"][:, :1] + 1) / 2]
    for name, output in zip(COMPONENTS, module(batch["input"]), strict=True):
        panels += [(batch[name] + 1) / 2, (output + 1) / 2, (output - batch[name] + 2) / 4]
    return torch.cat(panels, dim=-1)[:, 0].float().cpu()
