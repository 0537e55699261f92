"""Features of planes: what each part responds to, and weights from untrusted files."""

import pickle
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import numpy.typing as npt
import pytest
import torch

from dsfunet.errors import InputError
from dsfunet.planes.preprocessing import spread, unspread
from evaluate.metrics.distances import distance
from evaluate.metrics.feature_spaces import (
    NETWORK_TIMEOUT_SECONDS,
    POWER_FLOOR,
    FeatureSpace,
    InceptionSpace,
    StatisticsSpace,
    choose_feature_space,
)

Planes = npt.NDArray[np.float64]


def _smooth(samples: int, seed: int) -> Planes:
    """Gaussian hills of random widths and places."""
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.linspace(-1, 1, 256), np.linspace(-1, 1, 256), indexing="ij")
    centres, widths = rng.uniform(-0.3, 0.3, (samples, 2)), rng.uniform(0.2, 0.8, samples)
    return np.stack(
        [np.exp(-((x - a) ** 2 + (y - b) ** 2) / w) for (a, b), w in zip(centres, widths, strict=True)]
    )


def _noise(samples: int, seed: int) -> Planes:
    return unspread(np.random.default_rng(seed).uniform(-1, 1, (samples, 256, 256)))


def _grating(rows: float, columns: float) -> Planes:
    """One plane whose s is a cosine of amplitude 1/2 with the given numbers of periods along each axis."""
    i, j = np.meshgrid(np.arange(256), np.arange(256), indexing="ij")
    return unspread(0.5 * np.cos(2 * np.pi * (rows * i + columns * j) / 256))[None]


def test_statistics_equal_a_plain_twin() -> None:
    plane = _noise(1, 0)[0] * np.linspace(0, 1, 256)
    s = spread(plane)
    power = np.abs(np.fft.fft2(s - s.mean())) ** 2 / s.size
    sums, counts = np.zeros(64), np.zeros(64)
    for row in range(256):
        for column in range(256):
            radius = np.hypot(min(row, 256 - row), min(column, 256 - column))
            if 0 < radius <= 128:
                ring = min(int(radius // 2), 63)
                sums[ring] += power[row, column]
                counts[ring] += 1
    blocks = [s[32 * i : 32 * i + 32, 32 * j : 32 * j + 32] for i in range(8) for j in range(8)]
    expected = [*map(np.mean, blocks), *map(np.std, blocks), *np.log10(sums / counts + POWER_FLOOR)]
    np.testing.assert_allclose(StatisticsSpace()(plane[None])[0], expected, rtol=1e-5, atol=1e-6)


def test_power_of_white_noise_is_its_variance() -> None:
    # Uniform noise on [-1, 1] in s: variance 1/3 in every ring.
    rings = StatisticsSpace()(_noise(20, 1)).mean(axis=0)[128:]
    np.testing.assert_allclose(rings[4:], np.log10(1 / 3), atol=0.05)


@pytest.mark.parametrize(
    ("rows", "columns", "ring"), [(10, 0, 5), (0, 37, 18), (30, 40, 25), (0, 127, 63), (128, 0, 63)]
)
def test_a_grating_shows_in_its_ring(rows: int, columns: int, ring: int) -> None:
    features = StatisticsSpace()(_grating(rows, columns))[0]
    assert int(np.argmax(features[128:])) == ring
    others = np.delete(features[128:], ring)
    np.testing.assert_allclose(others, np.log10(POWER_FLOOR), atol=1e-3)


def test_means_and_deviations_are_of_their_blocks() -> None:
    s = np.full((256, 256), -1.0)
    s[64:96, 160:192] = 1.0  # the whole of block (2, 5)
    s[224:, :16] = 1.0  # half of block (7, 0)
    features = StatisticsSpace()(unspread(s)[None])[0]
    means, deviations = features[:64].reshape(8, 8), features[64:128].reshape(8, 8)
    assert (means[2, 5], means[7, 0], means[0, 0]) == (1.0, 0.0, -1.0)
    assert (deviations[2, 5], deviations[7, 0], deviations[0, 0]) == (0.0, 1.0, 0.0)


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_constant_planes_have_finite_statistics(value: float) -> None:
    features = StatisticsSpace()(np.full((2, 256, 256), value))
    assert features.shape == (2, 192)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features[:, :64], 2 * np.sqrt(value) - 1, rtol=1e-6)
    np.testing.assert_allclose(features[:, 64:128], 0, atol=1e-6)
    np.testing.assert_allclose(features[:, 128:], np.log10(POWER_FLOOR), rtol=1e-6)


def test_statistics_do_not_depend_on_the_batch() -> None:
    space, planes = StatisticsSpace(), _noise(5, 2)
    together = space(planes)
    for index in range(5):
        np.testing.assert_array_equal(space(planes[index : index + 1])[0], together[index])
    np.testing.assert_array_equal(space(planes[::-1]), together[::-1])
    np.testing.assert_array_equal(space(np.asfortranarray(planes)), together)
    assert space(planes[:0]).shape == (0, 192)


def test_noise_is_far_and_the_same_planes_are_near() -> None:
    space = StatisticsSpace()
    first, second = space(_smooth(24, 3)), space(_smooth(24, 4))
    far, near = distance(first, space(_noise(24, 5)), 0), distance(first, second, 0)
    assert abs(distance(first, first, 0).frechet) < 1e-3 * near.frechet
    assert far.frechet > 20 * near.frechet
    assert far.kernel_mean > 20 * abs(near.kernel_mean)


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.001, 1.001])
def test_what_is_not_an_intensity_is_refused(value: float) -> None:
    planes = np.zeros((3, 256, 256))
    planes[1, 7, 8] = value
    with pytest.raises(InputError, match=r"plane 1 has pixels outside \[0, 1\]"):
        StatisticsSpace()(planes)


