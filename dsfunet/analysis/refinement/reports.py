"""Reports of a refinement: text for the screen, and the contents of JSON and CSV files."""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from typing import Any

import numpy as np

from dsfunet.analysis.formatting import with_uncertainty
from dsfunet.analysis.refinement.data import PlaneData
from dsfunet.analysis.refinement.fit import FittedPlane, Refinement
from dsfunet.analysis.refinement.vectors import lattice_vectors_of
from dsfunet.analysis.refinement.zones import FoldedMap
from dsfunet.physics import Cell
from dsfunet.physics.centring import Centring, Vector
from dsfunet.physics.symmetry import Orbit

AT_BOUND = {-1: "at lower bound", 0: "", 1: "at upper bound"}
"""Words for an alpha at a bound of its possible range, by the sign that `Refinement.at_bound` gives it."""

Record = Mapping[str, object]

_CSV_COLUMNS = ("i", "j", "k", "equivalents", "length_angstrom")


def as_table(refinement: Refinement) -> str:
    """Return the values with their uncertainties as text, one line for each orbit."""
    names = [_table_name(orbit) for orbit in refinement.orbits]
    width = max(9, *map(len, names))
    lines = [f"{'vector':>{width}}  {'equivalents':>11}  {'length/Å':>8}  {quantity_of(refinement)}"]
    for name, (orbit, alpha, sigma, bound) in zip(names, list_rows(refinement), strict=True):
        value = with_uncertainty(alpha, sigma) + (f"  {AT_BOUND[bound]}" if bound else "")
        lines.append(f"{name:>{width}}  {len(orbit.vectors):>11}  {orbit.length_angstrom:8.3f}  {value:>9}")
    return "\n".join(lines)


def quantity_of(refinement: Refinement) -> str:
    """Return what was refined: "alpha", the Warren-Cowley parameters of lattice vectors, or "layer correlation"."""
    return "layer correlation" if refinement.orbits[0].summed_axis is not None else "alpha"


def list_name(refinement: Refinement) -> str:
    """Return the name of the list of values in files: "alphas" or "layer_correlations"."""
    return "alphas" if quantity_of(refinement) == "alpha" else "layer_correlations"


def plane_lines(
    plane: PlaneData, fitted: FittedPlane, laue: str, several: bool, with_floor: bool
) -> list[str]:
    """Return the lines of text about one plane of a refinement: its pixels, its floor and, of several, its fit."""
    share = 100 * fitted.pixels / plane.values.size
    name = f" of {plane.grid.name}" if several else ""
    lines = [
        f"fitted     {fitted.pixels} pixels{name} ({share:.1f} % of the plane) in {fitted.zones} zones,"
        f" {fitted.groups} of them independent under {laue}"
    ]
    if with_floor:
        lines.append(
            f"floor      {plane.floor:.4g} added back to I_SRO, standard uncertainty {plane.floor_uncertainty:.2g}"
        )
    if several:
        lines.append(f"           scale {fitted.scale:.4g}, {_r_factors(fitted)}, {_chi_squared(fitted)}")
    return lines


def quality_line(refinement: Refinement) -> str:
    """Return the line of text about the quality of the fit; R factors only for a single plane."""
    if len(refinement.planes) > 1:
        return f"quality    {_chi_squared(refinement)}"
    (fitted,) = refinement.planes
    return f"quality    {_r_factors(fitted)}, {_chi_squared(fitted)}"


def as_record(
    refinement: Refinement,
    folded: Sequence[FoldedMap],
    cell: Cell,
    settings: Record,
    sources: Sequence[Record],
    notes: Sequence[str],
    centring: Centring,
) -> dict[str, Any]:
    """Return everything as the content of a JSON file, with None where there is no finite number.

    Entries about a plane are at the top level for a single plane, and in the list "planes" for several. Without planes,
    as for a whole volume, there are none.

    Args:
        refinement: of the planes.
        folded: each plane folded into one zone.
        cell: on which the planes were refined.
        settings: of the refinement, by name.
        sources: what is recorded of each plane.
        notes: sentences for the user.
        centring: lattice type of the sites.
    """
    planes = [
        {
            "scale": {"value": plane.scale, "standard_uncertainty": sigma},
            "quality": quality_of_plane(plane),
            "folded": {
                **({} if each.repeat.is_cell else {"repeat": each.repeat.vectors.tolist()}),
                "centres": each.centres.tolist(),
                "observed": each.observed.tolist(),
                "calculated": each.calculated.tolist(),
            },
        }
        for plane, sigma, each in zip(
            refinement.planes, refinement.scale_uncertainties.tolist(), folded, strict=True
        )
    ]
    one = len(planes) == 1
    content: dict[str, Any] = {
        "program": "dsfunet refine",
        "settings": {**(sources[0] if one else {}), **settings},
        "notes": list(notes),
        "cell": dict(zip(("a", "b", "c", "alpha", "beta", "gamma"), cell.parameters, strict=True)),
        "quantity": quantity_of(refinement),
        "parameters": [*_scale_names(sources), *(orbit.name for orbit in refinement.orbits)],
        list_name(refinement): [
            {
                **_vectors(orbit, centring),
                "length_angstrom": orbit.length_angstrom,
                "value": alpha,
                "standard_uncertainty": sigma,
                "at_bound": AT_BOUND[bound] or None,
            }
            for orbit, alpha, sigma, bound in list_rows(refinement)
        ],
        "correlations": refinement.correlations.tolist(),
    }
    if one:
        content |= planes[0]
    elif planes:
        content["quality"] = quality_of_all(refinement)
        content["planes"] = [{**source, **plane} for source, plane in zip(sources, planes, strict=True)]
    finite: dict[str, Any] = finite_content(content)
    return finite


