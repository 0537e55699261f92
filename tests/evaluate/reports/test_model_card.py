"""The model card agrees with the training log, the store and the report; bad input writes nothing."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from dsfunet.data.manifests import manifest_file
from dsfunet.data.store import create_store, open_store
from dsfunet.files import write_json
from evaluate.__main__ import main
from evaluate.reports.model_card import validation_curve
from evaluate.reports.report import write_report
from evaluate.reports.training_log import log_versions
from evaluate.runs.evaluation import Report

METRICS = """step,train/form_factor_l1,validation/form_factor_mse,validation/short_range_order_mse
9,0.5,,
9,,0.25,0.5
19,0.4,,
19,,0.125,0.375
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    folder = tmp_path / "csv" / "version_0"
    folder.mkdir(parents=True)
    (folder / "metrics.csv").write_text(METRICS)
    config = {"seed_everything": 3, "model": {}, "data": {"batch_size": 8}, "trainer": {}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder.parent


def save_checkpoint(path: Path, **changes: Any) -> None:
    content = {
        "state_dict": {"batches_seen": torch.tensor(20)},
        "networks": {"form_factor": {}, "short_range_order": {}},
        "made_by": {"version": "0.1.0", "machine": "3 cores of an abacus"},
        "callbacks": {"CosineSchedule": {"spent_seconds": 5094.0}, "StartFrom": {"started_from": "e" * 64}},
        **changes,
    }
    torch.save(content, path)


@pytest.fixture
def training_store(tmp_path: Path) -> Path:
    path = tmp_path / "train.zarr"
    attributes = {
        "split": "train",
        "recipe": {"seed": 1},
        "recipe_digest": "r" * 64,
        "species_digest": "s" * 64,
        "species_names": ["benzene", "phenol", "toluene"],
        "code_version": "0.1.0",
    }
    group = create_store(path, 2, 2, attributes)
    group["species"][:] = np.array([[2, 1], [1, 2]], np.int16)  # type: ignore[index]
    write_json(manifest_file(path, 0), {"samples": 2})
    group.attrs.update({"digest": "d" * 64, "complete": True})
    return path


def arguments(tmp_path: Path, log: Path, training_store: Path) -> list[str]:
    (tmp_path / "weights").mkdir(exist_ok=True)
    checkpoint = tmp_path / "last.ckpt"
    if not checkpoint.exists():
        save_checkpoint(checkpoint)
    return [
        "card",
        *("--checkpoint", str(checkpoint)),
        *("--weights", str(tmp_path / "weights"), "--log", str(log), "--store", str(training_store)),
        *("--report", str(tmp_path / "report" / "report.json"), "--note", "Small and quick."),
    ]


def test_curve_counts_batches_from_one_and_keeps_validations_only(log: Path) -> None:
    assert validation_curve(log) == [
        {"batches": 10, "form_factor": 0.25, "short_range_order": 0.5},
        {"batches": 20, "form_factor": 0.125, "short_range_order": 0.375},
    ]


@pytest.mark.slow
def test_card_says_what_its_sources_say(
    tmp_path: Path, log: Path, training_store: Path, measured: Report
) -> None:
    write_report(measured, tmp_path / "report")
    assert main(arguments(tmp_path, log, training_store)) == 0
    card = json.loads((tmp_path / "weights" / "card.json").read_text())
    assert card["data"]["species"] == ["phenol", "toluene"]
    assert card["training"]["samples_seen"] == 20 * 8
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert card["scores"]["predictors"] == report["predictors"]
    assert card["training"]["started_from"] == "e" * 64
    text = (tmp_path / "weights" / "README.md").read_text()
    assert "160 samples in 20 batches, 85 minutes including validation, on 3 cores of an abacus" in text
    assert "| 80 | 0.2500 | 0.5000 |" in text
    assert "Training started from the weights `eeeeeeeeeeeeeeee`." in text
    assert "Small and quick." in text
    _, _, fails = text.partition("## Where it fails")
    assert all(f"| {name} " in fails for name in ("missing pixels", "order kind", "lattice", "species group"))


@pytest.mark.slow
def test_a_card_without_the_training_store_says_of_it_what_the_checkpoint_does(
    tmp_path: Path, log: Path, training_store: Path, measured: Report
) -> None:
    write_report(measured, tmp_path / "report")
    data = {**open_store(training_store).description(), "species": ["water"]}
    save_checkpoint(tmp_path / "last.ckpt", data=data)
    given = arguments(tmp_path, log, training_store)
    place = given.index("--store")
    assert main([*given[:place], *given[place + 2 :]]) == 0
    card = json.loads((tmp_path / "weights" / "card.json").read_text())
    assert card["data"] == data
    assert "Trained on 2 simulated planes" in (tmp_path / "weights" / "README.md").read_text()


@pytest.mark.slow
def test_a_checkpoint_that_does_not_say_its_planes_needs_the_store(
    tmp_path: Path, log: Path, training_store: Path, measured: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    write_report(measured, tmp_path / "report")
    given = arguments(tmp_path, log, training_store)
    place = given.index("--store")
    assert main([*given[:place], *given[place + 2 :]]) == 2
    assert (
        "the checkpoint does not name its training planes; give their store with --store"
        in capsys.readouterr().err
    )


@pytest.mark.slow
def test_samples_of_all_ranks_are_counted(
    tmp_path: Path, log: Path, training_store: Path, measured: Report
) -> None:
    (log / "version_0" / "hparams.yaml").write_text("joint_step: fused\nranks: 4\nprecision: 32-true\n")
    write_report(measured, tmp_path / "report")
    assert main(arguments(tmp_path, log, training_store)) == 0
    card = json.loads((tmp_path / "weights" / "card.json").read_text())
    assert card["training"]["samples_seen"] == 20 * 8 * 4


def test_curve_of_a_run_that_went_on_leaves_out_what_was_done_again(log: Path) -> None:
    for number, step in ((2, 14), (10, 29)):
        (log / f"version_{number}").mkdir()
        rows = f"step,validation/form_factor_mse,validation/short_range_order_mse\n{step - 4},,\n{step},0.1,0.2\n"
        (log / f"version_{number}" / "metrics.csv").write_text(rows)
    versions = log_versions(log)
    assert [path.name for path in versions] == ["version_0", "version_2", "version_10"]
    assert [point["batches"] for point in validation_curve(log)] == [10, 15, 30]


@pytest.mark.parametrize("damage", ["log", "report", "checkpoint", "curve"])
def test_malformed_sources_are_one_sentence_and_write_nothing(
    tmp_path: Path, log: Path, training_store: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.json").write_text("{}")
    if damage == "log":
        (log / "version_0" / "metrics.csv").unlink()
    elif damage == "report":
        (tmp_path / "report" / "report.json").write_text("{")
    elif damage == "checkpoint":
        save_checkpoint(tmp_path / "last.ckpt", state_dict={})
    else:
        (log / "version_0" / "metrics.csv").write_text("step,train/form_factor_l1\n9,0.5\n")
    assert main(arguments(tmp_path, log, training_store)) == 2
    error = capsys.readouterr().err
    assert error.startswith("evaluate: ") and error.count("\n") == 1
    assert not list((tmp_path / "weights").iterdir())


def test_missing_report_is_one_sentence_and_writes_nothing(
    tmp_path: Path, log: Path, training_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(tmp_path, log, training_store)) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not list((tmp_path / "weights").iterdir())
