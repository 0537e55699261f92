"""A contact sheet of a store: random planes as the networks see them, and a histogram of their missing pixels."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dsfunet.data.store import Store, open_store
from dsfunet.errors import InputError
from dsfunet.files import check_writable
from dsfunet.planes.names import PlaneName
from dsfunet.planes.preprocessing import PIXELS, network_input, spread
from dsfunet.plotting.result import save_png

MOST_MASKS = 5000
"""Largest number of masks in the histogram."""

_PLANES_A_ROW = 2
_PANEL_INCH = 1.75
_MISSING_GREY = "0.72"
_COLOUR = "#0072B2"


@dataclass(frozen=True, eq=False)
class Picture:
    """One plane of the sheet: a title and three panels (256, 256) in spread space [-1, 1], masked where unmeasured."""

    scattering: npt.NDArray[np.float32]
    form_factor: npt.NDArray[np.float32]
    short_range_order: npt.NDArray[np.float32]
    title: str


def save_gallery(path: Path, out: Path, samples: int = 12, seed: int = 0) -> str:
    """Draw a contact sheet of a store as PNG; return a line that describes it.

    Raises:
        InputError: there is no finished store, one of its planes is damaged, `samples` is below 1, `seed` is
            negative, or `out` cannot be written.
    """
    if samples < 1 or seed < 0:
        raise InputError(
            f"samples is {samples} and seed is {seed}; expected samples of 1 or more and a seed of 0 or more"
        )
    check_writable(out)
    store = open_store(path)
    rng = np.random.default_rng(seed)
    drawn = sorted(rng.choice(len(store), size=min(samples, len(store)), replace=False).tolist())
    pictures = [picture_of(store, index) for index in drawn]
    shares = missing_shares(store, rng)
    save_png(draw_gallery(store, pictures, shares), out)
    return f"{out}: {len(pictures)} of {len(store)} planes of {path}"


def picture_of(store: Store, index: int) -> Picture:
    """Read plane number `index` of a store and prepare it for the sheet."""
    sample = store.sample(index)
    shown = network_input(sample.scattering, sample.mask)[0]
    names = [store.attributes["species_names"][number] for number in store.array("species")[index]]
    order = store.attributes["order_kinds"][int(store.array("order_kind")[index])]
    axes = sorted(int(axis) for axis in store.array("plane_axes")[index])
    plane = PlaneName((axes[0], axes[1]), round(float(store.array("plane_offset")[index]), 3))
    return Picture(
        scattering=np.ma.masked_array(shown, ~sample.mask),
        form_factor=spread(sample.form_factor),
        short_range_order=spread(sample.short_range_order),
        title=f"{' / '.join(name.replace('_', ' ') for name in names)}\n"
        f"plane {index}: {plane}, {order.replace('_', ' ')}, {100 * (1 - sample.mask.mean()):.0f} % missing",
    )


def missing_shares(store: Store, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return the share of missing pixels of every plane of a store, or of `MOST_MASKS` random planes."""
    masks, total = store.array("mask"), len(store)
    if total > MOST_MASKS:
        measured = [
            np.bitwise_count(np.asarray(masks[index])).sum()
            for index in sorted(rng.choice(total, size=MOST_MASKS, replace=False).tolist())
        ]
    else:
        per_shard = store.attributes["samples_per_shard"]
        measured = [
            count
            for start in range(0, total, per_shard)
            for count in np.bitwise_count(np.asarray(masks[start : start + per_shard])).sum(axis=(1, 2))
        ]
    return 1.0 - np.array(measured, dtype=np.float64) / PIXELS**2


def draw_gallery(store: Store, pictures: list[Picture], shares: npt.NDArray[np.float64]) -> Figure:
    """Draw the sheet: two planes per row with three panels each, and the histogram of missing shares below."""
    columns = min(_PLANES_A_ROW, len(pictures))
    rows = -(-len(pictures) // columns)
    heights = [rows * (_PANEL_INCH + 0.45), 2.3]
    size = (max(columns * (3 * _PANEL_INCH + 0.3), 6.0), sum(heights) + 0.7)
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    parts: npt.NDArray[Any] = figure.subfigures(2, 1, squeeze=False, height_ratios=heights)
    sheet, bottom = parts[:, 0]
    cells: npt.NDArray[Any] = sheet.subfigures(rows, columns, squeeze=False)
    for cell, picture in zip(cells.flat, pictures, strict=False):
        cell.suptitle(picture.title, fontsize=9)
        for axes, name, label in zip(
            cell.subplots(1, 3),
            ("scattering", "form_factor", "short_range_order"),
            ("as measured", "form factor", "short-range order"),
            strict=True,
        ):
            _show(axes, getattr(picture, name), label)
    _histogram(bottom.subplots(), shares, len(store))
    figure.suptitle(f"{store.path.name}: {len(store)} planes, digest {store.digest[:12]}", fontsize=12)
    return figure


def _show(axes: Axes, plane: npt.NDArray[np.float32], label: str) -> None:
    colours = colormaps["inferno"].with_extremes(bad=_MISSING_GREY)
    # Pixel [i, j] lies at o + (i - 128) du + (j - 128) dv: i points right, j points up.
    axes.imshow(plane.T, cmap=colours, vmin=-1, vmax=1, origin="lower", interpolation="nearest")
    axes.set_xlabel(label, fontsize=8)
    axes.set_xticks([])
    axes.set_yticks([])


def _histogram(axes: Axes, shares: npt.NDArray[np.float64], planes: int) -> None:
    percent = 100 * shares
    axes.hist(percent, bins=list(np.arange(0.0, 102.5, 2.5)), color=_COLOUR, alpha=0.85)
    middle = float(np.median(percent))
    axes.axvline(middle, color="black", linestyle="--", linewidth=1)
    axes.annotate(
        f"median {middle:.0f} %",
        (middle, 1),
        (4, -4),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        va="top",
        fontsize=8,
    )
    axes.set_xlim(0, max(60.0, float(percent.max()) + 2.5))
    axes.set_xlabel("pixels missing from a plane [%]", fontsize=9)
    axes.set_ylabel("planes" if len(shares) == planes else f"planes, of {len(shares)}", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.spines[["top", "right"]].set_visible(False)
