"""Reading one species from an XYZ or CIF file."""

from pathlib import Path

import gemmi
import numpy as np
import numpy.typing as npt

from dsfunet.errors import InputError

Atoms = tuple[tuple[str, ...], npt.NDArray[np.float64]]


def is_element(symbol: str) -> bool:
    """Whether a symbol, spelled as in the periodic table, has International Tables (1992) coefficients."""
    # gemmi alone reads "Carbon" as Ca, so the name must come back as it went in. The table ends at Cf (98).
    element = gemmi.Element(symbol)
    return element.name == symbol and 1 <= element.atomic_number <= 98


def read_xyz(path: Path) -> Atoms:
    """Element symbols and positions [Angstrom], shape (n, 3), of a plain one-frame XYZ file; n may be 0.

    Columns after the third coordinate are ignored, as other programs keep charges or forces there.

    Raises:
        InputError: the file is not readable text, its count and its lines disagree, or a line is not an
            element and three finite numbers.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a readable text file ({error})") from error
    first = lines[0].strip() if lines else ""
    if not (first.isascii() and first.isdigit()):
        raise InputError(f"{path}: line 1 is {first!r}, expected the number of atoms of an XYZ file")
    count = int(first)
    body = lines[2:]
    while body and not body[-1].strip():
        body.pop()
    if len(body) != count:
        raise InputError(
            f"{path}: line 1 promises {count} atoms, found {len(body)} lines after the comment line"
        )
    elements, rows = [], []
    for number, line in enumerate(body, start=3):
        symbol, row = _xyz_atom(path, number, line)
        elements.append(symbol)
        rows.append(row)
    return tuple(elements), np.array(rows, dtype=np.float64).reshape(count, 3)


def _xyz_atom(path: Path, number: int, line: str) -> tuple[str, list[float]]:
    """One atom line of an XYZ file."""
    fields = line.split()
    symbol = fields[0].capitalize() if fields else ""
    try:
        row = [float(field) for field in fields[1:4]]
    except ValueError:
        row = []
    if not is_element(symbol) or len(row) != 3 or not np.isfinite(row).all():
        raise InputError(
            f"{path}: line {number} is {line.strip()!r}, expected an element and three finite numbers"
        )
    return symbol, row


def read_cif(path: Path) -> Atoms:
    """Element symbols and Cartesian positions [Angstrom], shape (n, 3), of the sites that a CIF lists.

    The sites are taken as they stand: no symmetry is applied, so a molecule on a symmetry element has to be
    completed before (every crystallographic viewer exports such a file).

    Raises:
        InputError: gemmi cannot read the file, it lists no site, or a site is partly occupied or not an
            element.
    """
    try:
        structure = gemmi.read_small_structure(str(path))
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{path}: not a readable CIF ({error})") from error
    sites = list(structure.sites)
    if not sites:
        raise InputError(f"{path}: no atom sites found, expected a CIF with _atom_site_fract_x, _y and _z")
    for site in sites:
        if not is_element(site.element.name) or not np.isfinite(site.fract.tolist()).all():
            raise InputError(f"{path}: site {site.label} is not an element at three finite coordinates")
        if site.occ != 1.0:
            raise InputError(
                f"{path}: site {site.label} has occupancy {site.occ:g}, expected 1 for every site"
            )
    positions = [site.orth(structure.cell).tolist() for site in sites]
    return tuple(site.element.name for site in sites), np.array(positions, dtype=np.float64)
