"""`dsfunet export`: write the generators as safetensors, torch.export or ONNX files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from dsfunet.command_parser import Parser, first_line

ExportFormat = Literal["safetensors", "torch-export", "onnx"]
"""What `dsfunet export` writes."""


def export(weights: str, out: str, format: ExportFormat = "safetensors") -> None:
    """Write the generators for others to use, as half-precision safetensors, torch.export or ONNX files.

    Args:
        weights: `release` for those in the package, a checkpoint of `dsfunet fit`, or a folder of safetensors.
        out: folder to write.
        format: safetensors for `dsfunet factorize --weights`, torch-export (.pt2) to go without dsfunet, or onnx
            to go without torch.
    """
    from dsfunet.networks.export import export_weights

    export_weights(weights, Path(out), format)


def add_parsers(commands: Any) -> dict[str, Callable[..., int | None]]:
    """Add this command to the subcommands of a parser; returns its function by name."""
    parser = Parser(description=first_line(export))
    parser.add_argument(
        "weights", type=str, help="`release`, a checkpoint of `dsfunet fit`, or a folder of safetensors"
    )
    parser.add_function_arguments(export, skip={"weights"})
    commands.add_subcommand("export", parser, help=first_line(export))
    return {"export": export}
