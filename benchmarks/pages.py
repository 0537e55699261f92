"""Writing the page of a benchmark."""

from collections.abc import Sequence
from pathlib import Path

from dsfunet.files import replacing


def write_page(path: Path, lines: Sequence[str]) -> None:
    """Write the lines of a page, in one step, and print them."""
    text = "\n".join(lines)
    with replacing(path) as temporary:
        temporary.write_text(f"{text}\n", encoding="utf-8")
    print(text)
