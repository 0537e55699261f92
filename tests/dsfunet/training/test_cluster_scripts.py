"""The example scripts for clusters, with stand-ins for the programs they call; dsfunet accepts their arguments."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dsfunet.cli.lightning_cli import TrainingCLI, run_training

pytestmark = [pytest.mark.filterwarnings("ignore:LightningCLI's args parameter is intended")]

ROOT = Path(__file__).parents[3]
SCRIPTS = {
    "slurm": (ROOT / "configs" / "slurm" / "train.sbatch", "srun", 2 * 4),
    "torchrun": (ROOT / "configs" / "torchrun.sh", "torchrun", 1 * 4),
}
SLURM = {"SLURM_JOB_ID": "17", "SLURM_NNODES": "2", "SLURM_NTASKS_PER_NODE": "4", "SLURM_CPUS_PER_TASK": "8"}


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
