"""A run that is stopped anywhere and resumed ends with the same weights, bit for bit, as one that was not stopped."""

import os
import signal
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from dsfunet.data.datamodule import PlaneDataModule
from dsfunet.data.dataset import start_worker
from dsfunet.networks import SpectralUNet
from dsfunet.training.interruption import LastCheckpoint
from dsfunet.training.module import Batch, DSFUNet

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The .*_dataloader. does not have many workers"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
    pytest.mark.filterwarnings("ignore:The dirpath has changed"),
    # What is in a checkpoint is meant to be the state after its batch.
    pytest.mark.filterwarnings("ignore:Using ModelCheckpoint with manual optimization"),
]

# 12 planes in batches of 2: six batches an epoch.
BATCHES = 6


class Recorder(Callback):
    """A record of the planes of every batch, by their means, that can also stop the run after a number of batches.

    It stops the run by an exception or, with `by_signal`, by SIGTERM, as a cluster does.
    """

    def __init__(self, stop_after: int | None = None, by_signal: bool = False) -> None:
        self.stop_after = stop_after
        self.by_signal = by_signal
        self.shown: list[tuple[float, ...]] = []

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        self.shown.append(tuple(batch["clean"].double().mean(dim=(1, 2, 3)).tolist()))
        if len(self.shown) == self.stop_after:
            if not self.by_signal:
                raise KeyboardInterrupt
            os.kill(os.getpid(), signal.SIGTERM)


def network() -> SpectralUNet:
    return SpectralUNet(channels=[8, 16], blocks=[1, 1], fourier_channels=[4, 8])


def system() -> DSFUNet:
    return DSFUNet(network(), network(), torch.optim.Adam, joint_step="fused", average_decay=0.9)


class Run:
    """A training in a folder from which another one may resume."""

    def __init__(self, store: Path, folder: Path, workers: int = 0, **settings: Any) -> None:
        self.store, self.folder, self.workers, self.settings = store, folder, workers, settings

    def fit(
        self,
        *,
        epochs: int = 2,
        stop_after: int | None = None,
        resume: str | None = None,
        every: int | None = None,
        by_signal: bool = False,
        **settings: Any,
    ) -> tuple[list[tuple[float, ...]], dict[str, torch.Tensor]]:
        """Train; returns the planes of every batch and the final weights."""
        lightning.seed_everything(3, workers=True, verbose=False)  # as the command line does at every start
        recorder = Recorder(stop_after, by_signal)
        checkpoints = ModelCheckpoint(
            self.folder,
            filename="{step}",
            save_top_k=-1,
            every_n_train_steps=every,
            save_last=True,
            enable_version_counter=False,
        )
        trainer = lightning.Trainer(
            accelerator="cpu",
            devices=1,
            max_epochs=epochs,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[recorder, checkpoints, LastCheckpoint()],
            **{"num_sanity_val_steps": 0, **self.settings, **settings},
        )
        data = PlaneDataModule(str(self.store), 2, workers=self.workers, augment=True, validation_samples=2)
        module = system()
        checkpoint = None if resume is None else str(self.folder / f"{resume}.ckpt")
        try:
            trainer.fit(module, datamodule=data, ckpt_path=checkpoint)
        except SystemExit:  # Lightning turns an interrupt into this
            assert stop_after is not None
        loader = trainer.train_dataloader
        assert loader is None or loader.worker_init_fn is start_worker  # not Lightning's
        return recorder.shown, {name: value.clone() for name, value in module.state_dict().items()}


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    different = [name for name, value in first.items() if not torch.equal(value, second[name])]
    assert not different


@pytest.fixture(scope="module")
def whole(
    tiny_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[tuple[float, ...]], dict[str, torch.Tensor]]:
    """A run of two epochs that was not stopped."""
    return Run(tiny_store, tmp_path_factory.mktemp("whole")).fit()


# After a batch of the first epoch, at its end, and of the second epoch.
@pytest.mark.parametrize("stop_after", [2, 6, 9])
def test_a_run_killed_after_some_batch_goes_on_with_the_next(
    tiny_store: Path, tmp_path: Path, whole: Any, stop_after: int
) -> None:
    run = Run(tiny_store, tmp_path)
    first, _ = run.fit(stop_after=stop_after, every=1)
    second, weights = run.fit(resume="last", every=1)
    assert len(whole[0]) == 2 * BATCHES and len(set(whole[0])) == 2 * BATCHES
    done = int(torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]["batches_seen"])
    assert done == 2 * BATCHES
    # The interrupt comes before the checkpoint of its batch is written, so that batch is repeated.
    kept = 2 * BATCHES - len(second)
    assert kept in (stop_after - 1, stop_after)
    assert first == whole[0][:stop_after]
    assert second == whole[0][kept:]
    assert_same(weights, whole[1])


# In the middle of an epoch, where a validation is due, and at the end of an epoch.
@pytest.mark.parametrize("stop_after", [4, 3, 6])
def test_a_run_stopped_by_a_signal_resumes_as_if_it_had_not_stopped(
    tiny_store: Path, tmp_path: Path, whole: Any, stop_after: int
) -> None:
    run = Run(tiny_store, tmp_path, val_check_interval=0.5)
    first, _ = run.fit(stop_after=stop_after, by_signal=True)
    second, weights = run.fit(resume="last")
    assert (first, second) == (whole[0][:stop_after], whole[0][stop_after:])
    assert_same(weights, whole[1])
    # A validation every three batches, none lost and none repeated, each with its checkpoint.
    saved = {int(path.stem.removeprefix("step=")) for path in tmp_path.glob("step=*.ckpt")}
    assert saved == {3, 6, 9, 12}


@pytest.mark.parametrize(("workers", "step"), [(0, 4), (1, 9)])
def test_every_checkpoint_of_a_run_leads_to_the_same_weights(
    tiny_store: Path, tmp_path: Path, whole: Any, workers: int, step: int
) -> None:
    run = Run(tiny_store, tmp_path, workers)
    shown, weights = run.fit(every=1)
    assert shown == whole[0]
    assert_same(weights, whole[1])
    again, weights = run.fit(resume=f"step={step}", every=1)
    assert again == whole[0][step:]
    assert_same(weights, whole[1])


@pytest.fixture(scope="module")
def longer(tiny_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run of three epochs with a validation and a checkpoint in the middle of each and at its end."""
    run = Run(tiny_store, tmp_path_factory.mktemp("longer"), val_check_interval=0.5)
    return run, *run.fit(epochs=3)


@pytest.mark.parametrize("step", [3, 6, 9, 12])
def test_checkpoints_of_validations_within_an_epoch(
    tiny_store: Path, longer: Any, whole: Any, step: int
) -> None:
    run, shown, expected = longer
    assert shown[: 2 * BATCHES] == whole[0] and len(set(shown)) == 3 * BATCHES
    assert {path.stem for path in run.folder.glob("step=*.ckpt")} >= {
        f"step={each}" for each in (3, 6, 9, 12)
    }
    again, weights = run.fit(resume=f"step={step}", epochs=3)
    assert again == shown[step:]
    assert_same(weights, expected)


@pytest.mark.parametrize("steps", [4, 6])
def test_a_run_limited_in_steps_goes_on(tiny_store: Path, tmp_path: Path, whole: Any, steps: int) -> None:
    run = Run(tiny_store, tmp_path)
    first, _ = run.fit(max_steps=steps, every=1)
    second, weights = run.fit(max_steps=12, resume="last", every=1)
    assert first + second == whole[0]
    assert_same(weights, whole[1])
