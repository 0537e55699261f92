"""Pictures of validation planes for the dashboard of a run."""

from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import MLFlowLogger, TensorBoardLogger, WandbLogger

from dsfunet.data.dataset import Batch
from dsfunet.planes.preprocessing import COMPONENTS
from dsfunet.training.module import DSFUNet


class PlanePictures(Callback):
    """Pictures of the first validation planes: input, then truth, output and difference of each component.

    W&B, TensorBoard and MLflow get them; a CSV log holds no pictures.

    Args:
        planes: number of planes to draw.
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
        """Draw planes of the first batch."""
        kinds = (WandbLogger, TensorBoardLogger, MLFlowLogger)
        loggers = [logger for logger in trainer.loggers if isinstance(logger, kinds)]
        if batch_idx or trainer.sanity_checking or not loggers:
            return
        assert isinstance(pl_module, DSFUNet)
        strips = draw_component_strips(pl_module, {name: each[: self.planes] for name, each in batch.items()})
        if not trainer.is_global_zero:
            return
        for logger in loggers:
            _send_pictures(logger, strips, pl_module.batches_done)


def _send_pictures(logger: Any, strips: torch.Tensor, batches: int) -> None:
    """Send strips (n, h, w) in [0, 1] under the name `planes`."""
    if isinstance(logger, WandbLogger):
        logger.log_image("planes", [strip.numpy() for strip in strips])
        return
    picture = (255 * strips.clamp(0, 1)).byte().flatten(0, 1).numpy()  # one below the other
    if isinstance(logger, TensorBoardLogger):
        logger.experiment.add_image("planes", picture, batches, dataformats="HW")
    else:
        logger.experiment.log_image(logger.run_id, picture, key="planes", step=batches)


@torch.no_grad()
def draw_component_strips(module: DSFUNet, batch: Batch) -> torch.Tensor:
    """Return one strip of seven panels per plane, in [0, 1], shape (n, h, 7 w), on the CPU.

    The panels are the input, then for form factor and short-range order: truth, output and difference (grey where they
    agree).
    """
    panels = [(batch["input"][:, :1] + 1) / 2]
    for name, output in zip(COMPONENTS, module(batch["input"]), strict=True):
        panels += [(batch[name] + 1) / 2, (output + 1) / 2, (output - batch[name] + 2) / 4]
    return torch.cat(panels, dim=-1)[:, 0].float().cpu()
