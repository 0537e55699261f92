"""Untrusted weights: no command runs code from such a file, and each refuses it with one sentence."""

import io
import logging
import pickle
import zipfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dsfunet.cli.main import main
from dsfunet.errors import InputError
from dsfunet.networks import Pix2PixGenerator, SpectralUNet
from dsfunet.networks.weights import Generators, build_network, describe_network, load_generators, save_folder
from dsfunet.planes.preprocessing import COMPONENTS
from dsfunet.training.module import DSFUNet
from tests.dsfunet.cli.test_lightning_cli import write_config


class Bomb:
    """An object that leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self.path,)


def tiny() -> SpectralUNet:
    return SpectralUNet(channels=(8, 16), blocks=(1, 1), fourier_channels=(4, 8))


def checkpoint(**more: Any) -> dict[str, Any]:
    """Return a checkpoint as `dsfunet fit` writes it, with additions."""
    content: dict[str, Any] = {
        "state_dict": DSFUNet(tiny(), tiny(), partial(torch.optim.SGD, lr=0.1)).state_dict(),
        "networks": dict.fromkeys(COMPONENTS, describe_network(tiny())),
        "pytorch-lightning_version": "2.6.6",
        "epoch": 1,
        "global_step": 2,
    }
    return {**content, **more}


def in_a_checkpoint(path: Path, bomb: Bomb) -> None:
    """A bomb beside correct weights."""
    torch.save(checkpoint(optimizer_states=[bomb]), path)


def in_an_old_checkpoint(path: Path, bomb: Bomb) -> None:
    torch.save(checkpoint(callbacks={"x": bomb}), path, _use_new_zipfile_serialization=False)


def in_a_plain_pickle(path: Path, bomb: Bomb) -> None:
    path.write_bytes(pickle.dumps(bomb))


def in_a_whole_module(path: Path, bomb: Bomb) -> None:
    module = tiny()
    module.bomb = bomb  # type: ignore[assignment]
    torch.save(module, path)


def in_an_exported_program(path: Path, bomb: Bomb) -> None:
    """A bomb that torch.export.load would unpickle, in a file with the name of a checkpoint."""
    program = torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(1, 2),))
    stream, sample = io.BytesIO(), io.BytesIO()
    torch.export.save(program, stream)
    torch.save(bomb, sample)
    with zipfile.ZipFile(stream) as honest, zipfile.ZipFile(path, "w") as archive:
        for name in honest.namelist():
            is_sample = "sample_inputs" in name and name.endswith(".pt")
            archive.writestr(name, sample.getvalue() if is_sample else honest.read(name))


BOMBS = (
    in_a_checkpoint,
    in_an_old_checkpoint,
    in_a_plain_pickle,
    in_a_whole_module,
    in_an_exported_program,
)


def command_line(command: str, weights: Path, store: Path) -> list[str]:
    """Return a command that reads weights, with all other arguments correct."""
    folder = weights.parent
    if command == "export":
        return ["export", str(weights), "--out", str(folder / "out")]
    if command == "factorize":
        np.save(folder / "plane.npy", np.random.default_rng(0).uniform(1, 2, (256, 256)))
        output = str(folder / "result.nxs")
        return ["factorize", str(folder / "plane.npy"), "-o", output, "--weights", str(weights)]
    return [command, "--config", str(write_config(folder, store)), "--ckpt_path", str(weights)]


def assert_one_sentence(capsys: pytest.CaptureFixture[str], message: str) -> None:
    captured = capsys.readouterr()
    said = [line for line in captured.err.splitlines() if line.startswith("dsfunet: ")]
    assert len(said) == 1 and message in said[0], captured.err
    # Torch advises to load without the restriction, and Lightning's advice is not for our users.
    assert "weights_only" not in captured.err and "Traceback" not in captured.err


def assert_nothing_written(folder: Path) -> None:
    kept = {"weights.ckpt", "weights", "plane.npy", "tiny.yaml"}
    assert {path.name for path in folder.iterdir()} <= kept


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore:LightningCLI's args parameter is intended"
)  # ours are handed over on purpose
@pytest.mark.parametrize("hide", BOMBS, ids=lambda hide: str(hide.__name__))
@pytest.mark.parametrize("command", ["export", "factorize", "fit", "validate", "test"])
def test_nothing_hidden_in_a_checkpoint_is_run(
    tiny_store: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: str,
    hide: Callable[[Path, Bomb], None],
) -> None:
    weights, exploded = tmp_path / "weights.ckpt", tmp_path / "exploded"
    hide(weights, Bomb(exploded))
    assert main(command_line(command, weights, tiny_store)) == 2
    assert not exploded.exists()
    assert_one_sentence(capsys, "weights.ckpt: not a checkpoint that can be read safely")
    assert_nothing_written(tmp_path)


@pytest.mark.slow
def test_the_bombs_are_live(tmp_path: Path) -> None:
    """Without this, the test above would prove nothing."""
    for number, hide in enumerate(BOMBS):
        path, exploded = tmp_path / f"{number}.ckpt", tmp_path / f"exploded {number}"
        hide(path, Bomb(exploded))
        if hide is in_a_plain_pickle:
            pickle.loads(path.read_bytes())
        elif hide is in_an_exported_program:
            logging.disable()  # torch's own log of it is malformed, which pytest does not let pass
            try:
                with path.open("rb") as stream, suppress(AssertionError):  # it misses its sample, too late
                    torch.export.load(stream)
            finally:
                logging.disable(logging.NOTSET)
        else:
            torch.load(path, weights_only=False)
        assert exploded.exists(), hide.__name__


def test_nothing_hidden_in_the_last_checkpoint_of_a_run_is_run(
    tiny_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, exploded = write_config(tmp_path, tiny_store), tmp_path / "exploded"
    (tmp_path / "run").mkdir()
    in_a_checkpoint(tmp_path / "run" / "last.ckpt", Bomb(exploded))
    assert main(["fit", "--config", str(config), "--ckpt_path", "last"]) == 2
    assert "last.ckpt: not a checkpoint that can be read safely" in capsys.readouterr().err
    assert not exploded.exists()


def truncated(path: Path) -> None:
    save_folder(Generators(tiny(), tiny(), "", "", {}), path.with_name("weights"))
    part = path.with_name("weights") / "short_range_order.safetensors"
    part.write_bytes(part.read_bytes()[:-100])


NO_WEIGHTS: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "pt2": ("network.pt2", lambda path: path.write_bytes(b"PK\x03\x04"), "this is an exported network"),
    "onnx": ("network.onnx", lambda path: path.write_bytes(b"\x08\x0a"), "this is an exported network"),
    "one safetensors": ("form_factor.safetensors", lambda path: path.touch(), "give the folder"),
    "truncated safetensors": ("weights", truncated, "short_range_order.safetensors: not a safetensors file"),
    "empty folder": ("weights", lambda path: path.mkdir(), "the folder has no form_factor.safetensors"),
    "picture": ("picture.png", lambda path: path.write_bytes(b"\x89PNG\r\n"), "not a checkpoint that can be"),
    "weights a list": (
        "weights.ckpt",
        lambda path: torch.save(checkpoint(state_dict=[1]), path),
        "the checkpoint has no weights",
    ),
    "numbered weights": (
        "weights.ckpt",
        lambda path: torch.save(checkpoint(state_dict={1: torch.zeros(1)}), path),
        "the checkpoint has no weights",
    ),
    "weights that are none": (
        "weights.ckpt",
        lambda path: torch.save(checkpoint(state_dict=dict.fromkeys(checkpoint()["state_dict"], 3)), path),
        "the weights do not fit a SpectralUNet",
    ),
}


@pytest.mark.parametrize("case", NO_WEIGHTS)
@pytest.mark.parametrize("command", ["export", "factorize"])
def test_files_that_are_no_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, case: str
) -> None:
    name, make, message = NO_WEIGHTS[case]
    make(tmp_path / name)
    assert main(command_line(command, tmp_path / name, tmp_path)) == 2
    assert_one_sentence(capsys, message)
    assert not (tmp_path / "out").exists() and not (tmp_path / "result.nxs").exists()


@pytest.mark.parametrize(
    "network", [Pix2PixGenerator(channels=(4, 8, 8)), tiny()], ids=["Pix2PixGenerator", "SpectralUNet"]
)
def test_settings_that_ask_for_all_memory_are_refused_before_they_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: torch.nn.Module
) -> None:
    built_on = []

    def build(description: dict[str, Any]) -> torch.nn.Module:
        built_on.append(torch.get_default_device().type)
        return build_network(description)

    monkeypatch.setattr("dsfunet.networks.weights.build_network", build)
    description = describe_network(network)
    for key in ("channels", "fourier_channels"):
        if key in description["settings"]:  # hundreds of terabytes
            description["settings"][key] = [2**22] * len(description["settings"][key])
    path = tmp_path / "weights.ckpt"
    torch.save(checkpoint(networks=dict.fromkeys(COMPONENTS, description)), path)
    with pytest.raises(InputError, match=r"weights\.ckpt: the weights do not fit a"):
        load_generators(path)
    assert built_on == ["meta"]  # where tensors have shapes and nothing else
