"""The model card says what the training log, the store and the report say, and nothing is written on bad input."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from dsfunet import shards
from evaluate.card import main, training_curve
from evaluate.report import write
from evaluate.scoring import evaluate

METRICS = """step,train/form_factor_l1,validation/form_factor_mse,validation/short_range_order_mse
9,0.5,,
9,,0.25,0.5
19,0.4,,
19,,0.125,0.375
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    folder = tmp_path / "log"
    folder.mkdir()
    (folder / "metrics.csv").write_text(METRICS)
    callbacks = [{"class_path": "dsfunet.callbacks.CosineSchedule", "init_args": {"budget_minutes": 85.0}}]
    config = {
        "seed_everything": 3,
        "model": {},
        "data": {"batch_size": 8},
        "trainer": {"callbacks": callbacks},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


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
    group = shards.create(path, 2, 2, attributes)
    group["species"][:] = np.array([[2, 1], [1, 2]], np.int16)  # type: ignore[index]
    shards.write_json(shards.manifest_file(path, 0), {"samples": 2})
    group.attrs.update({"digest": "d" * 64, "complete": True})
    return path


def arguments(tmp_path: Path, log: Path, training_store: Path) -> list[str]:
    (tmp_path / "weights").mkdir(exist_ok=True)
    return [
        *("--weights", str(tmp_path / "weights"), "--log", str(log), "--store", str(training_store)),
        *("--report", str(tmp_path / "report" / "report.json"), "--note", "Small and quick."),
    ]


def test_curve_counts_batches_from_one_and_keeps_validations_only(log: Path) -> None:
    assert training_curve(log / "metrics.csv") == [
        {"batches": 10, "form_factor": 0.25, "short_range_order": 0.5},
        {"batches": 20, "form_factor": 0.125, "short_range_order": 0.375},
    ]


def test_card_says_what_its_sources_say(
    tmp_path: Path, log: Path, training_store: Path, store: shards.Store, factorizer: object
) -> None:
    write(evaluate(factorizer, store, progress=False), tmp_path / "report")  # type: ignore[arg-type]
    assert main(arguments(tmp_path, log, training_store)) == 0
    card = json.loads((tmp_path / "weights" / "card.json").read_text())
    assert card["data"]["species"] == ["phenol", "toluene"]
    assert card["training"]["samples_seen"] == 20 * 8
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert card["scores"]["metrics"] == report["metrics"]
    text = (tmp_path / "weights" / "README.md").read_text()
    assert "160 samples in 20 batches, 85 minutes" in text
    assert "| 80 | 0.2500 | 0.5000 |" in text
    assert "Small and quick." in text


def test_missing_report_is_one_sentence_and_writes_nothing(
    tmp_path: Path, log: Path, training_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(tmp_path, log, training_store)) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not list((tmp_path / "weights").iterdir())
