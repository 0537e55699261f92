"""Training that is stopped by a signal or diverges, and checkpoints that are never half written."""

import io
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback, Checkpoint, ModelCheckpoint
from torch import distributed

from dsfunet.errors import DivergedError, InputError, PassingError
from dsfunet.files import replacing


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writer of checkpoints that are complete or absent: each is written under a temporary name, synced, then renamed.

    If the disk is full or the process is killed, the previous checkpoint stays.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint.

        Raises:
            InputError: it cannot be written; a previous file at `path` is untouched.
        """
        # Serialised in memory first: torch's writer, a C++ object, crashes when the disk is full.
        serialised = io.BytesIO()
        torch.save(checkpoint, serialised)
        path = Path(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary, temporary.open("wb") as stream:
                stream.write(serialised.getbuffer())
                stream.flush()
                os.fsync(stream.fileno())
        except (OSError, PassingError) as error:
            cause = error if isinstance(error, OSError) else error.__cause__
            raise InputError(
                f"{path}: the checkpoint of {serialised.tell() / 1e6:.0f} MB cannot be written"
                f" ({getattr(cause, 'strerror', None) or cause}); the previous one is untouched"
            ) from error


def checkpoint_folder(trainer: lightning.Trainer) -> Path:
    """Return the folder for the checkpoints of a run: that of its ModelCheckpoint, or else the trainer's."""
    for checkpoints in trainer.checkpoint_callbacks:
        if isinstance(checkpoints, ModelCheckpoint) and checkpoints.dirpath:
            return Path(checkpoints.dirpath)
    return Path(trainer.default_root_dir)


def _is_at_its_end(trainer: lightning.Trainer) -> bool:
    """Return whether a run ends with the batch or epoch that just ended."""
    # At its end, an epoch is counted already. Lightning's own `done` says this too, and prints it each time.
    epochs: int = trainer.fit_loop.epoch_progress.current.processed  # type: ignore[attr-defined]
    last_epoch = trainer.max_epochs is not None and 0 <= trainer.max_epochs <= epochs
    return trainer.should_stop or last_epoch or 0 <= trainer.max_steps <= trainer.global_step


