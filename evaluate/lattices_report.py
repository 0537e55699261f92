"""The report of `python -m evaluate lattices`: report.json, report.md and timing.json, whole or not there."""

import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dsfunet.preprocessing import COMPONENTS
from evaluate.lattices import AS_GOOD, OUTCOMES, WAYS
from evaluate.metrics import PAPER_MARKS
from evaluate.report import check_destination

_TITLES = {"networks": "networks alone", "found": "lattice found", "known": "lattice known"}


def write_lattices(plain: Mapping[str, Any], timing: Mapping[str, float], out: Path) -> None:
    """Write the report folder, in place of an earlier one.

    Raises:
        InputError: as `evaluate.report.check_destination`.
    """
    check_destination(out)
    out = out.resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".tmp", dir=out.parent))
    try:
        new, old = temporary / "new", temporary / "old"
        new.mkdir()
        for name, values in (("report.json", plain), ("timing.json", timing)):
            text = json.dumps(values, indent=1, sort_keys=True, allow_nan=False)
            (new / name).write_text(text + "\n", encoding="utf-8")
        text = "\n".join([*lattice_tables(plain), "", *_seconds(timing), ""])
        (new / "report.md").write_text(text, encoding="utf-8")
        if out.exists():
            out.replace(old)
        try:
            new.replace(out)
        except OSError:
            if old.exists():
                old.replace(out)
            raise
    finally:
        shutil.rmtree(temporary)


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
                *(_percent(each[name]) for name in (*OUTCOMES, "worse than the networks")),
            ]
            for label, each in table.items()
        ]
        lines += ["", *_table(head, rows)]
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
        lines += ["", *_table([title, *(_TITLES[way] for way in WAYS)], rows)]
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
            _percent(each["accepted"]),
            _percent(each["accepted and better"]),
            _percent(each["better if used"]),
            f"{each['median_mse']:.5f}",
        ]
        for name, each in plain["given"].items()
    ]
    return [*lines, "", *_table(head, rows)]


def _three(summary: Mapping[str, float]) -> tuple[float, float, float]:
    return summary["mean"], summary["median"], summary["percentile_90"]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines]


def _seconds(timing: Mapping[str, float]) -> list[str]:
    spent = ", ".join(f"{name} {value:.3f}" for name, value in timing.items())
    return ["## Seconds a plane, one thread", "", spent]
