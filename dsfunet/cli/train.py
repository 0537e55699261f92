"""`dsfunet fit | validate | test`: hand the arguments to LightningCLI."""

import warnings
from collections.abc import Callable
from typing import Any

from dsfunet.command_parser import Parser
from dsfunet.errors import InputError

TRAINING_COMMANDS = ("fit", "validate", "test")
"""Commands that LightningCLI takes over; they need the extra `train`."""


def add_parsers(commands: Any) -> dict[str, Callable[..., int | None]]:
    """Add the names of the training commands, for `--help`; LightningCLI parses their options."""
    for name in TRAINING_COMMANDS:
        commands.add_subcommand(
            name, Parser(), help=f"train with LightningCLI: {name} --config configs/....yaml"
        )
    return {}


def run_lightning_cli(arguments: list[str]) -> int:
    """Run a training command; returns exit code 0.

    Raises:
        InputError: the training extra is not installed, or as `dsfunet.cli.lightning_cli.run_training`.
    """
    try:
        from dsfunet.cli.lightning_cli import run_training
    except ModuleNotFoundError as error:
        raise InputError(
            f"{error.name} is not installed: expected the training extra, pip install -e '.[train]' in the checkout"
        ) from error
    with warnings.catch_warnings():
        # Lightning 2.6 calls a torch function that torch 2.15 deprecates; nothing a user could act on.
        warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
        # And jsonargparse functions that jsonargparse 4.53 deprecates.
        warnings.filterwarnings("ignore", message=".*jsonargparse.*", category=DeprecationWarning)
        # We hand the arguments on ourselves, and they are those of the command line.
        warnings.filterwarnings("ignore", message="LightningCLI's args parameter is intended")
        run_training(arguments)
    return 0
