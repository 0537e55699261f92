"""Structures of users: files read, molecules and fragments turned, models named; and what is not accepted."""

from pathlib import Path

import numpy as np
import pytest

from dsfunet._typing import Array
from dsfunet.analysis.models.model_names import parse_axis, read_model
from dsfunet.analysis.models.molecules import LabelledMolecule, Torsion, parse_torsions
from dsfunet.analysis.models.structure_files import read_structure
from dsfunet.errors import InputError
from tests.dsfunet.structural_models import CELL, amide, chain, write_cif, write_xyz

TORSION = Torsion(("C7", "N1", "C8", "C9"))
Z = np.array([0.0, 0.0, 1.0])


def distances(molecule: LabelledMolecule) -> Array:
    apart = molecule.positions_angstrom[:, None] - molecule.positions_angstrom
    return np.asarray(np.linalg.norm(apart, axis=2))


def test_turning_a_torsion_moves_the_fragment_alone_and_keeps_its_bonds() -> None:
    molecule = amide()
    assert TORSION.angle_deg(molecule) == pytest.approx(60)
    turned = TORSION.turned(molecule, 35)
    assert TORSION.angle_deg(turned) == pytest.approx(95)
    moved = np.abs(turned.positions_angstrom - molecule.positions_angstrom).max(axis=1) > 1e-9
    assert {label for label, each in zip(molecule.labels, moved, strict=True) if each} == {"C9", "C10", "C11"}
    bonds = molecule.bonds()
    np.testing.assert_allclose(distances(turned)[bonds], distances(molecule)[bonds], atol=1e-12)
    assert bonds.sum() == 2 * 13 and np.array_equal(turned.bonds(), bonds)


def test_a_full_turn_is_none() -> None:
    molecule = amide()
    for turned in (TORSION.turned(molecule, 360), molecule.turned(np.ones(3), -720, molecule.centroid)):
        np.testing.assert_allclose(turned.positions_angstrom, molecule.positions_angstrom, atol=1e-12)


def test_sign_of_a_torsion_is_that_of_iupac() -> None:
    # Seen from j (below) to k (above), the far bond lies clockwise of the near one.
    points = np.array([[1.0, 0, 0], [0, 0, 0], [0, 0, 1.5], [0, 1.0, 1.5]])
    molecule = LabelledMolecule(("C",) * 4, points, ("i", "j", "k", "l"))
    assert Torsion(("i", "j", "k", "l")).angle_deg(molecule) == pytest.approx(90)
    assert Torsion(("l", "k", "j", "i")).angle_deg(molecule) == pytest.approx(90)


def test_rotation_is_right_handed_about_its_point() -> None:
    molecule = LabelledMolecule(("C",), np.array([[2.0, 0, 5]]), ("C1",))
    turned = molecule.turned(3 * Z, 90, np.array([1.0, 0, 0]))
    np.testing.assert_allclose(turned.positions_angstrom, [[1, 1, 5]], atol=1e-12)


