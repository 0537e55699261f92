"""`dsfunet export`: write the generators as safetensors, torch.export or ONNX files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from dsfunet.command_parser import Parser, first_line
from dsfunet.errors import InputError

ExportFormat = Literal["safetensors", "torch-export", "onnx"]
"""File formats of `dsfunet export`."""


def export(weights: str, out: str, format: ExportFormat = "safetensors") -> None:
    """Write the networks as half-precision safetensors, torch.export or ONNX files.

    Args:
        weights: `release` for the weights in the package, a checkpoint of `dsfunet fit`, or a folder of safetensors.
        out: folder to write to.
        format: file format: safetensors for `dsfunet factorize --weights`, torch-export (.pt2) to run without dsfunet,
            or onnx to run without torch.

    Raises:
        InputError: the weights cannot be read, the packages for the format are not installed, or the folder cannot be
            written.
    """
    from dsfunet.networks.export import save_onnx, save_torch_export
    from dsfunet.networks.weights import load_named_weights, save_folder

    generators, folder = load_named_weights(weights), Path(out)
    try:
        if format == "safetensors":
            # Weights rounded to half precision are still those that the card describes.
            size = save_folder(generators, folder, generators.card or None)
            print(f"wrote {folder}: {size / 1e6:.1f} MB of weights from {weights}")
            return
        files = (save_onnx if format == "onnx" else save_torch_export)(generators, folder)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror or error})") from error
    for file in files:
        print(
            f"wrote {file.path}: {file.size / 1e6:.1f} MB, outputs within {file.difference:.1g} of the network's"
        )


COMMANDS = {"export": first_line(export)}
"""The command of this module, and what it does."""


def add_parsers(commands: Any) -> dict[str, Callable[..., int | None]]:
    """Add this command to the subcommands of a parser; returns its function by name."""
    parser = Parser(description=first_line(export))
    parser.add_argument(
        "weights", type=str, help="`release`, a checkpoint of `dsfunet fit`, or a folder of safetensors"
    )
    parser.add_function_arguments(export, skip={"weights"})
    commands.add_subcommand("export", parser, help=COMMANDS["export"])
    return {"export": export}
