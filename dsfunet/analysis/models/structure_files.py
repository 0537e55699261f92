"""Structures from XYZ and CIF files, recognised by content: labelled atoms in the Cartesian axes of the crystal."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np

from dsfunet._typing import Array
from dsfunet.analysis.models.molecules import LabelledMolecule
from dsfunet.errors import InputError
from dsfunet.files import leading_bytes
from dsfunet.physics import Cell

ORDERED = "."
"""Disorder group of ordered atoms, which belong to every group."""

_PAIRED_GROUPS = (("1", "2"), ("A", "B"))
_ATOM_TAGS = [
    "label",
    "?type_symbol",
    "fract_x",
    "fract_y",
    "fract_z",
    "?occupancy",
    "?disorder_group",
    "?calc_flag",
]
_Atom = tuple[str, str, Array, str]
"""Label, element, Cartesian position [Angstrom], disorder group."""


@dataclass(frozen=True, eq=False)
class StructureFile:
    """The content of a structure file.

    Attributes:
        name: of the file, without its folder.
        atoms: all atoms of the file.
        groups: disorder group of each atom, "." for ordered atoms.
        cell: of the file, if it has one.
    """

    name: str
    atoms: LabelledMolecule
    groups: tuple[str, ...]
    cell: Cell | None = None

    @property
    def disorder_groups(self) -> tuple[str, ...]:
        """The disorder groups of the file, sorted, without that of the ordered atoms."""
        return tuple(sorted({*self.groups} - {ORDERED}))

    def molecule(self, group: str | None = None) -> LabelledMolecule:
        """Return the ordered atoms and those of one disorder group, each with full weight.

        The ordered atoms cancel in F_A - F_B of equation (1), but they connect the others by bonds.

        Args:
            group: disorder group; None for the only one.

        Raises:
            InputError: the file does not have the group, or has several groups and none is given.
        """
        found = ", ".join(self.disorder_groups) or "none"
        if group is None and len(self.disorder_groups) > 1:
            raise InputError(
                f"{self.name}: found disorder groups {found}; choose one of them, as in {self.name}:1"
            )
        if group is not None and group not in self.disorder_groups:
            raise InputError(f"{self.name}: found disorder groups {found}; expected {group!r} among them")
        chosen = [
            number for number, each in enumerate(self.groups) if group is None or each in (ORDERED, group)
        ]
        return LabelledMolecule(
            tuple(self.atoms.elements[number] for number in chosen),
            self.atoms.positions_angstrom[chosen],
            tuple(self.atoms.labels[number] for number in chosen),
        )

    def pair(self) -> tuple[LabelledMolecule, LabelledMolecule]:
        """Return disorder groups 1 and 2 (A and B in macromolecular CIF) as the two species.

        Raises:
            InputError: the file does not have both groups.
        """
        for first, second in _PAIRED_GROUPS:
            if {first, second} <= {*self.groups}:
                return self.molecule(first), self.molecule(second)
        raise InputError(
            f"{self.name}: found disorder groups {', '.join(self.disorder_groups) or 'none'}; expected a pair such as"
            " FILE+FILE or FILE+vacancy, or a CIF with disorder groups 1 and 2"
        )


def read_structure(path: Path | str) -> StructureFile:
    """Read the atoms of an XYZ or CIF file.

    XYZ: positions are Cartesian in the axes of the crystal [Angstrom]. Labels are the element and a running number (N1,
    C1, C2, ...) unless the first column already holds labels. CIF: the listed atoms with positive occupancy, which
    are those of the asymmetric unit. No symmetry is applied, so a molecule on a symmetry element must be completed
    beforehand.

    Raises:
        InputError: the file is missing, is neither XYZ nor CIF, or has no atoms or an atom that cannot be used.
    """
    path = Path(path)
    leading_bytes(path)
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    first = text.lstrip("\ufeff").split("\n", 1)[0].strip()
    if re.fullmatch("[0-9]+", first):
        return _read_xyz(path, int(first), text.splitlines())
    if "_atom_site" in text:
        return _read_cif(path, text)
    raise InputError(f"{path}: it begins with {first[:40]!r}; expected an XYZ file or a CIF with atom sites")


def _read_xyz(path: Path, count: int, lines: list[str]) -> StructureFile:
    body = lines[2 : 2 + count]
    if len(body) < count or any(line.strip() for line in lines[2 + count :]):
        found = sum(bool(line.strip()) for line in lines[2:])
        raise InputError(
            f"{path}: found {found} lines after the comment; expected {count} atoms as in line 1"
        )
    if count == 0:
        raise InputError(f"{path}: found no atoms; expected one or more (for an empty site write `vacancy`)")
    elements, labels, rows = [], [], []
    for number, line in enumerate(body, start=3):
        symbol, *fields = line.split() or [""]
        try:
            row = [float(field) for field in fields[:3]]
        except ValueError:
            row = []
        if len(row) != 3 or not np.isfinite(row).all():
            raise InputError(
                f"{path}: line {number} is {line.strip()!r}; expected an element and three numbers"
            )
        element = _element(path, symbol)
        elements.append(element)
        plain = symbol.isdigit() or symbol.capitalize() == element
        labels.append(f"{element}{elements.count(element)}" if plain else symbol)
        rows.append(row)
    return StructureFile(
        path.name, LabelledMolecule(tuple(elements), np.array(rows), tuple(labels)), (ORDERED,) * count
    )


def _read_cif(path: Path, text: str) -> StructureFile:
    try:
        blocks = list(gemmi.cif.read_string(text))
    except (ValueError, RuntimeError) as error:
        raise InputError(f"{path}: cannot be read as CIF ({str(error).splitlines()[0]})") from error
    for block in blocks:
        read = _macromolecular_atoms if block.find_values("_atom_site.Cartn_x") else _small_molecule_atoms
        atoms = list(read(path, block))
        if atoms:
            labels, elements, positions, groups = zip(*atoms, strict=True)
            molecule = LabelledMolecule(elements, np.array(positions), labels)
            return StructureFile(path.name, molecule, groups, _cell(path, block))
    raise InputError(
        f"{path}: found no atoms with positive occupancy; expected _atom_site_label and _atom_site_fract_x"
    )


def _small_molecule_atoms(path: Path, block: gemmi.cif.Block) -> Iterator[_Atom]:
    """Yield the atoms of a core CIF, except dummy atoms and those with zero occupancy."""
    table = block.find("_atom_site_", _ATOM_TAGS)
    direct = _cell(path, block).direct if len(table) else np.eye(3)
    for row in table:
        label = row.str(0)
        symbol, occupancy, group, flag = (
            row.str(number) if row.has(number) else "" for number in (1, 5, 6, 7)
        )
        if flag == "dum" or (occupancy not in ("", ".", "?") and not gemmi.cif.as_number(occupancy) > 0):
            continue
        fractional = np.array([gemmi.cif.as_number(row[number]) for number in (2, 3, 4)])
        if not np.isfinite(fractional).all():
            raise InputError(
                f"{path}: atom {label} has incomplete coordinates; expected three finite fractional coordinates"
            )
        element = _element(path, symbol if symbol not in ("", ".", "?") else label)
        yield label, element, fractional @ direct, group if group not in ("", "?") else ORDERED


def _macromolecular_atoms(path: Path, block: gemmi.cif.Block) -> Iterator[_Atom]:
    """Yield the atoms of the first model of an mmCIF; alternative locations are disorder groups."""
    for model in list(gemmi.make_structure_from_block(block))[:1]:
        for site in model.all():
            if site.atom.occ > 0:
                group = site.atom.altloc if site.atom.altloc != "\0" else ORDERED
                position = np.array(site.atom.pos.tolist())
                yield site.atom.name, _element(path, site.atom.element.name), position, group


def _cell(path: Path, block: gemmi.cif.Block) -> Cell:
    mark = "." if block.find_value("_cell.length_a") else "_"
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    values = [gemmi.cif.as_number(block.find_value(f"_cell{mark}{name}") or "?") for name in names]
    if not np.isfinite(values).all():
        raise InputError(f"{path}: found no complete unit cell; expected _cell_length_a to _cell_angle_gamma")
    try:
        return Cell(*values)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _element(path: Path, symbol: str) -> str:
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
