"""The report of `python -m evaluate calibration`: calibration.json, report.json, report.md and timing.json."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dsfunet.networks.calibration import CALIBRATED_PASSES, MODES, Calibration
from dsfunet.networks.weights import CALIBRATION_FILE
from dsfunet.planes.preprocessing import COMPONENTS
from evaluate.reports.markdown import compact_table, percent
from evaluate.reports.report_folder import replacing_folder, write_values

SHOWN_PASSES = 4
"""Number of passes whose coverage report.md breaks down; report.json has all."""

REPORT_FILES = (CALIBRATION_FILE, "report.json", "report.md", "timing.json")

_TITLES = {"networks": "networks alone", "lattice": "lattice mode"}
_KEPT = ("store", "seed", "planes_fitted", "planes_judged")


def calibration_file(calibration: Calibration, plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of calibration.json: the coefficients, their provenance and their coverage."""
    coverage = {
        mode: {name: by_passes[str(SHOWN_PASSES)]["all"] for name, by_passes in components.items()}
        for mode, components in plain["coverage"].items()
    }
    return {
        **calibration.to_plain(),
        **{name: plain[name] for name in _KEPT},
        "coverage": {"passes": SHOWN_PASSES, **coverage},
    }


def write_calibration(
    calibration: Calibration, plain: Mapping[str, Any], timing: Mapping[str, float], out: Path
) -> None:
    """Write the report folder, replacing an earlier one; a failure leaves the earlier folder unchanged.

    Raises:
        OSError: if the folder cannot be written.
    """
    with replacing_folder(out) as folder:
        write_values(folder / CALIBRATION_FILE, calibration_file(calibration, plain))
        write_values(folder / "report.json", plain)
        write_values(folder / "timing.json", timing)
        (folder / "report.md").write_text("\n".join([*calibration_tables(plain), ""]), encoding="utf-8")


def calibration_tables(plain: Mapping[str, Any]) -> list[str]:
    """Return the lines of report.md."""
    store = plain["store"]
    return [
        "# Uncertainty of the components",
        "",
        f"{store['planes']} of the {store['planes_of_the_store']} planes of {store['name']}, spread evenly over the"
        f" store; weights {plain['weights']}, seed {plain['seed']}. The noise level alternates from plane to plane. The"
        f" calibration was fitted to {plain['planes_fitted']} of the planes. All numbers below are from the other"
        f" {plain['planes_judged']} planes, which show none of those pairs of molecules. Errors and sigmas are in"
        " spread space, s = 2 sqrt(x) - 1. Lattice mode includes only planes where it accepts the lattice.",
        *(f"\nWarning: {warning}" for warning in plain["warnings"]),
        "",
        *_pass_tables(plain["passes"]),
        "",
        *_coverage_tables(plain["coverage"]),
    ]


def _pass_tables(passes_by_mode: Mapping[str, Any]) -> list[str]:
    lines = [
        "## Effect of several passes",
        "",
        "- MSE: mean squared error of the mean of the passes: mean / median / 90th percentile over planes.",
        "- Raw within 1, 2: share of the errors within one and two standard deviations between passes, not calibrated;"
        " 68.3 % and 95.4 % for a Gaussian.",
        "- Ranks: Spearman correlation of this standard deviation with the errors, over the pixels of a plane and over"
        " planes; in brackets that of the calibrated sigma.",
        "- Surer half: MSE of the half of all pixels with the smaller sigmas, divided by the MSE of all pixels.",
        "- 95 %: number of calibrated sigmas that 95 % of the errors stay within.",
        "- Linear within 1, 2: share of the errors of linear intensity within one and two of its sigmas; result files"
        " hold linear intensity.",
    ]
    head = ["passes", "MSE", "raw within 1, 2", "ranks of pixels", "ranks of planes", "surer half"]
    head += ["median sigma", "95 %", "linear within 1, 2"]
    for mode, component, table in _by_mode_and_component(passes_by_mode):
        rows = [_pass_row(str(passes), table[str(passes)]) for passes in CALIBRATED_PASSES]
        planes = table[str(SHOWN_PASSES)]["planes"]
        lines += ["", f"{component}, {_TITLES[mode]} ({planes} planes):", "", *compact_table(head, rows)]
    return lines


def _pass_row(passes: str, row: Mapping[str, float]) -> list[str]:
    return [
        passes,
        " / ".join(f"{row[name]:.5f}" for name in ("mse", "mse_median", "mse_90")),
        # A single pass has no deviation.
        f"{percent(row['raw_within_1'])}, {percent(row['raw_within_2'])}" if passes != "1" else "-",
        f"{_raw(row['ranks_pixels_raw'], passes)} ({row['ranks_pixels']:.2f})",
        f"{_raw(row['ranks_planes_raw'], passes)} ({row['ranks_planes']:.2f})",
        f"{row['mse_of_surer_half']:.2f}",
        f"{row['median_sigma']:.4f}",
        f"{row['factor_95']:.2f}",
        f"{percent(row['linear_within_1'])}, {percent(row['linear_within_2'])}",
    ]


def _coverage_tables(coverage: Mapping[str, Any]) -> list[str]:
    lines = ["## Coverage", "", "Share of the errors within one and two calibrated sigmas."]
    lines += ["", "All pixels, by the number of passes:"]
    columns = [(mode, component) for mode, component, _ in _by_mode_and_component(coverage)]
    titles = [f"{component}, {_TITLES[mode]}" for mode, component in columns]
    tables = [coverage[mode][component] for mode, component in columns]
    rows = [
        [str(passes), *(_covered(table[str(passes)]["all"]) for table in tables)]
        for passes in CALIBRATED_PASSES
    ]
    lines += ["", *compact_table(["passes", *titles], rows)]
    if tables:
        labels = list(tables[0][str(SHOWN_PASSES)])
        rows = [[label, *(_covered(table[str(SHOWN_PASSES)][label]) for table in tables)] for label in labels]
        lines += ["", f"Classes of pixels and planes, {SHOWN_PASSES} passes:"]
        lines += ["", *compact_table(["pixels or planes", *titles], rows)]
    return lines


def _by_mode_and_component(tables: Mapping[str, Any]) -> Iterable[tuple[str, str, Mapping[str, Any]]]:
    return (
        (mode, component, tables[mode][component])
        for mode in MODES
        if mode in tables
        for component in COMPONENTS
    )


def _covered(shares: Mapping[str, float]) -> str:
    return f"{percent(shares['within_1'])}, {percent(shares['within_2'])}" if shares["pixels"] else "-"


def _raw(rank: float, passes: str) -> str:
    return "-" if passes == "1" else f"{rank:.2f}"
