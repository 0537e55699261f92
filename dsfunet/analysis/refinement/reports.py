"""A refinement as people and programs read it: a table, JSON, CSV and CIF-like text."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

import gemmi
import numpy as np

from dsfunet.analysis.formatting import with_uncertainty
from dsfunet.analysis.refinement.fit import FittedPlane, Refinement
from dsfunet.analysis.refinement.zones import FoldedMap
from dsfunet.physics import Cell

AT_BOUND = {-1: "at lower bound", 0: "", 1: "at upper bound"}


def as_table(refinement: Refinement) -> str:
    """The alphas with their uncertainties, one line an orbit, for the screen."""
    lines = [f"{'vector':>9}  {'equivalents':>11}  {'length/Å':>8}  alpha"]
    for orbit, alpha, sigma, bound in zip(
        refinement.orbits, refinement.alphas, refinement.uncertainties, refinement.at_bound, strict=True
    ):
        vector = " ".join(f"{index:2d}" for index in orbit.representative)
        value = with_uncertainty(alpha, sigma) + (f"  {AT_BOUND[bound]}" if bound else "")
        lines.append(f"{vector:>9}  {len(orbit.vectors):>11}  {orbit.length_angstrom:8.3f}  {value:>9}")
    return "\n".join(lines)


def as_json(
    refinement: Refinement,
    folded: Sequence[FoldedMap],
    cell: Cell,
    settings: Mapping[str, object],
    sources: Sequence[Mapping[str, object]],
    notes: list[str],
) -> str:
    """Everything, the correlation matrix and the folded maps among it; null where there is no number.

    `folded` and `sources` (what is on record of each file) are in the order of the planes. What belongs to a plane
    stands at the top where there is one, and under "planes" where there are several.
    """
    planes = []
    scales = zip(refinement.planes, refinement.scale_uncertainties.tolist(), folded, strict=True)
    for plane, sigma, each in scales:
        planes.append(
            {
                "scale": {"value": plane.scale, "standard_uncertainty": sigma},
                "quality": _quality(plane),
                "folded": {
                    "centres": each.centres.tolist(),
                    "observed": each.observed.tolist(),
                    "calculated": each.calculated.tolist(),
                },
            }
        )
    one = len(planes) == 1
    content = {
        "program": "dsfunet refine",
        "settings": {**(sources[0] if one else {}), **settings},
        "notes": notes,
        "cell": dict(zip(("a", "b", "c", "alpha", "beta", "gamma"), cell.parameters, strict=True)),
        "parameters": [*_scale_names(sources), *(orbit.name for orbit in refinement.orbits)],
        "alphas": [
            {
                "vector": orbit.representative,
                "equivalents": orbit.vectors.tolist(),
                "length_angstrom": orbit.length_angstrom,
                "value": alpha,
                "standard_uncertainty": sigma,
                "at_bound": AT_BOUND[bound] or None,
            }
            for orbit, alpha, sigma, bound in zip(
                refinement.orbits,
                refinement.alphas.tolist(),
                refinement.uncertainties.tolist(),
                refinement.at_bound.tolist(),
                strict=True,
            )
        ],
        "correlations": refinement.correlations.tolist(),
    }
    if one:
        content |= planes[0]
    else:
        content["quality"] = _joint_quality(refinement)
        content["planes"] = [{**source, **plane} for source, plane in zip(sources, planes, strict=True)]
    return json.dumps(_finite(content), indent=1) + "\n"


def as_csv(refinement: Refinement) -> str:
    """One line an orbit: i, j, k, number of equivalents, length, alpha, its uncertainty, whether it is at a bound."""
    stream = StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(
        [
            "i",
            "j",
            "k",
            "equivalents",
            "length_angstrom",
            "alpha",
            "alpha_standard_uncertainty",
            "at_bound",
        ]
    )
    for orbit, alpha, sigma, bound in zip(
        refinement.orbits, refinement.alphas, refinement.uncertainties, refinement.at_bound, strict=True
    ):
        writer.writerow(
            [
                *orbit.representative,
                len(orbit.vectors),
                f"{orbit.length_angstrom:.6g}",
                f"{alpha:.8g}",
                f"{sigma:.8g}" if np.isfinite(sigma) else "",
                AT_BOUND[bound],
            ]
        )
    return stream.getvalue()


def as_cif(
    refinement: Refinement,
    cell: Cell,
    settings: Mapping[str, object],
    sources: Sequence[Mapping[str, object]],
) -> str:
    """CIF-like text: the standard names for the cell, and names of our own (_dsfunet_...) for the rest."""
    one = len(sources) == 1
    document = gemmi.cif.Document()
    block = document.add_new_block("short_range_order")
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    for name, value in zip(names, cell.parameters, strict=True):
        block.set_pair(f"_cell_{name}", f"{value:g}")
    for name, setting in {**(sources[0] if one else {}), **settings}.items():
        # Without quotes a dot is CIF's word for what does not apply.
        text = "." if setting is None else gemmi.cif.quote(str(setting))
        block.set_pair(f"_dsfunet_{name}", text)
    scales = [
        with_uncertainty(plane.scale, sigma)
        for plane, sigma in zip(refinement.planes, refinement.scale_uncertainties.tolist(), strict=True)
    ]
    if one:
        block.set_pair("_dsfunet_sro_scale", scales[0])
    for name, number in (_quality(refinement.planes[0]) if one else _joint_quality(refinement)).items():
        block.set_pair(f"_dsfunet_sro_{name}", _cif_number(number))
    if not one:
        table = block.init_loop("_dsfunet_plane_", [*sources[0], "scale", *_quality(refinement.planes[0])])
        for source, scale, plane in zip(sources, scales, refinement.planes, strict=True):
            recorded = [gemmi.cif.quote(str(value)) for value in source.values()]
            table.add_row([*recorded, scale, *map(_cif_number, _quality(plane).values())])
    loop = block.init_loop(
        "_dsfunet_sro_",
        ["vector_i", "vector_j", "vector_k", "multiplicity", "vector_length", "alpha", "at_bound"],
    )
    for orbit, alpha, sigma, bound in zip(
        refinement.orbits, refinement.alphas, refinement.uncertainties, refinement.at_bound, strict=True
    ):
        loop.add_row(
            [
                *map(str, orbit.representative),
                str(len(orbit.vectors)),
                f"{orbit.length_angstrom:.5g}",
                with_uncertainty(alpha, sigma),
                gemmi.cif.quote(AT_BOUND[bound]) if bound else ".",
            ]
        )
    return document.as_string()


def _scale_names(sources: Sequence[Mapping[str, object]]) -> list[str]:
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


def _cif_number(number: float | None) -> str:
    return "." if number is None or not math.isfinite(number) else f"{number:.6g}"


def _finite(content: Any) -> Any:
    """The same without NaN and infinity, which are no JSON."""
    if isinstance(content, dict):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
