"""Planes as feature vectors, between whose distributions a distance can be taken.

Two spaces: Inception V3, in which the field gives FID and KID, and plain statistics of a plane, which need no
download. Distances in different spaces say nothing about one another: each stands under its space's name.
"""

import hashlib
import io
import socket
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import redirect_stdout
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch

from dsfunet._typing import Floats
from dsfunet.errors import InputError
from dsfunet.planes.preprocessing import PIXELS, spread

BLOCKS = 8
"""Blocks along each axis of a plane whose means and deviations are taken."""

RINGS = 64
"""Rings of spatial frequency, of equal width, from zero to the Nyquist frequency of the axes."""

POWER_FLOOR = 1e-8
"""Added to every spectral power: about what rounding to half precision leaves, so that nothing finer counts."""

NETWORK_TIMEOUT_SECONDS = 20.0
"""Longest silence while weights are fetched; looking up a name is bounded by the system alone."""


FeatureArray = npt.NDArray[np.float32]


class FeatureSpace(Protocol):
    """Maps planes to feature vectors.

    Attributes:
        name: the label of its numbers in tables.
        description: what the features are, in plain types: their definition, or a digest of weights.
        dimensions: length of a feature vector.
    """

    name: str
    description: dict[str, str]
    dimensions: int

    def __call__(self, planes: Floats) -> FeatureArray:
        """Linear planes (n, 256, 256) in [0, 1] -> features (n, dimensions).

        Every plane is taken by itself: its features are the same, bit for bit, whatever comes with it.

        Raises:
            InputError: the shape is another, or a pixel is not a finite number in [0, 1].
        """
        ...


