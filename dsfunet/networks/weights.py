"""Generators on disk: folders of safetensors, such as the released weights, and training checkpoints.

A weights folder holds `form_factor.safetensors`, `short_range_order.safetensors` and, if known, `card.json` and
`calibration.json`. The header of each safetensors file names the network and its settings, from which the network is
built. Only the networks in GENERATORS are built, and only tensors and plain types are unpickled.
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
"""Networks that a file of weights may name."""

RELEASE_FOLDER = Path(__file__).parents[1] / "pretrained" / "release"
CARD_FILE = "card.json"
CALIBRATION_FILE = "calibration.json"


@dataclass(frozen=True)
class Generators:
    """Both generators in evaluation mode, with the source and a digest of their weights.

    Attributes:
        form_factor: network from plane to form factor.
        short_range_order: network from plane to short-range order.
        source: name of the folder or checkpoint.
        digest: SHA-256 of the weights.
        card: contents of card.json, or what the checkpoint records of its data; empty if there is neither.
        calibration: contents of calibration.json, from which standard uncertainties are computed
            (`dsfunet.factorize.uncertainty`); empty if there is none.
    """

    form_factor: nn.Module
    short_range_order: nn.Module
    source: str
    digest: str
    card: dict[str, Any]
    calibration: dict[str, Any] = field(default_factory=dict)


def describe_network(network: nn.Module) -> dict[str, Any]:
    """Return class name and settings of a network in plain types, from which `build_network` can rebuild it."""
    return {"network": type(network).__name__, "settings": getattr(network, "settings", {})}


def build_network(description: dict[str, Any]) -> nn.Module:
    """Build the generator that a description names, with new weights.

    Raises:
        InputError: the network is not one of GENERATORS, or the settings do not fit it.
    """
    name = description.get("network") if isinstance(description, dict) else description
    if not isinstance(name, str) or name not in GENERATORS:
        raise InputError(f"the weights are of a network {name!r}; expected one of {sorted(GENERATORS)}")
    try:
        return GENERATORS[name](**description["settings"])
    except (TypeError, KeyError, ValueError) as error:
        raise InputError(
            f"the weights name settings that {name} does not take ({error}); expected those of this version"
        ) from error


def load_named_weights(weights: str | Path) -> Generators:
    """Load generators from the package (`release`), or from the path of a checkpoint or a folder of safetensors.

    Raises:
        InputError: as `load_generators`.
    """
    return load_release() if str(weights) == "release" else load_generators(weights)


def load_release() -> Generators:
    """Load the released generators, which are part of the package."""
    return load_folder(RELEASE_FOLDER)


def load_generators(path: str | Path) -> Generators:
    """Load generators from a training checkpoint (.ckpt) or from a folder of safetensors.

    Raises:
        InputError: there is nothing at the path, or it is neither of the two.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such checkpoint or weights folder")
    if path.is_file() and path.suffix == ".safetensors":
        raise InputError(
            f"{path}: this is one of the two files of a weights folder; give the folder, {path.parent}"
        )
    if path.is_file() and path.suffix in (".pt2", ".onnx"):
        raise InputError(
            f"{path}: this is an exported network for other programs; expected a checkpoint or a folder of safetensors"
        )
    return load_folder(path) if path.is_dir() else load_checkpoint(path)


def load_folder(folder: Path) -> Generators:
    """Load generators from a folder of safetensors.

    Raises:
        InputError: a file is missing, damaged, or of another network.
    """
    networks, digest = [], hashlib.sha256()
    for component in COMPONENTS:
        path = folder / f"{component}.safetensors"
        if not path.exists():
            raise InputError(f"{folder}: the folder has no {path.name}; expected a folder of weights")
        networks.append(_read_safetensors(path))
        digest.update(path.read_bytes())
    card = _read_card(folder / CARD_FILE)
    calibration_path = folder / CALIBRATION_FILE
    calibration = (
        read_calibration(calibration_path.read_text(encoding="utf-8"), str(calibration_path))
        if calibration_path.exists()
        else {}
    )
    return Generators(networks[0], networks[1], str(folder.name), digest.hexdigest(), card, calibration)


def _read_safetensors(path: Path) -> nn.Module:
    """Build the network that the header names, with the weights of the file."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{path}: not a safetensors file ({error}); expected one that dsfunet wrote"
        ) from error
    try:
        description = json.loads(metadata["description"])
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{path}: the header names no network; expected a file written by dsfunet"
        ) from error
    return _with_weights(description, state, path)


def _read_card(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: not a JSON object ({error}); expected one that dsfunet wrote") from error


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of `dsfunet fit` with torch's restricted unpickler: tensors and plain types only.

    Raises:
        InputError: it is not a checkpoint, or this program did not write it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of foreign pickles, which are refused below
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # on arbitrary bytes, the unpickler raises any exception
        # Torch's own message is left out: it advises to load the file without the restriction.
        raise InputError(
            f"{path}: not a checkpoint that can be read safely; expected a checkpoint that `dsfunet fit` wrote"
        ) from error
    networks = checkpoint.get("networks") if isinstance(checkpoint, dict) else None
    if not isinstance(networks, dict) or not {*COMPONENTS} <= set(networks):
        raise InputError(
            f"{path}: the checkpoint names no networks; expected a checkpoint that `dsfunet fit` wrote"
        )
    state = checkpoint.get("state_dict")
    if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
        raise InputError(
            f"{path}: the checkpoint has no weights; expected a checkpoint that `dsfunet fit` wrote"
        )
    return dict(checkpoint)


def load_checkpoint(path: Path) -> Generators:
    """Load generators from a checkpoint of `dsfunet fit`, with the averaged weights if it has them.

    Raises:
        InputError: it is not a checkpoint, or this program did not write it.
    """
    checkpoint = read_checkpoint(path)
    state = checkpoint["state_dict"]
    networks = []
    for component in COMPONENTS:
        averaged = f"averages.{component}."
        prefix = averaged if any(key.startswith(averaged) for key in state) else f"generators.{component}."
        own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        networks.append(_with_weights(checkpoint["networks"][component], own, path))
    data = checkpoint.get("data")
    card = {"data": data} if isinstance(data, dict) and data else {}
    return Generators(networks[0], networks[1], path.name, _digest(networks), card)


def _with_weights(description: dict[str, Any], state: dict[str, torch.Tensor], path: Path) -> nn.Module:
    """Build a network with given weights, in evaluation mode."""
    try:
        # First without memory: the settings come from an untrusted file and may need more than there is.
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
            f"{path}: the weights do not fit a {description['network']} with the settings in the file"
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
    """Write generators, and a model card if given, to a folder; returns the size of the weights [bytes].

    Each file is complete or absent. A card and a calibration that are in the folder belong to other weights and are
    removed. Half precision halves the files; loaded weights are float32 again.
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
            temporary.chmod(0o644)  # safetensors makes files readable by their owner only
        size += path.stat().st_size
    if card is not None:
        write_json(folder / CARD_FILE, card)
    else:
        (folder / CARD_FILE).unlink(missing_ok=True)
    return size
