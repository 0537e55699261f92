"""The request of an evaluation, its checks, and the stores that it needs."""

from dataclasses import dataclass
from typing import Literal

from dsfunet.data.store import Store, open_store
from dsfunet.errors import InputError
from evaluate.predictors.network import Mode
from evaluate.predictors.registry import BASELINES, NOISE

VALIDATION, TRAINING = "validation", "training"
"""Names of the stores, and of the stages that score them."""


@dataclass(frozen=True)
class EvaluationRequest:
    """The settings of an evaluation; the help of `python -m evaluate` describes each.

    Raises:
        InputError: if a number is out of range, or a mode or baseline does not exist.
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
                f"--uncertainty-mode {self.uncertainty_mode}: one pass has no spread; expected several passes,"
                " as in turns:8"
            )
        unknown = sorted(set(self.baselines) - {*BASELINES})
        if unknown:
            raise InputError(
                f"--baselines: there is no method {unknown[0]!r}; expected some of {', '.join(BASELINES)}"
            )
        if NOISE not in self.baselines:
            raise InputError(
                f"--baselines {', '.join(self.baselines)}: {NOISE} is missing; expected {NOISE} too"
            )
        # Negated because every comparison with NaN is false: this way NaN is refused.
        wrong = [counts for counts in self.counts if not 1 <= counts <= 1e15]
        if wrong:
            raise InputError(
                f"--counts: found {wrong[0]:g}; expected 1 to 1e15 counts in the brightest pixel"
            )


def open_stores(request: EvaluationRequest) -> dict[str, Store]:
    """Open the stores of a request, by name.

    Raises:
        InputError: if a store is missing or is not a store of the simulator, or has fewer planes than requested.
    """
    paths = {VALIDATION: request.shards, TRAINING: request.training_shards}
    stores = {name: open_store(path) for name, path in paths.items() if path is not None}
    for store in stores.values():
        lacking = sorted({"species_names", "species_groups", "order_kinds"} - set(store.attributes))
        if lacking or not len(store):
            found = f"the attribute {lacking[0]} is missing" if lacking else "the store has no planes"
            raise InputError(
                f"{store.path}: {found}; expected a store of `python -m simulate` with planes in it"
            )
    available = len(stores[VALIDATION])
    if request.samples is not None and not 1 <= request.samples <= available:
        raise InputError(
            f"--samples is {request.samples}, but {stores[VALIDATION].path.name} has {available} planes;"
            f" expected 1 to {available}"
        )
    return stores


def scored_planes(request: EvaluationRequest, stores: dict[str, Store], name: str) -> int:
    """Return how many planes of the store `name` are scored; these are its first ones."""
    requested = request.samples if name == VALIDATION else request.training_samples
    return len(stores[name]) if requested is None else min(requested, len(stores[name]))
