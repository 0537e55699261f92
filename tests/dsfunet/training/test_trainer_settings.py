"""Settings that Lightning takes and our training does not: one sentence that says what to set instead."""

from pathlib import Path

import pytest
import torch
import yaml

from dsfunet.cli.main import main
from dsfunet.training.trainer_settings import find_similar_class
from tests.dsfunet.cli.test_lightning_cli import NETWORK, system, write_config

pytestmark = [
    pytest.mark.filterwarnings("ignore:The .*_dataloader. does not have many workers"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
    pytest.mark.filterwarnings("ignore:LightningCLI's args parameter is intended"),
]


def refusal(config: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the one sentence about arguments that are refused before anything is written."""
    try:
        status: object = main(["fit", "--config", str(config), *arguments])
    except SystemExit as stopped:
        status = stopped.code
    assert status == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("dsfunet: ")]
    assert len(lines) == 1
    assert not (config.parent / "run").exists()
    return lines[0].removeprefix("dsfunet: ")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--trainer.precision", "bf16-true"],
            "trainer.precision is bf16-true; expected 32-true or bf16-mixed",
        ),
        (["--trainer.precision", "16-true"], "trainer.precision is 16-true; expected 32-true or bf16-mixed"),
        (["--trainer.precision", "64-true"], "trainer.precision is 64-true; expected 32-true or bf16-mixed"),
        (
            ["--trainer.accumulate_grad_batches", "4"],
            "set model.micro_batches to 4 and data.batch_size to 4 times",
        ),
        (
            ["--trainer.gradient_clip_val", "1.0"],
            "trainer.gradient_clip_val is 1.0; expected null: set model.grad",
        ),
        (["--trainer.strategy", "fsdp"], "trainer.strategy is fsdp; expected auto or ddp"),
        (
            ["--trainer.strategy", "deepspeed_stage_2"],
            "trainer.strategy is deepspeed_stage_2; expected auto or ddp",
        ),
        (["--trainer.strategy", "nonsense"], "trainer.strategy is nonsense; expected auto or ddp"),
        (
            ["--trainer.callbacks+=StochasticWeightAveraging", "--trainer.callbacks.swa_lrs", "0.1"],
            "trainer.callbacks: StochasticWeightAveraging does not work with several optimizers; set model.average",
        ),
        (["--trainer.callbacks+=LearningRateFinder"], "set the learning rate in model.generator_optimizer"),
        (
            ["--trainer.callbacks+=BatchSizeFinder"],
            "set data.batch_size, and model.micro_batches if memory is short",
        ),
        (
            ["--trainer.callbacks+=dsfunet.training.schedule.CosinSchedule"],
            "trainer.callbacks: there is no class dsfunet.training.schedule.CosinSchedule; did you mean"
            " dsfunet.training.schedule.CosineSchedule?",
        ),
        (["--trainer.callbacks+=EarlyStoping"], "did you mean lightning.pytorch.callbacks.EarlyStopping?"),
        (["--trainer.logger+=MLFlowLoger"], "did you mean lightning.pytorch.loggers.MLFlowLogger?"),
        (["--trainer.logger+=Qqq"], "there is no class Qqq; give the path of a class"),
        (["--trainer.devices", "0"], "trainer: `Trainer(devices='0')` value is not a valid input"),
        (["--trainer.logger+=lightning.pytorch.loggers.CometLogger"], "trainer: CometLogger: Requirement"),
    ],
)
def test_settings_are_refused_in_one_sentence(
    tiny_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    assert sentence in refusal(write_config(tmp_path, tiny_store), capsys, *arguments)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"joint_step": "fused", "discriminators": None},
            "the checkpoint has form_factor of the discriminators and",
        ),
        (
            {"average_decay": None},
            "the checkpoint has form_factor of the averages and the configuration has not",
        ),
        ({"channels": [8, 24]}, "form_factor of the averages differs: "),
    ],
)
def test_checkpoints_of_other_networks_are_refused_in_one_sentence(
    tiny_store: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, object],
    sentence: str,
) -> None:
    config = write_config(tmp_path, tiny_store)
    module = system()
    checkpoint = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, tmp_path / "other.ckpt")
    settings = yaml.safe_load(config.read_text(encoding="utf-8"))
    model = settings["model"]
    if "discriminators" in change:
        for name in [each for each in model if "discriminator" in each]:
            del model[name]
    if "average_decay" in change:
        model["average_decay"] = None
    if "channels" in change:
        arguments = {**NETWORK["init_args"], "channels": change["channels"]}  # type: ignore[dict-item]
        model["form_factor_generator"] = {**NETWORK, "init_args": arguments}
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    found = refusal(config, capsys, "--ckpt_path", str(tmp_path / "other.ckpt"))
    assert found.startswith(f"{tmp_path}/other.ckpt: ") and sentence in found


def test_metrics_and_intervals_that_are_not_there_are_reported(
    tiny_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path, tiny_store)
    stopping = ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor", "validaton/mse"]
    for arguments, sentence in (
        (
            stopping,
            "trainer.callbacks: Early stopping conditioned on metric `validaton/mse` which is not available",
        ),
        (
            ["--trainer.val_check_interval", "1000"],
            "set trainer.check_val_every_n_epoch to null to count across",
        ),
        (["--model.generator_optimizer", "torch.optim.LBFGS"], "an optimizer is LBFGS"),
    ):
        assert main(["fit", "--config", str(config), "--overwrite", *arguments]) == 2
        assert sentence in capsys.readouterr().err


def test_similar_classes_are_found_in_our_package_too() -> None:
    assert find_similar_class("RunMonitr") == "dsfunet.training.monitor.RunMonitor"
    assert find_similar_class("UploadBestWeight") == "dsfunet.training.artifacts.UploadBestWeights"
    assert find_similar_class("xyz") is None
