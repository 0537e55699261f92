"""The documentation site builds strictly and offline, and holds what is generated."""

import socket
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

import dsfunet
from tests.docs.pages import ROOT

pytestmark = pytest.mark.slow
pytest.importorskip("mkdocs", reason="the site is built with the extra `docs`")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The built site, made without a single connection."""
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    def connect(*_: object) -> None:
        raise AssertionError("the build opened a connection")

    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setattr(socket.socket, "connect", connect)
        config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True)
        config.plugins.on_startup(command="build", dirty=False)
        build(config)
        config.plugins.on_shutdown()
    yield folder


def test_no_page_loads_anything_from_the_network(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 50
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for tag in (
            'src="http',
            '<link rel="stylesheet" href="http',
            "fonts.googleapis",
            "unpkg.com",
            "jsdelivr",
        ):
            assert tag not in text, f"{page.name} loads {tag}"


def test_every_public_name_is_documented(site: Path) -> None:
    text = (site / "reference" / "api.html").read_text(encoding="utf-8")
    missing = [name for name in dsfunet.__all__ if not name.startswith("__") and f">{name}<" not in text]
    assert missing == []


@pytest.mark.parametrize(
    "option",
    ["--plane", "--passes", "--bragg-radius", "--shells", "--torsion", "--species_folder", "--curve-samples"],
)
def test_the_command_line_page_has_the_options(site: Path, option: str) -> None:
    assert option in unescape((site / "reference" / "command_line.html").read_text(encoding="utf-8"))


@pytest.mark.parametrize("table", sorted(path.stem for path in (ROOT / "benchmarks").glob("*.md")))
def test_every_table_of_the_benchmarks_is_a_page(site: Path, table: str) -> None:
    assert (site / "results" / f"{table}.html").is_file()


def test_tutorials_are_pages_with_their_pictures(site: Path) -> None:
    for name in ("first_plane", "own_species", "whole_volume"):
        text = (site / "tutorials" / f"{name}.html").read_text(encoding="utf-8")
        assert f"{name}_1.jpg" in text and f'href="{name}.ipynb"' in text
        assert (site / "tutorials" / f"{name}_1.jpg").is_file() and (
            site / "tutorials" / f"{name}.ipynb"
        ).is_file()
