"""`dsfunet convert`: write a volume or a plane of any readable file as Yell, NXdata or .npz."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from dsfunet.command_parser import Parser, first_line
from dsfunet.errors import InputError
from dsfunet.planes.scale_names import Scale


def convert(
    file: str,
    output: str,
    plane: str | None = None,
    format: Literal["yell", "nxdata", "npz"] | None = None,
    cell: str | None = None,
    q_max_inv_angstrom: float | None = None,
    first_range: str | None = None,
    second_range: str | None = None,
    orientation: Literal["array", "picture"] = "array",
    scale: Scale = "auto",
    cell_unit: str | None = None,
    array_axes: str | None = None,
    at: str | None = None,
    ub: str | None = None,
    of: str | None = None,
) -> None:
    """Write a volume, or a plane, of any readable file in the layout of Yell, as NXdata or as .npz.

    Args:
        file: any file that `dsfunet factorize` reads
        output: file to write: .h5 (Yell), .nxs (NXdata) or .npz
        plane: plane of a volume, such as hk1 or hhl; the whole volume by default
        format: layout of the file to write, by default that of its ending
        cell: "a b c alpha beta gamma" [Angstrom, degrees], used when the file has no valid unit cell
        q_max_inv_angstrom: for a square picture with Cartesian pixels, half its side [1/Angstrom]
        first_range: for a picture, its first and last pixel centre along the plane's first axis, "-5 5" [r.l.u.]
        second_range: likewise along the second axis; give both or neither
        orientation: of a picture: array if its rows run along the first axis, picture if the first axis points right
            and the second up
        scale: scale of the numbers in the file, in terms of the intensity x: linear, spread (2 sqrt(x) - 1, as DSFU-Net
            writes them), centred (2 x - 1), sqrt, log, log10 or log1p; auto recognises the files of DSFU-Net
        cell_unit: unit of the file's unit cell: angstrom, nm or pm, and degrees or radians, one or two words
        array_axes: for an array without axes, the index along each dimension with its first and last value, "h -6 6, k
            -6 6, l 0 2"; for a plane also the fixed index [r.l.u.]
        at: for data with a fourth axis, the value along it, temperature=150
        ub: for axes Qx, Qy, Qz, the UB matrix without 2 pi, nine numbers row by row [1/Angstrom]
        of: of a result, what to write: input, form_factor, short_range_order, product, residual or
            sigma_form_factor; the input by default
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
    request = parse_options(
        {
            "plane": plane,
            "cell": cell,
            "q_max_inv_angstrom": q_max_inv_angstrom,
            "first_range": first_range,
            "second_range": second_range,
            "orientation": orientation,
            "scale": scale,
            "cell_unit": cell_unit,
            "array_axes": array_axes,
            "at": at,
            "ub": ub,
        }
    )
    if plane is None and _convert_volume(source, target, layout, request, of):
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
    from dsfunet.io.formats.images import read_pixels
    from dsfunet.io.open_volumes import open_volume
    from dsfunet.io.volume_results import is_volume_result

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
    parser.add_function_arguments(convert, skip={"file", "output"})
    commands.add_subcommand("convert", parser, help=COMMANDS["convert"])
    return {"convert": convert}
