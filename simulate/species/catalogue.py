"""The species of the simulator: what may sit on the disordered site, and which two may share it (SPEC 3)."""

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
    """One molecule, ion, atom or vacancy, with the cell it would have alone.

    A molecule is centred on its centroid, shape (n, 3) [Angstrom], read-only; n = 0 is a vacancy. Built-in
    species have their longest extent along z and their shortest along y = b (rotated copies
    and perovskite units keep their own frame).
    Atoms are neutral in the physics (IT92 factors): an ion's charge is ignored. Edges are a, b, c [Angstrom];
    a hexagonal lattice has beta = 120 degrees and a = c.

    Raises:
        InputError: unknown group, split or element, or positions and edges of the wrong shape or not finite.
    """

    name: str
    group: str
    split: str
    elements: tuple[str, ...]
    positions_angstrom: npt.NDArray[np.float64]
    cell_edges_angstrom: tuple[float, float, float]
    lattice: Lattice

    def __post_init__(self) -> None:
        """Refuse what the simulator cannot use; keep a read-only copy of the positions."""
        if LATTICES.get(self.group) != self.lattice:
            raise InputError(
                f"species {self.name}: group {self.group!r} on a {self.lattice!r} lattice is not known"
            )
        if self.split not in SPLITS:
            raise InputError(f"species {self.name}: split {self.split!r}, expected train or validation")
        if not all(map(is_element, self.elements)):
            raise InputError(
                f"species {self.name}: elements {self.elements}, expected chemical symbols up to Cf"
            )
        positions = np.array(self.positions_angstrom, dtype=np.float64)
        if positions.shape != (len(self.elements), 3) or not np.isfinite(positions).all():
            raise InputError(f"species {self.name}: expected three finite coordinates for each element")
        edges = self.cell_edges_angstrom
        if len(edges) != 3 or not all(np.isfinite(edge) and edge > 0 for edge in edges):
            raise InputError(
                f"species {self.name}: cell edges {edges}, expected three positive numbers [Angstrom]"
            )
        if self.lattice == "hexagonal" and edges[0] != edges[2]:
            raise InputError(
                f"species {self.name}: a = {edges[0]} and c = {edges[2]}, expected a = c (hexagonal)"
            )
        positions.setflags(write=False)
        object.__setattr__(self, "positions_angstrom", positions)


def cell_from_size(
    elements: tuple[str, ...], positions_angstrom: npt.NDArray[np.float64], lattice: Lattice = "orthogonal"
) -> tuple[float, float, float]:
    """Cell edges a, b, c [Angstrom] from the box around the atoms' van der Waals spheres.

    `positions_angstrom` has shape (n, 3). No edge is shorter than 3.5 Angstrom. On a hexagonal lattice a
    and c are both the longer of the two extents perpendicular to b, so that neighbours do not overlap.
    """
    box = np.zeros(3)
    if elements:
        radii = np.array([gemmi.Element(symbol).vdw_r for symbol in elements])[:, None]
        box = np.max(positions_angstrom + radii, axis=0) - np.min(positions_angstrom - radii, axis=0)
    a, b, c = (round(float(max(edge, SHORTEST_EDGE_ANGSTROM)), 3) for edge in box)
    return (max(a, c), b, max(a, c)) if lattice == "hexagonal" else (a, b, c)


def load_catalogue(extra_folder: Path | None = None) -> tuple[Species, ...]:
    """The species library, sorted by name, with the user's own species where a folder of them is given.

    Each .xyz or .cif file of `extra_folder` is one species of group `user`, split `train`, named after its
    file, centred, its orientation kept, its cell from its size.

    Raises:
        InputError: the folder is missing or holds no such file, a file is not understood, or a name is
            taken twice.
    """
    species = _library() if extra_folder is None else (*_library(), *_user_species(extra_folder))
    names = [one.name for one in species]
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise InputError(
            f"species names used more than once: {', '.join(twice)}; rename the files in {extra_folder}"
        )
    return tuple(sorted(species, key=lambda one: one.name))


def pairs(catalogue: tuple[Species, ...], split: str) -> tuple[tuple[Species, Species], ...]:
    """Every unordered pair (A, B) of two species inside one group and one split, in the catalogue's order.

    Raises:
        InputError: the split is neither train nor validation.
    """
    if split not in SPLITS:
        raise InputError(f"split {split!r}: expected train or validation")
    members = [one for one in catalogue if one.split == split]
    return tuple((a, b) for a, b in combinations(members, 2) if a.group == b.group)


@cache
def _library() -> tuple[Species, ...]:
    """The species listed in catalogue.yaml; immutable, so read once."""
    entries = yaml.safe_load((FOLDER / "catalogue.yaml").read_text(encoding="utf-8"))
    return tuple(_library_species(entry) for entry in entries)


def _library_species(entry: dict[str, str | list[float]]) -> Species:
    """One entry of catalogue.yaml with its geometry."""
    name, group = str(entry["name"]), str(entry["group"])
    elements, positions = read_xyz(FOLDER / "geometries" / group / f"{name}.xyz")
    a, b, c = map(float, entry["cell_edges_angstrom"])
    return Species(name, group, str(entry["split"]), elements, positions, (a, b, c), LATTICES[group])


def _user_species(folder: Path) -> list[Species]:
    """One species for each XYZ or CIF file of a folder, in the order of their names."""
    if not folder.is_dir():
        raise InputError(f"species folder {folder}: no such folder")
    readers = {".xyz": read_xyz, ".cif": read_cif}
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in readers)
    if not paths:
        raise InputError(f"species folder {folder}: no .xyz or .cif file found, expected at least one")
    species = []
    for path in paths:
        elements, positions = readers[path.suffix.lower()](path)
        if elements:
            positions = positions - positions.mean(axis=0)
        edges = cell_from_size(elements, positions)
        species.append(Species(path.stem, "user", "train", elements, positions, edges, LATTICES["user"]))
    return species
