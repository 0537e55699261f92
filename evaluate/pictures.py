"""The two pictures of a report, drawn with matplotlib's object interface: no display, no global state."""

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from dsfunet.preprocessing import spread
from evaluate.baselines import truth_of
from evaluate.scoring import Picture, Report

TITLES = {"form_factor": "form factor", "short_range_order": "short-range order"}
# Two colours that stay apart for the colour-blind (Okabe and Ito).
COLOURS = {"form_factor": "#0072B2", "short_range_order": "#D55E00"}
# Scores of zero have no place on a logarithmic axis: they are counted in its first bin.
_SMALLEST = 1e-6


def histogram(report: Report, marks: dict[str, float]) -> Figure:
    """MSE of all planes on a logarithmic axis, both components, the paper's marks and the noise baseline."""
    scores = {component: np.maximum(values, _SMALLEST) for component, values in report.scores["mse"].items()}
    noise = {
        name: float(values.mean()) for name, values in report.baselines["noise_against_truth"]["mse"].items()
    }
    everything = np.concatenate([*scores.values(), list(noise.values()), list(marks.values())])
    low, high = np.floor(np.log10(everything.min())), np.ceil(np.log10(everything.max()))
    # Few planes in narrow bins are a comb; many in wide ones hide the shape.
    bins_per_decade = 4 if report.planes < 200 else 8 if report.planes < 2000 else 16
    bins = np.logspace(low, high, int(high - low) * bins_per_decade + 1)
    figure = Figure(figsize=(8.0, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for component, values in scores.items():
        colour = COLOURS[component]
        weights = np.full(len(values), 100 / len(values))
        axes.hist(values, bins=list(bins), weights=weights, histtype="stepfilled", color=colour, alpha=0.3)
        axes.hist(
            values, bins=list(bins), weights=weights, histtype="step", color=colour, label=TITLES[component]
        )
        axes.axvline(
            marks[component],
            color=colour,
            linestyle="--",
            label=f"90 % mark of the paper, {marks[component]:g}",
        )
        axes.axvline(
            noise[component],
            color=colour,
            linestyle=":",
            label=f"noise against truth, {noise[component]:.2g}",
        )
    axes.set_xscale("log")
    axes.set_xlim(bins[0], bins[-1])
    axes.set_xlabel("MSE of a plane in spread space, s = 2 sqrt(x) - 1")
    axes.set_ylabel("share of planes [%]")
    axes.set_title(f"{report.planes} planes of {report.provenance['store']['name']}")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize="small")
    return figure


def gallery(report: Report) -> Figure:
    """Best, median and worst plane of each component: input, truth, output, difference, in spread space."""
    rows = len(report.gallery)
    figure = Figure(figsize=(9.6, 2.2 * rows + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    grid: npt.NDArray[Any] = figure.subplots(rows, 4, squeeze=False)
    images: list[AxesImage] = []
    for row, picture in zip(grid, report.gallery, strict=True):
        images = _gallery_row(row, picture)
    for axes, title in zip(
        grid[0], ("input (missing grey)", "truth", "output", "output - truth"), strict=True
    ):
        axes.set_title(title, fontsize="medium")
    bars: dict[str, Any] = {"location": "bottom", "fraction": 0.02, "pad": 0.01, "shrink": 0.9}
    figure.colorbar(images[0], ax=list(grid[:, :3].flat), label="s = 2 sqrt(x) - 1", aspect=54, **bars)
    figure.colorbar(images[-1], ax=list(grid[:, 3]), label="difference in s", aspect=18, **bars)
    return figure


def _gallery_row(row: npt.NDArray[Any], picture: Picture) -> list[AxesImage]:
    truth = spread(truth_of(picture.sample, picture.component))
    output = spread(picture.output)
    shown = np.ma.masked_array(spread(picture.sample.scattering), ~picture.sample.mask)
    intensity = colormaps["magma"].with_extremes(bad="0.6")
    images = [_show(axes, plane, intensity) for axes, plane in zip(row, (shown, truth, output), strict=False)]
    images.append(_show(row[3], output - truth, colormaps["RdBu_r"]))
    row[0].set_ylabel(
        f"{TITLES[picture.component]}\n{picture.rank}: plane {picture.plane}\nMSE {picture.score:.2g}",
        fontsize="small",
    )
    return images


def _show(axes: Axes, plane: npt.NDArray[Any], colours: Any) -> AxesImage:
    # Pixel [i, j] lies at o + (i - 128) du + (j - 128) dv: i goes right, j goes up.
    image = axes.imshow(plane.T, cmap=colours, vmin=-1, vmax=1, origin="lower")
    axes.set_xticks([])
    axes.set_yticks([])
    return image
