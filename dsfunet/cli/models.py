"""`dsfunet compare` and `dsfunet scan`: structural models judged by the form factor of a result."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from dsfunet.command_parser import Parser, first_line


def compare(file: str, models: list[str], output: str, resamples: int = 2000, seed: int = 0) -> None:
    """Rank structural models by how well their I_FF fits a result's; scale, floor and B are refined.

    Args:
        file: result of `dsfunet factorize` from a file with unit cell and axes.
        models: pairs of species as FILE+FILE (XYZ or CIF), FILE+vacancy, or a CIF with disorder groups 1 and 2.
        output: what the names of the files to write begin with: .json, .csv and .png are added.
        resamples: bootstrap resamples of blocks of the plane.
        seed: of the resamples.
    """
    from dsfunet.analysis.models.run import compare_files

    compare_files(Path(file), models, Path(output), resamples, seed)


def scan(
    file: str,
    model: str,
    output: str,
    range: tuple[float, float, float],
    torsion: list[str] | None = None,
    rotate: str | None = None,
    species: Literal["A", "B", "both"] = "both",
    resamples: int = 2000,
    seed: int = 0,
) -> None:
    """Turn a torsion or a whole molecule through a range of angles and find the minima of the misfit.

    Args:
        file: result of `dsfunet factorize` from a file with unit cell and axes.
        model: one model, named as for `dsfunet compare`.
        output: what the names of the files to write begin with: .json, .csv, .png and _planes.png are added.
        range: first and last angle and the step [degrees]; 0 is the structure as in its file.
        torsion: atom labels as N1-C1-C2-C3, repeated or with commas to turn several together; what lies beyond
            the middle bond turns, in each species that has these atoms.
        rotate: axis "x y z" (Cartesian) or "[uvw]" (lattice direction) to turn about, through each centroid.
        species: which of the pair turns.
        resamples: bootstrap resamples of blocks of the plane.
        seed: of the resamples.
    """
    from dsfunet.analysis.models.run import scan_file

    scan_file(Path(file), model, Path(output), range, torsion or [], rotate, species, resamples, seed)


_MODELS_HELP = (
    "A model is FILE+FILE, FILE+vacancy, or one CIF, whose disorder groups 1 and 2 are the two species; FILE:2 takes"
    " disorder group 2. 'a.xyz+a.xyz@rotate 180 0 0 1' is a molecule and its copy turned by 180 degrees about z,"
    " '@rotate 60 [001]' about a lattice direction of the result's cell; the axis goes through the centroid of the"
    " atoms, or with 'about origin' through the origin. XYZ coordinates are taken as given in the axes of the crystal"
    " (a along x, b in the xy plane) and their atoms are labelled N1, C1, C2 ... in order; of a CIF the atoms listed"
    " are taken, no symmetry is applied."
)


def add_parsers(commands: Any) -> dict[str, Callable[..., int | None]]:
    """Add these commands to the subcommands of a parser; returns their functions by name."""
    for function, positional in ((compare, "models"), (scan, "model")):
        parser = Parser(description=f"{first_line(function)} {_MODELS_HELP}")
        parser.add_argument("file", type=str, help="result of `dsfunet factorize` (.nxs)")
        several = "+" if function is compare else None
        parser.add_argument(positional, type=str, nargs=several, help="see above")
        parser.add_argument(
            "-o", "--output", type=str, required=True, help="what the names of the files begin with"
        )
        skip: set[str | int] = {"file", positional, "output"}
        if function is scan:
            parser.add_argument(
                "--range",
                type=float,
                nargs=3,
                required=True,
                metavar=("FIRST", "LAST", "STEP"),
                help="angles to try [degrees]; 0 is the structure as in its file",
            )
            parser.add_argument(
                "--torsion",
                type=str,
                action="append",
                help="atom labels N1-C1-C2-C3; repeated or with commas, several turn together",
            )
            skip |= {"range", "torsion"}
        parser.add_function_arguments(function, skip=skip)
        commands.add_subcommand(function.__name__, parser, help=first_line(function))
    return {"compare": compare, "scan": scan}
