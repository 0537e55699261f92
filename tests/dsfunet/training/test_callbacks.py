"""Callbacks: learning rates by batches and by time, monitoring, records, progress bar and pictures."""

import json
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.loggers import WandbLogger

from dsfunet import __version__
from dsfunet.data.dataset import Batch
from dsfunet.errors import InputError
from dsfunet.networks import SpectralUNet
from dsfunet.training import monitor as monitor_file
from dsfunet.training import schedule as schedule_file
from dsfunet.training.callbacks import ProgressBar, RunRecord
from dsfunet.training.module import DSFUNet
from dsfunet.training.monitor import RunMonitor
from dsfunet.training.pictures import PlanePictures, draw_component_strips
from dsfunet.training.schedule import CosineSchedule


class Clock:
    """A clock that tests set by hand [s]."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for file in (monitor_file, schedule_file):
        monkeypatch.setattr(file, "time", clock)
    return clock


def tiny_module() -> DSFUNet:
    def network() -> SpectralUNet:
        return SpectralUNet(channels=(8, 16), blocks=(1, 1), fourier_channels=(4, 8))

    torch.manual_seed(0)
    return DSFUNet(network(), network(), partial(torch.optim.SGD, lr=0.1)).eval()


class Run:
    """The parts of a trainer and its module that the callbacks use."""

    def __init__(self, rates: tuple[float, ...] = (1e-3, 2e-4), epochs: int = 5, batches: int = 4) -> None:
        parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in rates]
        self.trainer: Any = SimpleNamespace(
            optimizers=[torch.optim.SGD([p], lr) for p, lr in zip(parameters, rates, strict=True)],
            max_epochs=epochs,
            max_steps=-1,
            callbacks=[],
            num_training_batches=batches,
            should_stop=False,
            world_size=2,
            train_dataloader=None,
            strategy=SimpleNamespace(broadcast=self._broadcast),
        )
        self.first_rank: float | None = None
        self.logged: dict[str, float] = {}
        self.module = tiny_module()
        self.module.log = self._log  # type: ignore[method-assign, assignment]

    def _broadcast(self, value: tuple[float, float]) -> tuple[float, float]:
        """Return the values of the first rank, if this run is another rank."""
        return value if self.first_rank is None else (self.first_rank, self.first_rank)

    def _log(self, name: str, value: float, **_: Any) -> None:
        self.logged[name] = value

    @property
    def rates(self) -> list[float]:
        return [optimizer.param_groups[0]["lr"] for optimizer in self.trainer.optimizers]

    def step(self, schedule: CosineSchedule) -> list[float]:
        """The learning rates of the next batch."""
        schedule.on_train_batch_start(self.trainer, self.module, None, 0)
        self.module.batches_done += 1
        return self.rates


def test_factor_is_half_a_cosine() -> None:
    schedule = CosineSchedule(final_share=0.2)
    assert [schedule.factor(way) for way in (0.0, 1 / 3, 0.5, 1.0, 7.0)] == pytest.approx(
        [1, 0.8, 0.6, 0.2, 0.2]
    )


def test_the_cosine_begins_where_the_hold_ends() -> None:
    schedule = CosineSchedule(final_share=0.2, hold_share=0.6)
    assert [schedule.factor(way) for way in (0.0, 0.3, 0.6, 0.8, 1.0, 2.0)] == pytest.approx(
        [1, 1, 1, 0.6, 0.2, 0.2]
    )
    for wrong in (-0.1, 1.0):
        with pytest.raises(InputError, match="hold_share"):
            CosineSchedule(hold_share=wrong)


def test_rates_warm_up_and_follow_the_share_of_batches(clock: Clock) -> None:
    run, schedule = Run(), CosineSchedule(warmup_batches=2, final_share=0.0)
    schedule.on_train_start(run.trainer, run.module)
    seen = [run.step(schedule) for _ in range(21)]
    shape = [0.5 * (1 + np.cos(np.pi * n / 20)) for n in range(21)]
    shape[0] *= 0.5  # warm-up
    assert [rates[0] for rates in seen] == pytest.approx([1e-3 * each for each in shape])
    # All optimizers keep their own maximum.
    assert [rates[1] for rates in seen] == pytest.approx([2e-4 * each for each in shape])
    assert run.logged["share_done"] == 1.0
    assert not run.trainer.should_stop  # the trainer itself counts epochs


@pytest.mark.parametrize("epochs", [None, -1])
def test_without_an_end_the_rate_stays(clock: Clock, epochs: int | None) -> None:
    run, schedule = Run(), CosineSchedule(warmup_batches=0)
    run.trainer.max_epochs = epochs
    schedule.on_train_start(run.trainer, run.module)
    assert [run.step(schedule)[0] for _ in range(3)] == pytest.approx([1e-3] * 3)


def test_rates_follow_the_clock_and_training_stops_with_the_budget(clock: Clock) -> None:
    run, schedule = Run(), CosineSchedule(warmup_batches=1, final_share=0.1, budget_minutes=10)
    schedule.on_train_start(run.trainer, run.module)
    for minutes, expected in ((0, 1.0), (5, 0.55), (9.99, 0.1)):
        clock.now = 1000.0 + 60 * minutes
        assert run.step(schedule)[0] == pytest.approx(1e-3 * expected, rel=1e-3)
        assert not run.trainer.should_stop
    clock.now = 1000.0 + 600
    assert run.step(schedule)[0] == pytest.approx(1e-4)
    assert run.trainer.should_stop


def test_the_first_ranks_clock_counts_on_all_ranks(clock: Clock) -> None:
    run, schedule = Run(), CosineSchedule(warmup_batches=1, final_share=0.1, budget_minutes=10)
    schedule.on_train_start(run.trainer, run.module)
    run.first_rank = 0.5
    assert run.step(schedule)[0] == pytest.approx(0.55e-3)
    clock.now += 3600  # here the budget is spent, there it is not
    assert run.step(schedule)[0] == pytest.approx(0.55e-3)
    assert not run.trainer.should_stop


def test_a_run_whose_budget_is_spent_trains_no_further(clock: Clock) -> None:
    run, schedule = Run(), CosineSchedule(budget_minutes=10)
    schedule.load_state_dict({"spent_seconds": 600.0})
    schedule.on_train_start(run.trainer, run.module)
    assert run.trainer.should_stop


def test_time_spent_outlives_an_interruption(clock: Clock) -> None:
    run, schedule = Run(), CosineSchedule(warmup_batches=1, final_share=0.0, budget_minutes=10)
    schedule.on_train_start(run.trainer, run.module)
    clock.now += 300
    before = run.step(schedule)
    state = schedule.state_dict()
    assert state == {"spent_seconds": pytest.approx(300.0)}
    assert type(state["spent_seconds"]) is float  # plain, for weights-only loading

    clock.now += 86400  # a day without a machine does not count
    resumed = CosineSchedule(warmup_batches=1, final_share=0.0, budget_minutes=10)
    resumed.load_state_dict(state)
    other = Run()
    other.module.batches_done = run.module.batches_done
    for optimizer, old in zip(other.trainer.optimizers, run.trainer.optimizers, strict=True):
        optimizer.load_state_dict(old.state_dict())
    resumed.on_train_start(other.trainer, other.module)
    # The optimizers come back with the lowered rate; the maximum is not lowered a second time.
    assert other.step(resumed) == pytest.approx(before)


def test_the_monitor_counts_samples_of_all_processes_and_leaves_validation_out(clock: Clock) -> None:
    run, monitor = Run(), RunMonitor()
    batch = {"input": torch.zeros(8, 2, 4, 4)}
    due = False
    run.module.losses_are_due = lambda: due  # type: ignore[method-assign]

    def train(seconds: float) -> None:
        clock.now += seconds
        monitor.on_train_batch_end(run.trainer, run.module, None, batch, 0)

    monitor.on_train_epoch_start(run.trainer, run.module)
    train(1.0)
    assert not run.logged
    due = True
    train(3.0)
    rates = {"learning_rate/generators": 1e-3, "learning_rate/discriminators": 2e-4, "loader_wait": 0.0}
    assert run.logged.pop("memory_gib") > 0
    assert run.logged == pytest.approx({"samples_per_second": 2 * 16 / 4.0, **rates})
    due = False
    train(1.0)
    clock.now += 100  # a validation in the middle of an epoch
    monitor.on_validation_end(run.trainer, run.module)
    run.logged.clear()
    train(0.5)
    assert not run.logged
    due = True
    train(0.5)
    assert run.logged["samples_per_second"] == pytest.approx(32.0)


def test_the_bar_shows_what_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    logged = {
        "v_num": 3,
        "samples_per_second": 7.8125,
        "train/short_range_order_l1": 0.123456,
        "train/form_factor_l1": 0.0456,
        "validation/mse": 1.0,
    }
    monkeypatch.setattr(TQDMProgressBar, "get_metrics", lambda *_: logged)
    shown = ProgressBar().get_metrics(Run().trainer, tiny_module())
    assert list(shown.items()) == [("L1 FF", "0.0456"), ("L1 SRO", "0.123"), ("planes/s", "7.81")]


def test_every_logger_gets_the_record_of_the_run() -> None:
    run = Run()
    run.trainer.precision = "32-true"
    run.trainer.datamodule = SimpleNamespace(digests={"train": "abc", "validation": "def"})
    told: list[dict[str, Any]] = []
    run.trainer.loggers = [SimpleNamespace(log_hyperparams=told.append)] * 2
    RunRecord().on_fit_start(run.trainer, run.module)
    assert len(told) == 2 and told[0] == told[1]
    record = told[0]
    assert (record["data/train_digest"], record["data/validation_digest"]) == ("abc", "def")
    assert record["code"].startswith(__version__) and record["ranks"] == 2
    settings = {
        "channels": [8, 16],
        "blocks": [1, 1],
        "fourier_channels": [4, 8],
        "in_channels": 2,
        "fold": 4,
    }
    for name in ("form_factor", "short_range_order"):
        assert record[f"networks/{name}"] == {"network": "SpectralUNet", "settings": settings}
    assert record["optimizers/generators"]["class"] == "SGD"
    assert record["optimizers/discriminators"]["lr"] == 2e-4
    assert (
        json.loads(json.dumps(record)) == record
    )  # plain types: dashboards and checkpoints take nothing else


class PictureBook(WandbLogger):
    """A logger that keeps pictures instead of sending them."""

    def __init__(self) -> None:
        self.pictures: list[tuple[str, list[npt.NDArray[np.float32]]]] = []

    def log_image(self, key: str, images: list[Any], step: int | None = None, **kwargs: Any) -> None:
        self.pictures.append((key, images))


def random_batch(samples: int) -> Batch:
    drawn = torch.Generator().manual_seed(0)
    names = {"input": 2, "clean": 1, "form_factor": 1, "short_range_order": 1}
    return {name: 2 * torch.rand(samples, n, 16, 16, generator=drawn) - 1 for name, n in names.items()}


def test_strips_are_input_truth_output_difference() -> None:
    module, batch = tiny_module(), random_batch(2)
    strips = draw_component_strips(module, batch)
    assert strips.shape == (2, 16, 7 * 16) and not strips.requires_grad
    assert strips.min() >= 0 and strips.max() <= 1
    panels = strips.split(16, dim=-1)
    outputs = module(batch["input"])
    torch.testing.assert_close(panels[0], (batch["input"][:, 0] + 1) / 2)
    for name, output, (truth, shown, difference) in zip(
        ("form_factor", "short_range_order"), outputs, (panels[1:4], panels[4:7]), strict=True
    ):
        torch.testing.assert_close(truth, (batch[name][:, 0] + 1) / 2)
        torch.testing.assert_close(shown, (output[:, 0] + 1) / 2)
        # Grey where output and truth agree, brighter where the output is.
        torch.testing.assert_close(difference - 0.5, (shown - truth) / 2)


def test_pictures_of_the_first_planes_go_to_the_dashboard_alone() -> None:
    module, batch, book = tiny_module(), random_batch(3), PictureBook()
    trainer: Any = SimpleNamespace(
        loggers=[SimpleNamespace(), book], sanity_checking=False, is_global_zero=True
    )
    PlanePictures(2).on_validation_batch_end(trainer, module, None, batch, 0)
    [(key, images)] = book.pictures
    assert key == "planes" and len(images) == 2
    expected = draw_component_strips(module, {name: each[:2] for name, each in batch.items()})
    np.testing.assert_array_equal(np.stack(images), expected.numpy())
    PlanePictures(2).on_validation_batch_end(trainer, module, None, batch, 1)  # not the first batch
    trainer.sanity_checking = True
    PlanePictures(2).on_validation_batch_end(trainer, module, None, batch, 0)
    assert len(book.pictures) == 1
    trainer = SimpleNamespace(loggers=[SimpleNamespace()], sanity_checking=False, is_global_zero=True)
    PlanePictures(2).on_validation_batch_end(trainer, module, None, batch, 0)  # nothing to show pictures on
