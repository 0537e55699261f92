"""Adds pages to the site that live elsewhere in the repository, so that nothing is kept twice.

The tables under `benchmarks/` stay where the commands that make them write them. Links between pages are written as
they work in the repository; on the site they are turned to the page that shows the same file.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]

INCLUDED = {
    "CHANGELOG.md": "changelog.md",
    "dsfunet/pretrained/release/README.md": "results/model_card.md",
    "simulate/species/README.md": "concepts/species.md",
    **{
        f"benchmarks/{page.name}": f"results/{page.name}"
        for page in sorted((ROOT / "benchmarks").glob("*.md"))
    },
}
"""Page of the site by file of the repository."""

_SOURCES = {page: source for source, page in INCLUDED.items()}
_LINK = re.compile(r"(\]\(|<img src=\")([^)\s\"#:]+)(?=[)\s\"#])")
_FENCE = re.compile(r"(^```.*?^```)", re.DOTALL | re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the included pages."""
    for source, page in INCLUDED.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links to files of the repository into links to the pages that show them."""
    own = page.file.src_uri
    source = _SOURCES.get(own, f"docs/{own}")
    parts = _FENCE.split(markdown)
    return "".join(part if part.startswith("```") else _with_links(part, source, own) for part in parts)


def site_page(path: str) -> str | None:
    """The page of the site that shows a file of the repository; None where there is none."""
    if path in INCLUDED:
        return INCLUDED[path]
    if path.startswith("docs/"):
        return re.sub(r"\.ipynb$", ".md", path.removeprefix("docs/"))
    return None


def _with_links(text: str, source: str, own: str) -> str:
    def link(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[2]))
        shown = site_page(target)
        if shown is None or shown == own:  # a notebook's page links to the notebook itself
            return match[0]
        return match[1] + posixpath.relpath(shown, posixpath.dirname(own) or ".")

    return _LINK.sub(link, text)
