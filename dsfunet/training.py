"""LightningCLI behind `dsfunet fit | validate | test`: the YAML schema is the constructors' signatures."""

from typing import Any

from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from dsfunet.data import PlaneDataModule
from dsfunet.module import DSFUNet


class TrainingCLI(LightningCLI):
    """LightningCLI with the three commands we have, and one directory a run."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Trainer methods on offer, each with the arguments the CLI fills in itself."""
        return {
            name: {"model", "train_dataloaders", "val_dataloaders", "dataloaders", "datamodule"}
            for name in _COMMANDS
        }

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Nothing beside the constructors' arguments."""
        parser.set_defaults({"trainer.enable_model_summary": False})


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
        parser_kwargs={"parser_mode": "yaml"},
    )
