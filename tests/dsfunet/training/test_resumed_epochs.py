"""Runs that are resumed: two epochs equal one and one more, and the next planes follow."""

import copy
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from dsfunet.data.datamodule import PlaneDataModule
from dsfunet.data.dataset import Batch
from dsfunet.networks import SpectralUNet
from dsfunet.planes.preprocessing import COMPONENTS
from dsfunet.training.module import DSFUNet
from tests.dsfunet.cli.test_lightning_cli import NETWORK, system

pytestmark = [
    pytest.mark.filterwarnings("ignore:The .*_dataloader. does not have many workers"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
]


def planes(samples: int) -> list[dict[str, torch.Tensor]]:
    drawn = torch.Generator().manual_seed(4)
    channels = {"input": 2, "clean": 1, "form_factor": 1, "short_range_order": 1}
    return [
        {name: 2 * torch.rand(n, 32, 32, generator=drawn) - 1 for name, n in channels.items()}
        for _ in range(samples)
    ]


def plain_trainer(folder: Path, epochs: int) -> lightning.Trainer:
    """Return a trainer that writes checkpoints and nothing else."""
    checkpoints = ModelCheckpoint(
        folder, "best", "validation/mse", save_last=True, enable_version_counter=False
    )
    return lightning.Trainer(
        accelerator="cpu",
        devices=1,
        logger=False,
        callbacks=[checkpoints],
        max_epochs=epochs,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


@pytest.mark.slow
def test_two_epochs_equal_one_and_one_more(tmp_path: Path) -> None:
    """With the same batches; the order after a stop is tested elsewhere."""
    whole = system()
    parts = [copy.deepcopy(whole), system()]
    next(parts[1].generators.parameters()).data += 1.0  # all of it must come from the checkpoint

    def fit(module: DSFUNet, epochs: int, name: str, resume: Path | None = None) -> None:
        trainer = plain_trainer(tmp_path / name, epochs)
        batches: Any = DataLoader(planes(6), batch_size=2)  # type: ignore[arg-type]
        trainer.fit(module, batches, batches, ckpt_path=resume)

    fit(whole, 2, "whole")
    fit(parts[0], 1, "parts")
    fit(parts[1], 2, "parts", tmp_path / "parts" / "last.ckpt")
    expected = whole.state_dict()
    state = parts[1].state_dict()
    assert state.keys() == expected.keys()
    for name, value in state.items():
        assert torch.equal(value, expected[name]), name
    kept = [torch.load(tmp_path / name / "last.ckpt", weights_only=True) for name in ("whole", "parts")]
    assert kept[0]["global_step"] == kept[1]["global_step"] == 18  # three steps a batch
    for first, second in zip(*(each["optimizer_states"] for each in kept), strict=True):
        for key, moments in first["state"].items():
            assert all(torch.equal(moments[name], second["state"][key][name]) for name in moments)


class PlaneRecorder(DSFUNet):
    """A module that records the means of its planes and does not train."""

    shown: list[list[float]]

    def training_step(self, batch: Batch, batch_index: int) -> None:
        self.shown.append([round(float(plane.mean()), 6) for plane in batch["clean"]])

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        self.log("validation/mse", 0.0)

    def on_validation_epoch_end(self) -> None:
        pass


def test_a_resumed_run_continues_with_the_next_planes(tiny_store: Path, tmp_path: Path) -> None:
    def shown(epochs: int, name: str, resume: Path | None = None) -> list[list[float]]:
        lightning.seed_everything(1, verbose=False)  # as the command line does at every start
        recorder = PlaneRecorder(
            *(SpectralUNet(**NETWORK["init_args"]) for _ in COMPONENTS), torch.optim.Adam
        )  # type: ignore[arg-type]
        recorder.shown = []
        trainer = plain_trainer(tmp_path / name, epochs)
        trainer.fit(recorder, datamodule=PlaneDataModule(str(tiny_store), 4, workers=0), ckpt_path=resume)
        return recorder.shown

    whole = shown(2, "whole")
    assert len(whole) == 6 and whole[:3] != whole[3:]
    assert shown(1, "parts") == whole[:3]
    assert shown(2, "parts", tmp_path / "parts" / "last.ckpt") == whole[3:]
