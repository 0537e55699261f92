"""Pictures of the worked examples."""

from collections.abc import Mapping

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy import stats

from dsfunet.analysis.model_files import draw_scan
from dsfunet.analysis.refinement_data import FitTo
from dsfunet.io import Result
from dsfunet.plots import Panel, draw_panels, intensity_scale
from examples.worked.crystals import TORSION_DEG, Layer
from examples.worked.recovery import Recovery
from examples.worked.torsion import TorsionFound

_COLOURS = ("tab:blue", "tab:orange")


def draw_planes(layer: Layer, result: Result) -> Figure:
    """Measured plane, and both components as they are and as they were found."""
    form_factor = layer.form_factor / layer.form_factor[layer.mask].max()
    low, high = layer.order.min(), layer.order.max()
    order = (layer.order - low) / (high - low)
    planes = {
        "Measured": result.input,
        "Form factor put in": form_factor,
        "Form factor found": result.form_factor,
        "Short-range order put in": order,
        "Short-range order found": result.short_range_order,
    }
    # Truth and answer share a scale.
    scales = [intensity_scale(planes[name]) for name in list(planes)[:2]]
    norms = [*scales, scales[1], *2 * [intensity_scale(order)]]
    panels = [Panel(name, values, norm) for (name, values), norm in zip(planes.items(), norms, strict=True)]
    return draw_panels(result, panels, layer.crystal.title)


def draw_pulls(recoveries: Mapping[FitTo, Recovery]) -> Figure:
    """Pulls of all alphas over the noise seeds, beside the normal distribution that honest error bars give."""
    figure = Figure(figsize=(9.0, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    for number, (fit, recovery) in enumerate(recoveries.items()):
        axes = figure.add_subplot(1, len(recoveries), number + 1)
        edge = max(4.0, float(np.ceil(np.abs(recovery.pulls).max())))
        edges = np.linspace(-edge, edge, 33)
        axes.hist(recovery.pulls.ravel(), edges, density=True, color=_COLOURS[number], alpha=0.6)
        at = np.linspace(-edge, edge, 300)
        axes.plot(at, stats.norm.pdf(at), color="black", linewidth=1)
        axes.set_xlabel("(found \N{MINUS SIGN} put in) / standard uncertainty")
        axes.set_ylabel("density")
        axes.set_title(f"fitted to {fit}: {100 * recovery.coverage:.0f} % within one", fontsize=10)
    figure.suptitle(f"{next(iter(recoveries.values())).crystal.title}, {len(recovery.found)} noise seeds")
    return figure


def draw_torsion(found: TorsionFound) -> Figure:
    """Misfit against torsion, and where the torsion was that was put in."""
    figure = draw_scan(found.scan, "torsion of the tert-butyl groups (°)", "Columns up and down")
    axes = figure.axes[0]
    axes.axvline(TORSION_DEG, color="tab:blue", linewidth=1.4, label=f"put in: {TORSION_DEG:g}°")
    axes.legend(frameon=False, fontsize=9, loc="upper left")
    return figure
