"""`dsfunet refine` on the result of a volume, in process: table and files; bad requests are one line."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import gemmi
import h5py
import numpy as np
import pytest

from dsfunet.cli.main import main
from tests.dsfunet.analysis.volume_refinement.noisy import (
    Truth,
    cubic_operations,
    symmetric_truth,
    write_volume_result,
)


@pytest.fixture(scope="module")
def alloy() -> Truth:
    return symmetric_truth("F alloy", 8.0, cubic_operations())


@pytest.fixture
def volume(tmp_path: Path, alloy: Truth) -> Path:
    return write_volume_result(tmp_path / "alloy.nxs", alloy.measured(4))


def refine(*arguments: object) -> int:
    return main(["refine", *map(str, arguments)])


def test_table_and_files(volume: Path, alloy: Truth, capsys: pytest.CaptureFixture[str]) -> None:
    assert refine(volume, "--laue", "m-3m", "--centring", "F", "--shells", 4) == 0
    printed = capsys.readouterr().out
    assert " 1/2  1/2    0           12     2.652  -0." in printed
    assert "vector  equivalents  length/Å  alpha" in printed
    assert "its mean over whole zones of the file is 1.0000, expected 1" in printed
    assert "exceed 4 s.u." in printed and "note:" not in printed
    record = json.loads(volume.with_name("alloy.refine.json").read_text(encoding="utf-8"))
    assert record["quantity"] == "alpha" and record["laue_class"] == "m-3m" and record["centring"] == "F"
    assert record["cell"]["a"] == 3.75 and record["concentration"] is None
    assert record["parameters"] == ["1/2 1/2 0", "1 0 0", "1 1/2 1/2", "1 1 0"]
    first = record["alphas"][0]
    assert first["vector"] == ["1/2", "1/2", 0] and len(first["equivalents"]) == 12
    assert abs(first["value"] - alloy.alpha((1, 1, 0))) < 4 * first["standard_uncertainty"]
    assert np.shape(record["correlations"]) == (4, 4) and record["correlations"][2][2] == pytest.approx(1)
    assert record["quality"]["degrees_of_freedom"] == 6 + 3 + 12 + 6 - 4
    assert record["sum_rule"]["file_mean"] == pytest.approx(1, abs=1e-4)
    rows = list(csv.DictReader(volume.with_name("alloy.refine.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["equivalents"] for row in rows] == ["12", "6", "24", "12"]
    block = gemmi.cif.read(str(volume.with_name("alloy.refine.cif"))).sole_block()
    assert block.find_value("_dsfunet_laue_class") == "m-3m"
    assert [row[0] for row in block.find(["_dsfunet_sro_vector_i"])] == ["1/2", "1", "1", "1"]
    picture = volume.with_name("alloy.refine.png").read_bytes()
    assert picture.startswith(b"\x89PNG") and len(picture) > 20_000


def test_the_laue_class_is_found(volume: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert refine(volume, "--vectors", "1/2 1/2 0, 1 0 0", "-o", volume.with_name("x")) == 0
    assert "note: Laue class m-3m is the highest of the cell" in capsys.readouterr().out
    record = json.loads(volume.with_name("x.refine.json").read_text(encoding="utf-8"))
    assert record["settings"]["laue_from"] == "data" and record["laue_tests"][0]["laue"] == "m-3m"
    assert {each["laue"] for each in record["laue_tests"]} > {"4/mmm", "mmm", "2/m", "-1"}


def test_a_wrong_scale_and_a_poor_fit_are_noted(
    tmp_path: Path, alloy: Truth, capsys: pytest.CaptureFixture[str]
) -> None:
    found = alloy.measured(4)
    poor = replace(found, record={**found.record, "chi_squared": 1.4})
    assert refine(write_volume_result(tmp_path / "a.nxs", poor, factor=1.2), "--laue", "m-3m") == 0
    printed = capsys.readouterr().out
    assert "the mean of I_SRO over whole zones is 1.200 in the file; expected 1" in printed
    assert "chi-squared of the fit of the volume is 1.40 per voxel" in printed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--layer", "true"), "--layer: it is for planes, and the result is a volume; omit it"),
        (("--form-factor", "data"), "--form-factor: it is for planes"),
        (("--out-of-plane", "true"), "--out-of-plane: it is for planes"),
        (("--model", "Au+Cu"), "--model: it is for planes"),
        (("--shells", 3, "--vectors", "1 0 0"), "--shells and --vectors: found both"),
        (("--shells", 200), "--shells is 200; expected 1 to 100"),
        (("--shells", 90), "--shells 90: the fit of the volume has 9 complete shells"),
        (("--vectors", "1/2 0 0"), "vector 1/2 0 0: it does not connect two points"),
        (("--vectors", "1 0"), "--vectors: found '1 0'; expected three integers"),
        (
            ("--laue", "4/m", "--unique-axis", "a", "--cell", "3.75 3.75 3.9 90 90 90"),
            "it does not obey Laue class",
        ),
        (("--laue", "m3m"), "Laue class 'm3m': expected one of"),
        (("--unique-axis", "b"), "--unique-axis b: found no --laue"),
        (("--centring", "P"), "--centring P: the volume was fitted with centring F"),
    ],
)
def test_bad_requests_are_one_line_and_write_nothing(
    volume: Path, options: tuple[object, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refine(volume, *options) == 2
    said = capsys.readouterr()
    assert message in said.err and said.err.count("\n") == 1 and not said.out
    assert [each.name for each in volume.parent.iterdir()] == ["alloy.nxs"]


def test_a_volume_is_refined_by_itself(volume: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert refine(volume, volume, "--laue", "m-3m") == 2
    assert "the result is of a volume; refine it by itself" in capsys.readouterr().err


def test_a_damaged_volume_is_one_line(volume: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with h5py.File(volume, "r+") as file:
        del file["entry/correlations/covariance"]
    assert refine(volume) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "alloy.nxs: the result of a volume is damaged" in said
