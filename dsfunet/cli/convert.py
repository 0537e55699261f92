"""`dsfunet convert`: write a volume or a plane of any readable file as Yell, NXdata or .npz."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from dsfunet.cli.reading import PictureOptions, ReadingOptions
from dsfunet.command_parser import Parser, first_line
from dsfunet.errors import InputError


def convert(
    file: str,
    output: str,
    format: Literal["yell", "nxdata", "npz"] | None = None,
    of: str | None = None,
    **options: Any,
) -> None:
    """Write a volume, or a plane, of any readable file in the layout of Yell, as NXdata or as .npz.

    Args:
        file: Any file that `dsfunet factorize` reads.
        output: File to write.
        format: Layout of the file to write, by default that of its ending.
        of: Of a result, the part to write, such as form_factor; the input by default.
        options: Other fields of `ReadingOptions`, and those of `PictureOptions`.

    Raises:
        InputError: An option, the file or the output cannot be used.
    """
    from dsfunet.factorize.options import parse_options
    from dsfunet.files import check_writable
    from dsfunet.io.exports import choose_format, write_plane
    from dsfunet.io.read_planes import read_part, read_plane

    source, target = Path(file), Path(output)
    check_writable(target)
    if target.exists() and source.exists() and target.samefile(source):
        raise InputError(f"{target}: this is the file to convert; give another name for the result")
    layout = format or choose_format(target)
    request = parse_options(options)
    if request.planes is None and _convert_volume(source, target, layout, request, of):
        return
    name = None if request.planes is None else request.planes.list_planes()[0]
    if of is None:
        measured = read_plane(source, name, request.axes, request.cell, request.reading)
    else:
        measured = read_part(source, of, name)
    write_plane(target, measured, layout, source.name)
    where = measured.grid.describe() if measured.grid is not None else "a plane without axes"
    _report(source, where, measured.notes, target)


def _convert_volume(
    source: Path,
    target: Path,
    layout: Literal["yell", "nxdata", "npz"],
    request: Any,
    part: str | None,
) -> bool:
    """Convert a file whole, if it holds a volume; returns False for a plane."""
    from dsfunet.files import leading_bytes
    from dsfunet.io.exports import write_volume
    from dsfunet.io.formats import simulated_stores
    from dsfunet.io.formats.images import read_pixels
    from dsfunet.io.open_volumes import open_volume
    from dsfunet.io.volume_results import is_volume_result

    if simulated_stores.recognises(source):
        return False
    if request.reading.array_axes is None and read_pixels(source, leading_bytes(source)) is not None:
        return False
    if part is not None and not is_volume_result(source):
        return False
    with open_volume(source, request.reading, request.cell, part=part) as volume:
        if volume.spanned is not None or min(volume.axes.counts) == 1:
            return False
        write_volume(target, volume, layout, source.name)
        size = " x ".join(map(str, volume.axes.counts))
        _report(
            source,
            f"{volume.layout}, {size} voxels along h, k, l",
            (*volume.notes, *volume.remarks()),
            target,
        )
    return True


def _report(source: Path, where: str, notes: tuple[str, ...], target: Path) -> None:
    print(f"read       {source}: {where}")
    for note in notes:
        print(f"           note: {note}")
    print(f"wrote      {target}")


COMMANDS = {"convert": first_line(convert)}
"""The command of this module, and what it does."""


def add_parsers(commands: Any) -> dict[str, Callable[..., int | None]]:
    """Add this command to the subcommands of a parser; returns its function by name."""
    parser = Parser(description=first_line(convert))
    parser.add_argument("file", type=str, help="any file that `dsfunet factorize` reads")
    parser.add_argument("output", type=str, help="file to write: .h5 (Yell), .nxs (NXdata) or .npz")
    layouts = Literal["yell", "nxdata", "npz"] | None
    parser.add_argument(
        "--format",
        type=layouts,
        help="yell, nxdata or npz; by default the layout of the ending of the output",
    )
    parser.add_class_arguments(ReadingOptions)
    parser.add_class_arguments(PictureOptions)
    commands.add_subcommand("convert", parser, help=COMMANDS["convert"])
    return {"convert": convert}
