"""Tris-tert-butyl-1,3,5-benzene tricarboxamide from standard bond lengths and angles, and its columns, up and down.

The coordinates are of our own making, not those of a crystal structure: a molecule of symmetry C3 about z whose amide
groups are tilted out of the ring, all oxygens to one side, so that a column of them has a direction.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dsfunet.analysis.structures import LabelledMolecule

Array = npt.NDArray[np.float64]

STACKING_ANGSTROM = 6.934
"""Two molecules, turned by 60 degrees against one another (a 6_3 axis)."""

AMIDE_TILT_DEG = 40.0

_RING, _RING_H = 1.39, 1.08
_RING_CARBONYL, _CARBONYL_O, _CARBONYL_N, _N_BUTYL, _BUTYL_METHYL = 1.50, 1.23, 1.34, 1.48, 1.53
_N_H, _METHYL_H = 1.01, 1.09
_TETRAHEDRAL = 109.47


def molecule(torsion_deg: float = 0.0) -> LabelledMolecule:
    """One molecule C21 H33 N3 O3 about the origin, its ring in the xy plane.

    `torsion_deg` turns all three tert-butyl groups about their C-N bonds [degrees]; at 0 one methyl carbon is trans to
    the carbonyl carbon and two stand either side of the oxygen, at 60 one eclipses it.
    """
    elements: list[str] = []
    positions: list[Array] = []
    labels: list[str] = []
    for number in range(3):
        turn = _about_z(120.0 * number)
        for element, position, label in _third(torsion_deg):
            elements.append(element)
            positions.append(turn @ position)
            labels.append(f"{label}{'abc'[number]}")
    return LabelledMolecule(tuple(elements), np.array(positions), tuple(labels))


def column(torsion_deg: float = 0.0, up: bool = True) -> LabelledMolecule:
    """The two molecules of one period of a column along z; a column that points down is its mirror image in z."""
    one = molecule(torsion_deg)
    other = one.positions_angstrom @ _about_z(60.0).T + [0.0, 0.0, STACKING_ANGSTROM / 2]
    labels = [*(f"{label}1" for label in one.labels), *(f"{label}2" for label in one.labels)]
    positions = np.concatenate([one.positions_angstrom, other])
    if not up:
        positions = positions * [1.0, 1.0, -1.0]
    return LabelledMolecule(one.elements * 2, positions, tuple(labels))


def _third(torsion_deg: float) -> list[tuple[str, Array, str]]:
    """A third of the molecule: two ring carbons and the arm along x."""
    ring, next_in_ring = _RING * np.array([1.0, 0, 0]), _RING * np.array([0.5, np.sqrt(3) / 2, 0])
    carbonyl = ring + np.array([_RING_CARBONYL, 0.0, 0.0])
    # The torsion next in ring - ring - carbonyl - O is the tilt.
    oxygen = _place((next_in_ring, ring, carbonyl), _CARBONYL_O, 120.5, AMIDE_TILT_DEG)
    nitrogen = _place((next_in_ring, ring, carbonyl), _CARBONYL_N, 115.5, AMIDE_TILT_DEG + 180)
    butyl = _place((ring, carbonyl, nitrogen), _N_BUTYL, 125.0, 180.0)
    atoms = [
        ("C", ring, "C1"),
        ("C", next_in_ring, "C2"),
        ("H", next_in_ring * (1 + _RING_H / _RING), "H2"),
        ("C", carbonyl, "C3"),
        ("O", oxygen, "O1"),
        ("N", nitrogen, "N1"),
        ("H", _place((ring, carbonyl, nitrogen), _N_H, 117.5, 0.0), "H1"),
        ("C", butyl, "C4"),
    ]
    for number in range(3):
        methyl = _place(
            (carbonyl, nitrogen, butyl), _BUTYL_METHYL, _TETRAHEDRAL, 180.0 + torsion_deg + 120.0 * number
        )
        atoms.append(("C", methyl, f"C{5 + number}"))
        for hydrogen in range(3):
            position = _place((nitrogen, butyl, methyl), _METHYL_H, _TETRAHEDRAL, 60.0 + 120.0 * hydrogen)
            atoms.append(("H", position, f"H{5 + number}{'xyz'[hydrogen]}"))
    return atoms


def _place(chain: Sequence[Array], length: float, angle_deg: float, torsion_deg: float) -> Array:
    """The atom after a chain of three, from its bond length [Angstrom], bond angle and torsion angle [degrees]."""
    first, second, third = chain
    along = (third - second) / np.linalg.norm(third - second)
    normal = np.cross(second - first, along)
    normal /= np.linalg.norm(normal)
    angle, torsion = np.radians(angle_deg), np.radians(torsion_deg)
    offset: Array = length * (
        -np.cos(angle) * along
        + np.sin(angle) * (np.cos(torsion) * np.cross(normal, along) + np.sin(torsion) * normal)
    )
    return third + offset


def _about_z(angle_deg: float) -> Array:
    cosine, sine = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    return np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
