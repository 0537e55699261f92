"""The scenarios that `test_distributed` runs in each of two processes, started as by torchrun.

Each scenario leaves what it found in `<folder>/<scenario>-<rank>.pt`. The folder comes as the only argument, beside, in
it, `tiny.yaml` for the command line.
"""

import os
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from jsonargparse._deprecated import JsonargparseDeprecationWarning
from lightning.pytorch.callbacks import Callback
from torch.utils.data import DataLoader, DistributedSampler

from dsfunet.data.dataset import Batch
from dsfunet.errors import DivergedError, InputError
from dsfunet.training.interruption import LastCheckpoint
from dsfunet.training.module import DSFUNet
from tests.dsfunet.training.test_module import planes, system, trainer

GLOBAL_BATCH = 4
TRAINING, VALIDATION = 12, 7
FIRST_RANKS_VALIDATION = 5

Found = dict[str, Any]
Batches = DataLoader[dict[str, torch.Tensor]]


class Diary(Callback):
    """A record of the logged training losses of every batch."""

    def __init__(self) -> None:
        self.losses: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        logged = trainer.logged_metrics
        self.losses.append({name: float(value) for name, value in logged.items() if "train/" in name})


def adversaries(**settings: Any) -> DSFUNet:
    """Return a small module with the paper's steps and plain gradient descent; Adam would amplify rounding errors."""
    return system(average_decay=0.5, gradient_clip=0.5, **settings)


