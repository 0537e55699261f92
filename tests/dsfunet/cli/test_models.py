"""`dsfunet compare` and `dsfunet scan`, in process: results in, a ranking or a curve out, for bad input one line."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dsfunet.analysis.models.model_names import ModelPair
from dsfunet.analysis.models.molecules import VACANCY, Torsion
from dsfunet.cli.main import main
from dsfunet.io import Result, read_result, write_result
from dsfunet.physics.scattering import Scattering
from tests.dsfunet.structural_models import amide, result_of, write_cif, write_xyz

TORSION = Torsion(("C7", "N1", "C8", "C9"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a result and the structures it may be of: torsion 60 degrees and half a turn."""
    monkeypatch.chdir(tmp_path)
    molecule = amide()
    turned = molecule.turned(np.array([0.0, 0.0, 1.0]), 180, molecule.centroid)
    write_result("r.nxs", result_of(ModelPair("true", molecule, turned), b=2.0, noise=0.15))
    write_xyz(Path("right.xyz"), molecule, keep_labels=True)
    write_xyz(Path("wrong.xyz"), TORSION.turned(molecule, 20), keep_labels=True)
    write_cif(Path("right.cif"), {"1": molecule, "2": turned})
    Path("out").mkdir()
    return tmp_path


def test_models_are_ranked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = ["wrong.xyz+wrong.xyz@rotate 180 0 0 1", "right.xyz+vacancy", "right.cif"]
    arguments = ["compare", "r.nxs", *models, "-o", "out/c", "--resamples", "200", "--seed", "5"]
    assert main(arguments) == 0
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["c.csv", "c.json", "c.png"]
    assert Path("out/c.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    written = json.loads(Path("out/c.json").read_text())
    first, second, third = written["models"]
    assert [each["model"] for each in (first, second, third)] == [models[2], models[0], models[1]]
    assert first["better_than_next"] > 0.95 and third["better_than_next"] is None
    assert first["misfit_low"] < first["misfit"] < first["misfit_high"] < second["misfit"]
    assert abs(first["debye_waller_b_angstrom2"] - 2.0) < 4 * first["debye_waller_b_su"]
    assert (written["source"], written["seed"], written["resamples"]) == ("r.nxs", 5, 200)
    with Path("out/c.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["model"] for row in rows] == [models[2], models[0], models[1]]
    assert (rows[2]["formula_a"], rows[2]["formula_b"]) == ("C11 N O", "vacancy")
    assert float(rows[1]["misfit"]) == second["misfit"] and rows[2]["better_than_next"] == ""
    printed = capsys.readouterr().out
    assert "model      right.xyz+vacancy: A = C11 N O, B = vacancy" in printed
    assert f"right.cif fits better than {models[0]} in" in printed and "cannot tell" not in printed
    before = Path("out/c.json").read_bytes()
    assert main(arguments) == 0 and Path("out/c.json").read_bytes() == before


@pytest.mark.slow
def test_models_alike_are_said_to_be(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "r.nxs", "right.cif", "right.xyz+right.xyz@rotate 180 [001]", "-o", "out/c"]) == 0
    assert "the data cannot tell" in capsys.readouterr().out
    assert main(["compare", "r.nxs", "right.cif", "-o", "out/c"]) == 0
    assert "a single model cannot be ranked" in capsys.readouterr().out


@pytest.mark.slow
def test_torsion_is_scanned(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = "wrong.xyz+wrong.xyz@rotate 180 0 0 1"
    arguments = [
        "scan",
        "r.nxs",
        model,
        "--torsion",
        str(TORSION),
        "--range",
        "-40",
        "10",
        "5",
        "-o",
        "out/s",
    ]
    assert main([*arguments, "--resamples", "200"]) == 0
    names = ["s.csv", "s.json", "s.png", "s_planes.png"]
    assert sorted(path.name for path in (folder / "out").iterdir()) == names
    written = json.loads(Path("out/s.json").read_text())
    minimum = written["minima"][0]
    assert minimum["angle_deg"] == pytest.approx(-20, abs=3 * minimum["angle_su_deg"] + 0.1)
    assert [point["angle_deg"] for point in written["curve"]] == list(range(-40, 11, 5))
    assert written["torsions_at_angle_0_deg"] == pytest.approx({f"{TORSION} of A": 80, f"{TORSION} of B": 80})
    printed = capsys.readouterr().out
    assert "turn about N1-C8 (°), -40 to 10" in printed and "is 80.0° in the file" in printed
    assert "minimum    -" in printed


@pytest.mark.slow
def test_several_torsions_turn_together_and_a_rotation_can_be_scanned(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["scan", "r.nxs", "right.cif", "-o", "out/s", "--resamples", "20"]
    torsions = ["--torsion", "C2-C1-C7-O1", "--torsion", "C7-N1-C8-C9,C1-C7-N1-C8"]
    assert main([*common, *torsions, "--range", "-4", "4", "4"]) == 0
    assert len(json.loads(Path("out/s.json").read_text())["torsions_at_angle_0_deg"]) == 6
    assert main([*common, "--rotate", "[001]", "--species", "B", "--range", "2", "10", "4"]) == 0
    assert json.loads(Path("out/s.json").read_text())["minima"] == []
    assert "smallest at 2°, an end of the range" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "r.nxs", "nothing.xyz+vacancy"], "nothing.xyz: no such file"),
        (["compare", "r.nxs", "right.xyz"], "expected a pair such as FILE+FILE"),
        (["compare", "r.nxs", "right.xyz+right.xyz"], "its two species scatter identically"),
        (["compare", "right.xyz", "right.cif"], "not a result of dsfunet"),
        (["compare", "axes.nxs", "right.cif"], "axes.nxs: the result has no unit cell and axes"),
        (["compare", "r.nxs", "right.cif", "--resamples", "3"], "--resamples is 3; expected 10 or more"),
        (["compare", "r.nxs", "right.cif", "--seed", "-1"], "--seed is -1; expected 0 or more"),
        (
            ["scan", "r.nxs", "right.cif", "--range", "0", "9", "3"],
            "--torsion and --rotate: found neither; use one of them",
        ),
        (
            ["scan", "r.nxs", "right.cif", "--range", "0", "9", "0", "--rotate", "0 0 1"],
            "expected FIRST LAST STEP [degrees]",
        ),
        (
            ["scan", "r.nxs", "right.cif", "--range", "0", "9", "3", "--torsion", "C7-N1-C8-X9"],
            "label 'X9': no atom has it",
        ),
        (
            ["scan", "r.nxs", "right.cif", "--range", "0", "9", "3", "--torsion", "C1-C2-C3-C4"],
            "bond C2-C3: it is in a ring",
        ),
        (["scan", "r.nxs", "right.cif", "--range", "0", "9", "3", "--rotate", "0 0"], "axis '0 0': expected"),
        (
            ["compare", "r.nxs", "right.cif", "--radiation", "neutron", "--wavelength", "1"],
            "--wavelength 1: it",
        ),
        (
            ["compare", "r.nxs", "right.cif", "--wavelength", "0.01"],
            "--wavelength is 0.01; expected 0.1 to 5",
        ),
        (["compare", "r.nxs", "right.cif", "--b-factors", "Au"], "--b-factors: found 'Au'; expected symbols"),
        (
            ["compare", "r.nxs", "right.cif", "--b-factors", "Au 1"],
            "--b-factors: found Au, which is in no model",
        ),
        (["compare", "r.nxs", "right.cif", "--site-symmetry", "foo"], "'foo': this is no point group"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    plain = result_of(ModelPair("true", amide(), amide().turned(np.ones(3), 90, np.zeros(3))))
    values = plain.form_factor
    write_result("axes.nxs", Result(values, values, values, values, values, plain.mask))
    assert main([*arguments, "-o", "out/x"]) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("dsfunet: ") and error.count("\n") == 1
    assert not list((folder / "out").iterdir())


def test_a_model_of_the_wrong_radiation_is_said_to_be(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = ModelPair("true", amide(), VACANCY)
    sigma = np.full((96, 96), 0.005, np.float32)
    noisy = result_of(pair, b=1.0, noise=0.01, sigma=sigma, scattering=Scattering("neutron"))
    write_result("n.nxs", noisy)
    write_xyz(Path("a.xyz"), amide(), keep_labels=True)
    assert main(["compare", "n.nxs", "a.xyz+vacancy", "-o", "out/n", "--resamples", "20"]) == 0
    printed = capsys.readouterr().out
    assert "the model does not fit" in printed and "Then add --radiation neutron" in printed
    assert "no hydrogen is in the files, and none is added" in printed
    written = json.loads(Path("out/n.json").read_text())
    assert written["better_radiation"]["radiation"] == "neutron" and not written["best_explains"]
    right = [
        "compare",
        "n.nxs",
        "a.xyz+vacancy",
        "--radiation",
        "neutron",
        "--b-factors",
        "C 0.5, N 0.5, O 0.5",
    ]
    assert main([*right, "-o", "out/n", "--resamples", "20"]) == 0
    printed = capsys.readouterr().out
    assert "the model explains the form factor" in printed and "add it if there is any" in printed
    written = json.loads(Path("out/n.json").read_text())
    assert written["models"][0]["debye_waller_b_angstrom2"] == pytest.approx(0.5, abs=0.05)
    assert written["radiation"] == "neutron" and written["better_radiation"] is None


def test_the_point_of_a_turn_and_one_that_the_site_forbids_are_said(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = amide().at(amide().positions_angstrom + np.array([1.0, 0.5, 0.0]))
    write_xyz(Path("m.xyz"), moved, keep_labels=True)
    models = ["m.xyz+m.xyz@rotate 180 [001]", "m.xyz+m.xyz@rotate 180 [001] about origin"]
    options = ["--site-symmetry", "1 1 2", "-o", "out/t", "--resamples", "20"]
    assert main(["compare", "r.nxs", *models, *options]) == 0
    printed = capsys.readouterr().out
    assert "turns about the centroid (1.00, 0.50, 0.00) Å; write 'about origin' to turn" in printed
    assert "turns about the origin (0.00, 0.00, 0.00) Å" in printed
    assert f"{models[0]}: site symmetry 1 1 2 about the origin maps" in printed
    assert f"{models[1]}: site symmetry" not in printed
    scan = ["scan", "r.nxs", "right.cif", "--rotate", "[001]", "--range", "0", "4", "2", *options[2:]]
    assert main(scan) == 0
    assert "turned about the centroid, " in capsys.readouterr().out
    assert main([*scan, "--about", "origin"]) == 0
    assert "turned about the origin (--about origin)" in capsys.readouterr().out


def test_output_that_cannot_be_written_is_found_before_any_work(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "out" / "c.png").mkdir()
    assert main(["compare", "nothing.nxs", "right.cif", "-o", "out/c"]) == 2
    assert "c.png: this is a directory" in capsys.readouterr().err


def test_either_answer_can_be_tested(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    right = read_result("r.nxs")
    wrong = np.random.default_rng(2).random(right.form_factor.shape)
    both = replace(
        right, form_factor=wrong, form_factor_on_lattice=right.form_factor, short_range_order_on_lattice=wrong
    )
    write_result("both.nxs", both)
    misfits = {}
    for answer in ("networks", "lattice"):
        arguments = ["right.cif", "-o", f"out/{answer}", "--resamples", "20", "--answer", answer]
        assert main(["compare", "both.nxs", *arguments]) == 0
        written = json.loads(Path(f"out/{answer}.json").read_text())
        assert written["answer"] == answer
        misfits[answer] = written["models"][0]["misfit"]
    printed = capsys.readouterr().out
    assert "answer     form factor of the networks alone" in printed
    assert "answer     form factor of the data on their lattice" in printed
    assert misfits["lattice"] < 0.5 * misfits["networks"]
    for command in (["compare"], ["scan", "--range", "0", "4", "2", "--rotate", "[001]"]):
        arguments = ["r.nxs", "right.cif", "-o", "out/x", "--answer", "lattice", *command[1:]]
        assert main([command[0], *arguments]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert "--answer lattice: r.nxs holds only the answer of the networks; use --answer networks" in error
