"""`dsfunet factorize | fit | validate | test | export`: each command one function that takes its arguments."""

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from dsfunet import __version__
from dsfunet.errors import InputError

TRAINING_COMMANDS = ("fit", "validate", "test")
"""Commands that LightningCLI takes over; they need the extra `train`."""

ExportFormat = Literal["safetensors", "torch-export", "onnx"]
"""What `dsfunet export` writes."""


def run() -> None:
    """Entry point of the `dsfunet` command."""
    raise SystemExit(main())


def main(args: Sequence[str] | None = None) -> int:
    """Run one command; returns 0, or 2 with one sentence on standard error when the input is at fault."""
    arguments = list(sys.argv[1:] if args is None else args)
    try:
        if arguments and arguments[0] in TRAINING_COMMANDS:
            return _train(arguments)
        return _parse_and_run(arguments)
    except InputError as error:
        print(f"dsfunet: {error}", file=sys.stderr)
        return 2


def factorize(
    file: str,
    output: str,
    plane: str | None = None,
    weights: str = "release",
    png: bool = False,
    device: str | None = None,
    lattice: bool = True,
) -> None:
    """Split one measured plane into form factor and short-range order.

    Args:
        file: .npy plane of 256 x 256 pixels, or a Yell 1.0 / Meerkat HDF5 volume; NaN and negative are missing.
        output: NeXus file to write (.nxs).
        plane: plane of a volume, named as crystallographers do: hk1, h0l, "h k 1.5".
        weights: `release` for those in the package, or a checkpoint or folder of safetensors.
        png: also draw the result beside the output, as .png.
        device: cpu or cuda; by default a GPU where there is one.
        lattice: use the lattice where the file gives it and it explains the plane; false for the networks alone.
    """
    from dsfunet.commands import factorize_file

    factorize_file(Path(file), Path(output), plane, weights, png, device, lattice)


def export(weights: str, out: str, format: ExportFormat = "safetensors") -> None:
    """Write the generators for others to use, as half-precision safetensors, torch.export or ONNX files.

    Args:
        weights: `release` for those in the package, a checkpoint of `dsfunet fit`, or a folder of safetensors.
        out: folder to write.
        format: safetensors for `dsfunet factorize --weights`, torch-export (.pt2) to go without dsfunet, or onnx
            to go without torch.
    """
    from dsfunet.commands import export_weights

    export_weights(weights, Path(out), format)


def _parse_and_run(arguments: list[str]) -> int:
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(prog="dsfunet", description="Split diffuse scattering into its two components.")
    parser.add_argument("--version", action="version", version=f"dsfunet {__version__}")
    commands = parser.add_subcommands(dest="command", help="`dsfunet COMMAND --help` says more")
    factorize_parser = ArgumentParser(description=_first_line(factorize))
    factorize_parser.add_argument(
        "file", type=str, help="the plane: .npy, or a Yell 1.0 / Meerkat HDF5 volume"
    )
    factorize_parser.add_argument(
        "-o", "--output", type=str, required=True, help="NeXus file to write (.nxs)"
    )
    factorize_parser.add_argument("--png", action="store_true", help="also draw the result beside the output")
    factorize_parser.add_function_arguments(factorize, skip={"file", "output", "png"})
    commands.add_subcommand("factorize", factorize_parser, help=_first_line(factorize))
    export_parser = ArgumentParser(description=_first_line(export))
    export_parser.add_argument(
        "weights", type=str, help="`release`, a checkpoint of `dsfunet fit`, or a folder of safetensors"
    )
    export_parser.add_function_arguments(export, skip={"weights"})
    commands.add_subcommand("export", export_parser, help=_first_line(export))
    for name in TRAINING_COMMANDS:
        # Only their names: LightningCLI parses them itself, and importing it takes ten seconds.
        commands.add_subcommand(
            name, ArgumentParser(), help=f"LightningCLI: {name} with --config configs/....yaml"
        )
    namespace = parser.parse_args(arguments)
    values = namespace[namespace.command].as_dict()
    if namespace.command == "factorize":
        factorize(**values)
    else:
        export(**values)
    return 0


def _first_line(function: object) -> str:
    return (function.__doc__ or "").splitlines()[0]


def _train(arguments: list[str]) -> int:
    try:
        from dsfunet.training import run_training
    except ModuleNotFoundError as error:
        raise InputError(
            f"{error.name} is not installed: expected the training extra, pip install -e '.[train]' in the checkout"
        ) from error
    with warnings.catch_warnings():
        # Lightning 2.6 calls a torch function that torch 2.15 deprecates; nothing a user could act on.
        warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
        # And jsonargparse functions that jsonargparse 4.53 deprecates.
        warnings.filterwarnings("ignore", message=".*jsonargparse.*", category=DeprecationWarning)
        # We hand the arguments on ourselves, and they are those of the command line.
        warnings.filterwarnings("ignore", message="LightningCLI's args parameter is intended")
        run_training(arguments)
    return 0
