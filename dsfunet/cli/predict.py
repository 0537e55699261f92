"""`dsfunet predict`: split many planes by the networks alone, on one or several GPUs."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from jsonargparse.typing import NonNegativeInt, PositiveInt

from dsfunet.command_parser import Parser, first_line
from dsfunet.errors import InputError


def predict(
    planes: list[str],
    out: str,
    weights: str = "release",
    accelerator: Literal["auto", "cpu", "gpu"] = "auto",
    devices: PositiveInt | Literal["auto"] = "auto",
    batch_size: PositiveInt = 64,
    workers: NonNegativeInt = 2,
    precision: Literal["32-true", "bf16-mixed"] = "32-true",
    progress: bool = True,
) -> None:
    """Split the planes of a store or of .npy files by the networks alone, on one or several GPUs.

    Args:
        planes: a store of simulated planes (.zarr), or .npy files of planes (256, 256) or (n, 256, 256).
        out: folder to make, with form_factor.npy, short_range_order.npy and planes.json.
        weights: `release` for the weights in the package, a checkpoint of `dsfunet fit`, or a folder of safetensors.
        accelerator: cpu, gpu or auto.
        devices: number of devices of this machine; auto uses all GPUs, or one CPU.
        batch_size: planes per batch, on each device.
        workers: loader processes of each device.
        precision: arithmetic of the networks.
        progress: show a progress bar.

    Raises:
        InputError: the training extra is not installed, planes or weights cannot be read, or the folder exists.
    """
    try:
        from dsfunet.training.prediction import PlanesToSplit, predict_planes
    except ModuleNotFoundError as error:
        raise InputError(
            f"{error.name} is not installed; install the train extra with pip install -e '.[train]' in the checkout"
        ) from error
    from dsfunet.networks.weights import load_named_weights

    given = PlanesToSplit([Path(each) for each in planes])
    generators = load_named_weights(weights)
    if devices == "auto" and accelerator == "cpu":
        devices = 1
    with warnings.catch_warnings():
        # Lightning 2.6 calls a function that torch 2.15 deprecates; users cannot do anything about it.
        warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
        warnings.filterwarnings("ignore", message=".*does not have many workers")
        predict_planes(
            given, generators, Path(out), accelerator, devices, batch_size, workers, precision, progress
        )
    print(f"wrote {out}: {len(given)} planes")


COMMANDS = {"predict": first_line(predict)}
"""The command of this module, and what it does."""


def add_parsers(commands: Any) -> dict[str, Callable[..., int | None]]:
    """Add this command to the subcommands of a parser; returns its function by name."""
    parser = Parser(description=first_line(predict))
    parser.add_argument(
        "planes", type=str, nargs="+", help="a store (.zarr), or .npy files of 256 x 256 pixels"
    )
    parser.add_function_arguments(predict, skip={"planes"})
    commands.add_subcommand("predict", parser, help=COMMANDS["predict"])
    return {"predict": predict}
