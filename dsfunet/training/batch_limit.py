"""The end of a run after a number of batches, where Lightning counts optimizer steps."""

from typing import Any

import lightning.pytorch as lightning
from lightning.pytorch.callbacks import Callback

from dsfunet.errors import InputError
from dsfunet.training.module import DSFUNet


class BatchLimit(Callback):
    """The end of a run after `max_batches` batches, counted over all its starts.

    The command line makes one of `trainer.max_steps`. Lightning's own limit counts optimizer steps, of which a batch of
    two GANs takes three.

    Args:
        max_batches: number of batches of the run.

    Raises:
        InputError: the number is below 0.
    """

    def __init__(self, max_batches: int) -> None:
        if max_batches < 0:
            raise InputError(
                f"trainer.max_steps is {max_batches}; expected a number of batches, or -1 for no limit"
            )
        self.max_batches = max_batches

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Stop at once if a resumed run has all its batches."""
        self._check(trainer, pl_module)

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Stop after the last batch; a validation follows where one is due at the end of a run."""
        self._check(trainer, pl_module)

    def _check(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        assert isinstance(module, DSFUNet)
        if module.batches_done >= self.max_batches:
            trainer.should_stop = True
