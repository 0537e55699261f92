"""`dsfunet configuration`, in process: alphas in, models out that other programs read."""

import csv
import json
import re
import shlex
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import numpy.typing as npt
import pytest

from dsfunet.cli.main import main
from tests.virtual_crystals import CRYSTALS, correlate

CUBIC = [3.75, 3.75, 3.75, 90, 90, 90]
ALPHAS = [
    {"vector": ["1/2", "1/2", 0], "value": -0.1138, "standard_uncertainty": 0.003},
    {"vector": [1, 0, 0], "value": 0.1326, "standard_uncertainty": 0.004},
]
MONOCLINIC = [7.4, 5.2, 8.2, 90, 104, 90]


def configuration(*arguments: object) -> int:
    return main(["configuration", *map(str, arguments)])


def write(path: Path, **content: Any) -> Path:
    content = {
        "cell": CUBIC,
        "laue": "m-3m",
        "centring": "F",
        "concentration": 0.25,
        "alphas": ALPHAS,
    } | content
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.fixture
def alphas(tmp_path: Path) -> Path:
    return write(tmp_path / "cu3au.refine.json")


def read_extended_xyz(path: Path) -> tuple[npt.NDArray[np.float64], list[dict[str, Any]]]:
    """Read the lattice, as rows, and the atoms of an extended XYZ file as its specification says."""
    count, comment, *lines = path.read_text(encoding="utf-8").splitlines()
    keys = dict(word.partition("=")[::2] for word in shlex.split(comment))
    assert int(count) == len(lines) and keys["pbc"] == "T T T"
    columns = re.findall(r"(\w+):([SRIL]):(\d+)", keys["Properties"])
    atoms = []
    for line in lines:
        words, atom = line.split(), {}
        for name, kind, size in columns:
            values = [{"S": str, "R": float, "I": int}[kind](words.pop(0)) for _ in range(int(size))]
            atom[name] = values if len(values) > 1 else values[0]
        assert not words
        atoms.append(atom)
    return np.array(keys["Lattice"].split(), float).reshape(3, 3), atoms


def count_alpha(occupied: npt.NDArray[np.int64], vector: tuple[int, int, int]) -> float:
    """Count unlike pairs on a periodic grid that holds 1 for A, 0 for B and -1 where there is no site."""
    there = np.roll(occupied, [-step for step in vector], (0, 1, 2))
    pairs = (occupied >= 0) & (there >= 0)
    share = float(occupied[occupied >= 0].mean())
    unlike = np.count_nonzero(occupied[pairs] != there[pairs]) / np.count_nonzero(pairs)
    return 1 - unlike / (2 * share * (1 - share))


