"""LightningCLI behind `dsfunet fit | validate | test`: the constructors' signatures are the YAML schema."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import lightning.pytorch as lightning
import torch
from jsonargparse import Namespace, get_loader, set_loader
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.callbacks import ProgressBar as LightningProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import Logger
from yaml import YAMLError

from dsfunet.command_parser import ErrorSentences
from dsfunet.data.datamodule import PlaneDataModule
from dsfunet.data.store import join_store, open_store
from dsfunet.errors import InputError
from dsfunet.networks.weights import read_checkpoint
from dsfunet.training.batch_limit import BatchLimit
from dsfunet.training.callbacks import ProgressBar, RunRecord
from dsfunet.training.interruption import AtomicCheckpointIO, KeepDivergedBatch, LastCheckpoint
from dsfunet.training.module import DSFUNet
from dsfunet.training.renamed_classes import refuse_one_optimizer, rename_in_arguments, renaming_loader
from dsfunet.training.run_folder import (
    LAST_CHECKPOINT,
    as_list,
    find_checkpoint_folder,
    is_in_run,
    move_run,
    refuse_second_run,
    remove_run,
)
from dsfunet.training.trackers import KeepTrackers, name_run, prepare_trackers
from dsfunet.training.trainer_settings import (
    check_trainer_settings,
    check_weights_fit,
    find_similar_class,
    report_refusals,
)

PARSER_MODE = "yaml_with_renamed_classes"
"""Name under which jsonargparse knows our YAML loader, which replaces class paths of earlier versions."""

set_loader(PARSER_MODE, renaming_loader(get_loader("yaml")), (YAMLError,))


class TrainingParser(ErrorSentences, LightningArgumentParser):
    """Lightning's parser, which reports an error in one sentence instead of a page of usage."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print what was found and what is expected, and exit; for a class that is not there, name a similar one."""
        unknown = re.search(
            r'"(trainer\.\w+)\+?".*?([\w.]+) either not accessible or invalid', message, re.DOTALL
        )
        if unknown is None or not self.exit_on_error:
            super().error(message, ex)
        similar = find_similar_class(unknown[2])
        advice = (
            f"did you mean {similar}?"
            if similar
            else "give the path of a class, such as package.module.Class"
        )
        print(f"dsfunet: {unknown[1]}: there is no class {unknown[2]}; {advice}", file=sys.stderr)
        raise SystemExit(2) from ex


