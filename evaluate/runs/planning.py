"""What is asked of an evaluation, and the plan of work that follows from it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dsfunet.data.store import Store, open_store
from dsfunet.errors import InputError
from evaluate.metrics.feature_spaces import FeatureSpace, StatisticsSpace
from evaluate.predictors.network import Mode
from evaluate.predictors.registry import BASELINES, LATTICE_MODE, LEVELLED, NETWORK, NOISE, PredictorSettings
from evaluate.runs.units import Plan, Stage

VALIDATION, TRAINING, UNCERTAINTY = "validation", "training", "uncertainty"
"""Stages of every report; those of the noise curve are named by their counts."""

MEAN_PLANE_FILE = "mean_plane.npz"


@dataclass(frozen=True)
class Request:
    """What is to be evaluated; the options of `python -m evaluate` say what each entry means.

    Raises:
        InputError: a number is out of its range, or there is no such mode or predictor.
    """

    weights: str
    shards: str
    training_shards: str | None = None
    samples: int | None = None
    training_samples: int | None = 1024
    mode: str = "deterministic"
    baselines: tuple[str, ...] = BASELINES
    features: Literal["auto", "inception", "statistics"] = "auto"
    inception_weights: str | None = None
    counts: tuple[float, ...] = (30.0, 100.0, 300.0, 1000.0, 3000.0)
    curve_samples: int = 256
    uncertainty_mode: str = "turns:8"
    uncertainty_samples: int = 256
    seed: int = 0
    batch_size: int = 4
    allow_trained_species: bool = False

    def __post_init__(self) -> None:
        for mode in (self.mode, self.uncertainty_mode):
            Mode.parse(mode)
        if Mode.parse(self.uncertainty_mode).passes == 1:
            raise InputError(
                f"uncertainty mode {self.uncertainty_mode}: expected several passes, as in turns:8"
            )
        unknown = sorted(set(self.baselines) - {*BASELINES})
        if unknown:
            raise InputError(f"baseline {unknown[0]!r}: expected some of {', '.join(BASELINES)}")
        if NOISE not in self.baselines:
            raise InputError(f"baselines {', '.join(self.baselines)}: expected {NOISE} among them")
        # Written so that NaN, for which every comparison is false, is refused.
        if not all(1 <= counts <= 1e15 for counts in self.counts):
            raise InputError(f"counts {self.counts}: expected 1 to 1e15 in the brightest pixel")


def open_stores(request: Request) -> dict[str, Store]:
    """The stores of a request, by stage.

    Raises:
        InputError: one is not there or not a store, or holds fewer planes than are asked for.
    """
    paths = {VALIDATION: request.shards, TRAINING: request.training_shards}
    stores = {name: open_store(path) for name, path in paths.items() if path is not None}
    for store in stores.values():
        lacking = sorted({"species_names", "species_groups", "order_kinds"} - set(store.attributes))
        if lacking or not len(store):
            found = f"its attributes name no {lacking[0]}" if lacking else "it holds no planes"
            raise InputError(
                f"{store.path}: {found}; expected a store of `python -m simulate` with planes in it"
            )
    if request.samples is not None and not 1 <= request.samples <= len(stores[VALIDATION]):
        raise InputError(
            f"{request.samples} planes asked of {stores[VALIDATION].path.name}: expected 1 to {len(stores[VALIDATION])}"
        )
    return stores


def planes_of(request: Request, stores: dict[str, Store], name: str) -> int:
    """How many planes of a store are scored."""
    asked = request.samples if name == VALIDATION else request.training_samples
    return len(stores[name]) if asked is None else min(asked, len(stores[name]))


def make_plan(
    request: Request, stores: dict[str, Store], parts: Path, device: str, space: FeatureSpace
) -> Plan:
    """The stages of a request and all that decides their numbers."""
    planes = {name: planes_of(request, stores, name) for name in stores}
    paths = {name: str(store.path) for name, store in stores.items()}
    ours = (NETWORK, LATTICE_MODE)
    rivals = (*ours, *(name for name in (LEVELLED,) if name in request.baselines))
    stages = [
        Stage(
            VALIDATION,
            paths[VALIDATION],
            planes[VALIDATION],
            (*ours, *request.baselines),
            ours,
            features=True,
        )
    ]
    if TRAINING in stores:
        stages.append(
            Stage(TRAINING, paths[TRAINING], planes[TRAINING], (NETWORK, NOISE), (NETWORK,), features=True)
        )
    few = min(request.curve_samples, planes[VALIDATION])
    if few:
        stages += [
            Stage(f"counts-{number}", paths[VALIDATION], few, rivals, (), counts=counts)
            for number, counts in enumerate(request.counts)
        ]
    few = min(request.uncertainty_samples, planes[VALIDATION])
    if few:
        asked = f"{NETWORK} {request.uncertainty_mode}"
        stages.append(Stage(UNCERTAINTY, paths[VALIDATION], few, (asked,), ()))
    settings = PredictorSettings(
        weights=request.weights,
        mode=request.mode,
        device=device,
        batch_size=request.batch_size,
        seed=request.seed,
        mean_plane=str(parts / MEAN_PLANE_FILE),
    )
    return Plan(
        stages=tuple(stages),
        settings=settings,
        # As many as make a unit of seconds: what a stop can cost.
        planes_per_unit=max(1, 8 // Mode.parse(request.mode).passes) * request.batch_size,
        seed=request.seed,
        space="statistics" if isinstance(space, StatisticsSpace) else "inception",
        inception_weights=request.inception_weights,
    )
