"""The identity of a run in its trackers, kept in its folder: a run that is resumed there goes on as the same run."""

import csv
import json
import os
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import lightning.pytorch as lightning
from lightning.fabric.utilities.logger import _convert_params, _flatten_dict
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from lightning.pytorch.utilities import rank_zero_only

from dsfunet.files import write_json
from dsfunet.training.interruption import checkpoint_folder
from dsfunet.training.module import DSFUNet
from dsfunet.training.run_folder import TRACKERS_FILE


def name_run(folder: Path | None, seed: Any, command: str = "fit") -> str:
    """Return the name of a run for a dashboard: its folder and seed, and the command if it does not train."""
    name = f"{'run' if folder is None else folder.resolve().name}, seed {seed}"
    return name if command == "fit" else f"{name}, {command}"


def prepare_trackers(loggers: list[Logger], folder: Path | None, batches: int | None, name: str) -> None:
    """Give loggers, before their first use, the identity of the run that is resumed, or a new one.

    Settings that a configuration gives (an id, a name, a version) stay.

    Args:
        loggers: loggers of the run.
        folder: folder of the run that is resumed; None makes new identities.
        batches: number of batches done by the checkpoint that the run resumes from; later rows of its CSV log are
            removed, since they will be written again.
        name: name of the run for dashboards.
    """
    kept = _read_identities(folder)
    for number, logger in enumerate(loggers):
        known = kept.get(_key(number, logger))
        if isinstance(logger, WandbLogger):
            settings = logger._wandb_init
            if settings.get("id") is None and "WANDB_RUN_ID" not in os.environ:  # that of a sweep
                settings["id"] = logger._id = known or uuid4().hex[:12]
                settings["resume"] = "allow"
            if settings.get("name") is None:
                settings["name"] = name
        elif isinstance(logger, MLFlowLogger):
            if logger._run_id is None and known is not None:
                logger._run_id = known
                logger.log_hyperparams = partial(_log_new_parameters, logger)  # type: ignore[method-assign]
            if logger._run_name is None:
                logger._run_name = name
        elif (
            isinstance(logger, CSVLogger | TensorBoardLogger)
            and folder is not None
            and logger._version is None
        ):
            version = known if known is not None else logger._get_next_version() - 1
            if version < 0:
                continue
            logger._version = version
            if isinstance(logger, CSVLogger) and getattr(rank_zero_only, "rank", 0) == 0:
                logger._experiment = _ContinuedCSV(logger.log_dir, batches or 0)


@rank_zero_only
def _log_new_parameters(logger: MLFlowLogger, params: Any) -> None:
    """Log the parameters that the run does not have yet: MLflow refuses to change one, such as the machine."""
    client, run = logger.experiment, logger.run_id
    known = client.get_run(run).data.params
    new = {name: value for name, value in _flatten_dict(_convert_params(params)).items() if name not in known}
    MLFlowLogger.log_hyperparams(logger, new)
    client.update_run(run, status="RUNNING")


def _key(number: int, logger: Logger) -> str:
    return f"{number} {type(logger).__name__}"


def _read_identities(folder: Path | None) -> dict[str, Any]:
    if folder is None:
        return {}
    try:
        kept = json.loads((folder / TRACKERS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # of an earlier version, or the run stopped before it had one
        return {}
    return kept if isinstance(kept, dict) else {}


class KeepTrackers(Callback):
    """The file with the identity of a run in its trackers, written when training starts, and their common x-axis."""

    @rank_zero_only
    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write the file."""
        if trainer.fast_dev_run:  # type: ignore[attr-defined]  # set by its connector
            return
        identities = {
            _key(number, logger): logger.version if not isinstance(logger, MLFlowLogger) else logger.run_id
            for number, logger in enumerate(trainer.loggers)
        }
        write_json(checkpoint_folder(trainer) / TRACKERS_FILE, identities)

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Set the x-axis of all loggers to the number of batches done.

        Lightning is one batch behind in a run that is resumed from the checkpoint of a validation.
        """
        assert isinstance(pl_module, DSFUNet)
        trainer.fit_loop.epoch_loop._batches_that_stepped = pl_module.batches_done


class _ContinuedCSV(ExperimentWriter):
    """A CSV log that goes on where a checkpoint was written; Lightning's own removes what is there."""

    def __init__(self, log_dir: str, batches: int) -> None:
        self._batches = batches
        super().__init__(log_dir)

    def _check_log_dir_exists(self) -> None:
        """Keep the rows of the batches before the checkpoint, instead of removing all."""
        path = Path(self.metrics_file_path)
        if not path.exists():
            return
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            rows = [row for row in reader if float(row["step"]) < self._batches]
            self.metrics_keys = list(reader.fieldnames or ())
        partial = path.with_suffix(".part")
        with partial.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, fieldnames=self.metrics_keys)
            writer.writeheader()
            writer.writerows(rows)
        partial.replace(path)
