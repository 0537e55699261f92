"""Pulls, the torsion and the command, with two seeds each."""

import json
from pathlib import Path

import numpy as np
import pytest

import examples.worked.__main__ as command
from dsfunet.io import Result, read_result
from examples.worked.crystals import TERT_BUTYL_DEG, Crystal, all_crystals, tricarboxamide
from examples.worked.recovery import METHODS, Trial, select_components, summarise_pulls
from examples.worked.torsion import near_minimum


def plane_of(crystal: Crystal) -> Result:
    """Return a result with meaningless components."""
    empty = np.full(crystal.grid.shape, 0.5, np.float32)
    counts = crystal.expected_counts.astype(np.float32)
    return Result(counts, empty, empty, empty, empty, crystal.mask, crystal.grid)


def test_pulls_by_hand() -> None:
    alphas = [np.array([0.1, 0.0]), np.array([0.3, 0.2]), np.array([np.nan, np.nan])]
    errors = [np.array([0.1, 0.1]), np.array([0.2, 0.1]), np.array([np.nan, np.nan])]
    trials = [Trial(True, {"way": a}, {"way": e}) for a, e in zip(alphas, errors, strict=True)]
    pulls = summarise_pulls(trials, "way", np.array([0.1, -0.1]))
    np.testing.assert_allclose(pulls.mean, [0.2, 0.1])
    np.testing.assert_allclose(pulls.uncertainty, [0.15, 0.1])
    np.testing.assert_allclose(pulls.pull_mean, [0.5, 2.0])  # 0 and 1; 1 and 3
    np.testing.assert_allclose(pulls.pull_deviation, [np.sqrt(0.5), np.sqrt(2)])
    np.testing.assert_allclose(pulls.pull_rms, [np.sqrt(0.5), np.sqrt(5)])
    assert pulls.within_two == 0.75
    assert pulls.failed == 1


@pytest.mark.slow
def test_torsion_comes_back_from_the_true_form_factor() -> None:
    crystal = tricarboxamide()
    minimum = near_minimum(crystal, select_components(plane_of(crystal), crystal, "truth"))
    assert minimum is not None
    # Points are 4 degrees apart: the parabola through three of them is good to a few tenths.
    assert minimum.angle_deg == pytest.approx(TERT_BUTYL_DEG, abs=0.3)
    assert minimum.misfit < 1e-4


@pytest.mark.slow
def test_command_writes_what_it_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "example"
    command.main(["--out", str(out), "--seeds", "2", "--torsion-seeds", "2", "--processes", "2"])
    names = [crystal.name for crystal in all_crystals()]
    pictures = {f"example_{name}.png" for name in (*names, "alphas", "pulls", "torsion")}
    results = {f"{name}.nxs" for name in names}
    columns = {"column_up.xyz", "column_down.xyz"}
    assert {path.name for path in out.iterdir()} == pictures | results | columns | {
        "tables.md",
        "numbers.json",
    }
    assert all((out / picture).stat().st_size < 200_000 for picture in pictures)
    assert (out / "tables.md").read_text(encoding="utf-8") in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == [out]

    numbers = json.loads((out / "numbers.json").read_text(encoding="utf-8"))
    for crystal in all_crystals():
        assert read_result(out / f"{crystal.name}.nxs").grid is not None
        assert set(numbers["pulls"][crystal.name]) == set(METHODS)
        control = numbers["pulls"][crystal.name]["species known"]["parameters"]
        for parameter in control.values():  # with I_FF known nothing but noise is in the way
            assert abs(parameter["mean"] - parameter["truth"]) < 0.005
    assert numbers["torsion"]["seeds"] == 2


def test_command_leaves_alone_what_it_did_not_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "thesis.tex").write_text("mine", encoding="utf-8")
    with pytest.raises(SystemExit, match="this is not a folder of worked examples"):
        command.main(["--out", str(tmp_path)])
    with pytest.raises(SystemExit, match="expected 2 or more"):
        command.main(["--out", str(tmp_path / "new"), "--seeds", "1"])
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]

    earlier = tmp_path / "earlier"
    earlier.mkdir()
    (earlier / command.NUMBERS).write_text("{}", encoding="utf-8")

    def stopped(folder: Path, *_: int) -> None:
        (folder / "half").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_write_results", stopped)
    with pytest.raises(KeyboardInterrupt):
        command.main(["--out", str(earlier)])
    assert {path.name for path in tmp_path.iterdir()} == {"thesis.tex", "earlier"}
    assert [path.name for path in earlier.iterdir()] == [command.NUMBERS]
