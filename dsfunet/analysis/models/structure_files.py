"""Structures from XYZ and CIF files, recognised by content: labelled atoms in the Cartesian axes of the crystal.

Of a CIF, displacements (isotropic and anisotropic) and occupancies are used too. The occupancy of an atom of a disorder
group counts relative to the largest one of that group, which is the share of its species.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import gemmi
import numpy as np

from dsfunet._typing import Array
from dsfunet.analysis.models.molecules import LabelledMolecule
from dsfunet.analysis.models.type_symbols import find_ion, read_element
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
    "?U_iso_or_equiv",
    "?B_iso_or_equiv",
]
_ANISOTROPIC_TAGS = ["label", *(f"U_{name}" for name in ("11", "22", "33", "23", "13", "12"))]
_MISSING = ("", ".", "?")


class _Atom(NamedTuple):
    """One atom of a file.

    Attributes:
        label: in the file.
        species: element or ion.
        position: Cartesian [Angstrom], shape (3,).
        group: disorder group.
        occupancy: above 0.
        displacement: U, Cartesian [Angstrom^2], shape (3, 3).
    """

    label: str
    species: str
    position: Array
    group: str
    occupancy: float
    displacement: Array


@dataclass(frozen=True, eq=False)
class StructureFile:
    """The content of a structure file.

    Attributes:
        name: of the file, without its folder.
        atoms: all atoms of the file.
        groups: disorder group of each atom, "." for ordered atoms.
        cell: of the file, if it has one.
        notes: sentences about what the file states and how it was taken.
    """

    name: str
    atoms: LabelledMolecule
    groups: tuple[str, ...]
    cell: Cell | None = None
    notes: tuple[str, ...] = ()

    @property
    def disorder_groups(self) -> tuple[str, ...]:
        """The disorder groups of the file, sorted, without that of the ordered atoms."""
        return tuple(sorted({*self.groups} - {ORDERED}))

    def molecule(self, group: str | None = None) -> LabelledMolecule:
        """Return the ordered atoms and those of one disorder group, as often as they are there in that species.

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
        displacements, weights = self.atoms.displacements_angstrom2, self.atoms.weights
        return LabelledMolecule(
            tuple(self.atoms.elements[number] for number in chosen),
            self.atoms.positions_angstrom[chosen],
            tuple(self.atoms.labels[number] for number in chosen),
            displacements_angstrom2=None if displacements is None else displacements[chosen],
            weights=None if weights is None else weights[chosen],
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
    bare, elements, labels, rows = [], [], [], []
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
        element, ion = read_element(path, symbol), None
        bare.append(element)
        if not symbol.isdigit():
            ion = find_ion(element, symbol)
        elements.append(ion or element)
        plain = symbol.isdigit() or ion is not None or symbol.capitalize() == element
        labels.append(f"{element}{bare.count(element)}" if plain else symbol)
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
            groups = tuple(atom.group for atom in atoms)
            displacements = np.stack([atom.displacement for atom in atoms])
            weights = _weights(atoms)
            molecule = LabelledMolecule(
                tuple(atom.species for atom in atoms),
                np.array([atom.position for atom in atoms]),
                tuple(atom.label for atom in atoms),
                displacements_angstrom2=displacements if displacements.any() else None,
                weights=None if (weights == 1).all() else weights,
            )
            return StructureFile(path.name, molecule, groups, _cell(path, block), _notes(path.name, molecule))
    raise InputError(
        f"{path}: found no atoms with positive occupancy; expected _atom_site_label and _atom_site_fract_x"
    )


def _small_molecule_atoms(path: Path, block: gemmi.cif.Block) -> Iterator[_Atom]:
    """Yield the atoms of a core CIF, except dummy atoms and those with zero occupancy."""
    table = block.find("_atom_site_", _ATOM_TAGS)
    direct = _cell(path, block).direct if len(table) else np.eye(3)
    anisotropic = _anisotropic_displacements(path, block)
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
        name = symbol if symbol not in _MISSING else label
        element = read_element(path, name)
        u, b = (
            gemmi.cif.as_number(row[number]) if row.has(number) and row.str(number) not in _MISSING else 0.0
            for number in (8, 9)
        )
        isotropic = u or b / (8 * np.pi**2)
        if not 0 <= isotropic < np.inf:
            raise InputError(
                f"{path}: atom {label} has the displacement {isotropic:g}; expected U of 0 or more [Angstrom^2]"
            )
        yield _Atom(
            label,
            (symbol not in _MISSING and find_ion(element, symbol)) or element,
            fractional @ direct,
            group if group not in ("", "?") else ORDERED,
            gemmi.cif.as_number(occupancy) if occupancy not in _MISSING else 1.0,
            anisotropic.get(label, isotropic * np.eye(3)),
        )


def _anisotropic_displacements(path: Path, block: gemmi.cif.Block) -> dict[str, Array]:
    """Return U of the atoms in the loop of anisotropic displacements, Cartesian [Angstrom^2], by label."""
    found = {}
    for prefix, factor in (("U", 1.0), ("B", 1 / (8 * np.pi**2))):
        tags = [tag.replace("U_", f"{prefix}_") for tag in _ANISOTROPIC_TAGS]
        table = block.find("_atom_site_aniso_", tags)
        if not len(table):
            continue
        cell = _cell(path, block)
        # U is given for axes of the lengths of a*, b*, c*: u_cartesian = M U M' with M = (a |a*|, b |b*|, c |c*|).
        frame = cell.direct.T * (np.linalg.norm(cell.reciprocal, axis=1) / (2 * np.pi))
        for row in table:
            u11, u22, u33, u23, u13, u12 = (factor * gemmi.cif.as_number(row[n]) for n in range(1, 7))
            matrix = np.array([[u11, u12, u13], [u12, u22, u23], [u13, u23, u33]])
            if not np.isfinite(matrix).all():
                raise InputError(
                    f"{path}: atom {row.str(0)} has incomplete anisotropic displacements; expected six numbers"
                )
            found[row.str(0)] = frame @ matrix @ frame.T
    return found


def _weights(atoms: Sequence[_Atom]) -> Array:
    """Return how much of each atom is there in its species, shape (n,): its occupancy over the largest of its group."""
    largest: dict[str, float] = {}
    for atom in atoms:
        largest[atom.group] = max(largest.get(atom.group, 0.0), atom.occupancy)
    return np.array([atom.occupancy / largest[atom.group] for atom in atoms])


def _notes(name: str, molecule: LabelledMolecule) -> tuple[str, ...]:
    notes = []
    if molecule.displacements_angstrom2 is not None:
        low, high = molecule.b_factors_angstrom2.min(), molecule.b_factors_angstrom2.max()
        notes.append(
            f"{name}: its displacements are used, B {low:.2g} to {high:.2g} Å²; B of the fit is added to them"
        )
    if molecule.weights is not None:
        notes.append(f"{name}: atoms with a lower occupancy than others of their group count less")
    return tuple(notes)


def _macromolecular_atoms(path: Path, block: gemmi.cif.Block) -> Iterator[_Atom]:
    """Yield the atoms of the first model of an mmCIF; alternative locations are disorder groups."""
    for model in list(gemmi.make_structure_from_block(block))[:1]:
        for site in model.all():
            if site.atom.occ > 0:
                group = site.atom.altloc if site.atom.altloc != "\0" else ORDERED
                isotropic = site.atom.b_iso / (8 * np.pi**2) * np.eye(3)
                yield _Atom(
                    site.atom.name,
                    read_element(path, site.atom.element.name),
                    np.array(site.atom.pos.tolist()),
                    group,
                    float(site.atom.occ),
                    np.array(site.atom.aniso.as_mat33().tolist()) if site.atom.aniso.nonzero() else isotropic,
                )


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
