"""Elements and ions from the type symbols and labels of structure files."""

import re
from pathlib import Path

import gemmi

from dsfunet.errors import InputError
from dsfunet.physics.scattering import check_species


def find_ion(element: str, symbol: str) -> str | None:
    """Return the ion of a type symbol, "Fe3+" of Fe3+, Fe+3 and FE3+; None without a charge, or if no table has it."""
    match = re.fullmatch(r"[A-Za-z]+(?:(\d*)([+-])|([+-])(\d+))", symbol.strip())
    if match is None:
        return None
    charge, sign = match[1] or match[4] or "1", match[2] or match[3]
    name = f"{element}{charge if charge != '1' else ''}{sign}"
    try:
        check_species(name)
    except InputError:
        return None  # such as C4+ in lists of oxidation states: the neutral atom stands for it
    return name


def read_element(path: Path, symbol: str) -> str:
    """Return the element of a type symbol, a label or an atomic number: C of C, C12A and 6; Fe of Fe3+.

    Raises:
        InputError: the symbol is not of an element with International Tables (1992) scattering factors.
    """
    if symbol.isdigit():
        symbol = gemmi.Element(int(symbol)).name
    letters = re.match("[A-Za-z]*", symbol.strip())[0]  # type: ignore[index]
    # Capitals after the first letter belong to a label (C12A, HO1), unless the symbol ends with them (FE, CL).
    candidates = [letters[:2] if letters[1:2].islower() else letters[:1]]
    if len(letters) == 2 and letters == symbol.strip():
        candidates.insert(0, letters)
    if len(letters) > 2 and letters == symbol.strip():
        candidates = []  # a word such as Carbon
    for candidate in candidates:
        element = gemmi.Element(candidate.capitalize())
        if element.name == candidate.capitalize() and 1 <= element.atomic_number <= 98:
            return element.name
    raise InputError(
        f"{path}: {symbol!r} is not an element with X-ray scattering factors; expected a symbol such as C"
    )
