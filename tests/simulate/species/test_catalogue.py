"""The species library: counts, splits, geometries, cells, the user's folder, and refused values."""

import dataclasses
from collections import Counter

import gemmi
import numpy as np
import numpy.typing as npt
import pytest
import yaml  # type: ignore[import-untyped, unused-ignore]

from dsfunet.errors import InputError
from simulate.rotations import random_rotation
from simulate.species import Species, cell_from_size, load_catalogue, pairs
from simulate.species import build_geometries as build
from simulate.species.catalogue import FOLDER, LATTICES
from simulate.species.geometry import standard_frame
from simulate.species.ingredients import ATOMS, IONS, MOLECULES, PEROVSKITES, ROTATED

pytestmark = pytest.mark.filterwarnings("error")
CATALOGUE = load_catalogue()
BY_NAME = {one.name: one for one in CATALOGUE}
ORIGINALS = [one for one in CATALOGUE if not one.name.endswith("_rotated")]
NAMED_VALIDATION = [
    "gold",
    "dabco",
    "tetrafluoroborate",
    "isobutanol",
    "dichloromethane",
    "acetonitrile",
    "guanidinium",
    "guanylthiourea",
    "methylimidazole",
    "piperazine",
    "methylindole",
    "methylbenzoxazine",
    "methylquinolinol",
    "p_cresol",
    "benzene",
]


def distances(species: Species) -> npt.NDArray[np.float64]:
    """Interatomic distances [Angstrom], shape (n, n)."""
    positions = species.positions_angstrom
    return np.asarray(np.linalg.norm(positions[:, None] - positions[None], axis=-1))


def bonds(species: Species, first: str, second: str, longest: float) -> npt.NDArray[np.float64]:
    """Distances [Angstrom] between atoms of two elements that are not longer than a bond."""
    one = np.array(species.elements) == first
    other = np.array(species.elements) == second
    found = distances(species)[np.ix_(one, other)]
    return found[(found > 0) & (found < longest)]


def ids(species: Species) -> str:
    """A readable test name."""
    return species.name


# --- what is in it


def test_counts_reach_those_of_the_paper() -> None:
    assert len(MOLECULES) + len(IONS) >= 58
    assert [atom.element for atom in ATOMS] == ["Al", "Cu", "Ag", "Au"]
    assert len(PEROVSKITES) >= 8
    assert len(ROTATED) == 43 == sum(one.name.endswith("_rotated") for one in CATALOGUE)
    assert len(ORIGINALS) == len(MOLECULES) + len(IONS) + len(ATOMS) + len(PEROVSKITES)
    assert sum(one.split == "train" for one in ORIGINALS) >= 60
    for group in LATTICES.keys() - {"user"}:
        split = Counter(one.split for one in ORIGINALS if one.group == group)
        assert split["validation"] >= 2 and split["train"] >= 6, (group, split)


def test_catalogue_is_sorted_and_stable() -> None:
    names = [one.name for one in CATALOGUE]
    assert names == sorted(names) and len(set(names)) == len(names)
    assert names == [one.name for one in load_catalogue()]


def test_catalogue_agrees_with_the_ingredients() -> None:
    wanted = {(molecule.name, molecule.group, molecule.split) for molecule in MOLECULES}
    wanted |= {(ion.name, ion.group, ion.split) for ion in IONS}
    wanted |= {(a.name, "spherical", a.split) for a in ATOMS} | {
        (p.name, "perovskite", p.split) for p in PEROVSKITES
    }
    assert {(one.name, one.group, one.split) for one in ORIGINALS} == wanted
    entries = yaml.safe_load((FOLDER / "catalogue.yaml").read_text(encoding="utf-8"))
    for entry in entries:
        assert entry["formula"] == build.hill_formula(BY_NAME[entry["name"]].elements)
        assert entry["cell_edges_from"]
    smiles = {entry["name"]: entry["smiles"] for entry in entries if "smiles" in entry}
    assert {molecule.name: molecule.smiles for molecule in MOLECULES}.items() <= smiles.items()


def test_checked_in_files_are_those_of_the_script() -> None:
    species = list(build.build_ideal_species())
    species += [build.rotate_species(one) for one in species if one.name in ROTATED]
    assert len(species) > 30
    for one in species:
        path = FOLDER / "geometries" / one.group / f"{one.name}.xyz"
        assert path.read_text(encoding="utf-8") == build.format_xyz(one)
    files = {path.stem for path in (FOLDER / "geometries").rglob("*") if path.is_file()}
    assert files == set(BY_NAME)


# --- splits and pairs


