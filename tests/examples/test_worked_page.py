"""Tables are inserted into a page of prose."""

from pathlib import Path

import pytest

from dsfunet.errors import InputError
from examples.worked.page import fill_tables, update_page

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (
    "Before.\n\n<!-- table: One -->\nold\n<!-- end of table -->\n\nBetween.\n\n"
    "<!-- table: Two -->\n<!-- end of table -->\n"
)


def test_tables_are_put_in_and_again() -> None:
    once = fill_tables(PAGE, {"One": "| 1 |", "Two": "| 2 |", "Three": "| 3 |"})
    assert once == (
        "Before.\n\n<!-- table: One -->\n\n| 1 |\n\n<!-- end of table -->\n\nBetween.\n\n"
        "<!-- table: Two -->\n\n| 2 |\n\n<!-- end of table -->\n"
    )
    assert fill_tables(once, {"One": "| 1 |", "Two": "| 2 |"}) == once


def test_unknown_tables_are_named_and_nothing_is_touched(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "example_one.png").write_bytes(b"png")
    with pytest.raises(InputError, match="the page has a table 'Two'; expected one of One"):
        update_page(page, tmp_path / "made", {"One": "| 1 |"})
    assert page.read_text(encoding="utf-8") == PAGE
    assert not (tmp_path / "example_one.png").exists()
    update_page(page, tmp_path / "made", {"One": "| 1 |", "Two": "| 2 |"})
    assert (tmp_path / "example_one.png").read_bytes() == b"png"


def test_page_of_the_docs_has_its_tables_and_pictures() -> None:
    text = (DOCS / "examples.md").read_text(encoding="utf-8")
    assert text.count("<!-- table: ") == text.count("<!-- end of table -->") == 9
    for line in text.splitlines():
        if line.startswith("!["):
            assert (DOCS / line.split("(")[1].rstrip(")")).is_file()
