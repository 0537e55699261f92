"""The monitor of a run: speed, learning rates and memory."""

import time
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import Callback

from dsfunet.training.module import DSFUNet


def name_optimizers(trainer: lightning.Trainer) -> list[tuple[str, torch.optim.Optimizer]]:
    """Return the optimizers of a `DSFUNet` with the names of their networks; the second needs discriminators."""
    return list(zip(("generators", "discriminators"), trainer.optimizers, strict=False))


class RunMonitor(Callback):
    """Monitor of the run: speed, learning rates and, on a GPU, memory.

    Logs `samples_per_second`, the mean since the last log, over all ranks and without validation;
    `learning_rate/generators` and `learning_rate/discriminators` of the batch; and `gpu_memory_gib`, the largest memory
    used so far on this rank [GiB]. Logs every `log_every_n_steps` batches, as the losses.
    """

    def __init__(self) -> None:
        self._since = 0.0
        self._samples = 0

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start a new average."""
        self._restart()

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start a new average, to leave out the time of the validation."""
        self._restart()

    def _restart(self) -> None:
        self._since, self._samples = time.monotonic(), 0

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Count the samples, and log every `log_every_n_steps` batches."""
        self._samples += len(batch["input"]) * trainer.world_size
        assert isinstance(pl_module, DSFUNet)
        if not pl_module.losses_are_due():
            return
        for name, optimizer in name_optimizers(trainer):
            pl_module.log(f"learning_rate/{name}", optimizer.param_groups[0]["lr"])
        pl_module.log("samples_per_second", self._samples / (time.monotonic() - self._since), prog_bar=True)
        if torch.cuda.is_available():
            pl_module.log("gpu_memory_gib", torch.cuda.max_memory_allocated() / 2**30)
        self._restart()
