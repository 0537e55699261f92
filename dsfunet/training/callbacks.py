"""Callbacks of a training run: learning-rate schedule, first weights, records, progress and pictures."""

import math
import time
from typing import Any, ClassVar

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import Callback, TQDMProgressBar
from lightning.pytorch.loggers import WandbLogger

from dsfunet.data.dataset import Batch
from dsfunet.environment import describe_code, describe_machine
from dsfunet.errors import InputError
from dsfunet.networks import SpectralUNet
from dsfunet.networks.weights import describe_network, load_generators, load_release
from dsfunet.planes.preprocessing import COMPONENTS
from dsfunet.training.module import DSFUNet


class CosineSchedule(Callback):
    """The learning-rate schedule of all optimizers: linear warm-up, constant, then half a cosine to `final_share`.

    Progress is the share of the run's batches done or, with a time budget, the share of the budget spent. Training
    stops when the budget is spent: this uses a machine that is lent by the hour to the end. Checkpoints keep the time
    already spent.

    Args:
        warmup_batches: number of batches of linear warm-up.
        final_share: learning rate at the end, as a share of the largest learning rate.
        budget_minutes: training time, including validation [minutes]; None measures progress in batches.
        hold_share: share of the run before the cosine begins, from 0 to below 1.

    Raises:
        InputError: the budget is not above 0, or hold_share is out of its range.
    """

    def __init__(
        self,
        warmup_batches: int = 100,
        final_share: float = 0.01,
        budget_minutes: float | None = None,
        hold_share: float = 0.0,
    ) -> None:
        if not 0 <= hold_share < 1:
            raise InputError(f"hold_share is {hold_share}; expected at least 0 and below 1")
        if budget_minutes is not None and budget_minutes <= 0:
            raise InputError(
                f"budget_minutes is {budget_minutes}; expected more than 0, or null for no budget"
            )
        self.warmup_batches = warmup_batches
        self.final_share = final_share
        self.budget_minutes = budget_minutes
        self.hold_share = hold_share
        self._spent_seconds = 0.0
        self._last_tick: float | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return the time spent so far [s]."""
        return {"spent_seconds": self._spent_seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the time spent before an interruption."""
        self._spent_seconds = float(state_dict["spent_seconds"])

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start the clock; stop at once if the budget is already spent."""
        self._last_tick = time.monotonic()
        if self.budget_minutes is not None and self._spent_seconds >= 60 * self.budget_minutes:
            trainer.should_stop = True

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Set all learning rates for this batch."""
        now = time.monotonic()
        assert self._last_tick is not None
        self._spent_seconds += now - self._last_tick
        self._last_tick = now
        assert isinstance(pl_module, DSFUNet)
        batches_done = pl_module.batches_done
        progress = self._progress(trainer, batches_done)
        if self.budget_minutes is not None and trainer.world_size > 1:
            # All ranks use the first one's clock; with their own clocks they would not stop at the same batch.
            progress = trainer.strategy.broadcast(progress)
        factor = min(1.0, (batches_done + 1) / max(1, self.warmup_batches)) * self.factor(progress)
        for optimizer in trainer.optimizers:
            for group in optimizer.param_groups:
                group.setdefault("maximum_lr", group["lr"])
                group["lr"] = factor * group["maximum_lr"]
        pl_module.log("share_done", progress, prog_bar=True)
        if self.budget_minutes is not None and progress >= 1:
            trainer.should_stop = True

    def factor(self, progress: float) -> float:
        """Return the factor on the learning rate at a `progress` from 0 (factor 1) to 1 (factor `final_share`)."""
        descent = min(1.0, max(0.0, progress - self.hold_share) / (1 - self.hold_share))
        return self.final_share + (1 - self.final_share) * 0.5 * (1 + math.cos(math.pi * descent))

    def _progress(self, trainer: lightning.Trainer, batches_done: int) -> float:
        if self.budget_minutes is not None:
            return self._spent_seconds / (60 * self.budget_minutes)
        if trainer.max_epochs is None or trainer.max_epochs < 0:
            return 0.0
        return batches_done / max(1, trainer.max_epochs * int(trainer.num_training_batches))


