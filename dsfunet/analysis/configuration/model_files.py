"""Configurations as files: extended XYZ, CIF and DISCUS structures, with an atom or a molecule on each site."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array, Integers
from dsfunet.analysis.configuration.order import Configuration
from dsfunet.errors import InputError
from dsfunet.files import replacing
from dsfunet.physics import Molecule
from dsfunet.physics.centring import centring_translations

SUFFIXES = (".xyz", ".extxyz", ".cif", ".stru", ".cell")
"""Suffixes of the model files that can be written."""

_VOID = "VOID"
"""What DISCUS calls a site without an atom."""

_BLOCK = 100_000


@dataclass(frozen=True, eq=False)
class ModelAtoms:
    """The atoms of a configuration, in the order of the sites.

    Attributes:
        symbols: names of the kinds of atoms.
        kinds: number of the symbol of each atom, shape (atoms,).
        positions: in units of the edges of the conventional cell, from 0 to the numbers of cells, shape (atoms, 3).
            Molecules are whole, so atoms at the faces may lie outside.
        sites: number of the site of each atom, shape (atoms,).
        holds_a: whether that site holds A, shape (atoms,).
    """

    symbols: tuple[str, ...]
    kinds: Integers
    positions: Array
    sites: Integers
    holds_a: npt.NDArray[np.bool_]


def place_atoms(
    configuration: Configuration, species: tuple[Molecule, Molecule], name_vacancies: str | None = None
) -> ModelAtoms:
    """Put the atoms of the species on the sites of a configuration.

    Args:
        configuration: which species is on which site.
        species: A and B, in the Cartesian axes of the crystal, with the site at the origin.
        name_vacancies: name of an atom to put where a species has none; None for nothing.
    """
    cell = configuration.supercell.cell
    kinds: list[list[str]] = []
    offsets: list[Array] = []
    for each in species:
        empty = not each.elements and name_vacancies is not None
        kinds.append([name_vacancies or ""] if empty else list(each.elements))
        offsets.append(np.zeros((1, 3)) if empty else each.positions_angstrom @ np.linalg.inv(cell.direct))
    symbols = tuple(dict.fromkeys(kinds[0] + kinds[1]))
    longest = max(map(len, kinds))
    kind_table, offset_table = np.zeros((2, longest), np.int64), np.zeros((2, longest, 3))
    for row, (names, shifts) in enumerate(zip(kinds, offsets, strict=True)):
        kind_table[row, : len(names)] = [symbols.index(name) for name in names]
        offset_table[row, : len(names)] = shifts
    row_of_site = np.where(configuration.occupation == 1, 0, 1)
    counts = np.array(list(map(len, kinds)))[row_of_site]
    sites = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(sites)) - np.repeat(np.cumsum(counts) - counts, counts)
    rows = row_of_site[sites]
    corners = configuration.supercell.positions[sites] / configuration.supercell.denominator
    return ModelAtoms(
        symbols, kind_table[rows, within], corners + offset_table[rows, within], sites, rows == 0
    )


def check_suffix(path: Path) -> None:
    """Check that a model file of this name can be written.

    Raises:
        InputError: its suffix is none of `SUFFIXES`.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(
            f"{path}: the suffix is {path.suffix or 'missing'}; expected .xyz or .extxyz (extended XYZ), .cif, or .stru"
            " or .cell (DISCUS)"
        )


def write_model(path: Path, configuration: Configuration, species: tuple[Molecule, Molecule]) -> int:
    """Write a configuration in the format that the suffix names, whole or not at all; return the number of atoms.

    Args:
        path: file to write, with one of `SUFFIXES`.
        configuration: which species is on which site.
        species: A and B, as for `place_atoms`.

    Raises:
        InputError: the suffix is unknown, or the file cannot be written.
    """
    check_suffix(path)
    suffix = path.suffix.lower()
    write: Callable[[Configuration, ModelAtoms], Iterator[str]] = {
        ".xyz": _extended_xyz,
        ".extxyz": _extended_xyz,
        ".cif": _cif,
        ".stru": _discus_structure,
        ".cell": _discus_cell,
    }[suffix]
    atoms = place_atoms(configuration, species, _VOID if suffix == ".stru" else None)
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        for block in write(configuration, atoms):
            stream.write(block)
    return int(np.count_nonzero(np.array(atoms.symbols)[atoms.kinds] != _VOID))


def _title(configuration: Configuration) -> str:
    n, m, l = configuration.supercell.cells  # noqa: E741
    return (
        f"dsfunet configuration, {n} x {m} x {l} cells, centring {configuration.supercell.cell.centring},"
        f" share of A {configuration.share_a:.6g}, seed {configuration.seed}"
    )