def test_model_has_the_alphas_that_are_printed(
    alphas: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model.xyz"
    assert (
        configuration(alphas, "--cells", 12, 12, 10, "-o", model, "--species", "Au", "Cu", "--seed", 3) == 0
    )
    lattice, atoms = read_extended_xyz(model)
    np.testing.assert_allclose(lattice, np.diag([45, 45, 37.5]))
    occupied = np.full((24, 24, 20), -1)
    for atom in atoms:
        place = np.array(atom["pos"]) / 1.875
        np.testing.assert_allclose(place, np.rint(place), atol=1e-6)
        assert atom["occupant"] == {"Au": "A", "Cu": "B"}[atom["species"]]
        occupied[tuple(np.rint(place).astype(int))] = atom["species"] == "Au"
    assert len(atoms) == np.count_nonzero(occupied >= 0) == 4 * 12 * 12 * 10
    assert occupied[occupied >= 0].mean() == 0.25
    near = [(1, 1, 0), (1, -1, 0), (1, 0, 1), (1, 0, -1), (0, 1, 1), (0, 1, -1)]
    far = [(2, 0, 0), (0, 2, 0), (0, 0, 2)]
    counted = [float(np.mean([count_alpha(occupied, v) for v in orbit])) for orbit in (near, far)]
    record = json.loads((tmp_path / "model.configuration.json").read_text(encoding="utf-8"))
    assert [each["value"] for each in record["alphas"]] == pytest.approx(counted)
    for own, entry in zip(counted, ALPHAS, strict=True):
        assert abs(own - entry["value"]) < entry["standard_uncertainty"] / 2  # type: ignore[operator]
    assert record["met"] and record["seed"] == 3 and record["concentration"] == 0.25
    text = (tmp_path / "model.configuration.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    assert [row["i"] for row in rows] == ["1/2", "1"] and float(rows[0]["value"]) == pytest.approx(counted[0])
    printed = capsys.readouterr().out
    assert re.search(rf"1/2 1/2 0 +12 +2\.652 +-0\.114\(3\) +{counted[0]:.4f} ", printed)
    assert "chi        0." in printed


@pytest.mark.parametrize("name", ["P alloy", "I alloy", "F alloy"])
def test_alphas_of_a_virtual_crystal_go_in_and_come_out(name: str, tmp_path: Path) -> None:
    crystal, truth = CRYSTALS[name], correlate(name)
    vectors = {"P": [(2, 0, 0), (2, 2, 0)], "I": [(1, 1, 1), (2, 0, 0)], "F": [(1, 1, 0), (2, 0, 0)]}[
        crystal.centring
    ]
    entries = [
        {
            "vector": [f"{step}/2" for step in vector],
            "value": truth.count_pairs(vector),
            "standard_uncertainty": 0.002,
        }
        for vector in vectors
    ]
    edge = crystal.cell[0]
    path = write(
        tmp_path / "a.json",
        alphas=entries,
        centring=crystal.centring,
        cell=[edge] * 3 + [90] * 3,
        concentration=None,
    )
    model = tmp_path / "model.extxyz"
    assert configuration(path, "--cells", 12, 12, 12, "-o", model, "--concentration", crystal.share) == 0
    _, atoms = read_extended_xyz(model)
    occupied = np.full((24, 24, 24), -1)
    for atom in atoms:
        occupied[tuple(np.rint(np.array(atom["pos"]) * 2 / edge).astype(int))] = atom["occupant"] == "A"
    record = json.loads((tmp_path / "model.configuration.json").read_text(encoding="utf-8"))
    for entry, written in zip(entries, record["alphas"], strict=True):
        steps = [tuple(int(2 * as_number(x)) for x in v) for v in written["equivalents"]]
        own = float(np.mean([count_alpha(occupied, step) for step in steps]))  # type: ignore[arg-type]
        assert own == pytest.approx(entry["value"], abs=0.001)


def as_number(component: int | str) -> float:
    numerator, _, denominator = str(component).partition("/")
    return int(numerator) / int(denominator or 1)


def test_cif_has_the_supercell_and_every_atom(alphas: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.cif"
    assert configuration(alphas, "--cells", 8, 8, 8, "-o", model, "--sweeps", 30) == 0
    structure = gemmi.read_small_structure(str(model))
    assert structure.cell.parameters == (30, 30, 30, 90, 90, 90)
    assert len(structure.sites) == 4 * 8**3 and structure.spacegroup.hm == "P 1"
    assert sum(site.element.name == "Au" for site in structure.sites) == 8**3
    halves = {tuple(np.rint(np.array(site.fract.tolist()) * 16).astype(int)) for site in structure.sites}
    assert len(halves) == 4 * 8**3 and all(sum(half) % 2 == 0 for half in halves)
    assert len({site.label for site in structure.sites}) == len(structure.sites)


def test_discus_structures_are_in_the_order_of_their_cells(alphas: Path, tmp_path: Path) -> None:
    models = {kind: tmp_path / f"model.{kind}" for kind in ("stru", "cell", "xyz")}
    for model in models.values():
        assert configuration(alphas, "--cells", 6, 8, 10, "-o", model, "--sweeps", 30) == 0
    lines = models["stru"].read_text(encoding="utf-8").splitlines()
    start = lines.index("atoms")
    head = dict(line.split(None, 1) for line in lines[:start])
    assert head["spcgr"] == "P1" and head["ncell"].replace(" ", "") == "6,8,10,4"
    assert [float(x) for x in head["cell"].split(",")] == CUBIC
    atoms = [re.split(r"[\s,]+", line.strip()) for line in lines[start + 1 :]]
    assert len(atoms) == 4 * 6 * 8 * 10 and {atom[0] for atom in atoms} == {"AU", "CU"}
    corners = np.floor([[float(x) for x in atom[1:4]] for atom in atoms]).astype(int)
    number = np.arange(len(atoms)) // 4  # a changes fastest
    expected = np.stack([number % 6 - 3, number // 6 % 8 - 4, number // 48 - 5], axis=-1)
    np.testing.assert_array_equal(corners, expected)
    _, same = read_extended_xyz(models["xyz"])
    assert [atom["species"].upper() for atom in same] == [atom[0] for atom in atoms]
    one = models["cell"].read_text(encoding="utf-8").splitlines()
    assert "ncell" not in "".join(one[:4]) and one[2].split(None, 1)[1].startswith(
        "22.500000, 30.000000, 37.500000"
    )
    last, whole = (
        np.array([float(x) for x in re.split(r"[\s,]+", line.strip())[1:4]]) for line in (lines[-1], one[-1])
    )
    np.testing.assert_allclose(whole * [6, 8, 10] - last, [3, 4, 5], atol=1e-6)


def test_molecules_and_vacancies_stand_on_oblique_cells(tmp_path: Path) -> None:
    molecule = tmp_path / "water.xyz"
    molecule.write_text("3\n\nO 0.1 0 0\nH 0.6 0.7 0.1\nH 0.6 -0.7 0.1\n", encoding="utf-8")
    entry = {"vector": [1, 0, 0], "value": -0.2, "standard_uncertainty": 0.01}
    path = write(tmp_path / "a.json", cell=MONOCLINIC, laue="2/m", centring="P", alphas=[entry])
    options = ("--cells", 8, 8, 8, "--sweeps", 20, "--species", molecule, "vacancy")
    assert configuration(path, *options, "-o", tmp_path / "m.xyz") == 0
    assert configuration(path, *options, "-o", tmp_path / "m.stru") == 0
    lattice, atoms = read_extended_xyz(tmp_path / "m.xyz")
    assert len(atoms) == 3 * 128 and lattice[2] == pytest.approx(
        8 * 8.2 * np.array([np.cos(np.radians(104)), 0, np.sin(np.radians(104))]), rel=1e-6
    )
    for first in range(0, len(atoms), 3):
        o, h, _ = (np.array(atom["pos"]) for atom in atoms[first : first + 3])
        np.testing.assert_allclose(h - o, [0.5, 0.7, 0.1], atol=2e-6)
        site = (o - [0.1, 0, 0]) @ np.linalg.inv(lattice) * 8
        np.testing.assert_allclose(site, np.rint(site), atol=1e-5)
    text = (tmp_path / "m.stru").read_text(encoding="utf-8")
    assert "ncell" not in text and text.count("VOID") == 8**3 - 128


def test_alphas_out_of_reach_are_said_to_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entry = {"vector": ["1/2", "1/2", 0], "value": -0.6, "standard_uncertainty": 0.01}
    path = write(tmp_path / "a.json", alphas=[entry], concentration=0.5)
    assert configuration(path, "--cells", 8, 8, 8, "-o", tmp_path / "m.cif", "--sweeps", 30) == 1
    printed = capsys.readouterr().out
    assert (
        "no configuration has these alphas" in printed
        and "-0.3333 instead of -0.6000 for 1/2 1/2 0" in printed
    )
    record = json.loads((tmp_path / "m.configuration.json").read_text(encoding="utf-8"))
    assert not record["met"] and not record["possible"] and record["alphas"][0]["value"] > -1 / 3
    assert (tmp_path / "m.cif").is_file()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--species", "Au", "Xx"], "--species Xx: this is no element"),
        (["--species", "vacancy", "vacancy"], "A and B are both vacancies"),
        (["--species", "nothing.xyz", "Cu"], "nothing.xyz: no such file"),
        (["-o", "model.pdb"], "the suffix is .pdb; expected .xyz"),
        (["-o", "nowhere/model.cif"], "the directory nowhere does not exist"),
        (["--cells", "1", "8", "8"], "reach their own periodic images; expected at least"),
        (["--concentration", "0"], "--concentration is 0; expected"),
        (["--assume-two-dimensional", "true"], "omit --assume-two-dimensional"),
        (["--cells", "8", "8"], "--cells"),
    ],
)
def test_bad_requests_are_one_sentence(
    alphas: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    options = {"--cells": ["8", "8", "8"], "-o": ["model.cif"], arguments[0]: arguments[1:]}
    words = [word for name, values in options.items() for word in (name, *values)]
    try:
        code: Any = configuration(alphas, *words)
    except SystemExit as exit:
        code = exit.code
    assert code == 2
    error = capsys.readouterr().err.strip()
    assert sentence in error and "\n" not in error
    assert [path.name for path in tmp_path.iterdir()] == [alphas.name]
