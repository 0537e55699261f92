"""LightningCLI behind `dsfunet fit | validate | test`: the constructors' signatures are the YAML schema."""

from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from jsonargparse import Namespace, get_loader, set_loader
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.callbacks import ProgressBar as LightningProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from yaml import YAMLError

from dsfunet.command_parser import ErrorSentences
from dsfunet.data.datamodule import PlaneDataModule
from dsfunet.data.store import open_store
from dsfunet.errors import InputError
from dsfunet.networks.weights import read_checkpoint
from dsfunet.training.callbacks import ProgressBar, RunRecord
from dsfunet.training.interruption import AtomicCheckpointIO, KeepDivergedBatch, StopOnSignal
from dsfunet.training.module import DSFUNet
from dsfunet.training.renamed_classes import rename_in_arguments, renaming_loader

PARSER_MODE = "yaml_with_renamed_classes"
"""Name under which jsonargparse knows our YAML loader, which replaces class paths of earlier versions."""

set_loader(PARSER_MODE, renaming_loader(get_loader("yaml")), (YAMLError,))


class TrainingParser(ErrorSentences, LightningArgumentParser):
    """Lightning's parser, which reports an error in one sentence instead of a page of usage."""


class TrainingCLI(LightningCLI):
    """LightningCLI with the commands fit, validate and test, and one folder per run."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Return the trainer methods that are commands, each with the arguments that the CLI fills in itself."""
        return {
            name: {"model", "train_dataloaders", "val_dataloaders", "dataloaders", "datamodule"}
            for name in _COMMANDS
        }

    def before_instantiate_classes(self) -> None:
        """Check data, checkpoint and accelerator before anything is created, so that a wrong run writes nothing.

        Raises:
            InputError: a store is missing, incomplete or not a store; the checkpoint was not written by this program;
                or a GPU is requested and there is none.
        """
        config = self.config[self.config.subcommand]
        if config.run is not None:
            _move_run(config)
        _check_accelerator(config.trainer.accelerator)
        self._check_stores(config.data)
        config.ckpt_path = self._check_checkpoint(config)

    def _check_stores(self, data: Namespace) -> None:
        given = {"train": data.source, "validation": data.validation_source}
        for split in ("train", "validation") if self.config.subcommand == "fit" else ("validation",):
            if given[split] is None and data.folder is not None:
                open_store(Path(data.folder) / f"{split}.zarr")

    def _check_checkpoint(self, config: Namespace) -> str | None:
        """Return the checkpoint to start from, with `last` resolved; None starts a new run."""
        checkpoint: str | None = config.get("ckpt_path")
        if checkpoint == "last":
            # Lightning would find it by itself, and would unpickle it before we have checked it.
            path = _last_checkpoint(config)
            if not path.exists():
                if self.config.subcommand != "fit":
                    raise InputError(f"ckpt_path is last: there is no {path}; give the path of a checkpoint")
                print(f"{path} does not exist yet: starting a new run", flush=True)
                return None
            checkpoint = str(path)
        # Lightning's other keywords are not paths.
        if checkpoint and checkpoint not in ("best", "hpc", "registry"):
            if not Path(checkpoint).exists():
                raise InputError(f"{checkpoint}: no such checkpoint")
            read_checkpoint(Path(checkpoint))
        return checkpoint

    def instantiate_trainer(self, **kwargs: Any) -> lightning.Trainer:
        """Return the configured trainer, with the callbacks that every run has: safe stops, and a record of the run."""
        settings = self._get(self.config_init, "trainer", default={})
        callbacks: list[Callback] = [KeepDivergedBatch(), RunRecord()]
        given = _as_list(settings.get("callbacks"))
        if settings.get("enable_checkpointing") is not False:
            if not any(isinstance(each, ModelCheckpoint) for each in given):
                # Lightning adds one unless it finds a Checkpoint, and StopOnSignal is one.
                callbacks.append(ModelCheckpoint(save_last=True))
            callbacks.append(StopOnSignal())
        has_bar = any(isinstance(each, LightningProgressBar) for each in given)
        if settings.get("enable_progress_bar") is not False and not has_bar:
            callbacks.append(ProgressBar())
        kwargs["callbacks"] = [*given, *callbacks]
        kwargs["plugins"] = [*_as_list(settings.get("plugins")), AtomicCheckpointIO()]
        return super().instantiate_trainer(**kwargs)

    def _parse_ckpt_path(self) -> None:
        """Do nothing, so that the configuration stays as given.

        Lightning would silently replace the model's settings by those of the checkpoint, and would unpickle the
        checkpoint for that before `before_instantiate_classes` has checked it.
        """

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the option `run` to those that come from the constructors."""
        parser.add_argument(
            "--run",
            type=str | None,
            default=None,
            help="folder for the logs and checkpoints of this run, instead of the folders in the configuration",
        )
        parser.set_defaults({"trainer.enable_model_summary": False})


def _check_accelerator(accelerator: Any) -> None:
    if accelerator in ("gpu", "cuda") and not torch.accelerator.is_available():
        raise InputError(
            f"trainer.accelerator is {accelerator}: torch finds no GPU on this machine; use --trainer.accelerator cpu"
            " (configs/release.yaml is the release recipe without a GPU)"
        )


def _last_checkpoint(config: Namespace) -> Path:
    """Return the path of the run's last.ckpt, whether the file exists or not.

    Raises:
        InputError: the configuration names no folder for checkpoints.
    """
    for callback in _as_list(config.trainer.callbacks):
        folder = callback.init_args.get("dirpath") if "init_args" in callback else None
        if folder is not None:
            return Path(folder) / "last.ckpt"
    raise InputError(
        "ckpt_path is last: trainer.callbacks has no ModelCheckpoint with a dirpath; add one, or give a path"
    )


def _move_run(config: Namespace) -> None:
    """Replace the folder of every logger and of the checkpoints by that of the option `run`."""
    config.trainer.default_root_dir = config.run
    for setting, argument in (("logger", "save_dir"), ("callbacks", "dirpath")):
        for each in _as_list(config.trainer[setting]):
            if isinstance(each, Namespace) and argument in each.get("init_args", {}):
                each.init_args[argument] = config.run


def _as_list(value: Any) -> list[Any]:
    """Return a setting that may be None, one thing or a list as a list."""
    return [] if value is None else list(value) if isinstance(value, list) else [value]


_COMMANDS = ("fit", "validate", "test")


def run_training(arguments: list[str]) -> Any:
    """Parse the arguments, build model, data and trainer, and run the command; returns the CLI object.

    Raises:
        InputError: as `TrainingCLI.before_instantiate_classes`, or a setting is out of its range.
        DivergedError: training or validation met a number that is not finite.
    """
    return TrainingCLI(
        DSFUNet,
        PlaneDataModule,
        args=rename_in_arguments(arguments),
        # A second run into the same folder continues there; the newer configuration replaces the older one.
        save_config_kwargs={"overwrite": True},
        parser_class=TrainingParser,
        parser_kwargs={"parser_mode": PARSER_MODE},
    )
