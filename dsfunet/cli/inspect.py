"""`dsfunet inspect`: describe a file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from dsfunet.command_parser import Parser, first_line
from dsfunet.planes.scale_names import Scale


def inspect(
    file: str,
    plane: str | None = None,
    png: str | None = None,
    cell: str | None = None,
    scale: Scale = "auto",
    cell_unit: str | None = None,
    array_axes: str | None = None,
    at: str | None = None,
    ub: str | None = None,
    of: str | None = None,
    allow_external: str | None = None,
) -> None:
    """Describe a file: its layout, axes, cell, range of Q, missing pixels and suspicious values.

    Args:
        file: any file that `dsfunet factorize` reads or writes
        plane: plane of a volume, by default one near the centre; of a result, one of its planes, such as form_factor
        png: file for a picture of that plane (.png)
        cell: "a b c alpha beta gamma" [Angstrom, degrees], used when the file has no valid unit cell
        scale: scale of the numbers in the file, in terms of the intensity x: linear, spread (2 sqrt(x) - 1, as DSFU-Net
            writes them), centred (2 x - 1), sqrt, log, log10 or log1p; auto recognises the files of DSFU-Net
        cell_unit: unit of the file's unit cell: angstrom, nm or pm, and degrees or radians, one or two words
        array_axes: for an array without axes, the index along each dimension with its first and last value, "h -6 6, k
            -6 6, l 0 2"; for a plane also the fixed index [r.l.u.]
        at: for data with a fourth axis, the value along it, temperature=150
        ub: for axes Qx, Qy, Qz, the UB matrix without 2 pi, nine numbers row by row [1/Angstrom]
        of: of a result, what to describe and draw: input, form_factor, short_range_order, product, residual or
            sigma_form_factor; the input by default
        allow_external: folder outside that of the file into which external links in it may lead; several are separated
            by a colon (on Windows a semicolon)
    """
    from dsfunet.inspection.describe import inspect_file
    from dsfunet.io.cell_parameters import cell_from_text
    from dsfunet.io.read_options import parse_read_options

    inspect_file(
        Path(file),
        plane,
        None if png is None else Path(png),
        parse_read_options(scale, cell_unit, array_axes, at, ub, allow_external),
        None if cell is None else cell_from_text(cell),
        of,
    )


COMMANDS = {"inspect": first_line(inspect)}
"""The command of this module, and what it does."""


def add_parsers(commands: Any) -> dict[str, Callable[..., int | None]]:
    """Add this command to the subcommands of a parser; returns its function by name."""
    parser = Parser(description=first_line(inspect))
    parser.add_argument("file", type=str, help="any file that `dsfunet factorize` reads or writes")
    parser.add_function_arguments(inspect, skip={"file"})
    commands.add_subcommand("inspect", parser, help=COMMANDS["inspect"])
    return {"inspect": inspect}
