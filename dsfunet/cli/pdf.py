"""`dsfunet pdf`: the three-dimensional difference pair distribution function of a volume."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from dsfunet.command_parser import Parser, first_line
from dsfunet.errors import InputError

_DESCRIPTION = (
    " It is the Fourier transform of a volume of diffuse scattering: positive where two atoms are found at a vector"
    " more often than in the average structure. The file has the layout Yell 1.0 with is_direct = 1 and is a NeXus file"
    " too."
)


def pdf(
    file: str,
    output: str,
    of: str = "input",
    window: Literal["gauss", "hann", "blackman", "sphere", "none"] = "gauss",
    shape: Literal["sphere", "ellipsoid"] = "sphere",
    radius: float | None = None,
    resolution: str | None = None,
    extent: str | None = None,
    fill: Literal["nothing", "product"] = "nothing",
    scale: Literal["absolute", "origin"] = "absolute",
    picture: str | None = None,
    cell: str | None = None,
    laue: str | None = None,
    unique_axis: Literal["a", "b", "c"] | None = None,
) -> None:
    """Transform a volume into its three-dimensional difference pair distribution function (3D-dPDF).

    Args:
        file: volume, or result of a volume
        output: file to write
        of: what to transform, or all
        window: gauss falls to 0.01 at its radius and leaves round peaks without ripples; hann and blackman fall to 0;
            sphere ends sharply, for the narrowest peaks with ripples of 9 %; none takes the whole box of voxels
        shape: of the window: a sphere in Q, or an ellipsoid that touches all faces of the box of voxels
        radius: of the sphere, |Q| = 2 pi / d in 1/Angstrom; by default the largest sphere in the box
        resolution: largest voxel in real space, in Angstrom or cells, such as 0.2 or "0.05 cells", one or three
            numbers; finer voxels than the default add no information, coarser ones leave out the outer Q; by default
            1 / (number of voxels x their step)
        extent: largest distance from the origin to write, along each axis, likewise; by default all
        fill: what stands for voxels without measured Friedel mate: nothing, or the product of a result
        scale: absolute is the intensity per cubic Angstrom; origin divides by the value at the origin, so that the
            peaks of short_range_order are its alphas
        picture: .png with the sections w = 0, u = 0 and v = 0
        laue: Laue class, such as m-3m, to average the volume over first; needed where only an octant was measured
        unique_axis: of the Laue class; by default b for 2/m and c for tetragonal, trigonal and hexagonal classes
        cell: "a b c alpha beta gamma" [Angstrom, degrees], for a file without a valid unit cell

    Raises:
        InputError: the file, an option or an output cannot be used.
    """
    from tqdm import tqdm

    from dsfunet.analysis.pair_distribution import (
        PairDistributionSettings,
        pair_distribution,
        write_pair_distribution,
    )
    from dsfunet.analysis.pair_distribution.picture import draw_sections
    from dsfunet.analysis.pair_distribution.settings import PARTS
    from dsfunet.files import check_writable
    from dsfunet.io import open_volume
    from dsfunet.io.cell_parameters import cell_from_text
    from dsfunet.plotting.result import save_png

    settings = PairDistributionSettings(
        window, shape, radius, resolution, extent, fill, scale, laue, unique_axis
    )
    given = None if cell is None else cell_from_text(cell)
    named = tuple(part for part in PARTS if part == of.replace("-", "_"))
    if not named and of != "all":
        raise InputError(f"--of is {of}; expected {', '.join(PARTS)} or all")
    parts = named or PARTS
    source, several = Path(file), len(parts) > 1
    targets = {part: _name_part(Path(output), part, several) for part in parts}
    pictures = {part: _name_part(Path(picture), part, several) for part in parts} if picture else {}
    for target in (*targets.values(), *pictures.values()):
        check_writable(target)
        if target.exists() and source.exists() and target.samefile(source):
            raise InputError(f"{target}: this is the volume; choose another name")
    for part in parts:
        with open_volume(source, part=None if part == "input" else part):
            pass  # all of them must be there before the first is transformed
    for part in parts:
        # Only the measured intensity has voxels to fill.
        chosen = settings if part == "input" or not several else replace(settings, fill="nothing")
        with tqdm(unit="plane", leave=False, disable=None, desc=part) as bar:

            def report(done: int, whole: int, bar: Any = bar) -> None:
                bar.total = whole
                bar.update(done - bar.n)

            found = pair_distribution(source, chosen, part, given, report)
        print(found.report())
        write_pair_distribution(targets[part], found)
        print(f"wrote      {targets[part]}")
        if part in pictures:
            save_png(draw_sections(found), pictures[part])
            print(f"wrote      {pictures[part]}")


def _name_part(path: Path, part: str, several: bool) -> Path:
    return path.with_name(f"{path.stem}.{part}{path.suffix}") if several else path


COMMANDS = {"pdf": first_line(pdf)}
"""The command of this module, and what it does."""


def add_parsers(commands: Any) -> dict[str, Callable[..., int | None]]:
    """Add this command to the subcommands of a parser, and return its function by name."""
    parser = Parser(description=first_line(pdf) + _DESCRIPTION)
    parser.add_argument(
        "file",
        type=str,
        help="HDF5 volume in any layout that `dsfunet inspect` knows, or result of `dsfunet factorize --volume`",
    )
    parser.add_argument(
        "-o", "--output", type=str, required=True, metavar="FILE", help="file to write, such as pdf.h5"
    )
    parser.add_argument(
        "--of",
        type=str,
        default="input",
        metavar="ARRAY",
        help="what to transform: input, the measured intensity; form_factor, short_range_order, product or residual of"
        " a result; all writes one file for each, with its name before the suffix",
    )
    parser.add_function_arguments(pdf, as_group=False, skip={"file", "output", "of"})
    commands.add_subcommand("pdf", parser, help=COMMANDS["pdf"])
    return {"pdf": pdf}
