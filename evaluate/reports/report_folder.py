"""Folders of reports, which appear whole or not at all, and what all of them write the same way."""

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing_folder(out: Path) -> Iterator[Path]:
    """A new, empty folder, which takes the place of `out` when the block succeeds.

    When the block or the change fails, what was at `out` is there as before.
    """
    out = out.resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    # Made beside its destination, on the same file system, so that a rename puts it there in one step.
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
    """Plain values as JSON, the same bytes for the same values."""
    text = json.dumps(values, indent=1, sort_keys=True, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def markdown_table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """The lines of a table in Markdown."""
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines]


def percent(share: float | None) -> str:
    """A share in words, "-" where there is none."""
    return "-" if share is None else f"{100 * share:.1f} %"
