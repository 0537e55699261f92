"""One evaluation from what is asked to a `Report`: checks first, then the units of its plan, then the numbers."""

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
from evaluate.predictors.classical import mean_planes
from evaluate.predictors.network import Mode, NetworkPredictor
from evaluate.predictors.registry import KNOWS_THE_LATTICE, NETWORK, NOISE, make_predictors
from evaluate.runs import summary
from evaluate.runs.planning import (
    TRAINING,
    UNCERTAINTY,
    VALIDATION,
    Request,
    make_plan,
    open_stores,
    planes_of,
)
from evaluate.runs.provenance import (
    check_trained,
    check_unseen,
    describe_store,
    describe_surroundings,
    recipe_warnings,
)
from evaluate.runs.running import digest_of, digest_of_code, gather, one_thread, run
from evaluate.runs.units import Arrays, Plan

FORMAT = 2
"""Version of report.json."""


@dataclass(frozen=True, eq=False)
class Picture:
    """One plane of the gallery: whose rank it shows, its score, and the planes that are drawn."""

    component: str
    rank: str
    score: float
    case: Case
    truth: Truth
    output: npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Report:
    """Everything measured in one evaluation.

    Attributes:
        plain: the numbers of report.json.
        planes: measures of single planes by name, each (n,), for the CSV and for comparing two reports.
        ways: how planes are sorted.
        gallery: planes to be drawn.
        timing: what differs from run to run.
    """

    plain: dict[str, Any]
    planes: Arrays
    ways: tuple[summary.Breakdown, ...]
    gallery: tuple[Picture, ...]
    timing: dict[str, Any]


def evaluate(request: Request, parts: Path, device: str, processes: int, progress: bool = True) -> Report:
    """Score weights on the planes of a store, beside predictors that need no network.

    The numbers do not depend on the number of processes, nor on interruptions.

    Args:
        request: what is asked.
        parts: folder for what is done so far; run again, an interrupted evaluation goes on from there.
        device: where networks run, `cpu` or `cuda`.
        processes: how many work at once.
        progress: show a progress bar.

    Raises:
        InputError: something asked for is not there, does not fit, or cannot judge these weights.
    """
    began = time.perf_counter()
    stores = open_stores(request)
    network = _network(request, device)
    trained = network.card.get("data", {})
    warnings = _warnings(request, stores, trained)
    weights = None if request.inception_weights is None else Path(request.inception_weights)
    space, said = choose_feature_space(weights, device, request.features)
    if said is not None:
        warnings.append(said)
    plan = make_plan(request, stores, parts, device, space)
    provenance = _provenance(request, stores, network, space, device)
    # The digest of the code stands for its commit, which changes with every word of documentation.
    decided = {**provenance, "surroundings": {**provenance["surroundings"], "code": digest_of_code()}}
    key = digest_of([decided, dataclasses.asdict(plan)])
    done_before = run(
        plan, parts, processes, progress, key, lambda: _write_mean_planes(plan, stores[VALIDATION])
    )
    with one_thread():
        report = _report(plan, parts, stores, provenance, warnings)
    report.timing.update(
        seconds=time.perf_counter() - began, processes=processes, units_done_before=done_before
    )
    return report


@dataclass(frozen=True)
class _Network:
    """The networks that are judged, without their weights."""

    description: dict[str, Any]
    card: dict[str, Any]


def _network(request: Request, device: str) -> _Network:
    from dsfunet.factorize.loading import load_factorizer

    factorizer = load_factorizer(request.weights, device, request.batch_size)
    predictor = NetworkPredictor(factorizer, Mode.parse(request.mode), request.seed)
    if request.uncertainty_samples:
        NetworkPredictor(factorizer, Mode.parse(request.uncertainty_mode), request.seed)
    return _Network(dict(predictor.description), factorizer.generators.card)


