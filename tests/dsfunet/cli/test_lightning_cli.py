"""`dsfunet fit` and `validate` on a small store, and runs that are resumed."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from dsfunet._version import __version__
from dsfunet.cli.lightning_cli import TrainingCLI
from dsfunet.cli.main import main
from dsfunet.data.store import open_store
from dsfunet.networks import PatchDiscriminator, SpectralUNet
from dsfunet.networks.weights import load_checkpoint
from dsfunet.planes.preprocessing import COMPONENTS
from dsfunet.training.module import DSFUNet
from simulate.live import SimulatedPlanes
from tests.dsfunet.offline_dashboard import read_history, read_settings

pytestmark = [
    # A tiny fit has no worker processes.
    pytest.mark.filterwarnings("ignore:The .*_dataloader. does not have many workers"),
    # `last.ckpt` and `best.ckpt` lie where the first of two runs put them.
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
    # A run that resumes in another folder leaves the earlier best checkpoint where it is.
    pytest.mark.filterwarnings("ignore:The dirpath has changed"),
    # We hand LightningCLI its arguments ourselves.
    pytest.mark.filterwarnings("ignore:LightningCLI's args parameter is intended"),
]

NETWORK = {
    "class_path": "dsfunet.networks.SpectralUNet",
    "init_args": {"channels": [8, 16], "blocks": [1, 1], "fourier_channels": [4, 8]},
}
JUDGE = {"class_path": "dsfunet.networks.PatchDiscriminator", "init_args": {"channels": [4, 8, 8, 8]}}
ADAM = {"class_path": "torch.optim.Adam", "init_args": {"lr": 1e-3, "betas": [0.5, 0.999]}}


@pytest.fixture(scope="module", autouse=True)
def offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """W&B writes nothing outside the tests' folders and opens no connection."""
    folder = tmp_path_factory.mktemp("wandb")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
            patch.setenv(name, str(folder))
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("WANDB_SILENT", "true")
        yield
    import wandb

    wandb.teardown()