class TrainingCLI(LightningCLI):
    """LightningCLI with the commands fit, validate and test, and one folder per run."""

    arguments: Sequence[str] = ()
    """The command line, which tells folders given explicitly from those in files."""
    overwrite = False
    """Whether the run replaces another one in its folder."""
    continues = False
    """Whether the run goes on with the logs in its folder."""
    batches_before = 0
    """Number of batches done by the checkpoint that the run resumes from."""
    resumed_from: dict[str, Any] | None = None
    """The checkpoint that the run resumes from or scores."""

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse, and keep the arguments."""
        self.arguments = list(args or ())
        super().parse_arguments(parser, args)

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
            InputError: a store is missing, incomplete or not a store; the checkpoint was not written by this program,
                or there is none to score; the folder holds another run; or a GPU is requested and there is none.
        """
        config = self.config[self.config.subcommand]
        if config.run is not None:
            move_run(config, self.arguments)
        check_trainer_settings(config.trainer)
        _check_accelerator(config.trainer.accelerator)
        self._check_stores(config.data)
        resumes = config.get("ckpt_path") is not None
        config.ckpt_path = self._check_checkpoint(config)
        if self.config.subcommand == "fit" and not config.trainer.fast_dev_run:
            refuse_second_run(config, config.ckpt_path)
            self.overwrite = config.overwrite
            # The folder may hold the log of this run even where it was stopped before its first checkpoint.
            self.continues = resumes and is_in_run(config, config.ckpt_path) and not self.overwrite
            # Not saved with the configuration, which would then replace its own run when it is used again.
            config.overwrite = False

    def before_fit(self) -> None:
        """Remove the run that `overwrite` replaces, now that nothing is wrong with the new one."""
        if self.overwrite and self.trainer.is_global_zero:
            remove_run(self.config[self.config.subcommand])

    def _run_subcommand(self, subcommand: str) -> None:
        """Run the command.

        Raises:
            InputError: Lightning refuses a setting that it looks at only now, such as the name of a metric.
        """
        try:
            super()._run_subcommand(subcommand)
        except MisconfigurationException as error:
            raise InputError(f"trainer: {' '.join(str(error).split()).rstrip('.')}") from error
        except ValueError as error:
            if "`val_check_interval`" not in str(error):
                raise
            raise InputError(
                f"trainer.val_check_interval: {self.trainer.val_check_interval} batches are more than an epoch has;"
                " set trainer.check_val_every_n_epoch to null to count across epochs, or trainer.limit_val_batches to 0"
            ) from error
        except RuntimeError as error:
            if "conditioned on metric" not in str(error):  # that of EarlyStopping
                raise
            raise InputError(f"trainer.callbacks: {' '.join(str(error).split())}") from error

    def _check_stores(self, data: Namespace) -> None:
        given = {"train": data.source, "validation": data.validation_source}
        for split in ("train", "validation") if self.config.subcommand == "fit" else ("validation",):
            if given[split] is None and data.folder is not None:
                open_store(join_store(data.folder, split), data.cache_folder)

    def _check_checkpoint(self, config: Namespace) -> str | None:
        """Return the checkpoint to start from, with `last` resolved; None starts a new run."""
        checkpoint: str | None = config.get("ckpt_path")
        fitting = self.config.subcommand == "fit"
        if checkpoint is None and not fitting:
            raise InputError(
                f"ckpt_path is missing: {self.config.subcommand} would score random weights; give --ckpt_path FILE, or"
                " last or best of the run in the configuration's folder"
            )
        if checkpoint in ("last", "best"):
            # Lightning would find it by itself, and would unpickle it before we have checked it.
            path = _run_checkpoint(config, checkpoint)
            if not path.exists():
                if not fitting:
                    raise InputError(
                        f"ckpt_path is {checkpoint}: there is no {path}; give the path of a checkpoint"
                    )
                print(f"{path} does not exist yet: starting a new run", flush=True)
                return None
            checkpoint = str(path)
        # Lightning's other keywords are not paths.
        if checkpoint and checkpoint not in ("hpc", "registry"):
            if not Path(checkpoint).exists():
                raise InputError(f"{checkpoint}: no such checkpoint")
            self.resumed_from = read_checkpoint(Path(checkpoint))
        return checkpoint

    def instantiate_classes(self) -> None:
        """Create model, data and trainer.

        Raises:
            InputError: Lightning refuses a setting, a package is missing, or the checkpoint is of other networks.
        """
        with report_refusals("trainer"):
            super().instantiate_classes()

    def instantiate_trainer(self, **kwargs: Any) -> lightning.Trainer:
        """Return the configured trainer, with the callbacks that every run has: safe stops, and a record of the run."""
        if self.resumed_from is not None:
            path = self.config[self.config.subcommand].ckpt_path
            check_weights_fit(path, self.resumed_from["state_dict"], self.model)
            self.batches_before = int(self.resumed_from["state_dict"].get("batches_seen", 0))
            self.resumed_from = None  # as large as all weights and the state of their optimizers
        settings = self._get(self.config_init, "trainer", default={})
        self._dump_config()
        callbacks: list[Callback] = [KeepDivergedBatch(), RunRecord(self.config_dump), KeepTrackers()]
        given = as_list(settings.get("callbacks"))
        if settings.get("enable_checkpointing") is not False:
            last = [each for each in given if isinstance(each, LastCheckpoint)] or [LastCheckpoint()]
            given = [each for each in given if not isinstance(each, LastCheckpoint)]
            if not any(isinstance(each, ModelCheckpoint) for each in given):
                # Lightning adds one unless it finds a Checkpoint, and LastCheckpoint is one.
                callbacks.append(ModelCheckpoint())
            callbacks.append(last[-1])
        has_bar = any(isinstance(each, LightningProgressBar) for each in given)
        if settings.get("enable_progress_bar") is not False and not has_bar:
            callbacks.append(ProgressBar())
        if settings.get("max_steps", -1) != -1:
            callbacks.insert(0, BatchLimit(settings["max_steps"]))
            kwargs["max_steps"] = -1
            kwargs["max_epochs"] = -1 if settings.get("max_epochs") is None else settings["max_epochs"]
        command = self.config.get("subcommand", "fit")  # absent where a configuration is read, but not run
        config = self.config.get(command, self.config)
        folder = find_checkpoint_folder(config)
        loggers = [each for each in as_list(settings.get("logger")) if isinstance(each, Logger)]
        if not settings.get("fast_dev_run"):
            name = name_run(folder, config.seed_everything, command)
            prepare_trackers(loggers, folder if self.continues else None, self.batches_before, name)
        kwargs["callbacks"] = [*given, *callbacks]
        kwargs["plugins"] = [*as_list(settings.get("plugins")), AtomicCheckpointIO()]
        return self._in_batches(super().instantiate_trainer(**kwargs))

    def _in_batches(self, trainer: lightning.Trainer) -> lightning.Trainer:
        """Return the trainer with all its limits in batches, where Lightning counts optimizer steps."""
        steps = self.model.steps_per_batch
        if trainer.fit_loop.min_steps:
            trainer.fit_loop.epoch_loop.min_steps = steps * trainer.fit_loop.min_steps
        if trainer.fast_dev_run:  # type: ignore[attr-defined]  # set by its connector
            trainer.fit_loop.epoch_loop.max_steps = steps * int(trainer.fast_dev_run)  # type: ignore[attr-defined]
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, ModelCheckpoint):
                callback._every_n_train_steps *= steps
                # LastCheckpoint writes it; Lightning would do so only with a best one, and after fast_dev_run.
                callback.save_last = None
        return trainer

    def _parse_ckpt_path(self) -> None:
        """Do nothing, so that the configuration stays as given.

        Lightning would silently replace the model's settings by those of the checkpoint, and would unpickle the
        checkpoint for that before `before_instantiate_classes` has checked it.
        """

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the options `run` and `overwrite` to those that come from the constructors."""
        parser.add_argument(
            # torchrun takes --run for an abbreviation of an option of its own.
            "--run",
            "--run_folder",
            type=str | None,
            default=None,
            help="folder for the logs and checkpoints of this run, instead of the folders in the configuration files",
        )
        parser.add_argument(
            "--overwrite",
            action="store_true",
            help="replace the run in this folder, instead of refusing to write over it",
        )
        parser.set_defaults({"trainer.enable_model_summary": False})


def _check_accelerator(accelerator: Any) -> None:
    if accelerator in ("gpu", "cuda") and not torch.accelerator.is_available():
        raise InputError(
            f"trainer.accelerator is {accelerator}: torch finds no GPU on this machine; use --trainer.accelerator cpu"
            " (configs/release.yaml is the release recipe without a GPU)"
        )


def _run_checkpoint(config: Namespace, which: str) -> Path:
    """Return the path of the run's last.ckpt, whether it exists or not, or of the best checkpoint that it names.

    Raises:
        InputError: the configuration names no folder for checkpoints, or last.ckpt names no best checkpoint.
    """
    folder = find_checkpoint_folder(config)
    if folder is None:
        raise InputError(
            f"ckpt_path is {which}: trainer.callbacks has no ModelCheckpoint with a dirpath; add one, or give a path"
        )
    path = folder / LAST_CHECKPOINT
    if which == "last" or not path.exists():
        return path
    for state in read_checkpoint(path).get("callbacks", {}).values():
        if isinstance(state, dict) and state.get("best_model_path"):
            return folder / Path(state["best_model_path"]).name
    raise InputError(f"ckpt_path is best: {path} names no best checkpoint yet; give last, or a path")


_COMMANDS = ("fit", "validate", "test")


def run_training(arguments: list[str]) -> Any:
    """Parse the arguments, build model, data and trainer, and run the command; returns the CLI object.

    Raises:
        InputError: as `TrainingCLI.before_instantiate_classes`, or a setting is out of its range.
        DivergedError: training or validation met a number that is not finite.
    """
    refuse_one_optimizer(
        re.split(r"[.+=]", each.lstrip("-"))[0] for each in arguments if each.startswith("--")
    )
    return TrainingCLI(
        DSFUNet,
        PlaneDataModule,
        args=rename_in_arguments(arguments),
        # A second run into the same folder continues there; the newer configuration replaces the older one.
        save_config_kwargs={"overwrite": True},
        parser_class=TrainingParser,
        # One optimizer in place of ours would let the generators' loss train the discriminators.
        auto_configure_optimizers=False,
        parser_kwargs={"parser_mode": PARSER_MODE},
    )