def name_optimizers(trainer: lightning.Trainer) -> list[tuple[str, torch.optim.Optimizer]]:
    """Return the optimizers of a `DSFUNet` with the names of their networks; the second needs discriminators."""
    return list(zip(("generators", "discriminators"), trainer.optimizers, strict=False))


class StartFrom(Callback):
    """The start of training from given weights instead of random ones, for example to fine-tune the release.

    The configuration's networks may have more input channels or blocks than the weights (`SpectralUNet.grow_from`). A
    resumed run takes its weights from its checkpoint instead.

    Args:
        weights: `release` for the weights in the package, or the path of a checkpoint or of a folder of safetensors.

    Raises:
        InputError: at the start of a run, there are no such weights, or they are of other networks than the
            configuration's.
    """

    def __init__(self, weights: str = "release") -> None:
        self.weights = weights
        self._origin: dict[str, Any] = {"started_from": None, "species": None}

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Load the weights into the generators and their averages, unless the run resumes from a checkpoint."""
        if trainer.ckpt_path is not None:
            return
        assert isinstance(pl_module, DSFUNet)
        given = load_release() if self.weights == "release" else load_generators(self.weights)
        for name in COMPONENTS:
            network, own = getattr(given, name), pl_module.generators[name]
            if isinstance(network, SpectralUNet) and isinstance(own, SpectralUNet):
                try:
                    own.grow_from(network)
                except InputError as error:
                    raise InputError(
                        f"{self.weights}: the {name} network does not fit the configuration; {error}"
                    ) from error
            elif describe_network(network) == describe_network(own):
                own.load_state_dict(network.state_dict())
            else:
                raise InputError(
                    f"{self.weights}: the {name} network is a {describe_network(network)}; expected that of the"
                    f" configuration, {describe_network(own)}"
                )
            if pl_module.averages is not None:
                pl_module.averages[name].load_state_dict(own.state_dict())
        self._origin = {
            "started_from": given.digest,
            "species": given.card.get("data", {}).get("species"),
        }

    @property
    def species(self) -> list[str] | None:
        """Names of the species that the given weights were trained on; None if they are not recorded."""
        species: list[str] | None = self._origin["species"]
        return species

    def state_dict(self) -> dict[str, Any]:
        """Return digest and species of the given weights, for the model card."""
        return dict(self._origin)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore them from the checkpoint that the run resumes from."""
        self._origin = {**self._origin, **state_dict}


