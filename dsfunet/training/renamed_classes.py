"""Class paths of earlier versions, and reading of configurations that still name them.

A configuration, and the `config.yaml` that every run saves, names classes by their module (`class_path`). Version 0.2.0
moved most modules of this package. Instead of a module that only forwards to its new place, there is one table: the
YAML loader of the training commands looks up every text of a configuration in it. Checkpoints need no table: they name
networks by the class alone (`dsfunet.networks.weights`).
"""

from collections.abc import Callable, Iterable
from typing import Any

from dsfunet.errors import InputError

RENAMED_CLASSES = {
    # 0.1.0 -> 0.2.0
    "dsfunet.callbacks.CosineSchedule": "dsfunet.training.schedule.CosineSchedule",
    "dsfunet.callbacks.Gauges": "dsfunet.training.monitor.RunMonitor",
    "dsfunet.callbacks.PlanePictures": "dsfunet.training.pictures.PlanePictures",
    "dsfunet.callbacks.ProgressBar": "dsfunet.training.callbacks.ProgressBar",
    "dsfunet.callbacks.RunRecord": "dsfunet.training.callbacks.RunRecord",
    "dsfunet.callbacks.StartFrom": "dsfunet.training.callbacks.StartFrom",
    "dsfunet.compiling.CompileNetworks": "dsfunet.training.compiling.CompileNetworks",
    "dsfunet.data.PlaneDataModule": "dsfunet.data.datamodule.PlaneDataModule",
    "dsfunet.graphed_steps.GraphSteps": "dsfunet.training.cuda_graphs.GraphSteps",
    "dsfunet.interruption.KeepDivergedBatch": "dsfunet.training.interruption.KeepDivergedBatch",
    "dsfunet.interruption.StopOnSignal": "dsfunet.training.interruption.LastCheckpoint",
    "dsfunet.interruption.WholeCheckpointIO": "dsfunet.training.interruption.AtomicCheckpointIO",
    "dsfunet.module.DSFUNet": "dsfunet.training.module.DSFUNet",
    "dsfunet.shards.Store": "dsfunet.data.store.Store",
    "dsfunet.shards.open_store": "dsfunet.data.store.open_store",
    # 0.2.0 -> 0.3.0
    "dsfunet.training.callbacks.CosineSchedule": "dsfunet.training.schedule.CosineSchedule",
    "dsfunet.training.callbacks.RunMonitor": "dsfunet.training.monitor.RunMonitor",
    "dsfunet.training.callbacks.PlanePictures": "dsfunet.training.pictures.PlanePictures",
    "dsfunet.training.interruption.StopOnSignal": "dsfunet.training.interruption.LastCheckpoint",
}
"""Present class path by earlier class path."""


_ONE_OPTIMIZER = ("optimizer", "lr_scheduler")


def refuse_one_optimizer(names: Iterable[str]) -> None:
    """Check that settings do not replace our optimizers by one, as LightningCLI's own option would.

    Raises:
        InputError: `optimizer` or `lr_scheduler` is among the names.
    """
    for name in names:
        if name == "optimizer":
            raise InputError(
                "--optimizer: one optimizer would train the discriminators with the generators' loss; set"
                " --model.generator_optimizer and, with discriminators, --model.discriminator_optimizer"
            )
        if name == "lr_scheduler":
            raise InputError(
                "--lr_scheduler: the learning rates of both optimizers follow one schedule; add"
                " --trainer.callbacks+=dsfunet.training.schedule.CosineSchedule"
            )


def rename_classes(value: Any) -> Any:
    """Return a configuration, or any part of one, with earlier class paths replaced by the present ones.

    Args:
        value: what YAML loads to: nested dictionaries and lists of plain values.
    """
    if isinstance(value, dict):
        return {key: rename_classes(each) for key, each in value.items()}
    if isinstance(value, list):
        return [rename_classes(each) for each in value]
    return RENAMED_CLASSES.get(value, value) if isinstance(value, str) else value


def renaming_loader(load: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return a loader of YAML text that loads as `load` does and then renames classes.

    The loader raises an InputError for a configuration with one optimizer for all networks.
    """

    def load_and_rename(text: str) -> Any:
        loaded = rename_classes(load(text))
        if isinstance(loaded, dict):
            refuse_one_optimizer({name: value for name, value in loaded.items() if value is not None})
            # Earlier versions saved them with every run, as null.
            loaded = {name: value for name, value in loaded.items() if name not in _ONE_OPTIMIZER}
        return loaded

    return load_and_rename


def rename_in_arguments(arguments: list[str]) -> list[str]:
    """Return command-line arguments in which a value that is an earlier class path is replaced.

    A value follows its option after a space or an equals sign: `--trainer.callbacks+=dsfunet.callbacks.StartFrom`.
    """
    renamed = []
    for argument in arguments:
        option, equals, value = argument.rpartition("=")
        renamed.append(option + equals + RENAMED_CLASSES.get(value, value))
    return renamed
