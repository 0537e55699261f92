"""The command line, in process, with a factorizer that needs no weights."""

import json
from pathlib import Path

import pytest

from dsfunet.shards import Store
from evaluate import __main__ as command
from evaluate.scoring import AnyFactorizer


@pytest.fixture
def known(factorizer: AnyFactorizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "load_factorizer", lambda *_: factorizer)


@pytest.mark.usefixtures("known")
def test_a_full_run(
    store_path: Path, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report"
    code = command.main(["--shards", str(store_path), "--out", str(out), "--samples", "4", "--seed", "7"])
    assert code == 0
    plain = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert plain["provenance"]["planes"] == 4
    assert plain["provenance"]["seed"] == 7
    assert plain["provenance"]["store"]["digest"] == store.digest
    # k = 0..3: (0 + 1 + 4 + 9) / 4 = 3.5.
    assert plain["metrics"]["mse"]["form_factor"]["mean"] == pytest.approx(3.5e-4, rel=1e-4)
    assert json.loads((out / "timing.json").read_text(encoding="utf-8"))["seconds"]["total"] > 0
    printed = capsys.readouterr()
    assert "| I_SRO | 0.0014 |" in printed.out
    assert "4 planes" in printed.out
    assert "4/4" in printed.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--shards", "nowhere.zarr"], "no such store"),
        (["--samples", "13"], "expected 1 to 12"),
        (["--checkpoint", "nowhere.ckpt"], "no such checkpoint"),
        (["--checkpoint", "nowhere.ckpt", "--weights", "release"], "expected one of the two"),
    ],
)
def test_wrong_input_is_one_line_and_nothing_is_written(
    options: list[str],
    message: str,
    store_path: Path,
    tmp_path: Path,
    factorizer: AnyFactorizer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if "--checkpoint" not in options:
        monkeypatch.setattr(command, "load_factorizer", lambda *_: factorizer)
    given = ["--shards", str(store_path), "--out", str(tmp_path / "report"), "--progress", "false", *options]
    assert command.main(given) == 2
    error = capsys.readouterr().err
    assert error.startswith("evaluate: ") and error.count("\n") == 1 and message in error
    assert list(tmp_path.iterdir()) == []


def test_the_destination_is_checked_before_the_work(
    store_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("the work began")

    monkeypatch.setattr(command, "load_factorizer", fail)
    (tmp_path / "file").write_text("x", encoding="utf-8")
    assert command.main(["--shards", str(store_path), "--out", str(tmp_path / "file")]) == 2
    assert "is a file" in capsys.readouterr().err


def test_a_weights_folder_is_evaluated(store_path: Path, tmp_path: Path) -> None:
    # Imported here: torch takes seconds that the other tests need not wait for.
    from dsfunet.networks import SpectralUNet
    from dsfunet.weights import Generators, save_folder

    fresh, out = tmp_path / "fresh", tmp_path / "report"
    save_folder(Generators(SpectralUNet().eval(), SpectralUNet().eval(), "fresh", "", {}), fresh, {})
    given = ["--checkpoint", str(fresh), "--shards", str(store_path), "--out", str(out), "--samples", "2"]
    assert command.main([*given, "--device", "cpu", "--progress", "false"]) == 0
    plain = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert plain["provenance"]["factorizer"]["name"] == "fresh"
    # Untrained, so no better than an answer that ignores its input, yet made of intensities: s in [-1, 1].
    for scores in plain["metrics"]["mse"].values():
        assert scores["baselines"]["mean_plane"]["mean"] < scores["mean"] <= 4