class LastCheckpoint(Checkpoint):
    """The file last.ckpt: the state of the run after its latest validation, every few minutes, and at its end.

    On SIGTERM, SIGUSR1 (SLURM's warning) or Ctrl-C the batch is finished, last.ckpt is written, and the program exits
    with 128 + the signal's number, as in a shell; a second Ctrl-C stops at once. A run resumed from last.ckpt continues
    as if it had never stopped: a validation that is due or running is finished first, with its best checkpoint. All
    ranks write and stop at the same batch, whichever of them got the signal. List this callback after ModelCheckpoint;
    Lightning calls both last.

    Args:
        every_n_minutes: time after which last.ckpt is written again, if no validation wrote it [minutes]; measured by
            the clock of the first rank.

    Raises:
        InputError: the time is not above 0.
    """

    signals = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)

    def __init__(self, every_n_minutes: float = 10.0) -> None:
        if not every_n_minutes > 0:
            raise InputError(f"every_n_minutes is {every_n_minutes:g}; expected more than 0")
        self.every_n_minutes = every_n_minutes
        self.received: int | None = None
        self._previous_handlers: dict[int, Any] = {}
        self._written_at = time.monotonic()
        self._due = False
        self._logged = False

    def on_sanity_check_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Replace Lightning's signal handlers, which save or communicate in the middle of a step."""
        self._listen()

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Do the same in a run without a sanity check; a signal since then takes effect after the first batch."""
        self._listen()
        self._written_at = time.monotonic()

    def _listen(self) -> None:
        # Python allows handlers in the main thread only.
        if not self._previous_handlers and threading.current_thread() is threading.main_thread():
            self._previous_handlers = {number: signal.signal(number, self._note) for number in self.signals}

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            if self.received is not None:
                raise KeyboardInterrupt
            print(
                "stopping after this batch; press Ctrl-C again to stop at once", file=sys.stderr, flush=True
            )
        self.received = number

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Stop here if any rank got a signal, or write last.ckpt if it is time, unless a validation is due next."""
        loop = trainer.fit_loop
        assert loop._data_fetcher is not None
        # Lightning has no public method for this. A validation that is skipped here would never run.
        last = loop.epoch_loop.batch_progress.is_last_batch
        if last and trainer.max_steps >= 0:
            # Lightning's own limit in steps: a checkpoint of the end of an epoch would lose an epoch when resumed.
            self._due = True
            self._write_or_stop(trainer, in_batch=True)
        elif not loop.epoch_loop._should_check_val_fx(loop._data_fetcher):
            # A run that ends within an epoch can then be resumed there with a higher limit.
            self._due |= _is_at_its_end(trainer) and not last
            self._write_or_stop(trainer, in_batch=True)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write last.ckpt, and stop here if any rank got a signal, unless the epoch is at its end."""
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        self._due = True
        # At the end of an epoch the best checkpoint is written only after this.
        if not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            self._write_or_stop(trainer)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write last.ckpt after a validation and at the end of the run; stop here if any rank got a signal."""
        if trainer.fit_loop.epoch_loop.batch_progress.is_last_batch and trainer.max_steps < 0:
            self._due |= _is_at_its_end(trainer)
            self._write_or_stop(trainer)

    def _write_or_stop(self, trainer: lightning.Trainer, in_batch: bool = False) -> None:
        signalled = self.received is not None
        late = time.monotonic() - self._written_at >= 60 * self.every_n_minutes and trainer.is_global_zero
        if trainer.world_size > 1:
            # Not with the strategy's reduce, which adds a barrier.
            both = torch.tensor([signalled, late], dtype=torch.int, device=trainer.strategy.root_device)
            distributed.all_reduce(both, op=distributed.ReduceOp.MAX)
            signalled, late = map(bool, both.tolist())
        if not (signalled or late or self._due):
            return
        path = checkpoint_folder(trainer) / "last.ckpt"
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]  # set by its connector
            trainer.save_checkpoint(path, weights_only=False)
            self._logged = True
        self._written_at, self._due = time.monotonic(), False
        if signalled:
            if in_batch:
                # Lightning logs a batch only after this.
                trainer._logger_connector.update_train_step_metrics()
            self._save_loggers(trainer)
            self._stop(trainer, path)

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Write to disk what was logged up to the checkpoint, so that a run that is resumed from it finds it."""
        self._save_loggers(trainer)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Do the same at the end."""
        self._save_loggers(trainer)

    def _save_loggers(self, trainer: lightning.Trainer) -> None:
        if self._logged:
            for logger in trainer.loggers:
                logger.save()
        self._logged = False

    def _stop(self, trainer: lightning.Trainer, path: Path) -> None:
        number = self.received or signal.SIGTERM
        if trainer.is_global_zero:
            print(f"{signal.Signals(number).name}: training stopped; resume it from {path}", flush=True)
        # Processes that Lightning started must exit with 0; otherwise it would kill the first process.
        environment = getattr(trainer.strategy, "cluster_environment", None)
        child = isinstance(environment, LightningEnvironment) and not trainer.is_global_zero
        raise SystemExit(0 if child else 128 + number)

    def teardown(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Restore the previous signal handlers."""
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)
        self._previous_handlers, self.received = {}, None


class KeepDivergedBatch(Callback):
    """Files for the inspection of a run that diverged: the batch with the wrong loss or gradient, and the weights.

    `diverged_rank<n>.pt` in the run's folder holds the batch, its losses, the norm of the gradients and the number of
    batches before (tensors and plain types only); `diverged.ckpt` is a checkpoint from just before the step.
    """

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Write both files and add their names to the error."""
        if not isinstance(exception, DivergedError) or not exception.record:
            return
        folder = checkpoint_folder(trainer)
        path = folder / f"diverged_rank{trainer.global_rank}.pt"
        batch = {name: planes.detach().cpu() for name, planes in exception.record["batch"].items()}
        AtomicCheckpointIO().save_checkpoint({**exception.record, "batch": batch}, path)
        trainer.save_checkpoint(folder / "diverged.ckpt", weights_only=False)
        exception.args = (f"{exception}; the batch is in {path}, the weights in diverged.ckpt beside it",)
