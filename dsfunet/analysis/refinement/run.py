"""What `dsfunet refine` does: results in, Warren-Cowley parameters with uncertainties out."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from dsfunet.analysis.models.model_names import read_model
from dsfunet.analysis.refinement.data import PlaneData, prepare_data
from dsfunet.analysis.refinement.fit import FittedPlane, Refinement, refine
from dsfunet.analysis.refinement.known_form_factor import damped_form_factor, refine_debye_waller
from dsfunet.analysis.refinement.picture import draw_refinement
from dsfunet.analysis.refinement.reports import as_cif, as_csv, as_json, as_table
from dsfunet.analysis.refinement.settings import (
    RefinementSettings,
    alpha_bounds,
    cell_to_use,
    check_one_crystal,
    fixed_axis,
    orbits_to_refine,
)
from dsfunet.analysis.refinement.zones import fold, zones_of
from dsfunet.errors import InputError
from dsfunet.files import replacing
from dsfunet.io import PlaneGrid, Result, check_writable, read_result
from dsfunet.physics.symmetry import laue_rotations
from dsfunet.plotting.result import save_png

_FEW_GROUPS = 10
_LARGE_CHI_SQUARED = 2.0


def refine_files(files: Sequence[Path], prefix: Path | None, settings: RefinementSettings) -> None:
    """Refine the short-range order in results of `dsfunet factorize`, write PREFIX.refine.*, and print the table.

    One result is refined as it is; several, of different planes of one crystal, together, with one set of alphas.

    Raises:
        InputError: anything about the files, the request or the outputs that cannot be used.
    """
    bounds = alpha_bounds(settings)
    results = [read_result(file) for file in files]
    targets = _targets(files, prefix)
    grids = [_grid(file, result) for file, result in zip(files, results, strict=True)]
    check_one_crystal(files, grids)
    cell, notes = cell_to_use(settings.cell, grids[0], files[0])
    grids = [replace(grid, cell=cell) for grid in grids]
    rotations = laue_rotations(settings.laue, settings.unique_axis)
    orbits = orbits_to_refine(settings, cell, fixed_axis(grids, settings))
    all_zones = [zones_of(grid, rotations) for grid in grids]
    model = None if settings.model is None else read_model(settings.model, cell)

    def prepared(b_angstrom2: float = 0.0) -> list[PlaneData]:
        planes = []
        for file, result, grid, zones in zip(files, results, grids, all_zones, strict=True):
            known = None if model is None else damped_form_factor(model, grid, b_angstrom2)
            try:
                planes.append(
                    prepare_data(
                        result,
                        grid,
                        zones,
                        settings.exclude_below,
                        settings.fit_to,
                        settings.floor,
                        settings.errors_from,
                        known,
                    )
                )
            except InputError as error:
                raise InputError(f"{file}: {error}") from error
        return planes

    def refined(planes: Sequence[PlaneData]) -> Refinement:
        try:
            return refine(planes, orbits, errors_from=settings.errors_from, alpha_bounds=bounds)
        except InputError as error:
            raise InputError(f"{', '.join(map(str, files))}: {error}") from error

    b_angstrom2 = settings.b_iso_angstrom2
    if model is not None and b_angstrom2 is None:
        b_angstrom2 = refine_debye_waller(prepared, refined)
    planes = prepared(b_angstrom2 or 0.0)
    refinement = refined(planes)
    folded = [
        fold(plane.values, fitted.calculated, plane.weights, plane.grid, rotations)
        for plane, fitted in zip(planes, refinement.planes, strict=True)
    ]

    notes += [note for plane in planes for note in plane.notes]
    notes += [] if model is None else list(model.notes)
    notes += _notes(refinement, settings)
    record = {
        "laue_class": settings.laue,
        "unique_axis": settings.unique_axis,
        "out_of_plane": settings.out_of_plane,
        "exclude_below": settings.exclude_below,
        "fit_to": settings.fit_to,
        "errors_from": settings.errors_from,
        "model": None if model is None else model.name,
        "debye_waller_b_angstrom2": b_angstrom2,
        "alpha_lower_bound": bounds[0] if bounds else None,
        "alpha_upper_bound": bounds[1] if bounds else None,
    }
    sources: list[dict[str, object]] = [
        {
            "source": file.name,
            "plane": str(plane.grid.name),
            "floor": plane.floor,
            "floor_uncertainty": plane.floor_uncertainty,
            "weights": "1/sigma^2" if plane.inverse_variances else "unit",
        }
        for file, plane in zip(files, planes, strict=True)
    ]
    texts = {
        "json": as_json(refinement, folded, cell, record, sources, notes),
        "csv": as_csv(refinement),
        "cif": as_cif(refinement, cell, record, sources),
    }
    figure = draw_refinement(folded, refinement, planes)
    for kind, text in texts.items():
        with replacing(targets[kind]) as temporary:
            temporary.write_text(text, encoding="utf-8")
    save_png(figure, targets["png"])

    for file, grid in zip(files, grids, strict=True):
        print(f"read       {file}: {grid.describe()}")
    for note in notes:
        print(f"           note: {note}")
    for plane, fitted in zip(planes, refinement.planes, strict=True):
        _print_plane(plane, fitted, settings, several=len(planes) > 1)
    if model is not None:
        how = "refined" if settings.b_iso_angstrom2 is None else "given"
        formulas = f"{model.first.formula}, {model.second.formula}"
        print(f"I_FF       of {model.name} ({formulas}), B = {b_angstrom2:.3g} Å² ({how})")
    print(as_table(refinement))
    if len(planes) == 1:
        print(f"quality    {_quality(refinement.planes[0])}")
    else:
        print(f"quality    {_chi_squared(refinement)}")
    for target in targets.values():
        print(f"wrote      {target}")


def _targets(files: Sequence[Path], prefix: Path | None) -> dict[str, Path]:
    """What is written, once that overwrites none of the results; a joint refinement has a name of its own."""
    if prefix is None:
        first = files[0].with_suffix("")
        prefix = first if len(files) == 1 else first.with_name(f"{first.name}.joint")
    targets = {
        kind: prefix.with_name(f"{prefix.name}.refine.{kind}") for kind in ("json", "csv", "cif", "png")
    }
    for target in targets.values():
        check_writable(target)
        if target.exists() and any(target.samefile(file) for file in files):
            raise InputError(
                f"{target}: is the result that is refined; expected another prefix for what is written"
            )
    return targets


def _grid(file: Path, result: Result) -> PlaneGrid:
    if result.grid is None:
        raise InputError(
            f"{file}: its pixels have no place in reciprocal space, as a plane from .npy has none;"
            " expected a result made from a volume with its axes"
        )
    try:
        result.grid.name.layer  # noqa: B018  # zones are those of a layer
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    return result.grid


def _notes(refinement: Refinement, settings: RefinementSettings) -> list[str]:
    """What a user should know before believing the uncertainties."""
    notes = []
    if settings.errors_from == "zones" and refinement.groups < _FEW_GROUPS:
        notes.append(
            f"only {refinement.groups} independent zones: the uncertainties are themselves uncertain"
        )
    if np.isnan(refinement.chi_squared):
        notes.append(
            "all zones agree to rounding, so that their scatter says nothing about errors"
            + (
                "; if I_SRO was fitted as a series before, refine with --fit-to measured"
                if settings.fit_to != "measured"
                else ""
            )
        )
    reduced = refinement.chi_squared / max(1, refinement.degrees_of_freedom)
    if reduced > _LARGE_CHI_SQUARED:
        off = "I_FF" if settings.fit_to == "measured" else "I_SRO"
        notes.append(
            f"chi-squared is {reduced:.3g} for each degree of freedom: vectors are missing, or {off} is off alike in"
            " every zone, which the uncertainties hold as if it were random"
            + ("; --fit-to measured may be free of it" if settings.fit_to != "measured" else "")
        )
    return notes


def _print_plane(plane: PlaneData, fitted: FittedPlane, settings: RefinementSettings, several: bool) -> None:
    share = 100 * fitted.pixels / plane.values.size
    of_which = f" of {plane.grid.name}" if several else ""
    print(
        f"fitted     {fitted.pixels} pixels{of_which} ({share:.1f} % of the plane) in {fitted.zones} zones,"
        f" {fitted.groups} of them independent under {settings.laue}"
    )
    if settings.fit_to == "short-range-order":
        print(
            f"floor      {plane.floor:.4g}, standard uncertainty {plane.floor_uncertainty:.2g}, put back under I_SRO"
        )
    if several:
        print(f"           scale {fitted.scale:.4g}, {_quality(fitted)}")


def _quality(fitted: FittedPlane) -> str:
    return f"R = {100 * fitted.r_factor:.2f} %, wR2 = {100 * fitted.weighted_r_factor:.2f} %, {_chi_squared(fitted)}"


def _chi_squared(fitted: FittedPlane | Refinement) -> str:
    reduced = fitted.chi_squared / max(1, fitted.degrees_of_freedom)
    degrees = f"{fitted.degrees_of_freedom:.4g} degrees of freedom"
    return f"chi-squared {fitted.chi_squared:.4g} for {degrees} ({reduced:.3g})"
