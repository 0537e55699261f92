"""The report folder: its numbers, its bytes, and never half of it."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from dsfunet.errors import InputError
from dsfunet.shards import Store
from evaluate import pictures
from evaluate.report import REPORT_FILES, check_destination, content, write
from evaluate.scoring import AnyFactorizer, Report, evaluate
from evaluate.tables import markdown


@pytest.fixture(scope="module")
def measured(factorizer: AnyFactorizer, store: Store) -> Report:
    return evaluate(factorizer, store, progress=False)


@pytest.fixture(scope="module")
def folder(measured: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reports") / "new" / "report"
    write(measured, out)
    return out


@pytest.fixture
def blank_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures take seconds to draw: tests of how the folder gets in its place do without."""
    monkeypatch.setattr(pictures, "histogram", lambda *_: Figure())
    monkeypatch.setattr(pictures, "gallery", lambda *_: Figure())


def scores_in(folder: Path) -> dict[str, Any]:
    scores: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))["metrics"][
        "mse"
    ]
    return scores


def test_the_folder_holds_the_report_and_nothing_else(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == sorted(REPORT_FILES)
    assert [path.name for path in folder.parent.iterdir()] == ["report"]


def test_numbers_of_the_form_factor(folder: Path) -> None:
    # Scores are 1e-4 k^2 for k = 0..11: the sum of k^2 is 506, the middle two are 25 and 36, and the 90th
    # percentile lies 0.9 of the way from 81 (k = 9) to 100 (k = 10). All are under 0.014 = 140e-4.
    scores = scores_in(folder)["form_factor"]
    assert scores["mean"] == pytest.approx(506e-4 / 12, rel=1e-5)
    assert scores["median"] == pytest.approx(30.5e-4, rel=1e-5)
    assert scores["percentile_90"] == pytest.approx(98.1e-4, rel=1e-5)
    assert scores["share_under_paper_mark"] == 1.0
    assert scores["noise_against_truth_over_mean"] == pytest.approx(
        scores["baselines"]["noise_against_truth"]["mean"] / scores["mean"]
    )


def test_numbers_of_the_short_range_order(folder: Path) -> None:
    # Scores are 4e-4 k^2: under 0.032 = 80 * 4e-4 for k <= 8, under 0.04 = 100 * 4e-4 for k <= 9 and, as
    # float32 rounds, perhaps for k = 10, which lies on the mark.
    scores = scores_in(folder)["short_range_order"]
    assert scores["share_under_paper_mark"] == pytest.approx(9 / 12)
    assert scores["share_under_common_mark"] in (pytest.approx(10 / 12), pytest.approx(11 / 12))
    assert scores["baselines"]["noise_against_noise"]["mean"] == pytest.approx(2 / 3, abs=0.005)


def test_breakdown_by_lattice(folder: Path) -> None:
    # Hexagonal are k = 2, 5, 8, 11: squares 4 + 25 + 64 + 121 = 214.
    by = scores_in(folder)["form_factor"]["by"]
    assert by["lattice"]["hexagonal"]["planes"] == 4
    assert by["lattice"]["hexagonal"]["mean"] == pytest.approx(214e-4 / 4, rel=1e-5)
    assert set(by["lattice"]) == {"orthogonal", "hexagonal"}
    assert [summary["planes"] for summary in by["missing pixels"].values()] == [4, 4, 4]


def test_the_same_planes_give_the_same_bytes(
    factorizer: AnyFactorizer, store: Store, folder: Path, tmp_path: Path
) -> None:
    write(evaluate(factorizer, store, batch_size=3, progress=False), tmp_path / "again")
    for name in set(REPORT_FILES) - {"timing.json"}:
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes(), name


def test_planes_csv_lists_every_plane(folder: Path) -> None:
    rows = list(csv.DictReader((folder / "planes.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 12
    assert rows[5]["lattice"] == "hexagonal" and rows[5]["missing share"] == "0.5000"
    assert float(rows[5]["mse form_factor"]) == pytest.approx(25e-4, rel=1e-4)


def test_markdown_has_the_table_of_the_paper(folder: Path) -> None:
    text = (folder / "report.md").read_text(encoding="utf-8")
    row = next(line for line in text.splitlines() if line.startswith("| I_FF"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:6] == ["I_FF", "0.0042", "0.0031", "0.0098", "100.0 % (0.014)", "100.0 %"]
    assert "Warning" not in text


def test_warnings_and_a_perfect_score_are_written_out(measured: Report) -> None:
    plain = content(measured)
    plain["warnings"] = ["Mind the gap."]
    plain["metrics"]["mse"]["form_factor"]["noise_against_truth_over_mean"] = None
    text = markdown(plain)
    assert "> **Warning.** Mind the gap." in text
    assert next(line for line in text.splitlines() if line.startswith("| I_FF")).rstrip(" |").endswith("-")


@pytest.mark.usefixtures("blank_pictures")
def test_an_earlier_report_is_replaced(measured: Report, tmp_path: Path) -> None:
    out = tmp_path / "report"
    out.mkdir()
    (out / "report.md").write_text("old", encoding="utf-8")
    write(measured, out)
    assert sorted(path.name for path in out.iterdir()) == sorted(REPORT_FILES)
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
        write(measured, out)
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
        write(measured, out)
    assert (out / "report.md").read_text(encoding="utf-8") == "old"


def test_destinations_that_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x", encoding="utf-8")
    with pytest.raises(InputError, match="is a file"):
        check_destination(tmp_path / "file")
    with pytest.raises(InputError, match=r"holds 'thesis\.tex'"):
        check_destination(tmp_path / "mine")
    with pytest.raises(InputError, match="cannot be made"):
        check_destination(tmp_path / "file" / "report")
    check_destination(tmp_path / "deep" / "er" / "report")
    assert not (tmp_path / "deep").exists()
