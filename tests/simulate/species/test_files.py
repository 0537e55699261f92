"""The user's own species: XYZ and CIF files in a folder, and files that are refused."""

from pathlib import Path

import numpy as np
import pytest

from dsfunet.errors import InputError
from simulate.species import cell_from_size, load_catalogue, pairs

WATER = "3\nwater\nO 0 0 0\nH 0.96 0 0 0.4\nh -0.24 0.93 0\n\n"
CIF = """data_made
_cell_length_a 10
_cell_length_b 10
_cell_length_c 20
_cell_angle_alpha 90
_cell_angle_beta 120
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
C1 C 0.10 0.20 0.30 1.0
O1 O 0.10 0.20 0.36 {occupancy}
"""


def test_user_folder_is_added(tmp_path: Path) -> None:
    (tmp_path / "mine.xyz").write_text(WATER)
    (tmp_path / "other.cif").write_text(CIF.format(occupancy="1.0"))
    (tmp_path / "notes.txt").write_text("not a species")
    extended = load_catalogue(tmp_path)
    assert len(extended) == len(load_catalogue()) + 2
    assert [one.name for one in extended] == sorted(one.name for one in extended)
    mine, other = (one for one in extended if one.group == "user")
    assert (mine.name, mine.split, mine.lattice, mine.elements) == (
        "mine",
        "train",
        "orthogonal",
        ("O", "H", "H"),
    )
    assert mine.positions_angstrom[1] - mine.positions_angstrom[0] == pytest.approx([0.96, 0, 0])
    assert mine.positions_angstrom.mean(axis=0) == pytest.approx([0, 0, 0], abs=1e-12)
    # 0.06 of c = 20 Angstrom, which lies 120 degrees from a.
    along_c = 1.2 * np.array([np.cos(np.radians(120)), 0, np.sin(np.radians(120))])
    assert other.positions_angstrom[1] - other.positions_angstrom[0] == pytest.approx(along_c, abs=1e-9)
    assert other.cell_edges_angstrom == cell_from_size(other.elements, other.positions_angstrom)
    assert [(a.name, b.name) for a, b in pairs(extended, "train") if "user" in (a.group, b.group)] == [
        ("mine", "other")
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1 is ''; expected the number of atoms"),
        ("two\n\n", "line 1 is 'two'; expected the number of atoms"),
        ("2\n\nC 0 0 0\n", "the file has 1 lines after the comment line; expected 2 atoms"),
        ("1\n\nC 0 0 0\n1\n\nC 0 0 0\n", "the file has 4 lines after the comment line; expected 1 atoms"),
        ("1\n\nXx 0 0 0\n", "line 3 is 'Xx 0 0 0'; expected an element and three finite numbers"),
        ("1\n\nCarbon 0 0 0\n", "line 3 is 'Carbon 0 0 0'"),
        ("1\n\nFm 0 0 0\n", "line 3 is 'Fm 0 0 0'"),
        ("1\n\nC 0 0\n", "line 3 is 'C 0 0'"),
        ("2\n\nC 0 0 0\n\nC 0 0 1\n", "the file has 3 lines after the comment line; expected 2 atoms"),
        ("1\n\nC 0 nan 0\n", "line 3 is 'C 0 nan 0'"),
        ("1\n\nC 0 x 0\n", "line 3 is 'C 0 x 0'"),
    ],
)
def test_bad_xyz_is_named_in_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "bad.xyz").write_text(text)
    with pytest.raises(InputError) as caught:
        load_catalogue(tmp_path)
    assert message in str(caught.value) and "bad.xyz" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_binary_xyz_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.xyz").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read as text"):
        load_catalogue(tmp_path)


def test_bad_cif_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.cif"
    for text, message in (
        (CIF.format(occupancy="0.5"), "site O1 has occupancy 0.5"),
        (
            CIF.format(occupancy="1").replace("0.36", "?"),
            "site O1 is invalid; expected an element and three finite",
        ),
        ("data_empty\n_cell_length_a 3\n", "no atom sites; expected a CIF"),
        ("this is not a CIF", "cannot be read as CIF"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            load_catalogue(tmp_path)


def test_bad_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        load_catalogue(tmp_path / "absent")
    with pytest.raises(InputError, match=r"the folder has no \.xyz or \.cif file; expected"):
        load_catalogue(tmp_path)
    (tmp_path / "benzene.xyz").write_text(WATER)
    with pytest.raises(InputError, match=r"species names are used more than once \(benzene\)"):
        load_catalogue(tmp_path)
