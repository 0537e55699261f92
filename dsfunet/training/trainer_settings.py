"""Checks of a run's settings that Lightning would meet with a traceback, or with another training than was meant."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

from jsonargparse import Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import callbacks, loggers
from torch import Tensor, nn

from dsfunet.errors import InputError
from dsfunet.training.renamed_classes import RENAMED_CLASSES

_PRECISIONS = (None, 32, "32", "32-true", "bf16", "bf16-mixed")
_STRATEGIES = ("auto", "DDPStrategy", "SingleDeviceStrategy")
_OTHER_CALLBACKS = {
    "StochasticWeightAveraging": "set model.average_decay, which averages the generators' weights",
    "WeightAveraging": "set model.average_decay, which averages the generators' weights",
    "EMAWeightAveraging": "set model.average_decay, which averages the generators' weights",
    "LearningRateFinder": "set the learning rate in model.generator_optimizer; configs/sweeps tries several",
    "BatchSizeFinder": "set data.batch_size, and model.micro_batches if memory is short",
    "GradientAccumulationScheduler": "set model.micro_batches",
}
"""What to do instead of using a callback that cannot work with our training step."""

_NEW_CALLBACKS = ("dsfunet.training.artifacts.UploadBestWeights", "dsfunet.training.batch_limit.BatchLimit")


def check_trainer_settings(trainer: Namespace) -> None:
    """Check the settings of the trainer that our training step, with several optimizers, does not take.

    Raises:
        InputError: a precision, strategy, callback, or Lightning's own accumulation or clipping does not work here.
    """
    if trainer.precision not in _PRECISIONS:
        raise InputError(
            f"trainer.precision is {trainer.precision}; expected 32-true or bf16-mixed, which keep weights, losses and"
            " averages in float32"
        )
    if trainer.accumulate_grad_batches != 1:
        count = trainer.accumulate_grad_batches
        raise InputError(
            f"trainer.accumulate_grad_batches is {count}; expected 1: set model.micro_batches to {count} and"
            f" data.batch_size to {count} times its value for the same step"
        )
    for name in ("gradient_clip_val", "gradient_clip_algorithm"):
        if trainer[name] is not None:
            raise InputError(
                f"trainer.{name} is {trainer[name]}; expected null: set model.gradient_clip, the largest norm of the"
                " generators' gradients"
            )
    strategy = _class_name(trainer.strategy)
    if isinstance(trainer.strategy, str) and strategy == "DDPStrategy":
        strategy = "a class path"  # which Lightning takes in a file only
    if strategy not in _STRATEGIES and not strategy.startswith("ddp"):
        raise InputError(
            f"trainer.strategy is {strategy}; expected auto or ddp: each GPU holds whole networks, which are small"
        )
    given = trainer.callbacks if isinstance(trainer.callbacks, list) else [trainer.callbacks]
    for callback in given:
        name = _class_name(callback)
        if name in _OTHER_CALLBACKS:
            raise InputError(
                f"trainer.callbacks: {name} does not work with several optimizers; {_OTHER_CALLBACKS[name]}"
            )


def _class_name(setting: Any) -> str:
    """Return the name of a class without its module, of a setting that is a class path or a short name."""
    name = setting.get("class_path", "") if isinstance(setting, Namespace) else setting
    return str(name).rpartition(".")[2]


def find_similar_class(path: str) -> str | None:
    """Return the path of the callback or logger whose name is most like a given one; None if none is like it."""
    known = {
        name: f"{package.__name__}.{name}" for package in (callbacks, loggers) for name in package.__all__
    }
    known |= {
        each.rpartition(".")[2]: each
        for each in RENAMED_CLASSES.values()
        if each.startswith("dsfunet.training")
    }
    known |= {each.rpartition(".")[2]: each for each in _NEW_CALLBACKS}
    names = get_close_matches(path.rpartition(".")[2], known, 1)
    return known[names[0]] if names else None


def check_weights_fit(path: str, state: dict[str, Tensor], module: nn.Module) -> None:
    """Check that the weights in a checkpoint are those of the configuration's networks.

    Args:
        path: checkpoint, for the message.
        state: `state_dict` of the checkpoint.
        module: module of the configuration.

    Raises:
        InputError: a network is missing, is not in the configuration, or has other weights there.
    """
    found = {name: tuple(value.shape) for name, value in state.items()}
    expected = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    for network in sorted({".".join(name.split(".")[:2]) for name in (*found, *expected) if "." in name}):
        ours, theirs = (
            {name: shape for name, shape in each.items() if name.startswith(f"{network}.")}
            for each in (expected, found)
        )
        if ours == theirs:
            continue
        kind, _, component = network.partition(".")
        what = f"{component} of the {kind}"
        if not ours or not theirs:
            has, has_not = ("checkpoint", "configuration") if theirs else ("configuration", "checkpoint")
            difference = f"the {has} has {what} and the {has_not} has not"
        else:
            name = next(each for each in (*ours, *theirs) if ours.get(each) != theirs.get(each))
            shapes = (theirs.get(name, "missing"), ours.get(name, "missing"))
            difference = f"{what} differs: {name} is {shapes[0]} in the checkpoint and {shapes[1]} here"
        raise InputError(
            f"{path}: {difference}; give the configuration of its run (config.yaml in its CSV folder), or start from"
            " its generators with --trainer.callbacks+=dsfunet.training.callbacks.StartFrom"
        )


@contextmanager
def report_refusals(setting: str) -> Iterator[None]:
    """Turn what Lightning raises about a run's settings into one sentence.

    Args:
        setting: setting that is to blame, unless the message names one.

    Raises:
        InputError: Lightning refuses a setting, or a package is missing.
    """
    try:
        yield
    except InputError:
        raise
    except ModuleNotFoundError as error:
        raise InputError(
            f"{setting}: {_join_lines(error)}; install the package of that class, such as the extra tensorboard or"
            " mlflow with pip install -e '.[tensorboard]' in the checkout"
        ) from error
    except (MisconfigurationException, ValueError, TypeError) as error:
        if "MLFLOW_ALLOW_FILE_STORE" in str(error):
            raise InputError(
                "trainer.logger: MLflow does not write to folders any more unless it is told to; set the environment"
                " variable MLFLOW_ALLOW_FILE_STORE to true, or tracking_uri to the address of a server"
            ) from error
        # jsonargparse puts what a constructor says among all that it tried.
        said = re.findall(r"Problem with given class_path '([\w.]+)':\s*(.+)", str(error))
        if said:
            path, reason = said[-1]
            raise InputError(f"{setting}: {path.rpartition('.')[2]}: {reason.strip().rstrip('.')}") from error
        raise InputError(f"{setting}: {_join_lines(error)}") from error


def _join_lines(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