@pytest.mark.parametrize("shape", [(256, 256), (2, 128, 128), (2, 1, 256, 256)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"expected shape \(n, 256, 256\)"):
        StatisticsSpace()(np.zeros(shape))


@pytest.fixture(scope="module")
def inception_weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file (95 MB) with random weights of Inception V3."""
    from torch_fidelity import feature_extractor_inceptionv3 as library

    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        patch.setattr(library, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(library.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        network = library.FeatureExtractorInceptionV3("inception", ["2048"])
        for parameter in network.parameters():
            if parameter.ndim == 4:
                torch.nn.init.kaiming_normal_(parameter)  # torch's default makes the signal fade
    torch.save(network.state_dict(), path)
    yield path
    path.unlink()


@pytest.mark.slow
def test_inception_takes_planes_one_by_one(inception_weights: Path) -> None:
    space, note = choose_feature_space(inception_weights, "cpu", "auto")
    planes = np.concatenate([_smooth(1, 6), _noise(1, 7), np.zeros((1, 256, 256)), np.ones((1, 256, 256))])
    features = space(planes)
    assert isinstance(space, InceptionSpace)
    assert note is None
    assert features.shape == (4, space.dimensions) == (4, 2048)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    assert len(np.unique(features, axis=0)) == 4
    np.testing.assert_array_equal(space(planes[1:2]), features[1:2])
    assert len(space.description["weights_sha256"]) == 64
    with pytest.raises(InputError, match="expected shape"):
        space(planes[0])


def test_inception_sees_bytes_of_spread_space(inception_weights: Path) -> None:
    space, seen = InceptionSpace(inception_weights), []
    space._network.forward = lambda image: (seen.append(image.clone()), (torch.zeros(1, 2048),))[1]  # type: ignore[method-assign,assignment]
    plane = np.zeros((1, 256, 256))
    plane[0, 0, :4] = [1.0, 0.25, (100.4 / 255) ** 2, (100.6 / 255) ** 2]  # 255 sqrt(x), 127.5 rounds to even
    space(plane)
    assert seen[0].dtype == torch.uint8
    assert seen[0].shape == (1, 3, 256, 256)
    assert seen[0][0, :, 0, :5].tolist() == [[255, 128, 100, 101, 0]] * 3


def test_weights_from_the_hub_are_those_of_the_file(
    inception_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def fetch(url: str, **settings: Any) -> Any:
        print("Downloading: from somewhere")
        asked.update(settings, timeout=socket.getdefaulttimeout())
        return torch.load(inception_weights, weights_only=True)

    before = socket.getdefaulttimeout()
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fetch)
    space, note = choose_feature_space(None, "cpu", "auto")
    assert note is None
    assert space.description == InceptionSpace(inception_weights).description
    assert asked["check_hash"] and asked["weights_only"]
    assert asked["timeout"] == NETWORK_TIMEOUT_SECONDS
    assert socket.getdefaulttimeout() == before


@pytest.mark.parametrize(
    "error", [URLError("no such name"), TimeoutError(), RuntimeError("invalid hash value")]
)
def test_without_weights_auto_falls_back_and_says_so(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(*_: Any, **__: Any) -> Any:
        raise error

    before = socket.getdefaulttimeout()
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fetch)
    space, note = choose_feature_space(None, "cpu", "auto")
    assert isinstance(space, StatisticsSpace)
    assert note is not None
    assert "--inception-weights" in note and space.name in note
    with pytest.raises(
        InputError, match="connect to the internet or give --inception-weights FILE"
    ) as refused:
        choose_feature_space(None, "cpu", "inception")
    assert "://" not in note + str(refused.value)
    assert socket.getdefaulttimeout() == before


def test_statistics_ask_for_no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.hub, "load_state_dict_from_url")
    space: FeatureSpace
    space, note = choose_feature_space(None, "cpu", "statistics")
    assert (space.name, note) == ("plane statistics (192, no download)", None)
    with pytest.raises(InputError, match="plane statistics use no weights; expected none"):
        choose_feature_space(tmp_path / "weights.pth", "cpu", "statistics")


class _Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("wanted", ["auto", "inception"])
def test_files_that_are_not_the_weights_are_refused(wanted: Any, tmp_path: Path) -> None:
    struck, path = tmp_path / "struck", tmp_path / "weights.pth"

    def refused(message: str) -> None:
        with pytest.raises(InputError, match=message):
            choose_feature_space(path, "cpu", wanted)

    refused("no such file")
    path.write_bytes(b"nothing of the kind")
    refused("cannot be read safely")
    path.write_bytes(pickle.dumps({"fc.weight": _Bomb(struck)}))
    refused("cannot be read safely")
    torch.save({"fc.weight": _Bomb(struck)}, path)
    refused("cannot be read safely")
    assert not struck.exists()
    for other in ([1, 2], {"fc.weight": "words"}, {1: torch.zeros(2)}):
        torch.save(other, path)
        refused("not a table of named tensors")
    torch.save({"fc.weight": torch.zeros(1008, 2048)}, path)
    refused("names or shapes of its tensors do not fit")
