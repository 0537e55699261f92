"""Runs that get a signal, that diverge, or whose disk is full: the files they leave."""

import copy
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch.utils.data import DataLoader, Dataset

from dsfunet.data.dataset import start_worker
from dsfunet.errors import DivergedError, InputError
from dsfunet.training import module as module_file
from dsfunet.training.interruption import AtomicCheckpointIO, KeepDivergedBatch, LastCheckpoint
from dsfunet.training.module import DSFUNet
from tests.dsfunet.cli.test_lightning_cli import system
from tests.dsfunet.training.test_resumed_epochs import planes

pytestmark = [
    pytest.mark.filterwarnings("ignore:The .*_dataloader. does not have many workers"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
]


def fit(
    module: DSFUNet, folder: Path, *callbacks: Callback, samples: list[dict[str, torch.Tensor]] | None = None
) -> None:
    """Train on four batches of two planes and validate, with checkpoints in `folder`."""
    checkpoints = ModelCheckpoint(
        folder, "best", "validation/mse", save_last=True, enable_version_counter=False
    )
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=1,
        logger=False,
        callbacks=[checkpoints, *callbacks],
        plugins=[AtomicCheckpointIO()],
        max_epochs=1,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    batches: Any = DataLoader(samples or planes(8), batch_size=2)  # type: ignore[arg-type]
    trainer.fit(module, batches, DataLoader(planes(2), batch_size=2))  # type: ignore[arg-type]


class SignalSender(Callback):
    """Sends this process a signal at the start of a training batch, of a validation batch, or of the sanity check."""

    def __init__(self, number: int, train_batch: int | None = None, sanity_check: bool = False) -> None:
        self.number = number
        self.train_batch = train_batch
        self.sanity_check = sanity_check

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == self.train_batch:
            os.kill(os.getpid(), self.number)

    def on_validation_batch_start(self, trainer: Any, *_: Any) -> None:
        if self.train_batch is None and trainer.sanity_checking == self.sanity_check:
            os.kill(os.getpid(), self.number)


class WeightRecorder(Callback):
    """A record of all weights after each batch."""

    def __init__(self) -> None:
        self.states: list[dict[str, torch.Tensor]] = []

    def on_train_batch_end(self, trainer: Any, pl_module: DSFUNet, *_: Any) -> None:
        self.states.append(copy.deepcopy(pl_module.state_dict()))


def assert_same_weights(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert torch.equal(value, expected[name]), name


# A signal in an early batch; in the last, before a validation; in that validation; in the sanity check.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "train_batch", "sanity_check", "batches"),
    [
        (signal.SIGTERM, 1, False, 2),
        (signal.SIGUSR1, 3, False, 4),
        (signal.SIGTERM, None, False, 4),
        (signal.SIGTERM, None, True, 1),
        (signal.SIGINT, 1, False, 2),
    ],
)
def test_a_run_that_gets_a_signal_finishes_its_batch_and_saves_it(
    number: signal.Signals,
    train_batch: int | None,
    sanity_check: bool,
    batches: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = [signal.getsignal(each) for each in LastCheckpoint.signals]
    recorder = WeightRecorder()
    fit(system(), tmp_path / "whole", recorder)
    with pytest.raises(SystemExit) as stopped:
        fit(system(), tmp_path / "stopped", SignalSender(number, train_batch, sanity_check), LastCheckpoint())
    assert stopped.value.code == 128 + number
    assert f"{number.name}: training stopped; resume it from" in capsys.readouterr().out
    # A validation that was due took place, and its best checkpoint was written.
    expected = {"last.ckpt", "best.ckpt"} if batches == 4 else {"last.ckpt"}
    assert {path.name for path in (tmp_path / "stopped").iterdir()} == expected
    saved = torch.load(tmp_path / "stopped" / "last.ckpt", weights_only=True)
    assert int(saved["state_dict"]["batches_seen"]) == batches
    assert_same_weights(saved["state_dict"], recorder.states[batches - 1])
    assert [signal.getsignal(each) for each in LastCheckpoint.signals] == before


class Numbers(Dataset[int]):
    """Samples that are their own index."""

    def __len__(self) -> int:
        return 1000

    def __getitem__(self, index: int) -> int:
        return index


@pytest.mark.slow
def test_loader_workers_leave_the_first_signal_to_the_training_process() -> None:
    """A cluster signals every process of a job; without its workers, training could not finish its batch."""
    loader = DataLoader(
        Numbers(), num_workers=1, multiprocessing_context="spawn", worker_init_fn=start_worker
    )
    batches: Any = iter(loader)
    assert int(next(batches)) == 0
    [worker] = batches._workers
    for number in LastCheckpoint.signals:
        os.kill(worker.pid, number)
    assert [int(next(batches)) for _ in range(50)] == list(range(1, 51))
    with pytest.raises(RuntimeError, match=r"exited unexpectedly|killed by signal"):
        os.kill(worker.pid, signal.SIGTERM)  # as Python ends workers that do not end by themselves
        worker.join(timeout=30)  # torch tells of it here already, or when the next batch is asked for
        list(batches)
    worker.join(timeout=30)
    assert worker.exitcode == -signal.SIGTERM


def test_a_batch_with_a_wrong_loss_is_kept_with_the_weights(tmp_path: Path) -> None:
    recorder = WeightRecorder()
    samples = planes(8)
    samples[4]["form_factor"][0, 3, 5] = torch.nan  # in the third batch
    with pytest.raises(DivergedError) as caught:
        fit(system(), tmp_path, recorder, KeepDivergedBatch(), samples=samples)
    assert "diverged at batch 2" in str(caught.value) and "form_factor_l1 nan" in str(caught.value)
    assert "short_range_order_l1 0." in str(caught.value)  # the other losses are listed too
    assert f"the batch is in {tmp_path}/diverged_rank0.pt" in str(caught.value)
    kept = torch.load(tmp_path / "diverged_rank0.pt", weights_only=True)
    assert kept["batches_done"] == 2
    assert torch.isnan(kept["batch"]["form_factor"]).nonzero().tolist() == [[0, 0, 3, 5]]
    assert torch.equal(kept["batch"]["input"][1], samples[5]["input"])
    saved = torch.load(tmp_path / "diverged.ckpt", weights_only=True)
    assert_same_weights(saved["state_dict"], recorder.states[-1])
    assert len(recorder.states) == 2
    assert kept["batch"]["input"].shape[0] == 2  # all of it, also in micro-batches
    assert all(torch.isfinite(value).all() for value in saved["state_dict"].values())


class Overflow(torch.autograd.Function):
    """The identity with an infinite gradient: the loss is finite, but the step must not be taken."""

    @staticmethod
    def forward(ctx: Any, value: torch.Tensor) -> torch.Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        return gradients[0] * torch.inf


def test_a_gradient_that_is_not_finite_moves_no_weight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = system()
    before = copy.deepcopy(module.state_dict())
    loss = module_file.reconstruction_loss
    monkeypatch.setattr(
        module_file, "reconstruction_loss", lambda output, target: Overflow.apply(loss(output, target))
    )
    with pytest.raises(DivergedError, match=r"norm of the gradients is (inf|nan)"):
        fit(module, tmp_path, KeepDivergedBatch())
    assert_same_weights(module.state_dict(), before)
    kept = torch.load(tmp_path / "diverged_rank0.pt", weights_only=True)
    assert all(value < 10 for value in kept["losses"].values()) and not kept["gradient_norm"] < 1e9


@pytest.fixture
def nearly_full_disk() -> Iterator[None]:
    """Limit files to 100 kB, so that writing fails in the middle as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_the_previous_checkpoint(tmp_path: Path, nearly_full_disk: None) -> None:
    path = tmp_path / "run" / "last.ckpt"
    checkpoints = AtomicCheckpointIO()
    checkpoints.save_checkpoint({"weights": torch.arange(3)}, path)
    with pytest.raises(InputError, match=r"last.ckpt: the checkpoint of 4 MB cannot be written .*untouched"):
        checkpoints.save_checkpoint({"weights": torch.zeros(1_000_000)}, path)
    assert torch.load(path, weights_only=True)["weights"].tolist() == [0, 1, 2]
    assert [each.name for each in path.parent.iterdir()] == ["last.ckpt"]


@pytest.mark.slow
def test_a_run_on_a_full_disk_keeps_its_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(system(), tmp_path)
    before = (tmp_path / "last.ckpt").read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left on device"):
        fit(system(), tmp_path)
    assert (tmp_path / "last.ckpt").read_bytes() == before
    assert {each.name for each in tmp_path.iterdir()} == {"last.ckpt", "best.ckpt"}
