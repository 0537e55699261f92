"""What a report folder holds: report.json, report.md, planes.csv, two pictures, and timing.json.

All but timing.json are the same byte for byte when the same planes are judged again with the same software.
"""

import csv
import io
import json
import platform
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dsfunet import __version__
from dsfunet.errors import InputError
from dsfunet.preprocessing import COMPONENTS
from evaluate import pictures
from evaluate.metrics import COMMON_MARK, PAPER_MARKS, summarise
from evaluate.scoring import Report
from evaluate.tables import markdown

REPORT_FILES = ("gallery.png", "histogram.png", "planes.csv", "report.json", "report.md", "timing.json")
_PIXELS_PER_INCH = 120


def content(report: Report) -> dict[str, Any]:
    """The report in plain values: by metric and component the summary, the baselines, and each breakdown."""
    return {
        "warnings": list(report.warnings),
        "provenance": {
            **report.provenance,
            "versions": {
                "python": platform.python_version(),
                "dsfunet": __version__,
                **{name: version(name) for name in ("numpy", "torch", "zarr")},
            },
        },
        "missing_share": float(report.missing_share.mean()),
        "metrics": {
            metric: {component: _component(report, metric, component) for component in COMPONENTS}
            for metric in report.scores
        },
    }


def _component(report: Report, metric: str, component: str) -> dict[str, Any]:
    scores = report.scores[metric][component]
    result = _summary(scores, component)
    result["baselines"] = {
        name: _summary(metrics[metric][component], component) for name, metrics in report.baselines.items()
    }
    noise = result["baselines"]["noise_against_truth"]["mean"]
    # None and not infinity, which JSON does not have.
    result["noise_against_truth_over_mean"] = noise / result["mean"] if result["mean"] > 0 else None
    result["by"] = {
        breakdown.name: {
            label: _summary(scores[breakdown.index == number], component)
            for number, label in enumerate(breakdown.labels)
            if np.any(breakdown.index == number)
        }
        for breakdown in report.breakdowns
    }
    return result


def _summary(scores: npt.NDArray[np.float64], component: str) -> dict[str, Any]:
    summary = summarise(scores)
    return {
        "planes": len(scores),
        "mean": summary.mean,
        "median": summary.median,
        "percentile_90": summary.percentile_90,
        "paper_mark": PAPER_MARKS[component],
        "share_under_paper_mark": summary.share_under(PAPER_MARKS[component]),
        "share_under_common_mark": summary.share_under(COMMON_MARK),
    }


def check_destination(out: Path) -> None:
    """Refuse a destination before the work is done; leaves nothing behind.

    Raises:
        InputError: the folder cannot be made or written, or holds anything but an earlier report.
    """
    out = out.resolve()
    if out.exists():
        if not out.is_dir():
            raise InputError(f"{out}: is a file; expected a folder to put the report in")
        others = sorted({entry.name for entry in out.iterdir()} - set(REPORT_FILES))
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
    out = out.resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    # Made beside its destination, on the same file system, so that a rename puts it there in one step.
    temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".tmp", dir=out.parent))
    try:
        _write_files(report, temporary / "new")
        _swap(temporary / "new", out, temporary / "old")
    finally:
        shutil.rmtree(temporary)


def _swap(new: Path, out: Path, old: Path) -> None:
    if out.exists():
        out.replace(old)
    try:
        new.replace(out)
    except OSError:
        if old.exists():
            old.replace(out)
        raise


def _write_files(report: Report, folder: Path) -> None:
    folder.mkdir()
    plain = content(report)
    _write_json(folder / "report.json", plain)
    _write_json(folder / "timing.json", {"seconds": report.seconds})
    (folder / "report.md").write_text(markdown(plain), encoding="utf-8")
    (folder / "planes.csv").write_text(_planes_csv(report), encoding="utf-8")
    pictures.histogram(report, PAPER_MARKS).savefig(folder / "histogram.png", dpi=_PIXELS_PER_INCH)
    pictures.gallery(report).savefig(folder / "gallery.png", dpi=_PIXELS_PER_INCH)


def _write_json(path: Path, plain: Any) -> None:
    # A factorizer's description may hold a Path or the like: its text will do.
    text = json.dumps(plain, indent=1, sort_keys=True, allow_nan=False, default=str)
    path.write_text(text + "\n", encoding="utf-8")


def _planes_csv(report: Report) -> str:
    """One line a plane, so that the worst can be looked up."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    columns = [(metric, component) for metric in report.scores for component in COMPONENTS]
    breakdowns = [each for each in report.breakdowns if each.name != "missing pixels"]
    writer.writerow(
        ["plane", *(each.name for each in breakdowns), "missing share"]
        + [f"{metric} {component}" for metric, component in columns]
    )
    for plane in range(report.planes):
        labels = [each.labels[each.index[plane]] for each in breakdowns]
        scores = [f"{report.scores[metric][component][plane]:.6g}" for metric, component in columns]
        writer.writerow([plane, *labels, f"{report.missing_share[plane]:.4f}", *scores])
    return stream.getvalue()
