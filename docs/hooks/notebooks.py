"""Shows each notebook under docs/ as a page of the same name, its outputs as they are stored in it."""

import base64
import json
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

DOCS = Path(__file__).parents[1]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page and the pictures of each notebook."""
    for path in sorted(DOCS.rglob("*.ipynb")):
        if ".ipynb_checkpoints" in path.parts:
            continue
        stem = path.relative_to(DOCS).with_suffix("").as_posix()
        text, pictures = as_markdown(json.loads(path.read_text(encoding="utf-8")), path.stem)
        files.append(File.generated(config, f"{stem}.md", content=text))
        for name, content in pictures.items():
            place = f"{Path(stem).parent.as_posix()}/{name}"
            files.append(File.generated(config, place, content=content))
    return files


def as_markdown(notebook: dict[str, Any], name: str) -> tuple[str, dict[str, bytes]]:
    """Return the page of a notebook and its pictures by file name."""
    parts: list[str] = []
    pictures: dict[str, bytes] = {}
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
        elif cell["cell_type"] == "code" and source.strip():
            shell = source.startswith("%%bash\n")
            parts.append(f"```{'sh' if shell else 'python'}\n{source.removeprefix('%%bash').lstrip()}\n```")
            parts += [_output(each, name, pictures) for each in cell["outputs"]]
    title, *rest = parts
    note = (
        f"*This page is a notebook: [download it]({name}.ipynb){{download}} and run it from the repository.*"
    )
    return "\n\n".join([title, note, *filter(None, rest)]) + "\n", pictures


def _output(output: dict[str, Any], name: str, pictures: dict[str, bytes]) -> str:
    data = output.get("data", {})
    for kind, suffix in {"image/png": "png", "image/jpeg": "jpg"}.items():
        if kind in data:
            picture = f"{name}_{len(pictures) + 1}.{suffix}"
            pictures[picture] = base64.b64decode("".join(data[kind]))
            return f"![output]({picture})"
    text = "".join(output.get("text", data.get("text/plain", ""))).rstrip()
    return f"```text\n{text}\n```" if text else ""
