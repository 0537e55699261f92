"""`dsfunet factorize | watch | inspect | refine | compare | scan | fit | validate | test | export`: each a function."""

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from dsfunet import __version__
from dsfunet.errors import InputError

TRAINING_COMMANDS = ("fit", "validate", "test")
"""Commands that LightningCLI takes over; they need the extra `train`."""

ExportFormat = Literal["safetensors", "torch-export", "onnx"]
"""What `dsfunet export` writes."""

_PLANE_BY_PLANE = ("factorize", "watch")
_INTERRUPTED = 130
_EXIT_CODES = (
    "Exit code 0: every plane has its result; 1: some failed, one line each on standard error; 2: none has one, or the"
    " command cannot be done at all; 130: stopped by Ctrl-C, what was done is kept."
)


def run() -> None:
    """Entry point of the `dsfunet` command."""
    if sys.argv[1:2] and sys.argv[1] in _PLANE_BY_PLANE:
        # Before numpy is there: its OpenBLAS spins while it waits for a core that torch or another plane has, and on
        # two busy cores a plane took four times the processor time. Its matrices are small here.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read what is printed has seen enough, as head has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    raise SystemExit(code)


def main(args: Sequence[str] | None = None) -> int:
    """Run one command; returns 0, or 2 with one sentence on standard error when the input is at fault.

    Of many planes some may fail (1); 130 is Ctrl-C.
    """
    arguments = list(sys.argv[1:] if args is None else args)
    try:
        if arguments and arguments[0] in TRAINING_COMMANDS:
            return _train(arguments)
        return _parse_and_run(arguments)
    except InputError as error:
        print(f"dsfunet: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("dsfunet: interrupted", file=sys.stderr)
        return _INTERRUPTED


def factorize(
    files: list[str],
    output: str | None,
    out: str | None,
    summary: str | None,
    redo: bool,
    **settings: Any,
) -> int:
    """Split measured planes into form factor and short-range order.

    Args:
        files: volumes or planes that `dsfunet.io.read_plane` reads; NaN and negative are missing.
        output: NeXus file to write (.nxs), for one plane.
        out: folder for the results of many, made where it is not there.
        summary: JSON file of what became of each plane; summary.json in the folder where none is named.
        redo: make results again that are there already.
        settings: fields of `FactorizeSettings` and `CleanUp`.
    """
    from dsfunet.factorize_settings import FactorizeSettings

    asked = FactorizeSettings.of_options(settings)
    if out is not None:
        from dsfunet.batch import factorize_batch

        paths = [Path(file) for file in files]
        return factorize_batch(paths, Path(out), asked, None if summary is None else Path(summary), redo)
    if asked.by_layers or len(files) * len(asked.plane_names()) > 1:
        raise InputError(f"--output {output}: found several planes to go there, expected --out FOLDER")
    from dsfunet.commands import factorize_file

    factorize_file(Path(files[0]), Path(str(output)), asked)
    return 0


def watch(
    folder: str,
    out: str | None,
    pattern: str,
    once: bool,
    interval: float,
    settle: float,
    patience: float,
    **settings: Any,
) -> int:
    """Factorise the files of a folder as they arrive, each once it is complete; Ctrl-C ends it.

    Args:
        folder: to look in, not below it.
        out: folder for the results; `factorized` in it where none is named.
        pattern: which files, as a shell has it.
        once: do what is there, wait for those that are still growing, and stop.
        interval: between two looks [s].
        settle: a file is complete when neither size nor time of writing have changed for so long [s].
        patience: how long a file that does not open is tried again [s].
        settings: fields of `FactorizeSettings` and `CleanUp`.
    """
    from dsfunet.factorize_settings import FactorizeSettings
    from dsfunet.watch import WatchSettings, watch_folder

    where = Path(out) if out is not None else Path(folder) / "factorized"
    return watch_folder(
        Path(folder),
        where,
        FactorizeSettings.of_options(settings),
        WatchSettings(pattern, once, interval, settle, patience),
    )


def inspect(file: str, plane: str | None = None, png: str | None = None) -> None:
    """Say what a file is: its layout, axes, cell, range of Q, missing pixels, and what is odd about it.

    Args:
        file: any file that `dsfunet factorize` takes, or one that it made.
        plane: plane of a volume to look at, by default one near the centre; of a result such as form_factor.
        png: picture of that plane to write.
    """
    from dsfunet.inspection import inspect_file

    inspect_file(Path(file), plane, None if png is None else Path(png))


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
    from dsfunet.analysis.command_line import add_parsers, with_dashes_understood
    from dsfunet.command_parser import Parser
    from dsfunet.help_format import ReadableHelp

    parser = Parser(
        prog="dsfunet",
        description="Split diffuse scattering into its two components.",
        formatter_class=ReadableHelp,  # of the commands, too
    )
    parser.add_argument("--version", action="version", version=f"dsfunet {__version__}")
    commands = parser.add_subcommands(dest="command", help="`dsfunet COMMAND --help` says more")
    factorize_parser = _add_factorize(commands)
    _add_watch(commands)
    inspect_parser = Parser(description=_first_line(inspect))
    inspect_parser.add_argument(
        "file", type=str, help="any file that `dsfunet factorize` takes, or one it made"
    )
    inspect_parser.add_function_arguments(inspect, skip={"file"})
    commands.add_subcommand("inspect", inspect_parser, help=_first_line(inspect))
    export_parser = Parser(description=_first_line(export))
    export_parser.add_argument(
        "weights", type=str, help="`release`, a checkpoint of `dsfunet fit`, or a folder of safetensors"
    )
    export_parser.add_function_arguments(export, skip={"weights"})
    commands.add_subcommand("export", export_parser, help=_first_line(export))
    functions: dict[str, Callable[..., int | None]]
    functions = {each.__name__: each for each in (factorize, watch, inspect, export)}
    functions |= add_parsers(commands)
    for name in TRAINING_COMMANDS:
        # Only their names: LightningCLI parses them itself, and importing it takes ten seconds.
        commands.add_subcommand(name, Parser(), help=f"LightningCLI: {name} with --config configs/....yaml")
    if arguments and arguments[0] in ("refine", "inspect", *_PLANE_BY_PLANE):
        arguments = with_dashes_understood(arguments)
    namespace = parser.parse_args(arguments)
    values = namespace[namespace.command].as_dict()
    if namespace.command == "factorize":
        if (values["output"] is None) == (values["out"] is None):
            factorize_parser.error("expected either --output FILE, for one plane, or --out FOLDER")
        if values["summary"] is not None and values["out"] is None:
            factorize_parser.error("--summary tells of a batch: expected --out FOLDER beside it")
    return functions[namespace.command](**values) or 0


def _add_factorize(commands: Any) -> Any:
    from dsfunet.command_parser import Parser

    parser = Parser(description=f"{_first_line(factorize)} {_EXIT_CODES}")
    parser.add_argument(
        "files",
        type=str,
        nargs="+",
        help="volumes in HDF5 (Yell, Meerkat, DISCUS, RMCProfile, Mantid, rspace3d, NXdata), or planes: .npy, .npz,"
        " grey TIFF or PNG, CrysAlisPro's .img",
    )
    parser.add_argument("-o", "--output", type=str, help="NeXus file to write (.nxs), for one plane")
    parser.add_argument("--out", type=str, help="folder for the results of many, FOLDER/<file>_<plane>.nxs")
    parser.add_argument(
        "--summary", type=str, help="JSON file of what became of each plane (default: summary.json in FOLDER)"
    )
    parser.add_argument(
        "--redo", action="store_true", help="make results again that are there, made from the same"
    )
    _add_settings(parser)
    commands.add_subcommand("factorize", parser, help=_first_line(factorize))
    return parser


def _add_watch(commands: Any) -> None:
    from jsonargparse.typing import NonNegativeFloat, PositiveFloat

    from dsfunet.command_parser import Parser

    parser = Parser(description=_first_line(watch))
    parser.add_argument("folder", type=str, help="folder to look in, not below it")
    parser.add_argument("--out", type=str, help="folder for the results (default: factorized in the folder)")
    parser.add_argument(
        "--pattern",
        type=str,
        default="*.h5,*.hdf5,*.nxs",
        help="which files, as a shell has it, several with commas (results of dsfunet are left out)",
    )
    parser.add_argument("--once", action="store_true", help="do what is there, then stop")
    parser.add_argument("--interval", type=PositiveFloat, default=2.0, help="between two looks [s]")
    parser.add_argument(
        "--settle",
        type=NonNegativeFloat,
        default=10.0,
        help="a file is complete when its size and its time of writing have not changed for so long [s]",
    )
    parser.add_argument(
        "--patience",
        type=NonNegativeFloat,
        default=600.0,
        help="how long a file that does not open is tried again, counted from its last change [s]",
    )
    _add_settings(parser)
    commands.add_subcommand("watch", parser, help=_first_line(watch))


def _add_settings(parser: Any) -> None:
    """The fields of `FactorizeSettings` and `CleanUp`, an option each; --png and --whole take no value."""
    from dsfunet.cleanup import CleanUp
    from dsfunet.factorize_settings import FactorizeSettings

    parser.add_argument("--png", action="store_true", help="also draw each result beside it, as .png")
    parser.add_argument(
        "--whole",
        action="store_true",
        help="show the networks all of a plane wider than 17.6 1/Angstrom, not the part about its centre",
    )
    parser.add_class_arguments(FactorizeSettings, skip={"png", "whole", "clean_up"})
    parser.add_class_arguments(CleanUp, skip={"seed"})


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