def _warnings(request: Request, stores: dict[str, Store], trained: dict[str, Any]) -> list[str]:
    store = stores[VALIDATION]
    planes = planes_of(request, stores, VALIDATION)
    found = check_unseen(trained, store, planes, request.allow_trained_species)
    found += recipe_warnings(trained, store)
    if TRAINING in stores:
        found += check_trained(trained, stores[TRAINING], planes_of(request, stores, TRAINING))
    split = store.attributes.get("split")
    if split != VALIDATION:
        found.append(
            f"{store.path.name} says that it is of the split {split!r}: expected planes set apart for validation."
        )
    return found


def _provenance(
    request: Request, stores: dict[str, Store], network: _Network, space: FeatureSpace, device: str
) -> dict[str, Any]:
    named = {"shards", "training_shards", "weights", "inception_weights"}
    return {
        "weights": network.description,
        "stores": {
            name: describe_store(store, planes_of(request, stores, name)) for name, store in stores.items()
        },
        "settings": {name: value for name, value in dataclasses.asdict(request).items() if name not in named},
        "feature_space": {"name": space.name, **space.description},
        "surroundings": describe_surroundings(device),
    }


def _write_mean_planes(plan: Plan, store: Store) -> None:
    if "mean_plane" in plan.stages[0].predictors and not Path(plan.settings.mean_plane).exists():
        means = mean_planes(store, plan.stages[0].planes)
        with replacing(plan.settings.mean_plane) as temporary, temporary.open("wb") as stream:
            np.savez(stream, **dict(zip(COMPONENTS, means, strict=True)))  # type: ignore[arg-type]


def _report(
    plan: Plan, parts: Path, stores: dict[str, Store], provenance: dict[str, Any], warnings: list[str]
) -> Report:
    gathered, seconds = {}, {}
    for number, stage in enumerate(plan.stages):
        gathered[stage.name], spent = gather(plan, parts, number)
        seconds[stage.name] = {name: value / stage.planes for name, value in spent.items()}
    arrays, stage = gathered[VALIDATION], plan.stages[0]
    ways = summary.breakdowns(stores[VALIDATION], arrays["missing_share"], arrays["signal"])
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
                "knows_the_lattice": name in KNOWS_THE_LATTICE,
                "measures": measured[name],
            }
            for name in stage.predictors
        },
        "training": summary.measures_of(gathered[TRAINING], NETWORK) if TRAINING in stores else None,
        "by": summary.by_class(arrays, NETWORK, ways),
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
    return Report(plain, kept, ways, gallery, {"seconds_per_plane": seconds})


def _noise_curve(plan: Plan, gathered: dict[str, Arrays]) -> list[dict[str, Any]]:
    """MSE against counts in the brightest pixel, the noisiest first, and last of the same planes as they are stored.

    Counts are of the exact product: where a store has background or Bragg residue, the counted planes have none.
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
    [asked] = stage.predictors
    once = {name: values[: stage.planes] for name, values in gathered[VALIDATION].items()}
    return {
        "mode": asked.partition(" ")[2],
        "planes": stage.planes,
        "mse": summary.mean_errors(gathered[UNCERTAINTY], [asked])[asked],
        "mse_of_the_report_on_these": summary.mean_errors(once, [NETWORK])[NETWORK],
        "calibration": summary.calibration(gathered[UNCERTAINTY], asked),
    }


def _gallery(network: Any, reader: CaseReader, arrays: Arrays) -> tuple[Picture, ...]:
    """The best, median and worst plane of each component.

    They are factorised once more: keeping all outputs until the ranks are known would take gigabytes.
    """
    pictures = []
    for component in COMPONENTS:
        scores = arrays[f"{NETWORK}/{component}/mse"]
        for rank, plane in summary.ranked(scores).items():
            case, truth = reader(plane)
            output = getattr(network([case]), component)[0]
            pictures.append(Picture(component, rank, float(scores[plane]), case, truth, output))
    return tuple(pictures)
