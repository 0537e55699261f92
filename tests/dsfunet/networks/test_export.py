"""Exported networks give the networks' outputs, describe themselves, and hold no paths of this machine."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from dsfunet import Factorizer, __version__
from dsfunet.cli.main import main
from dsfunet.errors import InputError
from dsfunet.io import read_plane
from dsfunet.networks import Pix2PixGenerator, SpectralUNet
from dsfunet.networks.export import DESCRIPTION_FILE, save_onnx, save_torch_export
from dsfunet.networks.weights import Generators, build_network, load_release
from dsfunet.planes.preprocessing import COMPONENTS, check_planes, network_input
from dsfunet.planes.resampling import to_network_grid

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
SAVE = {".pt2": save_torch_export, ".onnx": save_onnx}
# Outputs are in [-1, 1]. Measured: 0 for .pt2, which calls the same kernels, and for .onnx, whose sums run in another
# order, 3e-6 with the shipped weights and 1.4e-5 with random ones, where instance norms magnify.
TOLERANCE = {".pt2": 1e-5, ".onnx": 1e-4}


@pytest.fixture(scope="module")
def plane() -> npt.NDArray[np.float64]:
    """The example's hk1 plane on the networks' grid, NaN where missing."""
    shown, _ = to_network_grid(read_plane(ROOT / "examples" / "cresol_benzene.h5", "hk1"))
    return shown


@pytest.fixture(scope="module")
def shown(plane: npt.NDArray[np.float64]) -> torch.Tensor:
    """Network inputs of that plane, turned and flipped: (5, 3, 256, 256), with I_SRO unknown in two."""
    stack, measured = check_planes(plane, None)
    first = torch.from_numpy(network_input(stack[0], measured[0]))[None]
    planes = torch.cat([first, *(first.rot90(turns, (2, 3)) for turns in (1, 2, 3)), first.flip(2)])
    order = planes[:, :1].roll(40, 3)
    order[:2] = 0
    return torch.cat([planes, order], dim=1)


def small() -> Generators:
    """Return a network of the paper's kind with one channel, and one of ours with three."""
    torch.manual_seed(3)
    paper = Pix2PixGenerator(in_channels=1, channels=(4, 8, 8), dropout=0.5)
    spectral = SpectralUNet(in_channels=3, channels=(8, 16), blocks=(1, 1), fourier_channels=(4, 8))
    for network in (paper, spectral):
        for parameter in network.parameters():  # Fourier blocks start at zero, and would hide their errors
            parameter.data += 0.1 * torch.randn_like(parameter)
    return Generators(paper.eval(), spectral.eval(), "small", "ab12", {})


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both small networks in both formats."""
    folder = tmp_path_factory.mktemp("small") / "exported"
    for save in SAVE.values():
        for file in save(small(), folder):
            assert file.difference <= TOLERANCE[file.path.suffix] and file.size == file.path.stat().st_size
    return folder


def answer(path: Path, planes: torch.Tensor) -> torch.Tensor:
    """Return the outputs of an exported file."""
    if path.suffix == ".pt2":
        with torch.no_grad():
            result: torch.Tensor = torch.export.load(path).module()(planes)
        return result
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(["component"], {"plane": planes.numpy()})[0])


def read_description(path: Path) -> dict[str, str]:
    """Read the description in a file."""
    if path.suffix == ".onnx":
        return {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    extra_files = {DESCRIPTION_FILE: ""}
    torch.export.load(path, extra_files=extra_files)
    description: dict[str, str] = json.loads(extra_files[DESCRIPTION_FILE])
    return description


@pytest.mark.parametrize("suffix", SAVE)
@pytest.mark.parametrize("component", COMPONENTS)
def test_small_networks_answer_as_themselves_for_any_number_of_planes(
    exported: Path, shown: torch.Tensor, component: str, suffix: str
) -> None:
    network: nn.Module = getattr(small(), component)
    planes = shown[:, : network.in_channels]
    with torch.no_grad():
        expected = network(planes)
    assert expected.std() > 0.01
    for count in (1, 5):
        found = answer(exported / f"{component}{suffix}", planes[:count])
        torch.testing.assert_close(found, expected[:count], rtol=0, atol=TOLERANCE[suffix])


@pytest.mark.parametrize("suffix", SAVE)
def test_files_describe_themselves(exported: Path, suffix: str) -> None:
    for component in COMPONENTS:
        description = read_description(exported / f"{component}{suffix}")
        assert description["component"] == component
        assert (description["program"], description["version"]) == ("dsfunet", __version__)
        assert (description["weights"], description["weights_sha256"]) == ("small", "ab12")
        network = getattr(small(), component)
        assert build_network(json.loads(description["network"])).settings == network.settings
        assert description["input"].startswith(f"float32 (n, {network.in_channels}, 256, 256)")
        assert ("where measured" in description["input"]) == (component == "short_range_order")
        assert "((s + 1) / 2)^2" in description["output"]


def test_files_hold_no_paths_of_this_machine(exported: Path) -> None:
    files = sorted(exported.iterdir())
    assert [path.name for path in files] == [
        f"{component}{suffix}" for component in COMPONENTS for suffix in (".onnx", ".pt2")
    ]
    for path in files:
        content = path.read_bytes()
        for trace in (str(ROOT), sys.prefix, "site-packages", "spectral_unet.py", "pix2pix_generator.py"):
            assert trace.encode() not in content, f"{path.name} names {trace}"


def test_networks_in_use_are_exported_and_left_as_they_are(tmp_path: Path, shown: torch.Tensor) -> None:
    generators = small()
    Factorizer(generators, "cpu")  # turns them to channels_last
    generators.short_range_order.requires_grad_(True)
    save_torch_export(generators, tmp_path)
    for parameter in generators.short_range_order.parameters():
        assert parameter.requires_grad
        assert parameter.ndim < 4 or parameter.is_contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        expected = small().short_range_order(shown[:2])
    found = answer(tmp_path / "short_range_order.pt2", shown[:2])
    torch.testing.assert_close(found, expected, rtol=0, atol=TOLERANCE[".pt2"])


@pytest.mark.parametrize("suffix", SAVE)
def test_a_file_with_other_outputs_is_not_kept(tmp_path: Path, suffix: str) -> None:
    before = b"what was there"
    (tmp_path / f"form_factor{suffix}").write_bytes(before)
    generators = small()
    generators.form_factor.set_sampling(True)  # type: ignore[operator] # the noise is another with every pass
    with pytest.raises(
        InputError, match=rf"form_factor\{suffix}: the outputs of the exported file differ by"
    ):
        SAVE[suffix](generators, tmp_path)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]


def test_weights_that_are_not_numbers_are_not_exported(tmp_path: Path) -> None:
    generators = small()
    next(generators.form_factor.parameters()).data[:] = torch.nan
    with pytest.raises(InputError, match="the exported file differ by nan from"):
        save_torch_export(generators, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_networks_that_take_no_planes_of_256_pixels(tmp_path: Path) -> None:
    network = SpectralUNet(channels=(8, 16), blocks=(1, 1), fourier_channels=(4, 8), fold=3)
    with pytest.raises(InputError, match="expected sides divisible by 6"):
        save_torch_export(Generators(network, network, "", "", {}), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("missing", ["onnx", "onnxscript", "onnxruntime"])
def test_onnx_without_its_extra_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    assert main(["export", "release", "--format", "onnx", "--out", str(tmp_path / "exported")]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"dsfunet: {missing} is not installed") and "pip install '.[onnx]'" in said
    assert said.count("\n") == 1 and not (tmp_path / "exported").exists()


def example_of_the_docs() -> str:
    """The lines of the page about export that load exported files."""
    page = ROOT / "docs" / "how-to" / "export.md"
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    [block] = [block for block in blocks if "onnxruntime" in block]
    return str(block)


@pytest.mark.slow
def test_shipped_weights_answer_as_the_factorizer_by_the_lines_of_the_docs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    plane: npt.NDArray[np.float64],
    shown: torch.Tensor,
) -> None:
    monkeypatch.chdir(tmp_path)
    for file_format in ("torch-export", "onnx"):
        assert main(["export", "release", "--format", file_format, "--out", "exported"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    names = sorted(path.name for path in Path("exported").iterdir())
    assert names == sorted(f"{component}{suffix}" for component in COMPONENTS for suffix in SAVE)
    assert all(f"wrote exported/{name}: " in captured.out for name in names)

    values: dict[str, Any] = {"plane": plane}
    exec(example_of_the_docs(), values)
    expected = Factorizer.from_pretrained("cpu")(plane)
    for component in COMPONENTS:
        found = np.clip(np.asarray(values[component]), 0, 1)[0, 0]
        np.testing.assert_allclose(found, getattr(expected, component), rtol=0, atol=2e-5)

    # And both networks in both formats, before any clipping.
    release = load_release()
    for component in COMPONENTS:
        network = getattr(release, component)
        planes = shown[:3, : network.in_channels]  # I_SRO is known in the third
        with torch.no_grad():
            spread = network(planes)
        for suffix in SAVE:
            path = Path("exported") / f"{component}{suffix}"
            torch.testing.assert_close(answer(path, planes), spread, rtol=0, atol=2e-5)
            assert read_description(path)["weights_sha256"] == release.digest
