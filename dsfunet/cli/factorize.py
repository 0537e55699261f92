"""`dsfunet factorize`: split measured planes into form factor and short-range order."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsfunet.command_parser import Parser, first_line
from dsfunet.errors import InputError
from dsfunet.files import make_printable

if TYPE_CHECKING:
    from dsfunet.factorize.pipeline import Factorization
    from dsfunet.factorize.settings import FactorizeRequest

_EXIT_CODES = (
    "Exit codes: 0, every plane has its result; 1, some planes failed, each with a line on standard error; 2, no plane"
    " has a result, or the command cannot run at all; 130, stopped by Ctrl-C, with everything done by then kept."
)


def factorize(
    files: list[str],
    output: str | None,
    out: str | None,
    summary: str | None,
    redo: bool,
    volume: bool = False,
    **options: Any,
) -> int:
    """Split measured planes into form factor and short-range order.

    Args:
        files: Volumes or planes that `dsfunet.read_plane` reads; NaN and negative pixels are missing.
        output: NeXus file to write (.nxs), for one plane.
        out: Folder for the results of many planes; it is made if necessary.
        summary: JSON file with the outcome of each plane; summary.json in that folder by default.
        redo: Make results again that exist already.
        volume: Split a whole volume in three dimensions, instead of a plane of it.
        options: Fields of `FactorizeOptions` and `CleanUpOptions`.

    Raises:
        InputError: The options contradict each other, or as `factorize_batch` and `PlaneWorker.factorize`.
    """
    from dsfunet.factorize.options import parse_options

    if volume:
        return factorize_volume_file(files, output, options)
    if (output is None) == (out is None):
        found = "neither is given" if output is None else "both are given"
        raise InputError(
            f"--output and --out: {found}; use --output FILE for one plane, or --out FOLDER for many"
        )
    if summary is not None and out is None:
        raise InputError("--summary is for a batch; use it together with --out FOLDER")
    request = parse_options(options)
    if out is not None:
        from dsfunet.factorize.batch import factorize_batch

        paths = [Path(file) for file in files]
        return factorize_batch(paths, Path(out), request, None if summary is None else Path(summary), redo)
    planes = request.planes
    several = planes is not None and (planes.needs_volume or len(planes.list_planes()) > 1)
    if len(files) > 1 or several or (request.reading.at is not None and request.reading.at.are_several):
        raise InputError(f"--output {output}: the request covers several planes; use --out FOLDER instead")
    factorize_one(Path(files[0]), Path(str(output)), request)
    return 0


def factorize_one(file: Path, output: Path, request: "FactorizeRequest") -> "Factorization":
    """Factorise one plane of a file, write the NeXus file and the picture, and print a report.

    Raises:
        InputError: The file, the plane, the weights or the output cannot be used.
    """
    from dsfunet.factorize.jobs import Job, check_targets
    from dsfunet.factorize.trained_range import check_extent
    from dsfunet.files import check_writable
    from dsfunet.io.read_planes import check_place

    plane = None if request.planes is None else request.planes.list_planes()[0]
    check_writable(output)
    picture = output.with_suffix(".png") if request.png else None
    if picture is not None:
        check_writable(picture)
    job = Job(file, plane, output, picture, requested=None if plane is None else str(plane))
    check_targets([job], [file])
    # Before torch is imported and the weights are loaded, which takes seconds.
    check_place(file, plane, request.cell, request.reading, check_extent)
    from dsfunet.factorize.batch import PlaneWorker
    from dsfunet.factorize.loading import load_factorizer

    factorizer = load_factorizer(request.weights, request.device)
    factorization = PlaneWorker(factorizer, request).factorize(job)
    print_report(file, factorization, str(factorizer.device))
    for target in filter(None, (output, picture)):
        print(f"wrote      {make_printable(target)}")
    return factorization


def factorize_volume_file(files: list[str], output: str | None, options: dict[str, Any]) -> int:
    """Factorise a whole volume, write the NeXus file, and print a report.

    Raises:
        InputError: The file, an option or the output cannot be used.
    """
    from dsfunet.cli.volume import factorize_volume_and_report

    if output is None or len(files) != 1:
        raise InputError("--volume splits one file; use it with one file and --output FILE")
    factorize_volume_and_report(Path(files[0]), Path(output), options)
    return 0


def print_report(file: Path, factorization: "Factorization", device: str) -> None:
    """Print what was read, done and found, a line each."""
    from dsfunet.environment import describe_processor

    result = factorization.result
    print(
        f"read       {make_printable(file)}: {result.grid.describe() if result.grid else 'a plane without axes'}"
    )
    for note in factorization.notes:
        print(f"           note: {note}")
    for sentence in factorization.clean_up.sentences():
        print(f"cleaned    {sentence}")
    print(f"missing    {100 * (1 - result.mask.mean()):.1f} % of the plane (NaN or negative)")
    print(f"lattice    {factorization.lattice}")
    print(f"weights    {result.process['weights']} {str(result.process['weights_sha256'])[:12]}")
    print(f"factorised in {factorization.seconds:.2f} s on {device} ({describe_processor()})")
    if result.sigma_form_factor is not None:
        print(f"sigma      {result.process['uncertainty']}")
    share = f"{100 * factorization.r_factor:.1f} %"
    print(f"R          the product of the components leaves {share} of the plane (sum |I - P| / sum I)")
    print(f"verdict    {factorization.verdict.sentence}")


COMMANDS = {"factorize": first_line(factorize)}
"""The command of this module, and what it does."""


def add_parsers(commands: Any) -> dict[str, Callable[..., int | None]]:
    """Add this command to the subcommands of a parser; returns its function by name."""
    parser = Parser(description=f"{first_line(factorize)} {_EXIT_CODES}")
    parser.add_argument(
        "files",
        type=str,
        nargs="+",
        help="volumes or planes: HDF5 (Yell, Meerkat, DISCUS, RMCProfile, Mantid, NXRefine, rspace3d, any NXdata),"
        " .npy, .npz, MATLAB, text, CSV, nipl, VTK, CCP4 and XPLOR maps, TIFF, PNG, CBF, EDF, CrysAlisPro's .img",
    )
    parser.add_argument("-o", "--output", type=str, help="NeXus file to write (.nxs), for one plane")
    parser.add_argument(
        "--out", type=str, help="folder for the results of many planes, FOLDER/<file>_<plane>.nxs"
    )
    parser.add_argument(
        "--summary",
        type=str,
        help="JSON file with the outcome of each plane (default: summary.json in FOLDER)",
    )
    parser.add_argument(
        "--redo",
        action="store_true",
        help="make results again that exist already and were made from the same file and settings",
    )
    parser.add_argument(
        "--volume",
        action="store_true",
        help="split the whole volume in three dimensions, from its data and lattice alone; takes --centring, --cell,"
        " --laue, --seed and --output",
    )
    add_settings(parser)
    commands.add_subcommand("factorize", parser, help=COMMANDS["factorize"])
    return {"factorize": factorize}


def add_settings(parser: Any) -> None:
    """Add the fields of `FactorizeOptions` and `CleanUpOptions`, an option each; --png and --whole take no value."""
    from dsfunet.cleanup.options import CleanUpOptions
    from dsfunet.factorize.options import FactorizeOptions

    parser.add_argument("--png", action="store_true", help="also draw each result, as .png beside it")
    parser.add_argument(
        "--whole",
        action="store_true",
        help="shrink all of a plane wider than 17.6 1/Angstrom into the networks' square, instead of using its centre",
    )
    parser.add_class_arguments(FactorizeOptions, skip={"png", "whole"})
    parser.add_class_arguments(CleanUpOptions, skip={"seed"})
