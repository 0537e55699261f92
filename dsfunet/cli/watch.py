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
        settings: fields of `FactorizeSettings` and `CleanUpOptions`.
    """
    from dsfunet.factorize.settings import FactorizeSettings
    from dsfunet.factorize.watch import WatchSettings, watch_folder

    where = Path(out) if out is not None else Path(folder) / "factorized"
    return watch_folder(
        Path(folder),
        where,
        FactorizeSettings.of_options(settings),
        WatchSettings(pattern, once, interval, settle, patience),
    )


def add_parsers(commands: Any) -> dict[str, Callable[..., int | None]]:
    """Add this command to the subcommands of a parser; returns its function by name."""
    from jsonargparse.typing import NonNegativeFloat, PositiveFloat

    parser = Parser(description=first_line(watch))
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
    add_settings(parser)
    commands.add_subcommand("watch", parser, help=first_line(watch))
    return {"watch": watch}
