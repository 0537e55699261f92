"""Runs in their trackers: a resumed run goes on as the same run, with all settings, pictures and weights."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch.loggers import CSVLogger
from PIL import Image

from dsfunet.cli.lightning_cli import run_training
from dsfunet.cli.main import main
from dsfunet.data.store import open_store
from dsfunet.networks.weights import load_release
from dsfunet.training.monitor import RunMonitor, count_operations, find_peak_tflops
from dsfunet.training.trackers import prepare_trackers
from tests.dsfunet.cli.test_lightning_cli import offline, read_metrics, write_config
from tests.dsfunet.offline_dashboard import read_artifacts, read_history, read_identity, read_settings
from tests.dsfunet.training.test_callbacks import tiny_module

__all__ = ["offline"]  # a fixture for all tests of this file

pytestmark = [
    pytest.mark.filterwarnings("ignore:The .*_dataloader. does not have many workers"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
    pytest.mark.filterwarnings("ignore:The dirpath has changed"),
    pytest.mark.filterwarnings("ignore:LightningCLI's args parameter is intended"),
]


def fit_thrice(config: Path, *arguments: str) -> None:
    """Train for two batches, resume for two, and resume for two more."""
    import wandb

    resumed = ["fit", "--config", str(config), "--ckpt_path", "last", "--trainer.max_epochs", "2"]
    for batches in (2, 4, 6):
        assert main([*resumed, "--trainer.max_steps", str(batches), *arguments]) == 0
        wandb.finish()


@pytest.fixture(scope="module")
def thrice(tiny_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with CSV log and W&B that was resumed twice."""
    folder = tmp_path_factory.mktemp("thrice")
    start = ["--trainer.callbacks+=dsfunet.training.artifacts.UploadBestWeights"]
    fit_thrice(write_config(folder, tiny_store, dashboard=True), *start)
    return folder


