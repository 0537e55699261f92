"""An evaluation from request to report: checks first, then the work units of its plan, then the summary."""

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dsfunet.data.store import Store
from dsfunet.files import replacing
from dsfunet.planes.preprocessing import COMPONENTS
from evaluate.metrics.feature_spaces import FeatureSpace, choose_feature_space
from evaluate.predictors.cases import Case, CaseReader, Truth
from evaluate.predictors.classical import compute_mean_planes
from evaluate.predictors.network import Mode, NetworkPredictor
from evaluate.predictors.registry import GIVEN_THE_LATTICE, NETWORK, NOISE, make_predictors
from evaluate.runs import summary
from evaluate.runs.devices import one_thread
from evaluate.runs.execution import gather_stage, run_plan
from evaluate.runs.plan import UNCERTAINTY, Plan, make_plan
from evaluate.runs.provenance import (
    check_trained,
    check_unseen,
    describe_store,
    describe_surroundings,
    digest_of,
    digest_of_code,
    recipe_warnings,
)
from evaluate.runs.request import TRAINING, VALIDATION, EvaluationRequest, open_stores, scored_planes
from evaluate.runs.work_units import Arrays

FORMAT = 2
"""Version of report.json."""


@dataclass(frozen=True, eq=False)
class GalleryPlane:
    """A plane of the gallery: the component and its rank (best, median, worst), the MSE, and the planes to draw."""

    component: str
    rank: str
    score: float
    case: Case
    truth: Truth
    output: npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Report:
    """All results of an evaluation.

    Attributes:
        plain: content of report.json in plain values.
        planes: measures of single planes by name, each (n,), for planes.csv and for comparing two reports.
        breakdowns: classes of planes.
        gallery: planes to draw.
        timing: running times, which differ from run to run.
    """

    plain: dict[str, Any]
    planes: Arrays
    breakdowns: tuple[summary.Breakdown, ...]
    gallery: tuple[GalleryPlane, ...]
    timing: dict[str, Any]


def evaluate(
    request: EvaluationRequest, parts: Path, device: str, processes: int, progress: bool = True
) -> Report:
    """Score weights on the planes of a store, and baselines without a network on the same planes.

    The numbers depend neither on the number of processes nor on interruptions.

    Args:
        request: the settings of the evaluation.
        parts: folder for intermediate results; an interrupted evaluation continues from them.
        device: where the networks run, `cpu` or `cuda`.
        processes: number of parallel processes.
        progress: show a progress bar.

    Raises:
        InputError: if weights or planes are missing or damaged, an option does not fit them, or the weights were
            trained on the species of these planes.
    """
    began = time.perf_counter()
    stores = open_stores(request)
    network = _describe_network(request, device)
    trained = network.card.get("data", {})
    warnings = _warnings(request, stores, trained)
    weights = None if request.inception_weights is None else Path(request.inception_weights)
    space, warning = choose_feature_space(weights, device, request.features)
    if warning is not None:
        warnings.append(warning)
    plan = make_plan(request, stores, parts, device, space)
    provenance = _provenance(request, stores, network, space, device)
    # The digest of the code replaces its commit, which also changes with the documentation.
    identity = {**provenance, "surroundings": {**provenance["surroundings"], "code": digest_of_code()}}
    key = digest_of([identity, dataclasses.asdict(plan)])
    done_before = run_plan(
        plan, parts, processes, progress, key, lambda: _write_mean_planes(plan, stores[VALIDATION])
    )
    with one_thread():
        report = _report(plan, parts, stores, provenance, warnings)
    report.timing.update(
        seconds=time.perf_counter() - began, processes=processes, units_done_before=done_before
    )
    return report


@dataclass(frozen=True)
class _NetworkDescription:
    """Description and model card of the evaluated networks."""

    description: dict[str, Any]
    card: dict[str, Any]


def _describe_network(request: EvaluationRequest, device: str) -> _NetworkDescription:
    """Load the networks once, which checks the weights and both modes before the work begins."""
    from dsfunet.factorize.loading import load_factorizer

    factorizer = load_factorizer(request.weights, device, request.batch_size)
    predictor = NetworkPredictor(factorizer, Mode.parse(request.mode), request.seed)
    if request.uncertainty_samples:
        NetworkPredictor(factorizer, Mode.parse(request.uncertainty_mode), request.seed)
    return _NetworkDescription(dict(predictor.description), factorizer.generators.card)


def _warnings(request: EvaluationRequest, stores: dict[str, Store], trained: dict[str, Any]) -> list[str]:
    store = stores[VALIDATION]
    planes = scored_planes(request, stores, VALIDATION)
    found = check_unseen(trained, store, planes, request.allow_trained_species)
    found += recipe_warnings(trained, store)
    if TRAINING in stores:
        found += check_trained(trained, stores[TRAINING], scored_planes(request, stores, TRAINING))
    split = store.attributes.get("split")
    if split != VALIDATION:
        found.append(
            f"{store.path.name} says that it is of the split {split!r}: expected planes set apart for validation."
        )
    return found


def _provenance(
    request: EvaluationRequest,
    stores: dict[str, Store],
    network: _NetworkDescription,
    space: FeatureSpace,
    device: str,
) -> dict[str, Any]:
    named = {"shards", "training_shards", "weights", "inception_weights"}
    return {
        "weights": network.description,
        "stores": {
            name: describe_store(store, scored_planes(request, stores, name))
            for name, store in stores.items()
        },
        "settings": {name: value for name, value in dataclasses.asdict(request).items() if name not in named},
        "feature_space": {"name": space.name, **space.description},
        "surroundings": describe_surroundings(device),
    }


