"""The tricarboxamide: a plausible molecule with the right symmetry, in a cell that it fits into."""

import numpy as np
import numpy.typing as npt
import pytest

from dsfunet.analysis.models.molecules import LabelledMolecule
from dsfunet.physics import Cell
from examples.worked.molecule import build_column, build_molecule, tert_butyl_torsions

Array = npt.NDArray[np.float64]

CELL = Cell(14.12, 14.12, 6.934, 90, 90, 120)
AZIMUTH_DEG, TURN_DEG = 50.0, -7.0

BONDS_ANGSTROM = {
    "C C": (1.38, 1.54),
    "C H": (1.07, 1.10),
    "C O": (1.22, 1.24),
    "C N": (1.33, 1.49),
    "H N": (1.00, 1.02),
}


def distances(one: LabelledMolecule, other: LabelledMolecule, shift: Array | None = None) -> Array:
    there = other.positions_angstrom + (0 if shift is None else shift)
    apart: Array = np.linalg.norm(one.positions_angstrom[:, None] - there, axis=2)
    return apart


def same_atoms(one: LabelledMolecule, elements: tuple[str, ...], positions: Array) -> bool:
    """Return whether every atom has one of its element at the same position."""
    nearest = np.linalg.norm(one.positions_angstrom[:, None] - positions, axis=2).argmin(axis=1)
    close = np.abs(positions[nearest] - one.positions_angstrom).max() < 1e-9
    return bool(
        close
        and sorted(nearest) == list(range(len(elements)))
        and all(a == elements[b] for a, b in zip(one.elements, nearest, strict=True))
    )


def about_z(angle_deg: float) -> Array:
    c, s = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def test_formula_and_bonds() -> None:
    one = build_molecule(TURN_DEG)
    assert one.formula == "C21 H33 N3 O3"
    bonds = np.argwhere(np.triu(one.bonds()))
    assert len(bonds) == 60  # a tree of 60 atoms and one ring
    apart = distances(one, one)
    for i, j in bonds:
        low, high = BONDS_ANGSTROM[" ".join(sorted((one.elements[i], one.elements[j])))]
        assert low < apart[i, j] < high, (one.labels[i], one.labels[j])
    valences = {"C": {3, 4}, "H": {1}, "N": {3}, "O": {1}}
    for element, count in zip(one.elements, one.bonds().sum(axis=1), strict=True):
        assert count in valences[element]


def test_amides_are_flat_and_trans_and_tilted_as_said() -> None:
    one = build_molecule(TURN_DEG)
    at = {label: one.positions_angstrom[one.index(label)] for label in one.labels}
    for arm in ("a1", "a2", "a3"):
        carbonyl = at[f"Co.{arm}"]
        normal = np.cross(at[f"O.{arm}"] - carbonyl, at[f"N.{arm}"] - carbonyl)
        normal /= np.linalg.norm(normal)
        for name in ("Cr", "Cq", "Hn"):
            assert abs((at[f"{name}.{arm}"] - carbonyl) @ normal) < 1e-9
        assert np.degrees(np.arccos(abs(normal[2]))) == pytest.approx(40.0)
        assert np.linalg.norm(at[f"O.{arm}"] - at[f"Cq.{arm}"]) < 3.0  # on one side of C-N
        assert at[f"O.{arm}"][2] > 0 > at[f"Hn.{arm}"][2]


def test_three_fold_axis_and_the_period_of_a_tert_butyl_group() -> None:
    one = build_molecule(TURN_DEG)
    assert same_atoms(one, one.elements, one.positions_angstrom @ about_z(120).T)
    turned = build_molecule(TURN_DEG + 120)
    assert same_atoms(one, turned.elements, turned.positions_angstrom)
    other = build_molecule(TURN_DEG + 60)
    assert not same_atoms(one, other.elements, other.positions_angstrom)


def test_column_has_a_screw_axis_and_down_is_its_mirror_image() -> None:
    up, down = (build_column(CELL.c, AZIMUTH_DEG, TURN_DEG, each) for each in (True, False))
    screwed = up.positions_angstrom @ about_z(60).T + [0, 0, CELL.c / 2]
    lower = np.array([".a" in label for label in up.labels])
    upper = np.array([".b" in label for label in up.labels])
    np.testing.assert_allclose(screwed[lower], up.positions_angstrom[upper], atol=1e-9)
    assert np.allclose(up.positions_angstrom * [1, 1, -1], down.positions_angstrom)
    for torsion in tert_butyl_torsions():
        assert torsion.angle_deg(up) == pytest.approx(173.0)
        assert torsion.angle_deg(down) == pytest.approx(-173.0)


def test_every_nh_points_to_an_oxygen_of_the_molecule_below() -> None:
    up = build_column(CELL.c, AZIMUTH_DEG, TURN_DEG)
    names = np.array([label.split(".")[0] for label in up.labels])
    both = np.minimum(distances(up, up), distances(up, up, np.array([0, 0, -CELL.c])))
    for nitrogen in np.flatnonzero(names == "N"):
        oxygens = both[nitrogen][(names == "O")]
        own = distances(up, up)[nitrogen][names == "O"].min()
        nearest = oxygens[oxygens > own + 1e-6].min()
        assert 2.75 < nearest < 3.0


@pytest.mark.parametrize("other_up", [True, False])
def test_neighbours_do_not_clash(other_up: bool) -> None:
    up = build_column(CELL.c, AZIMUTH_DEG, TURN_DEG)
    other = build_column(CELL.c, AZIMUTH_DEG, TURN_DEG, other_up)
    for i, j in ((1, 0), (0, 1), (1, 1)):
        for k in (-1, 0, 1):
            for sign in (1, -1):
                assert distances(up, other, sign * np.array([i, j, k]) @ CELL.direct).min() > 2.1
    along = distances(up, up, np.array([0, 0, CELL.c]))
    assert along.min() > 1.85  # the hydrogen bond
    within = distances(up, up)
    lower = np.array([".a" in label for label in up.labels])
    assert within[lower][:, ~lower].min() > 1.85
