"""The learning-rate schedule of a run."""

import math
import time
from typing import Any

import lightning.pytorch as lightning
from lightning.pytorch.callbacks import Callback, Timer

from dsfunet.errors import InputError
from dsfunet.training.batch_limit import BatchLimit
from dsfunet.training.module import DSFUNet


class CosineSchedule(Callback):
    """The learning-rate schedule of all optimizers: linear warm-up, constant, then half a cosine to `final_share`.

    Progress is the share done of whatever ends the run first: `max_epochs`, `max_steps`, `max_time` or the time budget.
    Training stops when the budget is spent: this uses a machine that is lent by the hour to the end. Checkpoints keep
    the time already spent.

    Args:
        warmup_batches: number of batches of linear warm-up.
        final_share: learning rate at the end, as a share of the largest learning rate.
        budget_minutes: training time, including validation [minutes]; None sets no budget.
        hold_share: share of the run before the cosine begins, from 0 to below 1.

    Raises:
        InputError: the budget is not above 0, or hold_share is out of its range.
    """

    def __init__(
        self,
        warmup_batches: int = 100,
        final_share: float = 0.01,
        budget_minutes: float | None = None,
        hold_share: float = 0.0,
    ) -> None:
        if not 0 <= hold_share < 1:
            raise InputError(f"hold_share is {hold_share}; expected at least 0 and below 1")
        if budget_minutes is not None and budget_minutes <= 0:
            raise InputError(
                f"budget_minutes is {budget_minutes}; expected more than 0, or null for no budget"
            )
        self.warmup_batches = warmup_batches
        self.final_share = final_share
        self.budget_minutes = budget_minutes
        self.hold_share = hold_share
        self._spent_seconds = 0.0
        self._last_tick: float | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return the time spent so far [s]."""
        return {"spent_seconds": self._spent_seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the time spent before an interruption."""
        self._spent_seconds = float(state_dict["spent_seconds"])

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start the clock; stop at once if the budget is already spent."""
        self._last_tick = time.monotonic()
        if self.budget_minutes is not None and self._spent_seconds >= 60 * self.budget_minutes:
            trainer.should_stop = True

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Set all learning rates for this batch."""
        now = time.monotonic()
        assert self._last_tick is not None
        self._spent_seconds += now - self._last_tick
        self._last_tick = now
        assert isinstance(pl_module, DSFUNet)
        batches_done = pl_module.batches_done
        progress = self._progress(trainer, batches_done)
        if trainer.world_size > 1 and (self.budget_minutes is not None or _find_timer(trainer) is not None):
            # All ranks use the first one's clock; with their own clocks they would not stop at the same batch.
            progress, spent = trainer.strategy.broadcast((progress, self._budget_spent()))
        else:
            spent = self._budget_spent()
        factor = min(1.0, (batches_done + 1) / max(1, self.warmup_batches)) * self.factor(progress)
        for optimizer in trainer.optimizers:
            for group in optimizer.param_groups:
                group.setdefault("maximum_lr", group["lr"])
                group["lr"] = factor * group["maximum_lr"]
        pl_module.log("share_done", min(progress, 1.0), prog_bar=True)
        if spent >= 1:
            trainer.should_stop = True

    def factor(self, progress: float) -> float:
        """Return the factor on the learning rate at a `progress` from 0 (factor 1) to 1 (factor `final_share`)."""
        descent = min(1.0, max(0.0, progress - self.hold_share) / (1 - self.hold_share))
        return self.final_share + (1 - self.final_share) * 0.5 * (1 + math.cos(math.pi * descent))

    def _budget_spent(self) -> float:
        """Return the share of the time budget that is spent; 0 without a budget."""
        return 0.0 if self.budget_minutes is None else self._spent_seconds / (60 * self.budget_minutes)

    def _progress(self, trainer: lightning.Trainer, batches_done: int) -> float:
        """Return the largest share done of the limits of a run: at a steady speed, that of the limit that ends it."""
        shares = [self._budget_spent()]
        if trainer.max_epochs is not None and trainer.max_epochs >= 0:
            shares.append(batches_done / max(1, trainer.max_epochs * int(trainer.num_training_batches)))
        if (
            trainer.max_steps >= 0
        ):  # a trainer of one's own: in optimizer steps, of which a batch may take several
            shares.append(trainer.global_step / max(1, trainer.max_steps))
        shares += [
            batches_done / max(1, each.max_batches)
            for each in trainer.callbacks  # type: ignore[attr-defined]  # set by its connector
            if isinstance(each, BatchLimit)
        ]
        timer = _find_timer(trainer)
        if timer is not None:
            shares.append(
                timer.time_elapsed() / max(1e-9, timer.time_elapsed() + (timer.time_remaining() or 0.0))
            )
        return max(shares)


def _find_timer(trainer: lightning.Trainer) -> Timer | None:
    """Return the callback with which Lightning enforces `max_time`; None if there is none."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]  # set by its connector
        if isinstance(callback, Timer):
            return callback
    return None
