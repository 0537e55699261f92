"""The tables of a report in Markdown, made from the plain values of report.json alone."""

from collections.abc import Iterable, Sequence
from typing import Any

from evaluate.metrics import COMMON_MARK

TITLES = {"form_factor": "I_FF", "short_range_order": "I_SRO"}
_BASELINES = {
    "noise_against_truth": "uniform noise as the answer",
    "noise_against_noise": "two planes of uniform noise",
    "input_as_is": "the input as it is",
    "mean_plane": "the mean of these truths",
}
_SCORE_HEADER = ("mean", "median", "90th percentile", "under the paper's mark", f"under {COMMON_MARK:g}")


def markdown(plain: dict[str, Any]) -> str:
    """The whole of report.md."""
    store = plain["provenance"]["store"]
    count = plain["provenance"]["planes"]
    of_all = "" if count == store["planes"] else f", the first of {store['planes']}"
    lines = [
        f"# {count} planes of {store['name']}{of_all}",
        "",
        *(line for warning in plain["warnings"] for line in (f"> **Warning.** {warning}", "")),
        "Mean squared errors of whole planes, missing pixels included, in spread space s = 2 sqrt(x) - 1.",
        f"On average {100 * plain['missing_share']:.0f} % of a plane was missing from the input.",
        "",
        *score_table(plain),
        "",
        "The paper's marks are the errors under which 90 % of its validation planes lie; it reports more than"
        f" 90 % of all planes under {COMMON_MARK:g}, and noise at least ten times above every score.",
        "",
        "![histogram](histogram.png)",
        "",
        "## Beside answers that need no network",
        "",
        *_baseline_table(plain),
        "",
    ]
    for name in plain["metrics"]["mse"]["form_factor"]["by"]:
        lines += [f"## By {name}", "", *_breakdown_table(plain, name), ""]
    lines += ["## Best, median and worst", "", "![gallery](gallery.png)", "", "## Where this comes from", ""]
    lines += [f"- {name}: {value}" for name, value in _flat(plain["provenance"])]
    return "\n".join(lines) + "\n"


def score_table(plain: dict[str, Any]) -> list[str]:
    """The main table, laid out as the paper's Table 1: a row a component, scores, then baselines."""
    rows = []
    for component, scores in plain["metrics"]["mse"].items():
        baselines = scores["baselines"]
        rows.append(
            [
                TITLES[component],
                *_score_cells(scores),
                f"{baselines['noise_against_truth']['mean']:.3g}",
                f"{baselines['noise_against_noise']['mean']:.3g}",
                _ratio(scores["noise_against_truth_over_mean"]),
            ]
        )
    header = ["", *_SCORE_HEADER, "noise vs truth", "noise vs noise", "noise / mean"]
    return _table(header, rows)


def _score_cells(scores: dict[str, Any]) -> list[str]:
    return [
        f"{scores['mean']:.4f}",
        f"{scores['median']:.4f}",
        f"{scores['percentile_90']:.4f}",
        f"{100 * scores['share_under_paper_mark']:.1f} % ({scores['paper_mark']:g})",
        f"{100 * scores['share_under_common_mark']:.1f} %",
    ]


def _ratio(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.1f}"


def _baseline_table(plain: dict[str, Any]) -> list[str]:
    rows = [
        [TITLES[component], _BASELINES.get(name, name), *_score_cells(summary)]
        for component, scores in plain["metrics"]["mse"].items()
        for name, summary in [("this factorizer", scores), *scores["baselines"].items()]
    ]
    return _table(["", "answer", *_SCORE_HEADER], rows)


def _breakdown_table(plain: dict[str, Any], name: str) -> list[str]:
    rows = [
        [TITLES[component], label, str(summary["planes"]), *_score_cells(summary)]
        for component, scores in plain["metrics"]["mse"].items()
        for label, summary in scores["by"][name].items()
    ]
    return _table(["", name, "planes", *_SCORE_HEADER], rows)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table with columns padded to one width, so that it reads well in a terminal too."""
    cells = [list(header), *(list(row) for row in rows)]
    widths = [max(3, *(len(row[column]) for row in cells)) for column in range(len(header))]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in cells]
    lines = [f"| {' | '.join(row)} |" for row in padded]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return lines


def _flat(values: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in sorted(values.items()):
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", value