class RunMonitor(Callback):
    """Monitor of the run: speed, learning rates and, on a GPU, memory.

    Logs `samples_per_second`, the mean since the last log, over all ranks and without validation;
    `learning_rate/generators` and `learning_rate/discriminators` of the batch; and `gpu_memory_gib`, the largest memory
    used so far on this rank [GiB]. Logs every `log_every_n_steps` batches, as the losses.
    """

    def __init__(self) -> None:
        self._since = 0.0
        self._samples = 0

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start a new average."""
        self._restart()

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start a new average, to leave out the time of the validation."""
        self._restart()

    def _restart(self) -> None:
        self._since, self._samples = time.monotonic(), 0

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Count the samples, and log every `log_every_n_steps` batches."""
        self._samples += len(batch["input"]) * trainer.world_size
        assert isinstance(pl_module, DSFUNet)
        if not pl_module.losses_are_due():
            return
        for name, optimizer in name_optimizers(trainer):
            pl_module.log(f"learning_rate/{name}", optimizer.param_groups[0]["lr"])
        pl_module.log("samples_per_second", self._samples / (time.monotonic() - self._since), prog_bar=True)
        if torch.cuda.is_available():
            pl_module.log("gpu_memory_gib", torch.cuda.max_memory_allocated() / 2**30)
        self._restart()


class RunRecord(Callback):
    """The record of a run: code, machine, data and networks, sent to every logger.

    Checkpoints keep a description of the training data, because weights must not be evaluated on species that they were
    trained on.
    """

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Log the record, once."""
        record = describe_run(trainer, pl_module)
        for logger in trainer.loggers:
            logger.log_hyperparams(record)

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the description of the data in plain types, with the species of the weights that training began from."""
        trained_on = dict(getattr(trainer.datamodule, "trained_on", {}))  # type: ignore[attr-defined]
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, StartFrom) and "species" in trained_on:
                both = (trained_on["species"], callback.species)
                # If one list is not known, the union is not known either.
                trained_on["species"] = None if None in both else sorted({*both[0], *both[1]})  # type: ignore[misc]
        checkpoint["data"] = trained_on


def describe_run(trainer: lightning.Trainer, module: lightning.LightningModule) -> dict[str, Any]:
    """Return code version, machine, ranks, digests of the data, networks and optimizers in plain types."""
    record: dict[str, Any] = {
        "code": describe_code(),
        "machine": describe_machine(str(module.device)),
        "ranks": trainer.world_size,
        "precision": str(trainer.precision),
    }
    for split, digest in getattr(trainer.datamodule, "digests", {}).items():  # type: ignore[attr-defined]
        record[f"data/{split}_digest"] = digest
    if isinstance(module, DSFUNet):
        for name in COMPONENTS:
            record[f"networks/{name}"] = describe_network(module.generators[name])
    for name, optimizer in name_optimizers(trainer):
        plain = {
            # No tuples: YAML writes them with a tag of Python's own.
            key: list(value) if isinstance(value, tuple) else value
            for key, value in optimizer.defaults.items()
            if isinstance(value, int | float | tuple)
        }
        record[f"optimizers/{name}"] = {"class": type(optimizer).__name__, **plain}
    return record


class ProgressBar(TQDMProgressBar):
    """Lightning's progress bar with short names: both L1 losses, both validation errors, planes per second."""

    names: ClassVar[dict[str, str]] = {
        "train/form_factor_l1": "L1 FF",
        "train/short_range_order_l1": "L1 SRO",
        "validation/form_factor_mse": "MSE FF",
        "validation/short_range_order_mse": "MSE SRO",
        "samples_per_second": "planes/s",
        "share_done": "done",
    }

    def get_metrics(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """Return the numbers beside the bar, in the order of `names`; those not logged yet are left out."""
        found = super().get_metrics(trainer, pl_module)
        shown: dict[str, int | str | float | dict[str, float]] = {}
        for name, label in self.names.items():
            if name in found:
                value = found[name]
                shown[label] = f"{value:.3g}" if isinstance(value, float) else value
        return shown


class PlanePictures(Callback):
    """Pictures of the first validation planes for W&B: input, then truth, output and difference of each component.

    Other loggers get no pictures.

    Args:
        planes: number of planes to draw.
    """

    def __init__(self, planes: int = 4) -> None:
        self.planes = planes

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Draw planes of the first batch."""
        loggers = [logger for logger in trainer.loggers if isinstance(logger, WandbLogger)]
        if batch_idx or trainer.sanity_checking or not loggers:
            return
        assert isinstance(pl_module, DSFUNet)
        strips = draw_component_strips(pl_module, {name: each[: self.planes] for name, each in batch.items()})
        for logger in loggers:
            logger.log_image("planes", [strip.numpy() for strip in strips])


@torch.no_grad()
def draw_component_strips(module: DSFUNet, batch: Batch) -> torch.Tensor:
    """Return one strip of seven panels per plane, in [0, 1], shape (n, h, 7 w), on the CPU.

    The panels are the input, then for form factor and short-range order: truth, output and difference (grey where they
    agree).
    """
    panels = [(batch["input"][:, :1] + 1) / 2]
    for name, output in zip(COMPONENTS, module(batch["input"]), strict=True):
        panels += [(batch[name] + 1) / 2, (output + 1) / 2, (output - batch[name] + 2) / 4]
    return torch.cat(panels, dim=-1)[:, 0].float().cpu()
