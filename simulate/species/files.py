"""Read one species from an XYZ or CIF file."""

from pathlib import Path

import gemmi
import numpy as np
import numpy.typing as npt

from dsfunet.errors import InputError

Atoms = tuple[tuple[str, ...], npt.NDArray[np.float64]]


def is_element(symbol: str) -> bool:
    """Return whether a symbol is an element with scattering factors in the International Tables (1992)."""
    # gemmi reads "Carbon" as Ca, so the name has to match exactly. The table ends at Cf (98).
    element = gemmi.Element(symbol)
    return element.name == symbol and 1 <= element.atomic_number <= 98


def read_xyz(path: Path) -> Atoms:
    """Read element symbols and positions [Angstrom], shape (n, 3), from a plain XYZ file with one frame; n may be 0.

    Columns after the third coordinate are ignored; some programs write charges or forces there.

    Raises:
        InputError: the file cannot be read as text, its number of lines differs from its count, or a line is not an
            element and three finite numbers.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({error})") from error
    first = lines[0].strip() if lines else ""
    if not (first.isascii() and first.isdigit()):
        raise InputError(f"{path}: line 1 is {first!r}; expected the number of atoms of an XYZ file")
    count = int(first)
    body = lines[2:]
    while body and not body[-1].strip():
        body.pop()
    if len(body) != count:
        raise InputError(
            f"{path}: the file has {len(body)} lines after the comment line; expected {count} atoms as in line 1"
        )
    elements, rows = [], []
    for number, line in enumerate(body, start=3):
        symbol, row = _xyz_atom(path, number, line)
        elements.append(symbol)
        rows.append(row)
    return tuple(elements), np.array(rows, dtype=np.float64).reshape(count, 3)


def _xyz_atom(path: Path, number: int, line: str) -> tuple[str, list[float]]:
    """Read one atom line of an XYZ file."""
    fields = line.split()
    symbol = fields[0].capitalize() if fields else ""
    try:
        row = [float(field) for field in fields[1:4]]
    except ValueError:
        row = []
    if not is_element(symbol) or len(row) != 3 or not np.isfinite(row).all():
        raise InputError(
            f"{path}: line {number} is {line.strip()!r}; expected an element and three finite numbers"
        )
    return symbol, row


def read_cif(path: Path) -> Atoms:
    """Read element symbols and Cartesian positions [Angstrom], shape (n, 3), of the sites listed in a CIF.

    No symmetry is applied, so the file must list the complete molecule. Crystallographic viewers can export such a
    file for a molecule on a symmetry element.

    Raises:
        InputError: gemmi cannot read the file, it lists no sites, or a site is partly occupied or not an element.
    """
    try:
        structure = gemmi.read_small_structure(str(path))
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{path}: cannot be read as CIF ({error})") from error
    sites = list(structure.sites)
    if not sites:
        raise InputError(f"{path}: no atom sites; expected a CIF with _atom_site_fract_x, _y and _z")
    for site in sites:
        if not is_element(site.element.name) or not np.isfinite(site.fract.tolist()).all():
            raise InputError(
                f"{path}: site {site.label} is invalid; expected an element and three finite coordinates"
            )
        if site.occ != 1.0:
            raise InputError(
                f"{path}: site {site.label} has occupancy {site.occ:g}; expected 1 for every site"
            )
    positions = [site.orth(structure.cell).tolist() for site in sites]
    return tuple(site.element.name for site in sites), np.array(positions, dtype=np.float64)