def as_csv(refinement: Refinement) -> str:
    """Return the values as CSV, one line for each orbit."""
    stream = StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    name = quantity_of(refinement).replace(" ", "_")
    writer.writerow([*_CSV_COLUMNS, name, f"{name}_standard_uncertainty", "at_bound"])
    for orbit, alpha, sigma, bound in list_rows(refinement):
        writer.writerow(
            [
                *list_components(orbit, orbit.representative),
                len(orbit.vectors),
                f"{orbit.length_angstrom:.6g}",
                f"{alpha:.8g}",
                f"{sigma:.8g}" if np.isfinite(sigma) else "",
                AT_BOUND[bound],
            ]
        )
    return stream.getvalue()


def list_rows(refinement: Refinement) -> Iterator[tuple[Orbit, float, float, int]]:
    """Yield orbit, alpha, standard uncertainty and sign of the bound of each parameter."""
    yield from zip(
        refinement.orbits,
        refinement.alphas.tolist(),
        refinement.uncertainties.tolist(),
        refinement.at_bound.tolist(),
        strict=True,
    )


def _table_name(orbit: Orbit) -> str:
    """Return the name of an orbit for the table, with its components aligned where they are those of a vector."""
    if orbit.summed_axis is not None:
        return orbit.name
    width = 2 if orbit.denominator == 1 else 4
    return " ".join(f"{index!s:>{width}}" for index in orbit.representative)


def _vectors(orbit: Orbit, centring: Centring) -> dict[str, object]:
    """Return the lattice vectors of an orbit for JSON, and what they are projected on where they are summed."""
    vector, equivalents = lattice_vectors_of(orbit, centring)
    content: dict[str, object] = {
        "vector": _written(vector),
        "equivalents": [_written(each) for each in equivalents],
    }
    if orbit.summed_axis is not None:
        content["projection"] = list_components(orbit, orbit.representative)
        content["part"] = "sine" if orbit.is_sine else "cosine"
    return content


def _written(vector: Vector) -> list[int | str]:
    return [each if isinstance(each, int) else str(each) for each in vector]


def list_components(orbit: Orbit, vector: Vector) -> list[int | str]:
    """Return the components for a file: integers, fractions as text, and "all" along the axis of summation."""
    written = _written(vector)
    if orbit.summed_axis is not None:
        written[orbit.summed_axis] = "all"
    return written


def _scale_names(sources: Sequence[Record]) -> list[str]:
    return ["scale"] if len(sources) == 1 else [f"scale {source['plane']}" for source in sources]


def quality_of_plane(plane: FittedPlane) -> dict[str, float | None]:
    """Return the quality of the fit of one plane for files."""
    return {
        "chi_squared": plane.chi_squared,
        "degrees_of_freedom": plane.degrees_of_freedom,
        "pixel_chi_squared": plane.pixel_chi_squared,
        "r_factor": plane.r_factor,
        "noise_r_factor": plane.noise_r_factor,
        "weighted_r_factor": plane.weighted_r_factor,
        "pixels": plane.pixels,
        "zones": plane.zones,
        "independent_zones": plane.groups,
    }


def quality_of_all(refinement: Refinement) -> dict[str, float | None]:
    """Return the quality of the fit of all planes together for files."""
    return {
        "chi_squared": refinement.chi_squared,
        "degrees_of_freedom": refinement.degrees_of_freedom,
        "independent_zones": refinement.groups,
    }


def _r_factors(fitted: FittedPlane) -> str:
    noise = "" if fitted.noise_r_factor is None else f" (noise alone {100 * fitted.noise_r_factor:.2f} %)"
    return f"R = {100 * fitted.r_factor:.2f} %{noise}, wR2 = {100 * fitted.weighted_r_factor:.2f} %"


def _chi_squared(fitted: FittedPlane | Refinement) -> str:
    reduced = fitted.chi_squared / max(1, fitted.degrees_of_freedom)
    degrees = f"{fitted.degrees_of_freedom:.4g} degrees of freedom"
    return f"chi-squared {fitted.chi_squared:.4g} for {degrees} ({reduced:.3g})"


def finite_content(content: Any) -> Any:
    """Return the same content with None for NaN and infinity, which JSON does not have."""
    if isinstance(content, dict):
        return {name: finite_content(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [finite_content(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