def test_validation_is_never_trained_on() -> None:
    assert all(BY_NAME[name].split == "validation" for name in NAMED_VALIDATION)
    for name in ROTATED:
        assert BY_NAME[f"{name}_rotated"].split == BY_NAME[name].split
        assert BY_NAME[f"{name}_rotated"].group == BY_NAME[name].group
    held_out = {tuple(sorted(one.elements)): one for one in CATALOGUE if one.split == "validation"}
    trained = {tuple(sorted(one.elements)): one for one in CATALOGUE if one.split == "train"}
    for formula in held_out.keys() & trained.keys():  # isomers are allowed, equal distances are not
        one, other = held_out[formula], trained[formula]
        assert not np.allclose(
            np.sort(distances(one), axis=None), np.sort(distances(other), axis=None), atol=0.05
        )


def test_pairs_stay_inside_one_group_and_split() -> None:
    for split, least in (("train", 300), ("validation", 20)):
        chosen = pairs(CATALOGUE, split)
        assert len(chosen) >= least
        assert len({frozenset((a.name, b.name)) for a, b in chosen}) == len(chosen)
        assert all(a.group == b.group and a.split == b.split == split and a is not b for a, b in chosen)
        sizes = Counter(one.group for one in CATALOGUE if one.split == split)
        assert len(chosen) == sum(n * (n - 1) // 2 for n in sizes.values())
        assert {a.group for a, _ in chosen} == LATTICES.keys() - {"user"}
    with pytest.raises(InputError, match="expected train or validation"):
        pairs(CATALOGUE, "test")


# --- geometries


@pytest.mark.parametrize("species", CATALOGUE, ids=ids)
def test_geometry_is_sane(species: Species) -> None:
    assert species.lattice == ("hexagonal" if species.group == "aromatic" else "orthogonal")
    assert not species.positions_angstrom.flags.writeable
    if not species.elements:
        assert species.name == "B_site_vacancy" and species.positions_angstrom.shape == (0, 3)
        return
    assert np.abs(species.positions_angstrom.mean(axis=0)).max() < 2e-6
    assert all(gemmi.Element(symbol).atomic_number for symbol in species.elements)
    apart = distances(species) + 10 * np.eye(len(species.elements))
    assert apart.min() > 0.6
    if len(species.elements) > 1:
        assert apart.min(axis=1).max() < 2.5  # every atom is bonded to something
    for pair, (low, high) in {
        "CH": (1.06, 1.12),
        "CC": (1.15, 1.62),
        "NH": (0.98, 1.06),
        "OH": (0.94, 1.0),
    }.items():
        lengths = bonds(species, pair[0], pair[1], 1.7 if pair == "CC" else 1.25)
        assert ((lengths > low) & (lengths < high)).all(), (pair, lengths)


@pytest.mark.parametrize("species", CATALOGUE, ids=ids)
def test_cell_holds_the_heavy_atoms(species: Species) -> None:
    edges = np.array(species.cell_edges_angstrom)
    assert (edges >= (3.19 if species.name == "CaCuO_square" else 3.5)).all()
    heavy = np.array([symbol != "H" for symbol in species.elements], dtype=bool)
    if not heavy.any():
        return
    extent = np.ptp(species.positions_angstrom[heavy], axis=0)
    if species.group == "perovskite":  # neighbouring units meet at an oxygen
        assert (edges >= extent - 1e-3).all() and edges[0] == pytest.approx(extent[0], abs=1e-3)
    else:
        assert (edges > extent + 1).all()


@pytest.mark.parametrize("species", ORIGINALS, ids=ids)
def test_originals_lie_in_the_standard_frame(species: Species) -> None:
    if species.group == "perovskite" or len(species.elements) < 2:
        return
    x, y, z = np.ptp(species.positions_angstrom, axis=0)
    assert z >= x - 2e-3 and x >= y - 2e-3
    if species.group == "aromatic":
        heavy = np.array(species.elements) != "H"
        flat_within = 1.6 if species.name == "cymene" else 0.8
        assert np.abs(species.positions_angstrom[heavy, 1]).max() < flat_within


def test_known_bond_lengths_and_angles() -> None:
    benzene = BY_NAME["benzene"]
    assert bonds(benzene, "C", "H", 1.3).mean() == pytest.approx(1.09, abs=0.01)
    assert bonds(benzene, "C", "C", 1.6).mean() == pytest.approx(1.395, abs=0.01)
    assert np.abs(benzene.positions_angstrom[:, 1]).max() < 0.01
    assert bonds(BY_NAME["sulfate"], "S", "O", 2.0) == pytest.approx([1.48] * 4, abs=1e-5)
    assert bonds(BY_NAME["perchlorate_rotated"], "Cl", "O", 2.0) == pytest.approx([1.44] * 4, abs=1e-5)
    fluorines = BY_NAME["hexafluorophosphate"].positions_angstrom[1:] / 1.60
    angles = np.degrees(np.arccos(np.clip(fluorines @ fluorines.T, -1, 1)))[np.triu_indices(6, 1)]
    assert sorted(angles.round(6)) == pytest.approx([90] * 12 + [180] * 3)
    nitrate = BY_NAME["nitrate"].positions_angstrom
    assert np.all(nitrate[:, 1] == 0)
    titanate = BY_NAME["CaTiO3"]
    assert titanate.cell_edges_angstrom == (3.83, 3.83, 3.83)
    assert bonds(titanate, "Ti", "O", 2.5) == pytest.approx([1.915] * 6)
    elongated = BY_NAME["CaCuO_jahn_teller"].positions_angstrom
    assert sorted(np.linalg.norm(elongated, axis=1)) == pytest.approx([0, 1.9, 1.9, 1.9, 1.9, 2.41, 2.41])
    assert BY_NAME["CaCuO_square"].elements == ("Cu", "O", "O", "O", "O")


@pytest.mark.parametrize("name", ROTATED)
def test_rotated_copy_is_a_proper_rotation(name: str) -> None:
    original, copy = BY_NAME[name].positions_angstrom, BY_NAME[f"{name}_rotated"].positions_angstrom
    assert distances(BY_NAME[name]) == pytest.approx(distances(BY_NAME[f"{name}_rotated"]), abs=1e-5)
    # Volumes spanned by three atoms keep their sign under a rotation and change it under a reflection.
    triples = [(i, j, k) for i in range(4) for j in range(i) for k in range(j)]
    for triple in triples:
        rows = list(triple)
        assert np.linalg.det(copy[rows]) == pytest.approx(np.linalg.det(original[rows]), abs=1e-4)
    assert np.abs(copy - original).max() > 0.1


def test_random_rotation_is_uniform_and_proper() -> None:
    rng = np.random.default_rng(1)
    rotations = np.stack([random_rotation(rng) for _ in range(4000)])
    assert rotations @ rotations.transpose(0, 2, 1) == pytest.approx(np.broadcast_to(np.eye(3), (4000, 3, 3)))
    assert np.linalg.det(rotations) == pytest.approx(np.ones(4000))
    assert np.abs(rotations.mean(axis=0)).max() < 0.04
    # Of a uniform orientation every matrix element squared has mean 1/3 and fourth power mean 1/5.
    assert (rotations**2).mean(axis=0) == pytest.approx(np.full((3, 3), 1 / 3), abs=0.02)
    assert (rotations**4).mean(axis=0) == pytest.approx(np.full((3, 3), 1 / 5), abs=0.02)


def test_standard_frame_forgets_the_orientation() -> None:
    """A set without equal moments gives the same result from any orientation and position."""
    rng = np.random.default_rng(2)
    points = rng.normal(size=(7, 3)) * [1.0, 0.4, 3.0]
    expected = standard_frame(points)
    centred = points - points.mean(axis=0)  # a reflection would turn the sign of this volume
    assert np.linalg.det(expected[:3]) == pytest.approx(np.linalg.det(centred[:3]))
    for _ in range(5):
        assert standard_frame(points @ random_rotation(rng).T + rng.normal(size=3)) == pytest.approx(expected)
    line = np.array([[0.0, 0.0, 0.0], [1.2, 0.0, 0.0], [2.5, 0.0, 0.0]])
    assert np.ptp(standard_frame(line), axis=0) == pytest.approx([0, 0, 2.5])
    assert standard_frame(np.ones((1, 3))) == pytest.approx(np.zeros((1, 3)))


def test_cell_from_size_by_hand() -> None:
    positions = np.array([[0.0, 0.0, -2.0], [0.0, 0.0, 2.0]])
    # Bondi radii: C 1.70, O 1.52 Angstrom; the box is 3.40 across, raised to 3.5; 4 + 1.70 + 1.52 along z.
    assert cell_from_size(("C", "O"), positions) == (3.5, 3.5, 7.22)
    assert cell_from_size(("C", "O"), positions, "hexagonal") == (7.22, 3.5, 7.22)
    assert cell_from_size((), np.zeros((0, 3))) == (3.5, 3.5, 3.5)


def test_species_checks_itself() -> None:
    benzene = BY_NAME["benzene"]
    for change, message in (
        (
            {"lattice": "orthogonal"},
            r"the group is 'aromatic' on a 'orthogonal' lattice; expected one of .*aromatic \(hexagonal\)",
        ),
        ({"split": "test"}, "expected train or validation"),
        ({"elements": ("Q",) * 12}, "expected chemical symbols"),
        ({"positions_angstrom": np.zeros((3, 3))}, "three finite coordinates for each of 12 atoms"),
        ({"cell_edges_angstrom": (0.0, 4.0, 4.0)}, "three positive numbers"),
        ({"cell_edges_angstrom": (5.0, 4.0, 6.0)}, "expected a = c"),
    ):
        with pytest.raises(InputError, match=message):
            dataclasses.replace(benzene, **change)
