"""Callbacks of a training run: first weights, the record of the run, and the progress bar."""

from typing import Any, ClassVar

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import Callback, TQDMProgressBar
from lightning.pytorch.loggers import MLFlowLogger

from dsfunet.environment import describe_code, describe_machine
from dsfunet.errors import InputError
from dsfunet.networks import SpectralUNet
from dsfunet.networks.weights import describe_network, load_generators, load_release
from dsfunet.planes.preprocessing import COMPONENTS
from dsfunet.training import schedule
from dsfunet.training.batch_limit import BatchLimit
from dsfunet.training.module import DSFUNet
from dsfunet.training.monitor import name_optimizers


class StartFrom(Callback):
    """The start of training from given weights instead of random ones, for example to fine-tune the release.

    The configuration's networks may have more input channels or blocks than the weights (`SpectralUNet.grow_from`). A
    resumed run takes its weights from its checkpoint instead.

    Args:
        weights: `release` for the weights in the package, or the path of a checkpoint or of a folder of safetensors.

    Raises:
        InputError: at the start of a run, there are no such weights, or they are of other networks than the
            configuration's.
    """

    def __init__(self, weights: str = "release") -> None:
        self.weights = weights
        self._origin: dict[str, Any] = {"started_from": None, "species": None}

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Load the weights into the generators and their averages, unless the run resumes from a checkpoint."""
        if trainer.ckpt_path is not None:
            return
        assert isinstance(pl_module, DSFUNet)
        given = load_release() if self.weights == "release" else load_generators(self.weights)
        for name in COMPONENTS:
            network, own = getattr(given, name), pl_module.generators[name]
            if isinstance(network, SpectralUNet) and isinstance(own, SpectralUNet):
                try:
                    own.grow_from(network)
                except InputError as error:
                    raise InputError(
                        f"{self.weights}: the {name} network does not fit the configuration; {error}"
                    ) from error
            elif describe_network(network) == describe_network(own):
                own.load_state_dict(network.state_dict())
            else:
                raise InputError(
                    f"{self.weights}: the {name} network is a {describe_network(network)}; expected that of the"
                    f" configuration, {describe_network(own)}"
                )
            if pl_module.averages is not None:
                pl_module.averages[name].load_state_dict(own.state_dict())
        self._origin = {
            "started_from": given.digest,
            "species": given.card.get("data", {}).get("species"),
        }

    @property
    def species(self) -> list[str] | None:
        """Names of the species that the given weights were trained on; None if they are not recorded."""
        species: list[str] | None = self._origin["species"]
        return species

    def state_dict(self) -> dict[str, Any]:
        """Return digest and species of the given weights, for the model card."""
        return dict(self._origin)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore them from the checkpoint that the run resumes from."""
        self._origin = {**self._origin, **state_dict}


class RunRecord(Callback):
    """The record of a run: code, machine, seed, data, networks, schedule and all settings, sent to every logger.

    Checkpoints keep a description of the training data, because weights must not be evaluated on species that they were
    trained on.

    Args:
        settings: all settings of the run in plain types, as the command line has them; None if there is none.
    """

    def __init__(self, settings: dict[str, Any] | None = None) -> None:
        self.settings = settings

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Log the record, once."""
        record = describe_run(trainer, pl_module)
        if self.settings is not None:
            record["settings"] = self.settings
        for logger in trainer.loggers:
            logger.log_hyperparams(record)
            if isinstance(logger, MLFlowLogger) and trainer.is_global_zero:
                # MLflow cuts parameters off after 250 characters.
                logger.experiment.log_dict(logger.run_id, record, "record.json")

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the description of the data in plain types, with the species of the weights that training began from."""
        trained_on = dict(getattr(trainer.datamodule, "trained_on", {}))  # type: ignore[attr-defined]
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, StartFrom) and "species" in trained_on:
                both = (trained_on["species"], callback.species)
                # If one list is not known, the union is not known either.
                trained_on["species"] = None if None in both else sorted({*both[0], *both[1]})  # type: ignore[misc]
        checkpoint["data"] = trained_on


def describe_run(trainer: lightning.Trainer, module: lightning.LightningModule) -> dict[str, Any]:
    """Return code version, machine, seed, digests of the data, networks, optimizers and schedule in plain types."""
    record: dict[str, Any] = {
        "seed": torch.initial_seed() % 2**32,
        "code": describe_code(),
        "machine": describe_machine(str(module.device)),
        "ranks": trainer.world_size,
        "precision": str(trainer.precision),
    }
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, StartFrom):
            record["started_from"] = {
                "weights": callback.weights,
                "digest": callback.state_dict()["started_from"],
            }
        if isinstance(callback, schedule.CosineSchedule):
            names = ("warmup_batches", "final_share", "budget_minutes", "hold_share")
            record["schedule"] = {name: getattr(callback, name) for name in names}
        if isinstance(callback, BatchLimit):
            record["max_batches"] = callback.max_batches
    record["max_epochs"] = trainer.max_epochs
    for split, digest in getattr(trainer.datamodule, "digests", {}).items():  # type: ignore[attr-defined]
        record[f"data/{split}_digest"] = digest
    if isinstance(module, DSFUNet):
        for name in COMPONENTS:
            record[f"networks/{name}"] = describe_network(module.generators[name])
    for name, optimizer in name_optimizers(trainer):
        plain = {
            # No tuples: YAML writes them with a tag of Python's own.
            key: list(value) if isinstance(value, tuple) else value
            for key, value in optimizer.defaults.items()
            if isinstance(value, int | float | tuple)
        }
        record[f"optimizers/{name}"] = {"class": type(optimizer).__name__, **plain}
    return record


class ProgressBar(TQDMProgressBar):
    """Lightning's progress bar with short names: both L1 losses, both validation errors, planes per second."""

    names: ClassVar[dict[str, str]] = {
        "train/form_factor_l1": "L1 FF",
        "train/short_range_order_l1": "L1 SRO",
        "validation/form_factor_mse": "MSE FF",
        "validation/short_range_order_mse": "MSE SRO",
        "samples_per_second": "planes/s",
        "share_done": "done",
    }

    def get_metrics(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """Return the numbers beside the bar, in the order of `names`; those not logged yet are left out."""
        found = super().get_metrics(trainer, pl_module)
        shown: dict[str, int | str | float | dict[str, float]] = {}
        for name, label in self.names.items():
            if name in found:
                value = found[name]
                shown[label] = f"{value:.3g}" if isinstance(value, float) else value
        return shown
