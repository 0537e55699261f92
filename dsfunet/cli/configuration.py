"""`dsfunet configuration`: a model crystal with refined correlations."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from dsfunet.command_parser import Parser, first_line
from dsfunet.errors import InputError

_DESCRIPTION = (
    " Monte Carlo to all refined alphas at once finds which species is on which site. Writes the model, and its own"
    " alphas beside those asked for as .configuration.json and .csv next to it. The exit code is 0 if the alphas were"
    " met, and 1 if the model is only the nearest that was found."
)


def configuration(
    file: str,
    cells: list[int],
    output: str,
    concentration: float | None = None,
    species: list[str] | None = None,
    seed: int = 0,
    sweeps: int = 150,
    assume_two_dimensional: bool = False,
) -> int:
    """Make a model crystal with the refined correlations.

    Args:
        file: PREFIX.refine.json of `dsfunet refine`
        cells: numbers of conventional cells along a, b and c
        output: model to write
        concentration: share of A, between 0 and 1; by default what the refinement recorded
        species: A and B
        seed: of the Monte Carlo run; the same seed gives the same model
        sweeps: over how many sweeps the deviations are lowered, one attempted exchange a site in each; strong order
            needs more
        assume_two_dimensional: take correlations of a single layer for those of a crystal whose layers are not
            correlated with each other

    Returns:
        0 if the alphas were met, 1 if not.

    Raises:
        InputError: the file, an option or the output cannot be used.
    """
    from tqdm import tqdm

    from dsfunet.analysis.configuration import order_configuration, read_wanted
    from dsfunet.analysis.configuration.model_files import check_suffix, write_model
    from dsfunet.analysis.configuration.reports import as_csv, as_record, as_table, outcome_lines
    from dsfunet.analysis.configuration.species import DEFAULT_SPECIES, read_pair
    from dsfunet.files import check_writable, replacing, write_json

    source, model = Path(file), Path(output)
    check_suffix(model)
    tables = {kind: model.with_suffix(f".configuration.{kind}") for kind in ("json", "csv")}
    for target in (model, *tables.values()):
        check_writable(target)
        if target.exists() and source.exists() and target.samefile(source):
            raise InputError(f"{target}: this is the file with the alphas; choose another name with --output")
    wanted = read_wanted(source, assume_two_dimensional)
    names = (species or list(DEFAULT_SPECIES))[0], (species or list(DEFAULT_SPECIES))[1]
    molecules = read_pair(*names)
    kind = "two-dimensional crystal" if assume_two_dimensional else "crystal"
    cell = " ".join(f"{value:g}" for value in wanted.cell.parameters)
    count = len(wanted.alphas)
    print(
        f"read       {source}: {count} alpha{'s' * (count > 1)} of a {kind}, cell {cell}, centring"
        f" {wanted.cell.centring}, Laue class {wanted.laue or 'not recorded'}"
    )
    with tqdm(total=sweeps + sweeps // 2, unit="sweep", leave=False, disable=None) as bar:

        def report(doing: str, _: int, chi: float) -> None:
            bar.set_description(f"{doing}, chi {chi:.2f}", refresh=False)
            bar.update()

        found = order_configuration(
            wanted, (cells[0], cells[1], cells[2]), concentration, seed, sweeps, report
        )
    shares = " ".join(map(str, cells))
    print(
        f"model      {shares} cells, {len(found.occupation)} sites, share of A {found.share_a:.6g}, seed {seed}"
    )
    print(f"species    A = {names[0]}, B = {names[1]}" + ("" if species else "; name yours with --species"))
    print(as_table(found))
    print("\n".join(outcome_lines(found)))
    count = write_model(model, found, molecules)
    write_json(tables["json"], as_record(found, source.name, names, model.name), sort_keys=False)
    with replacing(tables["csv"]) as temporary:
        temporary.write_text(as_csv(found), encoding="utf-8")
    print(f"wrote      {model}: {count} atoms")
    for target in tables.values():
        print(f"wrote      {target}")
    return 0 if found.is_met else 1


COMMANDS = {"configuration": first_line(configuration)}
"""The command of this module, and what it does."""


def add_parsers(commands: Any) -> dict[str, Callable[..., int | None]]:
    """Add this command to the subcommands of a parser, and return its function by name."""
    parser = Parser(description=first_line(configuration) + _DESCRIPTION)
    parser.add_argument("file", type=str, help="PREFIX.refine.json of `dsfunet refine`")
    parser.add_argument(
        "--cells",
        type=int,
        nargs=3,
        required=True,
        metavar=("A", "B", "C"),
        help="numbers of conventional cells along a, b and c",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=str,
        required=True,
        metavar="MODEL",
        help="model to write; the suffix chooses the format: .xyz or .extxyz (extended XYZ, for ASE and OVITO), .cif,"
        " .stru or .cell (DISCUS)",
    )
    parser.add_argument(
        "--species",
        type=str,
        nargs=2,
        metavar=("A", "B"),
        help="what species A and B are: an element, an .xyz or .cif file with the atoms around the site in the"
        " Cartesian axes of the crystal, or vacancy; by default Au and Cu stand for them",
    )
    parser.add_function_arguments(configuration, as_group=False, skip={"file", "cells", "output", "species"})
    commands.add_subcommand("configuration", parser, help=COMMANDS["configuration"])
    return {"configuration": configuration}
