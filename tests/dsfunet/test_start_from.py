"""Training that begins with weights that are there, and what checkpoints say of the data they saw."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from dsfunet.callbacks import RunRecord, StartFrom
from dsfunet.data import PlaneDataModule
from dsfunet.errors import InputError
from dsfunet.module import DSFUNet
from dsfunet.networks import SpectralUNet
from dsfunet.preprocessing import COMPONENTS
from dsfunet.shards import open_store
from dsfunet.weights import Generators, load_checkpoint, load_folder, save_folder


def network(seed: int, width: int = 8) -> SpectralUNet:
    torch.manual_seed(seed)
    return SpectralUNet(channels=(width, 16), blocks=(1, 1), fourier_channels=(4, 8)).eval()


def module(width: int = 8) -> DSFUNet:
    return DSFUNet(network(1, width), network(2, width), partial(torch.optim.SGD, lr=0.1), average_decay=0.9)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    folder = tmp_path / "given"
    save_folder(Generators(network(3), network(4), "given", "", {}), folder, dtype=torch.float32)
    return folder


def begin(callback: StartFrom, system: DSFUNet, checkpoint: str | None = None, stage: str = "fit") -> None:
    trainer: Any = SimpleNamespace(ckpt_path=checkpoint)
    callback.setup(trainer, system, stage)


def test_generators_and_averages_begin_with_the_weights(weights: Path) -> None:
    system, callback = module(), StartFrom(str(weights))
    begin(callback, system)
    given = load_folder(weights)
    assert system.averages is not None
    for component in COMPONENTS:
        for name, value in getattr(given, component).state_dict().items():
            assert torch.equal(system.generators[component].state_dict()[name], value)
            assert torch.equal(system.averages[component].state_dict()[name], value)
    assert callback.state_dict() == {"started_from": given.digest}


@pytest.mark.parametrize(("checkpoint", "stage"), [("last.ckpt", "fit"), (None, "validate")])
def test_a_run_that_goes_on_takes_its_weights_from_its_checkpoint(checkpoint: str | None, stage: str) -> None:
    """The weights need not even be there any more, and the checkpoint says which they were."""
    system, callback = module(), StartFrom("gone")
    before = {name: value.clone() for name, value in system.state_dict().items()}
    begin(callback, system, checkpoint, stage)
    for name, value in system.state_dict().items():
        assert torch.equal(value, before[name])
    callback.load_state_dict({"started_from": "d" * 64})
    assert callback.state_dict() == {"started_from": "d" * 64}


def test_weights_of_other_networks_are_refused(weights: Path) -> None:
    with pytest.raises(InputError, match=r"given: its form_factor is a .*expected the network of the"):
        begin(StartFrom(str(weights)), module(width=16))
    with pytest.raises(InputError, match="no such checkpoint or weights folder"):
        begin(StartFrom("nowhere"), module())


def test_the_shipped_weights_are_those_of_the_release_configuration() -> None:
    with pytest.raises(InputError, match="release: its form_factor is a"):
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
    trainer: Any = SimpleNamespace(datamodule=data)
    RunRecord().on_save_checkpoint(trainer, system, checkpoint)
    torch.save(checkpoint, tmp_path / "last.ckpt")
    read = load_checkpoint(tmp_path / "last.ckpt")
    assert read.card["data"]["species"] == store.species()
    assert read.card["data"]["digest"] == store.digest


def test_a_run_without_our_data_module_says_nothing() -> None:
    checkpoint: dict[str, Any] = {}
    trainer: Any = SimpleNamespace(datamodule=None)
    RunRecord().on_save_checkpoint(trainer, module(), checkpoint)
    assert checkpoint["data"] == {}
