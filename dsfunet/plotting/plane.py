"""Picture of one plane, with or without axes."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.planes.measured import MeasuredPlane, PlaneGrid
from dsfunet.planes.names import PlaneName
from dsfunet.planes.preprocessing import measured_pixels
from dsfunet.plotting.result import Frame, colour_ticks, intensity_scale, residual_scale

_WIDTH_INCH = 6.0
_SMALLEST_BRIGHTEST, _LARGEST_BRIGHTEST = 1e-30, 1e30


def draw_plane(
    measured: MeasuredPlane,
    title: str,
    axes_without_cell: tuple[PlaneName, Array, Array] | None = None,
    signed: bool = False,
) -> Figure:
    """Draw a plane, missing pixels grey, on a figure without a window.

    With a grid, axes are drawn at their true angle and lengths.

    Args:
        measured: the plane.
        title: title of the picture.
        axes_without_cell: for a plane without a grid, its name and the coordinates of its rows and columns [r.l.u.],
            which are drawn at right angles.
        signed: for residuals: the colour scale is linear about zero, not of the square root.

    Raises:
        InputError: the brightest pixel is too large or too small a number to be drawn.
    """
    values = measured.intensity
    brightest = float(np.abs(values[np.isfinite(values)]).max(initial=0.0))
    if brightest > 0 and not _SMALLEST_BRIGHTEST < brightest < _LARGEST_BRIGHTEST:
        raise InputError(
            f"the brightest pixel is {brightest:g}; a picture needs a value between {_SMALLEST_BRIGHTEST:g} and"
            f" {_LARGEST_BRIGHTEST:g}"
        )
    if not signed:
        values = np.where(measured_pixels(values), values, np.nan)
    norm = residual_scale(values) if signed else intensity_scale(values)
    frame = _frame(measured.grid, values.shape, axes_without_cell)
    low, high = frame.corners.min(axis=0), frame.corners.max(axis=0)
    aspect = float(np.clip((high[1] - low[1]) / (high[0] - low[0]), 0.2, 1.6))
    figure = Figure(
        figsize=(_WIDTH_INCH, _WIDTH_INCH * 0.86 * aspect + 1.5),
        layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08),
    )
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    image = frame.draw(axes, values, norm, "RdBu_r" if signed else "inferno")
    axes.set_title(title, fontsize=12)
    bar = figure.colorbar(
        image,
        ax=axes,
        location="bottom",
        ticks=colour_ticks(norm),
        extend="both" if signed else "max",
        shrink=0.7,
        aspect=36,
        pad=0.05,
        label="residual" if signed else "intensity (square-root scale; grey: missing)",
    )
    bar.ax.tick_params(labelsize=8)
    bar.formatter.set_powerlimits((-2, 4))  # type: ignore[attr-defined]
    bar.ax.xaxis.get_offset_text().set_fontsize(8)
    return figure


def _frame(
    grid: PlaneGrid | None,
    shape: tuple[int, ...],
    axes_without_cell: tuple[PlaneName, Array, Array] | None,
) -> Frame:
    if grid is not None or axes_without_cell is None:
        return Frame.of(grid, shape)
    name, *coordinates = axes_without_cell
    rows, columns = (_edges(values) for values in coordinates)
    labels = f"{name.labels[0]} (r.l.u.)", f"{name.labels[1]} (r.l.u.)"
    return Frame(rows, columns, labels, np.array([1.0, 0.0]), np.array([0.0, 1.0]), min(columns), min(rows))


def _edges(values: Array) -> tuple[float, float]:
    """Return the outer edges of the first and last pixel from the coordinates of pixel centres."""
    half = float(values[-1] - values[0]) / (len(values) - 1) / 2
    return float(values[0]) - half, float(values[-1]) + half
