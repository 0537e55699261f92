"""The names of all predictors, and the function that makes predictors from their names."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from dsfunet.errors import InputError
from dsfunet.planes.preprocessing import COMPONENTS
from evaluate.predictors.cases import Predictor
from evaluate.predictors.classical import (
    AlternatingLeastSquares,
    InputAsIs,
    LowPassHighPass,
    MeanPlane,
    SeriesOnRawPlane,
    ShellAverageAndFolding,
    UniformNoise,
)
from evaluate.predictors.network import LatticeFoundPredictor, LatticeModePredictor, Mode, NetworkPredictor

NETWORK = "network"
NOISE = "noise"
LATTICE_MODE = "lattice_mode"
LATTICE_FOUND = "lattice_found"
SERIES = "series"
SERIES_LEVELLED = "series_levelled"
BASELINES = (
    "shell_average",
    SERIES,
    SERIES_LEVELLED,
    "alternating",
    "low_high_pass",
    "mean_plane",
    "input",
    NOISE,
)
"""Predictors without a network, in the order of the tables."""

GIVEN_THE_LATTICE = frozenset({LATTICE_MODE, "shell_average", SERIES, SERIES_LEVELLED, "alternating"})
"""Predictors that use the true lattice; the networks alone do not."""


@dataclass(frozen=True)
class PredictorSettings:
    """Settings of all predictors; they are sent to worker processes, which load the weights themselves.

    Attributes:
        weights: `release`, a checkpoint or a folder of safetensors.
        mode: evaluation mode of the networks, as `evaluate.predictors.network.Mode` parses it.
        device: where the networks run, as torch names it.
        batch_size: planes that go through the networks at once.
        seed: of the dropout and of the noise baseline.
        mean_plane: .npz file with the result of `evaluate.predictors.classical.compute_mean_planes`, which the
            predictor `mean_plane` returns.
    """

    weights: str
    mode: str
    device: str
    batch_size: int
    seed: int
    mean_plane: str


def make_predictors(settings: PredictorSettings, names: Iterable[str]) -> dict[str, Predictor]:
    """Make predictors by name, in the order given.

    The name `network` may be followed by a mode, as in `network turns:8`. Predictors that start from the answer of the
    networks share one copy of them.

    Raises:
        InputError: if there is no predictor of that name, or it cannot be made.
    """
    made: dict[str, Predictor] = {}
    for name in names:
        made[name] = _make(settings, name, made)
    return made


def _make(settings: PredictorSettings, name: str, made: Mapping[str, Predictor]) -> Predictor:
    if name in (LATTICE_MODE, LATTICE_FOUND):
        network = made.get(NETWORK) or _make(settings, NETWORK, made)
        assert isinstance(network, NetworkPredictor)
        return (LatticeModePredictor if name == LATTICE_MODE else LatticeFoundPredictor)(network)
    kind, _, mode = name.partition(" ")
    if kind == NETWORK:
        from dsfunet.factorize.loading import load_factorizer

        factorizer = load_factorizer(settings.weights, settings.device, settings.batch_size)
        return NetworkPredictor(factorizer, Mode.parse(mode or settings.mode), settings.seed)
    if name not in _BASELINES:
        raise InputError(
            f"predictor {name!r}: there is no such method; expected one of {', '.join(BASELINES)}"
        )
    return _BASELINES[name](settings)


def _mean_plane(settings: PredictorSettings) -> Predictor:
    with np.load(settings.mean_plane, allow_pickle=False) as planes:
        form_factor, short_range_order = (planes[component] for component in COMPONENTS)
    return MeanPlane(form_factor, short_range_order)


_BASELINES: dict[str, Callable[[PredictorSettings], Predictor]] = {
    "shell_average": lambda _: ShellAverageAndFolding(),
    SERIES: lambda _: SeriesOnRawPlane(),
    SERIES_LEVELLED: lambda _: SeriesOnRawPlane(levelled=True),
    "alternating": lambda _: AlternatingLeastSquares(),
    "low_high_pass": lambda _: LowPassHighPass(),
    "mean_plane": _mean_plane,
    "input": lambda _: InputAsIs(),
    NOISE: lambda settings: UniformNoise(settings.seed),
}
