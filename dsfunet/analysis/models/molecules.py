"""Molecules with labelled atoms, and their rotations: of the whole molecule, or of one side of a bond."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import gemmi
import numpy as np
from scipy.spatial.transform import Rotation

from dsfunet._typing import Array, Mask
from dsfunet.errors import InputError
from dsfunet.physics import Molecule
from dsfunet.physics.scattering import parse_species

BOND_TOLERANCE_ANGSTROM = 0.4
"""Two atoms are bonded if their distance is below the sum of their covalent radii plus this (rule of the CSD)."""


@dataclass(frozen=True, eq=False)
class LabelledMolecule(Molecule):
    """A molecule whose n atoms have labels, as in the file they came from; without atoms it is a vacancy.

    The Cartesian axes are those of the crystal: a along x, b in the xy plane (`Cell.direct`).

    Attributes:
        labels: one for each atom.

    Raises:
        InputError: the numbers of labels and atoms differ, or `Molecule` cannot be made of them.
    """

    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.labels) != len(self.elements):
            raise InputError(f"molecule: found {len(self.labels)} labels; expected {len(self.elements)}")

    def at(self, positions_angstrom: Array) -> "LabelledMolecule":
        """Return the same atoms at other positions [Angstrom], shape (n, 3)."""
        return replace(self, positions_angstrom=positions_angstrom)

    @property
    def b_factors_angstrom2(self) -> Array:
        """B = 8 pi^2 U of each atom, from a third of the trace of U [Angstrom^2], shape (n,)."""
        if self.displacements_angstrom2 is None:
            return np.zeros(len(self.elements))
        return np.asarray(8 * np.pi**2 / 3 * np.trace(self.displacements_angstrom2, axis1=1, axis2=2))

    def with_b_factors(self, b_factors: Mapping[str, float]) -> "LabelledMolecule":
        """Return the molecule with isotropic B [Angstrom^2] for the elements or ions that are named."""
        displacements = np.zeros((len(self.elements), 3, 3))
        if self.displacements_angstrom2 is not None:
            displacements = self.displacements_angstrom2.copy()
        for number, name in enumerate(self.elements):
            b = b_factors.get(name, b_factors.get(parse_species(name)[0]))
            if b is not None:
                displacements[number] = b / (8 * np.pi**2) * np.eye(3)
        return replace(self, displacements_angstrom2=displacements) if displacements.any() else self

    @property
    def formula(self) -> str:
        """Elements and their counts, carbon and hydrogen first, then alphabetically (Hill), such as "C11 N O"."""
        order = sorted({*self.elements}, key=lambda element: (element not in ("C", "H"), element))
        counts = ((element, self.elements.count(element)) for element in order)
        return " ".join(f"{element}{count if count > 1 else ''}" for element, count in counts) or "vacancy"

    @property
    def centroid(self) -> Array:
        """The unweighted mean of all atoms, including hydrogen [Angstrom], shape (3,); the origin for a vacancy."""
        return self.positions_angstrom.mean(axis=0) if self.elements else np.zeros(3)

    def turned(
        self, axis: Array, angle_deg: float, point: Array, atoms: Mask | None = None
    ) -> "LabelledMolecule":
        """Return the molecule rotated about an axis through a point, x' = p + R (x - p), right-handed.

        Args:
            axis: Cartesian, shape (3,), of any length above zero.
            angle_deg: [degrees].
            point: p [Angstrom], shape (3,).
            atoms: True for atoms that move, shape (n,); by default all.
        """
        unit = np.asarray(axis, dtype=np.float64) / np.linalg.norm(axis)
        # Modulo 360, so that a full turn is exactly the identity.
        rotation = Rotation.from_rotvec(np.radians(angle_deg % 360.0) * unit).as_matrix()
        moved = point + (self.positions_angstrom - point) @ rotation.T
        displacements = self.displacements_angstrom2
        if displacements is not None:
            rotated = rotation @ displacements @ rotation.T
            displacements = (
                rotated if atoms is None else np.where(atoms[:, None, None], rotated, displacements)
            )
        positions = moved if atoms is None else np.where(atoms[:, None], moved, self.positions_angstrom)
        return replace(self, positions_angstrom=positions, displacements_angstrom2=displacements)

    def index(self, label: str) -> int:
        """Return the number of the atom with a label.

        Raises:
            InputError: no atom or several atoms have the label.
        """
        found = [number for number, name in enumerate(self.labels) if name == label]
        if len(found) == 1:
            return found[0]
        if found:
            raise InputError(f"label {label!r}: found {len(found)} atoms; expected one")
        shown = ", ".join(self.labels[:12]) + (", ..." if len(self.labels) > 12 else "")
        raise InputError(f"label {label!r}: no atom has it; the atoms are {shown or 'none'}")

    def bonds(self) -> Mask:
        """Return which atoms are bonded, shape (n, n), by distances and covalent radii (`BOND_TOLERANCE_ANGSTROM`)."""
        radii = np.array([gemmi.Element(parse_species(element)[0]).covalent_r for element in self.elements])
        apart = np.linalg.norm(self.positions_angstrom[:, None] - self.positions_angstrom, axis=2)
        bonded: Mask = apart < radii[:, None] + radii + BOND_TOLERANCE_ANGSTROM
        np.fill_diagonal(bonded, False)
        return bonded

    def fragment_beyond(self, near: int, far: int) -> Mask:
        """Return which atoms, shape (n,), stay connected to atom `far` when its bond to atom `near` is cut.

        Raises:
            InputError: the two atoms are not bonded, or the bond is in a ring.
        """
        bonded = self.bonds()
        name = f"{self.labels[near]}-{self.labels[far]}"
        if not bonded[near, far]:
            apart = float(np.linalg.norm(self.positions_angstrom[near] - self.positions_angstrom[far]))
            raise InputError(f"bond {name}: the atoms are {apart:.2f} Angstrom apart; expected bonded atoms")
        bonded[near, far] = bonded[far, near] = False
        fragment = np.zeros(len(self.labels), dtype=np.bool_)
        fragment[far] = True
        while (grown := fragment | bonded[fragment].any(axis=0)).sum() > fragment.sum():
            fragment = grown
        if fragment[near]:
            raise InputError(
                f"bond {name}: it is in a ring; expected a bond whose far side can rotate freely"
            )
        return fragment


VACANCY = LabelledMolecule((), np.zeros((0, 3)), ())
"""A molecule without atoms, F = 0."""


@dataclass(frozen=True)
class Torsion:
    """A torsion angle i-j-k-l; changing it moves the atoms beyond the bond j-k, on the side of k.

    Attributes:
        labels: of the atoms i, j, k and l.

    Raises:
        InputError: the labels are not four different ones.
    """

    labels: tuple[str, str, str, str]

    def __post_init__(self) -> None:
        if len(self.labels) != 4 or len({*self.labels}) != 4 or not all(self.labels):
            raise InputError(f"torsion {self}: expected four different atom labels, such as N1-C1-C2-C3")

    def __str__(self) -> str:
        return "-".join(self.labels)

    def is_in(self, molecule: LabelledMolecule) -> bool:
        """Return whether a molecule has atoms with all four labels."""
        return {*self.labels} <= {*molecule.labels}

    def angle_deg(self, molecule: LabelledMolecule) -> float:
        """Return the torsion angle [degrees], in (-180, 180]; positive means clockwise, seen from j to k (IUPAC).

        Raises:
            InputError: a label is unknown or not unique, or three of the atoms are collinear.
        """
        i, j, k, last = molecule.positions_angstrom[[molecule.index(label) for label in self.labels]]
        axis = (k - j) / (np.linalg.norm(k - j) or 1.0)
        before, after = (vector - (vector @ axis) * axis for vector in (i - j, last - k))
        if min(np.linalg.norm(before), np.linalg.norm(after)) < 1e-3:
            raise InputError(f"torsion {self}: three of its atoms are collinear; expected a bent chain")
        return float(np.degrees(np.arctan2(np.cross(before, after) @ axis, before @ after)))

    def turned(self, molecule: LabelledMolecule, angle_deg: float) -> LabelledMolecule:
        """Return the molecule with its torsion angle increased by `angle_deg` [degrees].

        Raises:
            InputError: the torsion angle is not defined (see `Torsion.angle_deg`), j and k are not bonded, their bond
                is in a ring, or i and l are not on the sides of j and k.
        """
        self.angle_deg(molecule)
        i, j, k, last = (molecule.index(label) for label in self.labels)
        fragment = molecule.fragment_beyond(j, k)
        if fragment[i] or not fragment[last]:
            wrong, side = (
                (self.labels[0], self.labels[1]) if fragment[i] else (self.labels[3], self.labels[2])
            )
            raise InputError(
                f"torsion {self}: atom {wrong} is on the wrong side of the bond; expected it on the side of {side}"
            )
        start, end = molecule.positions_angstrom[[j, k]]
        return molecule.turned(end - start, angle_deg, start, fragment)


def parse_torsions(texts: list[str]) -> tuple[Torsion, ...]:
    """Parse torsions such as "N1-C1-C2-C3"; a text may hold several with commas between them.

    Raises:
        InputError: a torsion is not four different labels.
    """

    def each() -> Iterator[Torsion]:
        for name in ",".join(texts).split(","):
            labels = [label.strip() for label in name.split("-")]
            if len(labels) != 4:
                raise InputError(f"torsion {name.strip()!r}: expected four atom labels, such as N1-C1-C2-C3")
            yield Torsion((labels[0], labels[1], labels[2], labels[3]))

    return tuple(each())
