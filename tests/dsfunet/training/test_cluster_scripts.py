"""The example scripts for clusters, with stand-ins for the programs they call; dsfunet accepts their arguments."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from dsfunet.cli.lightning_cli import TrainingCLI, run_training
from tests.dsfunet.cli.test_lightning_cli import read_metrics, write_config

pytestmark = [pytest.mark.filterwarnings("ignore:LightningCLI's args parameter is intended")]

ROOT = Path(__file__).parents[3]
SCRIPTS = {
    "slurm": (ROOT / "configs" / "slurm" / "train.sbatch", "srun", 2 * 4),
    "slurm with torchrun": (ROOT / "configs" / "slurm" / "train_torchrun.sbatch", "srun", 2 * 4),
    "torchrun": (ROOT / "configs" / "torchrun.sh", "torchrun", 1 * 4),
}
SLURM = {"SLURM_JOB_ID": "17", "SLURM_NNODES": "2", "SLURM_NTASKS_PER_NODE": "4", "SLURM_CPUS_PER_TASK": "8"}
SLURM |= {"SLURM_JOB_NODELIST": "node[1-2]"}


class ParsedError(Exception):
    """Carries the parsed configuration, before anything is created from it."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config


def run_script(
    name: str, folder: Path, status: int = 0, restarts: int = 0
) -> tuple[list[str], list[str], int]:
    """Arguments of `dsfunet`, arguments of scontrol, and exit status of a script whose training ends with `status`."""
    script, launcher, _ = SCRIPTS[name]
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    for program, ends_with in ((launcher, status), ("scontrol", 0)):
        stand_in = f'#!/bin/bash\nprintf "%s\\n" "$@" > "{folder}/{program}.txt"\nexit {ends_with}\n'
        (programs / program).write_text(stand_in)
        (programs / program).chmod(0o755)
    (folder / ".venv" / "bin").mkdir(parents=True, exist_ok=True)
    (folder / ".venv" / "bin" / "activate").touch()
    settings = {**os.environ, **SLURM, "PATH": f"{programs}:{os.environ['PATH']}"}
    settings["SLURM_RESTART_COUNT"] = str(restarts)
    ended = subprocess.run(
        ["bash", str(script)], cwd=folder, env=settings, capture_output=True, text=True, timeout=60
    )
    assert ended.stderr == ""
    launched = (folder / f"{launcher}.txt").read_text().splitlines()
    queued = folder / "scontrol.txt"
    asked = queued.read_text().splitlines() if queued.exists() else []
    return launched[launched.index("dsfunet") + 1 :], asked, ended.returncode


