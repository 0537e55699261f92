"""When training is stopped from outside or runs away: nothing is lost, and nothing half-written is left."""

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


class WholeCheckpointIO(TorchCheckpointIO):
    """Checkpoints that appear whole or not at all: written beside, brought to disk, then renamed.

    A disk that fills, or a process that is killed, leaves the checkpoint that was there before.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint.

        Raises:
            InputError: it cannot be written; what was at `path` is untouched.
        """
        # To memory first: torch's writer is a C++ object that does not survive a disk that fills under it.
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
                f" ({error.strerror or error}); the one before it is untouched"
            ) from error


def run_folder(trainer: lightning.Trainer) -> Path:
    """Where the checkpoints of a run go: the folder of its ModelCheckpoint, or the trainer's own."""
    for checkpoints in trainer.checkpoint_callbacks:
        if isinstance(checkpoints, ModelCheckpoint) and checkpoints.dirpath:
            return Path(checkpoints.dirpath)
    return Path(trainer.default_root_dir)


class StopOnSignal(Checkpoint):
    """A job told to end (SIGTERM, or SLURM's warning SIGUSR1) finishes its batch, writes last.ckpt, and exits.

    The exit status is 128 + the signal's number, as a shell's. A run given that last.ckpt goes on as if it had never
    stopped: where a validation is due, or under way, that is finished first, with its best checkpoint. All ranks stop
    at the same batch, whichever of them was told. Give it after ModelCheckpoint; Lightning calls both last.
    """

    signals = (signal.SIGTERM, signal.SIGUSR1)

    def __init__(self) -> None:
        self.received: int | None = None
        self._earlier: dict[int, Any] = {}

    def on_sanity_check_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Take the place of Lightning's handlers, which save or communicate in the middle of a step."""
        self._listen()

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """The same for a run without a sanity check; a signal since then is answered after the first batch."""
        self._listen()

    def _listen(self) -> None:
        # Python allows handlers in the main thread only.
        if not self._earlier and threading.current_thread() is threading.main_thread():
            self._earlier = {number: signal.signal(number, self._note) for number in self.signals}

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
        """Stop here if any rank was told to, unless a validation comes next."""
        loop = trainer.fit_loop
        assert loop._data_fetcher is not None
        # Lightning has no public word on whether a validation is due. One that is left out here never comes.
        if not loop.epoch_loop._should_check_val_fx(loop._data_fetcher):
            self._stop_if_told(trainer)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Stop here if any rank was told to, in the middle of an epoch."""
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        # At an epoch's end the best checkpoint is written later still.
        if not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            self._stop_if_told(trainer)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Stop here if any rank was told to."""
        self._stop_if_told(trainer)

    def _stop_if_told(self, trainer: lightning.Trainer) -> None:
        told = self.received is not None
        if trainer.world_size > 1:
            # Not by the strategy's own reduce, which puts a barrier before each.
            any_told = torch.tensor(told, dtype=torch.int, device=trainer.strategy.root_device)
            distributed.all_reduce(any_told, op=distributed.ReduceOp.MAX)
            told = bool(any_told)
        if not told:
            return
        path = run_folder(trainer) / "last.ckpt"
        trainer.save_checkpoint(path, weights_only=False)
        number = self.received or signal.SIGTERM
        if trainer.is_global_zero:
            print(f"{signal.Signals(number).name}: stopped, and saved {path} to go on from", flush=True)
        # Processes that Lightning itself started must not fail: it would kill the first one, which started them.
        environment = getattr(trainer.strategy, "cluster_environment", None)
        child = isinstance(environment, LightningEnvironment) and not trainer.is_global_zero
        raise SystemExit(0 if child else 128 + number)

    def teardown(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Give the handlers back."""
        for number, handler in self._earlier.items():
            signal.signal(number, handler)
        self._earlier, self.received = {}, None


class KeepDivergedBatch(Callback):
    """When a loss or gradient is not finite, keeps the batch that did it, and the weights it met, for inspection.

    `diverged_rank<n>.pt` in the run's folder holds batch, losses, norm of the gradients and number of batches before
    (tensors and plain types only); `diverged.ckpt` is a checkpoint from just before the step.
    """

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Write both files and name them in the error."""
        if not isinstance(exception, DivergedError):
            return
        folder = run_folder(trainer)
        path = folder / f"diverged_rank{trainer.global_rank}.pt"
        batch = {name: planes.detach().cpu() for name, planes in exception.batch.items()}
        record = {
            "batch": batch,
            "losses": exception.losses,
            "gradient_norm": exception.gradient_norm,
            "batches_done": exception.batches_done,
        }
        WholeCheckpointIO().save_checkpoint(record, path)
        trainer.save_checkpoint(folder / "diverged.ckpt", weights_only=False)
        exception.args = (f"{exception}; the batch is in {path}, the weights in diverged.ckpt beside it",)
