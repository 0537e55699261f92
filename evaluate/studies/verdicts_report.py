"""The report of `python -m evaluate verdicts`: report.json and report.md."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dsfunet.verdict.judge import LIMITS_FILE, SEVERE
from evaluate.reports.markdown import percent
from evaluate.reports.report_folder import check_destination, replacing_folder, write_values

_REGIMES = {"lattice": "lattice given", "none": "networks alone"}
_FOUND = "lattice found (networks alone if none)"


def write_verdicts(plain: Mapping[str, Any], fitted: Mapping[str, Any], out: Path) -> None:
    """Write the report folder, replacing an earlier report; a failure leaves the earlier report unchanged.

    Raises:
        InputError: as `evaluate.reports.report_folder.check_destination`.
    """
    check_destination(out)
    with replacing_folder(out) as folder:
        write_values(folder / "report.json", {**plain, "limits": fitted})
        (folder / "report.md").write_text("\n".join([*verdict_tables(plain), ""]), encoding="utf-8")


def verdict_tables(plain: Mapping[str, Any]) -> list[str]:
    """Return the lines of report.md."""
    good, bad = plain["good"], plain["violations"]
    limits = (
        "The limits were fitted to other planes of the same store."
        if plain["fitted_here"]
        else f"The limits are those of the package ({LIMITS_FILE.name})."
    )
    return [
        "# Verdicts",
        "",
        f"{good['planes']} good planes of {good['name']}, which keep every assumption of the networks, and"
        f" {bad['planes']} planes of {bad['name']}, which break one; weights {plain['weights']['weights']}, seed"
        f' {plain["seed"]}. {limits} A plane is flagged if its verdict is "doubtful", or "not explained" (from'
        f" {SEVERE:g} times the limit).",
        *(f"\nWarning: {warning}" for warning in plain["warnings"]),
        "",
        *_good_table(plain["flagged_good"], plain["lattices_found"]),
        "",
        *_violation_table(plain["flagged_bad"]),
    ]


def _good_table(tables: Mapping[str, Any], lattices_found: float) -> list[str]:
    regimes = {**_REGIMES, **({"found": _FOUND} if "found" in tables else {})}
    lines = ["## Flagged good planes", ""]
    lines += ["| | planes | " + " | ".join(regimes.values()) + " |", "|---|---|" + "---|" * len(regimes)]
    for breakdown, table in tables["lattice"].items():
        for label, rate in table.items():
            name = label if label == "all" else f"{breakdown}: {label}"
            shares = [percent(tables[each][breakdown][label]["flagged"]) for each in regimes]
            lines.append(f"| {name} | {rate['planes']} | {' | '.join(shares)} |")
    if "found" in tables:
        lines += ["", f"A lattice was found and accepted on {percent(lattices_found)} of these planes."]
    return lines


def _violation_table(flagged: Mapping[str, Any]) -> list[str]:
    lines = [
        "## Flagged planes that break an assumption",
        "",
        'The columns "by level" give the percentage for each level, in the order of the levels. The noise alternates'
        " between as stored, 1,000 and 100 counts. The last column gives the most frequent first reasons of the"
        " verdict.",
        "",
        "| kind | planes | levels | "
        + " | ".join(f"{each} | by level" for each in _REGIMES.values())
        + " | first reason, lattice given |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for kind, rates in flagged["lattice"].items():
        levels = ", ".join(rates["levels"])
        cells = []
        for regime in _REGIMES:
            of_kind = flagged[regime][kind]
            by_level = " / ".join(f"{100 * each['flagged']:.0f}" for each in of_kind["levels"].values())
            cells += [percent(of_kind["all"]["flagged"]), by_level]
        reasons = _most_frequent(rates["reasons"])
        lines.append(f"| {kind} | {rates['all']['planes']} | {levels} | {' | '.join(cells)} | {reasons} |")
    return lines


def _most_frequent(shares: Mapping[str, float], count: int = 3) -> str:
    # Sorted here because JSON files keep the reasons in alphabetical order.
    ranked: Iterable[tuple[str, float]] = sorted(shares.items(), key=lambda each: -each[1])
    text = ", ".join(f"{reason} {100 * share:.0f} %" for reason, share in [*ranked][:count])
    return text.replace("|", "\\|") or "-"
