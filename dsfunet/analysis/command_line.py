"""`dsfunet refine | compare | scan`: one function each, whose signature is the command line, and their parsers."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

_SWITCHED_OFF = {"--no-lattice": "--lattice=false"}

UniqueAxis = Literal["a", "b", "c"]
"""The axis that a Laue class singles out."""


def refine(
    files: list[str],
    laue: str,
    output: str | None = None,
    cell: str | None = None,
    shells: int | None = None,
    vectors: str | None = None,
    unique_axis: UniqueAxis | None = None,
    out_of_plane: bool = False,
    exclude_below: float = 0.05,
    fit_to: Literal["measured", "short-range-order"] = "measured",
    floor: float | None = None,
    errors_from: Literal["zones", "pixels"] = "zones",
    bounds: bool = False,
    concentration: float | None = None,
    model: str | None = None,
    b_iso_angstrom2: float | None = None,
) -> None:
    """Refine Warren-Cowley parameters, with uncertainties, from the short-range order of a result.

    Args:
        files: NeXus files of `dsfunet factorize`, made from a plane with its axes; several, of different planes of one
            crystal, are refined together: one set of alphas, a scale for each plane.
        laue: Laue class: -1, 2/m, mmm, 4/m, 4/mmm, -3, -3m1, -31m, 6/m, 6/mmm, m-3, m-3m, on rhombohedral axes -3:R
            and -3m:R.
        output: prefix of PREFIX.refine.json, .csv, .cif and .png; by default the first file's name without its suffix,
            with .joint for several.
        cell: "a b c alpha beta gamma" [Angstrom, degrees]; by default the first file's.
        shells: number of nearest shells to refine; 5 unless vectors are given.
        vectors: lattice vectors to refine instead, "1 0 0, 1 1 0", one of each orbit.
        unique_axis: by default b for 2/m and c for tetragonal, trigonal and hexagonal classes.
        out_of_plane: also refine vectors with a component along the plane's third axis; without, they are taken for
            uncorrelated. Planes of different orientation always see them.
        exclude_below: share of the largest form factor (of the brightest pixel for short-range-order) below which
            pixels do not count.
        fit_to: measured fits I itself with the form factor of the result, short-range-order the I_SRO of the result.
        floor: for short-range-order, what normalisation took from I_SRO, taken for exact; by default as recorded in
            the file, with its uncertainty.
        errors_from: zones takes uncertainties from the scatter between Brillouin zones; pixels takes every pixel for
            independent.
        bounds: keep alphas feasible for the concentration.
        concentration: m_A, share of one species, between 0 and 1.
        model: the species, where they are known, as for `dsfunet compare`: the plane is then divided by their I_FF and
            by no network's.
        b_iso_angstrom2: isotropic B of that I_FF [Angstrom^2]; refined with the alphas unless it is given.
    """
    from dsfunet.analysis.commands import refine_files
    from dsfunet.analysis.refinement_request import RefinementSettings

    settings = RefinementSettings(
        laue,
        cell,
        shells,
        vectors,
        unique_axis,
        out_of_plane,
        exclude_below,
        fit_to,
        floor,
        errors_from,
        bounds,
        concentration,
        model,
        b_iso_angstrom2,
    )
    refine_files([Path(file) for file in files], None if output is None else Path(output), settings)


def compare(file: str, models: list[str], output: str, resamples: int = 2000, seed: int = 0) -> None:
    """Rank structural models by how well their I_FF fits a result's; scale, floor and B are refined.

    Args:
        file: result of `dsfunet factorize` from a file with unit cell and axes.
        models: pairs of species as FILE+FILE (XYZ or CIF), FILE+vacancy, or a CIF with disorder groups 1 and 2.
        output: what the names of the files to write begin with: .json, .csv and .png are added.
        resamples: bootstrap resamples of blocks of the plane.
        seed: of the resamples.
    """
    from dsfunet.analysis.model_commands import compare_files

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
    from dsfunet.analysis.model_commands import scan_file

    scan_file(Path(file), model, Path(output), range, torsion or [], rotate, species, resamples, seed)


_MODELS_HELP = (
    "A model is FILE+FILE, FILE+vacancy, or one CIF, whose disorder groups 1 and 2 are the two species; FILE:2 takes"
    " disorder group 2. 'a.xyz+a.xyz@rotate 180 0 0 1' is a molecule and its copy turned by 180 degrees about z,"
    " '@rotate 60 [001]' about a lattice direction of the result's cell; the axis goes through the centroid of the"
    " atoms, or with 'about origin' through the origin. XYZ coordinates are taken as given in the axes of the crystal"
    " (a along x, b in the xy plane) and their atoms are labelled N1, C1, C2 ... in order; of a CIF the atoms listed"
    " are taken, no symmetry is applied."
)


def _model_parsers(commands: Any) -> None:
    from dsfunet.command_parser import Parser

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


def add_parsers(commands: Any) -> dict[str, Callable[..., None]]:
    """Add the three commands to the subcommands of a parser; returns their functions by name."""
    from dsfunet.command_parser import Parser

    refine_parser = Parser(description=first_line(refine))
    refine_parser.add_argument(
        "files",
        type=str,
        nargs="+",
        help="results of `dsfunet factorize` (.nxs); several are refined together",
    )
    refine_parser.add_argument(
        "-o", "--output", type=str, help="prefix of PREFIX.refine.json, .csv, .cif, .png"
    )
    refine_parser.add_function_arguments(refine, skip={"files", "output"})
    commands.add_subcommand("refine", refine_parser, help=first_line(refine))
    _model_parsers(commands)
    return {each.__name__: each for each in (refine, compare, scan)}


def with_dashes_understood(arguments: list[str]) -> list[str]:
    """Arguments as the parser takes them: values with a minus joined on, underscores for dashes, no "no-"."""
    positive = [_SWITCHED_OFF.get(argument, argument) for argument in arguments]
    return _with_underscores(_with_minus_joined(positive))


def _with_minus_joined(arguments: list[str]) -> list[str]:
    """Values such as -3m1, -1kl or -1,65535 begin like an option; joined to theirs they are taken for what they are."""
    joined: list[str] = []
    for argument in arguments:
        if joined and re.fullmatch(r"--[a-z_-]+", joined[-1]) and re.match(r"-[\d.]", argument):
            joined[-1] = f"{joined[-1]}={argument}"
        else:
            joined.append(argument)
    return joined


def _with_underscores(arguments: list[str]) -> list[str]:
    """--out-of-plane for --out_of_plane, as jsonargparse calls it: both are understood."""
    split = [argument.partition("=") for argument in arguments]
    return [
        f"--{name[2:].replace('-', '_')}{equals}{value}" if name.startswith("--") else name + equals + value
        for name, equals, value in split
    ]


def first_line(function: object) -> str:
    """What a command does, in the first line of its function's docstring."""
    return (function.__doc__ or "").splitlines()[0]
