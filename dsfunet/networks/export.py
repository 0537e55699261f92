"""Generators for other programs: torch.export (.pt2, runs without dsfunet) and ONNX (runs without torch).

One file a generator. It takes any number of planes of 256 x 256 pixels at once, prepared as by
`dsfunet.planes.preprocessing.network_input`, and carries a description of itself. Every file is read back and compared
with the network it was made from before it appears under its name.

These files are written, never read: torch.export.load may unpickle what it finds, so weights that come from others
are safetensors or checkpoints (`dsfunet.networks.weights`), and a .pt2 is to be loaded only by who trusts its maker.
"""

import importlib
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from dsfunet._version import __version__
from dsfunet.errors import InputError
from dsfunet.files import replacing
from dsfunet.networks.weights import Generators, describe_network, load_named_weights, save_folder
from dsfunet.planes.preprocessing import COMPONENTS, PIXELS

DESCRIPTION_FILE = "dsfunet.json"
"""Name of the description among the extra files of a .pt2; an ONNX file has the same entries as metadata_props."""

INPUT_NAME, OUTPUT_NAME = "plane", "component"
"""What an ONNX file calls its input and its output."""

# Fourier blocks become the operator DFT, in its form of opset 20. Said here, or it would change with torch.
_ONNX_OPSET = 20
_LARGEST_DIFFERENCE = 1e-4


@dataclass(frozen=True)
class ExportedFile:
    """A file that was written, its size [bytes], and how far its answers were from the network's at most."""

    path: Path
    size: int
    difference: float


def save_torch_export(generators: Generators, folder: Path) -> list[ExportedFile]:
    """Write each generator as `COMPONENT.pt2`, for `torch.export.load`.

    Raises:
        InputError: a generator takes no planes of 256 x 256, its file answers otherwise than itself, or the folder
            cannot be written.
    """
    return _save(generators, folder, ".pt2", _write_torch_export)


