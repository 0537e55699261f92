"""Side files: NAME.json beside an array without axes says where it lies, {"axes": "h -6 6, k -6 6, l 0"}."""

import json
from dataclasses import replace
from pathlib import Path

from dsfunet.errors import InputError
from dsfunet.io.cell_parameters import cell_from_text
from dsfunet.io.linked_files import note_linked_file
from dsfunet.io.read_options import ReadOptions, parse_array_axes
from dsfunet.physics import Cell

_LARGEST = 100_000  # bytes


def complete_options(path: Path, options: ReadOptions, cell: Cell | None) -> tuple[ReadOptions, Cell | None]:
    """Complete the options for a file by its side file, which is called like the file and .json behind it.

    Options that are given come first. A file of that name without "axes" is not a side file.

    Raises:
        InputError: the side file is damaged, or its axes or its cell cannot be understood.
    """
    side = path.with_name(f"{path.name}.json")
    note_linked_file(side)
    if options.array_axes is not None or not side.is_file() or side.stat().st_size > _LARGEST:
        return options, cell
    try:
        content = json.loads(side.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{side}: the file cannot be read as JSON ({error})") from error
    if not isinstance(content, dict) or "axes" not in content:
        return options, cell
    axes, its_cell = content["axes"], content.get("cell")
    try:
        options = replace(
            options, array_axes=parse_array_axes(axes if isinstance(axes, str) else ", ".join(axes))
        )
        if cell is None and its_cell is not None:
            cell = cell_from_text(its_cell if isinstance(its_cell, str) else " ".join(map(str, its_cell)))
    except (InputError, TypeError) as error:
        raise InputError(f"{side}: {error}") from error
    return options, cell
