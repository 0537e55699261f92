"""Insert tables into a page of prose, so that no number on it is typed by hand."""

import re
from collections.abc import Mapping
from pathlib import Path

from dsfunet.errors import InputError
from dsfunet.files import replacing

_PLACE = re.compile(r"(?<=<!-- table: )([^>]+?)( -->\n).*?(?=<!-- end of table -->)", re.DOTALL)


def fill_tables(text: str, parts: Mapping[str, str]) -> str:
    """Return the page with a new table between each `<!-- table: NAME -->` and `<!-- end of table -->`.

    Raises:
        InputError: the page names an unknown table.
    """

    def table(match: re.Match[str]) -> str:
        if match[1] not in parts:
            raise InputError(f"the page has a table {match[1]!r}; expected one of {', '.join(parts)}")
        return f"{match[1]}{match[2]}\n{parts[match[1]]}\n\n"

    return _PLACE.sub(table, text)


def update_page(page: Path, folder: Path, parts: Mapping[str, str]) -> None:
    """Insert tables into a page, and copy the pictures of a folder next to it.

    Raises:
        InputError: as `fill_tables`, or the page cannot be read or written.
    """
    try:
        text = fill_tables(page.read_text(encoding="utf-8"), parts)
    except OSError as error:
        raise InputError(f"{page}: cannot be read ({error.strerror})") from error
    for picture in sorted(folder.glob("example_*.png")):
        with replacing(page.with_name(picture.name)) as temporary:
            temporary.write_bytes(picture.read_bytes())
    with replacing(page) as temporary:
        temporary.write_text(text, encoding="utf-8")
