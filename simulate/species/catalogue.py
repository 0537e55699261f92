"""The species that can occupy the disordered site, and the pairs of species that may share it."""

from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Literal

import gemmi
import numpy as np
import numpy.typing as npt
import yaml  # type: ignore[import-untyped, unused-ignore]

from dsfunet.errors import InputError
from simulate.species.files import is_element, read_cif, read_xyz

Lattice = Literal["orthogonal", "hexagonal"]

FOLDER = Path(__file__).parent
LATTICES: dict[str, Lattice] = {
    "spherical": "orthogonal",
    "chains": "orthogonal",
    "rings": "orthogonal",
    "aromatic": "hexagonal",
    "perovskite": "orthogonal",
    "user": "orthogonal",
}
SPLITS = ("train", "validation")
SHORTEST_EDGE_ANGSTROM = 3.5


@dataclass(frozen=True, eq=False)  # an array has no single truth value: species compare by identity
class Species:
    """A molecule, ion, atom or vacancy, with the cell of its pure crystal.

    Positions, shape (n, 3) [Angstrom], are centred on the centroid and read-only; a vacancy has n = 0. Built-in species
    have their longest extent along z and their shortest along y = b; rotated copies and perovskite units keep their
    own orientation. Scattering factors are those of neutral atoms (IT92), also for ions. Edges are a, b, c [Angstrom];
    a hexagonal lattice has beta = 120 degrees and a = c.

    Raises:
        InputError: unknown group, split or element, or positions or edges of the wrong shape or not finite.
    """

    name: str
    group: str
    split: str
    elements: tuple[str, ...]
    positions_angstrom: npt.NDArray[np.float64]
    cell_edges_angstrom: tuple[float, float, float]
    lattice: Lattice

    def __post_init__(self) -> None:
        """Check every field, and keep a read-only copy of the positions."""
        if LATTICES.get(self.group) != self.lattice:
            raise InputError(
                f"species {self.name}: the group is {self.group!r} on a {self.lattice!r} lattice; expected one of"
                f" {', '.join(f'{group} ({lattice})' for group, lattice in LATTICES.items())}"
            )
        if self.split not in SPLITS:
            raise InputError(
                f"species {self.name}: the split is {self.split!r}; expected train or validation"
            )
        if not all(map(is_element, self.elements)):
            raise InputError(
                f"species {self.name}: the elements are {self.elements}; expected chemical symbols up to Cf"
            )
        positions = np.array(self.positions_angstrom, dtype=np.float64)
        if positions.shape != (len(self.elements), 3) or not np.isfinite(positions).all():
            raise InputError(
                f"species {self.name}: the positions have shape {positions.shape} or are not finite;"
                f" expected three finite coordinates for each of {len(self.elements)} atoms"
            )
        edges = self.cell_edges_angstrom
        if len(edges) != 3 or not all(np.isfinite(edge) and edge > 0 for edge in edges):
            raise InputError(
                f"species {self.name}: the cell edges are {edges}; expected three positive numbers [Angstrom]"
            )
        if self.lattice == "hexagonal" and edges[0] != edges[2]:
            raise InputError(
                f"species {self.name}: a is {edges[0]} and c is {edges[2]}; expected a = c on a hexagonal lattice"
            )
        positions.setflags(write=False)
        object.__setattr__(self, "positions_angstrom", positions)


def cell_from_size(
    elements: tuple[str, ...], positions_angstrom: npt.NDArray[np.float64], lattice: Lattice = "orthogonal"
) -> tuple[float, float, float]:
    """Return cell edges a, b, c [Angstrom] from the box around the atoms' van der Waals spheres.

    `positions_angstrom` has shape (n, 3). Edges are at least 3.5 Angstrom. On a hexagonal lattice a and c both equal
    the longer extent perpendicular to b, so that neighbours do not overlap.
    """
    box = np.zeros(3)
    if elements:
        radii = np.array([gemmi.Element(symbol).vdw_r for symbol in elements])[:, None]
        box = np.max(positions_angstrom + radii, axis=0) - np.min(positions_angstrom - radii, axis=0)
    a, b, c = (round(float(max(edge, SHORTEST_EDGE_ANGSTROM)), 3) for edge in box)
    return (max(a, c), b, max(a, c)) if lattice == "hexagonal" else (a, b, c)


def load_catalogue(extra_folder: Path | None = None) -> tuple[Species, ...]:
    """Load the species library, sorted by name, and add the species of a user's folder if one is given.

    Each .xyz or .cif file in `extra_folder` becomes one species of the group `user` and the split `train`, with the
    name of the file. It is centred but not rotated; the cell follows from its size.

    Raises:
        InputError: the folder is missing or has no such file, a file is invalid, or a name is used twice.
    """
    species = _library() if extra_folder is None else (*_library(), *_user_species(extra_folder))
    names = [one.name for one in species]
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise InputError(
            f"{extra_folder}: species names are used more than once ({', '.join(twice)}); rename the files"
        )
    return tuple(sorted(species, key=lambda one: one.name))


def pairs(catalogue: tuple[Species, ...], split: str) -> tuple[tuple[Species, Species], ...]:
    """Return all unordered pairs (A, B) of species of the same group within a split, in the catalogue's order.

    Raises:
        InputError: the split is neither train nor validation.
    """
    if split not in SPLITS:
        raise InputError(f"split is {split!r}; expected train or validation")
    members = [one for one in catalogue if one.split == split]
    return tuple((a, b) for a, b in combinations(members, 2) if a.group == b.group)


@cache
def _library() -> tuple[Species, ...]:
    """Read the species listed in catalogue.yaml, once."""
    entries = yaml.safe_load((FOLDER / "catalogue.yaml").read_text(encoding="utf-8"))
    return tuple(_library_species(entry) for entry in entries)


def _library_species(entry: dict[str, str | list[float]]) -> Species:
    """Return the species of one entry of catalogue.yaml, with its geometry."""
    name, group = str(entry["name"]), str(entry["group"])
    elements, positions = read_xyz(FOLDER / "geometries" / group / f"{name}.xyz")
    a, b, c = map(float, entry["cell_edges_angstrom"])
    return Species(name, group, str(entry["split"]), elements, positions, (a, b, c), LATTICES[group])


def _user_species(folder: Path) -> list[Species]:
    """Read one species from each XYZ or CIF file of a folder, in the order of the file names."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected one with .xyz or .cif files of species")
    readers = {".xyz": read_xyz, ".cif": read_cif}
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in readers)
    if not paths:
        raise InputError(f"{folder}: the folder has no .xyz or .cif file; expected at least one")
    species = []
    for path in paths:
        elements, positions = readers[path.suffix.lower()](path)
        if elements:
            positions = positions - positions.mean(axis=0)
        edges = cell_from_size(elements, positions)
        species.append(Species(path.stem, "user", "train", elements, positions, edges, LATTICES["user"]))
    return species
