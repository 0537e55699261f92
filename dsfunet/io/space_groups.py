"""The centring that the space group in a file states, and when it is believed."""

import json
import re
from collections.abc import Mapping

import gemmi
import numpy as np

from dsfunet.io.cell_parameters import cell_from_metric, cells_agree
from dsfunet.physics import Cell
from dsfunet.physics.centring import CENTRINGS, Centring

FoundCentring = tuple[Centring | None, tuple[str, ...]]
"""A centring, or None if the file states none that can be used; and sentences for the user."""

_LONGEST_NAME = 40


def find_centring(space_group: str, cell: Cell | None) -> FoundCentring:
    """Find the centring of a cell from its space group, as a file states it.

    A symbol (Hermann-Mauguin, short or long, with a setting such as ":R"), a number (in the standard setting) or a
    letter of `CENTRINGS` alone is understood. Of R groups on rhombohedral axes the cell is primitive.

    P 1 (number 1, letter P) is no statement: programs write it by default and when they reduce data without symmetry.
    All other primitive groups are statements. Those that the shape of the cell contradicts are not used, for example
    F m -3 m with the primitive cell of the same crystal, and a monoclinic number with a cell whose unique axis is c.

    Args:
        space_group: what the file says; empty if it says nothing.
        cell: the unit cell; None if it is unknown, and its shape is not compared.

    Examples:
        >>> from dsfunet.io.space_groups import find_centring
        >>> from dsfunet.physics import Cell
        >>> find_centring("F m -3 m", Cell(3.75, 3.75, 3.75)), find_centring("1", None)
        (('F', ()), (None, ()))
        >>> find_centring("225", Cell(2.65, 2.65, 2.65, 60, 60, 60))[1][0]
        'space group F m -3 m does not fit the unit cell, so its centring is not used'
    """
    text = " ".join(space_group.strip().strip("'\"").split())
    if text in ("", "?", ".", "P", "1"):
        return None, ()
    if text in CENTRINGS:
        letter: Centring = text
        if letter == "R" and cell is not None and not _fits(cell, gemmi.SpaceGroup("R 3:H")):
            return None, ("centring R does not fit the unit cell, which is not hexagonal, and is not used",)
        return letter, ()
    found = _find_group(text)
    if found is None:
        name = text if len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]}..."
        return None, (f"the file gives the space group {name!r}, which is not known and not used",)
    if found.number == 1:
        return None, ()
    if cell is not None and found.ext in ("H", "R"):
        # Numbers and most symbols of these groups do not say which cell is meant; the shape of the cell does.
        settings = (gemmi.SpaceGroup(f"{found.hm}:{setting}") for setting in "HR")
        found = next((each for each in settings if _fits(cell, each)), found)
    if cell is not None and not _fits(cell, found):
        return None, (f"space group {found.hm} does not fit the unit cell, so its centring is not used",)
    centring = found.centring_type()
    if centring not in CENTRINGS:
        return None, (f"space group {found.hm} has centring {centring}, which is not known and not used",)
    return centring, ()


def centring_of_record(process: Mapping[str, object]) -> Centring | None:
    """Return the centring with which a result was made, from its record; None if it was only assumed.

    Args:
        process: the record; its entry `lattice` is JSON with the keys `centring` and `centring_from`.
    """
    try:
        lattice = json.loads(str(process.get("lattice", "")))
        centring, source = lattice["centring"], lattice["centring_from"]
    except (ValueError, LookupError, TypeError, RecursionError):  # older or damaged results
        return None
    return centring if centring in CENTRINGS and source != "assumed" else None


def _find_group(text: str) -> gemmi.SpaceGroup | None:
    number = re.fullmatch(r"(\d{1,3})(?:\.0*)?", text)
    if number is not None:
        value = int(number.group(1))
        return gemmi.find_spacegroup_by_number(value) if 1 <= value <= 230 else None  # 0 is P 1 to gemmi
    # "F m -3 m (225)", as some programs write it
    symbol = re.sub(r"\s*[(\[]\s*(?:no\.?\s*)?\d+\s*[)\]]$", "", text, flags=re.IGNORECASE)
    return gemmi.find_spacegroup_by_name(symbol) if symbol.isascii() else None


def _fits(cell: Cell, group: gemmi.SpaceGroup) -> bool:
    """Whether a cell has the shape that a space group prescribes, within the error of a measured cell."""
    metric = cell.direct @ cell.direct.T
    turned = np.zeros((3, 3))
    rotations = [np.array(each.rot) / gemmi.Op.DEN for each in group.operations().sym_ops]
    for rotation in rotations:
        turned += rotation.T @ metric @ rotation / len(rotations)
    ideal, _ = cell_from_metric(turned, "")
    return ideal is not None and cells_agree(cell, ideal)
