"""Records, tables and pictures of comparisons and scans of structural models."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dsfunet.analysis.formatting import with_uncertainty
from dsfunet.analysis.models.fit import Comparison, Fit
from dsfunet.analysis.models.observation import Observation
from dsfunet.analysis.models.scan import Scan
from dsfunet.files import replacing
from dsfunet.planes.result import Result
from dsfunet.plotting.result import Panel, draw_panels, intensity_scale, residual_scale

Record = dict[str, Any]
"""Values by the names of their columns in CSV, or their keys in JSON."""


def comparison_records(comparison: Comparison) -> list[Record]:
    """Return one record for each model, the best first; None where there is no value."""
    return [
        {
            "rank": number + 1,
            "model": fit.name,
            "formula_a": fit.model.first.formula,
            "formula_b": fit.model.second.formula,
            **_fit_record(fit, comparison.intervals[number]),
            "better_than_next": _number(comparison.better_than_next[number])
            if number < len(comparison.better_than_next)
            else None,
            "best_of_all": _number(comparison.best[number]),
        }
        for number, fit in enumerate(comparison.fits)
    ]


def scan_records(scan: Scan) -> list[Record]:
    """Return one record for each angle, in ascending order; None where there is no value."""
    return [
        {"angle_deg": float(angle), **_fit_record(fit, interval)}
        for angle, fit, interval in zip(scan.angles_deg, scan.fits, scan.intervals, strict=True)
    ]


def minimum_records(scan: Scan) -> list[Record]:
    """Return one record for each minimum, the deepest first; None where there is no value."""
    return [
        {
            "angle_deg": minimum.angle_deg,
            "angle_su_deg": _number(minimum.su_deg),
            "misfit": minimum.misfit,
            "lowest_of_all": minimum.lowest,
        }
        for minimum in scan.minima
    ]


def write_csv(path: Path, records: Sequence[Record]) -> None:
    """Write records with the same fields as CSV with a header line; None becomes an empty field.

    The file is complete or absent.

    Raises:
        InputError: nothing can be written at the path.
    """
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, list(records[0]))
        table.writeheader()
        table.writerows(records)


def draw_fit(result: Result, fit: Fit, observation: Observation, title: str) -> Figure:
    """Draw three panels: the observed I_FF, the fitted model on the same scale, and their difference in used pixels."""
    scale = intensity_scale(result.form_factor)
    difference = np.where(observation.used, observation.form_factor - fit.intensity, np.nan)
    panels = [
        Panel("Observed form factor", result.form_factor, scale),
        Panel("Calculated", fit.intensity, scale),
        Panel("Observed \N{MINUS SIGN} calculated", difference, residual_scale(difference)),
    ]
    return draw_panels(result, panels, f"{title}: misfit {fit.misfit:.4f}, wR2 {100 * fit.wr2:.1f} %")


def draw_scan(scan: Scan, label: str, title: str) -> Figure:
    """Plot the misfit against the angle with its 95 % band, and the minima with their uncertainties."""
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.fill_between(
        scan.angles_deg, *scan.intervals.T, color="tab:red", alpha=0.15, linewidth=0, label="95 %"
    )
    axes.plot(
        scan.angles_deg, scan.misfits, "o-", color="tab:red", markersize=4, linewidth=1.2, label="misfit"
    )
    for minimum in scan.minima:
        axes.axvline(minimum.angle_deg, color="0.45", linewidth=0.9, linestyle="--")
        axes.axvspan(
            minimum.angle_deg - minimum.su_deg,
            minimum.angle_deg + minimum.su_deg,
            color="0.45",
            alpha=0.2,
            linewidth=0,
        )
        axes.annotate(
            f" {with_uncertainty(minimum.angle_deg, minimum.su_deg)}°".replace("-", "\N{MINUS SIGN}"),
            (minimum.angle_deg, 0.97),
            xycoords=("data", "axes fraction"),
            va="top",
            fontsize=9,
        )
    axes.set_xlabel(label)
    axes.set_ylabel("misfit (mean square error of $2\\sqrt{I_{FF}} - 1$)")
    axes.set_xlim(scan.angles_deg[0], scan.angles_deg[-1])
    axes.legend(frameon=False, fontsize=9, loc="best")
    axes.set_title(title, fontsize=11)
    return figure


def _fit_record(fit: Fit, interval: Sequence[float] | np.ndarray[Any, Any]) -> Record:
    return {
        "misfit": fit.misfit,
        "misfit_low": float(interval[0]),
        "misfit_high": float(interval[1]),
        "wr2": fit.wr2,
        "scale": fit.scale,
        "scale_su": _number(fit.scale_su),
        "floor": fit.floor,
        "floor_su": _number(fit.floor_su),
        "debye_waller_b_angstrom2": fit.debye_waller_b_angstrom2,
        "debye_waller_b_su": _number(fit.debye_waller_b_su),
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
