"""Weights on disk: they are read as they were written, and only files of this program are accepted."""

import json
import pickle
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from dsfunet.errors import InputError
from dsfunet.networks import Pix2PixGenerator, SpectralUNet
from dsfunet.networks.weights import (
    Generators,
    build_network,
    describe_network,
    load_checkpoint,
    load_folder,
    load_generators,
    save_folder,
)
from dsfunet.planes.preprocessing import COMPONENTS
from dsfunet.training.module import DSFUNet

PLANES = torch.linspace(-1, 1, 2 * 32 * 32).reshape(1, 2, 32, 32)


def tiny(seed: int = 0) -> SpectralUNet:
    torch.manual_seed(seed)
    return SpectralUNet(channels=(8, 16), blocks=(1, 1), fourier_channels=(4, 8))


def make_generators() -> Generators:
    # Two kinds of network, with one and two input channels: each file must describe its own.
    torch.manual_seed(5)
    paper = Pix2PixGenerator(in_channels=1, channels=(4, 8, 8), dropout=0.25)
    return Generators(paper.eval(), tiny().eval(), "test", "", {})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_folder(make_generators(), tmp_path / "weights", {"licence": "CC-BY-4.0", "planes": 3})
    return tmp_path / "weights"


def make_checkpoint(path: Path, average_decay: float | None = None, **changes: Any) -> DSFUNet:
    """Save the parts of a checkpoint that matter here; test_lightning_cli tests that a real one has them."""
    module = DSFUNet(tiny(1), tiny(2), partial(torch.optim.SGD, lr=0.1), average_decay=average_decay)
    if module.averages is not None:
        for parameter in module.averages.parameters():
            parameter.data += 0.01
    checkpoint: dict[str, Any] = {"state_dict": module.state_dict(), "epoch": 3}
    module.on_save_checkpoint(checkpoint)
    torch.save({**checkpoint, **changes}, path)
    return module


def assert_same(network: nn.Module, expected: nn.Module) -> None:
    state = expected.state_dict()
    assert network.state_dict().keys() == state.keys()
    for name, value in network.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_folder_round_trip_is_half_precision_and_no_worse(folder: Path) -> None:
    written = make_generators()
    read = load_folder(folder)
    assert read.card == {"licence": "CC-BY-4.0", "planes": 3}
    assert read.source == "weights" and len(read.digest) == 64
    for component in COMPONENTS:
        assert {value.dtype for value in load_file(folder / f"{component}.safetensors").values()} == {
            torch.float16
        }
        network, original = getattr(read, component), getattr(written, component)
        assert type(network) is type(original) and not network.training
        for name, value in network.state_dict().items():
            assert value.dtype == torch.float32
            assert torch.equal(value, original.state_dict()[name].half().float()), name
        assert not any(parameter.requires_grad for parameter in network.parameters())
        with torch.no_grad():
            shown = PLANES[:, : network.in_channels]
            torch.testing.assert_close(network(shown), original(shown), rtol=0, atol=5e-3)
    assert sorted(path.name for path in folder.iterdir()) == [
        "card.json",
        "form_factor.safetensors",
        "short_range_order.safetensors",
    ]


def test_folder_can_be_written_over_and_gives_the_same_bytes(folder: Path) -> None:
    before = load_folder(folder).digest
    save_folder(make_generators(), folder, {})
    assert load_folder(folder).digest == before
    assert load_folder(folder).card == {}
    other = make_generators()
    next(other.form_factor.parameters()).data += 1
    save_folder(other, folder, {})
    assert load_folder(folder).digest != before


def test_a_card_does_not_outlive_its_weights(folder: Path) -> None:
    save_folder(make_generators(), folder)
    assert load_folder(folder).card == {}


def test_folder_in_full_precision_is_exact(tmp_path: Path) -> None:
    save_folder(make_generators(), tmp_path, {}, dtype=torch.float32)
    read = load_generators(str(tmp_path))
    for component in COMPONENTS:
        assert_same(getattr(read, component), getattr(make_generators(), component))


