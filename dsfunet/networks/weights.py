"""Generators on disk: the safetensors we ship, and the generators inside a training checkpoint.

A weights folder holds `form_factor.safetensors`, `short_range_order.safetensors` and `card.json`. The header of
each safetensors file names the network and its settings, so that a file says by itself how it is to be built. Only
networks listed in GENERATORS are ever built, and nothing is unpickled but plain tensors.
"""

import hashlib
import json
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from dsfunet.errors import InputError
from dsfunet.files import replacing, write_json
from dsfunet.networks import Pix2PixGenerator, SpectralUNet
from dsfunet.networks.calibration import read_calibration
from dsfunet.planes.preprocessing import COMPONENTS

GENERATORS: dict[str, type[nn.Module]] = {"Pix2PixGenerator": Pix2PixGenerator, "SpectralUNet": SpectralUNet}
"""The networks that weights may name."""

RELEASE_FOLDER = Path(__file__).parents[1] / "pretrained" / "release"
CARD_FILE = "card.json"
CALIBRATION_FILE = "calibration.json"


@dataclass(frozen=True)
class Generators:
    """Both generators in evaluation mode, where they came from, and a digest of their weights.

    `calibration` is what makes standard uncertainties of their answers, in the plain values of calibration.json
    (`dsfunet.factorize.uncertainty`); empty where they have none.
    """

    form_factor: nn.Module
    short_range_order: nn.Module
    source: str
    digest: str
    card: dict[str, Any]
    calibration: dict[str, Any] = field(default_factory=dict)


def describe_network(network: nn.Module) -> dict[str, Any]:
    """A generator in plain types, from which `build_network` makes it again: its class name and settings."""
    return {"network": type(network).__name__, "settings": getattr(network, "settings", {})}


def build_network(description: dict[str, Any]) -> nn.Module:
    """The generator that a description names, with fresh weights.

    Raises:
        InputError: the network is not one of GENERATORS or the settings are not its own.
    """
    name = description.get("network") if isinstance(description, dict) else description
    if not isinstance(name, str) or name not in GENERATORS:
        raise InputError(f"weights are of a network {name!r}: expected one of {sorted(GENERATORS)}")
    try:
        return GENERATORS[name](**description["settings"])
    except (TypeError, KeyError, ValueError) as error:
        raise InputError(f"weights name settings that {name} does not take: {error}") from error


def load_named_weights(weights: str | Path) -> Generators:
    """Generators from the package (`release`), or from a checkpoint or a folder of safetensors at a path.

    Raises:
        InputError: as `load_generators`.
    """
    return load_release() if str(weights) == "release" else load_generators(weights)


def load_release() -> Generators:
    """The generators that ship with the package."""
    return load_folder(RELEASE_FOLDER)


