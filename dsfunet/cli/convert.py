"""`dsfunet convert`: write a volume or a plane of any readable file as Yell, NXdata or .npz."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from dsfunet.cli.reading import ReadingOptions
from dsfunet.command_parser import Parser, first_line
from dsfunet.errors import InputError


def convert(
    file: str,
    output: str,
    format: Literal["yell", "nxdata", "npz"] | None = None,
    q_max_inv_angstrom: float | None = None,
    first_range: str | None = None,
    second_range: str | None = None,
    orientation: Literal["array", "picture"] = "array",
    **options: Any,
) -> None:
    """Write a volume, or a plane, of any readable file in the layout of Yell, as NXdata or as .npz.

    Args:
        file: any file that `dsfunet factorize` reads
        output: file to write: .h5 (Yell), .nxs (NXdata) or .npz
        format: layout of the file to write, by default that of its ending
        q_max_inv_angstrom: for a square picture with Cartesian pixels, half its side [1/Angstrom]
        first_range: for a picture, its first and last pixel centre along the plane's first axis, "-5 5" [r.l.u.]
        second_range: likewise along the second axis; give both or neither
        orientation: of a picture: array if its rows run along the first axis, picture if the first axis points right
            and the second up
        options: fields of `ReadingOptions`

    Raises:
        InputError: an option, the file or the output cannot be used.
    """
    from dsfunet.factorize.options import parse_options
    from dsfunet.files import check_writable
    from dsfunet.io.exports import choose_format, write_plane
    from dsfunet.io.read_planes import read_part, read_plane

    source, target, part = Path(file), Path(output), options.pop("of", None)
    check_writable(target)
    if target.exists() and source.exists() and target.samefile(source):
        raise InputError(f"{target}: this is the file to convert; give another name for the result")
    layout = format or choose_format(target)
    of_picture = {
        "q_max_inv_angstrom": q_max_inv_angstrom,
        "first_range": first_range,
        "second_range": second_range,
        "orientation": orientation,
    }
    request = parse_options({**options, **of_picture})
    if request.planes is None and _convert_volume(source, target, layout, request, part):
        return
    name = None if request.planes is None else request.planes.list_planes()[0]
    if part is None:
        measured = read_plane(source, name, request.axes, request.cell, request.reading)
    else:
        measured = read_part(source, part, name)
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
    parser.add_class_arguments(ReadingOptions)
    parser.add_function_arguments(convert, skip={"file", "output", "options"})
    commands.add_subcommand("convert", parser, help=COMMANDS["convert"])
    return {"convert": convert}
