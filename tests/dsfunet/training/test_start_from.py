"""Training from given weights, and the description of the training data in checkpoints."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import lightning.pytorch as lightning
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from dsfunet.data.datamodule import PlaneDataModule
from dsfunet.data.store import open_store
from dsfunet.errors import InputError
from dsfunet.networks import SpectralUNet
from dsfunet.networks.weights import Generators, load_checkpoint, load_folder, save_folder
from dsfunet.planes.preprocessing import COMPONENTS
from dsfunet.training.callbacks import RunRecord, StartFrom
from dsfunet.training.module import DSFUNet


def network(seed: int, width: int = 8) -> SpectralUNet:
    torch.manual_seed(seed)
    return SpectralUNet(channels=(width, 16), blocks=(1, 1), fourier_channels=(4, 8))


def module(width: int = 8) -> DSFUNet:
    return DSFUNet(network(1, width), network(2, width), partial(torch.optim.SGD, lr=0.1), average_decay=0.9)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    folder = tmp_path / "given"
    save_folder(Generators(network(3), network(4), "given", "", {}), folder, dtype=torch.float32)
    return folder


def begin(callback: StartFrom, system: DSFUNet, checkpoint: str | None = None) -> None:
    trainer: Any = SimpleNamespace(ckpt_path=checkpoint)
    callback.on_fit_start(trainer, system)


def test_generators_and_averages_begin_with_the_weights(weights: Path) -> None:
    system, callback = module(), StartFrom(str(weights))
    begin(callback, system)
    given = load_folder(weights)
    assert system.averages is not None
    for component in COMPONENTS:
        for name, value in getattr(given, component).state_dict().items():
            assert torch.equal(system.generators[component].state_dict()[name], value)
            assert torch.equal(system.averages[component].state_dict()[name], value)
    assert callback.state_dict() == {"started_from": given.digest, "species": None}


class OneStep(lightning.LightningDataModule):
    """One batch per epoch, of small planes of zeros."""

    trained_on: ClassVar[dict[str, Any]] = {"species": ["ether"]}

    def train_dataloader(self) -> DataLoader[dict[str, torch.Tensor]]:
        planes = {name: torch.zeros(1, 64, 64) for name in ("clean", *COMPONENTS)}
        return DataLoader([{"input": torch.zeros(2, 64, 64), **planes}])  # type: ignore[arg-type]


def fit(callback: StartFrom, folder: Path, epochs: int, resume: Path | None = None) -> DSFUNet:
    system = module()
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[callback, RunRecord(), ModelCheckpoint(folder, save_last=True)],
    )
    trainer.fit(system, datamodule=OneStep(), ckpt_path=resume)
    return system


@pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*", "ignore:.*the number of training batches.*"
)
@pytest.mark.filterwarnings("ignore:.*no `val_dataloader`.*", "ignore:Checkpoint directory .* exists")
def test_a_run_that_goes_on_takes_its_weights_from_its_checkpoint(weights: Path, tmp_path: Path) -> None:
    """The given weights may be deleted by then; the checkpoint records their digest."""
    fit(StartFrom(str(weights)), tmp_path / "run", 1)
    saved = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    # The species of the given weights are not known, so those of both are not known.
    assert saved["data"] == {"species": None}
    digest = load_folder(weights).digest
    callback = StartFrom(str(tmp_path / "gone"))
    fit(callback, tmp_path / "run", 2, tmp_path / "run" / "last.ckpt")
    assert callback.state_dict()["started_from"] == digest
    assert (
        int(torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["state_dict"]["batches_seen"]) == 2
    )


def test_the_species_of_the_first_weights_are_not_forgotten(tmp_path: Path) -> None:
    card = {"data": {"species": ["benzene"]}}
    folder = tmp_path / "given"
    save_folder(Generators(network(3), network(4), "given", "", card), folder, card)
    callback = StartFrom(str(folder))
    begin(callback, module())
    trainer: Any = SimpleNamespace(datamodule=OneStep(), callbacks=[callback])
    checkpoint: dict[str, Any] = {}
    RunRecord().on_save_checkpoint(trainer, module(), checkpoint)
    assert checkpoint["data"]["species"] == ["benzene", "ether"]


def test_weights_of_other_networks_are_refused(weights: Path) -> None:
    with pytest.raises(InputError, match=r"given: the form_factor network does not fit the configuration"):
        begin(StartFrom(str(weights)), module(width=16))
    with pytest.raises(InputError, match="no such checkpoint or weights folder"):
        begin(StartFrom("nowhere"), module())


def test_the_shipped_weights_are_those_of_the_release_configuration() -> None:
    with pytest.raises(InputError, match="release: the form_factor network does not fit"):
        begin(StartFrom(), module())


def test_checkpoints_say_which_species_were_trained_on(tiny_store: Path, tmp_path: Path) -> None:
    data = PlaneDataModule(folder=str(tiny_store), batch_size=2)
    data.setup("fit")
    store = open_store(tiny_store / "train.zarr")
    assert data.trained_on["species"] == store.species() and data.trained_on["recipe"]["samples"]
    system = module()
    checkpoint: dict[str, Any] = {"state_dict": system.state_dict()}
    checkpoint["networks"] = {
        name: {"network": "SpectralUNet", "settings": system.generators[name].settings} for name in COMPONENTS
    }
    trainer: Any = SimpleNamespace(datamodule=data, callbacks=[])
    RunRecord().on_save_checkpoint(trainer, system, checkpoint)
    torch.save(checkpoint, tmp_path / "last.ckpt")
    read = load_checkpoint(tmp_path / "last.ckpt")
    assert read.card["data"]["species"] == store.species()
    assert read.card["data"]["digest"] == store.digest


def test_a_run_without_our_data_module_says_nothing() -> None:
    checkpoint: dict[str, Any] = {}
    trainer: Any = SimpleNamespace(datamodule=None, callbacks=[])
    RunRecord().on_save_checkpoint(trainer, module(), checkpoint)
    assert checkpoint["data"] == {}