def parse(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the configuration that the parser of `dsfunet fit` makes of arguments."""

    def stop(cli: TrainingCLI) -> None:
        raise ParsedError(cli.config[cli.config.subcommand])

    monkeypatch.setattr(TrainingCLI, "before_instantiate_classes", stop)
    monkeypatch.chdir(ROOT)
    with pytest.raises(ParsedError) as caught:
        run_training(arguments)
    return caught.value.config


@pytest.mark.parametrize("name", SCRIPTS)
def test_arguments_of_the_scripts_are_accepted(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, _, status = run_script(name, tmp_path)
    assert status == 0
    config = parse(arguments, monkeypatch)
    assert config.ckpt_path == "last"  # to go on from, or to start anew
    trainer = config.trainer
    assert trainer.num_nodes * int(trainer.devices) == SCRIPTS[name][2]
    assert config.data.batch_size * SCRIPTS[name][2] == 64  # the paper's
    assert (trainer.strategy, trainer.precision, config.model.channels_last) == ("ddp", "bf16-mixed", True)


@pytest.mark.slow
@pytest.mark.parametrize("base", ["paper", "release"])
def test_the_gpu_configuration_adds_to_another_one(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = parse(["fit", "--config", f"configs/{base}.yaml"], monkeypatch)
    overlaid = parse(["fit", "--config", f"configs/{base}.yaml", "--config", "configs/gpu.yaml"], monkeypatch)
    before, after = ([each.class_path for each in one.trainer.callbacks] for one in (config, overlaid))
    assert len(before) >= 3
    assert after == [*before, "dsfunet.training.compiling.CompileNetworks"]
    assert overlaid.trainer.logger == config.trainer.logger
    assert overlaid.model.generator_optimizer == config.model.generator_optimizer


@pytest.mark.parametrize(
    ("status", "restarts", "requeued"),
    [
        (0, 0, False),
        (1, 0, False),
        (2, 0, False),
        (137, 0, False),
        (138, 0, True),
        (143, 3, True),
        (138, 30, False),
    ],
)
def test_only_a_job_that_was_stopped_by_a_signal_is_queued_again(
    status: int, restarts: int, requeued: bool, tmp_path: Path
) -> None:
    _, asked, found = run_script("slurm", tmp_path, status, restarts)
    assert asked == (["requeue", "17"] if requeued else [])
    assert found == status


PREEMPTED = """
import os, signal, subprocess, sys, time
from pathlib import Path

# Stands for srun: trains on one CPU process and, at its first start, pre-empts it in the middle of an epoch.
config, most = sys.argv[1], os.environ.get("MOST_BATCHES")
first = most is None
limit = ["--trainer.max_epochs", "100000", "--trainer.check_val_every_n_epoch", "100000"]
limit += [] if first else ["--trainer.max_steps", most]
code = "from dsfunet.cli.main import run; run()"
job = subprocess.Popen([sys.executable, "-c", code, "fit", "--config", config, *limit, "--ckpt_path", "last"])
if first:
    log = Path(config).parent / "run" / "trackers.json"  # written when training starts
    while not log.exists() and job.poll() is None:
        time.sleep(0.05)
    job.send_signal(signal.SIGUSR1)
sys.exit(job.wait())
"""


@pytest.mark.slow
def test_a_job_that_is_preempted_is_queued_again_and_goes_on(tiny_store: Path, tmp_path: Path) -> None:
    """The whole script with real training: the first start is stopped by SLURM's signal, the second one ends."""
    config = write_config(tmp_path, tiny_store)
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "job.py").write_text(PREEMPTED)
    srun = f'#!/bin/bash\nexec "{sys.executable}" "{programs}/job.py" "{config}"\n'
    scontrol = f'#!/bin/bash\necho "$@" >> "{tmp_path}/scontrol.txt"\n'
    for name, text in (("srun", srun), ("scontrol", scontrol)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "activate").touch()
    settings = {**os.environ, **SLURM, "PATH": f"{programs}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    settings["PYTHONPATH"] = str(ROOT)
    statuses, kept = [], []
    for restart in ("0", "1"):
        settings["SLURM_RESTART_COUNT"] = restart
        if kept:  # the first start may have got far before the signal, on a busy machine
            settings["MOST_BATCHES"] = str(kept[0] + 5)
        ended = subprocess.run(
            ["bash", str(SCRIPTS["slurm"][0])], cwd=tmp_path, env=settings, capture_output=True, timeout=240
        )
        statuses.append(ended.returncode)
        checkpoint = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
        kept.append(int(checkpoint["state_dict"]["batches_seen"]))
    assert statuses == [128 + signal.SIGUSR1, 0]
    assert (tmp_path / "scontrol.txt").read_text() == "requeue 17\n"
    assert kept[0] >= 1 and kept[1] == kept[0] + 5
    rows = [row for row in read_metrics(tmp_path) if row["train/joint"]]  # one log over both starts
    assert [float(row["batches_seen"]) for row in rows] == list(range(1, kept[1] + 1))


@pytest.mark.parametrize("name", ["slurm", "slurm with torchrun"])
def test_processes_are_started_in_a_container(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTAINER", "images/dsfunet.sif")
    arguments, _, status = run_script(name, tmp_path)
    assert status == 0 and arguments[0] == "fit"
    launched = (tmp_path / "srun.txt").read_text().splitlines()
    start = launched.index("apptainer")
    inside = ["exec", "--nv", "--bind", str(tmp_path), "--pwd", str(tmp_path), "images/dsfunet.sif"]
    assert launched[start + 1 : start + 8] == inside
    assert launched[start + 8] == ("dsfunet" if name == "slurm" else "torchrun")


def test_a_signal_of_slurm_is_passed_on_to_torchrun_and_the_job_queued_again(tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    srun = f'#!/bin/bash\ntrap "echo stopped > {tmp_path}/srun.txt; exit 1" TERM\ntouch {tmp_path}/started\n'
    srun += "while true; do sleep 0.05; done\n"
    scontrol = f'#!/bin/bash\necho "$@" >> "{tmp_path}/scontrol.txt"\n'
    for name, text in (("srun", srun), ("scontrol", scontrol)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "activate").touch()
    settings = {**os.environ, **SLURM, "PATH": f"{programs}:{os.environ['PATH']}"}
    script = subprocess.Popen(["bash", str(SCRIPTS["slurm with torchrun"][0])], cwd=tmp_path, env=settings)
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "started").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        script.send_signal(signal.SIGUSR1)
        assert script.wait(timeout=60) == 1
    finally:
        script.kill()
    assert (tmp_path / "srun.txt").read_text() == "stopped\n"
    assert (tmp_path / "scontrol.txt").read_text().splitlines()[-1] == "requeue 17"