def dashboards(folder: Path) -> list[Path]:
    return sorted(folder.glob("run/wandb/offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime)


def test_a_run_that_is_resumed_twice_is_one_run(thrice: Path) -> None:
    files = dashboards(thrice)
    assert len(files) == 3
    identities = {read_identity(path) for path in files}
    assert len(identities) == 1
    [(run, name)] = identities
    assert name == "run, seed 1"
    kept = json.loads((thrice / "run" / "trackers.json").read_text(encoding="utf-8"))
    assert kept == {"0 CSVLogger": 0, "1 WandbLogger": run}
    logged = [step for path in files for step in read_history(path) if "train/joint" in step]
    assert [step["trainer/global_step"] for step in logged] == [0, 1, 2, 3, 4, 5]
    rows = [row for row in read_metrics(thrice) if row["train/joint"]]  # of one version
    assert [row["step"] for row in rows] == ["0", "1", "2", "3", "4", "5"]
    assert [float(row["batches_seen"]) for row in rows] == [1, 2, 3, 4, 5, 6]


def test_a_new_run_is_another_run(thrice: Path, tmp_path: Path, tiny_store: Path) -> None:
    import wandb

    config = write_config(tmp_path, tiny_store, dashboard=True)
    one = ["--trainer.max_steps", "1"]
    last = str(thrice / "run" / "last.ckpt")
    for arguments in (["--ckpt_path", last, "--trainer.max_steps", "7"], ["--overwrite", *one]):
        assert main(["fit", "--config", str(config), *arguments]) == 0
        wandb.finish()
    identities = {read_identity(path)[0] for path in (*dashboards(thrice), *dashboards(tmp_path))}
    assert len(identities) == 3  # a branch in another folder, and its replacement


def test_a_dashboard_names_all_that_a_run_depends_on(thrice: Path, tiny_store: Path) -> None:
    settings = read_settings(dashboards(thrice)[0])
    assert settings["seed"] == 1
    assert settings["schedule"]["warmup_batches"] == 1 and settings["schedule"]["budget_minutes"] is None
    assert (settings["max_epochs"], settings["max_batches"]) == (2, 2)
    assert settings["data/train_digest"] == open_store(tiny_store / "train.zarr").digest
    assert settings["settings"]["data"]["batch_size"] == 4
    assert settings["settings"]["trainer"]["callbacks"][0]["init_args"]["hold_share"] == 0.0


def test_the_weights_that_a_run_starts_from_are_recorded(tiny_store: Path, tmp_path: Path) -> None:
    release = load_release()
    network = {"class_path": "dsfunet.networks.SpectralUNet", "init_args": release.form_factor.settings}
    config = write_config(tmp_path, tiny_store)
    settings = yaml.safe_load(config.read_text(encoding="utf-8"))
    settings["model"]["form_factor_generator"] = network
    settings["model"]["short_range_order_generator"] = {
        **network,
        "init_args": release.short_range_order.settings,
    }
    config.write_text(yaml.safe_dump(json.loads(json.dumps(settings))), encoding="utf-8")
    short = ["--trainer.max_steps", "1", "--trainer.limit_val_batches", "1", "--data.batch_size", "1"]
    start = "--trainer.callbacks+=dsfunet.training.callbacks.StartFrom"
    assert main(["fit", "--config", str(config), *short, start]) == 0
    [path] = tmp_path.glob("run/csv/version_0/hparams.yaml")
    record = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert record["started_from"] == {"weights": "release", "digest": release.digest}


def test_the_best_weights_are_an_artifact_on_request(thrice: Path) -> None:
    [artifact] = read_artifacts(dashboards(thrice)[-1])
    assert (artifact.type, set(artifact.aliases)) == ("model", {"best", "latest"})
    assert artifact.name == f"weights-{read_identity(dashboards(thrice)[-1])[0]}"
    names = {entry.path for entry in artifact.manifest.contents}
    assert names >= {"form_factor.safetensors", "short_range_order.safetensors"}
    assert json.loads(artifact.metadata)["checkpoint"] == "best.ckpt"


def test_rows_after_the_checkpoint_are_written_again(tmp_path: Path) -> None:
    first = CSVLogger(tmp_path, "csv")
    for step in range(6):
        first.log_metrics({"loss": float(step)}, step)
    first.save()
    second = CSVLogger(tmp_path, "csv")
    prepare_trackers([second], tmp_path, 4, "run")
    second.log_metrics({"loss": 40.0, "new": 1.0}, 4)
    second.save()
    assert second.log_dir == first.log_dir
    with (Path(first.log_dir) / "metrics.csv").open(encoding="utf-8", newline="") as stream:
        rows = [(row["step"], row["loss"], row["new"]) for row in csv.DictReader(stream)]
    assert rows == [*((str(n), f"{n}.0", "") for n in range(4)), ("4", "40.0", "1.0")]


def logger(kind: str, **settings: Any) -> str:
    return f"--trainer.logger={[{'class_path': f'lightning.pytorch.loggers.{kind}', 'init_args': settings}]}"


def test_tensorboard_goes_on_with_one_run_and_gets_pictures(tiny_store: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs the extra tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = write_config(tmp_path, tiny_store)
    fit_thrice(config, logger("TensorBoardLogger", save_dir=str(tmp_path / "run"), name="tb"))
    assert [path.name for path in (tmp_path / "run" / "tb").iterdir()] == ["version_0"]
    found = EventAccumulator(str(tmp_path / "run" / "tb" / "version_0"), size_guidance={"images": 0}).Reload()
    assert [each.step for each in found.Scalars("train/joint")] == list(range(6))
    # A validation at the end of each run and of the first epoch, with two planes each.
    assert {each.step for each in found.Images("planes")} == {2, 3, 4, 6}
    assert (found.Images("planes")[0].width, found.Images("planes")[0].height) == (7 * 256, 2 * 256)


@pytest.fixture
def mlflow_store(tmp_path: Path) -> Iterator[str]:
    pytest.importorskip("mlflow", reason="needs the extra mlflow")
    yield f"file:{tmp_path / 'mlruns'}"


def test_mlflow_goes_on_with_one_run_and_gets_pictures(
    tiny_store: Path, tmp_path: Path, mlflow_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    config = write_config(tmp_path, tiny_store)
    fit_thrice(config, logger("MLFlowLogger", experiment_name="dsfunet", tracking_uri=mlflow_store))
    client = MlflowClient(mlflow_store)
    experiment = client.get_experiment_by_name("dsfunet")
    assert experiment is not None
    [run] = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status) == ("run, seed 1", "FINISHED")
    history = client.get_metric_history(run.info.run_id, "train/joint")
    assert [each.step for each in history] == list(range(6))
    assert run.data.params["data/train_digest"] == open_store(tiny_store / "train.zarr").digest
    assert run.data.params["settings/trainer/max_steps"] == "2"  # MLflow changes no parameter
    [record] = Path(run.info.artifact_uri.removeprefix("file:")).glob("record.json")
    assert json.loads(record.read_text(encoding="utf-8"))["settings"]["data"]["augment"] is True
    pictures = sorted(record.parent.rglob("planes*.png"))
    assert len(pictures) >= 3
    with Image.open(pictures[-1]) as picture:
        assert picture.size == (7 * 256, 2 * 256)


def test_a_folder_that_mlflow_refuses_is_one_sentence(
    tiny_store: Path,
    tmp_path: Path,
    mlflow_store: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    loggers = logger("MLFlowLogger", tracking_uri=mlflow_store)
    assert main(["fit", "--config", str(write_config(tmp_path, tiny_store)), loggers]) == 2
    [message] = [line for line in capsys.readouterr().err.splitlines() if "MLflow" in line]
    assert "trainer.logger: MLflow does not write to folders any more unless it is told to; set" in message
    assert len(message) < 250 and not (tmp_path / "run").exists()


def test_the_monitor_measures_waiting_and_use(
    tiny_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_config(tmp_path, tiny_store)
    peak = [
        "--trainer.callbacks+=dsfunet.training.monitor.RunMonitor",
        "--trainer.callbacks.peak_tflops",
        "0.5",
    ]
    cli = run_training(["fit", "--config", str(config), *peak])
    rows = [row for row in read_metrics(tmp_path) if row["mfu"]]
    operations = count_operations(cli.model)
    for row in rows:
        assert float(row["mfu"]) == pytest.approx(
            float(row["samples_per_second"]) * operations / 0.5e12, rel=1e-3
        )
        assert 0 < float(row["loader_wait"]) < 1
        assert 0.1 < float(row["memory_gib"]) < 64


def test_operations_are_those_that_a_step_takes() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    module = tiny_module()
    module.joint_step = "off"
    module.train()
    plane = torch.rand(1, 2, 256, 256, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        for network in module.generators.values():
            network(plane).sum().backward()
    assert count_operations(module) == counter.get_total_flops()
    module.joint_step = "separate"
    assert count_operations(module) == 2 * counter.get_total_flops()


def test_peaks_are_those_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_peak_tflops(torch.device("cpu"), "32-true") is None
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA A100-SXM4-80GB")
    assert find_peak_tflops(torch.device("cuda"), "bf16-mixed") == 312.0
    assert find_peak_tflops(torch.device("cuda"), "32-true") == 19.5
    assert RunMonitor(2.0).peak_tflops == 2.0
