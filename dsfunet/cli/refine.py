"""`dsfunet refine`: Warren-Cowley parameters from results."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from dsfunet.command_parser import Parser, first_line

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
    from dsfunet.analysis.refinement.run import refine_files
    from dsfunet.analysis.refinement.settings import RefinementSettings

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


def add_parsers(commands: Any) -> dict[str, Callable[..., int | None]]:
    """Add this command to the subcommands of a parser; returns its function by name."""
    parser = Parser(description=first_line(refine))
    parser.add_argument(
        "files",
        type=str,
        nargs="+",
        help="results of `dsfunet factorize` (.nxs); several are refined together",
    )
    parser.add_argument("-o", "--output", type=str, help="prefix of PREFIX.refine.json, .csv, .cif, .png")
    parser.add_function_arguments(refine, skip={"files", "output"})
    commands.add_subcommand("refine", parser, help=first_line(refine))
    return {"refine": refine}
