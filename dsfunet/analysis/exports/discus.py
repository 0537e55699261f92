"""A macro for DISCUS that makes a crystal with the refined alphas by Monte Carlo, and the unit cell that it reads.

The commands are those of the level mmc in the help of DISCUS 6: one neighbourhood of vectors for each orbit, and a
target for its chemical correlation. That is (P_AA - c^2) / (c (1 - c)) for a share c of A, the Warren-Cowley parameter.
Sites of the cell are numbered in the order of the cell file.
"""

from fractions import Fraction

from dsfunet.analysis.exports.content import ExportedCorrelations
from dsfunet.analysis.models.molecules import LabelledMolecule
from dsfunet.errors import InputError
from dsfunet.physics.centring import Vector, centring_translations

_CELLS_ANGSTROM = 60.0
_CYCLES_PER_SITE = 200
_VOID = "VOID"


def write_discus_macro(correlations: ExportedCorrelations) -> str:
    """Return the text of the macro.

    Raises:
        InputError: the values are correlations of a layer, which no pairs of sites have.
    """
    _check_alphas(correlations)
    site, sites = correlations.required_site(), centring_translations(correlations.centring)
    first, second = _names(correlations)
    cells = [max(2 * round(_CELLS_ANGSTROM / edge / 2), 8) for edge in correlations.cell.parameters[:3]]
    count = cells[0] * cells[1] * cells[2] * len(sites)
    lines = [
        f"# written by dsfunet refine from {correlations.source}",
        *(f"# WARNING: {warning}" for warning in correlations.warnings),
        *_stand_ins(correlations),
        "read",
        f"lcell {correlations.stem}.cell, {', '.join(map(str, cells))}",
        f"replace {first}, {second}, all, {1 - site.concentration:.6g}",
        "mmc",
        "rese",
        "set neig, rese",
        "set mode, 1.0, swchem, all",
        f"set allowed, {first}, {second}",
    ]
    targets, number = [], 0
    for place, (orbit, alpha) in enumerate(
        zip(correlations.fit.orbits, correlations.fit.alphas.tolist(), strict=True), 1
    ):
        start = number + 1
        lines.append(f"# {orbit.name}")
        for vector in orbit.equivalents:
            for origin, shift in enumerate(sites, 1):
                end, translation = _end_of(vector, shift, sites)
                number += 1
                lines.append(f"set vec, {number}, {origin}, {end}, {', '.join(map(str, translation))}")
        lines.append(f"set neig, number:{place}, vec, {start}, {number}, range")
        targets.append(f"set target, {place}, corr, {first}, {second}, {alpha:.6f}, 0.0, CORR")
    lines += [
        *targets,
        "set temp, 1.0",
        f"set cyc, {_CYCLES_PER_SITE * count}",
        f"set feed, {10 * count}",
        "show",
        "run",
        "exit",
        "save",
        f"outfile {correlations.stem}.stru",
        "run",
        "exit",
    ]
    return "\n".join([*lines, ""])


def write_discus_cell(correlations: ExportedCorrelations) -> str:
    """Return the unit cell file that the macro reads, with A on every site.

    Raises:
        InputError: as `write_discus_macro`.
    """
    _check_alphas(correlations)
    site = correlations.required_site()
    first, _ = _names(correlations)
    cell = ", ".join(f"{value:.6f}" for value in correlations.cell.parameters)
    rows = [
        f"{first:<4}, {', '.join(f'{float(each):.6f}' for each in shift)}, {site.b_iso_angstrom2:.4f}"
        for shift in centring_translations(correlations.centring)
    ]
    return "\n".join([f"title {correlations.source}", "spcgr P1", f"cell {cell}", "atoms", *rows, ""])


def _check_alphas(correlations: ExportedCorrelations) -> None:
    if correlations.summed_axis is not None:
        raise InputError(
            "--export discus: the values are correlations of a layer, which are sums over pairs; expected alphas, from"
            " a whole volume or with --no-order-along-axis true"
        )


def _names(correlations: ExportedCorrelations) -> tuple[str, str]:
    """Return the atoms that stand for A and B: themselves where they are single atoms or vacancies."""
    pair = correlations.required_site().pair
    if not _needs_stand_in(pair.first) and not _needs_stand_in(pair.second):
        first, second = (
            molecule.elements[0].upper() if molecule.elements else _VOID
            for molecule in (pair.first, pair.second)
        )
        if first != second and first != _VOID:
            return first, second
    filled = pair.first if pair.first.elements else pair.second
    return filled.elements[0].upper(), _VOID


def _needs_stand_in(molecule: LabelledMolecule) -> bool:
    return len(molecule.elements) > 1


def _stand_ins(correlations: ExportedCorrelations) -> list[str]:
    pair = correlations.required_site().pair
    first, second = _names(correlations)
    if not _needs_stand_in(pair.first) and not _needs_stand_in(pair.second) and pair.first.elements:
        return []
    return [
        f"# {first} stands for {pair.first.formula} and {second} for {pair.second.formula}; put them there afterwards"
    ]


def _end_of(vector: Vector, shift: Vector, sites: tuple[Vector, ...]) -> tuple[int, list[int]]:
    """Return the number of the site at the end of a vector that starts on a site, and the cells between them."""
    end = [Fraction(a) + Fraction(b) for a, b in zip(vector, shift, strict=True)]
    for number, other in enumerate(sites, 1):
        away = [a - Fraction(b) for a, b in zip(end, other, strict=True)]
        if all(each.denominator == 1 for each in away):
            return number, [int(each) for each in away]
    raise InputError(f"vector {vector}: it does not connect two lattice points")
