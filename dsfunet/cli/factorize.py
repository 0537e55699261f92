"""`dsfunet factorize`: split measured planes into form factor and short-range order."""

import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dsfunet.command_parser import Parser, first_line
from dsfunet.errors import InputError
from dsfunet.factorize.loading import load_factorizer
from dsfunet.factorize.pipeline import Separation, notes_on, separate
from dsfunet.factorize.settings import FactorizeSettings
from dsfunet.io import check_writable, read_plane, write_result

_EXIT_CODES = (
    "Exit code 0: every plane has its result; 1: some failed, one line each on standard error; 2: none has one, or the"
    " command cannot be done at all; 130: stopped by Ctrl-C, what was done is kept."
)


def factorize_file(file: Path, output: Path, settings: FactorizeSettings) -> Separation:
    """Read one plane, factorise it, write the NeXus file and the picture, and say what was done.

    Raises:
        InputError: anything about the file, the plane, the weights or the output that cannot be used.
    """
    picture = _check_targets(file, output, settings.png)
    [plane_name] = settings.plane_names()
    measured = read_plane(file, plane_name, settings.axes(), settings.given_cell())
    factorizer = load_factorizer(settings.weights, settings.device)
    try:
        found = separate(measured, factorizer, settings, file.name, plane_name or "")
    except InputError as error:
        raise InputError(f"{file}: {str(error).removeprefix('plane number 0: ')}") from error
    result = found.result
    write_result(output, result)
    if picture:
        from dsfunet.plotting.result import draw_components, save_png  # a second, for those who want pictures

        save_png(draw_components(result), picture)

    print(f"read       {file}: {measured.grid.describe() if measured.grid else 'a plane without axes'}")
    for note in (*measured.notes, *notes_on(found)):
        print(f"           note: {note}")
    for sentence in found.clean_up.sentences():
        print(f"cleaned    {sentence}")
    print(f"missing    {100 * (1 - result.mask.mean()):.1f} % of the plane (NaN or negative)")
    print(f"lattice    {found.lattice}")
    print(f"weights    {result.process['weights']} {str(result.process['weights_sha256'])[:12]}")
    print(
        f"factorised in {found.seconds:.2f} s on {factorizer.device} ({platform.machine()}, {os.cpu_count()} cores)"
    )
    if result.sigma_form_factor is not None:
        print(f"sigma      {result.process['uncertainty']}")
    share = f"{100 * found.r_factor:.1f} %"
    print(f"R          the product of the components leaves {share} of the plane (sum |I - P| / sum I)")
    print(f"verdict    {found.verdict.sentence}")
    for target in filter(None, (output, picture)):
        print(f"wrote      {target}")
    return found


def _check_targets(file: Path, output: Path, png: bool) -> Path | None:
    """Refuse to write over the measurement, or one result over the other, before any work; returns the picture."""
    check_writable(output)
    picture = output.with_suffix(".png") if png else None
    if picture:
        check_writable(picture)
    for target in filter(None, (output, picture)):
        if file.exists() and target.exists() and target.samefile(file):
            raise InputError(f"{target}: is the measurement itself; expected another name for the result")
    if picture == output:
        raise InputError(
            f"{output}: the picture goes there; expected a name such as {output.with_suffix('.nxs')}"
        )
    return picture


def factorize(
    files: list[str],
    output: str | None,
    out: str | None,
    summary: str | None,
    redo: bool,
    **settings: Any,
) -> int:
    """Split measured planes into form factor and short-range order.

    Args:
        files: volumes or planes that `dsfunet.io.read_plane` reads; NaN and negative are missing.
        output: NeXus file to write (.nxs), for one plane.
        out: folder for the results of many, made where it is not there.
        summary: JSON file of what became of each plane; summary.json in the folder where none is named.
        redo: make results again that are there already.
        settings: fields of `FactorizeSettings` and `CleanUpOptions`.
    """
    from dsfunet.factorize.settings import FactorizeSettings

    asked = FactorizeSettings.of_options(settings)
    if out is not None:
        from dsfunet.factorize.batch import factorize_batch

        paths = [Path(file) for file in files]
        return factorize_batch(paths, Path(out), asked, None if summary is None else Path(summary), redo)
    if asked.by_layers or len(files) * len(asked.plane_names()) > 1:
        raise InputError(f"--output {output}: found several planes to go there, expected --out FOLDER")

    factorize_file(Path(files[0]), Path(str(output)), asked)
    return 0


def add_parsers(commands: Any) -> dict[str, Callable[..., int | None]]:
    """Add this command to the subcommands of a parser; returns its function by name."""
    parser = Parser(description=f"{first_line(factorize)} {_EXIT_CODES}")
    parser.add_argument(
        "files",
        type=str,
        nargs="+",
        help="volumes in HDF5 (Yell, Meerkat, DISCUS, RMCProfile, Mantid, rspace3d, NXdata), or planes: .npy, .npz,"
        " grey TIFF or PNG, CrysAlisPro's .img",
    )
    parser.add_argument("-o", "--output", type=str, help="NeXus file to write (.nxs), for one plane")
    parser.add_argument("--out", type=str, help="folder for the results of many, FOLDER/<file>_<plane>.nxs")
    parser.add_argument(
        "--summary", type=str, help="JSON file of what became of each plane (default: summary.json in FOLDER)"
    )
    parser.add_argument(
        "--redo", action="store_true", help="make results again that are there, made from the same"
    )
    add_settings(parser)
    commands.add_subcommand("factorize", parser, help=first_line(factorize))
    return {"factorize": factorize}


def add_settings(parser: Any) -> None:
    """The fields of `FactorizeSettings` and `CleanUpOptions`, an option each; --png and --whole take no value."""
    from dsfunet.cleanup import CleanUpOptions
    from dsfunet.factorize.settings import FactorizeSettings

    parser.add_argument("--png", action="store_true", help="also draw each result beside it, as .png")
    parser.add_argument(
        "--whole",
        action="store_true",
        help="show the networks all of a plane wider than 17.6 1/Angstrom, not the part about its centre",
    )
    parser.add_class_arguments(FactorizeSettings, skip={"png", "whole", "clean_up"})
    parser.add_class_arguments(CleanUpOptions, skip={"seed"})
