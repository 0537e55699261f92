"""`python -m evaluate.reports.curve`: draw losses, validation errors and speed from the CSV log of a training run."""

import sys
from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dsfunet.command_parser import Parser
from dsfunet.errors import InputError
from dsfunet.files import check_writable
from dsfunet.plotting.result import save_png
from evaluate.reports.pictures import COLOURS, TITLES
from evaluate.reports.training_log import Points, read_log


def draw_curve(columns: dict[str, Points]) -> Figure:
    """Three panels over batches: L1 losses, validation errors (mean, and 90th percentile dashed), speed and rate."""
    figure = Figure(figsize=(12.0, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    losses, errors, gauges = figure.subplots(1, 3)
    for component, colour in COLOURS.items():
        title = TITLES[component]
        if f"train/{component}_l1" in columns:
            losses.plot(*columns[f"train/{component}_l1"], color=colour, linewidth=0.8, label=title)
        for kind, style, label in (("", "o-", "mean"), ("_90", "s--", "90th percentile")):
            name = f"validation/{component}_mse{kind}"
            if name in columns:
                errors.plot(*columns[name], style, color=colour, markersize=3, label=f"{title}, {label}")
    for axes, what in ((losses, "training L1 loss"), (errors, "validation MSE")):
        axes.set(xlabel="batches", ylabel=f"{what}, spread space", yscale="log")
        axes.grid(alpha=0.3, which="both")
        if axes.lines:
            axes.legend(fontsize=8)
    gauges.set(xlabel="batches", ylabel="samples a second")
    gauges.grid(alpha=0.3)
    if "samples_per_second" in columns:
        gauges.plot(*columns["samples_per_second"], color="black", linewidth=1)
        gauges.set_ylim(bottom=0)
    if "learning_rate/generators" in columns:
        rate = gauges.twinx()
        rate.plot(*columns["learning_rate/generators"], color="#009E73", linewidth=1)
        rate.set_ylabel("learning rate of the generators", color="#009E73")
        rate.set_ylim(bottom=0)
    return figure


def main(args: Sequence[str] | None = None) -> int:
    """Read, draw, write."""
    parser = Parser(
        prog="python -m evaluate.reports.curve", description="Draw what a training run logged to CSV."
    )
    parser.add_argument("log", type=str, help="folder of the CSV logger, such as runs/release/csv")
    parser.add_argument("-o", "--output", type=str, required=True, help="PNG to write")
    options = parser.parse_args(args)
    try:
        output = Path(options.output)
        check_writable(output)
        save_png(draw_curve(read_log(Path(options.log))), output)
    except InputError as error:
        print(f"evaluate.reports.curve: {error}", file=sys.stderr)
        return 2
    print(f"wrote {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
