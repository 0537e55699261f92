"""The report of an evaluation: its numbers (report.json, planes.csv, planes.npz), report.md, pictures, timing.json.

All files except timing.json are the same byte for byte if the same planes are scored again by the same software on the
same machine.
"""

import csv
import io
from pathlib import Path

import numpy as np

from dsfunet.planes.preprocessing import COMPONENTS
from evaluate.metrics.measures import MEASURES
from evaluate.predictors.registry import NETWORK
from evaluate.reports import pictures
from evaluate.reports.report_folder import (
    PLANES_FILE,
    REPORT_FILE,
    check_destination,
    replacing_folder,
    write_values,
)
from evaluate.reports.tables import report_markdown
from evaluate.runs.evaluation import Report

_PIXELS_PER_INCH = 120


def write_report(report: Report, out: Path) -> None:
    """Write the report folder, replacing an earlier report; a failure leaves the earlier report unchanged.

    Raises:
        InputError: as `evaluate.reports.report_folder.check_destination`.
    """
    check_destination(out)
    with replacing_folder(out) as folder:
        _write_files(report, folder)


def _write_files(report: Report, folder: Path) -> None:
    write_values(folder / REPORT_FILE, report.plain)
    write_values(folder / "timing.json", report.timing)
    (folder / "report.md").write_text(report_markdown(report.plain), encoding="utf-8")
    (folder / "planes.csv").write_text(_planes_csv(report), encoding="utf-8")
    with (folder / PLANES_FILE).open("wb") as stream:
        np.savez_compressed(stream, **report.planes)  # type: ignore[arg-type]
    drawn = {"distribution": pictures.distribution, "curves": pictures.curves, "gallery": pictures.gallery}
    if report.plain["uncertainty"] is not None:
        drawn["calibration"] = pictures.calibration
    for name, draw in drawn.items():
        draw(report).savefig(folder / f"{name}.png", dpi=_PIXELS_PER_INCH)


def _planes_csv(report: Report) -> str:
    """Return planes.csv: one line per plane with all measures of the networks, for looking up the worst planes."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    columns = {
        f"{name} {component}": report.planes[f"{NETWORK}/{component}/{name}"]
        for component in COMPONENTS
        for name in MEASURES
        if f"{NETWORK}/{component}/{name}" in report.planes
    }
    columns = {"missing share": report.planes["missing_share"], "signal": report.planes["signal"], **columns}
    classes = [each for each in report.breakdowns if each.name in ("species group", "order kind", "lattice")]
    writer.writerow(["plane", *(each.name for each in classes), *columns])
    for plane in range(len(report.planes["missing_share"])):
        labels = [each.labels[each.index[plane]] for each in classes]
        writer.writerow([plane, *labels, *(f"{values[plane]:.6g}" for values in columns.values())])
    return stream.getvalue()
