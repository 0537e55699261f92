"""`dsfunet watch`: factorise the files of a folder as they arrive."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from dsfunet.cli.factorize import add_settings
from dsfunet.command_parser import Parser, first_line


def watch(
    folder: str,
    out: str | None,
    pattern: str,
    once: bool,
    interval: float,
    settle: float,
    patience: float,
    **options: Any,
) -> int:
    """Factorise the files of a folder as they arrive, each when it is complete; stop with Ctrl-C.

    Args:
        folder: The folder to watch; its subfolders are not scanned.
        out: Folder for the results; `factorized` in the watched folder by default.
        pattern: File name patterns as in a shell, separated by commas.
        once: Factorise the files that are there, wait for those that are still growing, and stop.
        interval: Time between two scans of the folder [s].
        settle: A file is complete when its size and modification time have not changed for this long [s].
        patience: How long a file that cannot be opened is retried [s].
        options: Fields of `FactorizeOptions` and `CleanUpOptions`.
    """
    from dsfunet.factorize.options import parse_options
    from dsfunet.factorize.watch import WatchSettings, watch_folder

    where = Path(out) if out is not None else Path(folder) / "factorized"
    waiting = WatchSettings(pattern, once, interval, settle, patience)
    return watch_folder(Path(folder), where, parse_options(options), waiting)


COMMANDS = {"watch": first_line(watch)}
"""The command of this module, and what it does."""


def add_parsers(commands: Any) -> dict[str, Callable[..., int | None]]:
    """Add this command to the subcommands of a parser; returns its function by name."""
    from jsonargparse.typing import NonNegativeFloat, PositiveFloat

    parser = Parser(description=first_line(watch))
    parser.add_argument("folder", type=str, help="folder to watch; its subfolders are not scanned")
    parser.add_argument(
        "--out", type=str, help="folder for the results (default: factorized in the watched folder)"
    )
    parser.add_argument(
        "--pattern",
        type=str,
        default="*.h5,*.hdf5,*.nxs",
        help='file name patterns as in a shell, separated by commas, such as "*.nxs,*.mat,*.vtk,*.tif": any format that'
        " `dsfunet factorize` reads; results of dsfunet are skipped",
    )
    parser.add_argument(
        "--once",
        action="store_true",
        help="factorise the files that are there, wait for those that are still growing, and stop",
    )
    parser.add_argument(
        "--interval", type=PositiveFloat, default=2.0, help="time between two scans of the folder [s]"
    )
    parser.add_argument(
        "--settle",
        type=NonNegativeFloat,
        default=10.0,
        help="a file is complete when its size and modification time have not changed for this long [s]",
    )
    parser.add_argument(
        "--patience",
        type=NonNegativeFloat,
        default=600.0,
        help="how long after its last change a file that cannot be opened is retried [s]",
    )
    add_settings(parser)
    commands.add_subcommand("watch", parser, help=COMMANDS["watch"])
    return {"watch": watch}
