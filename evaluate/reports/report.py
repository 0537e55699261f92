"""What a report folder holds: its numbers (report.json, planes.csv, planes.npz), report.md, pictures, timing.json.

All but timing.json are the same byte for byte when the same planes are judged again by the same software and machine.
"""

import csv
import io
import tempfile
from pathlib import Path

import numpy as np

from dsfunet.errors import InputError
from dsfunet.planes.preprocessing import COMPONENTS
from evaluate.metrics.measures import MEASURES
from evaluate.predictors.registry import NETWORK
from evaluate.reports import pictures
from evaluate.reports.report_folder import replacing_folder, write_values
from evaluate.reports.tables import markdown
from evaluate.runs.evaluation import Report

PLANES_FILE = "planes.npz"
REPORT_FILE = "report.json"
REPORT_FILES = (
    "calibration.png",
    "curves.png",
    "distribution.png",
    "gallery.png",
    "planes.csv",
    PLANES_FILE,
    REPORT_FILE,
    "report.md",
    "timing.json",
)
_OF_OLD_REPORTS = ("histogram.png",)
_OF_OTHER_REPORTS = ("calibration.json",)
_PIXELS_PER_INCH = 120


def check_destination(out: Path) -> None:
    """Refuse a destination before the work is done; leaves nothing behind.

    Raises:
        InputError: the folder cannot be made or written, or holds anything but an earlier report.
    """
    out = out.resolve()
    if out == Path.cwd() or out in Path.cwd().parents:
        raise InputError(f"{out}: is where this runs; expected a folder of its own for the report")
    if out.exists():
        if not out.is_dir():
            raise InputError(f"{out}: is a file; expected a folder to put the report in")
        others = sorted(
            {entry.name for entry in out.iterdir()} - {*REPORT_FILES, *_OF_OLD_REPORTS, *_OF_OTHER_REPORTS}
        )
        if others:
            raise InputError(
                f"{out}: holds {others[0]!r}; expected a new or empty folder, or an earlier report"
            )
    ancestor = next(parent for parent in out.parents if parent.exists())
    try:
        with tempfile.TemporaryDirectory(dir=ancestor):
            pass
    except OSError as error:
        raise InputError(
            f"{out}: cannot be made ({error.strerror}); expected a folder that can be written"
        ) from error


def write(report: Report, out: Path) -> None:
    """Write the report folder, in place of an earlier report: whole or not there.

    Raises:
        InputError: as `check_destination`.
    """
    check_destination(out)
    with replacing_folder(out) as folder:
        _write_files(report, folder)


def _write_files(report: Report, folder: Path) -> None:
    write_values(folder / REPORT_FILE, report.plain)
    write_values(folder / "timing.json", report.timing)
    (folder / "report.md").write_text(markdown(report.plain), encoding="utf-8")
    (folder / "planes.csv").write_text(_planes_csv(report), encoding="utf-8")
    with (folder / PLANES_FILE).open("wb") as stream:
        np.savez_compressed(stream, **report.planes)  # type: ignore[arg-type]
    drawn = {"distribution": pictures.distribution, "curves": pictures.curves, "gallery": pictures.gallery}
    if report.plain["uncertainty"] is not None:
        drawn["calibration"] = pictures.calibration
    for name, draw in drawn.items():
        draw(report).savefig(folder / f"{name}.png", dpi=_PIXELS_PER_INCH)


def _planes_csv(report: Report) -> str:
    """One line a plane with what was measured of the networks, so that the worst can be looked up."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    columns = {
        f"{name} {component}": report.planes[f"{NETWORK}/{component}/{name}"]
        for component in COMPONENTS
        for name in MEASURES
        if f"{NETWORK}/{component}/{name}" in report.planes
    }
    columns = {"missing share": report.planes["missing_share"], "signal": report.planes["signal"], **columns}
    sorted_by_class = [way for way in report.ways if way.name in ("species group", "order kind", "lattice")]
    writer.writerow(["plane", *(way.name for way in sorted_by_class), *columns])
    for plane in range(len(report.planes["missing_share"])):
        labels = [way.labels[way.index[plane]] for way in sorted_by_class]
        writer.writerow([plane, *labels, *(f"{values[plane]:.6g}" for values in columns.values())])
    return stream.getvalue()
