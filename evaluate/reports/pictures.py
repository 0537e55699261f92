"""The pictures of a report, drawn with matplotlib's object interface, without a display or global state."""

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from dsfunet.planes.preprocessing import COMPONENTS, spread
from evaluate.metrics.errors import PAPER_MARKS
from evaluate.predictors.registry import NETWORK
from evaluate.runs.evaluation import GalleryPlane, Report

TITLES = {"form_factor": "form factor", "short_range_order": "short-range order"}
# Two colours that colour-blind readers can tell apart (Okabe and Ito).
COLOURS = {"form_factor": "#0072B2", "short_range_order": "#D55E00"}
# A score of zero has no place on a logarithmic axis, so it is counted in the first bin.
_SMALLEST = 1e-6


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def distribution(report: Report) -> Figure:
    """Draw the distribution of the MSE over planes, as a histogram and cumulative.

    As in figure 6 of the paper's supplement, with both components on a logarithmic axis, the paper's marks, and the
    mean of the noise baseline.
    """
    scores = {name: np.maximum(report.planes[f"{NETWORK}/{name}/mse"], _SMALLEST) for name in COMPONENTS}
    noise = {
        name: report.plain["table"]["validation"][name]["noise_against_truth"]["mse"] for name in COMPONENTS
    }
    everything = np.concatenate([*scores.values(), list(noise.values()), list(PAPER_MARKS.values())])
    low, high = np.floor(np.log10(everything.min())), np.ceil(np.log10(everything.max()))
    count = len(scores["form_factor"])
    # Narrow bins with few planes look like a comb; wide bins with many planes hide the shape.
    bins_per_decade = 4 if count < 200 else 8 if count < 2000 else 16
    bins = np.logspace(low, high, int(high - low) * bins_per_decade + 1)
    figure = _figure(10.5, 4.4)
    left, right = figure.subplots(1, 2, sharex=True)
    for name, values in scores.items():
        colour, weights = COLOURS[name], np.full(count, 100 / count)
        left.hist(values, bins=list(bins), weights=weights, histtype="stepfilled", color=colour, alpha=0.3)
        left.hist(values, bins=list(bins), weights=weights, histtype="step", color=colour, label=TITLES[name])
        right.plot(np.sort(values), 100 * np.arange(1, count + 1) / count, color=colour)
        for axes in (left, right):
            axes.axvline(
                PAPER_MARKS[name],
                color=colour,
                linestyle="--",
                label=f"90 % mark of the paper, {PAPER_MARKS[name]:g}" if axes is left else None,
            )
        left.axvline(
            noise[name], color=colour, linestyle=":", label=f"noise against truth, {noise[name]:.2g}"
        )
    right.axhline(90, color="0.6", linewidth=0.8)
    left.set_xscale("log")
    left.set_xlim(bins[0], bins[-1])
    left.set_ylabel("share of planes [%]")
    right.set_ylabel("planes with a smaller MSE [%]")
    for axes in (left, right):
        axes.set_xlabel("MSE of a plane in spread space, s = 2 sqrt(x) - 1")
        axes.spines[["top", "right"]].set_visible(False)
    store = report.plain["provenance"]["stores"]["validation"]
    figure.suptitle(f"{count} planes of {store['name']}", fontsize="medium")
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize="small")
    return figure


def curves(report: Report) -> Figure:
    """Draw the mean MSE against the share of missing pixels and against counts, one row per component.

    The panels against counts stay empty if the noise curve was not measured.
    """
    missing, noisy = report.plain["missing_curve"], report.plain["noise_curve"]
    figure = _figure(10.5, 6.4)
    grid: npt.NDArray[Any] = figure.subplots(2, 2, squeeze=False)
    names = list(missing[0]["mse"])
    titles = {name: report.plain["predictors"][name]["title"] for name in names}
    colours = {name: f"C{number}" for number, name in enumerate(names)}
    for (left, right), component in zip(grid, COMPONENTS, strict=True):
        shares = [50 * (point["from"] + point["to"]) for point in missing]
        for name in names:
            errors = [point["mse"][name][component] for point in missing]
            # One legend entry per method for all panels.
            label = titles[name] if component == COMPONENTS[0] else None
            left.plot(shares, errors, marker=".", color=colours[name], label=label)
        for name in noisy[0]["mse"] if noisy else []:
            points = [point for point in noisy if point["counts"] is not None]
            right.plot(
                [point["counts"] for point in points],
                [point["mse"][name][component] for point in points],
                marker=".",
                color=colours[name],
            )
            right.axhline(
                noisy[-1]["mse"][name][component], color=colours[name], linewidth=0.8, linestyle=":"
            )
        for axes in (left, right):
            axes.axhline(PAPER_MARKS[component], color="0.5", linestyle="--", linewidth=0.8)
            axes.set_yscale("log")
            axes.spines[["top", "right"]].set_visible(False)
        right.set_xscale("log")
        left.set_ylabel(f"{TITLES[component]}\nmean MSE in s")
    grid[1, 0].set_xlabel("missing pixels [%]")
    grid[1, 1].set_xlabel("counts in the brightest pixel (dotted: as stored)")
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize="small")
    return figure


def calibration(report: Report) -> Figure:
    """Draw the rms error of pixels against their predicted standard deviation, and the line where both are equal."""
    figure = _figure(5.4, 4.6)
    axes = figure.add_subplot()
    found = report.plain["uncertainty"]
    for component in COMPONENTS:
        bins = [each for each in found["calibration"][component]["bins"] if each["rms_deviation"] > 0]
        axes.scatter(
            [each["rms_deviation"] for each in bins],
            [each["rms_error"] for each in bins],
            s=[5 + 400 * each["share_of_pixels"] for each in bins],
            color=COLOURS[component],
            alpha=0.7,
            label=f"{TITLES[component]} (area: share of pixels)",
        )
    axes.axline((1e-2, 1e-2), slope=1, color="0.5", linestyle="--", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(f"predicted standard deviation in s, {found['mode']}")
    axes.set_ylabel("rms error in s")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small")
    return figure


def gallery(report: Report) -> Figure:
    """Draw the best, median and worst plane of each component: input, truth, output and difference, in spread space."""
    rows = len(report.gallery)
    figure = _figure(9.6, 2.2 * rows + 0.6)
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


def _gallery_row(row: npt.NDArray[Any], picture: GalleryPlane) -> list[AxesImage]:
    truth, output = spread(getattr(picture.truth, picture.component)), spread(picture.output)
    shown = np.ma.masked_array(spread(picture.case.scattering), ~picture.case.mask)
    intensity = colormaps["magma"].with_extremes(bad="0.6")
    images = [_show(axes, plane, intensity) for axes, plane in zip(row, (shown, truth, output), strict=False)]
    images.append(_show(row[3], output - truth, colormaps["RdBu_r"]))
    row[0].set_ylabel(
        f"{TITLES[picture.component]}\n{picture.rank}: plane {picture.case.number}\nMSE {picture.score:.2g}",
        fontsize="small",
    )
    return images


def _show(axes: Axes, plane: npt.NDArray[Any], colours: Any) -> AxesImage:
    # Pixel [i, j] lies at o + (i - 128) du + (j - 128) dv: i goes right, j goes up.
    image = axes.imshow(plane.T, cmap=colours, vmin=-1, vmax=1, origin="lower")
    axes.set_xticks([])
    axes.set_yticks([])
    return image
