"""The report of `python -m evaluate lattices`: report.json, report.md and timing.json, whole or not there."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dsfunet.planes.preprocessing import COMPONENTS
from evaluate.metrics.errors import PAPER_MARKS
from evaluate.reports.report import check_destination
from evaluate.reports.report_folder import markdown_table, percent, replacing_folder, write_values
from evaluate.studies.lattices import AS_GOOD, OUTCOMES, WAYS

_TITLES = {"networks": "networks alone", "found": "lattice found", "known": "lattice known"}


def write_lattices(plain: Mapping[str, Any], timing: Mapping[str, float], out: Path) -> None:
    """Write the report folder, in place of an earlier one.

    Raises:
        InputError: as `evaluate.reports.report.check_destination`.
    """
    check_destination(out)
    with replacing_folder(out) as folder:
        write_values(folder / "report.json", plain)
        write_values(folder / "timing.json", timing)
        text = "\n".join([*lattice_tables(plain), "", *_seconds(timing), ""])
        (folder / "report.md").write_text(text, encoding="utf-8")


def lattice_tables(plain: Mapping[str, Any]) -> list[str]:
    """The lines of report.md, but for the seconds."""
    store = plain["store"]
    lines = [
        "# Lattices found from the plane itself",
        "",
        f"{store['planes']} of the {store['planes_of_the_store']} planes of {store['name']}, spread evenly over it;"
        f" weights {plain['weights']['weights']}, seed {plain['seed']}.",
        *(f"\nWarning: {warning}" for warning in plain["warnings"]),
        "",
        "## How often",
        "",
        f"Right and equivalent: the MSE of I_SRO, spread space, is at most {AS_GOOD:g} above that on the true lattice;"
        " a right lattice spans what the true one spans, an equivalent one does not. Wrong: accepted, and"
        " neither. Refused: the networks' answer stands.",
    ]
    for way, table in plain["rates"].items():
        title = "noise" if way == "all" else f"{way} (as stored)"
        head = [title, "planes", *OUTCOMES, "worse than the networks"]
        rows = [
            [
                label,
                str(each["planes"]),
                *(percent(each[name]) for name in (*OUTCOMES, "worse than the networks")),
            ]
            for label, each in table.items()
        ]
        lines += ["", *markdown_table(head, rows)]
    lines += ["", "## Errors", "", "Mean squared error in spread space: mean, median, 90th percentile."]
    for name in COMPONENTS:
        rows = [
            [
                level,
                *(" / ".join(f"{value:.5f}" for value in _three(table[way][name])) for way in WAYS),
            ]
            for level, table in plain["errors"].items()
        ]
        title = f"{name} (paper's 90 % mark {PAPER_MARKS[name]:g})"
        lines += ["", *markdown_table([title, *(_TITLES[way] for way in WAYS)], rows)]
    lines += ["", "## Wrong lattices given", "", "The first direct axis changed, planes as stored."]
    head = [
        "axis",
        "accepted by lattice mode",
        "of these better than the networks",
        "of all better",
        "median MSE",
    ]
    rows = [
        [
            name,
            percent(each["accepted"]),
            percent(each["accepted and better"]),
            percent(each["better if used"]),
            f"{each['median_mse']:.5f}",
        ]
        for name, each in plain["given"].items()
    ]
    return [*lines, "", *markdown_table(head, rows)]


def _three(summary: Mapping[str, float]) -> tuple[float, float, float]:
    return summary["mean"], summary["median"], summary["percentile_90"]


def _seconds(timing: Mapping[str, float]) -> list[str]:
    spent = ", ".join(f"{name} {value:.3f}" for name, value in timing.items())
    return ["## Seconds a plane, one thread", "", spent]
