"""Molecules whose atoms have names, and the two ways of turning them: as a whole, or about one bond."""

from collections.abc import Iterator
from dataclasses import dataclass

import gemmi
import numpy as np
from scipy.spatial.transform import Rotation

from dsfunet._typing import Array, Mask
from dsfunet.errors import InputError
from dsfunet.physics import Molecule

BOND_TOLERANCE_ANGSTROM = 0.4
"""Two atoms are bonded when they are nearer than the sum of their covalent radii and this (the CSD's rule)."""


@dataclass(frozen=True, eq=False)
class LabelledMolecule(Molecule):
    """A molecule whose n atoms have the labels of the file they came from; no atoms at all is a vacancy.

    Cartesian axes are those of the crystal: a along x, b in the xy plane (`Cell.direct`).

    Raises:
        InputError: as `Molecule`, or the labels are not as many as the atoms.
    """

    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.labels) != len(self.elements):
            raise InputError(f"molecule: {len(self.labels)} labels, expected {len(self.elements)}")

    def at(self, positions_angstrom: Array) -> "LabelledMolecule":
        """The same atoms elsewhere; positions [Angstrom] of shape (n, 3)."""
        return LabelledMolecule(self.elements, positions_angstrom, self.labels)

    @property
    def formula(self) -> str:
        """Elements and their counts, carbon and hydrogen first and then by the alphabet (Hill): C11 N O."""
        order = sorted({*self.elements}, key=lambda element: (element not in ("C", "H"), element))
        counts = ((element, self.elements.count(element)) for element in order)
        return " ".join(f"{element}{count if count > 1 else ''}" for element, count in counts) or "vacancy"

    @property
    def centroid(self) -> Array:
        """The unweighted mean of all atoms, hydrogen included [Angstrom], shape (3,); the origin for a vacancy."""
        return self.positions_angstrom.mean(axis=0) if self.elements else np.zeros(3)

    def turned(
        self, axis: Array, angle_deg: float, point: Array, atoms: Mask | None = None
    ) -> "LabelledMolecule":
        """Turned about an axis through a point, x' = p + R (x - p); right-handed, `angle_deg` [degrees].

        `axis` (3,) is Cartesian and of any length but zero, `point` (3,) [Angstrom]; `atoms` (n,) chooses those
        that move, by default all.
        """
        unit = np.asarray(axis, dtype=np.float64) / np.linalg.norm(axis)
        # Modulo 360, so that a full turn is no turn at all.
        rotation = Rotation.from_rotvec(np.radians(angle_deg % 360.0) * unit).as_matrix()
        moved = point + (self.positions_angstrom - point) @ rotation.T
        positions = moved if atoms is None else np.where(atoms[:, None], moved, self.positions_angstrom)
        return self.at(positions)

    def index(self, label: str) -> int:
        """Number of the atom of that label.

        Raises:
            InputError: no atom has it, or several have.
        """
        found = [number for number, name in enumerate(self.labels) if name == label]
        if len(found) == 1:
            return found[0]
        if found:
            raise InputError(f"label {label!r} belongs to {len(found)} atoms, expected one")
        shown = ", ".join(self.labels[:12]) + (", ..." if len(self.labels) > 12 else "")
        raise InputError(f"no atom is labelled {label!r}, expected one of {shown or 'no atoms at all'}")

    def bonds(self) -> Mask:
        """Which atoms are bonded, shape (n, n), from distances and covalent radii (`BOND_TOLERANCE_ANGSTROM`)."""
        radii = np.array([gemmi.Element(element).covalent_r for element in self.elements])
        apart = np.linalg.norm(self.positions_angstrom[:, None] - self.positions_angstrom, axis=2)
        bonded: Mask = apart < radii[:, None] + radii + BOND_TOLERANCE_ANGSTROM
        np.fill_diagonal(bonded, False)
        return bonded

    def fragment_beyond(self, near: int, far: int) -> Mask:
        """The atoms, shape (n,), that hang together with atom `far` when its bond to atom `near` is cut.

        Raises:
            InputError: the two are not bonded, or the bond is in a ring.
        """
        bonded = self.bonds()
        name = f"{self.labels[near]}-{self.labels[far]}"
        if not bonded[near, far]:
            apart = float(np.linalg.norm(self.positions_angstrom[near] - self.positions_angstrom[far]))
            raise InputError(f"bond {name}: found atoms {apart:.2f} Angstrom apart, expected bonded ones")
        bonded[near, far] = bonded[far, near] = False
        fragment = np.zeros(len(self.labels), dtype=np.bool_)
        fragment[far] = True
        while (grown := fragment | bonded[fragment].any(axis=0)).sum() > fragment.sum():
            fragment = grown
        if fragment[near]:
            raise InputError(f"bond {name}: found in a ring, expected one whose far side can turn freely")
        return fragment


