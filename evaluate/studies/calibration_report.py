"""The folder of `python -m evaluate calibration`: calibration.json, report.json, report.md and timing.json."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dsfunet.networks.calibration import CALIBRATED_PASSES, MODES, Calibration
from dsfunet.networks.weights import CALIBRATION_FILE
from dsfunet.planes.preprocessing import COMPONENTS
from evaluate.reports.report_folder import markdown_table, percent, replacing_folder, write_values

SHOWN_PASSES = 4
"""Whose coverage report.md breaks down; report.json has that of the others."""

REPORT_FILES = (CALIBRATION_FILE, "report.json", "report.md", "timing.json")

_TITLES = {"networks": "networks alone", "lattice": "lattice mode"}
_KEPT = ("store", "seed", "planes_fitted", "planes_judged")


def calibration_file(calibration: Calibration, plain: Mapping[str, Any]) -> dict[str, Any]:
    """What lies beside the weights: the coefficients, where they come from, and what share of errors they cover."""
    coverage = {
        mode: {name: by_passes[str(SHOWN_PASSES)]["all"] for name, by_passes in of.items()}
        for mode, of in plain["coverage"].items()
    }
    return {
        **calibration.to_plain(),
        **{name: plain[name] for name in _KEPT},
        "coverage": {"passes": SHOWN_PASSES, **coverage},
    }


def write_calibration(
    calibration: Calibration, plain: Mapping[str, Any], timing: Mapping[str, float], out: Path
) -> None:
    """Write the folder, in place of an earlier one; all but timing.json the same byte for byte when made again.

    Raises:
        OSError: it cannot be written.
    """
    with replacing_folder(out) as folder:
        write_values(folder / CALIBRATION_FILE, calibration_file(calibration, plain))
        write_values(folder / "report.json", plain)
        write_values(folder / "timing.json", timing)
        (folder / "report.md").write_text("\n".join([*calibration_tables(plain), ""]), encoding="utf-8")


def calibration_tables(plain: Mapping[str, Any]) -> list[str]:
    """The lines of report.md."""
    store = plain["store"]
    lines = [
        "# Uncertainty of the components",
        "",
        f"{store['planes']} of the {store['planes_of_the_store']} planes of {store['name']}, spread evenly over it;"
        f" weights {plain['weights']}, seed {plain['seed']}. Planes take turns in noise. The calibration was fitted on"
        f" {plain['planes_fitted']} of them; everything below is of the other {plain['planes_judged']}, which show none"
        " of those pairs of molecules. Errors and sigmas are in spread space, s = 2 sqrt(x) - 1. Lattice mode: where it"
        " accepts the lattice.",
        *(f"\nWarning: {warning}" for warning in plain["warnings"]),
        "",
        "## What several passes do",
        "",
        "MSE of the mean of the passes: mean, median, 90th percentile. Raw: their own standard deviation; a Gaussian"
        " has 68.3 % and 95.4 % of the errors within one and two. Ranks: Spearman correlations with the errors, of"
        " pixels within a plane and of planes; calibrated in brackets. Surer half: the MSE of the half of all pixels"
        " with the smaller sigma, as a part of that of all. 95 %: how many sigmas hold 95 % of the errors. Linear:"
        " errors of linear intensity within one and two of its sigmas, which is what a result holds.",
    ]
    head = ["passes", "MSE", "raw within 1, 2", "ranks of pixels", "ranks of planes", "surer half"]
    head += ["median sigma", "95 %", "linear within 1, 2"]
    for mode, component, table in _each(plain["passes"]):
        rows = [
            [
                passes,
                " / ".join(f"{of[name]:.5f}" for name in ("mse", "mse_median", "mse_90")),
                # A single pass has no deviation.
                f"{percent(of['raw_within_1'])}, {percent(of['raw_within_2'])}" if passes != "1" else "-",
                f"{_raw(of['ranks_pixels_raw'], passes)} ({of['ranks_pixels']:.2f})",
                f"{_raw(of['ranks_planes_raw'], passes)} ({of['ranks_planes']:.2f})",
                f"{of['mse_of_surer_half']:.2f}",
                f"{of['median_sigma']:.4f}",
                f"{of['factor_95']:.2f}",
                f"{percent(of['linear_within_1'])}, {percent(of['linear_within_2'])}",
            ]
            for passes, of in ((str(each), table[str(each)]) for each in CALIBRATED_PASSES)
        ]
        planes = table[str(SHOWN_PASSES)]["planes"]
        lines += ["", f"{component}, {_TITLES[mode]} ({planes} planes):", "", *markdown_table(head, rows)]
    lines += ["", "## Coverage", "", "Share of the errors within one and two calibrated sigmas."]
    lines += ["", f"By the number of passes, all pixels; below, of {SHOWN_PASSES} passes."]
    columns = [(mode, component) for mode, component, _ in _each(plain["coverage"])]
    head = ["", *(f"{component}, {_TITLES[mode]}" for mode, component in columns)]
    tables = [plain["coverage"][mode][component] for mode, component in columns]
    rows = [[str(each), *(_covered(of[str(each)]["all"]) for of in tables)] for each in CALIBRATED_PASSES]
    lines += ["", *markdown_table(["passes", *head[1:]], rows)]
    if tables:
        labels = list(tables[0][str(SHOWN_PASSES)])
        rows = [[label, *(_covered(of[str(SHOWN_PASSES)][label]) for of in tables)] for label in labels]
        lines += ["", *markdown_table(["pixels or planes", *head[1:]], rows)]
    return lines


def _each(tables: Mapping[str, Any]) -> Iterable[tuple[str, str, Mapping[str, Any]]]:
    return (
        (mode, component, tables[mode][component])
        for mode in MODES
        if mode in tables
        for component in COMPONENTS
    )


def _covered(of: Mapping[str, float]) -> str:
    return f"{percent(of['within_1'])}, {percent(of['within_2'])}" if of["pixels"] else "-"


def _raw(rank: float, passes: str) -> str:
    return "-" if passes == "1" else f"{rank:.2f}"
