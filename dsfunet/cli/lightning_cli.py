"""LightningCLI behind `dsfunet fit | validate | test`: the YAML schema is the constructors' signatures."""

from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from jsonargparse import Namespace
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.callbacks import ProgressBar as LightningProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from dsfunet.command_parser import ErrorSentences
from dsfunet.data.datamodule import PlaneDataModule
from dsfunet.data.store import open_store
from dsfunet.errors import InputError
from dsfunet.networks.weights import read_checkpoint
from dsfunet.training.callbacks import ProgressBar, RunRecord
from dsfunet.training.interruption import KeepDivergedBatch, StopOnSignal, WholeCheckpointIO
from dsfunet.training.module import DSFUNet


class TrainingParser(ErrorSentences, LightningArgumentParser):
    """Lightning's parser, of few words."""


class TrainingCLI(LightningCLI):
    """LightningCLI with the three commands we have, and one directory a run."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Trainer methods on offer, each with the arguments the CLI fills in itself."""
        return {
            name: {"model", "train_dataloaders", "val_dataloaders", "dataloaders", "datamodule"}
            for name in _COMMANDS
        }

    def before_instantiate_classes(self) -> None:
        """Look at data and checkpoint before anything is made, so that nothing is written when they are wrong.

        Raises:
            InputError: a store is missing, incomplete or not one, the checkpoint is none of ours, or a GPU is asked
                for and not there.
        """
        config = self.config[self.config.subcommand]
        if config.run is not None:
            _move_run(config)
        if config.trainer.accelerator in ("gpu", "cuda") and not torch.accelerator.is_available():
            raise InputError(
                f"trainer.accelerator is {config.trainer.accelerator} and torch finds no GPU: expected one, or"
                " --trainer.accelerator cpu (configs/release.yaml is the release recipe without a GPU)"
            )
        given = {"train": config.data.source, "validation": config.data.validation_source}
        for split in ("train", "validation") if self.config.subcommand == "fit" else ("validation",):
            if given[split] is None and config.data.folder is not None:
                open_store(Path(config.data.folder) / f"{split}.zarr")
        checkpoint = config.get("ckpt_path")
        if checkpoint == "last":
            # Lightning would find it by itself, and read it before anyone has looked at it.
            path = _last_checkpoint(config)
            if not path.exists() and self.config.subcommand != "fit":
                raise InputError(f"ckpt_path is last: found no {path}")
            if not path.exists():
                print(f"no {path} yet: starting anew", flush=True)
            checkpoint = config.ckpt_path = str(path) if path.exists() else None
        # Lightning's other words are not paths.
        if checkpoint and checkpoint not in ("best", "hpc", "registry"):
            if not Path(checkpoint).exists():
                raise InputError(f"{checkpoint}: no such checkpoint")
            read_checkpoint(Path(checkpoint))

    def instantiate_trainer(self, **kwargs: Any) -> lightning.Trainer:
        """The trainer of the configuration, with what every run has: a safe way to be stopped, and a record."""
        settings = self._get(self.config_init, "trainer", default={})
        callbacks: list[Callback] = [KeepDivergedBatch(), RunRecord()]
        given = _listed(settings.get("callbacks"))
        if settings.get("enable_checkpointing") is not False:
            if not any(isinstance(each, ModelCheckpoint) for each in given):
                # Lightning would add one, did it not take StopOnSignal for it.
                callbacks.append(ModelCheckpoint(save_last=True))
            callbacks.append(StopOnSignal())
        has_bar = any(isinstance(each, LightningProgressBar) for each in given)
        if settings.get("enable_progress_bar") is not False and not has_bar:
            callbacks.append(ProgressBar())
        kwargs["callbacks"] = [*given, *callbacks]
        kwargs["plugins"] = [*_listed(settings.get("plugins")), WholeCheckpointIO()]
        return super().instantiate_trainer(**kwargs)

    def _parse_ckpt_path(self) -> None:
        """Leave the configuration as given.

        Lightning would take the model's settings from the checkpoint over those of the command line, silently, and
        would unpickle it to find them, before `before_instantiate_classes` has looked at it.
        """

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Beside the constructors' arguments: where the run goes."""
        parser.add_argument(
            "--run",
            type=str | None,
            default=None,
            help="folder for this run's logs and checkpoints, instead of those the configuration names",
        )
        parser.set_defaults({"trainer.enable_model_summary": False})


def _last_checkpoint(config: Namespace) -> Path:
    """The last.ckpt of the run's folder, whether it is there yet or not.

    Raises:
        InputError: the configuration does not say where checkpoints go.
    """
    for callback in _listed(config.trainer.callbacks):
        folder = callback.init_args.get("dirpath") if "init_args" in callback else None
        if folder is not None:
            return Path(folder) / "last.ckpt"
    raise InputError("ckpt_path is last: expected a ModelCheckpoint with a dirpath among trainer.callbacks")


def _move_run(config: Namespace) -> None:
    """Have everything that takes a folder, loggers and checkpoints, take that of `run`."""
    config.trainer.default_root_dir = config.run
    for setting, argument in (("logger", "save_dir"), ("callbacks", "dirpath")):
        for each in _listed(config.trainer[setting]):
            if isinstance(each, Namespace) and argument in each.get("init_args", {}):
                each.init_args[argument] = config.run


def _listed(value: Any) -> list[Any]:
    """A setting that may be nothing, one thing, or a list of things."""
    return [] if value is None else list(value) if isinstance(value, list) else [value]


_COMMANDS = ("fit", "validate", "test")


def run_training(arguments: list[str]) -> Any:
    """Parse, build model, data and trainer, and run the command; returns the CLI object.

    Raises:
        InputError: the data is missing, incomplete, or not a store.
    """
    return TrainingCLI(
        DSFUNet,
        PlaneDataModule,
        args=arguments,
        # A second run into the same folder goes on writing there; the old config is replaced by the newer one.
        save_config_kwargs={"overwrite": True},
        parser_class=TrainingParser,
        parser_kwargs={"parser_mode": "yaml"},
    )
