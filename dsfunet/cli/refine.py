"""`dsfunet refine`: Warren-Cowley parameters from results."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsfunet.command_parser import Parser, first_line
from dsfunet.errors import InputError

if TYPE_CHECKING:
    from dsfunet.analysis.exports import Export, Site
    from dsfunet.physics import Cell


def refine(
    files: list[str],
    output: str | None = None,
    despite_verdict: bool = False,
    export: list[str] | None = None,
    species: str | None = None,
    **options: Any,
) -> None:
    """Refine Warren-Cowley parameters, with uncertainties, from the short-range order of results.

    Writes PREFIX.refine.json, .csv, .cif and .png, and prints the report. Several results, of different planes of one
    crystal, are refined together: one set of alphas, and a scale for each plane. The result of a whole volume gives
    all alphas of the crystal.

    Args:
        files: results of `dsfunet factorize` (.nxs), either planes with unit cell and axes or one whole volume
        output: PREFIX; by default the name of the first file without its suffix, with .joint for several files
        despite_verdict: refine planes whose verdict is "not explained" too
        export: formats of other programs to write as well, "yell", "discus" or "latex"
        species: the two species in these files, written as for `dsfunet compare`; by default those of `model`
        options: of `RefinementSettings.from_options`

    Raises:
        InputError: a file, an option or the output cannot be used, or a plane is not explained.
    """
    from dsfunet.analysis.exports import check_exports, parse_exports
    from dsfunet.io.volume_results import is_volume_result

    exports = parse_exports(export or [])
    wanted = _Wanted(
        paths := [Path(file) for file in files],
        None if output is None else Path(output),
        exports,
        species or options.get("model"),
        options.get("concentration"),
    )
    check_exports(exports, wanted.species is not None, wanted.concentration)
    if species is not None and not exports:
        raise InputError("--species: it names the atoms in exported files; add --export, or omit it")
    if exports and not options.get("bounds"):
        options = {**options, "concentration": None}
    volumes = [path for path in paths if is_volume_result(path)]
    if volumes:
        _refine_volume(wanted, volumes[0], options)
    else:
        _refine_planes(wanted, despite_verdict, options)


@dataclass(frozen=True)
class _Wanted:
    """What is to be written, besides the settings of the refinement."""

    paths: list[Path]
    prefix: Path | None
    exports: Sequence["Export"]
    species: str | None
    concentration: float | None

    def site(self, cell: "Cell", b_iso_angstrom2: float | None) -> "Site | None":
        from dsfunet.analysis.exports import Site
        from dsfunet.analysis.models.model_names import read_model

        if self.species is None or self.concentration is None:
            return None
        return Site(read_model(self.species, cell), self.concentration, b_iso_angstrom2 or 0.0)


def _refine_volume(wanted: _Wanted, volume: Path, options: dict[str, Any]) -> None:
    from dsfunet.analysis.exports import ExportedCorrelations, make_exports
    from dsfunet.analysis.volume_refinement import VolumeRefinementSettings, refine_volume_file

    if len(wanted.paths) > 1:
        raise InputError(f"{volume}: the result is of a volume; refine it by itself, without other results")
    settings = VolumeRefinementSettings.from_options(options)
    targets = _targets(wanted)
    refinement = refine_volume_file(volume, settings)
    correlations = ExportedCorrelations(
        source=volume.name,
        stem=targets["json"].stem,
        fit=refinement.fit,
        cell=refinement.correlations.cell,
        centring=refinement.centring,
        laue=refinement.settings.laue or "-1",
        unique_axis=refinement.settings.unique_axis,
        grid=None,
        site=wanted.site(refinement.correlations.cell, None),
    )
    texts = make_exports(correlations, wanted.exports)
    refinement.write(targets)
    _write_exports(texts, targets)
    _print(refinement.report(), targets)


def _refine_planes(wanted: _Wanted, despite_verdict: bool, options: dict[str, Any]) -> None:
    from dsfunet.analysis.exports import ExportedCorrelations, make_exports
    from dsfunet.analysis.refinement import RefinementSettings, refine_alphas
    from dsfunet.analysis.refinement.run import grid_of
    from dsfunet.analysis.verdicts import check_explained, read_verdict
    from dsfunet.io import read_result

    paths = wanted.paths
    results = [read_result(path) for path in paths]
    if not despite_verdict:
        answer = options.get("answer")
        check_explained(
            [read_verdict(result, str(path), answer) for result, path in zip(results, paths, strict=True)]
        )
    targets = _targets(wanted)
    measured_cell = grid_of(results[0], str(paths[0])).cell
    settings = RefinementSettings.from_options(measured_cell=measured_cell, **options)
    refinement = refine_alphas(results, settings, names=[str(path) for path in paths])
    correlations = ExportedCorrelations(
        source=", ".join(path.name for path in paths),
        stem=targets["json"].stem,
        fit=refinement.fit,
        cell=refinement.cell,
        centring=refinement.settings.centring or "P",
        laue=refinement.settings.laue,
        unique_axis=refinement.settings.unique_axis,
        grid=refinement.data[0].grid if len(paths) == 1 else None,
        site=wanted.site(refinement.cell, refinement.debye_waller_b_angstrom2),
        warnings=tuple(f"{each.sentence}" for each in refinement.verdicts if each.warning),
    )
    texts = make_exports(correlations, wanted.exports)
    refinement.write(targets)
    _write_exports(texts, targets)
    _print(refinement.report(), targets)


def _write_exports(texts: dict[str, str], targets: dict[str, Path]) -> None:
    from dsfunet.files import replacing

    for kind, text in texts.items():
        with replacing(targets[kind]) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _print(report: str, targets: dict[str, Path]) -> None:
    print(report)
    for target in targets.values():
        print(f"wrote      {target}")


def _targets(wanted: _Wanted) -> dict[str, Path]:
    """Return the files to write, by kind, after checking that they can be written and overwrite none of the results."""
    from dsfunet.analysis.exports import EXPORTS
    from dsfunet.files import check_writable

    files, prefix = wanted.paths, wanted.prefix
    if prefix is None:
        first = files[0].with_suffix("")
        prefix = first if len(files) == 1 else first.with_name(f"{first.name}.joint")
    kinds = ["json", "csv", "cif", "png", *(kind for each in wanted.exports for kind in EXPORTS[each])]
    targets = {kind: prefix.with_name(f"{prefix.name}.refine.{kind}") for kind in kinds}
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
    parser.add_argument(
        "--export",
        type=str,
        nargs="+",
        metavar="FORMAT",
        help="also write the values for other programs: a model of Yell (.yell.txt), a macro of DISCUS with its unit"
        " cell (.mac, .cell) or a table for LaTeX (.tex)",
    )
    parser.add_argument(
        "--species",
        type=str,
        help="the two species in exported files, written as for `dsfunet compare`; by default those of --model",
    )
    parser.add_method_arguments(RefinementSettings, "from_options", as_group=False, skip={"measured_cell"})
    commands.add_subcommand("refine", parser, help=COMMANDS["refine"])
    return {"refine": refine}