def training_batches(rank: int, ranks: int, samples: int = TRAINING) -> Batches:
    """Return this rank's part of batches of GLOBAL_BATCH planes, in order."""
    drawn = planes(samples)
    sampler = DistributedSampler(drawn, ranks, rank, shuffle=False)  # type: ignore[arg-type]
    return DataLoader(drawn, batch_size=GLOBAL_BATCH // ranks, sampler=sampler)  # type: ignore[arg-type]


def validation_batches(rank: int, ranks: int) -> Batches:
    """Return all planes for one rank; of two ranks, the first gets five and the second two."""
    drawn = planes(VALIDATION, seed=1)
    if ranks > 1:
        drawn = drawn[FIRST_RANKS_VALIDATION:] if rank else drawn[:FIRST_RANKS_VALIDATION]
    return DataLoader(drawn, batch_size=1)  # type: ignore[arg-type]


def fit(
    module: DSFUNet, training: Batches, validation: Batches | None, ranks: int = 2, **settings: Any
) -> Found:
    """Train and validate; returns weights and what was logged."""
    diary = Diary()
    if validation is None:
        settings["limit_val_batches"] = 0
    run = trainer(
        strategy="ddp" if ranks > 1 else "auto",
        devices=ranks,
        use_distributed_sampler=False,
        callbacks=[diary, *settings.pop("callbacks", [])],
        **settings,
    )
    run.fit(module, training, validation if validation is not None else training)
    return {
        "weights": {name: value.detach().clone() for name, value in module.state_dict().items()},
        "losses": diary.losses,
        "metrics": {
            name: float(value) for name, value in run.logged_metrics.items() if "validation/" in name
        },
        "batches": module.batches_done,
    }


def paper(rank: int, ranks: int = 2, **settings: Any) -> Found:
    """Discriminators, separate joint step, clipping, averages; unequal numbers of validation batches."""
    module = adversaries(**settings)
    return fit(module, training_batches(rank, ranks), validation_batches(rank, ranks), ranks, max_epochs=2)


def micro_batches(rank: int) -> Found:
    """As `paper`, with each rank's batch in two parts."""
    return paper(rank, micro_batches=2)


def overlapped(rank: int) -> Found:
    """A step of a network in four buckets: averages, and how many buckets were sent during the backward pass."""
    from dsfunet.training import gradient_exchange

    torch.manual_seed(3)
    network = torch.nn.Sequential(*(torch.nn.Linear(16, 16, bias=False) for _ in range(4)))
    unused = torch.nn.Linear(3, 3)  # gets no gradient
    gradient_exchange._BUCKET_BYTES, kept = 16 * 16 * 4, gradient_exchange._BUCKET_BYTES
    try:
        exchange = gradient_exchange.GradientExchange([*unused.parameters(), *network.parameters()])
    finally:
        gradient_exchange._BUCKET_BYTES = kept
    exchange.start()
    network(torch.full((2, 16), 1.0 + rank)).square().sum().backward()
    exchange.finish(2)
    return {
        "gradients": [each.weight.grad for each in network],
        "early": exchange.sent_early,
        "buckets": len(exchange._buckets),
        "none": unused.weight.grad is None,
    }


def short(rank: int) -> Found:
    """Seven planes for two ranks: the sampler repeats one."""
    return fit(system(), training_batches(rank, 2, samples=7), None, max_epochs=2)


def command_line(rank: int) -> Found:
    """`dsfunet fit` on a store; the second rank has fewer validation planes."""
    from dsfunet.cli.main import main

    folder = Path(sys.argv[1])
    arguments = ["fit", "--config", str(folder / "tiny.yaml"), "--trainer.strategy", "ddp"]
    arguments += ["--trainer.devices", "2", "--data.batch_size", "2", "--data.validation_samples", "5"]
    return {"status": main(arguments)}


def resumed_twice(rank: int) -> Found:
    """`dsfunet fit` with W&B offline, stopped after one batch, resumed and stopped after two, and resumed again."""
    from dsfunet.cli.main import main

    folder = Path(sys.argv[1])
    os.environ["WANDB_MODE"] = "offline"
    arguments = ["fit", "--config", str(folder / "tiny.yaml"), "--trainer.strategy", "ddp"]
    arguments += ["--trainer.devices", "2", "--data.batch_size", "2", "--data.validation_samples", "5"]
    arguments += ["--run_folder", str(folder / "resumed"), "--ckpt_path", "last"]
    arguments += ["--trainer.logger+=WandbLogger", "--trainer.logger.offline", "true"]
    arguments += ["--trainer.logger.save_dir", str(folder / "resumed")]
    statuses = []
    for batches in (1, 2, 3):
        statuses.append(main([*arguments, "--trainer.max_steps", str(batches)]))
        if rank == 0:
            import wandb

            wandb.finish()
    return {"statuses": statuses}


def stopped(module: DSFUNet, training: Batches, validation: Batches | None) -> Found:
    """Return the error of a run that must fail, and the time it took."""
    start = time.monotonic()
    try:
        fit(module, training, validation)
    except (InputError, DivergedError) as error:
        kind, message = type(error).__name__, str(error)
    else:
        kind, message = "none", ""
    weights = {name: value.detach().clone() for name, value in module.state_dict().items()}
    return {"error": kind, "message": message, "seconds": time.monotonic() - start, "weights": weights}


def diverged(rank: int) -> Found:
    """One rank meets a plane that is not finite, in its second batch."""

    class Spoilt(DSFUNet):
        def training_step(self, batch: Batch, batch_index: int) -> None:
            if rank == 1 and batch_index == 1:
                batch = {**batch, "form_factor": batch["form_factor"] * float("nan")}
            super().training_step(batch, batch_index)

    module = system()
    module.__class__ = Spoilt
    return stopped(module, training_batches(rank, 2), None)


def diverged_in_validation(rank: int) -> Found:
    """One rank's outputs are not finite."""
    validation = planes(2, seed=1)
    validation[0]["input"] *= float("nan") if rank == 1 else 1.0
    return stopped(system(), training_batches(rank, 2), DataLoader(validation))  # type: ignore[arg-type]


def signalled(rank: int) -> Found:
    """The second rank alone gets a signal, in its second batch of three."""

    class SignalSender(Callback):
        def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
            if rank == 1 and batch_idx == 1:
                os.kill(os.getpid(), signal.SIGTERM)

    settings = {"default_root_dir": Path(sys.argv[1]) / "signalled", "enable_checkpointing": True}
    module = system()
    try:
        fit(module, training_batches(rank, 2), None, callbacks=[SignalSender(), LastCheckpoint()], **settings)
    except SystemExit as stopped:
        return {"status": stopped.code, "batches": module.batches_done}
    return {"status": 0, "batches": module.batches_done}


def unequal(rank: int) -> Found:
    """Loaders without a DistributedSampler."""
    loader: Batches = DataLoader(planes(4 if rank else 8), batch_size=2)  # type: ignore[arg-type]
    return stopped(system(), loader, None)


SCENARIOS: tuple[Callable[[int], Found], ...] = (
    paper,
    micro_batches,
    overlapped,
    short,
    command_line,
    resumed_twice,
    diverged,
    diverged_in_validation,
    signalled,
    unequal,
)


def run_all(folder: Path, rank: int) -> None:
    """All scenarios, in the same order on both ranks."""
    for scenario in SCENARIOS:
        start = time.monotonic()
        torch.save(scenario(rank), folder / f"{scenario.__name__}-{rank}.pt")
        print(f"{scenario.__name__}: {time.monotonic() - start:.1f} s", flush=True)


if __name__ == "__main__":
    with warnings.catch_warnings():
        # Warnings are errors, with the same exceptions as in the other tests.
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec")
        warnings.filterwarnings("ignore", category=JsonargparseDeprecationWarning)
        warnings.filterwarnings("ignore", message="The .*_dataloader. does not have many workers")
        warnings.filterwarnings("ignore", message="LightningCLI's args parameter is intended")
        # The second rank finds the folder that the first one made.
        warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
        run_all(Path(sys.argv[1]), int(os.environ["RANK"]))
    # Do not wait for threads of gloo, which may run much longer than the other process.
    sys.stdout.flush()
    os._exit(0)