def write_config(folder: Path, store: Path, dashboard: bool = False) -> Path:
    """Write a complete training configuration: all parts of smoke.yaml, but smaller."""
    runs = str(folder / "run")
    loggers: list[dict[str, Any]] = [
        {"class_path": "lightning.pytorch.loggers.CSVLogger", "init_args": {"save_dir": runs, "name": "csv"}}
    ]
    if dashboard:
        settings = {"save_dir": runs, "project": "dsfunet", "offline": True}
        loggers.append({"class_path": "lightning.pytorch.loggers.WandbLogger", "init_args": settings})
    checkpoints = {
        "dirpath": runs,
        "filename": "best",
        "monitor": "validation/mse",
        "save_last": True,
        "enable_version_counter": False,
    }
    config = {
        "seed_everything": 1,
        "model": {
            "form_factor_generator": NETWORK,
            "short_range_order_generator": NETWORK,
            "form_factor_discriminator": JUDGE,
            "short_range_order_discriminator": JUDGE,
            "generator_optimizer": ADAM,
            "discriminator_optimizer": ADAM,
            "average_decay": 0.9,
        },
        "data": {"folder": str(store), "batch_size": 4, "workers": 0, "augment": True},
        "trainer": {
            "accelerator": "cpu",
            "devices": 1,
            "max_epochs": 1,
            "log_every_n_steps": 1,
            "enable_progress_bar": False,
            "logger": loggers,
            "callbacks": [
                {
                    "class_path": "dsfunet.training.schedule.CosineSchedule",
                    "init_args": {"warmup_batches": 1},
                },
                {"class_path": "dsfunet.training.monitor.RunMonitor"},
                {"class_path": "dsfunet.training.pictures.PlanePictures", "init_args": {"planes": 2}},
                {"class_path": "lightning.pytorch.callbacks.ModelCheckpoint", "init_args": checkpoints},
            ],
        },
    }
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def fitted(tiny_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished tiny run, tiny.yaml and run/last.ckpt in it."""
    folder = tmp_path_factory.mktemp("fitted")
    config = write_config(folder, tiny_store, dashboard=True)
    assert main(["fit", "--config", str(config)]) == 0
    import wandb

    wandb.finish()
    return folder


def read_metrics(folder: Path) -> list[dict[str, str]]:
    import csv

    [path] = folder.glob("run/csv/version_*/metrics.csv")
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_fit_leaves_checkpoints_metrics_and_dashboard(fitted: Path) -> None:
    assert {path.name for path in fitted.glob("run/*.ckpt")} == {"best.ckpt", "last.ckpt"}
    assert len(list(fitted.glob("run/csv/version_0/config.yaml"))) == 1
    assert len(list(fitted.glob("run/wandb/offline-run-*/*.wandb"))) == 1
    assert list(fitted.glob("run/wandb/offline-run-*/files/media/images/planes_*.png"))
    rows = read_metrics(fitted)
    columns = {name for row in rows for name, value in row.items() if value}
    losses = {
        f"train/{name}_{kind}" for name in COMPONENTS for kind in ("l1", "adversarial", "discriminator")
    }
    metrics = {f"validation/{name}_mse{kind}" for name in COMPONENTS for kind in ("", "_median", "_90")}
    rates = {"learning_rate/generators", "learning_rate/discriminators"}
    expected = {*losses, *metrics, *rates, "train/joint", "validation/mse", "share_done", "batches_seen"}
    assert columns >= {*expected, "samples_per_second"}
    values = [float(value) for row in rows for value in row.values() if value]
    assert all(value == value and abs(value) < 1e6 for value in values)
    assert max(float(row["batches_seen"]) for row in rows if row["batches_seen"]) == 3


def test_the_offline_dashboard_holds_losses_errors_pictures_and_settings(
    fitted: Path, tiny_store: Path
) -> None:
    [path] = fitted.glob("run/wandb/offline-run-*/*.wandb")
    history = read_history(path)
    logged: dict[str, list[Any]] = {}
    for step in history:
        for name, value in step.items():
            logged.setdefault(name, []).append(value)
    rows = read_metrics(fitted)
    for name in ("train/form_factor_l1", "validation/short_range_order_mse_90", "samples_per_second"):
        assert logged[name] == pytest.approx([float(row[name]) for row in rows if row[name]], rel=1e-6)
    assert [logged[f"planes/{what}"] for what in ("count", "width", "height")] == [[2], [7 * 256], [256]]
    settings = read_settings(path)
    assert settings["data/train_digest"] == open_store(tiny_store / "train.zarr").digest
    assert settings["joint_step"] == "separate"


def test_checkpoint_is_plain_and_stands_alone(fitted: Path) -> None:
    checkpoint = torch.load(fitted / "run" / "last.ckpt", weights_only=True)
    settings = {**NETWORK["init_args"], "in_channels": 2, "fold": 4}  # type: ignore[dict-item]
    description = {"network": "SpectralUNet", "settings": settings}
    assert checkpoint["networks"] == {"form_factor": description, "short_range_order": description}
    assert checkpoint["hyper_parameters"]["joint_step"] == "separate"
    assert checkpoint["hyper_parameters"]["average_decay"] == 0.9
    read = load_checkpoint(fitted / "run" / "last.ckpt")
    for component in COMPONENTS:
        for name, value in getattr(read, component).state_dict().items():
            assert torch.equal(value, checkpoint["state_dict"][f"averages.{component}.{name}"])


@pytest.mark.parametrize(("command", "stage"), [("validate", "validation"), ("test", "test")])
def test_validate_and_test_find_what_fit_found(
    fitted: Path, tmp_path: Path, command: str, stage: str
) -> None:
    last = str(fitted / "run" / "last.ckpt")
    settings = {"save_dir": str(tmp_path / "run"), "name": "csv"}
    logger = {"class_path": "lightning.pytorch.loggers.CSVLogger", "init_args": settings}
    arguments = ["--config", str(fitted / "tiny.yaml"), "--ckpt_path", last, f"--trainer.logger={[logger]}"]
    assert main([command, *arguments]) == 0
    [expected] = [row for row in read_metrics(fitted) if row["validation/mse"]]
    [found] = read_metrics(tmp_path)
    for name in ("mse", "form_factor_mse", "short_range_order_mse_90", "form_factor_mse_median"):
        value = float(expected[f"validation/{name}"])
        assert float(found[f"{stage}/{name}"]) == pytest.approx(value, rel=1e-5), name


@pytest.mark.slow
def test_fit_goes_on_from_a_checkpoint(fitted: Path, tiny_store: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path, tiny_store)
    last = str(fitted / "run" / "last.ckpt")
    assert main(["fit", "--config", str(config), "--ckpt_path", last, "--trainer.max_epochs", "2"]) == 0
    rows = read_metrics(tmp_path)
    assert {row["epoch"] for row in rows} == {"1"}
    seen = [float(row["batches_seen"]) for row in rows if row["batches_seen"]]
    assert (min(seen), max(seen)) == (4, 6)
    again = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert int(again["state_dict"]["batches_seen"]) == 6


@pytest.mark.slow
def test_last_is_the_latest_checkpoint_and_may_not_exist_yet(
    tiny_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--config", str(write_config(tmp_path, tiny_store)), "--ckpt_path", "last"]
    assert main(["validate", *arguments]) == 2
    assert f"there is no {tmp_path}/run/last.ckpt" in capsys.readouterr().err
    for epochs in (1, 2):
        assert main(["fit", *arguments, "--trainer.max_epochs", str(epochs)]) == 0
        saved = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
        assert int(saved["state_dict"]["batches_seen"]) == 3 * epochs


@pytest.mark.slow
def test_training_without_files(tmp_path: Path) -> None:
    """Training from the simulator, as a configuration requests."""
    recipe = {"samples": {"train": 8, "validation": 4}, "monte_carlo_share": 0.0, "seed": 5}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")

    def source(split: str) -> dict[str, Any]:
        settings = {"recipe": str(tmp_path / "recipe.yaml"), "split": split, "fresh": split == "train"}
        return {"class_path": "simulate.live.SimulatedPlanes", "init_args": settings}

    config = write_config(tmp_path, tmp_path / "nowhere")
    settings = yaml.safe_load(config.read_text(encoding="utf-8"))
    settings["data"] = {"batch_size": 4, "workers": 0, "source": source("train")}
    settings["data"]["validation_source"] = source("validation")
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    assert main(["fit", "--config", str(config), "--trainer.max_epochs", "2"]) == 0
    [metrics] = [row for row in read_metrics(tmp_path) if row["validation/mse"] and row["epoch"] == "1"]
    assert 0 < float(metrics["validation/mse"]) < 4
    [path] = tmp_path.glob("run/csv/version_0/hparams.yaml")
    record = yaml.safe_load(path.read_text(encoding="utf-8"))
    expected = SimulatedPlanes(str(tmp_path / "recipe.yaml"))
    assert record["data/train_digest"] == expected.digest != record["data/validation_digest"]


def test_missing_store_is_one_line_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path, tmp_path / "nowhere", dashboard=True)
    assert main(["fit", "--config", str(config)]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("INFO: ")]
    assert len(said) == 1
    assert said[0].startswith("dsfunet: ") and "train.zarr: no such store" in said[0]
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.yaml"]


def test_garbage_for_a_checkpoint_is_one_line(
    tiny_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path, tiny_store)
    (tmp_path / "last.ckpt").write_bytes(b"garbage")
    arguments = ["--config", str(config), "--ckpt_path", str(tmp_path / "last.ckpt")]
    for command in ("fit", "validate"):
        assert main([command, *arguments]) == 2
        assert "last.ckpt: not a checkpoint" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.ckpt", "tiny.yaml"]


def test_settings_given_beside_a_checkpoint_are_obeyed(
    tiny_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_config(tmp_path, tiny_store)
    module = system()
    checkpoint = {"state_dict": module.state_dict(), "hyper_parameters": dict(module.hparams)}
    module.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, tmp_path / "last.ckpt")
    models: list[DSFUNet] = []
    monkeypatch.setattr(TrainingCLI, "_run_subcommand", lambda cli, _: models.append(cli.model))
    arguments = ["--config", str(config), "--ckpt_path", str(tmp_path / "last.ckpt")]
    assert main(["fit", *arguments, "--model.joint_weight", "0.25"]) == 0
    assert models[0].joint_weight == 0.25


@pytest.mark.slow
def test_the_option_run_sets_the_folder_of_a_run(fitted: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    arguments = ["--config", str(fitted / "tiny.yaml"), "--run", str(elsewhere)]
    before = sorted(fitted.rglob("*.ckpt"))
    assert main(["fit", *arguments, "--trainer.limit_train_batches", "1"]) == 0
    assert {path.name for path in elsewhere.glob("*.ckpt")} == {"best.ckpt", "last.ckpt"}
    assert (elsewhere / "csv" / "version_0" / "metrics.csv").is_file()
    assert list(elsewhere.glob("wandb/offline-run-*"))
    assert sorted(fitted.rglob("*.ckpt")) == before


def test_the_record_of_a_run_names_code_data_and_settings(fitted: Path, tiny_store: Path) -> None:
    [path] = fitted.glob("run/csv/version_0/hparams.yaml")
    record = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert record["code"].startswith(__version__)
    assert record["data/train_digest"] == open_store(tiny_store / "train.zarr").digest
    assert record["data/validation_digest"] == open_store(tiny_store / "validation.zarr").digest
    assert record["joint_step"] == "separate" and record["average_decay"] == 0.9
    assert record["optimizers/generators"]["lr"] == 1e-3
    assert record["networks/form_factor"]["network"] == "SpectralUNet"


def test_a_run_that_diverges_is_one_line_and_keeps_its_batch(
    tiny_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path, tiny_store)
    arguments = ["--config", str(config), "--model.generator_optimizer.init_args.lr", "1e30"]
    assert main(["fit", *arguments]) == 2
    [line] = [each for each in capsys.readouterr().err.splitlines() if each.startswith("dsfunet: ")]
    assert line.startswith("dsfunet: training diverged at batch 0: the losses on this process are ")
    assert line.endswith(
        f"the batch is in {tmp_path}/run/diverged_rank0.pt, the weights in diverged.ckpt beside it"
    )
    assert {path.name for path in tmp_path.glob("run/diverged*")} == {"diverged_rank0.pt", "diverged.ckpt"}


def test_lone_discriminator_is_one_line(
    tiny_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path, tiny_store)
    settings = yaml.safe_load(config.read_text(encoding="utf-8"))
    del settings["model"]["form_factor_discriminator"]
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    assert main(["fit", "--config", str(config)]) == 2
    assert "expected both or neither" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.yaml"]


def test_unknown_settings_are_refused(
    tiny_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path, tiny_store)
    with pytest.raises(SystemExit) as caught:
        main(["fit", "--config", str(config), "--model.joint_step", "sometimes"])
    assert caught.value.code == 2
    assert "joint_step" in capsys.readouterr().err


def system() -> DSFUNet:
    def network() -> SpectralUNet:
        return SpectralUNet(channels=(8, 16), blocks=(1, 1), fourier_channels=(4, 8))

    torch.manual_seed(6)
    adam = partial(torch.optim.Adam, lr=1e-3, betas=(0.5, 0.999))
    judges = [PatchDiscriminator((4, 8, 8, 8)) for _ in COMPONENTS]
    return DSFUNet(network(), network(), adam, adam, *judges, reconstruction_weight=1.0, average_decay=0.5)
