"""Training that is stopped by a signal or diverges, and checkpoints that are never half written."""

import io
import os
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback, Checkpoint, ModelCheckpoint
from torch import distributed

from dsfunet.errors import DivergedError, InputError
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
        except OSError as error:
            raise InputError(
                f"{path}: the checkpoint of {serialised.tell() / 1e6:.0f} MB cannot be written"
                f" ({error.strerror or error}); the previous one is untouched"
            ) from error


def checkpoint_folder(trainer: lightning.Trainer) -> Path:
    """Return the folder for the checkpoints of a run: that of its ModelCheckpoint, or else the trainer's."""
    for checkpoints in trainer.checkpoint_callbacks:
        if isinstance(checkpoints, ModelCheckpoint) and checkpoints.dirpath:
            return Path(checkpoints.dirpath)
    return Path(trainer.default_root_dir)


class StopOnSignal(Checkpoint):
    """A clean stop on SIGTERM or SIGUSR1 (SLURM's warning): finish the batch, write last.ckpt, and exit.

    The exit status is 128 + the signal's number, as in a shell. A run resumed from that last.ckpt continues as if it
    had never stopped: a validation that is due or running is finished first, with its best checkpoint. All ranks stop
    at the same batch, whichever of them got the signal. List this callback after ModelCheckpoint; Lightning calls both
    last.
    """

    signals = (signal.SIGTERM, signal.SIGUSR1)

    def __init__(self) -> None:
        self.received: int | None = None
        self._previous_handlers: dict[int, Any] = {}

    def on_sanity_check_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Replace Lightning's signal handlers, which save or communicate in the middle of a step."""
        self._listen()

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Do the same in a run without a sanity check; a signal since then takes effect after the first batch."""
        self._listen()

    def _listen(self) -> None:
        # Python allows handlers in the main thread only.
        if not self._previous_handlers and threading.current_thread() is threading.main_thread():
            self._previous_handlers = {number: signal.signal(number, self._note) for number in self.signals}

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = number

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Stop here if any rank got a signal, unless a validation is due next."""
        loop = trainer.fit_loop
        assert loop._data_fetcher is not None
        # Lightning has no public method for this. A validation that is skipped here would never run.
        if not loop.epoch_loop._should_check_val_fx(loop._data_fetcher):
            self._stop_if_signalled(trainer)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Stop here if any rank got a signal and the epoch is not at its end."""
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        # At the end of an epoch the best checkpoint is written only after this.
        if not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            self._stop_if_signalled(trainer)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Stop here if any rank got a signal."""
        self._stop_if_signalled(trainer)

    def _stop_if_signalled(self, trainer: lightning.Trainer) -> None:
        signalled = self.received is not None
        if trainer.world_size > 1:
            # Not with the strategy's reduce, which adds a barrier.
            any_signalled = torch.tensor(signalled, dtype=torch.int, device=trainer.strategy.root_device)
            distributed.all_reduce(any_signalled, op=distributed.ReduceOp.MAX)
            signalled = bool(any_signalled)
        if not signalled:
            return
        path = checkpoint_folder(trainer) / "last.ckpt"
        trainer.save_checkpoint(path, weights_only=False)
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
