"""`dsfunet factorize` and `export`, in process: files in, results out, and for bad input one line and nothing else."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest
import torch

from dsfunet import Factorizer, __version__
from dsfunet.cli.main import main
from dsfunet.io import read_result
from dsfunet.networks import SpectralUNet
from dsfunet.networks.weights import Generators, load_folder, load_release, save_folder
from dsfunet.training.module import DSFUNet

Array = npt.NDArray[np.float64]


def tiny(seed: int) -> SpectralUNet:
    torch.manual_seed(seed)
    return SpectralUNet(channels=(8, 16), blocks=(1, 1), fourier_channels=(4, 8)).eval()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights folder."""
    folder = tmp_path_factory.mktemp("cli") / "weights"
    save_folder(Generators(tiny(1), tiny(2), "tiny", "", {}), folder, {})
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with other weights, averaged ones among them."""
    module = DSFUNet(tiny(3), tiny(4), partial(torch.optim.SGD, lr=0.1), average_decay=0.9)
    content: dict[str, Any] = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(content)
    path = tmp_path_factory.mktemp("cli") / "last.ckpt"
    torch.save(content, path)
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An empty folder for what is written."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def smooth_plane(shape: tuple[int, int] = (256, 256)) -> Array:
    """Broad times periodic, never negative, some of it not measured."""
    x, y = np.meshgrid(*(np.linspace(-4, 4, n) for n in shape), indexing="ij")
    plane = 1000 * np.exp(-(x**2 + y**2) / 8) * (1.2 + np.cos(2 * np.pi * x) + 0.1 * np.cos(2 * np.pi * y))
    plane[np.hypot(x, y) < 0.3] = np.nan
    plane[: shape[0] // 10] = -1.0
    return plane


def write_volume(path: Path) -> Array:
    """A hexagonal volume of three layers, l = -1, 0, 1, as Meerkat writes it; returns the layers."""
    layers = np.stack([smooth_plane((41, 61)) * factor for factor in (3.0, 1.0, 2.0)], axis=-1)
    with h5py.File(path, "w") as file:
        file["format"] = "Yell 1.0"
        file["data"] = layers
        file["lower_limits"] = np.array([-4.0, -6.0, -1.0])
        file["step_sizes"] = np.array([0.2, 0.2, 1.0])
        file["unit_cell"] = np.array([14.0, 14.0, 7.0, 90.0, 90.0, 120.0])
        file["is_direct"] = False
    return layers


def test_plane_becomes_nexus_and_picture(
    tmp_path: Path, out: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plane = smooth_plane()
    np.save(tmp_path / "plane.npy", plane)
    arguments = [
        str(tmp_path / "plane.npy"),
        "-o",
        str(out / "result.nxs"),
        "--png",
        "--weights",
        str(weights),
    ]
    assert main(["factorize", *arguments]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["result.nxs", "result.png"]
    assert (out / "result.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")

    result = read_result(out / "result.nxs")
    mask = plane >= 0
    assert np.array_equal(result.mask, mask) and result.grid is None
    np.testing.assert_allclose(result.input, np.where(mask, plane, np.nan), rtol=1e-6)
    components = Factorizer.from_checkpoint(weights, device="cpu")(plane, lattice="find")
    np.testing.assert_allclose(result.form_factor, components.form_factor, rtol=0, atol=1e-5)
    np.testing.assert_allclose(result.short_range_order, components.short_range_order, rtol=0, atol=1e-5)
    np.testing.assert_allclose((result.product + result.residual)[mask], plane[mask], rtol=1e-5, atol=1e-3)
    assert np.isnan(result.residual[~mask]).all() and np.isfinite(result.product).all()

    printed = capsys.readouterr().out
    share = np.abs(result.residual[mask]).sum() / plane[mask].sum()
    assert f"leaves {100 * share:.1f} % of the plane" in printed
    assert f"missing    {100 * (~mask).mean():.1f} % of the plane" in printed
    assert f"weights    weights {load_folder(weights).digest[:12]}" in printed
    assert str(out / "result.nxs") in printed and str(out / "result.png") in printed
    assert result.process["weights_sha256"] == load_folder(weights).digest
    assert result.process["version"] == __version__
    assert result.process["source"] == "plane.npy"
    assert result.process["r_factor"] == pytest.approx(share, rel=1e-4)


def test_plane_of_a_volume_comes_back_on_its_own_grid(
    tmp_path: Path, out: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layers = write_volume(tmp_path / "volume.h5")
    arguments = [str(tmp_path / "volume.h5"), "-o", str(out / "hk1.nxs"), "--plane", "hk1", "--device", "cpu"]
    assert main(["factorize", *arguments, "--weights", str(checkpoint)]) == 0
    assert [path.name for path in out.iterdir()] == ["hk1.nxs"]
    result = read_result(out / "hk1.nxs")
    assert result.grid is not None and str(result.grid.name) == "hk1"
    assert result.grid.cell.parameters == pytest.approx((14.0, 14.0, 7.0, 90.0, 90.0, 120.0))
    np.testing.assert_allclose(result.grid.rows, np.linspace(-4, 4, 41))
    np.testing.assert_allclose(result.grid.columns, np.linspace(-6, 6, 61))
    layer = layers[..., 2]
    mask = layer >= 0
    assert np.array_equal(result.mask, mask)
    np.testing.assert_allclose(result.input[mask], layer[mask], rtol=1e-6)
    for component in (result.form_factor, result.short_range_order):
        assert component.shape == (41, 61)
        assert np.isfinite(component[mask]).all()
        assert np.nanmin(component) >= 0.0 and np.nanmax(component) <= 1.0
    np.testing.assert_allclose((result.product + result.residual)[mask], layer[mask], rtol=1e-5, atol=1e-3)
    assert result.process["plane"] == "hk1" and result.process["weights"] == "last.ckpt"
    printed = capsys.readouterr().out
    assert "rows h from -4 to 4 (41 pixels)" in printed and "Q = 2 pi" in printed


def test_same_file_same_result(tmp_path: Path, out: Path, weights: Path) -> None:
    np.save(tmp_path / "plane.npy", smooth_plane())
    results = []
    for name in ("first.nxs", "second.nxs", "second.nxs"):  # the last replaces what is there
        arguments = [str(tmp_path / "plane.npy"), "-o", str(out / name), "--weights", str(weights)]
        assert main(["factorize", *arguments]) == 0
        results.append(read_result(out / name))
    for result in results[1:]:
        for name, plane in results[0].planes().items():
            np.testing.assert_array_equal(getattr(result, name), plane)


def save(values: Any) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with path.open("wb") as stream:  # np.save appends .npy to names; ours says nothing
            np.save(stream, values)

    return write


def truncated(path: Path) -> None:
    save(smooth_plane())(path)
    path.write_bytes(path.read_bytes()[:1000])


def truncated_volume(path: Path) -> None:
    write_volume(path)
    path.write_bytes(path.read_bytes()[:3000])


BAD_FILES: dict[str, tuple[Callable[[Path], Any], list[str], str]] = {
    "missing": (lambda path: None, [], "no such file"),
    "folder": (lambda path: path.mkdir(), [], "this is a directory"),
    "empty": (lambda path: path.touch(), [], "the file is empty"),
    "text": (lambda path: path.write_text("0 0 1 12.5\n"), [], "expected a .npy plane, an HDF5 volume"),
    "truncated": (truncated, [], "truncated"),
    "truncated volume": (truncated_volume, [], "truncated"),
    "wrong shape": (
        save(np.ones((255, 256))),
        [],
        "the plane has shape (255, 256) and no axes; expected (256, 256)",
    ),
    "stack": (
        save(np.ones((2, 256, 256))),
        [],
        "has shape (2, 256, 256) and no axes; give them with --array-axes",
    ),
    "complex": (save(np.ones((256, 256), complex)), [], "complex128"),
    "objects": (save(np.full((256, 256), None)), [], "does not hold numbers"),
    "all NaN": (save(np.full((256, 256), np.nan)), [], "no measured pixel"),
    "all zero": (save(np.zeros((256, 256))), [], "plane is 0.0 in every measured pixel"),
    "constant": (save(np.full((256, 256), 3)), [], "plane is 3.0 in every measured pixel"),
    "negative everywhere": (save(np.full((256, 256), -2.0)), [], "no measured pixel"),
    "plane of a plane": (save(smooth_plane()), ["--plane", "hk1"], "plane hk1"),
    "plane not named": (write_volume, [], "hk"),
    "plane not in the volume": (write_volume, ["--plane", "hk7"], "l"),
    "no name of a plane": (write_volume, ["--plane", "hh1"], "hh1"),
}


def assert_one_line(capsys: pytest.CaptureFixture[str], message: str) -> None:
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("dsfunet: ") and captured.err.endswith("\n")
    assert captured.err.count("\n") == 1, captured.err
    assert message in captured.err


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files(
    tmp_path: Path, out: Path, weights: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    make, options, message = BAD_FILES[case]
    path = tmp_path / "measured.dat"
    make(path)
    arguments = [str(path), "-o", str(out / "r.nxs"), "--png", "--weights", str(weights), *options]
    assert main(["factorize", *arguments]) == 2
    assert_one_line(capsys, message)
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("nowhere", None, "no such checkpoint or weights folder"),
        ("garbage.ckpt", b"garbage", "not a checkpoint that can be read safely"),
        ("empty.ckpt", b"", "not a checkpoint that can be read safely"),
    ],
)
def test_bad_weights(
    tmp_path: Path,
    out: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    content: bytes | None,
    message: str,
) -> None:
    np.save(tmp_path / "plane.npy", smooth_plane())
    if content is not None:
        (tmp_path / name).write_bytes(content)
    arguments = [str(tmp_path / "plane.npy"), "-o", str(out / "r.nxs"), "--weights", str(tmp_path / name)]
    assert main(["factorize", *arguments]) == 2
    assert_one_line(capsys, message)
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("nowhere/r.nxs", "does not exist"),
        ("folder", "this is a directory"),
        (".", "this is a directory"),
        ("plane.npy", "plane.npy"),  # the measurement itself
        ("r.png", "r.png"),  # the picture would take the result's place
    ],
)
def test_bad_outputs(
    tmp_path: Path,
    weights: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    output: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("plane.npy", smooth_plane())
    before = Path("plane.npy").read_bytes()
    Path("folder").mkdir()
    assert main(["factorize", "plane.npy", "-o", output, "--png", "--weights", str(weights)]) == 2
    assert_one_line(capsys, message)
    assert Path("plane.npy").read_bytes() == before
    assert sorted(path.name for path in Path().rglob("*")) == ["folder", "plane.npy"]


@pytest.mark.parametrize("device", ["cuda:99", "abacus"])
def test_device_that_is_not_there(
    tmp_path: Path, out: Path, weights: Path, capsys: pytest.CaptureFixture[str], device: str
) -> None:
    np.save(tmp_path / "plane.npy", smooth_plane())
    arguments = [str(tmp_path / "plane.npy"), "-o", str(out / "r.nxs"), "--weights", str(weights)]
    assert main(["factorize", *arguments, "--device", device]) == 2
    assert_one_line(capsys, f"device '{device}' cannot be used")
    assert list(out.iterdir()) == []


def test_exported_weights_answer_as_the_checkpoint(
    tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "exported"
    assert main(["export", str(checkpoint), "--out", str(folder)]) == 0
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    assert f"{size / 1e6:.1f} MB of weights" in capsys.readouterr().out
    plane = smooth_plane()
    exact, rounded = (Factorizer.from_checkpoint(each, "cpu")(plane) for each in (checkpoint, folder))
    for name in ("form_factor", "short_range_order"):
        assert getattr(exact, name).std() > 1e-3
        np.testing.assert_allclose(getattr(rounded, name), getattr(exact, name), rtol=0, atol=5e-3)


def test_shipped_weights_are_exported_as_they_are_with_their_card(tmp_path: Path) -> None:
    assert main(["export", "release", "--out", str(tmp_path / "once")]) == 0
    assert main(["export", str(tmp_path / "once"), "--out", str(tmp_path / "twice")]) == 0
    release = load_release()
    for name in ("once", "twice"):
        exported = load_folder(tmp_path / name)
        assert (exported.digest, exported.card) == (release.digest, release.card)


def test_unknown_format_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["export", "release", "--out", str(tmp_path / "out"), "--format", "pickle"])
    assert caught.value.code == 2 and not (tmp_path / "out").exists()
    said = capsys.readouterr().err
    assert all(word in said for word in ("pickle", "safetensors", "torch-export", "onnx"))


@pytest.mark.parametrize("file_format", ["safetensors", "torch-export", "onnx"])
@pytest.mark.parametrize(
    ("broken", "message"),
    [("missing", "no such checkpoint"), ("garbage", "not a checkpoint"), ("out", "out")],
)
def test_bad_exports(
    tmp_path: Path,
    checkpoint: Path,
    capsys: pytest.CaptureFixture[str],
    broken: str,
    message: str,
    file_format: str,
) -> None:
    folder, source = tmp_path / "out", checkpoint
    if broken == "out":
        folder.write_text("a file, not a folder", encoding="utf-8")
    else:
        source = tmp_path / "last.ckpt"
    if broken == "garbage":
        source.write_bytes(b"garbage")
    before = sorted(tmp_path.iterdir())
    assert main(["export", str(source), "--out", str(folder), "--format", file_format]) == 2
    assert_one_line(capsys, message)
    assert sorted(tmp_path.iterdir()) == before and not folder.is_dir()
