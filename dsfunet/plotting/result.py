"""Picture of a result: measured plane, both components, their product and the residual."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Polygon
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Affine2D

from dsfunet._typing import Array
from dsfunet.files import replacing
from dsfunet.planes.measured import PlaneGrid
from dsfunet.planes.result import TITLES, Result

_PANELS = ("input", "form_factor", "short_range_order", "product", "residual")
_MISSING_GREY = "0.72"
_PANEL_WIDTH_INCH = 3.1


def draw_components(result: Result) -> Figure:
    """Draw five panels in a row: measured plane, form factor, short-range order, product and residual.

    With a grid, axes are in r.l.u. at their true angle and lengths; otherwise they are pixels with row 0 on top.
    Intensities have a square-root scale, the same for measured plane and product; the residual has a linear scale about
    zero. Missing pixels are grey. The figure has no window and does not change the global state of matplotlib.
    """
    measured_scale = intensity_scale(result.input)
    panels = []
    for name in _PANELS:
        values = getattr(result, name)
        if name == "residual":
            norm = residual_scale(values)
        else:
            norm = measured_scale if name in ("input", "product") else intensity_scale(values)
        panels.append(Panel(TITLES[name].capitalize(), values, norm))
    return draw_panels(result, panels, _title(result))


@dataclass(frozen=True, eq=False)
class Panel:
    """One panel of a row.

    Attributes:
        title: title of the panel.
        values: plane (n, m), NaN where missing.
        norm: colour scale; one that reaches below zero gets diverging colours.
    """

    title: str
    values: npt.NDArray[np.floating[Any]]
    norm: Normalize


def draw_panels(result: Result, panels: Sequence[Panel], title: str) -> Figure:
    """Draw planes on the grid of a result side by side, each with a colour bar; axes as in `draw_components`."""
    frame = Frame.of(result.grid, result.input.shape)
    low, high = frame.corners.min(axis=0), frame.corners.max(axis=0)
    aspect = float(np.clip((high[1] - low[1]) / (high[0] - low[0]), 0.3, 2.0))
    size = (_PANEL_WIDTH_INCH * len(panels), _PANEL_WIDTH_INCH * 0.86 * aspect + 1.6)
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06, wspace=0.02))
    FigureCanvasAgg(figure)
    for number, panel in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), number + 1)
        diverging = (panel.norm.vmin or 0.0) < 0
        image = frame.draw(axes, panel.values, panel.norm, "RdBu_r" if diverging else "inferno")
        axes.set_title(panel.title, fontsize=11)
        bar = figure.colorbar(
            image,
            ax=axes,
            location="bottom",
            ticks=colour_ticks(panel.norm),
            extend="both" if diverging else "max",
            shrink=0.82,
            aspect=24,
            pad=0.04,
        )
        bar.ax.tick_params(labelsize=8)
        bar.formatter.set_powerlimits((-2, 4))  # type: ignore[attr-defined]
        bar.ax.xaxis.get_offset_text().set_fontsize(8)
    figure.suptitle(title, fontsize=13)
    return figure


def save_png(figure: Figure, path: Path | str, dots_per_inch: int = 150) -> None:
    """Write a figure as PNG; a failure leaves no partial file.

    Raises:
        InputError: the path cannot be written.
    """
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=dots_per_inch)


@dataclass(frozen=True, eq=False)
class Frame:
    """Frame of a drawn plane: position = row coordinate * row_axis + column coordinate * column_axis.

    Attributes:
        rows: outer edges of the first and last row.
        columns: outer edges of the first and last column.
        labels: labels of the row axis and of the column axis.
        row_axis: direction and length of one unit along the rows, (2,).
        column_axis: the same along the columns.
        row_edge: column coordinate of the edge along which the row axis is labelled.
        column_edge: row coordinate of the edge along which the column axis is labelled.
    """

    rows: tuple[float, float]
    columns: tuple[float, float]
    labels: tuple[str, str]
    row_axis: Array
    column_axis: Array
    row_edge: float
    column_edge: float

    @classmethod
    def of(cls, grid: PlaneGrid | None, shape: tuple[int, ...]) -> "Frame":
        """Return the frame of a grid at its true angle and lengths, or without one that of a plane of pixels."""
        if grid is None:
            n, m = shape
            rows, columns = (-0.5, n - 0.5), (-0.5, m - 0.5)
            down, right = np.array([0.0, -1.0]), np.array([1.0, 0.0])
            return cls(rows, columns, ("row", "column"), down, right, columns[0], rows[1])
        first, second = grid.vectors
        length = float(np.linalg.norm(first))
        along = float(second @ first) / length
        across = float(np.sqrt(second @ second - along**2))
        rows, columns = (
            (float(values[0] - step / 2), float(values[-1] + step / 2))
            for values, step in zip((grid.rows, grid.columns), grid.steps, strict=True)
        )
        labels = (f"{grid.name.labels[0]} (r.l.u.)", f"{grid.name.labels[1]} (r.l.u.)")
        axes = np.array([length, 0.0]), np.array([along, across])
        return cls(rows, columns, labels, *axes, min(columns), min(rows))

    @property
    def corners(self) -> Array:
        """The four corners in drawing order, (4, 2)."""
        (r0, r1), (c0, c1) = self.rows, self.columns
        return np.array([self.point(*corner) for corner in ((r0, c0), (r1, c0), (r1, c1), (r0, c1))])

    def point(self, row: float, column: float) -> Array:
        """Return the drawn position of a row and a column coordinate, (2,)."""
        return row * self.row_axis + column * self.column_axis

    def draw(self, axes: Axes, values: npt.NDArray[np.floating[Any]], norm: Normalize, colours: str) -> Any:
        """Draw values (n, m), the outline and labelled ticks; returns the image."""
        colormap = colormaps[colours].with_extremes(bad=_MISSING_GREY)
        to_paper = Affine2D(
            np.array(
                [[*pair, 0.0] for pair in zip(self.row_axis, self.column_axis, strict=True)]
                + [[0.0, 0.0, 1.0]]
            )
        )
        image = axes.imshow(
            np.ma.masked_invalid(values.T),
            norm=norm,
            cmap=colormap,
            origin="lower",
            extent=(*self.rows, *self.columns),
            interpolation="nearest",
            transform=to_paper + axes.transData,
        )
        axes.add_patch(Polygon(list(map(tuple, self.corners)), fill=False, edgecolor="black", linewidth=0.8))
        low, high = self.corners.min(axis=0), self.corners.max(axis=0)
        margin = 0.01 * float((high - low).max())
        axes.set_xlim(low[0] - margin, high[0] + margin)
        axes.set_ylim(low[1] - margin, high[1] + margin)
        axes.set_aspect("equal")
        axes.set_axis_off()
        centre = self.corners.mean(axis=0)
        for along_rows, (first, last) in ((True, self.rows), (False, self.columns)):
            start, end = (
                (value, self.row_edge) if along_rows else (self.column_edge, value) for value in (first, last)
            )
            self._ticks(
                axes, first, last, self.point(*start), self.point(*end), centre, self.labels[not along_rows]
            )
        return image

    @staticmethod
    def _ticks(
        axes: Axes, first: float, last: float, start: Array, end: Array, centre: Array, label: str
    ) -> None:
        """Draw ticks and numbers outside the edge from `start` to `end`, and the label beyond them."""
        direction = (end - start) / np.linalg.norm(end - start)
        outward = np.array([direction[1], -direction[0]])
        outward *= np.sign(outward @ ((start + end) / 2 - centre))
        flat = abs(direction[0]) > abs(direction[1])
        anchor: dict[str, Any] = {"ha": "center", "va": "top"} if flat else {"ha": "right", "va": "center"}
        low, high = min(first, last), max(first, last)
        for tick in MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(low, high):
            if low <= tick <= high:
                place = start + (tick - first) / (last - first) * (end - start)
                style: dict[str, Any] = {"textcoords": "offset points", "annotation_clip": False}
                line = {"arrowstyle": "-", "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0}
                axes.annotate("", tuple(place), tuple(4 * outward), arrowprops=line, **style)
                axes.annotate(
                    f"{tick:g}".replace("-", "\N{MINUS SIGN}"),
                    tuple(place),
                    tuple(6 * outward),
                    fontsize=8,
                    **anchor,
                    **style,
                )
        turn = (
            0.0
            if flat
            else float(np.degrees(np.arctan2(abs(direction[1]), direction[0] * np.sign(direction[1]))))
        )
        axes.annotate(
            label,
            tuple((start + end) / 2),
            tuple((18 if flat else 26) * outward),
            fontsize=9,
            rotation=turn,
            ha="center",
            va="top" if flat else "center",
            **style,
        )


def intensity_scale(values: npt.NDArray[np.floating[Any]]) -> Normalize:
    """Return a square-root scale from 0 to the 99.8th percentile of the pixels."""
    finite = values[np.isfinite(values)]
    top = float(np.percentile(finite, 99.8)) if finite.size else 0.0
    return PowerNorm(0.5, vmin=0.0, vmax=top if top > 0 else 1.0, clip=True)


def residual_scale(values: npt.NDArray[np.floating[Any]]) -> Normalize:
    """Return a linear scale about zero, out to the 99.8th percentile of the absolute values."""
    finite = values[np.isfinite(values)]
    top = float(np.percentile(np.abs(finite), 99.8)) if finite.size else 0.0
    return Normalize(-top if top > 0 else -1.0, top if top > 0 else 1.0)


def colour_ticks(norm: Normalize) -> list[float]:
    """Return round values for a colour bar, far enough apart that their numbers do not overlap."""
    low, high = float(norm.vmin or 0.0), float(norm.vmax or 1.0)
    ticks: list[float] = []
    for tick in MaxNLocator(5).tick_values(low, high):
        place = float(norm(tick))
        if low <= tick <= high and (not ticks or place - float(norm(ticks[-1])) > 0.17):
            ticks.append(float(tick))
    return ticks


def _title(result: Result) -> str:
    if result.grid is None:
        return "Diffuse scattering and its two components"
    cell = result.grid.cell
    lengths = ", ".join(
        f"{name} = {value:g}" for name, value in zip("abc", (cell.a, cell.b, cell.c), strict=True)
    )
    return f"Diffuse scattering in {result.grid.name.title} and its two components ({lengths} Å)"
