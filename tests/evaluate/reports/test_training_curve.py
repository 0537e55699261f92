"""The picture of a training run shows the logged values."""

from pathlib import Path

import pytest

from evaluate.__main__ import main
from evaluate.reports.training_curve import draw_curve
from evaluate.reports.training_log import read_log


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A run of 20 batches that was resumed at the tenth."""
    folder = tmp_path / "csv"
    columns = "epoch,step,train/form_factor_l1,validation/form_factor_mse,validation/form_factor_mse_90"
    starts = {
        "version_0": ["0,9,0.5,,", "0,9,,0.25,0.5", "0,19,0.4,,", "0,19,,0.2,0.4"],
        "version_1": ["0,14,0.3,,", "0,29,0.1,,", "0,29,,0.05,0.1"],
        "version_2": [],  # stopped before it logged anything
    }
    for name, rows in starts.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "metrics.csv").write_text("\n".join([columns, *rows]) + "\n", encoding="utf-8")
    return folder


def test_starts_of_a_run_are_joined_where_it_went_on(log: Path) -> None:
    columns = read_log(log)
    assert columns["train/form_factor_l1"] == ([10.0, 15.0, 30.0], [0.5, 0.3, 0.1])
    assert columns["validation/form_factor_mse"] == ([10.0, 30.0], [0.25, 0.05])


def test_the_panels_show_the_columns(log: Path) -> None:
    losses, errors, gauges = draw_curve(read_log(log)).axes
    [line] = losses.lines
    assert line.get_xydata().tolist() == [[10, 0.5], [15, 0.3], [30, 0.1]]
    assert [each.get_ydata().tolist() for each in errors.lines] == [[0.25, 0.05], [0.5, 0.1]]
    assert losses.get_yscale() == errors.get_yscale() == "log"
    assert not gauges.lines  # nothing logged, nothing drawn


def test_command_writes_a_picture_or_one_sentence(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "curve.png"
    assert main(["curve", str(log), "-o", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert main(["curve", str(tmp_path), "-o", str(tmp_path / "other.png")]) == 2
    assert "found no version_N/metrics.csv in it" in capsys.readouterr().err
    assert not (tmp_path / "other.png").exists()