def load_generators(path: str | Path) -> Generators:
    """Generators from a training checkpoint (.ckpt) or from a folder of safetensors.

    Raises:
        InputError: nothing is there, or it is neither.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such checkpoint or weights folder")
    if path.is_file() and path.suffix == ".safetensors":
        raise InputError(f"{path}: one of a folder's two files; expected the folder, {path.parent}")
    if path.is_file() and path.suffix in (".pt2", ".onnx"):
        raise InputError(
            f"{path}: an exported network, for other programs; expected a checkpoint or a folder of safetensors"
        )
    return load_folder(path) if path.is_dir() else load_checkpoint(path)


def load_folder(folder: Path) -> Generators:
    """Generators from a folder of safetensors.

    Raises:
        InputError: a file is missing, damaged, or of another network.
    """
    networks, digest = [], hashlib.sha256()
    for component in COMPONENTS:
        path = folder / f"{component}.safetensors"
        if not path.exists():
            raise InputError(f"{folder}: expected a weights folder, found no {path.name} in it")
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                state = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118 - not a dict
        except (SafetensorError, OSError) as error:
            raise InputError(f"{path}: not a safetensors file ({error})") from error
        try:
            description = json.loads(metadata["description"])
        except (KeyError, ValueError) as error:
            raise InputError(
                f"{path}: its header names no network; expected one written by dsfunet"
            ) from error
        networks.append(_filled(description, state, path))
        digest.update(path.read_bytes())
    card_path = folder / CARD_FILE
    try:
        card = json.loads(card_path.read_text(encoding="utf-8")) if card_path.exists() else {}
    except ValueError as error:
        raise InputError(f"{card_path}: not JSON ({error})") from error
    calibration_path = folder / CALIBRATION_FILE
    calibration = (
        read_calibration(calibration_path.read_text(encoding="utf-8"), str(calibration_path))
        if calibration_path.exists()
        else {}
    )
    return Generators(networks[0], networks[1], str(folder.name), digest.hexdigest(), card, calibration)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What a checkpoint of `dsfunet fit` holds, read by torch's restricted unpickler: tensors and plain types only.

    Raises:
        InputError: it is not a checkpoint, or not one of this program.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of foreign pickles, which are refused below anyway
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler fails on arbitrary bytes in arbitrary ways
        # Not its own words: torch's advice is to load without care.
        raise InputError(
            f"{path}: not a checkpoint that can be read safely; expected one that `dsfunet fit` wrote"
        ) from error
    networks = checkpoint.get("networks") if isinstance(checkpoint, dict) else None
    if not isinstance(networks, dict) or not {*COMPONENTS} <= set(networks):
        raise InputError(f"{path}: a checkpoint, but not one that `dsfunet fit` wrote (it names no networks)")
    state = checkpoint.get("state_dict")
    if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
        raise InputError(f"{path}: a checkpoint, but not one that `dsfunet fit` wrote (it holds no weights)")
    return dict(checkpoint)


def load_checkpoint(path: Path) -> Generators:
    """Generators from a checkpoint of `dsfunet fit`: the averaged weights where it has them, else the live ones.

    Raises:
        InputError: it is not a checkpoint, or not one of this program.
    """
    checkpoint = read_checkpoint(path)
    state = checkpoint["state_dict"]
    networks = []
    for component in COMPONENTS:
        averaged = f"averages.{component}."
        prefix = averaged if any(key.startswith(averaged) for key in state) else f"generators.{component}."
        own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        networks.append(_filled(checkpoint["networks"][component], own, path))
    data = checkpoint.get("data")
    card = {"data": data} if isinstance(data, dict) and data else {}
    return Generators(networks[0], networks[1], path.name, _digest(networks), card)


def _filled(description: dict[str, Any], state: dict[str, torch.Tensor], path: Path) -> nn.Module:
    try:
        # Without memory first: the settings are a stranger's, and may ask for more than there is.
        with torch.device("meta"):
            outline = build_network(description).state_dict()
        shapes = {key: getattr(value, "shape", None) for key, value in state.items()}
        if shapes != {key: value.shape for key, value in outline.items()}:
            raise RuntimeError("names or shapes differ")
        network = build_network(description)
        network.load_state_dict(state)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except RuntimeError as error:
        raise InputError(
            f"{path}: weights do not fit a {description['network']} of the settings they name"
        ) from error
    return network.eval().requires_grad_(False)


def _digest(networks: list[nn.Module]) -> str:
    digest = hashlib.sha256()
    for network in networks:
        for key, value in sorted(network.state_dict().items()):
            digest.update(key.encode())
            digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()


def save_folder(
    generators: Generators,
    folder: Path,
    card: dict[str, Any] | None = None,
    dtype: torch.dtype = torch.float16,
) -> int:
    """Write generators, and a model card if given, as a folder; returns the size of the weights [bytes].

    Each file is whole or not there; a card and a calibration already there, which are of other weights, are removed.
    Half precision halves the files; the weights are used in float32 again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CALIBRATION_FILE).unlink(missing_ok=True)
    size = 0
    for component in COMPONENTS:
        network: nn.Module = getattr(generators, component)
        state = {key: value.to(dtype).contiguous() for key, value in network.state_dict().items()}
        metadata = {"description": json.dumps(describe_network(network), sort_keys=True)}
        path = folder / f"{component}.safetensors"
        with replacing(path) as temporary:
            save_file(state, temporary, metadata=metadata)
            temporary.chmod(0o644)  # safetensors keeps files to their owner
        size += path.stat().st_size
    if card is not None:
        write_json(folder / CARD_FILE, card)
    else:
        (folder / CARD_FILE).unlink(missing_ok=True)
    return size
