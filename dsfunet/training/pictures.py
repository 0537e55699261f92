"""Pictures of validation planes for the dashboard of a run."""

from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import WandbLogger

from dsfunet.data.dataset import Batch
from dsfunet.planes.preprocessing import COMPONENTS
from dsfunet.training.module import DSFUNet


class PlanePictures(Callback):
    """Pictures of the first validation planes for W&B: input, then truth, output and difference of each component.

    Other loggers get no pictures.

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
        loggers = [logger for logger in trainer.loggers if isinstance(logger, WandbLogger)]
        if batch_idx or trainer.sanity_checking or not loggers:
            return
        assert isinstance(pl_module, DSFUNet)
        strips = draw_component_strips(pl_module, {name: each[: self.planes] for name, each in batch.items()})
        for logger in loggers:
            logger.log_image("planes", [strip.numpy() for strip in strips])


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
