"""The picture of a training run: losses, validation errors and speed, from its CSV log."""

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from evaluate.reports.pictures import COLOURS, TITLES
from evaluate.reports.training_log import Points


def draw_curve(columns: dict[str, Points]) -> Figure:
    """Draw three panels against batches: L1 losses; mean and 90th percentile of validation errors; speed and rate."""
    figure = Figure(figsize=(12.0, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    losses, errors, speed = figure.subplots(1, 3)
    for component, colour in COLOURS.items():
        title = TITLES[component]
        if f"train/{component}_l1" in columns:
            losses.plot(*columns[f"train/{component}_l1"], color=colour, linewidth=0.8, label=title)
        for kind, style, label in (("", "o-", "mean"), ("_90", "s--", "90th percentile")):
            name = f"validation/{component}_mse{kind}"
            if name in columns:
                errors.plot(*columns[name], style, color=colour, markersize=3, label=f"{title}, {label}")
    for axes, quantity in ((losses, "training L1 loss"), (errors, "validation MSE")):
        axes.set(xlabel="batches", ylabel=f"{quantity}, spread space", yscale="log")
        axes.grid(alpha=0.3, which="both")
        if axes.lines:
            axes.legend(fontsize=8)
    speed.set(xlabel="batches", ylabel="samples per second")
    speed.grid(alpha=0.3)
    if "samples_per_second" in columns:
        speed.plot(*columns["samples_per_second"], color="black", linewidth=1)
        speed.set_ylim(bottom=0)
    if "learning_rate/generators" in columns:
        rate = speed.twinx()
        rate.plot(*columns["learning_rate/generators"], color="#009E73", linewidth=1)
        rate.set_ylabel("learning rate of the generators", color="#009E73")
        rate.set_ylim(bottom=0)
    return figure
