"""The report folder: its bytes, its replacement as a whole, its tables, and the whole command."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from dsfunet.errors import InputError
from evaluate import __main__ as command
from evaluate.reports import pictures
from evaluate.reports.report import write_report
from evaluate.reports.report_folder import REPORT_FILES, check_destination
from evaluate.reports.tables import report_markdown
from evaluate.runs.evaluation import Report

QUICK = ["--counts", "[]", "--curve-samples", "0", "--uncertainty-samples", "0", "--features", "statistics"]
QUICK += ["--baselines", "[series_levelled]", "--processes", "1"]


@pytest.fixture(scope="module")
def folder(measured: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reports") / "new" / "report"
    write_report(measured, out)
    return out


@pytest.fixture
def blank_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blank pictures for the tests of replacing the folder, because pictures take seconds to draw."""
    for name in ("distribution", "curves", "gallery", "calibration"):
        monkeypatch.setattr(pictures, name, lambda *_: Figure())


def test_the_folder_holds_the_report_and_nothing_else(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == sorted(REPORT_FILES)
    assert [path.name for path in folder.parent.iterdir()] == ["report"]


@pytest.mark.slow
def test_writing_again_gives_the_same_bytes(measured: Report, folder: Path, tmp_path: Path) -> None:
    write_report(measured, tmp_path / "again")
    for name in REPORT_FILES:
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes(), name


def test_planes_csv_lists_every_plane(folder: Path) -> None:
    rows = list(csv.DictReader((folder / "planes.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 12
    assert rows[5]["lattice"] == "hexagonal" and float(rows[5]["missing share"]) == 0.5
    assert rows[5]["species group"] == "rings"
    assert float(rows[5]["mse form_factor"]) == pytest.approx(25e-4, rel=1e-3)


def test_markdown_has_the_tables_of_the_paper(folder: Path) -> None:
    text = (folder / "report.md").read_text(encoding="utf-8")
    lines = text.splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    assert ["I_FF", "0.0042", "0.0031", "0.0098", "100.0 % (0.014)", "100.0 %"] in [row[:6] for row in rows]
    [spread] = [row for row in rows if row[0] == "mean MSE, [-1, 1], I_SRO"]
    [unit] = [row for row in rows if row[0] == "mean MSE, [0, 1], I_SRO"]
    assert float(unit[1]) == pytest.approx(float(spread[1]) / 4, rel=1e-3)
    titles = {row[0].partition(" in plane statistics")[0] for row in rows}
    assert titles >= {"FID, I_FF", "FID, I_SRO", "KID, I_FF", "KID, I_SRO"}
    assert "plane statistics" in text and "Warning" not in text
    assert "cosine series" in text and "beats the networks alone" in text


def test_where_no_rival_is_better_the_report_says_so(measured: Report) -> None:
    plain = json.loads(json.dumps(measured.plain))
    del plain["predictors"]["series_levelled"], plain["predictors"]["lattice_mode"]
    assert "No method beats the networks alone" in report_markdown(plain)
    plain["warnings"] = ["Mind the gap."]
    plain["predictors"]["network"]["measures"]["form_factor"]["mse"]["mean"] = 0.0
    text = report_markdown(plain)
    assert "> **Warning.** Mind the gap." in text


@pytest.mark.usefixtures("blank_pictures")
def test_an_earlier_report_is_replaced(measured: Report, tmp_path: Path) -> None:
    out = tmp_path / "report"
    out.mkdir()
    (out / "report.md").write_text("old", encoding="utf-8")
    write_report(measured, out)
    assert (out / "report.md").read_text(encoding="utf-8") != "old"
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


@pytest.mark.usefixtures("blank_pictures")
def test_a_failure_leaves_the_earlier_report(
    measured: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Report) -> Figure:
        raise RuntimeError("no ink")

    out = tmp_path / "report"
    out.mkdir()
    (out / "report.md").write_text("old", encoding="utf-8")
    monkeypatch.setattr(pictures, "gallery", fail)
    with pytest.raises(RuntimeError, match="no ink"):
        write_report(measured, out)
    assert (out / "report.md").read_text(encoding="utf-8") == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


@pytest.mark.usefixtures("blank_pictures")
def test_a_rename_that_fails_puts_the_earlier_report_back(
    measured: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Path.replace

    def fail_for_new(source: Path, destination: Path) -> Path:
        if source.name == "new":
            raise OSError("disk gone")
        return replace(source, destination)

    out = tmp_path / "report"
    out.mkdir()
    (out / "report.md").write_text("old", encoding="utf-8")
    monkeypatch.setattr(Path, "replace", fail_for_new)
    with pytest.raises(OSError, match="disk gone"):
        write_report(measured, out)
    assert (out / "report.md").read_text(encoding="utf-8") == "old"


def test_a_destination_that_is_no_report_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x", encoding="utf-8")
    with pytest.raises(InputError, match=r"holds 'thesis\.tex'"):
        check_destination(tmp_path)
    with pytest.raises(InputError, match="this is the current folder"):
        check_destination(Path.cwd())
    with pytest.raises(InputError, match="this is a file"):
        check_destination(tmp_path / "thesis.tex")


@pytest.mark.slow
def test_the_command(
    store_path: Path,
    tmp_path: Path,
    known_networks: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    known_networks()
    out = tmp_path / "report"
    code = command.main(
        ["--shards", str(store_path), "--out", str(out), "--samples", "4", "--seed", "7", *QUICK]
    )
    assert code == 0
    plain = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert plain["provenance"]["stores"]["validation"]["planes"] == 4
    assert plain["provenance"]["settings"]["seed"] == 7
    # k = 0..3: (0 + 1 + 4 + 9) / 4 = 3.5.
    measures = plain["predictors"]["network"]["measures"]
    assert measures["form_factor"]["mse"]["mean"] == pytest.approx(3.5e-4, rel=1e-3)
    assert json.loads((out / "timing.json").read_text(encoding="utf-8"))["seconds"] > 0
    printed = capsys.readouterr()
    assert "| I_SRO | 0.0014 |" in printed.out
    assert "4/4" in printed.err
    # The intermediate results are gone, and a report can be compared with itself.
    assert [path.name for path in tmp_path.iterdir()] == ["report"]
    assert command.main(["compare", str(out), str(out), "--second-method", "series_levelled"]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--shards", "nowhere.zarr"], "no such store"),
        (["--training-shards", "nowhere.zarr"], "no such store"),
        (["--samples", "13"], "expected 1 to 12"),
        (["--checkpoint", "nowhere.ckpt"], "there is no such checkpoint"),
        (["--checkpoint", "nowhere.ckpt", "--weights", "release"], "give only one"),
        (["--inception-weights", "nowhere.pth", "--features", "auto"], "no such file"),
        (["--mode", "dropout:3"], "have no dropout"),
    ],
)
def test_wrong_input_is_one_line_and_nothing_is_written(
    options: list[str],
    message: str,
    store_path: Path,
    small_weights: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    weights = [] if "--checkpoint" in options else ["--checkpoint", str(small_weights)]
    given: list[Any] = ["--shards", str(store_path), "--out", str(tmp_path / "report"), "--progress", "false"]
    assert command.main([*given, *weights, *QUICK, *options]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and message in error
    assert list(tmp_path.iterdir()) == []


def test_a_stop_says_how_to_go_on(
    store_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("evaluate.runs.evaluation.evaluate", stop)
    assert command.main(["--shards", str(store_path), "--out", str(tmp_path / "report")]) == 130
    assert "run the same command again to continue" in capsys.readouterr().err