VACANCY = LabelledMolecule((), np.zeros((0, 3)), ())
"""No atoms at all: F = 0."""


@dataclass(frozen=True)
class Torsion:
    """A torsion angle i-j-k-l by the labels of its atoms; turning it moves all that lies beyond j-k, on k's side.

    Raises:
        InputError: not four different labels.
    """

    labels: tuple[str, str, str, str]

    def __post_init__(self) -> None:
        if len(self.labels) != 4 or len({*self.labels}) != 4 or not all(self.labels):
            raise InputError(
                f"torsion {str(self)!r}: expected four different atom labels, such as N1-C1-C2-C3"
            )

    def __str__(self) -> str:
        return "-".join(self.labels)

    def is_in(self, molecule: LabelledMolecule) -> bool:
        """Whether a molecule has atoms of all four labels."""
        return {*self.labels} <= {*molecule.labels}

    def angle_deg(self, molecule: LabelledMolecule) -> float:
        """The torsion angle [degrees], in (-180, 180]; positive clockwise, seen from j to k (IUPAC).

        Raises:
            InputError: a label is unknown or not unique, or three of the atoms lie on one line.
        """
        i, j, k, last = molecule.positions_angstrom[[molecule.index(label) for label in self.labels]]
        axis = (k - j) / (np.linalg.norm(k - j) or 1.0)
        before, after = (vector - (vector @ axis) * axis for vector in (i - j, last - k))
        if min(np.linalg.norm(before), np.linalg.norm(after)) < 1e-3:
            raise InputError(f"torsion {self}: three of its atoms lie on one line, expected a bent chain")
        return float(np.degrees(np.arctan2(np.cross(before, after) @ axis, before @ after)))

    def turned(self, molecule: LabelledMolecule, angle_deg: float) -> LabelledMolecule:
        """The molecule with its torsion angle larger by `angle_deg` [degrees].

        Raises:
            InputError: as `angle_deg`, the bond j-k is none or in a ring, or i and l are not on their sides of it.
        """
        self.angle_deg(molecule)
        i, j, k, last = (molecule.index(label) for label in self.labels)
        fragment = molecule.fragment_beyond(j, k)
        if fragment[i] or not fragment[last]:
            wrong, side = (
                (self.labels[0], self.labels[1]) if fragment[i] else (self.labels[3], self.labels[2])
            )
            raise InputError(
                f"torsion {self}: atom {wrong} is not on {side}'s side of the bond, expected it there"
            )
        start, end = molecule.positions_angstrom[[j, k]]
        return molecule.turned(end - start, angle_deg, start, fragment)


def parse_torsions(texts: list[str]) -> tuple[Torsion, ...]:
    """Torsions as users name them: N1-C1-C2-C3, several with commas between them or in several texts.

    Raises:
        InputError: anything else.
    """

    def each() -> Iterator[Torsion]:
        for name in ",".join(texts).split(","):
            labels = [label.strip() for label in name.split("-")]
            if len(labels) != 4:
                raise InputError(f"torsion {name.strip()!r}: expected four atom labels, such as N1-C1-C2-C3")
            yield Torsion((labels[0], labels[1], labels[2], labels[3]))

    return tuple(each())
