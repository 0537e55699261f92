"""Export of generators for other programs: torch.export (.pt2, runs without dsfunet) and ONNX (runs without torch).

There is one file per generator. It takes any number of planes of 256 x 256 pixels, prepared as by
`dsfunet.planes.preprocessing.network_input`, and contains a description of itself. Before it gets its final name, each
file is read back and compared with its network.

This program never reads these files: torch.export.load may unpickle their contents. Weights from others are read as
safetensors or checkpoints only (`dsfunet.networks.weights`). Load a .pt2 only if you trust its author.
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
from dsfunet.networks.weights import Generators, describe_network
from dsfunet.planes.preprocessing import COMPONENTS, PIXELS

DESCRIPTION_FILE = "dsfunet.json"
"""Name of the description among the extra files of a .pt2; an ONNX file has its entries as metadata_props."""

INPUT_NAME, OUTPUT_NAME = "plane", "component"
"""Names of input and output in an ONNX file."""

# Fourier blocks become the operator DFT of opset 20. The opset is fixed here; torch's default changes.
_ONNX_OPSET = 20
_LARGEST_DIFFERENCE = 1e-4


@dataclass(frozen=True)
class ExportedFile:
    """A written file, its size [bytes], and the largest difference between its outputs and the network's."""

    path: Path
    size: int
    difference: float


def save_torch_export(generators: Generators, folder: Path) -> list[ExportedFile]:
    """Write each generator as `COMPONENT.pt2`, for `torch.export.load`.

    Raises:
        InputError: a generator does not take planes of 256 x 256 pixels, or its file gives other outputs.
        OSError: the folder cannot be written.
    """
    return _save(generators, folder, ".pt2", _write_torch_export)


def save_onnx(generators: Generators, folder: Path) -> list[ExportedFile]:
    """Write each generator as `COMPONENT.onnx`, for onnxruntime and similar programs.

    Raises:
        InputError: as `save_torch_export`, or the packages of the extra `onnx` are not installed.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        try:
            importlib.import_module(package)
        except ModuleNotFoundError as error:
            raise InputError(
                f"{error.name} is not installed; install the onnx extra with pip install '.[onnx]' in the checkout"
            ) from error
    return _save(generators, folder, ".onnx", _write_onnx)


# Writes a network and its description to a path; returns the outputs of that file for the planes.
_Writer = Callable[[nn.Module, dict[str, str], Path, Tensor], Tensor]


def _save(generators: Generators, folder: Path, suffix: str, write: _Writer) -> list[ExportedFile]:
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for component in COMPONENTS:
        # The graph keeps device, precision and memory layout, so a plain copy on the CPU is exported.
        network = (
            deepcopy(getattr(generators, component)).to("cpu", torch.float32).eval().requires_grad_(False)
        )
        network = network.to(memory_format=torch.contiguous_format)
        path = folder / f"{component}{suffix}"
        planes = _trial_planes(int(network.in_channels))
        with torch.no_grad():
            expected = network(planes)
        with replacing(path) as temporary:
            outputs = write(network, _describe(generators, component), temporary, planes)
            difference = float((outputs - expected).abs().max())
            # Written so that NaN fails too.
            if outputs.shape != expected.shape or not difference <= _LARGEST_DIFFERENCE:
                raise InputError(
                    f"{path}: the outputs of the exported file differ by {difference:g} from those of the network;"
                    f" expected at most {_LARGEST_DIFFERENCE:g}, so the file was removed"
                )
        written.append(ExportedFile(path, path.stat().st_size, difference))
    return written


def _trial_planes(channels: int) -> Tensor:
    """Return three planes of noise in [-1, 1] as network inputs: missing pixels at -1, a mask, noise for I_SRO."""
    # Not two: the graph is traced with two planes.
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
    """Trace the network as a graph for any number of planes, without the paths of this machine."""
    # With a size of 1, torch would make the number of planes a constant.
    example = torch.zeros(2, int(network.in_channels), PIXELS, PIXELS)  # type: ignore[arg-type]
    program = torch.export.export(network, (example,), dynamic_shapes=({0: torch.export.Dim("planes")},))
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            # Each node holds the source lines it came from, with their paths, which would be in the exported file.
            node.meta.pop("stack_trace", None)
    program.example_inputs = None  # 1 MB of zeros
    return program


def _write_torch_export(
    network: nn.Module, description: dict[str, str], path: Path, planes: Tensor
) -> Tensor:
    with path.open("wb") as stream:  # given a name, torch refuses one that does not end in .pt2
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
    assert program is not None  # it is None only for exports to a file
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # the source lines again
    program.model.metadata_props.update(description)
    path.write_bytes(program.model_proto.SerializeToString())
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (answer,) = session.run([OUTPUT_NAME], {INPUT_NAME: planes.numpy()})
    return torch.from_numpy(answer)


@contextmanager
def _without_advice() -> Iterator[None]:
    """Silence the note of torch's exporter that torchvision is not installed; it is not needed."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
