"""The picture of a refinement: observed and calculated planes folded into one Brillouin zone, and the residual."""

from collections.abc import Sequence
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from dsfunet._typing import Array
from dsfunet.analysis.refinement.data import PlaneData
from dsfunet.analysis.refinement.fit import Refinement
from dsfunet.analysis.refinement.zones import FoldedMap
from dsfunet.analysis.verdicts import RecordedVerdict
from dsfunet.planes.measured import PlaneGrid
from dsfunet.planes.names import SpannedPlaneName
from dsfunet.plotting.result import Frame, colour_ticks, intensity_scale, residual_scale

_PANEL_WIDTH_INCH = 3.6
_TITLE_WIDTH = 140


def draw_refinement(
    folded: Sequence[FoldedMap],
    refinement: Refinement,
    planes: Sequence[PlaneData],
    verdicts: Sequence[RecordedVerdict] = (),
) -> Figure:
    """Draw four panels for each plane: folded observed and calculated values, their difference, and the residual.

    Args:
        folded: each plane folded into one zone.
        refinement: of the planes.
        planes: the data; all panels are in their units.
        verdicts: on the results, which stand below the title.

    Returns:
        A figure without a window, which changes no global state of matplotlib.
    """
    rows: list[list[tuple[str, Array, PlaneGrid, Any, str]]] = []
    for each, fitted, plane in zip(folded, refinement.planes, planes, strict=True):
        grid = plane.grid
        name = grid.name if each.repeat.is_cell else _zone_name(each, grid)
        zone = PlaneGrid(grid.cell, name, each.centres, each.centres)
        scale = intensity_scale(each.observed)
        misfit = each.observed - each.calculated
        residual = np.where(plane.used, plane.values, np.nan) - fitted.calculated
        of_which = f" {grid.name}" if len(planes) > 1 else ""
        rows.append(
            [
                (f"Observed{of_which}, folded", each.observed, zone, scale, "inferno"),
                ("Calculated", each.calculated, zone, scale, "inferno"),
                ("Observed \N{MINUS SIGN} calculated", misfit, zone, residual_scale(misfit), "RdBu_r"),
                ("Residual of the plane", residual, grid, residual_scale(residual), "RdBu_r"),
            ]
        )
    heights = [_aspect(row[0][2]) * 0.86 * _PANEL_WIDTH_INCH + 1.2 for row in rows]
    figure = Figure(
        figsize=(_PANEL_WIDTH_INCH * len(rows[0]), sum(heights) + 0.6 + 0.4 * len(verdicts)),
        layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06, wspace=0.02),
    )
    FigureCanvasAgg(figure)
    places = figure.add_gridspec(len(rows), len(rows[0]), height_ratios=heights)
    for number, row in enumerate(rows):
        for column, (title, values, place, norm, colours) in enumerate(row):
            axes = figure.add_subplot(places[number, column])
            image = Frame.of(place, place.shape).draw(axes, values, norm, colours)
            axes.set_title(title, fontsize=11)
            bar = figure.colorbar(
                image, ax=axes, location="bottom", ticks=colour_ticks(norm), shrink=0.82, aspect=24, pad=0.04
            )
            bar.ax.tick_params(labelsize=8)
            bar.formatter.set_powerlimits((-2, 4))  # type: ignore[attr-defined]
    names = ", ".join(str(plane.grid.name) for plane in planes)
    factors = ", ".join(f"{100 * fitted.r_factor:.1f} %" for fitted in refinement.planes)
    title = f"Short-range order in {names}: {len(refinement.orbits)} parameters, R = {factors}"
    sentences = [line for each in verdicts for line in wrap(each.sentence, _TITLE_WIDTH)]
    figure.suptitle("\n".join([title, *sentences]), fontsize=13 if not sentences else 11)
    return figure


def _zone_name(folded: FoldedMap, grid: PlaneGrid) -> SpannedPlaneName:
    """Return the plane of a zone, along its repeat vectors."""
    first, second = ((float(h), float(k), float(l)) for h, k, l in folded.repeat.vectors.tolist())  # noqa: E741
    h, k, l = grid.name.layer.origin.tolist()  # noqa: E741
    return SpannedPlaneName(first, second, (h, k, l))


def _aspect(zone: PlaneGrid) -> float:
    """Return height over width of one zone, limited to what fits on a page."""
    width, height = np.ptp(Frame.of(zone, zone.shape).corners, axis=0)
    return float(np.clip(height / width, 0.3, 2.0))
