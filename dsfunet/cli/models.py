"""`dsfunet compare` and `dsfunet scan`: structural models tested against the form factor of a result."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dsfunet.command_parser import Parser, first_line
from dsfunet.errors import InputError

if TYPE_CHECKING:
    from dsfunet.analysis.models.fit import Comparison
    from dsfunet.analysis.models.model_names import ModelPair
    from dsfunet.analysis.models.run import Motion, ObservedFile
    from dsfunet.analysis.models.scan import About, Scan
    from dsfunet.physics.scattering import Radiation, Scattering

_MODELS_HELP = (
    "A model is FILE+FILE, FILE+vacancy, or one CIF whose disorder groups 1 and 2 are the two species; FILE:2 selects"
    " disorder group 2. 'a.xyz+a.xyz@rotate 180 0 0 1' is a molecule and a copy of it rotated by 180 degrees about z;"
    " '@rotate 60 [001]' rotates about a lattice direction of the result's cell. The axis goes through the centroid of"
    " the atoms by default, or with 'about origin' through the origin. XYZ coordinates are Cartesian, with a along x"
    " and b in the xy plane; their atoms are labelled N1, C1, C2 ... in order. A CIF contributes the atoms that it"
    " lists, with their displacements and occupancies; no symmetry is applied. Ions are written as Fe3+ or O2-."
)


def compare(
    file: str,
    models: list[str],
    output: str,
    resamples: int = 2000,
    seed: int = 0,
    answer: Literal["lattice", "networks"] | None = None,
    radiation: "Radiation" = "xray",
    wavelength: float | None = None,
    b_factors: str | None = None,
    site_symmetry: str | None = None,
) -> None:
    """Rank structural models by how well their I_FF fits that of a result; scale, floor and B are refined.

    Args:
        file: result of `dsfunet factorize` from a file with unit cell and axes
        models: pairs of species, as FILE+FILE (XYZ or CIF), FILE+vacancy, or a CIF with disorder groups 1 and 2
        output: PREFIX of the files PREFIX.json, .csv and .png
        resamples: number of bootstrap resamples of blocks of the plane
        seed: seed of the resamples
        answer: which form factor of the result to use, that of the data on their lattice or that of the networks alone;
            by default the one that the result believes, and only that one has sigmas
        radiation: what was scattered: X-rays, neutrons (bound coherent scattering lengths) or electrons
        wavelength: of the X-rays [Angstrom], for f' and f''; without it both are left out
        b_factors: B of elements or ions [Angstrom^2], such as "Au 0.5, Cu 0.6", instead of those of the files; the B of
            the fit is added to them
        site_symmetry: point group of the site at the origin along the axes of the cell, such as 2/m (unique axis b) or
            -1; a model that cannot have it is noted

    Raises:
        InputError: the result, a model or the output cannot be used.
    """
    from dsfunet.analysis.models.fit import compare_models, find_better_radiation
    from dsfunet.analysis.models.model_names import read_models
    from dsfunet.analysis.models.run import ObservedFile, write_comparison
    from dsfunet.analysis.models.site_symmetry import parse_site_symmetry
    from dsfunet.analysis.models.wording import describe_fit
    from dsfunet.physics.scattering import Scattering

    scattering = Scattering(radiation, wavelength)
    if site_symmetry is not None:
        parse_site_symmetry(site_symmetry)
    targets = _targets(Path(output), {"json": ".json", "csv": ".csv", "png": ".png"})
    observed = ObservedFile.read(file, answer)
    pairs = read_models(models, observed.cell, b_factors)
    comparison = compare_models(pairs, observed.observation, resamples, seed, scattering)
    better = find_better_radiation(pairs, observed.observation, scattering, comparison.fits[0])
    write_comparison(comparison, observed, targets, scattering, better)
    lines = [
        *_lines_on_input(observed, pairs, scattering, site_symmetry),
        *_ranking(comparison),
        *describe_fit(comparison, scattering, better),
        *_lines_on_targets(targets),
    ]
    print("\n".join(lines))


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
    answer: Literal["lattice", "networks"] | None = None,
    radiation: "Radiation" = "xray",
    wavelength: float | None = None,
    b_factors: str | None = None,
    site_symmetry: str | None = None,
    about: "About" = "centroid",
) -> None:
    """Rotate a molecule, or one side of a bond, through a range of angles and find the minima of the misfit.

    Args:
        file: result of `dsfunet factorize` from a file with unit cell and axes
        model: one model, written as for `dsfunet compare`
        output: PREFIX of the files PREFIX.json, .csv, .png and _planes.png
        range: first angle, last angle and step [degrees]; 0 is the structure as in its file
        torsion: atom labels such as N1-C1-C2-C3; the atoms beyond the middle bond are rotated
        rotate: axis of a rotation of whole molecules, each about its centroid unless --about says otherwise: "x y z"
            (Cartesian) or "[uvw]" (lattice direction)
        species: species that are rotated
        resamples: number of bootstrap resamples of blocks of the plane
        seed: seed of the resamples
        answer: which form factor of the result to use, that of the data on their lattice or that of the networks alone;
            by default the one that the result believes, and only that one has sigmas
        radiation: what was scattered: X-rays, neutrons (bound coherent scattering lengths) or electrons
        wavelength: of the X-rays [Angstrom], for f' and f''; without it both are left out
        b_factors: B of elements or ions [Angstrom^2], such as "Au 0.5, Cu 0.6", instead of those of the files; the B of
            the fit is added to them
        site_symmetry: point group of the site at the origin along the axes of the cell, such as 2/m (unique axis b) or
            -1; a model that cannot have it is noted
        about: point that --rotate turns each species about

    Raises:
        InputError: the result, the model, the motion or the output cannot be used.
    """
    from dsfunet.analysis.models.model_names import parse_axis, read_models
    from dsfunet.analysis.models.molecules import parse_torsions
    from dsfunet.analysis.models.run import ObservedFile, rotation_motion, torsion_motion, write_scan
    from dsfunet.analysis.models.scan import angles_of_range, scan_model
    from dsfunet.analysis.models.site_symmetry import parse_site_symmetry
    from dsfunet.physics.scattering import Scattering

    scattering = Scattering(radiation, wavelength)
    if site_symmetry is not None:
        parse_site_symmetry(site_symmetry)
    if bool(torsion) == (rotate is not None):
        given = "both" if torsion else "neither"
        raise InputError(f"--torsion and --rotate: found {given}; use one of them")
    angles_deg = angles_of_range(*range)
    endings = {"json": ".json", "csv": ".csv", "png": ".png", "planes": "_planes.png"}
    targets = _targets(Path(output), endings)
    observed = ObservedFile.read(file, answer)
    (pair,) = read_models([model], observed.cell, b_factors)
    if rotate is None:
        motion = torsion_motion(parse_torsions(torsion or []), pair, species)
    else:
        motion = rotation_motion(parse_axis(rotate, observed.cell), rotate.strip(), species, about, pair)
    result = scan_model(pair, motion.turn, angles_deg, observed.observation, resamples, seed, scattering)
    write_scan(result, observed, pair, motion, species, targets, scattering)
    lines = [
        *_lines_on_input(observed, [pair], scattering, None),
        *_lines_on_scan(result, motion),
        *_lines_on_turned(result, motion, observed, pair, site_symmetry),
        *_lines_on_targets(targets),
    ]
    print("\n".join(lines))


def _targets(prefix: Path, endings: Mapping[str, str]) -> dict[str, Path]:
    """Return the files to write, by kind, after checking that they can be written."""
    from dsfunet.files import check_writable

    targets = {kind: prefix.with_name(prefix.name + ending) for kind, ending in endings.items()}
    for target in targets.values():
        check_writable(target)
    return targets


def _lines_on_input(
    observed: "ObservedFile",
    pairs: Sequence["ModelPair"],
    scattering: "Scattering",
    site_symmetry: str | None,
) -> list[str]:
    from dsfunet.analysis.models.site_symmetry import check_site_symmetry
    from dsfunet.analysis.models.wording import describe_hydrogen
    from dsfunet.analysis.verdicts import describe_verdicts

    observation = observed.observation
    sigma = "weighted by its sigma"
    if observation.sigma is None:
        sigma = "no sigma, so errors are assumed uniform in 2 sqrt(y) - 1"
    lines = [
        f"read       {observed.path}: {observation.used.sum()} pixels in {observation.block_count} blocks; {sigma}"
    ]
    lines += [] if observed.verdict is None else describe_verdicts([observed.verdict])
    of = "the networks alone" if observed.answer == "networks" else "the data on their lattice"
    lines.append(f"answer     form factor of {of}")
    lines += [
        f"model      {pair.name}: A = {pair.first.formula}, B = {pair.second.formula}" for pair in pairs
    ]
    lines.append(f"factors    {scattering.describe()}; {describe_hydrogen(pairs, scattering)}")
    notes = dict.fromkeys(note for pair in pairs for note in pair.notes)
    if site_symmetry is not None:
        found = [check_site_symmetry(pair, site_symmetry, observed.cell) for pair in pairs]
        notes |= dict.fromkeys(note for note in found if note)
    return lines + [f"           note: {note}" for note in notes]


def _lines_on_targets(targets: Mapping[str, Path]) -> list[str]:
    return [f"wrote      {target}" for target in targets.values()]


def _ranking(comparison: "Comparison") -> list[str]:
    """Return the table of a comparison and a sentence on how certain the ranking is."""
    from dsfunet.analysis.formatting import with_uncertainty

    lines = ["rank  misfit  95 % interval    wR2     B (Å²)     beats next  model"]
    for number, fit in enumerate(comparison.fits):
        low, high = comparison.intervals[number]
        share = _percent(comparison.better_than_next[number]) if number < len(comparison.fits) - 1 else "-"
        b = with_uncertainty(fit.debye_waller_b_angstrom2, fit.debye_waller_b_su)
        lines.append(
            f"{number + 1:4d}  {fit.misfit:.4f}  {low:.4f}-{high:.4f}  {100 * fit.wr2:5.1f} %  {b:>9}"
            f"  {share:>10}  {fit.name}"
        )
    if len(comparison.fits) == 1:
        return [*lines, "           a single model cannot be ranked; compare it with alternatives"]
    best, following = comparison.fits[:2]
    certainty = float(comparison.better_than_next[0])
    return [
        *lines,
        f"           {best.name} fits better than {following.name} in {_percent(certainty)} of"
        f" {comparison.resamples} resamples",
    ]


def _lines_on_turned(
    found: "Scan", motion: "Motion", observed: "ObservedFile", pair: "ModelPair", site_symmetry: str | None
) -> list[str]:
    """Return a note if the model at the best angle cannot have the stated site symmetry."""
    from dsfunet.analysis.models.site_symmetry import check_site_symmetry

    if site_symmetry is None:
        return []
    angle = found.minima[0].angle_deg if found.minima else float(found.angles_deg[found.misfits.argmin()])
    note = check_site_symmetry(motion.turn(pair, angle), site_symmetry, observed.cell)
    return [] if note is None else [f"           note: at {angle:.1f}°, {note}"]


def _lines_on_scan(found: "Scan", motion: "Motion") -> list[str]:
    from dsfunet.analysis.formatting import with_uncertainty

    first, last = found.angles_deg[0], found.angles_deg[-1]
    lines = [f"scanned    {motion.label}, {first:g} to {last:g}; 0 is the structure as in its file"]
    lines += [f"           {motion.about}"] if motion.about else []
    lines += [
        f"           torsion {name} is {angle:.1f}° in the file; add that to get absolute angles"
        for name, angle in motion.torsions_at_zero_deg.items()
    ]
    lines += [
        f"minimum    {with_uncertainty(minimum.angle_deg, minimum.su_deg)}°: misfit {minimum.misfit:.4f},"
        f" the lowest of the curve in {_percent(minimum.lowest)} of {found.resamples} resamples"
        for minimum in found.minima
    ]
    lowest = found.misfits.argmin()
    if lowest in (0, len(found.misfits) - 1) and not found.is_full_circle:
        lines.append(
            f"           note: the misfit is smallest at {found.angles_deg[lowest]:g}°, an end of the range; extend the"
            " range"
        )
    return lines


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


COMMANDS = {"compare": first_line(compare), "scan": first_line(scan)}
"""The commands of this module, and what they do."""


def add_parsers(commands: Any) -> dict[str, Callable[..., int | None]]:
    """Add these commands to the subcommands of a parser, and return their functions by name."""
    for function, positional in ((compare, "models"), (scan, "model")):
        parser = Parser(description=f"{first_line(function)} {_MODELS_HELP}")
        parser.add_argument("file", type=str, help="result of `dsfunet factorize` (.nxs)")
        several = "+" if function is compare else None
        parser.add_argument(positional, type=str, nargs=several, help="see above")
        pictures = ".png" if function is compare else ".png and _planes.png"
        parser.add_argument(
            "-o",
            "--output",
            type=str,
            required=True,
            metavar="PREFIX",
            help=f"write PREFIX.json, .csv{' and' if function is compare else ','} {pictures}",
        )
        skip: set[str | int] = {"file", positional, "output"}
        if function is scan:
            _add_motion(parser)
            skip |= {"range", "torsion"}
        parser.add_function_arguments(function, as_group=False, skip=skip)
        commands.add_subcommand(function.__name__, parser, help=COMMANDS[function.__name__])
    return {"compare": compare, "scan": scan}


def _add_motion(parser: Parser) -> None:
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
        help="atom labels such as N1-C1-C2-C3; the atoms beyond the middle bond are rotated, in each species that has"
        " these atoms; torsions that are separated by commas or given by several options are rotated together",
    )
