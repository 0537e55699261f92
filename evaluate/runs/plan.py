"""The plan of an evaluation: its stages, cut into work units that any process can measure.

The result of a work unit depends only on its stage and its planes: not on the number of processes, not on the order of
the units, and not on interruptions.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dsfunet.data.store import Store
from evaluate.metrics.feature_spaces import FeatureSpace, StatisticsSpace
from evaluate.predictors.network import Mode
from evaluate.predictors.registry import LATTICE_MODE, NETWORK, NOISE, SERIES_LEVELLED, PredictorSettings
from evaluate.runs.request import TRAINING, VALIDATION, EvaluationRequest, scored_planes

UNCERTAINTY = "uncertainty"
"""Name of the stage that measures the uncertainty; stages of the noise curve are named `counts-0`, `counts-1`, ..."""

MEAN_PLANE_FILE = "mean_plane.npz"


@dataclass(frozen=True)
class Stage:
    """Planes of one store that are all measured in the same way.

    Attributes:
        name: short, usable in a file name.
        store: path of the store.
        planes: number of planes, counted from the first.
        predictors: names of the predictors that split these planes.
        fully_measured: names of the predictors that get every measure; the others get the fast ones.
        counts: expected counts in the brightest pixel of a plane with new noise; None keeps the noise as stored.
        features: whether to keep the features of the truths, of the first predictor's answers and of the noise.
    """

    name: str
    store: str
    planes: int
    predictors: tuple[str, ...]
    fully_measured: tuple[str, ...]
    counts: float | None = None
    features: bool = False


@dataclass(frozen=True)
class WorkUnit:
    """Planes `start` to `stop` (exclusive) of stage number `stage`."""

    stage: int
    start: int
    stop: int


@dataclass(frozen=True)
class Plan:
    """Everything that determines the results of the work units of a report.

    Attributes:
        stages: the stages in order; the first one scores the validation planes.
        settings: of the predictors.
        planes_per_unit: planes in one work unit, a multiple of the batch size.
        seed: of the counting noise.
        space: the feature space, `inception` or `statistics`.
        inception_weights: file of the Inception weights; None uses the copy of torch.hub.
    """

    stages: tuple[Stage, ...]
    settings: PredictorSettings
    planes_per_unit: int
    seed: int
    space: Literal["inception", "statistics"]
    inception_weights: str | None

    def units(self) -> list[WorkUnit]:
        """Return all work units in order."""
        step = self.planes_per_unit
        return [
            WorkUnit(number, start, min(start + step, stage.planes))
            for number, stage in enumerate(self.stages)
            for start in range(0, stage.planes, step)
        ]

    def file(self, folder: Path, unit: WorkUnit) -> Path:
        """Return the path of the file that keeps the results of a work unit."""
        return folder / f"{self.stages[unit.stage].name}-{unit.start:06d}.npz"


def make_plan(
    request: EvaluationRequest, stores: dict[str, Store], parts: Path, device: str, space: FeatureSpace
) -> Plan:
    """Make the plan of a request.

    Args:
        request: the settings of the evaluation.
        stores: the open stores of the request.
        parts: folder for intermediate results.
        device: where the networks run, `cpu` or `cuda`.
        space: the feature space of the distances.
    """
    settings = PredictorSettings(
        weights=request.weights,
        mode=request.mode,
        device=device,
        batch_size=request.batch_size,
        seed=request.seed,
        mean_plane=str(parts / MEAN_PLANE_FILE),
    )
    return Plan(
        stages=tuple(_make_stages(request, stores)),
        settings=settings,
        # A unit takes seconds; this is what an interruption can cost.
        planes_per_unit=max(1, 8 // Mode.parse(request.mode).passes) * request.batch_size,
        seed=request.seed,
        space="statistics" if isinstance(space, StatisticsSpace) else "inception",
        inception_weights=request.inception_weights,
    )


def _make_stages(request: EvaluationRequest, stores: dict[str, Store]) -> list[Stage]:
    planes = {name: scored_planes(request, stores, name) for name in stores}
    paths = {name: str(store.path) for name, store in stores.items()}
    ours = (NETWORK, LATTICE_MODE)
    all_predictors = (*ours, *request.baselines)
    stages = [Stage(VALIDATION, paths[VALIDATION], planes[VALIDATION], all_predictors, ours, features=True)]
    if TRAINING in stores:
        stages.append(
            Stage(TRAINING, paths[TRAINING], planes[TRAINING], (NETWORK, NOISE), (NETWORK,), features=True)
        )
    curve_planes = min(request.curve_samples, planes[VALIDATION])
    if curve_planes:
        compared = (*ours, *(name for name in (SERIES_LEVELLED,) if name in request.baselines))
        stages += [
            Stage(f"counts-{number}", paths[VALIDATION], curve_planes, compared, (), counts=counts)
            for number, counts in enumerate(request.counts)
        ]
    uncertainty_planes = min(request.uncertainty_samples, planes[VALIDATION])
    if uncertainty_planes:
        predictor = f"{NETWORK} {request.uncertainty_mode}"
        stages.append(Stage(UNCERTAINTY, paths[VALIDATION], uncertainty_planes, (predictor,), ()))
    return stages
