"""The folder of a run, found in its configuration: moved by `run`, and protected from a second run."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jsonargparse import Namespace

from dsfunet.errors import InputError

LAST_CHECKPOINT = "last.ckpt"
TRACKERS_FILE = "trackers.json"
"""File in the folder of a run that keeps its identity in trackers; a run that resumes there goes on with it."""

_FOLDERS = (("logger", "save_dir"), ("callbacks", "dirpath"))


def as_list(value: Any) -> list[Any]:
    """Return a setting that may be None, one thing or a list as a list."""
    return [] if value is None else list(value) if isinstance(value, list) else [value]


def find_checkpoint_folder(config: Namespace) -> Path | None:
    """Return the folder for checkpoints that a configuration names; None if it names none."""
    for callback in as_list(config.trainer.callbacks):
        folder = callback.init_args.get("dirpath") if "init_args" in callback else None
        if folder is not None:
            return Path(folder)
    return None


def move_run(config: Namespace, arguments: Iterable[str]) -> None:
    """Replace the folders of loggers and checkpoints by that of the option `run`, except those given as arguments.

    Args:
        config: settings of the command; changed in place.
        arguments: the command line. A folder in it was meant, in whatever file `run` stands.
    """
    explicit = _find_explicit_folders(arguments)
    if config.trainer.default_root_dir not in explicit:
        config.trainer.default_root_dir = config.run
    for setting, argument in _FOLDERS:
        for each in as_list(config.trainer[setting]):
            settings = each.get("init_args", {}) if isinstance(each, Namespace) else {}
            if argument in settings and settings[argument] not in explicit:
                settings[argument] = config.run


def _find_explicit_folders(arguments: Iterable[str]) -> set[str]:
    """Return every word of the trainer's arguments, among them the folders."""
    words: set[str] = set()
    option = ""
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if argument.startswith("--"):
            option = name
        if option.startswith(("--trainer.", "--trainer=")):
            words |= set(re.split(r"[\s'\"{}\[\],=]+", value if equals and name == option else argument))
    return words - {""}


def is_in_run(config: Namespace, checkpoint: str | None) -> bool:
    """Return whether a checkpoint is one of the run's own; None, for a run that has none yet, is."""
    folder = find_checkpoint_folder(config)
    if checkpoint is None or folder is None:
        return checkpoint is None
    return Path(checkpoint).resolve().is_relative_to(folder.resolve())


def refuse_second_run(config: Namespace, checkpoint: str | None) -> None:
    """Check that a run does not write over the checkpoints of another one.

    Args:
        config: settings of the command.
        checkpoint: checkpoint from which the run resumes; None starts a new run.

    Raises:
        InputError: the folder holds checkpoints, and the run neither resumes from one of them nor has `overwrite`.
    """
    folder = find_checkpoint_folder(config)
    if folder is None or config.overwrite or not any(folder.glob("*.ckpt")):
        return
    if checkpoint is not None and is_in_run(config, checkpoint):
        return
    raise InputError(
        f"{folder}: holds the checkpoints of a run; continue it with --ckpt_path last, choose another folder with"
        " --run_folder, or replace it with --overwrite"
    )


def remove_run(config: Namespace) -> None:
    """Remove what an earlier run left in the folders of a configuration: checkpoints, CSV logs and its identity.

    Folders of W&B stay, since they may not have been sent yet.
    """
    folder = find_checkpoint_folder(config)
    if folder is not None:
        for pattern in ("*.ckpt", "diverged_rank*.pt", TRACKERS_FILE):
            for path in folder.glob(pattern):
                path.unlink(missing_ok=True)
    for logger in as_list(config.trainer.logger):
        if isinstance(logger, Namespace) and logger.class_path.endswith(".CSVLogger"):
            settings = logger.init_args
            for version in (Path(settings.save_dir) / (settings.get("name") or "")).glob("version_*"):
                for name in ("metrics.csv", "hparams.yaml", "config.yaml"):
                    (version / name).unlink(missing_ok=True)
                if not any(version.iterdir()):
                    version.rmdir()
