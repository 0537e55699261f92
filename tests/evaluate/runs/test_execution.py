"""Work units: equal results in any process, kept if a run stops, and never mixed with those of other runs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dsfunet.errors import InputError
from evaluate.reports.report import write_report
from evaluate.runs.devices import resolve_device
from evaluate.runs.evaluation import Report, evaluate
from evaluate.runs.plan import WorkUnit
from evaluate.runs.request import EvaluationRequest
from evaluate.runs.work_units import UnitWorker


def request(store_path: Path, weights: Path, **options: Any) -> EvaluationRequest:
    settings: dict[str, Any] = {
        "samples": 10,
        "batch_size": 1,
        "counts": (50.0,),
        "curve_samples": 3,
        "uncertainty_samples": 2,
        "uncertainty_mode": "turns:2",
        "features": "statistics",
    }
    return EvaluationRequest(weights=str(weights), shards=str(store_path), **(settings | options))


def bytes_of(report: Report, folder: Path) -> dict[str, bytes]:
    write_report(report, folder)
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "timing.json"}


@pytest.mark.slow
def test_any_number_of_processes_gives_the_same_bytes(
    store_path: Path, small_weights: Path, tmp_path: Path
) -> None:
    asked = request(store_path, small_weights)
    alone = evaluate(asked, tmp_path / "one", "cpu", 1, progress=False)
    shared = evaluate(asked, tmp_path / "two", "cpu", 2, progress=False)
    first, second = bytes_of(alone, tmp_path / "a"), bytes_of(shared, tmp_path / "b")
    assert {"report.json", "planes.csv", "planes.npz", "curves.png", "calibration.png"} <= set(first)
    for name, content in first.items():
        assert second[name] == content, name
    assert shared.timing["processes"] == 2


@pytest.mark.slow
def test_a_stopped_run_goes_on_and_ends_the_same(
    store_path: Path, small_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request(store_path, small_weights, curve_samples=0)
    through = evaluate(asked, tmp_path / "through", "cpu", 1, progress=False)
    do, done = UnitWorker.measure, []

    def stop_at_the_second(self: UnitWorker, unit: WorkUnit) -> int:
        if len(done) == 1:
            raise KeyboardInterrupt
        done.append(unit)
        return do(self, unit)

    monkeypatch.setattr(UnitWorker, "measure", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        evaluate(asked, tmp_path / "stopped", "cpu", 1, progress=False)
    monkeypatch.setattr(UnitWorker, "measure", do)
    resumed = evaluate(asked, tmp_path / "stopped", "cpu", 1, progress=False)
    assert resumed.timing["units_done_before"] == 1
    assert resumed.plain == through.plain
    for name, values in through.planes.items():
        np.testing.assert_array_equal(resumed.planes[name], values)


@pytest.mark.slow
def test_parts_of_another_evaluation_are_neither_used_nor_removed(
    store_path: Path, small_weights: Path, tmp_path: Path
) -> None:
    few = {"curve_samples": 0, "uncertainty_samples": 0, "samples": 2}
    evaluate(request(store_path, small_weights, **few), tmp_path / "parts", "cpu", 1, progress=False)
    kept = sorted(path.name for path in (tmp_path / "parts").iterdir())
    with pytest.raises(InputError, match="was not written by this evaluation"):
        evaluate(
            request(store_path, small_weights, **few, seed=1), tmp_path / "parts", "cpu", 1, progress=False
        )
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == kept


def test_a_folder_of_other_things_is_left_alone(
    store_path: Path, small_weights: Path, tmp_path: Path
) -> None:
    parts = tmp_path / "parts"
    parts.mkdir()
    (parts / "thesis.tex").write_text("x", encoding="utf-8")
    with pytest.raises(InputError, match="was not written by this evaluation"):
        evaluate(request(store_path, small_weights), parts, "cpu", 1, progress=False)
    assert (parts / "thesis.tex").exists()


@pytest.mark.slow
def test_a_damaged_part_is_named(store_path: Path, small_weights: Path, tmp_path: Path) -> None:
    few = request(store_path, small_weights, curve_samples=0, uncertainty_samples=0, samples=2)
    evaluate(few, tmp_path / "parts", "cpu", 1, progress=False)
    path = tmp_path / "parts" / "validation-000000.npz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(
        InputError, match=r"validation-000000.npz: the file is damaged .*; remove it and run again"
    ):
        evaluate(few, tmp_path / "parts", "cpu", 1, progress=False)


def test_this_process_keeps_its_threads(store_path: Path, small_weights: Path, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    few = request(store_path, small_weights, curve_samples=0, uncertainty_samples=0, samples=1)
    evaluate(few, tmp_path / "parts", "cpu", 1, progress=False)
    assert torch.get_num_threads() == before


def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == "cpu"
    with pytest.raises(InputError, match="torch finds no GPU"):
        resolve_device("cuda")
