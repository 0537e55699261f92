"""`dsfunet inspect`: describe a file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from dsfunet.cli.reading import ReadingOptions
from dsfunet.command_parser import Parser, first_line


def inspect(file: str, png: str | None = None, **options: Any) -> None:
    """Describe a file: its layout, axes, cell, range of Q, missing pixels and suspicious values.

    Args:
        file: Any file that `dsfunet factorize` reads or writes.
        png: File for a picture of the plane (.png).
        options: Fields of `ReadingOptions`.

    Raises:
        InputError: An option cannot be understood, or as `dsfunet.inspection.describe.inspect_file`.
    """
    from dsfunet.inspection.describe import inspect_file

    given = ReadingOptions(**options)
    reading, cell = given.parse()
    inspect_file(Path(file), given.plane, None if png is None else Path(png), reading, cell, given.of)


COMMANDS = {"inspect": first_line(inspect)}
"""The command of this module, and what it does."""


def add_parsers(commands: Any) -> dict[str, Callable[..., int | None]]:
    """Add this command to the subcommands of a parser; returns its function by name."""
    parser = Parser(description=first_line(inspect))
    parser.add_argument("file", type=str, help="any file that `dsfunet factorize` reads or writes")
    parser.add_argument("--png", type=str | None, default=None, help="file for a picture of the plane (.png)")
    parser.add_class_arguments(ReadingOptions)
    commands.add_subcommand("inspect", parser, help=COMMANDS["inspect"])
    return {"inspect": inspect}
