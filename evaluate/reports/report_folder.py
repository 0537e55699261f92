"""The folder of a report: which files belong to it, and how it is replaced as a whole."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dsfunet.errors import InputError

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
"""Files of the report of an evaluation."""

_OF_OLD_REPORTS = ("histogram.png",)
_OF_OTHER_REPORTS = ("calibration.json",)


def check_destination(out: Path) -> None:
    """Check before the work begins that a report can be written to a folder; leaves nothing behind.

    Raises:
        InputError: if the folder cannot be made or written, or holds anything but an earlier report.
    """
    out = out.resolve()
    if out == Path.cwd() or out in Path.cwd().parents:
        raise InputError(
            f"{out}: this is the current folder or contains it; use another folder for the report"
        )
    if out.exists():
        if not out.is_dir():
            raise InputError(f"{out}: this is a file; expected a folder for the report")
        others = sorted(
            {entry.name for entry in out.iterdir()} - {*REPORT_FILES, *_OF_OLD_REPORTS, *_OF_OTHER_REPORTS}
        )
        if others:
            raise InputError(
                f"{out}: the folder holds {others[0]!r}; expected a new or empty folder, or an earlier report"
            )
    ancestor = next(parent for parent in out.parents if parent.exists())
    try:
        with tempfile.TemporaryDirectory(dir=ancestor):
            pass
    except OSError as error:
        raise InputError(
            f"{out}: the folder cannot be made ({error.strerror}); use a folder that can be written"
        ) from error


@contextmanager
def replacing_folder(out: Path) -> Iterator[Path]:
    """Yield a new, empty folder that replaces `out` when the block succeeds.

    If the block or the replacement fails, `out` stays as it was.
    """
    out = out.resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    # Made beside its destination, on the same file system, so that a rename moves it there in one step.
    temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".tmp", dir=out.parent))
    try:
        new, old = temporary / "new", temporary / "old"
        new.mkdir()
        yield new
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


def write_values(path: Path, values: Any) -> None:
    """Write plain values as JSON; equal values give equal bytes."""
    text = json.dumps(values, indent=1, sort_keys=True, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