def _blocks(
    atoms: ModelAtoms, positions: Array, line: Callable[[int, str, list[float]], str]
) -> Iterator[str]:
    """Yield lines of atoms, many at a time; `line` gets the number of the atom, its symbol and its position."""
    for first in range(0, len(positions), _BLOCK):
        kinds = atoms.kinds[first : first + _BLOCK].tolist()
        rows = positions[first : first + _BLOCK].tolist()
        yield "".join(
            line(first + number, atoms.symbols[kind], row)
            for number, (kind, row) in enumerate(zip(kinds, rows, strict=True))
        )


def _extended_xyz(configuration: Configuration, atoms: ModelAtoms) -> Iterator[str]:
    direct = configuration.supercell.cell.direct
    edges = direct * np.array(configuration.supercell.cells)[:, None]
    lattice = " ".join(f"{value:.8g}" for value in edges.ravel())
    yield (
        f'{len(atoms.kinds)}\nLattice="{lattice}" Properties=species:S:1:pos:R:3:site:I:1:occupant:S:1 pbc="T T T"'
        f' comment="{_title(configuration)}"\n'
    )
    sites, holds_a = atoms.sites, atoms.holds_a

    def line(number: int, symbol: str, row: list[float]) -> str:
        x, y, z = row
        return f"{symbol} {x:.6f} {y:.6f} {z:.6f} {sites[number]} {'A' if holds_a[number] else 'B'}\n"

    yield from _blocks(atoms, atoms.positions @ direct, line)


def _cif(configuration: Configuration, atoms: ModelAtoms) -> Iterator[str]:
    cells = np.array(configuration.supercell.cells)
    parameters = configuration.supercell.cell.parameters
    yield f"# {_title(configuration)}\ndata_configuration\n"
    for name, value in zip("abc", np.array(parameters[:3]) * cells, strict=True):
        yield f"_cell_length_{name} {value:.8g}\n"
    for name, value in zip(("alpha", "beta", "gamma"), parameters[3:], strict=True):
        yield f"_cell_angle_{name} {value:.8g}\n"
    yield (
        "_space_group_name_H-M_alt 'P 1'\n_space_group_IT_number 1\n"
        "loop_\n_space_group_symop_operation_xyz\n'x, y, z'\n"
        "loop_\n_atom_site_label\n_atom_site_type_symbol\n"
        "_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n"
        "_atom_site_occupancy\n"
    )

    def line(number: int, symbol: str, row: list[float]) -> str:
        x, y, z = row
        return f"{symbol}{number + 1} {symbol} {x:.8f} {y:.8f} {z:.8f} 1\n"

    yield from _blocks(atoms, atoms.positions / cells, line)


def _discus_structure(configuration: Configuration, atoms: ModelAtoms) -> Iterator[str]:
    """Yield a structure for `read stru`: positions in units of the conventional cell, about the middle.

    With as many atoms on every site, `ncell` gives the numbers of cells and of atoms in each, by which DISCUS finds
    neighbouring cells; the atoms are in the order that it expects, a changing fastest.
    """
    cells = np.array(configuration.supercell.cells)
    per_site = np.bincount(atoms.sites, minlength=len(configuration.occupation))
    yield _discus_head(configuration, configuration.supercell.cell.parameters)
    if per_site.min() == per_site.max():
        in_cell = int(per_site[0]) * len(centring_translations(configuration.supercell.cell.centring))
        yield f"ncell  {', '.join(map(str, [*cells.tolist(), in_cell]))}\n"
    yield "atoms\n"
    yield from _blocks(atoms, atoms.positions - cells // 2, _discus_line)


def _discus_cell(configuration: Configuration, atoms: ModelAtoms) -> Iterator[str]:
    """Yield the supercell as one unit cell for `read cell, FILE, 1, 1, 1`."""
    cells = np.array(configuration.supercell.cells)
    parameters = np.array(configuration.supercell.cell.parameters)
    parameters[:3] *= cells
    yield _discus_head(configuration, tuple(parameters.tolist()))
    yield "atoms\n"
    yield from _blocks(atoms, atoms.positions / cells, _discus_line)


def _discus_head(configuration: Configuration, parameters: tuple[float, ...]) -> str:
    cell = ", ".join(f"{value:.6f}" for value in parameters)
    return f"title  {_title(configuration)}\nspcgr  P1\ncell   {cell}\n"


def _discus_line(number: int, symbol: str, row: list[float]) -> str:
    x, y, z = row
    # The last column is B; displacements from the sites are not part of the model.
    return f"{symbol.upper():<4} {x:14.8f}, {y:14.8f}, {z:14.8f}, {0.0:8.4f}\n"
