"""Sections of a difference pair distribution function through the origin."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from dsfunet._typing import Array
from dsfunet.analysis.pair_distribution.grids import REAL_LABELS
from dsfunet.analysis.pair_distribution.run import PairDistribution
from dsfunet.analysis.pair_distribution.windows import peak_shape
from dsfunet.plotting.result import Frame

_PANEL_INCH = 4.2
_SHARE = 0.998
"""Share of the voxels away from the origin that the colours reach."""


def draw_sections(found: PairDistribution) -> Figure:
    """Draw the sections w = 0, u = 0 and v = 0, at the true angles and lengths of the cell.

    All have one linear scale, red above and blue below zero. The peak at the origin, which is the largest of all, does
    not count for the scale.

    Returns:
        A figure without a window, which changes no global state of matplotlib.
    """
    sections = [(2, 0, 1), (0, 1, 2), (1, 0, 2)]
    limit = _colour_limit(found)
    frames = [_frame(found, first, second) for _, first, second in sections]
    aspects = []
    for frame in frames:
        width, height = np.ptp(frame.corners, axis=0)
        aspects.append(float(np.clip(height / width, 0.3, 2.0)))
    figure = Figure(
        figsize=(_PANEL_INCH * 3, _PANEL_INCH * 0.86 * max(aspects) + 1.6),
        layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06, wspace=0.02),
    )
    FigureCanvasAgg(figure)
    panels = []
    for number, ((fixed, _, _), frame) in enumerate(zip(sections, frames, strict=True)):
        axes = figure.add_subplot(1, 3, number + 1)
        plane = np.take(found.values, found.axes[fixed].reach, axis=fixed)
        image = frame.draw(axes, plane, Normalize(-limit, limit), "RdBu_r")
        axes.set_title(f"{REAL_LABELS[fixed]} = 0", fontsize=11)
        panels.append(axes)
    bar = figure.colorbar(image, ax=panels, location="bottom", extend="both", shrink=0.4, aspect=36, pad=0.03)
    bar.set_label(f"P ({found.units})", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    bar.formatter.set_powerlimits((-2, 4))  # type: ignore[attr-defined]
    figure.suptitle(
        f"Difference pair distribution function of {found.source}, {found.part.replace('_', ' ')}",
        fontsize=13,
    )
    return figure


def _frame(found: PairDistribution, first: int, second: int) -> Frame:
    direct = found.cell.direct
    length = float(np.linalg.norm(direct[first]))
    along = float(direct[second] @ direct[first]) / length
    across = float(np.sqrt(direct[second] @ direct[second] - along**2))
    rows, columns = (
        ((axis.reach + 0.5) * axis.real_step * -1, (axis.reach + 0.5) * axis.real_step)
        for axis in (found.axes[first], found.axes[second])
    )
    labels = f"{REAL_LABELS[first]} (cells)", f"{REAL_LABELS[second]} (cells)"
    axes = np.array([length, 0.0]), np.array([along, across])
    return Frame(rows, columns, labels, *axes, columns[0], rows[0])


def _colour_limit(found: PairDistribution) -> float:
    """Return the largest magnitude in the sections, but for a few voxels and those near the origin."""
    width, _ = peak_shape(found.settings.window)
    radius = found.window.radius_inv_angstrom
    # A peak of the window ends within about 0.9 of its full width at half maximum.
    near = 0.9 * width / radius if np.isfinite(width) and np.isfinite(radius) else 0.0
    magnitudes: list[Array] = []
    for fixed, first, second in ((2, 0, 1), (0, 1, 2), (1, 0, 2)):
        plane = np.abs(np.take(found.values, found.axes[fixed].reach, axis=fixed))
        place = (
            found.axes[first].coordinates()[:, None, None] * found.cell.direct[first]
            + found.axes[second].coordinates()[None, :, None] * found.cell.direct[second]
        )
        magnitudes.append(plane[np.linalg.norm(place, axis=-1) > near].ravel())
    away = np.concatenate(magnitudes)
    limit = float(np.quantile(away, _SHARE)) if away.size else 0.0
    return limit if limit > 0 else 1.0