def _write_mean_planes(plan: Plan, store: Store) -> None:
    if "mean_plane" in plan.stages[0].predictors and not Path(plan.settings.mean_plane).exists():
        means = compute_mean_planes(store, plan.stages[0].planes)
        with replacing(plan.settings.mean_plane) as temporary, temporary.open("wb") as stream:
            np.savez(stream, **dict(zip(COMPONENTS, means, strict=True)))  # type: ignore[arg-type]


def _report(
    plan: Plan, parts: Path, stores: dict[str, Store], provenance: dict[str, Any], warnings: list[str]
) -> Report:
    gathered, seconds = {}, {}
    for number, stage in enumerate(plan.stages):
        gathered[stage.name], spent = gather_stage(plan, parts, number)
        seconds[stage.name] = {name: value / stage.planes for name, value in spent.items()}
    arrays, stage = gathered[VALIDATION], plan.stages[0]
    breakdowns = summary.breakdowns(stores[VALIDATION], arrays["missing_share"], arrays["signal"])
    predictors = make_predictors(plan.settings, stage.predictors)
    measured = {name: summary.measures_of(arrays, name) for name in stage.predictors}
    equal = min(len(gathered[name]["missing_share"]) for name in stores)
    table = {name: summary.main_table(gathered[name], NETWORK, plan.seed, equal) for name in stores}
    rivals = [name for name in stage.predictors if name not in (NOISE, "input")]
    plain: dict[str, Any] = {
        "format": FORMAT,
        "warnings": warnings,
        "provenance": provenance,
        "missing_share": float(arrays["missing_share"].mean()),
        "table": table,
        "limits": summary.limits(measured[NETWORK], table[VALIDATION], inception=plan.space == "inception"),
        "predictors": {
            name: {
                "title": predictors[name].title,
                "description": dict(predictors[name].description),
                "knows_the_lattice": name in GIVEN_THE_LATTICE,
                "measures": measured[name],
            }
            for name in stage.predictors
        },
        "training": summary.measures_of(gathered[TRAINING], NETWORK) if TRAINING in stores else None,
        "by": summary.by_class(arrays, NETWORK, breakdowns),
        "missing_curve": summary.missing_curve(arrays, rivals),
        "noise_curve": _noise_curve(plan, gathered),
        "uncertainty": _uncertainty(plan, gathered),
    }
    gallery = _gallery(predictors[NETWORK], CaseReader(stores[VALIDATION]), arrays)
    plain["gallery"] = {
        component: {
            each.rank: {"plane": each.case.number, "mse": each.score}
            for each in gallery
            if each.component == component
        }
        for component in COMPONENTS
    }
    kept = {name: values for name, values in arrays.items() if values.ndim == 1}
    return Report(plain, kept, breakdowns, gallery, {"seconds_per_plane": seconds})


def _noise_curve(plan: Plan, gathered: dict[str, Arrays]) -> list[dict[str, Any]]:
    """Return the MSE against the counts in the brightest pixel, noisiest first; the last point is noise as stored.

    New noise is drawn for the exact product: these planes have no background or Bragg residue, even if the stored
    planes have.
    """
    noisy = [stage for stage in plan.stages if stage.counts is not None]
    points: list[dict[str, Any]] = [
        {
            "counts": stage.counts,
            "planes": stage.planes,
            "mse": summary.mean_errors(gathered[stage.name], stage.predictors),
        }
        for stage in sorted(noisy, key=lambda stage: stage.counts or 0.0)
    ]
    if noisy:
        first = {name: values[: noisy[0].planes] for name, values in gathered[VALIDATION].items()}
        as_stored = summary.mean_errors(first, noisy[0].predictors)
        points.append({"counts": None, "planes": noisy[0].planes, "mse": as_stored})
    return points


def _uncertainty(plan: Plan, gathered: dict[str, Arrays]) -> dict[str, Any] | None:
    found = [stage for stage in plan.stages if stage.name == UNCERTAINTY]
    if not found:
        return None
    [stage] = found
    [predictor] = stage.predictors
    in_report = {name: values[: stage.planes] for name, values in gathered[VALIDATION].items()}
    return {
        "mode": predictor.partition(" ")[2],
        "planes": stage.planes,
        "mse": summary.mean_errors(gathered[UNCERTAINTY], [predictor])[predictor],
        "mse_of_the_report_on_these": summary.mean_errors(in_report, [NETWORK])[NETWORK],
        "calibration": summary.calibration(gathered[UNCERTAINTY], predictor),
    }


def _gallery(network: Any, reader: CaseReader, arrays: Arrays) -> tuple[GalleryPlane, ...]:
    """Return the best, median and worst plane of each component.

    They are factorised again, because keeping all outputs until the ranks are known would take gigabytes.
    """
    pictures = []
    for component in COMPONENTS:
        scores = arrays[f"{NETWORK}/{component}/mse"]
        for rank, plane in summary.ranked(scores).items():
            case, truth = reader(plane)
            output = getattr(network([case]), component)[0]
            pictures.append(GalleryPlane(component, rank, float(scores[plane]), case, truth, output))
    return tuple(pictures)
