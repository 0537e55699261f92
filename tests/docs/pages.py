"""The pages of the documentation as text: their fenced blocks, and the commands in them."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def page_paths() -> list[Path]:
    """Return README.md and all pages and notebooks under docs/."""
    pages = [path for path in (ROOT / "docs").rglob("*") if path.suffix in {".md", ".ipynb"}]
    return [ROOT / "README.md", *sorted(page for page in pages if "hooks" not in page.parts)]


def page_name(path: Path) -> str:
    """Return a readable name of a page for a test."""
    return path.relative_to(ROOT).as_posix()


def page_text(path: Path) -> str:
    """Return a page as Markdown; of a notebook, its text cells and its shell cells."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    parts = []
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
        elif source.startswith("%%bash\n"):
            parts.append("```sh\n" + source.removeprefix("%%bash\n") + "\n```")
    return "\n\n".join(parts)


def blocks(path: Path, language: str) -> list[str]:
    """Return the fenced blocks of one language on a page."""
    return [text for found, text in _BLOCK.findall(page_text(path)) if found == language]


def commands(path: Path) -> Iterator[list[str]]:
    """Yield every command in the shell blocks of a page, as the words a shell would give to it."""
    for block in blocks(path, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            command = re.split(r"\s(?:>|\|\|)\s", line)[0]  # without redirections and what follows a failure
            words = shlex.split(command, comments=True)
            if words:
                yield words
