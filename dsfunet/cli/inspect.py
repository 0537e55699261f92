"""`dsfunet inspect`: describe a file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from dsfunet.command_parser import Parser, first_line


def inspect(file: str, plane: str | None = None, png: str | None = None) -> None:
    """Describe a file: its layout, axes, cell, range of Q, missing pixels and suspicious values.

    Args:
        file: any file that `dsfunet factorize` reads or writes
        plane: plane of a volume, by default one near the centre; of a result, one of its planes, such as form_factor
        png: file for a picture of that plane (.png)
    """
    from dsfunet.inspection.describe import inspect_file

    inspect_file(Path(file), plane, None if png is None else Path(png))


COMMANDS = {"inspect": first_line(inspect)}
"""The command of this module, and what it does."""


def add_parsers(commands: Any) -> dict[str, Callable[..., int | None]]:
    """Add this command to the subcommands of a parser; returns its function by name."""
    parser = Parser(description=first_line(inspect))
    parser.add_argument("file", type=str, help="any file that `dsfunet factorize` reads or writes")
    parser.add_function_arguments(inspect, skip={"file"})
    commands.add_subcommand("inspect", parser, help=COMMANDS["inspect"])
    return {"inspect": inspect}
