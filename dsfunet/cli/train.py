"""`dsfunet fit | validate | test`: pass the arguments on to LightningCLI."""

import warnings

from dsfunet.errors import InputError

COMMANDS = {
    "fit": "Train the networks as a configuration file says: fit --config configs/NAME.yaml.",
    "validate": "Compute the errors of a checkpoint on the validation planes.",
    "test": "Compute the same errors as validate, and log them under the name test.",
}
"""The commands that LightningCLI parses and runs, and what they do; they need the extra `train`."""


def run_lightning_cli(arguments: list[str]) -> int:
    """Run a training command; returns exit code 0.

    Raises:
        InputError: the training extra is not installed, or as `dsfunet.cli.lightning_cli.run_training`.
        DivergedError: as `dsfunet.cli.lightning_cli.run_training`.
    """
    try:
        from dsfunet.cli.lightning_cli import run_training
    except ModuleNotFoundError as error:
        raise InputError(
            f"{error.name} is not installed; install the train extra with pip install -e '.[train]' in the checkout"
        ) from error
    with warnings.catch_warnings():
        # Lightning 2.6 calls a function that torch 2.15 deprecates; users cannot do anything about it.
        warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
        # It also calls functions that jsonargparse 4.53 deprecates.
        warnings.filterwarnings("ignore", message=".*jsonargparse.*", category=DeprecationWarning)
        # We pass the arguments of the command line on ourselves.
        warnings.filterwarnings("ignore", message="LightningCLI's args parameter is intended")
        # Runs into a folder that holds another one are refused by us; logs there are meant.
        warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
        # What is in a checkpoint is meant to be the state after its batch.
        warnings.filterwarnings("ignore", message="Using ModelCheckpoint with manual optimization")
        run_training(arguments)
    return 0
