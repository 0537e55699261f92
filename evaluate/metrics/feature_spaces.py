"""Feature spaces: they turn planes into feature vectors, whose distributions FID and KID compare.

There are two: Inception V3, in which FID and KID are usually given, and plain statistics of a plane, which need no
download. Distances in different spaces cannot be compared, so reports name the space beside every distance.
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
"""Blocks along each axis of a plane; each block contributes its mean and standard deviation."""

RINGS = 64
"""Rings of spatial frequency, of equal width, from zero to the Nyquist frequency of the axes."""

POWER_FLOOR = 1e-8
"""Added to every spectral power: about the power of half-precision rounding, so that nothing finer counts."""

NETWORK_TIMEOUT_SECONDS = 20.0
"""Timeout of the socket while weights are downloaded; the system alone limits the time of a name lookup."""


FeatureArray = npt.NDArray[np.float32]


class FeatureSpace(Protocol):
    """A map from planes to feature vectors.

    Attributes:
        name: label in tables.
        description: definition of the features in plain types, with a digest of the weights if there are any.
        dimensions: length of a feature vector.
    """

    name: str
    description: dict[str, str]
    dimensions: int

    def __call__(self, planes: Floats) -> FeatureArray:
        """Return features (n, dimensions) of linear planes (n, 256, 256) in [0, 1].

        The features of a plane do not depend on the other planes of the call, not even in the last bit.

        Raises:
            InputError: if the shape is another, or a pixel is not a finite number in [0, 1].
        """
        ...


class StatisticsSpace:
    """192 statistics of each plane in spread space, s = 2 sqrt(x) - 1, computed in double precision.

    In this order:
        64 means over the blocks of an 8 x 8 grid: smooth content, such as the fall-off of a form factor;
        64 standard deviations within these blocks: texture, such as noise or sharp maxima, and where it is;
        64 values of log10(power + POWER_FLOOR) averaged over rings: periodicity; correlations of longer range appear
        in rings of higher number. Power is |FFT(s - mean)|^2 / pixels, which is the variance for white noise; ring r
        covers 2 r to 2 r + 2 periods per plane.

    The parts are not rescaled, so the spectrum weighs most. Distances can be compared within this space only.
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
        # Without the corners beyond the Nyquist frequency, and without frequency zero, where s - mean has no power.
        inside = (radius > 0) & (radius <= PIXELS / 2)
        # A real transform holds one of each conjugate pair; only its first and last columns hold both.
        copies = np.full(radius.shape, 2.0)
        copies[:, [0, -1]] = 1.0
        self._inside, self._rings, self._copies = inside, rings[inside], copies[inside]
        self._ring_sizes = np.bincount(self._rings, self._copies)

    def __call__(self, planes: Floats) -> FeatureArray:
        """Return statistics (n, 192) of linear planes (n, 256, 256) in [0, 1], one plane at a time.

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
    """The 2048 features after the last pooling layer of Inception V3, the usual features of FID and KID.

    The network is torch-fidelity's. Its input is the plane in spread space as an image: s in [-1, 1] becomes an integer
    from 0 to 255, in three equal channels. The network was trained on photographs, so using its features for planes is
    a convention. Planes are processed one at a time, in full single precision.
    """

    name = "Inception V3 pool3 (2048)"
    dimensions = 2048

    def __init__(self, weights: Path | None = None, device: str = "cpu") -> None:
        """Load the network.

        Args:
            weights: file of torch-fidelity's weights; None uses the copy of torch.hub and downloads it if necessary.
            device: where the network runs, as torch names it.

        Raises:
            InputError: if the file does not hold the weights of this network, or the download fails.
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
        """Return features (n, 2048) of linear planes (n, 256, 256) in [0, 1], one plane at a time.

        Raises:
            InputError: as `FeatureSpace`.
        """
        features = np.empty((len(planes), self.dimensions), np.float32)
        # By default a GPU rounds the inputs of convolutions to 10 bits and may choose another algorithm in each run.
        exact = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
        with exact, torch.inference_mode():
            for index, plane in enumerate(_spread_each(planes)):
                grey = torch.from_numpy(np.rint(127.5 * (plane + 1)).astype(np.uint8)).to(self._device)
                features[index] = self._network(grey.expand(1, 3, PIXELS, PIXELS))[0][0].cpu().numpy()
        return features