@pytest.mark.parametrize(
    "network",
    [tiny(), Pix2PixGenerator(in_channels=3, channels=(4, 8, 8, 8), dropout=0.1)],
    ids=["SpectralUNet", "Pix2PixGenerator"],
)
def test_description_is_plain_and_builds_the_same_network(network: nn.Module) -> None:
    description = json.loads(json.dumps(describe_network(network)))
    again = build_network(description)
    again.load_state_dict(network.state_dict())
    assert describe_network(again) == describe_network(network)
    assert_same(again, network)


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({"network": "ResNet", "settings": {}}, r"network 'ResNet'.*Pix2PixGenerator.*SpectralUNet"),
        ({"settings": {}}, "network None"),
        ({"network": ["SpectralUNet"], "settings": {}}, "SpectralUNet"),
        ({"network": "SpectralUNet"}, "settings"),
        ({"network": "SpectralUNet", "settings": {"depth": 3}}, "depth"),
        ({"network": "SpectralUNet", "settings": [1, 2]}, "settings that SpectralUNet does not take"),
        ({"network": "SpectralUNet", "settings": {"channels": [8]}}, "expected one entry per stage"),
        ({"network": "SpectralUNet", "settings": {"fold": -4}}, "settings that SpectralUNet does not take"),
        (
            {"network": "SpectralUNet", "settings": {"channels": [8, 12]}},
            "does not take|expected one entry per stage",
        ),
        ({"network": "Pix2PixGenerator", "settings": {"dropout": 2.0}}, "dropout is 2.0"),
    ],
)
def test_descriptions_that_name_no_network(description: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_network(description)


def rewrite_description(path: Path, description: str | None) -> None:
    state = load_file(path)
    save_file(state, path, metadata=None if description is None else {"description": description})


def test_missing_file(folder: Path, tmp_path: Path) -> None:
    (folder / "short_range_order.safetensors").unlink()
    with pytest.raises(InputError, match=r"the folder has no short_range_order\.safetensors"):
        load_generators(folder)
    with pytest.raises(InputError, match="no such checkpoint or weights folder"):
        load_generators(tmp_path / "nowhere")


@pytest.mark.parametrize("kept", [0, 5, 40, 0.5, 0.999])
def test_truncated_safetensors(folder: Path, kept: float) -> None:
    path = folder / "form_factor.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: int(kept if kept >= 1 else kept * len(content))])
    with pytest.raises(InputError, match=r"form_factor\.safetensors: not a safetensors file"):
        load_folder(folder)


@pytest.mark.parametrize(
    ("description", "message"),
    [
        (None, "names no network"),
        ("{not json", "form_factor.safetensors"),
        ('["SpectralUNet"]', "form_factor.safetensors"),
        (
            json.dumps({"network": "SpectralUNet", "settings": {}}),
            r"form_factor.safetensors: the weights do not fit",
        ),
        (json.dumps({"network": "ResNet", "settings": {}}), "ResNet"),
    ],
    ids=["none", "not json", "not a mapping", "other settings", "unknown network"],
)
def test_headers_that_do_not_fit(folder: Path, description: str | None, message: str) -> None:
    rewrite_description(folder / "form_factor.safetensors", description)
    with pytest.raises(InputError, match=message):
        load_folder(folder)


def test_damaged_card(folder: Path) -> None:
    (folder / "card.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=r"card\.json"):
        load_folder(folder)


def test_folder_without_a_card(folder: Path) -> None:
    (folder / "card.json").unlink()
    assert load_folder(folder).card == {}


@pytest.mark.parametrize("average_decay", [None, 0.9])
def test_checkpoint_gives_the_averaged_weights_where_there_are_any(
    tmp_path: Path, average_decay: float | None
) -> None:
    path = tmp_path / "last.ckpt"
    module = make_checkpoint(path, average_decay)
    read = load_generators(path)
    shipped = module.averages if module.averages is not None else module.generators
    for component in COMPONENTS:
        assert_same(getattr(read, component), shipped[component])
        assert not getattr(read, component).training
    assert read.source == "last.ckpt"
    assert load_checkpoint(path).digest == read.digest


class Bomb:
    """An object that leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self.path,)


def test_pickle_bomb_does_not_go_off(tmp_path: Path) -> None:
    exploded = tmp_path / "exploded"
    for name, save in (
        ("torch", torch.save),
        ("plain", lambda it, path: path.write_bytes(pickle.dumps(it, 2))),
    ):
        path = tmp_path / f"{name}.ckpt"
        save({"networks": {}, "state_dict": Bomb(exploded)}, path)
        with pytest.raises(InputError, match="not a checkpoint that can be read safely"):
            load_checkpoint(path)
    assert not exploded.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"garbage",
        b"PK\x03\x04 no archive",
        b"\x80\x02}q\x00.",
        b"\x80\x02N.",
        b"\x80\x02.",
        b"\x80\x02h\x0a.",
        b"\x93NUMPY\x01\x00",
        bytes(range(256)) * 16,
        b"0" * 600,
    ],
)
def test_files_that_are_no_checkpoint(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "garbage.ckpt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"garbage\.ckpt: "):
        load_checkpoint(path)


@pytest.mark.parametrize("kept", [0.1, 0.6, 0.98])
def test_truncated_checkpoint(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "last.ckpt"
    make_checkpoint(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(InputError, match=r"last\.ckpt: not a checkpoint"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "content",
    [
        torch.zeros(3),
        [1, 2],
        {"state_dict": {}, "epoch": 1},
        {"networks": {}, "state_dict": {}},
        {"networks": {"form_factor": 3, "short_range_order": 3}, "state_dict": {}},
        {"networks": ["form_factor"], "state_dict": {}},
        {"networks": {}, "state_dict": [1]},
    ],
    ids=["tensor", "list", "no networks", "empty networks", "odd networks", "networks a list", "odd weights"],
)
def test_checkpoints_of_other_programs(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "other.ckpt"
    torch.save(content, path)
    with pytest.raises(InputError, match=r"other\.ckpt: "):
        load_checkpoint(path)


def test_checkpoint_whose_weights_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    other = describe_network(SpectralUNet(channels=(16, 16), blocks=(1, 1), fourier_channels=(4, 8)))
    make_checkpoint(path, networks=dict.fromkeys(COMPONENTS, other))
    with pytest.raises(InputError, match=r"last\.ckpt: the weights do not fit a SpectralUNet"):
        load_checkpoint(path)