@pytest.mark.parametrize(
    ("torsion", "message"),
    [
        ("C6-C1-C2-C3", "bond C1-C2: it is in a ring"),
        ("C6-C1-C8-C9", "bond C1-C8: the atoms are .* apart; expected bonded"),
        ("C7-N1-C8-C99", "label 'C99': no atom has it; the atoms are C1, "),
        ("C10-N1-C8-C9", "atom C10 is on the wrong side of the bond; expected it on the side of N1"),
        ("C7-N1-C8-O1", "atom O1 is on the wrong side of the bond; expected it on the side of C8"),
        ("C7-N1-C8", "expected four atom labels"),
        ("C7-N1-C8-C7", "expected four different atom labels"),
    ],
)
def test_torsions_that_cannot_be_turned(torsion: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_torsions([torsion])[0].turned(amide(), 10)


def test_torsions_are_given_with_commas_or_one_by_one() -> None:
    assert [str(each) for each in parse_torsions(["A-B-C-D, E-F-G-H", "I-J-K-L"])] == [
        "A-B-C-D",
        "E-F-G-H",
        "I-J-K-L",
    ]
    straight = LabelledMolecule(("C",) * 4, np.outer(np.arange(4.0), Z), tuple("ijkl"))
    with pytest.raises(InputError, match="are collinear"):
        Torsion(("i", "j", "k", "l")).turned(straight, 10)
    twice = LabelledMolecule(("C",) * 4, chain(*"ijkl").positions_angstrom, tuple("ijjl"))
    with pytest.raises(InputError, match="label 'j': found 2 atoms"):
        twice.index("j")


def test_xyz_atoms_are_labelled_in_order_unless_the_file_does(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("4\n\nC 0 0 0\n  n 0 0 1.3 0.2 ignored\n6 0 1 0\nFe3+ 1 2 3\n\n")
    atoms = read_structure(tmp_path / "a").atoms
    assert atoms.elements == ("C", "N", "C", "Fe3+") and atoms.labels == ("C1", "N1", "C2", "Fe1")
    np.testing.assert_allclose(
        atoms.positions_angstrom, np.array([[0.0, 0, 0], [0, 0, 1.3], [0, 1, 0], [1, 2, 3]])
    )
    molecule = read_structure(write_xyz(tmp_path / "b", amide(), keep_labels=True)).atoms
    assert molecule.labels == amide().labels and molecule.elements == amide().elements


def test_cif_is_read_in_the_axes_of_the_crystal(tmp_path: Path) -> None:
    molecule = amide()
    structure = read_structure(write_cif(tmp_path / "a.cif", {".": molecule}))
    assert structure.cell == CELL and structure.disorder_groups == ()
    assert structure.atoms.labels == molecule.labels
    np.testing.assert_allclose(
        structure.molecule().positions_angstrom, molecule.positions_angstrom, atol=1e-4
    )
    with pytest.raises(InputError, match="found disorder groups none; expected a pair such as"):
        structure.pair()


def test_disorder_groups_of_a_cif_are_the_two_species(tmp_path: Path) -> None:
    ordered, first, second = chain("C1", "C2"), chain("C3A", "C4A", "C5A"), chain("C3B", "C4B")
    path = write_cif(tmp_path / "a.cif", {".": ordered, "1": first, "2": second})
    pair = read_model(str(path), CELL)
    assert pair.name == "a.cif" and pair.notes == ()
    assert pair.first.labels == ("C1", "C2", "C3A", "C4A", "C5A")
    assert pair.second.labels == ("C1", "C2", "C3B", "C4B")
    other = read_model(f"{path}:2+{path}:1", CELL)
    assert other.first.labels == pair.second.labels and other.name == "a.cif:2+a.cif:1"
    with pytest.raises(InputError, match="found disorder groups 1, 2; choose one of them"):
        read_model(f"{path}+vacancy", CELL)
    with pytest.raises(InputError, match="found disorder groups 1, 2; expected '3' among them"):
        read_model(f"{path}:3+vacancy", CELL)
    assert (
        "check that both use the same setting"
        in read_model(str(path), type(CELL)(10.0, 11.0, 8.0, 90, 90, 105)).notes[0]
    )


def test_atoms_without_occupancy_and_dummies_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.cif").write_text(
        "data_a\n_cell_length_a 5\n_cell_length_b 5\n_cell_length_c 5\n_cell_angle_alpha 90\n_cell_angle_beta 90\n"
        "_cell_angle_gamma 90\nloop_\n_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n"
        "_atom_site_occupancy\n_atom_site_calc_flag\nCl1 0.1 0 0 1 d\nC12A 0.2(1) 0 0 0.5 calc\n"
        "C3 0 0 0 0 .\nX4 0 0 0 1 dum\n"
    )
    atoms = read_structure(tmp_path / "a.cif").atoms
    assert atoms.elements == ("Cl", "C") and atoms.labels == ("Cl1", "C12A")
    np.testing.assert_allclose(atoms.positions_angstrom[:, 0], [0.5, 1.0])


def test_displacements_occupancies_and_ions_of_a_cif(tmp_path: Path) -> None:
    (tmp_path / "a.cif").write_text(
        "data_a\n_cell_length_a 5\n_cell_length_b 6\n_cell_length_c 7\n"
        "_cell_angle_alpha 90\n_cell_angle_beta 110\n_cell_angle_gamma 90\n"
        "loop_\n_atom_site_label\n_atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n"
        "_atom_site_fract_z\n_atom_site_occupancy\n_atom_site_disorder_group\n_atom_site_U_iso_or_equiv\n"
        "Fe1 Fe3+ 0 0 0 0.4 1 0.02\nO1 O2- 0.3 0 0 0.1 1 0.03\nC1 C4+ 0 0 0.2 0.6 2 ?\n"
        "loop_\n_atom_site_aniso_label\n_atom_site_aniso_U_11\n_atom_site_aniso_U_22\n_atom_site_aniso_U_33\n"
        "_atom_site_aniso_U_23\n_atom_site_aniso_U_13\n_atom_site_aniso_U_12\nO1 0.05 0.02 0.03 0.0 0.01 0.0\n"
    )
    structure = read_structure(tmp_path / "a.cif")
    first, second = structure.pair()
    assert first.elements == ("Fe3+", "O2-") and second.elements == ("C",)
    assert first.weights is not None and first.displacements_angstrom2 is not None
    np.testing.assert_allclose(first.weights, [1.0, 0.25])
    np.testing.assert_allclose(second.b_factors_angstrom2, 0)
    np.testing.assert_allclose(first.displacements_angstrom2[0], 0.02 * np.eye(3))
    # Q.U Q must be 2 pi^2 sum U_ij h_i h_j a*_i a*_j times 2, whatever the axes.
    cell, hkl = structure.cell, np.array([2.0, -1.0, 3.0])
    assert cell is not None
    u = np.array([[0.05, 0.0, 0.01], [0.0, 0.02, 0.0], [0.01, 0.0, 0.03]])
    scaled = hkl * np.linalg.norm(cell.reciprocal, axis=1)
    q = hkl @ cell.reciprocal
    assert q @ first.displacements_angstrom2[1] @ q == pytest.approx(scaled @ u @ scaled)
    turned = first.turned(np.array([0.0, 0.0, 1.0]), 90, np.zeros(3)).displacements_angstrom2
    assert turned is not None
    assert turned[1][1, 1] == pytest.approx(first.displacements_angstrom2[1][0, 0])
    assert any("its displacements are used" in note for note in structure.notes)
    assert any("lower occupancy" in note for note in structure.notes)


def test_alternative_locations_of_a_macromolecular_cif(tmp_path: Path) -> None:
    tags = "id type_symbol label_atom_id label_alt_id label_comp_id label_asym_id label_entity_id label_seq_id Cartn_x"
    tags += " Cartn_y Cartn_z occupancy B_iso_or_equiv auth_seq_id auth_asym_id pdbx_PDB_model_num"
    cell = "_cell.length_a 9\n_cell.length_b 9\n_cell.length_c 9\n"
    cell += "".join(f"_cell.angle_{angle} 90\n" for angle in ("alpha", "beta", "gamma"))
    rows = [("C", "CA", ".", 0.0), ("O", "O", "A", 1.2), ("O", "O", "B", -1.2)]
    lines = [
        f"{n} {e} {name} {alt} LIG A 1 . {x} 0 0 1 5 1 A 1" for n, (e, name, alt, x) in enumerate(rows, 1)
    ]
    (tmp_path / "m.cif").write_text(
        f"data_m\n{cell}loop_\n"
        + "".join(f"_atom_site.{tag}\n" for tag in tags.split())
        + "\n".join(lines)
        + "\n"
    )
    pair = read_model(str(tmp_path / "m.cif"), CELL)
    np.testing.assert_allclose(pair.first.positions_angstrom, np.array([[0, 0, 0], [1.2, 0, 0]]))
    np.testing.assert_allclose(pair.second.positions_angstrom, np.array([[0, 0, 0], [-1.2, 0, 0]]))


def test_a_file_and_its_rotated_copy(tmp_path: Path) -> None:
    molecule = chain("C1", "C2", "C3")
    path = write_xyz(tmp_path / "a+b.xyz", molecule)  # a plus sign in a name is no pair
    pair = read_model(f"{path}+{path}@rotate 180 0 0 1", CELL)
    assert pair.name == "a+b.xyz+a+b.xyz@rotate 180 0 0 1"
    half_turn = 2 * molecule.centroid - molecule.positions_angstrom
    half_turn[:, 2] = molecule.positions_angstrom[:, 2]
    np.testing.assert_allclose(pair.second.positions_angstrom, half_turn, atol=1e-7)
    about_origin = read_model(
        f"{path}+{path} @rotate 90 [001] about origin @rotate 90 [001] about origin", CELL
    )
    flipped = molecule.positions_angstrom * [-1, -1, 1]
    np.testing.assert_allclose(about_origin.second.positions_angstrom, flipped, atol=1e-7)
    assert not read_model(f"vacancy+{path}", CELL).first.elements


def test_axes_are_cartesian_or_lattice_directions() -> None:
    np.testing.assert_allclose(parse_axis("0, 0,-2", CELL), -Z)
    expected = CELL.direct[0] - CELL.direct[1]
    for text in ("[1-10]", "[1 -1 0]", "[1,\N{MINUS SIGN}1,0]"):
        np.testing.assert_allclose(parse_axis(text, CELL), expected / np.linalg.norm(expected))
    for text in ("0 0", "0 0 0", "[11]", "c", "[0 0 x]", ""):
        with pytest.raises(InputError, match="expected three Cartesian components"):
            parse_axis(text, CELL)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("0\nnothing\n", "found no atoms; expected one or more"),
        ("2\n\nC 0 0 0\n", "found 1 lines after the comment; expected 2 atoms as in line 1"),
        ("1\n\nXq 0 0 0\n", "'Xq' is not an element"),
        ("1\n\nCarbon 0 0 0\n", "'Carbon' is not an element"),
        ("1\n\nC 0 0\n", "line 3 is 'C 0 0'; expected an element and three numbers"),
        ("1\n\nC 0 0 nan\n", "line 3 is"),
        ("hello\n", "begins with 'hello'; expected an XYZ file or a CIF"),
        ("", "the file is empty"),
        ("data_a\nloop_\n_atom_site_label\nC1\n", "found no atoms with positive occupancy"),
        ("data_a\nloop_\n_atom_site_label 'C1\n", "cannot be read as CIF"),
        (
            "data_a\nloop_\n_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\nC1 0 0 0\n",
            "found no complete unit cell",
        ),
    ],
)
def test_files_that_are_no_structures(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "a").write_text(content)
    with pytest.raises(InputError, match=message):
        read_structure(tmp_path / "a")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("{}", "expected a pair such as FILE.FILE"),
        ("{}+", "expected FILE.FILE"),
        ("{0}+{0}+{0}", "expected FILE.FILE"),
        ("vacancy+vacancy", "both species are vacancies"),
        ("vacancy", "found one species"),
        (f"{'x' * 300}+vacancy", "cannot be read"),
        ("{}@rotate 10 0 0 1", "found one species"),
        ("{}+nothing.xyz", "nothing.xyz: no such file"),
        ("{0}+{0}@turn 10 0 0 1", "found '@turn 10 0 0 1'; expected FILE@rotate ANGLE AXIS"),
        ("{0}+{0}@rotate 0 0 1", "axis '0 1': expected"),
        ("{}+vacancy@rotate 10 0 0 1", "expected FILE@rotate"),
    ],
)
def test_malformed_models(tmp_path: Path, model: str, message: str) -> None:
    path = write_xyz(tmp_path / "a.xyz", chain("C1", "C2"))
    with pytest.raises(InputError, match=message):
        read_model(model.format(path), CELL)
