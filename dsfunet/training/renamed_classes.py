"""Class paths of earlier versions, and reading of configurations that still name them.

A configuration, and the `config.yaml` that every run saves, names classes by their module (`class_path`). Version 0.2.0
moved most modules of this package. Instead of a module that only forwards to its new place, there is one table: the
YAML loader of the training commands looks up every text of a configuration in it. Checkpoints need no table: they name
networks by the class alone (`dsfunet.networks.weights`).
"""

from collections.abc import Callable
from typing import Any

RENAMED_CLASSES = {
    # 0.1.0 -> 0.2.0
    "dsfunet.callbacks.CosineSchedule": "dsfunet.training.callbacks.CosineSchedule",
    "dsfunet.callbacks.Gauges": "dsfunet.training.callbacks.RunMonitor",
    "dsfunet.callbacks.PlanePictures": "dsfunet.training.callbacks.PlanePictures",
    "dsfunet.callbacks.ProgressBar": "dsfunet.training.callbacks.ProgressBar",
    "dsfunet.callbacks.RunRecord": "dsfunet.training.callbacks.RunRecord",
    "dsfunet.callbacks.StartFrom": "dsfunet.training.callbacks.StartFrom",
    "dsfunet.compiling.CompileNetworks": "dsfunet.training.compiling.CompileNetworks",
    "dsfunet.data.PlaneDataModule": "dsfunet.data.datamodule.PlaneDataModule",
    "dsfunet.graphed_steps.GraphSteps": "dsfunet.training.cuda_graphs.GraphSteps",
    "dsfunet.interruption.KeepDivergedBatch": "dsfunet.training.interruption.KeepDivergedBatch",
    "dsfunet.interruption.StopOnSignal": "dsfunet.training.interruption.StopOnSignal",
    "dsfunet.interruption.WholeCheckpointIO": "dsfunet.training.interruption.AtomicCheckpointIO",
    "dsfunet.module.DSFUNet": "dsfunet.training.module.DSFUNet",
    "dsfunet.shards.Store": "dsfunet.data.store.Store",
    "dsfunet.shards.open_store": "dsfunet.data.store.open_store",
}
"""Present class path by earlier class path."""


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
    """Return a loader of YAML text that loads as `load` does and then renames classes."""

    def load_and_rename(text: str) -> Any:
        return rename_classes(load(text))

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
