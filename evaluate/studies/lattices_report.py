"""The report of `python -m evaluate lattices`: report.json, report.md and timing.json."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dsfunet.planes.preprocessing import COMPONENTS
from evaluate.metrics.errors import PAPER_MARKS
from evaluate.reports.markdown import compact_table, percent
from evaluate.reports.report_folder import check_destination, replacing_folder, write_values
from evaluate.studies.lattices import ANSWERS, EQUIVALENT_MSE, OUTCOMES

_TITLES = {"networks": "networks alone", "found": "lattice found", "known": "lattice known"}


def write_lattices(plain: Mapping[str, Any], timing: Mapping[str, float], out: Path) -> None:
    """Write the report folder, replacing an earlier report; a failure leaves the earlier report unchanged.

    Raises:
        InputError: as `evaluate.reports.report_folder.check_destination`.
    """
    check_destination(out)
    with replacing_folder(out) as folder:
        write_values(folder / "report.json", plain)
        write_values(folder / "timing.json", timing)
        text = "\n".join([*lattice_tables(plain), "", *_seconds(timing), ""])
        (folder / "report.md").write_text(text, encoding="utf-8")


def lattice_tables(plain: Mapping[str, Any]) -> list[str]:
    """Return the lines of report.md, except the running times."""
    store = plain["store"]
    return [
        "# Lattices found from the plane itself",
        "",
        f"{store['planes']} of the {store['planes_of_the_store']} planes of {store['name']}, spread evenly over the"
        f" store; weights {plain['weights']['weights']}, seed {plain['seed']}.",
        *(f"\nWarning: {warning}" for warning in plain["warnings"]),
        "",
        *_rate_tables(plain["rates"]),
        "",
        *_error_tables(plain["errors"]),
        "",
        *_wrong_lattice_table(plain["given"]),
    ]


def _rate_tables(rates: Mapping[str, Any]) -> list[str]:
    lines = [
        "## Outcomes of the search",
        "",
        "Right: the true lattice was found. Equivalent: another lattice was found. In both cases the MSE of I_SRO in"
        f" spread space is at most {EQUIVALENT_MSE:g} above that on the true lattice. Wrong: a lattice was accepted and"
        " the error is larger. Refused: no lattice was accepted, and the answer of the networks is kept. Worse than the"
        " networks: the MSE of I_SRO is larger than that of the networks alone.",
    ]
    for breakdown, table in rates.items():
        title = "noise" if breakdown == "all" else f"{breakdown} (as stored)"
        head = [title, "planes", *OUTCOMES, "worse than the networks"]
        rows = [
            [
                label,
                str(each["planes"]),
                *(percent(each[name]) for name in (*OUTCOMES, "worse than the networks")),
            ]
            for label, each in table.items()
        ]
        lines += ["", *compact_table(head, rows)]
    return lines


def _error_tables(errors: Mapping[str, Any]) -> list[str]:
    lines = ["## Errors", "", "Mean squared error in spread space: mean / median / 90th percentile."]
    for name in COMPONENTS:
        rows = [
            [
                level,
                *(" / ".join(f"{value:.5f}" for value in _three(table[answer][name])) for answer in ANSWERS),
            ]
            for level, table in errors.items()
        ]
        title = f"{name} (paper's 90 % mark {PAPER_MARKS[name]:g})"
        lines += ["", *compact_table([title, *(_TITLES[answer] for answer in ANSWERS)], rows)]
    return lines


def _wrong_lattice_table(given: Mapping[str, Any]) -> list[str]:
    head = [
        "first direct axis",
        "accepted by lattice mode",
        "better than the networks, of those accepted",
        "better than the networks, of all",
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
        for name, each in given.items()
    ]
    return [
        "## Lattice mode on wrong lattices",
        "",
        "Lattice mode was given the true lattice with a changed first direct axis. Planes as stored; MSE of I_SRO.",
        "",
        *compact_table(head, rows),
    ]


def _three(summary: Mapping[str, float]) -> tuple[float, float, float]:
    return summary["mean"], summary["median"], summary["percentile_90"]


def _seconds(timing: Mapping[str, float]) -> list[str]:
    spent = ", ".join(f"{name} {value:.3f}" for name, value in timing.items())
    return ["## Running time per plane [s], one thread", "", spent]
