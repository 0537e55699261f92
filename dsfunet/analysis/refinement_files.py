"""A refinement as people and programs read it: a table, JSON, CSV, CIF-like text and a picture."""

import csv
import json
import math
from collections.abc import Mapping
from io import StringIO
from typing import Any

import gemmi
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from dsfunet.analysis.numbers import with_uncertainty
from dsfunet.analysis.refinement import Refinement
from dsfunet.analysis.zones import FoldedMap
from dsfunet.io.measured import PlaneGrid
from dsfunet.physics import Cell
from dsfunet.physics.lattice import Array
from dsfunet.plots import Frame, colour_ticks, intensity_scale, residual_scale

AT_BOUND = {-1: "at lower bound", 0: "", 1: "at upper bound"}

_PANEL_WIDTH_INCH = 3.6


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
    refinement: Refinement, folded: FoldedMap, cell: Cell, settings: Mapping[str, object], notes: list[str]
) -> str:
    """Everything, the correlation matrix and the folded map among it; null where there is no number."""
    content = {
        "program": "dsfunet refine",
        "settings": dict(settings),
        "notes": notes,
        "cell": dict(zip(("a", "b", "c", "alpha", "beta", "gamma"), cell.parameters, strict=True)),
        "parameters": ["scale", *(orbit.name for orbit in refinement.orbits)],
        "scale": {"value": refinement.scale, "standard_uncertainty": refinement.scale_uncertainty},
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
        "quality": _quality(refinement),
        "folded": {
            "centres": folded.centres.tolist(),
            "observed": folded.observed.tolist(),
            "calculated": folded.calculated.tolist(),
        },
    }
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


def as_cif(refinement: Refinement, cell: Cell, settings: Mapping[str, object]) -> str:
    """CIF-like text: the standard names for the cell, and names of our own (_dsfunet_...) for the rest."""
    document = gemmi.cif.Document()
    block = document.add_new_block("short_range_order")
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    for name, value in zip(names, cell.parameters, strict=True):
        block.set_pair(f"_cell_{name}", f"{value:g}")
    for name, setting in settings.items():
        # Without quotes a dot is CIF's word for what does not apply.
        text = "." if setting is None else gemmi.cif.quote(str(setting))
        block.set_pair(f"_dsfunet_{name}", text)
    block.set_pair("_dsfunet_sro_scale", with_uncertainty(refinement.scale, refinement.scale_uncertainty))
    for name, number in _quality(refinement).items():
        block.set_pair(
            f"_dsfunet_sro_{name}", "." if number is None or not math.isfinite(number) else f"{number:.6g}"
        )
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


def draw_refinement(
    folded: FoldedMap, refinement: Refinement, observed: Array, grid: PlaneGrid, cell: Cell
) -> Figure:
    """Four panels: observed and calculated in one Brillouin zone, their difference, and the residual of the plane.

    `observed` is the plane the fit was made to, shape of the grid, NaN where a pixel did not count. Units are those of
    the normalised I_SRO. The figure belongs to no window and touches no global state of matplotlib.
    """
    zone = PlaneGrid(cell, grid.name, folded.centres, folded.centres)
    scale = intensity_scale(folded.observed)
    misfit = folded.observed - folded.calculated
    residual = observed - refinement.calculated
    panels: list[tuple[str, Array, PlaneGrid, Any, str]] = [
        ("Observed, folded", folded.observed, zone, scale, "inferno"),
        ("Calculated", folded.calculated, zone, scale, "inferno"),
        ("Observed \N{MINUS SIGN} calculated", misfit, zone, residual_scale(misfit), "RdBu_r"),
        ("Residual of the plane", residual, grid, residual_scale(residual), "RdBu_r"),
    ]
    corners = Frame.of(zone, zone.shape).corners
    width, height = np.ptp(corners, axis=0)
    aspect = float(np.clip(height / width, 0.3, 2.0))
    figure = Figure(
        figsize=(_PANEL_WIDTH_INCH * len(panels), 0.86 * _PANEL_WIDTH_INCH * aspect + 1.8),
        layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06, wspace=0.02),
    )
    FigureCanvasAgg(figure)
    for number, (title, values, place, norm, colours) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), number + 1)
        image = Frame.of(place, place.shape).draw(axes, values, norm, colours)
        axes.set_title(title, fontsize=11)
        bar = figure.colorbar(
            image, ax=axes, location="bottom", ticks=colour_ticks(norm), shrink=0.82, aspect=24, pad=0.04
        )
        bar.ax.tick_params(labelsize=8)
        bar.formatter.set_powerlimits((-2, 4))  # type: ignore[attr-defined]
    figure.suptitle(
        f"Short-range order in {grid.name}: {len(refinement.orbits)} parameters,"
        f" R = {100 * refinement.r_factor:.1f} %",
        fontsize=13,
    )
    return figure


def _quality(refinement: Refinement) -> dict[str, float | None]:
    return {
        "chi_squared": refinement.chi_squared,
        "degrees_of_freedom": refinement.degrees_of_freedom,
        "pixel_chi_squared": refinement.pixel_chi_squared,
        "r_factor": refinement.r_factor,
        "weighted_r_factor": refinement.weighted_r_factor,
        "pixels": refinement.pixels,
        "zones": refinement.zones,
        "independent_zones": refinement.groups,
    }


def _finite(content: Any) -> Any:
    """The same without NaN and infinity, which are no JSON."""
    if isinstance(content, dict):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
