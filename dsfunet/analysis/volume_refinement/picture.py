"""The picture of a refinement on a volume: alpha against distance, and sections of I_SRO in one zone."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from dsfunet._typing import Array
from dsfunet.analysis.refinement.fit import Refinement
from dsfunet.analysis.refinement.reach import Reach
from dsfunet.analysis.refinement.terms import orbit_series
from dsfunet.physics import Cell
from dsfunet.physics.symmetry import Orbit
from dsfunet.planes.measured import PlaneGrid
from dsfunet.planes.names import PlaneName
from dsfunet.plotting.result import Frame, colour_ticks, intensity_scale

_LAYERS = (0.0, 0.25, 0.5)
"""Third indices of the sections [r.l.u.]; those above 1/2 repeat these, because every lattice has 0 0 1 or an
equivalent of it shifted in the plane."""

_PIXELS = 161
_PANEL_WIDTH_INCH = 3.6
_MOST_LABELS = 10


def draw_volume_refinement(
    refinement: Refinement, orbits: Sequence[Orbit], alphas: Array, cell: Cell, reach: Reach, title: str
) -> Figure:
    """Draw alpha against distance with error bars, and below it sections of I_SRO at l = 0, 1/4 and 1/2.

    Args:
        refinement: of the orbits that are reported, in black.
        orbits: that together hold all vectors of the fit; those that are not reported are in grey.
        alphas: of these orbits, shape (n,).
        cell: unit cell.
        reach: of the order.
        title: of the figure.

    Returns:
        A figure without a window, which changes no global state of matplotlib.
    """
    grids = [_zone_grid(cell, orbits[0].denominator, layer) for layer in _LAYERS]
    sections = [_series(orbits, alphas, grid) for grid in grids]
    width, height = np.ptp(Frame.of(grids[0], grids[0].shape).corners, axis=0)
    below = float(np.clip(height / width, 0.3, 2.0)) * 0.86 * _PANEL_WIDTH_INCH + 1.2
    figure = Figure(
        figsize=(_PANEL_WIDTH_INCH * len(_LAYERS), 3.4 + below + 0.6),
        layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06, wspace=0.02),
    )
    FigureCanvasAgg(figure)
    places = figure.add_gridspec(2, len(_LAYERS), height_ratios=(3.4, below))
    _draw_distances(figure.add_subplot(places[0, :]), refinement, orbits, alphas, reach)
    norm = intensity_scale(np.concatenate(sections))
    panels = []
    for column, (layer, grid, values) in enumerate(zip(_LAYERS, grids, sections, strict=True)):
        axes = figure.add_subplot(places[1, column])
        image = Frame.of(grid, grid.shape).draw(axes, np.maximum(values, 0.0), norm, "inferno")
        axes.set_title(f"I$_{{\\rm SRO}}$, h k {layer:g}", fontsize=11)
        panels.append(axes)
    bar = figure.colorbar(
        image, ax=panels, location="bottom", ticks=colour_ticks(norm), shrink=0.5, aspect=30
    )
    bar.ax.tick_params(labelsize=8)
    figure.suptitle(title, fontsize=13)
    return figure


def _draw_distances(
    axes: Axes, refinement: Refinement, orbits: Sequence[Orbit], alphas: Array, reach: Reach
) -> None:
    reported = {orbit.name for orbit in refinement.orbits}
    lengths = np.array([orbit.length_angstrom for orbit in refinement.orbits])
    longest = orbits[-1].length_angstrom
    shown = min(max(1.6 * float(lengths.max()), reach.farthest_angstrom), longest)
    others = [
        (orbit.length_angstrom, alpha)
        for orbit, alpha in zip(orbits, alphas.tolist(), strict=True)
        if orbit.name not in reported and orbit.length_angstrom <= shown
    ]
    if others:
        axes.plot(*np.array(others).T, ".", color="0.65", markersize=4, label="other vectors of the fit")
    axes.errorbar(
        lengths, refinement.alphas, refinement.uncertainties, fmt="o", color="black", markersize=4, capsize=2
    )
    largest = np.argsort(-np.abs(refinement.alphas))[:_MOST_LABELS]
    for place in largest.tolist():
        axes.annotate(
            refinement.orbits[place].name,
            (float(lengths[place]), float(refinement.alphas[place])),
            xytext=(5, 3),
            textcoords="offset points",
            fontsize=8,
        )
    axes.axhline(0.0, color="black", linewidth=0.6)
    axes.xaxis.set_major_locator(MaxNLocator(10))
    axes.set_xlim(0.0, 1.05 * shown)
    axes.set_xlabel("Distance (\N{LATIN CAPITAL LETTER A WITH RING ABOVE})")
    axes.set_ylabel("Warren-Cowley parameter \N{GREEK SMALL LETTER ALPHA}")
    if others:
        axes.legend(fontsize=8, frameon=False)


def _zone_grid(cell: Cell, denominator: int, layer: float) -> PlaneGrid:
    """Return one repeat of I_SRO in a layer of constant l, with 0 0 l in the middle."""
    axis = np.linspace(-denominator / 2, denominator / 2, _PIXELS)
    return PlaneGrid(cell, PlaneName((0, 1), layer), axis, axis)


def _series(orbits: Sequence[Orbit], alphas: Array, grid: PlaneGrid) -> Array:
    total = np.ones(grid.shape)
    for orbit, alpha in zip(orbits, alphas.tolist(), strict=True):
        total += alpha * orbit_series(orbit, grid)
    return total