def save_onnx(generators: Generators, folder: Path) -> list[ExportedFile]:
    """Write each generator as `COMPONENT.onnx`, for onnxruntime and its like.

    Raises:
        InputError: as `save_torch_export`, or the packages of the extra `onnx` are not installed.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        try:
            importlib.import_module(package)
        except ModuleNotFoundError as error:
            raise InputError(
                f"{error.name} is not installed: expected the onnx extra, pip install '.[onnx]' in the checkout"
            ) from error
    return _save(generators, folder, ".onnx", _write_onnx)


# Writes a network and its description at a path; returns what the file there answers to planes.
_Writer = Callable[[nn.Module, dict[str, str], Path, Tensor], Tensor]


def _save(generators: Generators, folder: Path, suffix: str, write: _Writer) -> list[ExportedFile]:
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for component in COMPONENTS:
        # The graph would keep device, precision and memory layout: export a plain copy on the CPU.
        network = (
            deepcopy(getattr(generators, component)).to("cpu", torch.float32).eval().requires_grad_(False)
        )
        network = network.to(memory_format=torch.contiguous_format)
        path = folder / f"{component}{suffix}"
        planes = _trial_planes(int(network.in_channels))
        with torch.no_grad():
            expected = network(planes)
        with replacing(path) as temporary:
            answer = write(network, _describe(generators, component), temporary, planes)
            difference = float((answer - expected).abs().max())
            # NaN is no small difference.
            if answer.shape != expected.shape or not difference <= _LARGEST_DIFFERENCE:
                raise InputError(
                    f"{path}: the file answers {difference:g} off the network it was made from, expected at most"
                    f" {_LARGEST_DIFFERENCE:g}; it was not kept"
                )
        written.append(ExportedFile(path, path.stat().st_size, difference))
    return written


def _trial_planes(channels: int) -> Tensor:
    """Three planes as networks are shown them: noise in [-1, 1] with missing pixels at -1, mask, noise for I_SRO."""
    # Not two, the number that the graph is traced with.
    random = torch.rand(3, channels, PIXELS, PIXELS, generator=torch.Generator().manual_seed(0))
    masks = (random[:, 1:2] > 0.4).float()
    noise = 2 * random[:, :1] - 1
    missing = masks == 0 if channels > 1 else torch.zeros_like(noise, dtype=torch.bool)
    return torch.cat([noise.masked_fill(missing, -1.0), masks, 2 * random[:, 2:] - 1], dim=1)


def _describe(generators: Generators, component: str) -> dict[str, str]:
    network: nn.Module = getattr(generators, component)
    channels = [
        "spread scattering in [-1, 1], missing pixels at -1",
        "1 where measured, 0 where missing",
        "spread short-range order of maximum intensity 1, its minimum not taken away, or 0 everywhere if not known",
    ][: int(network.in_channels)]  # type: ignore[arg-type]
    return {
        "program": "dsfunet",
        "version": __version__,
        "component": component,
        "network": json.dumps(describe_network(network), sort_keys=True),
        "weights": generators.source,
        "weights_sha256": generators.digest,
        "input": f"float32 (n, {network.in_channels}, {PIXELS}, {PIXELS}), "
        + "; ".join(f"channel {number}: {channel}" for number, channel in enumerate(channels)),
        "output": f"float32 (n, 1, {PIXELS}, {PIXELS}), spread component s in [-1, 1]; intensity ((s + 1) / 2)^2",
    }


def _trace(network: nn.Module) -> torch.export.ExportedProgram:
    """The network as a graph for any number of planes, without the paths of this machine."""
    # A size of 1 would be taken for a constant.
    example = torch.zeros(2, int(network.in_channels), PIXELS, PIXELS)  # type: ignore[arg-type]
    program = torch.export.export(network, (example,), dynamic_shapes=({0: torch.export.Dim("planes")},))
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            # Each node remembers the lines of the files it came from, and would tell them to whoever gets the file.
            node.meta.pop("stack_trace", None)
    program.example_inputs = None  # 1 MB of zeros
    return program


def _write_torch_export(
    network: nn.Module, description: dict[str, str], path: Path, planes: Tensor
) -> Tensor:
    with path.open("wb") as stream:  # by its name, torch would refuse a file that does not end in .pt2
        extra_files = {DESCRIPTION_FILE: json.dumps(description, indent=1)}
        torch.export.save(_trace(network), stream, extra_files=extra_files)
    with path.open("rb") as stream, torch.no_grad():
        answer: Tensor = torch.export.load(stream).module()(planes)
    return answer


def _write_onnx(network: nn.Module, description: dict[str, str], path: Path, planes: Tensor) -> Tensor:
    import onnxruntime

    with _without_advice():
        program = torch.onnx.export(
            _trace(network),
            dynamo=True,
            opset_version=_ONNX_OPSET,
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME],
            verbose=False,
        )
    assert program is not None  # None is for exports straight to a file
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # the same lines of files, by another name
    program.model.metadata_props.update(description)
    path.write_bytes(program.model_proto.SerializeToString())
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (answer,) = session.run([OUTPUT_NAME], {INPUT_NAME: planes.numpy()})
    return torch.from_numpy(answer)


@contextmanager
def _without_advice() -> Iterator[None]:
    """Keep to itself that torch's exporter found no torchvision, which nobody here needs."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def export_weights(weights: str, out: Path, file_format: str) -> None:
    """Write generators for others to use: half-precision safetensors, torch.export or ONNX, into a folder.

    Raises:
        InputError: the weights cannot be used, the format lacks its packages, or the folder cannot be written.
    """
    generators = load_named_weights(weights)
    try:
        if file_format == "safetensors":
            # Rounded, they are still the weights that the card describes.
            size = save_folder(generators, out, generators.card or None)
            print(f"wrote {out}: {size / 1e6:.1f} MB of weights from {weights}")
            return
        files = save_onnx(generators, out) if file_format == "onnx" else save_torch_export(generators, out)
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror or error})") from error
    for file in files:
        print(
            f"wrote {file.path}: {file.size / 1e6:.1f} MB, within {file.difference:.1g} of the network itself"
        )
