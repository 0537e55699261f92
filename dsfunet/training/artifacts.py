"""Weights as artifacts of a dashboard."""

import tempfile
from pathlib import Path

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from dsfunet.networks.weights import load_checkpoint, save_folder
from dsfunet.training.interruption import checkpoint_folder
from dsfunet.training.run_folder import LAST_CHECKPOINT


class UploadBestWeights(Callback):
    """The generators of the best checkpoint, as safetensors, in an artifact of W&B at the end of the run.

    The artifact is called `weights-<id of the run>`, has the type `model` and the alias `best`. In an offline run it
    is sent together with the run, by `wandb sync`. Without a best checkpoint the last one is taken.
    """

    @rank_zero_only
    def on_fit_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Log the artifact."""
        loggers = [logger for logger in trainer.loggers if isinstance(logger, WandbLogger)]
        checkpoints = [each for each in trainer.checkpoint_callbacks if isinstance(each, ModelCheckpoint)]
        best = next((each for each in checkpoints if each.best_model_path), None)
        path = Path(best.best_model_path) if best else checkpoint_folder(trainer) / LAST_CHECKPOINT
        if not loggers or not path.exists():
            return
        import wandb

        with tempfile.TemporaryDirectory() as folder:
            generators = load_checkpoint(path)
            save_folder(generators, Path(folder) / "weights", generators.card, torch.float32)
            for logger in loggers:
                score = (
                    None if best is None or best.best_model_score is None else float(best.best_model_score)
                )
                artifact = wandb.Artifact(
                    f"weights-{logger.version}",
                    type="model",
                    metadata={"checkpoint": path.name, "digest": generators.digest, "score": score},
                )
                artifact.add_dir(str(Path(folder) / "weights"))
                logger.experiment.log_artifact(artifact, aliases=["best"])
