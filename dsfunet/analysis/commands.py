"""What `dsfunet refine` does: a result in, Warren-Cowley parameters with uncertainties out."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dsfunet.analysis.refinement import ErrorsFrom, refine
from dsfunet.analysis.refinement_data import FitTo, prepare_data
from dsfunet.analysis.refinement_files import as_cif, as_csv, as_json, as_table, draw_refinement
from dsfunet.analysis.symmetry import (
    Orbit,
    laue_rotations,
    nearest_shells,
    orbits_of,
    symmetric_metric,
)
from dsfunet.analysis.zones import fold, zones_of
from dsfunet.errors import InputError
from dsfunet.io import PlaneGrid, check_writable, read_result
from dsfunet.io.files import replacing
from dsfunet.physics import Cell
from dsfunet.plots import save_png

_DEFAULT_SHELLS = 5
_FEW_GROUPS = 10
_LARGE_CHI_SQUARED = 2.0
_MOST_INDEX = 50
# A cell of the user's that is farther than this from the file's belongs to another crystal, or to other axes.
_SAME_EDGE, _SAME_ANGLE_DEGREES = 0.05, 2.0


@dataclass(frozen=True)
class RefinementSettings:
    """What is asked of a refinement; `dsfunet.cli.refine` says what each is."""

    laue: str
    cell: str | None = None
    shells: int | None = None
    vectors: str | None = None
    unique_axis: str | None = None
    out_of_plane: bool = False
    exclude_below: float = 0.05
    fit_to: FitTo = "short-range-order"
    floor: float | None = None
    errors_from: ErrorsFrom = "zones"
    bounds: bool = False
    concentration: float | None = None


def refine_file(file: Path, prefix: Path | None, settings: RefinementSettings) -> None:
    """Refine the short-range order in a result of `dsfunet factorize`, write PREFIX.refine.*, and print the table.

    Raises:
        InputError: anything about the file, the request or the outputs that cannot be used.
    """
    prefix = file.with_suffix("") if prefix is None else prefix
    targets = {
        kind: prefix.with_name(f"{prefix.name}.refine.{kind}") for kind in ("json", "csv", "cif", "png")
    }
    bounds = _alpha_bounds(settings)
    result = read_result(file)
    for target in targets.values():
        check_writable(target)
        if target.exists() and target.samefile(file):
            raise InputError(
                f"{target}: is the result that is refined; expected another prefix for what is written"
            )
    grid = result.grid
    if grid is None:
        raise InputError(
            f"{file}: its pixels have no place in reciprocal space, as a plane from .npy has none;"
            " expected a result made from a volume with its axes"
        )
    cell, notes = _cell(settings.cell, grid, file)
    grid = PlaneGrid(cell, grid.name, grid.rows, grid.columns)
    rotations = laue_rotations(settings.laue, settings.unique_axis)
    orbits = _orbits(settings, cell, None if settings.out_of_plane else grid.name.fixed_axis)
    zones = zones_of(grid, rotations)
    try:
        data = prepare_data(
            result, zones, settings.exclude_below, settings.fit_to, settings.floor, settings.errors_from
        )
        refinement = refine(
            data.values,
            data.weights,
            grid,
            orbits,
            zones,
            errors_from=settings.errors_from,
            weights_are_inverse_variances=data.inverse_variances,
            floor_influence=data.floor_influence,
            alpha_bounds=bounds,
        )
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    folded = fold(data.values, refinement.calculated, data.weights, grid, rotations)

    notes += data.notes
    if settings.errors_from == "zones" and refinement.groups < _FEW_GROUPS:
        notes.append(
            f"only {refinement.groups} independent zones: the uncertainties are themselves uncertain"
        )
    if np.isnan(refinement.chi_squared):
        notes.append(
            "all zones agree to rounding, so that their scatter says nothing about errors; if I_SRO was fitted"
            " as a series before, refine with --fit-to measured"
        )
    reduced = refinement.chi_squared / max(1, refinement.degrees_of_freedom)
    if reduced > _LARGE_CHI_SQUARED:
        notes.append(
            f"chi-squared is {reduced:.3g} for each degree of freedom: vectors are missing, or I_SRO is off alike in"
            " every zone, which the uncertainties hold as if it were random"
            + ("; --fit-to measured may be free of it" if settings.fit_to != "measured" else "")
        )
    record = {
        "source": file.name,
        "plane": str(grid.name),
        "laue_class": settings.laue,
        "unique_axis": settings.unique_axis,
        "out_of_plane": settings.out_of_plane,
        "exclude_below": settings.exclude_below,
        "fit_to": settings.fit_to,
        "floor": data.floor,
        "floor_uncertainty": data.floor_uncertainty,
        "errors_from": settings.errors_from,
        "weights": "1/sigma^2" if data.inverse_variances else "unit",
        "alpha_lower_bound": bounds[0] if bounds else None,
        "alpha_upper_bound": bounds[1] if bounds else None,
    }
    texts = {
        "json": as_json(refinement, folded, cell, record, notes),
        "csv": as_csv(refinement),
        "cif": as_cif(refinement, cell, record),
    }
    figure = draw_refinement(
        folded, refinement, np.where(data.weights > 0, data.values, np.nan), grid, grid.cell
    )
    for kind, text in texts.items():
        with replacing(targets[kind]) as temporary:
            temporary.write_text(text, encoding="utf-8")
    save_png(figure, targets["png"])

    print(f"read       {file}: {grid.describe()}")
    for note in notes:
        print(f"           note: {note}")
    share = 100 * refinement.pixels / data.values.size
    print(
        f"fitted     {refinement.pixels} pixels ({share:.1f} % of the plane) in {refinement.zones} zones,"
        f" {refinement.groups} of them independent under {settings.laue}"
    )
    if settings.fit_to == "short-range-order":
        print(
            f"floor      {data.floor:.4g}, standard uncertainty {data.floor_uncertainty:.2g}, put back under I_SRO"
        )
    print(as_table(refinement))
    print(
        f"quality    R = {100 * refinement.r_factor:.2f} %, wR2 = {100 * refinement.weighted_r_factor:.2f} %,"
        f" chi-squared {refinement.chi_squared:.4g} for {refinement.degrees_of_freedom} degrees of freedom"
        f" ({reduced:.3g})"
    )
    for target in targets.values():
        print(f"wrote      {target}")


def _alpha_bounds(settings: RefinementSettings) -> tuple[float, float] | None:
    """Feasible alphas: 1 - P/m with a conditional probability P between 0 and 1 for either species."""
    if not settings.bounds:
        if settings.concentration is not None:
            raise InputError("--concentration is there for the bounds: expected --bounds true with it")
        return None
    first = settings.concentration
    if first is None or not 0 < first < 1:
        found = "none" if first is None else f"{first:g}"
        raise InputError(
            f"concentration {found}: the bounds expect --concentration, the share m_A between 0 and 1"
        )
    return max(-first / (1 - first), -(1 - first) / first), 1.0


def _orbits(settings: RefinementSettings, cell: Cell, fixed_axis: int | None) -> list[Orbit]:
    rotations = laue_rotations(settings.laue, settings.unique_axis)
    metric = symmetric_metric(cell, settings.laue, settings.unique_axis)
    if settings.vectors is None:
        number = _DEFAULT_SHELLS if settings.shells is None else settings.shells
        return nearest_shells(number, rotations, metric, fixed_axis)
    if settings.shells is not None:
        raise InputError(
            f"{settings.shells} shells and vectors {settings.vectors!r}: expected one of the two"
        )
    vectors = []
    for text in settings.vectors.split(","):
        try:
            i, j, k = map(int, text.split())
        except ValueError:
            raise InputError(
                f"vector {text.strip()!r}: expected three whole numbers, several such separated by commas"
            ) from None
        if max(abs(i), abs(j), abs(k)) > _MOST_INDEX:
            raise InputError(f"vector {text.strip()!r}: expected indices up to {_MOST_INDEX}")
        vectors.append((i, j, k))
    return orbits_of(vectors, rotations, metric, fixed_axis)


def _cell(text: str | None, grid: PlaneGrid, file: Path) -> tuple[Cell, list[str]]:
    """The cell that was given, once it is found to be that of the file, or the file's; and a note on a difference."""
    if text is None:
        return grid.cell, []
    try:
        values = [float(word) for word in re.split(r"[\s,]+", text.strip("[]() "))]
    except ValueError:
        values = []
    if len(values) != 6:
        raise InputError(f"cell {text!r}: expected six numbers, a b c [Angstrom] alpha beta gamma [degrees]")
    cell = Cell(*values)
    given, found = np.array(cell.parameters), np.array(grid.cell.parameters)
    edges, angles = np.abs(given[:3] / found[:3] - 1), np.abs(given[3:] - found[3:])
    recorded = " ".join(f"{value:g}" for value in found)
    if edges.max() > _SAME_EDGE or angles.max() > _SAME_ANGLE_DEGREES:
        raise InputError(
            f"cell {text!r}: {file} has indices on the cell {recorded}; expected one within"
            f" {100 * _SAME_EDGE:g} % and {_SAME_ANGLE_DEGREES:g} degrees of it"
        )
    same = np.allclose(given, found, rtol=1e-5, atol=1e-5)
    return cell, [] if same else [f"the file records the cell {recorded}; the one given takes its place"]