def choose_feature_space(
    inception_weights: Path | None, device: str, wanted: Literal["auto", "inception", "statistics"] = "auto"
) -> tuple[FeatureSpace, str | None]:
    """Return the feature space, and a warning if "auto" could not use Inception (None otherwise).

    Args:
        inception_weights: file of the Inception weights; None for the copy of torch.hub.
        device: where Inception runs, as torch names it.
        wanted: "auto" is Inception if its weights can be loaded or downloaded, else the plane statistics.

    Raises:
        InputError: if weights are given for the plane statistics, or as `InceptionSpace` if Inception is required.
    """
    if wanted == "statistics":
        if inception_weights is not None:
            raise InputError(
                f"{inception_weights}: plane statistics use no weights; expected none, or --features inception"
            )
        return StatisticsSpace(), None
    if wanted == "inception" or inception_weights is not None:
        return InceptionSpace(inception_weights, device), None
    try:
        return InceptionSpace(None, device), None
    except InputError:
        # The reason is left out because it names folders of this machine, and this sentence goes into reports.
        return StatisticsSpace(), (
            "The weights of Inception V3 could not be had (expected a network or --inception-weights FILE): FID and"
            f" KID are distances in another space, {StatisticsSpace.name}."
        )


def _spread_each(planes: Floats) -> Iterator[npt.NDArray[np.float64]]:
    if planes.ndim != 3 or planes.shape[1:] != (PIXELS, PIXELS):
        raise InputError(f"the planes have shape {planes.shape}; expected shape (n, {PIXELS}, {PIXELS})")
    # Negated because every comparison with NaN is false: this way NaN counts as bad.
    bad = np.flatnonzero(~((planes >= 0) & (planes <= 1)).all(axis=(1, 2)))
    if bad.size:
        raise InputError(f"plane {bad[0]} has pixels outside [0, 1]; expected finite linear intensities")
    for plane in planes:
        # Always in C order, because the order of the pixels decides the round-off of sums.
        yield spread(np.ascontiguousarray(plane, np.float64))


def _read_weights(path: Path) -> Any:
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected the weights of Inception V3")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # torch warns about foreign pickles, which are refused below anyway
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler fails on arbitrary bytes in arbitrary ways
        # Torch's own message is left out because it advises to load the file unsafely.
        raise InputError(f"{path}: cannot be read safely; expected the weights of Inception V3") from error


def _fetched_weights() -> Any:
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3  # type: ignore[import-untyped]

    # torch.hub sets no timeout, and would wait forever on a network that drops packets.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(NETWORK_TIMEOUT_SECONDS)
    try:
        with redirect_stdout(io.StringIO()):  # torch.hub announces the download on standard output
            return torch.hub.load_state_dict_from_url(
                URL_INCEPTION_V3, map_location="cpu", progress=False, check_hash=True, weights_only=True
            )
    except Exception as error:  # there is no network, or the file is damaged, in any of many ways
        raise InputError(
            f"{torch.hub.get_dir()}: the weights of Inception V3 could neither be read from here nor downloaded"
            f" ({type(error).__name__}); connect to the internet or give --inception-weights FILE"
        ) from error
    finally:
        socket.setdefaulttimeout(before)


def _inception(state: Any, source: str) -> torch.nn.Module:
    # Imported here because it imports torchvision, which takes seconds.
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    if not isinstance(state, dict) or not all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in state.items()
    ):
        raise InputError(f"{source}: not a table of named tensors; expected the weights of Inception V3")
    # torch-fidelity unpickles its file unsafely, so it gets a file that we wrote ourselves.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pth"
        torch.save(dict(state), path)
        try:
            network: torch.nn.Module = FeatureExtractorInceptionV3("inception", ["2048"], str(path))
        except RuntimeError as error:
            raise InputError(
                f"{source}: the names or shapes of its tensors do not fit; expected the weights of Inception V3"
            ) from error
    return network