class StatisticsSpace:
    """Statistics of each plane in spread space, s = 2 sqrt(x) - 1: 192 numbers, computed in double precision.

    In this order:
        64 means over the blocks of an 8 x 8 grid: the smooth content, as the fall-off of a form factor;
        64 standard deviations within those blocks: texture, as noise or sharp maxima, and where it is;
        64 of log10(power + POWER_FLOOR): periodicity; the longer the range of an order, the higher its ring.
        Power is |FFT(s - mean)|^2 / pixels, the variance of white noise, over 2 r to 2 r + 2 periods a plane.

    Each part keeps its own scale, so the spectrum weighs most; distances are comparable within this space alone.
    """

    name = f"plane statistics ({2 * BLOCKS**2 + RINGS}, no download)"
    dimensions = 2 * BLOCKS**2 + RINGS

    def __init__(self) -> None:
        self.description = {
            "features": "block means, block standard deviations, log10 of ring-averaged spectral power",
            "plane": "2 sqrt(x) - 1",
            "power_floor": f"{POWER_FLOOR:g}",
        }
        rows, columns = np.fft.fftfreq(PIXELS, 1 / PIXELS), np.fft.rfftfreq(PIXELS, 1 / PIXELS)
        radius = np.hypot(rows[:, None], columns)
        rings = np.minimum(radius * 2 * RINGS / PIXELS, RINGS - 1).astype(np.intp)
        # Left out are the corners beyond Nyquist, and frequency zero, where nothing is left of s - mean.
        inside = (radius > 0) & (radius <= PIXELS / 2)
        # A real transform holds one of each conjugate pair; the first and the last column hold both.
        copies = np.full(radius.shape, 2.0)
        copies[:, [0, -1]] = 1.0
        self._inside, self._rings, self._copies = inside, rings[inside], copies[inside]
        self._ring_sizes = np.bincount(self._rings, self._copies)

    def __call__(self, planes: Floats) -> FeatureArray:
        """Linear planes (n, 256, 256) in [0, 1] -> statistics (n, 192), one plane at a time.

        Raises:
            InputError: as `FeatureSpace`.
        """
        features = np.empty((len(planes), self.dimensions), np.float32)
        for index, plane in enumerate(_spread_each(planes)):
            features[index] = self._statistics(plane)
        return features

    def _statistics(self, plane: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        blocks = plane.reshape(BLOCKS, PIXELS // BLOCKS, BLOCKS, PIXELS // BLOCKS)
        means, deviations = blocks.mean(axis=(1, 3)).ravel(), blocks.std(axis=(1, 3)).ravel()
        spectrum = np.fft.rfft2(plane - plane.mean())[self._inside]
        power = (spectrum.real**2 + spectrum.imag**2) / PIXELS**2
        ring_power = np.bincount(self._rings, self._copies * power) / self._ring_sizes
        return np.concatenate([means, deviations, np.log10(ring_power + POWER_FLOOR)])


class InceptionSpace:
    """The 2048 features after the last pooling of Inception V3, as torch-fidelity has it: those of FID and KID.

    The network sees a plane as an image in spread space: s from [-1, 1] to the whole numbers 0 to 255, in three
    equal channels. It was trained on photographs; what its features say of planes is a convention. Planes go
    through it one at a time, in full single precision.
    """

    name = "Inception V3 pool3 (2048)"
    dimensions = 2048

    def __init__(self, weights: Path | None = None, device: str = "cpu") -> None:
        """`weights` is a file of torch-fidelity's weights; None takes torch.hub's copy, fetched if need be.

        Raises:
            InputError: the file is not the weights of this network, or there is none and no network to fetch it.
        """
        state = _fetched_weights() if weights is None else _read_weights(weights)
        self._network = _inception(state, "torch.hub's copy" if weights is None else str(weights)).to(device)
        self._device = device
        digest = hashlib.sha256()
        for key, value in sorted(self._network.state_dict().items()):
            digest.update(key.encode())
            digest.update(value.cpu().contiguous().numpy().tobytes())
        self.description = {
            "features": f"torch-fidelity {version('torch-fidelity')} InceptionV3, layer 2048",
            "plane": "255 sqrt(x), rounded, three equal channels",
            "weights_sha256": digest.hexdigest(),
        }

    def __call__(self, planes: Floats) -> FeatureArray:
        """Linear planes (n, 256, 256) in [0, 1] -> features (n, 2048), one plane at a time.

        Raises:
            InputError: as `FeatureSpace`.
        """
        features = np.empty((len(planes), self.dimensions), np.float32)
        # The GPU's default rounds the factors of convolutions to 10 bits and may pick another algorithm each time.
        exact = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
        with exact, torch.inference_mode():
            for index, plane in enumerate(_spread_each(planes)):
                grey = torch.from_numpy(np.rint(127.5 * (plane + 1)).astype(np.uint8)).to(self._device)
                features[index] = self._network(grey.expand(1, 3, PIXELS, PIXELS))[0][0].cpu().numpy()
        return features


def choose_feature_space(
    inception_weights: Path | None, device: str, wanted: Literal["auto", "inception", "statistics"] = "auto"
) -> tuple[FeatureSpace, str | None]:
    """The feature space that is wanted; "auto" is Inception if its weights can be had, else the statistics.

    Returns it with a sentence to tell the user if "auto" had to do without Inception, else None.

    Raises:
        InputError: weights are given for a space that has none, or as `InceptionSpace` where that is a must.
    """
    if wanted == "statistics":
        if inception_weights is not None:
            raise InputError(f"{inception_weights}: found weights; expected none for plane statistics")
        return StatisticsSpace(), None
    if wanted == "inception" or inception_weights is not None:
        return InceptionSpace(inception_weights, device), None
    try:
        return InceptionSpace(None, device), None
    except InputError:
        # Without the reason, which names folders of this machine: the sentence goes into reports.
        return StatisticsSpace(), (
            "The weights of Inception V3 could not be had (expected a network or --inception-weights FILE): FID and"
            f" KID are distances in another space, {StatisticsSpace.name}."
        )


def _spread_each(planes: Floats) -> Iterator[npt.NDArray[np.float64]]:
    if planes.ndim != 3 or planes.shape[1:] != (PIXELS, PIXELS):
        raise InputError(f"planes are {planes.shape}: expected shape (n, {PIXELS}, {PIXELS})")
    # Written so that NaN, for which every comparison is false, counts as bad.
    bad = np.flatnonzero(~((planes >= 0) & (planes <= 1)).all(axis=(1, 2)))
    if bad.size:
        raise InputError(f"plane {bad[0]} has pixels outside [0, 1]: expected finite linear intensities")
    for plane in planes:
        # In C order whatever the batch's, as the order of pixels decides the round-off of sums.
        yield spread(np.ascontiguousarray(plane, np.float64))


def _read_weights(path: Path) -> Any:
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected the weights of Inception V3")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of foreign pickles, which are refused below anyway
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler fails on arbitrary bytes in arbitrary ways
        # Not its own words: torch's advice is to load without care.
        raise InputError(f"{path}: cannot be read safely; expected the weights of Inception V3") from error


def _fetched_weights() -> Any:
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3  # type: ignore[import-untyped]

    # torch.hub sets no timeout of its own, and so waits for ever where packets are dropped.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(NETWORK_TIMEOUT_SECONDS)
    try:
        with redirect_stdout(io.StringIO()):  # it announces the download on standard output
            return torch.hub.load_state_dict_from_url(
                URL_INCEPTION_V3, map_location="cpu", progress=False, check_hash=True, weights_only=True
            )
    except Exception as error:  # no network, or what came or was kept is damaged, in any of many ways
        raise InputError(
            f"weights of Inception V3 could neither be fetched nor read from {torch.hub.get_dir()}"
            f" ({type(error).__name__}): expected a network or `--inception-weights FILE`"
        ) from error
    finally:
        socket.setdefaulttimeout(before)


def _inception(state: Any, source: str) -> torch.nn.Module:
    # Imported where used: it brings torchvision along, which takes seconds.
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    if not isinstance(state, dict) or not all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in state.items()
    ):
        raise InputError(f"{source}: not a table of named tensors; expected the weights of Inception V3")
    # torch-fidelity unpickles its file without care, so it gets one that we wrote.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pth"
        torch.save(dict(state), path)
        try:
            network: torch.nn.Module = FeatureExtractorInceptionV3("inception", ["2048"], str(path))
        except RuntimeError as error:
            raise InputError(
                f"{source}: names or shapes of its tensors are not those of Inception V3; expected its weights"
            ) from error
    return network
