"""The report of `python -m evaluate verdicts`: report.json and report.md, whole or not there."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dsfunet.verdict.judge import LIMITS_FILE, SEVERE
from evaluate.reports.report import check_destination
from evaluate.reports.report_folder import percent, replacing_folder, write_values

_REGIMES = {"lattice": "on the lattice given", "none": "the networks alone"}
_FOUND = "no lattice given: on the one found, if any"


def write_verdicts(plain: Mapping[str, Any], fitted: Mapping[str, Any], out: Path) -> None:
    """Write the report folder, in place of an earlier one.

    Raises:
        InputError: as `evaluate.reports.report.check_destination`.
    """
    check_destination(out)
    with replacing_folder(out) as folder:
        write_values(folder / "report.json", {**plain, "limits": fitted})
        (folder / "report.md").write_text("\n".join([*verdict_tables(plain), ""]), encoding="utf-8")


def verdict_tables(plain: Mapping[str, Any]) -> list[str]:
    """The lines of report.md."""
    good, bad = plain["good"], plain["violations"]
    limits = (
        "every other plane of the same store set the limits, these did not"
        if plain["fitted_here"]
        else f"limits of the package ({LIMITS_FILE.name})"
    )
    lines = [
        "# Verdicts",
        "",
        f"{good['planes']} planes of {good['name']} that keep every assumption ({limits}) and {bad['planes']} of"
        f" {bad['name']} that break one; weights {plain['weights']['weights']}, seed {plain['seed']}. A plane is"
        f" flagged where its verdict is doubtful or not explained (from {SEVERE:g} times the limit).",
        *(f"\nWarning: {warning}" for warning in plain["warnings"]),
        "",
        "## Good planes flagged",
        "",
    ]
    tables = plain["flagged_good"]
    ways = {**_REGIMES, **({"found": _FOUND} if "found" in tables else {})}
    lines += ["| | planes | " + " | ".join(ways.values()) + " |", "|---|---|" + "---|" * len(ways)]
    for way, table in tables["lattice"].items():
        for label, rate in table.items():
            name = label if label == "all" else f"{way}: {label}"
            shares = [percent(tables[each][way][label]["flagged"]) for each in ways]
            lines.append(f"| {name} | {rate['planes']} | {' | '.join(shares)} |")
    if "found" in tables:
        lines += ["", f"A lattice that convinces was found on {percent(plain['lattices_found'])} of them."]
    lines += [
        "",
        "## Planes that break an assumption flagged",
        "",
        "By kind, and by strength in the order of the levels; noise as stored, 1,000 and 100 counts in turn.",
        "",
        "| kind | planes | levels | "
        + " | ".join(f"{each} | by level" for each in _REGIMES.values())
        + " | first reason, on the lattice |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for kind, rates in plain["flagged_bad"]["lattice"].items():
        levels = ", ".join(rates["levels"])
        cells = []
        for regime in _REGIMES:
            of_kind = plain["flagged_bad"][regime][kind]
            by_level = " / ".join(f"{100 * each['flagged']:.0f}" for each in of_kind["levels"].values())
            cells += [percent(of_kind["all"]["flagged"]), by_level]
        reasons = _reasons(rates["reasons"])
        lines.append(f"| {kind} | {rates['all']['planes']} | {levels} | {' | '.join(cells)} | {reasons} |")
    return lines


def _reasons(shares: Mapping[str, float], most: int = 3) -> str:
    # By hand, because plain values come back from JSON in the order of their names.
    ranked: Iterable[tuple[str, float]] = sorted(shares.items(), key=lambda each: -each[1])
    text = ", ".join(f"{reason} {100 * share:.0f} %" for reason, share in [*ranked][:most])
    return text.replace("|", "\\|") or "-"
