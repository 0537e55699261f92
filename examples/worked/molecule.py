"""Build tris-tert-butyl-1,3,5-benzene tricarboxamide, C21 H33 N3 O3, from standard bond lengths and angles.

The molecule has a flat benzene ring in the xy plane and three equal arms about z. Each arm is a flat trans amide,
rotated out of the plane of the ring, with a staggered tert-butyl group. A hexagonal crystal consists of columns of two
molecules per cell, which are c/2 and 60 degrees apart (a 6_3 axis). All carbonyls of a column point along +c, so that
the N-H of one molecule points to the oxygen of the molecule below. A mirror perpendicular to c gives the column that
points down. Positions are in Angstrom.
"""

import numpy as np

from dsfunet._typing import Array
from dsfunet.analysis.models.molecules import LabelledMolecule, Torsion

AMIDE_TILT_DEG = 40.0
"""Angle between amide and ring [degrees]; with a stacking distance of 3.47 Angstrom N...O is 2.9 Angstrom."""

# Mean bond lengths [Angstrom] and angles [degrees] from tables; C-H and N-H are neutron values.
_RING, _RING_H, _RING_CARBONYL = 1.39, 1.08, 1.50
_CARBONYL_O, _CARBONYL_N, _N_H, _N_QUATERNARY = 1.23, 1.34, 1.01, 1.48
_QUATERNARY_METHYL, _METHYL_H = 1.53, 1.09
_RING_C_O, _RING_C_N, _C_N_QUATERNARY, _C_N_H, _TETRAHEDRAL = 120.5, 117.0, 125.0, 118.0, 109.47

ARMS = (1, 2, 3)
STOREYS = ("a", "b")
"""The two molecules of a column within one cell."""


def place_atom(i: Array, j: Array, k: Array, bond: float, angle_deg: float, torsion_deg: float) -> Array:
    """Return the position (3,) of an atom l bonded to k, from angle j-k-l and torsion i-j-k-l (IUPAC sign)."""
    back = (k - j) / np.linalg.norm(k - j)
    normal = np.cross(j - i, back)
    normal /= np.linalg.norm(normal)
    angle, torsion = np.radians([angle_deg, torsion_deg])
    across = np.cos(torsion) * np.cross(normal, back) + np.sin(torsion) * normal
    position: Array = k + bond * (-np.cos(angle) * back + np.sin(angle) * across)
    return position


def build_molecule(
    tert_butyl_deg: float = 0.0, tilt_deg: float = AMIDE_TILT_DEG, storey: str = "a"
) -> LabelledMolecule:
    """Build one molecule about the origin, with its 3-fold axis along z and carbonyls up.

    `tert_butyl_deg` is the rotation of all three tert-butyl groups about N-C, which is the torsion C-N-C-C minus 180
    degrees. At 0 degrees a methyl is anti to the carbonyl carbon; at 60 degrees a methyl eclipses the oxygen. Labels
    end in the storey and the number of the arm, as in Cq.a1.
    """
    names, elements, positions = zip(*_arm(tert_butyl_deg, tilt_deg), strict=True)
    one = np.array(positions)
    labels = tuple(f"{name}.{storey}{arm}" for arm in ARMS for name in names)
    three = np.concatenate([one @ _about_z(120.0 * number).T for number in range(3)])
    return LabelledMolecule(elements * 3, three, labels)


def build_column(
    c_angstrom: float, azimuth_deg: float, tert_butyl_deg: float = 0.0, up: bool = True
) -> LabelledMolecule:
    """Build one cell of a column: a molecule at z = 0 and one at c/2, rotated by 60 degrees; carbonyls up or down.

    `azimuth_deg` rotates the column about z: it is the angle from the a axis to an arm of the lower molecule, seen
    from above. The column that points down is the mirror image across z = 0, so its torsions have opposite signs.
    """
    storeys = []
    for number, storey in enumerate(STOREYS):
        one = build_molecule(tert_butyl_deg, storey=storey)
        turned = one.positions_angstrom @ _about_z(azimuth_deg + 60.0 * number).T
        storeys.append(one.at(turned + np.array([0.0, 0.0, number * c_angstrom / 2])))
    positions = np.concatenate([one.positions_angstrom for one in storeys])
    elements = tuple(element for one in storeys for element in one.elements)
    labels = tuple(label for one in storeys for label in one.labels)
    return LabelledMolecule(elements, positions * [1, 1, 1 if up else -1], labels)


def tert_butyl_torsions() -> tuple[Torsion, ...]:
    """Return the six torsions of a column, one for each arm; they are equal by symmetry."""
    return tuple(
        Torsion((f"Co.{arm}", f"N.{arm}", f"Cq.{arm}", f"Cm1.{arm}"))
        for arm in (f"{storey}{number}" for storey in STOREYS for number in ARMS)
    )


def _arm(tert_butyl_deg: float, tilt_deg: float) -> list[tuple[str, str, Array]]:
    """Build a third of the molecule, with its arm along x: name, element and position of each atom."""
    up = np.array([0.0, np.cos(np.radians(tilt_deg)), np.sin(np.radians(tilt_deg))])
    ring, carbonyl = np.array([_RING, 0.0, 0.0]), np.array([_RING + _RING_CARBONYL, 0.0, 0.0])
    half_turn = _about_z(60.0)
    # In the plane of the amide a torsion is 0 or 180 degrees; `up` defines that plane in place of a fourth atom.
    oxygen = place_atom(ring + up, ring, carbonyl, _CARBONYL_O, _RING_C_O, 0.0)
    nitrogen = place_atom(ring + up, ring, carbonyl, _CARBONYL_N, _RING_C_N, 180.0)
    quaternary = place_atom(oxygen, carbonyl, nitrogen, _N_QUATERNARY, _C_N_QUATERNARY, 0.0)
    atoms = [
        ("Cr", "C", ring),
        ("Ch", "C", half_turn @ ring),
        ("Hh", "H", half_turn @ (ring * (1 + _RING_H / _RING))),
        ("Co", "C", carbonyl),
        ("O", "O", oxygen),
        ("N", "N", nitrogen),
        ("Hn", "H", place_atom(oxygen, carbonyl, nitrogen, _N_H, _C_N_H, 180.0)),
        ("Cq", "C", quaternary),
    ]
    for number in range(3):
        angle = 180.0 + tert_butyl_deg + 120.0 * number
        methyl = place_atom(carbonyl, nitrogen, quaternary, _QUATERNARY_METHYL, _TETRAHEDRAL, angle)
        atoms.append((f"Cm{number + 1}", "C", methyl))
        for hydrogen in range(3):
            place_h = place_atom(
                nitrogen, quaternary, methyl, _METHYL_H, _TETRAHEDRAL, 60.0 + 120.0 * hydrogen
            )
            atoms.append((f"H{number + 1}{hydrogen + 1}", "H", place_h))
    return atoms


def _about_z(angle_deg: float) -> Array:
    sine, cosine = np.sin(np.radians(angle_deg)), np.cos(np.radians(angle_deg))
    return np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
