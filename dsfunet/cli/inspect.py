"""`dsfunet inspect`: say what a file holds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from dsfunet.command_parser import Parser, first_line


def inspect(file: str, plane: str | None = None, png: str | None = None) -> None:
    """Say what a file is: its layout, axes, cell, range of Q, missing pixels, and what is odd about it.

    Args:
        file: any file that `dsfunet factorize` takes, or one that it made.
        plane: plane of a volume to look at, by default one near the centre; of a result such as form_factor.
        png: picture of that plane to write.
    """
    from dsfunet.inspection.describe import inspect_file

    inspect_file(Path(file), plane, None if png is None else Path(png))


def add_parsers(commands: Any) -> dict[str, Callable[..., int | None]]:
    """Add this command to the subcommands of a parser; returns its function by name."""
    parser = Parser(description=first_line(inspect))
    parser.add_argument("file", type=str, help="any file that `dsfunet factorize` takes, or one it made")
    parser.add_function_arguments(inspect, skip={"file"})
    commands.add_subcommand("inspect", parser, help=first_line(inspect))
    return {"inspect": inspect}
