"""Reports of a refinement: text for the screen, and the contents of JSON, CSV and CIF files."""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from typing import Any

import gemmi
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

_CSV_COLUMNS = (
    "i",
    "j",
    "k",
    "equivalents",
    "length_angstrom",
    "alpha",
    "alpha_standard_uncertainty",
    "at_bound",
)


def as_table(refinement: Refinement) -> str:
    """Return the alphas with their uncertainties as text, one line for each orbit."""
    names = [_table_name(orbit) for orbit in refinement.orbits]
    width = max(9, *map(len, names))
    lines = [f"{'vector':>{width}}  {'equivalents':>11}  {'length/Å':>8}  {quantity_of(refinement)}"]
    for name, (orbit, alpha, sigma, bound) in zip(names, _rows(refinement), strict=True):
        value = with_uncertainty(alpha, sigma) + (f"  {AT_BOUND[bound]}" if bound else "")
        lines.append(f"{name:>{width}}  {len(orbit.vectors):>11}  {orbit.length_angstrom:8.3f}  {value:>9}")
    return "\n".join(lines)


def quantity_of(refinement: Refinement) -> str:
    """Return what was refined: "alpha", the Warren-Cowley parameters of lattice vectors, or "layer correlation"."""
    return "layer correlation" if refinement.orbits[0].summed_axis is not None else "alpha"


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
            "quality": _quality(plane),
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
        "alphas": [
            {
                **_vectors(orbit, centring),
                "length_angstrom": orbit.length_angstrom,
                "value": alpha,
                "standard_uncertainty": sigma,
                "at_bound": AT_BOUND[bound] or None,
            }
            for orbit, alpha, sigma, bound in _rows(refinement)
        ],
        "correlations": refinement.correlations.tolist(),
    }
    if one:
        content |= planes[0]
    elif planes:
        content["quality"] = _joint_quality(refinement)
        content["planes"] = [{**source, **plane} for source, plane in zip(sources, planes, strict=True)]
    finite: dict[str, Any] = finite_content(content)
    return finite


def as_csv(refinement: Refinement) -> str:
    """Return the alphas as CSV, one line for each orbit."""
    stream = StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_CSV_COLUMNS)
    for orbit, alpha, sigma, bound in _rows(refinement):
        writer.writerow(
            [
                *_entries(orbit, orbit.representative),
                len(orbit.vectors),
                f"{orbit.length_angstrom:.6g}",
                f"{alpha:.8g}",
                f"{sigma:.8g}" if np.isfinite(sigma) else "",
                AT_BOUND[bound],
            ]
        )
    return stream.getvalue()


def as_cif(refinement: Refinement, cell: Cell, settings: Record, sources: Sequence[Record]) -> str:
    """Return everything but maps and correlations as CIF: standard names for the cell, _dsfunet_... for the rest.

    Arguments are those of `as_record`.
    """
    document = gemmi.cif.Document()
    block = document.add_new_block("short_range_order")
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    for name, value in zip(names, cell.parameters, strict=True):
        block.set_pair(f"_cell_{name}", f"{value:g}")
    for name, setting in {**(sources[0] if len(sources) == 1 else {}), **settings}.items():
        # Without quotes a dot is CIF's word for "not applicable".
        text = "." if setting is None else gemmi.cif.quote(str(setting))
        block.set_pair(f"_dsfunet_{name}", text)
    block.set_pair("_dsfunet_sro_quantity", gemmi.cif.quote(quantity_of(refinement)))
    if sources:
        _add_planes(block, refinement, sources)
    loop = block.init_loop(
        "_dsfunet_sro_",
        ["vector_i", "vector_j", "vector_k", "multiplicity", "vector_length", "alpha", "at_bound"],
    )
    for orbit, alpha, sigma, bound in _rows(refinement):
        loop.add_row(
            [
                *map(str, _entries(orbit, orbit.representative)),
                str(len(orbit.vectors)),
                f"{orbit.length_angstrom:.5g}",
                with_uncertainty(alpha, sigma),
                gemmi.cif.quote(AT_BOUND[bound]) if bound else ".",
            ]
        )
    return document.as_string()


def _add_planes(block: gemmi.cif.Block, refinement: Refinement, sources: Sequence[Record]) -> None:
    """Add scales and quality of the fit to a CIF block, as a loop if there are several planes."""
    scales = [
        with_uncertainty(plane.scale, sigma)
        for plane, sigma in zip(refinement.planes, refinement.scale_uncertainties.tolist(), strict=True)
    ]
    one = len(sources) == 1
    if one:
        block.set_pair("_dsfunet_sro_scale", scales[0])
    for name, number in (_quality(refinement.planes[0]) if one else _joint_quality(refinement)).items():
        block.set_pair(f"_dsfunet_sro_{name}", _cif_number(number))
    if one:
        return
    table = block.init_loop("_dsfunet_plane_", [*sources[0], "scale", *_quality(refinement.planes[0])])
    for source, scale, plane in zip(sources, scales, refinement.planes, strict=True):
        recorded = [gemmi.cif.quote(str(value)) for value in source.values()]
        table.add_row([*recorded, scale, *map(_cif_number, _quality(plane).values())])


def _rows(refinement: Refinement) -> Iterator[tuple[Orbit, float, float, int]]:
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
        content["projection"] = _entries(orbit, orbit.representative)
        content["part"] = "sine" if orbit.is_sine else "cosine"
    return content


def _written(vector: Vector) -> list[int | str]:
    return [each if isinstance(each, int) else str(each) for each in vector]


def _entries(orbit: Orbit, vector: Vector) -> list[int | str]:
    """Return the components for a file: integers, fractions as text, and "all" along the axis of summation."""
    written = _written(vector)
    if orbit.summed_axis is not None:
        written[orbit.summed_axis] = "all"
    return written


def _scale_names(sources: Sequence[Record]) -> list[str]:
    return ["scale"] if len(sources) == 1 else [f"scale {source['plane']}" for source in sources]


def _quality(plane: FittedPlane) -> dict[str, float | None]:
    return {
        "chi_squared": plane.chi_squared,
        "degrees_of_freedom": plane.degrees_of_freedom,
        "pixel_chi_squared": plane.pixel_chi_squared,
        "r_factor": plane.r_factor,
        "weighted_r_factor": plane.weighted_r_factor,
        "pixels": plane.pixels,
        "zones": plane.zones,
        "independent_zones": plane.groups,
    }


def _joint_quality(refinement: Refinement) -> dict[str, float | None]:
    return {
        "chi_squared": refinement.chi_squared,
        "degrees_of_freedom": refinement.degrees_of_freedom,
        "independent_zones": refinement.groups,
    }


def _r_factors(fitted: FittedPlane) -> str:
    return f"R = {100 * fitted.r_factor:.2f} %, wR2 = {100 * fitted.weighted_r_factor:.2f} %"


def _chi_squared(fitted: FittedPlane | Refinement) -> str:
    reduced = fitted.chi_squared / max(1, fitted.degrees_of_freedom)
    degrees = f"{fitted.degrees_of_freedom:.4g} degrees of freedom"
    return f"chi-squared {fitted.chi_squared:.4g} for {degrees} ({reduced:.3g})"


def _cif_number(number: float | None) -> str:
    return "." if number is None or not math.isfinite(number) else f"{number:.6g}"


def finite_content(content: Any) -> Any:
    """Return the same content with None for NaN and infinity, which JSON does not have."""
    if isinstance(content, dict):
        return {name: finite_content(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [finite_content(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
