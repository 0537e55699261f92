"""`dsfunet refine`: Warren-Cowley parameters from results."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dsfunet.command_parser import Parser, first_line
from dsfunet.errors import InputError


def refine(
    files: list[str], output: str | None = None, despite_verdict: bool = False, **options: Any
) -> None:
    """Refine Warren-Cowley parameters, with uncertainties, from the short-range order of results.

    Writes PREFIX.refine.json, .csv, .cif and .png, and prints the report. Several results, of different planes of one
    crystal, are refined together: one set of alphas, and a scale for each plane. The result of a whole volume gives
    all alphas of the crystal.

    Args:
        files: results of `dsfunet factorize` (.nxs), either planes with unit cell and axes or one whole volume
        output: PREFIX; by default the name of the first file without its suffix, with .joint for several files
        despite_verdict: refine planes whose verdict is "not explained" too
        options: of `RefinementSettings.from_options`

    Raises:
        InputError: a file, an option or the output cannot be used, or a plane is not explained.
    """
    from dsfunet.io.volume_results import is_volume_result

    paths = [Path(file) for file in files]
    volumes = [path for path in paths if is_volume_result(path)]
    if volumes:
        _refine_volume(paths, volumes[0], output, options)
    else:
        _refine_planes(paths, output, despite_verdict, options)


def _refine_volume(paths: Sequence[Path], volume: Path, output: str | None, options: dict[str, Any]) -> None:
    from dsfunet.analysis.volume_refinement import VolumeRefinementSettings, refine_volume_file

    if len(paths) > 1:
        raise InputError(f"{volume}: the result is of a volume; refine it by itself, without other results")
    settings = VolumeRefinementSettings.from_options(options)
    targets = _targets(paths, None if output is None else Path(output))
    refinement = refine_volume_file(volume, settings)
    refinement.write(targets)
    _print(refinement.report(), targets)


def _refine_planes(
    paths: Sequence[Path], output: str | None, despite_verdict: bool, options: dict[str, Any]
) -> None:
    from dsfunet.analysis.refinement import RefinementSettings, refine_alphas
    from dsfunet.analysis.refinement.run import grid_of
    from dsfunet.analysis.verdicts import check_explained, read_verdict
    from dsfunet.io import read_result

    results = [read_result(path) for path in paths]
    if not despite_verdict:
        answer = options.get("answer")
        check_explained(
            [read_verdict(result, str(path), answer) for result, path in zip(results, paths, strict=True)]
        )
    targets = _targets(paths, None if output is None else Path(output))
    measured_cell = grid_of(results[0], str(paths[0])).cell
    settings = RefinementSettings.from_options(measured_cell=measured_cell, **options)
    refinement = refine_alphas(results, settings, names=[str(path) for path in paths])
    refinement.write(targets)
    _print(refinement.report(), targets)


def _print(report: str, targets: dict[str, Path]) -> None:
    print(report)
    for target in targets.values():
        print(f"wrote      {target}")


def _targets(files: Sequence[Path], prefix: Path | None) -> dict[str, Path]:
    """Return the files to write, by kind, after checking that they can be written and overwrite none of the results."""
    from dsfunet.files import check_writable

    if prefix is None:
        first = files[0].with_suffix("")
        prefix = first if len(files) == 1 else first.with_name(f"{first.name}.joint")
    targets = {
        kind: prefix.with_name(f"{prefix.name}.refine.{kind}") for kind in ("json", "csv", "cif", "png")
    }
    for target in targets.values():
        check_writable(target)
        if target.exists() and any(target.samefile(file) for file in files):
            raise InputError(f"{target}: it is one of the results; choose another prefix with --output")
    return targets


COMMANDS = {"refine": first_line(refine)}
"""The command of this module, and what it does."""


def add_parsers(commands: Any) -> dict[str, Callable[..., int | None]]:
    """Add this command to the subcommands of a parser, and return its function by name."""
    from dsfunet.analysis.refinement.settings import RefinementSettings

    parser = Parser(description=first_line(refine))
    parser.add_argument(
        "files",
        type=str,
        nargs="+",
        help="results of `dsfunet factorize` (.nxs); several, of different planes of one crystal, share one set of"
        " alphas; a whole volume stands alone, and takes only --laue, --unique-axis, --centring, --cell, --shells and"
        " --vectors",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=str,
        metavar="PREFIX",
        help="write PREFIX.refine.json, .csv, .cif and .png; by default the name of the first file without its suffix,"
        " with .joint for several files",
    )
    parser.add_argument(
        "--despite_verdict",
        type=bool,
        default=False,
        help="refine planes that `dsfunet factorize` calls not explained too; the numbers then carry a warning",
    )
    parser.add_method_arguments(RefinementSettings, "from_options", as_group=False, skip={"measured_cell"})
    commands.add_subcommand("refine", parser, help=COMMANDS["refine"])
    return {"refine": refine}
