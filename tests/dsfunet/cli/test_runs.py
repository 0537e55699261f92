"""Runs as a user starts them: what is kept when they end anyhow, what is refused, and what their limits count."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch.distributed.run import parse_args as parse_torchrun

from dsfunet.cli.lightning_cli import run_training
from dsfunet.cli.main import main
from tests.dsfunet.cli.test_lightning_cli import read_metrics, write_config

pytestmark = [
    pytest.mark.filterwarnings("ignore:The .*_dataloader. does not have many workers"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
    pytest.mark.filterwarnings("ignore:LightningCLI's args parameter is intended"),
]

ROOT = Path(__file__).parents[3]


def batches_in(checkpoint: Path) -> int:
    return int(torch.load(checkpoint, weights_only=True)["state_dict"]["batches_seen"])


@pytest.fixture
def config(tiny_store: Path, tmp_path: Path) -> list[str]:
    """The arguments of a tiny run with discriminators and the joint step: three optimizer steps per batch."""
    return ["--config", str(write_config(tmp_path, tiny_store))]


def change(config: list[str], **checkpoints: Any) -> None:
    """Change the settings of the ModelCheckpoint in a configuration."""
    path = Path(config[1])
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    settings["trainer"]["callbacks"][-1]["init_args"] |= checkpoints
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")


def test_last_is_written_where_no_best_one_is(config: list[str], tmp_path: Path) -> None:
    change(
        config, save_last=False, monitor="batches_seen", mode="min"
    )  # only the first validation is the best
    assert main(["fit", *config, "--trainer.max_epochs", "2"]) == 0
    assert batches_in(tmp_path / "run" / "best.ckpt") == 3
    assert batches_in(tmp_path / "run" / "last.ckpt") == 6


def test_last_is_written_without_any_validation(config: list[str], tmp_path: Path) -> None:
    change(config, save_last=False)
    arguments = ["--trainer.check_val_every_n_epoch", "9", "--trainer.max_steps", "2"]
    assert main(["fit", *config, *arguments]) == 0
    assert {path.name for path in tmp_path.glob("run/*.ckpt")} == {"last.ckpt"}
    assert batches_in(tmp_path / "run" / "last.ckpt") == 2


@pytest.mark.slow
def test_a_killed_run_loses_no_more_than_the_time_between_checkpoints(
    config: list[str], tmp_path: Path
) -> None:
    change(config, save_last=False)
    last = tmp_path / "run" / "last.ckpt"
    endless = ["--trainer.max_epochs", "100000", "--trainer.check_val_every_n_epoch", "100000"]
    endless += ["--trainer.callbacks+=dsfunet.training.interruption.LastCheckpoint"]
    endless += ["--trainer.callbacks.every_n_minutes", "0.001"]
    process = subprocess.Popen(
        [sys.executable, "-c", "from dsfunet.cli.main import run; run()", "fit", *config, *endless],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 120
        while not (last.exists() and batches_in(last) >= 5):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    kept = batches_in(last)
    assert main(["fit", *config, *endless, "--ckpt_path", "last", "--trainer.max_steps", str(kept + 2)]) == 0
    assert batches_in(last) == kept + 2


def test_a_second_run_in_a_folder_is_refused(
    config: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = ["--trainer.max_steps", "1", "--trainer.limit_val_batches", "1"]
    assert main(["fit", *config, *one]) == 0
    kept = (tmp_path / "run" / "last.ckpt").read_bytes()
    elsewhere = tmp_path / "elsewhere.ckpt"
    elsewhere.write_bytes(kept)
    for more in ([], ["--ckpt_path", str(elsewhere)]):
        assert main(["fit", *config, *one, *more]) == 2
        [line] = [each for each in capsys.readouterr().err.splitlines() if each.startswith("dsfunet:")]
        assert line == (
            f"dsfunet: {tmp_path}/run: holds the checkpoints of a run; continue it with --ckpt_path last, choose"
            " another folder with --run_folder, or replace it with --overwrite"
        )
    assert (tmp_path / "run" / "last.ckpt").read_bytes() == kept
    assert main(["fit", *config, *one, "--overwrite", "--seed_everything", "5"]) == 0
    assert (tmp_path / "run" / "last.ckpt").read_bytes() != kept
    assert len(read_metrics(tmp_path)) >= 1  # of one version: the log of the first run is replaced
    [saved] = tmp_path.glob("run/csv/version_*/config.yaml")
    assert yaml.safe_load(saved.read_text(encoding="utf-8"))["overwrite"] is False


def test_a_wrong_setting_beside_overwrite_removes_nothing(config: list[str], tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "last.ckpt").write_bytes(b"weights")
    assert main(["fit", *config, "--overwrite", "--model.order_shown", "2"]) == 2
    assert main(["fit", *config, "--overwrite", "--data.folder", str(tmp_path / "nowhere")]) == 2
    assert (tmp_path / "run" / "last.ckpt").read_bytes() == b"weights"


@pytest.mark.parametrize("command", ["validate", "test"])
def test_random_weights_are_not_scored(
    config: list[str], command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, *config]) == 2
    assert f"ckpt_path is missing: {command} would score random weights; give" in capsys.readouterr().err


def test_the_best_checkpoint_is_found_by_its_name(config: list[str], tmp_path: Path) -> None:
    change(config, monitor="batches_seen", mode="min")
    assert main(["fit", *config, "--trainer.max_epochs", "2"]) == 0
    cli = run_training(["validate", *config, "--ckpt_path", "best"])
    assert cli.trainer.ckpt_path == str(tmp_path / "run" / "best.ckpt")


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["--optimizer", "Adam"], "set --model.generator_optimizer and, with discriminators, --model.disc"),
        (["--optimizer=torch.optim.SGD"], "set --model.generator_optimizer"),
        (["--optimizer.lr", "1e-3"], "set --model.generator_optimizer"),
        (["--lr_scheduler", "StepLR"], "add --trainer.callbacks+=dsfunet.training.schedule.CosineSchedule"),
    ],
)
def test_one_optimizer_for_all_networks_is_refused(
    config: list[str], arguments: list[str], advice: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", *config, *arguments]) == 2
    assert advice in capsys.readouterr().err
    path = Path(config[1])
    text = path.read_text(encoding="utf-8")
    name = arguments[0].lstrip("-").partition("=")[0].partition(".")[0]
    path.write_text(f"{text}{name}: {{class_path: torch.optim.Adam}}\n", encoding="utf-8")
    assert main(["fit", *config]) == 2
    assert advice in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    path.write_text(f"{text}optimizer: null\nlr_scheduler: null\n", encoding="utf-8")  # as saved by 0.2.0
    assert run_training(["fit", *config, "--trainer.fast_dev_run", "1"]).model.batches_done == 1


def test_the_folder_of_a_run_passes_through_torchrun(config: list[str], tmp_path: Path) -> None:
    """Before Python 3.12, torchrun takes --run for an abbreviation of its own --run-path, and fails."""
    folder = tmp_path / "there"
    ours = ["fit", *config, "--run_folder", str(folder), "--trainer.max_steps", "1"]
    parsed = parse_torchrun(["--nproc-per-node", "2", "--no-python", "dsfunet", *ours])
    assert parsed.training_script_args == ours
    assert main(parsed.training_script_args) == 0
    assert (folder / "last.ckpt").exists() and (folder / "csv").is_dir()
    assert not (tmp_path / "run").exists()


def test_a_folder_given_explicitly_is_not_moved(config: list[str], tmp_path: Path) -> None:
    explicit = [
        "--trainer.logger.save_dir",
        str(tmp_path / "logs"),
        "--trainer.default_root_dir",
        str(tmp_path),
    ]
    run = ["--run_folder", str(tmp_path / "there"), "--trainer.max_steps", "1"]
    cli = run_training(["fit", *config, *run, *explicit])
    assert cli.trainer.default_root_dir == str(tmp_path)
    assert (tmp_path / "logs" / "csv").is_dir() and not (tmp_path / "there" / "csv").exists()
    assert (tmp_path / "there" / "last.ckpt").exists()


@pytest.mark.parametrize(
    ("arguments", "batches"),
    [
        (["--trainer.max_steps", "4", "--trainer.max_epochs", "2"], 4),
        (["--trainer.max_steps", "4", "--trainer.max_epochs", "-1"], 4),
        (["--trainer.max_steps", "9", "--trainer.max_epochs", "1"], 3),
        (["--trainer.fast_dev_run", "2"], 2),
        (["--trainer.limit_train_batches", "2", "--trainer.max_epochs", "2"], 4),
        (["--trainer.limit_train_batches", "0.67"], 2),
        (["--trainer.max_epochs", "9", "--trainer.max_time", "00:00:00:00"], 0),
    ],
)
def test_limits_count_batches(config: list[str], tmp_path: Path, arguments: list[str], batches: int) -> None:
    cli = run_training(["fit", *config, *arguments])
    assert cli.model.steps_per_batch == 3
    assert cli.model.batches_done == batches
    if "--trainer.fast_dev_run" in arguments:
        assert not list(tmp_path.glob("run/**/*.ckpt"))  # it writes nothing, and needs no folder of its own
        assert run_training(["fit", *config, *arguments]).model.batches_done == batches


def test_a_run_limited_in_batches_goes_on_in_the_middle_of_its_epoch(
    config: list[str], tmp_path: Path
) -> None:
    resumed = ["--ckpt_path", "last", "--trainer.max_epochs", "2"]
    for batches in (2, 3, 5):
        assert main(["fit", *config, *resumed, "--trainer.max_steps", str(batches)]) == 0
        assert batches_in(tmp_path / "run" / "last.ckpt") == batches


def test_checkpoints_every_n_steps_count_batches(config: list[str], tmp_path: Path) -> None:
    change(config, filename="batch{batches_seen:.0f}", auto_insert_metric_name=False, save_top_k=-1)
    change(config, monitor=None, every_n_train_steps=2)
    assert main(["fit", *config, "--trainer.max_epochs", "2"]) == 0
    assert {path.name for path in tmp_path.glob("run/batch*")} == {
        "batch2.ckpt",
        "batch4.ckpt",
        "batch6.ckpt",
    }


@pytest.mark.parametrize(
    ("limits", "shares"),
    [
        (["--trainer.max_steps", "4", "--trainer.max_epochs", "100"], [0, 1 / 4, 2 / 4, 3 / 4]),
        (["--trainer.max_steps", "100", "--trainer.max_epochs", "1"], [0, 1 / 3, 2 / 3]),
    ],
)
def test_the_schedule_follows_the_limit_that_ends_the_run(
    config: list[str], tmp_path: Path, limits: list[str], shares: list[float]
) -> None:
    assert main(["fit", *config, *limits]) == 0
    found = [float(row["share_done"]) for row in read_metrics(tmp_path) if row["share_done"]]
    assert found == pytest.approx(shares, abs=1e-6)


def test_the_schedule_follows_a_limit_in_time(config: list[str], tmp_path: Path) -> None:
    limits = ["--trainer.max_time", "00:00:00:02", "--trainer.max_epochs", "-1"]
    assert main(["fit", *config, *limits, "--trainer.check_val_every_n_epoch", "1000"]) == 0
    rows = [row for row in read_metrics(tmp_path) if row["share_done"]]
    shares = [float(row["share_done"]) for row in rows]
    rates = [float(row["learning_rate/generators"]) for row in rows]
    assert shares == sorted(shares) and shares[0] < 0.5 < 0.7 < shares[-1] <= 1
    assert rates[-1] < 0.4 * max(rates)
