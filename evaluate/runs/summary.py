"""The summary of an evaluation: the numbers of report.json, computed from the measures of all planes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array
from dsfunet.data.store import Store
from dsfunet.errors import InputError
from dsfunet.planes.preprocessing import COMPONENTS
from evaluate.metrics.distances import distance
from evaluate.metrics.errors import COMMON_MARK, PAPER_MARKS, summarise
from evaluate.metrics.measures import COVERAGE, DEVIATION_EDGES, MEASURES, PRODUCT_MEASURES
from evaluate.predictors.registry import NOISE
from evaluate.runs.work_units import Arrays

LATTICE_CLASSES = ("orthogonal", "hexagonal", "oblique")
"""Names of the classes of `lattice_index`."""

MISSING_CLASSES = ("none", "under 10 %", "10-25 %", "25-40 %", "40 % and more")
"""Names of the classes of `missing_index`."""
_FLOOR_CLASSES = ("under 0.03", "0.03-0.1", "0.1-0.3", "0.3-1", "1 and more")
_SIGNAL_CLASSES = ("under 2 %", "2-5 %", "5-10 %", "10-20 %", "20 % and more")
_CURVE_EDGES = np.array([0.0, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55])


@dataclass(frozen=True)
class Breakdown:
    """A breakdown of planes into classes: `index` (n,) gives the position of each plane's class in `labels`."""

    name: str
    labels: tuple[str, ...]
    index: npt.NDArray[np.intp]


def breakdowns(store: Store, missing_share: Array, signal: Array) -> tuple[Breakdown, ...]:
    """Return the breakdowns of a report, for the first n planes of a store.

    Args:
        store: the planes.
        missing_share: share of missing pixels of each plane (n,), in [0, 1].
        signal: mean of the measured pixels of each plane over its brightest pixel (n,), in [0, 1].
    """
    count = len(missing_share)
    groups = tuple(sorted(set(store.attributes["species_groups"])))
    # Both species of a pair belong to the same group, so the first one is enough.
    first = store.metadata("species")[:count, 0]
    group_of_species = np.array([groups.index(group) for group in store.attributes["species_groups"]])
    floors = store.metadata("short_range_order_floor")[:count]
    kinds = tuple(store.attributes["order_kinds"])
    return (
        Breakdown("species group", groups, group_of_species[first].astype(np.intp)),
        Breakdown("order kind", kinds, store.metadata("order_kind")[:count].astype(np.intp)),
        Breakdown("lattice", LATTICE_CLASSES, lattice_index(store.metadata("cell")[:count])),
        Breakdown("missing pixels", MISSING_CLASSES, missing_index(missing_share)),
        Breakdown("mean signal over brightest", _SIGNAL_CLASSES, np.digitize(signal, (0.02, 0.05, 0.1, 0.2))),
        # If I_SRO hardly varies, normalising it to [0, 1] magnifies every error.
        Breakdown(
            "minimum of I_SRO over its range", _FLOOR_CLASSES, np.digitize(floors, (0.03, 0.1, 0.3, 1.0))
        ),
    )


def lattice_index(cells: Array) -> npt.NDArray[np.intp]:
    """Classify cells (n, 6), angles in degrees: 0 all angles 90, 1 hexagonal (b unique, beta = 120), 2 any other."""
    angles = cells[:, 3:]
    orthogonal = np.isclose(angles, 90.0).all(axis=1)
    hexagonal = np.isclose(angles, (90.0, 120.0, 90.0)).all(axis=1)
    return np.select([orthogonal, hexagonal], [0, 1], default=2).astype(np.intp)


def missing_index(missing_share: Array) -> npt.NDArray[np.intp]:
    """Classify shares of missing pixels in [0, 1]: 0 none, 1 under 10 %, 2 up to 25 %, 3 up to 40 %, 4 more."""
    index = 1 + np.digitize(missing_share, (0.10, 0.25, 0.40))
    return np.where(missing_share == 0, 0, index).astype(np.intp)


def measures_of(arrays: Arrays, predictor: str) -> dict[str, dict[str, dict[str, Any]]]:
    """Summarise the measures of one predictor: component (and `product`) -> measure -> summary.

    Raises:
        InputError: if a measure of a plane is not finite, unless it is one that may be undefined.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for part, known in (*((name, MEASURES) for name in COMPONENTS), ("product", PRODUCT_MEASURES)):
        for name, measure in known.items():
            values = arrays.get(f"{predictor}/{part}/{name}")
            if values is None:
                continue
            if measure.may_be_missing:
                values = values[~np.isnan(values)]
                if not values.size:
                    continue
            try:
                found.setdefault(part, {})[name] = _summary(values, part if name == "mse" else None)
            except InputError as error:
                raise InputError(f"{predictor}, {name} of {part}: {error}") from error
    return found


def _summary(values: Array, component: str | None) -> dict[str, Any]:
    """Summarise scores (n,); with a component, add the shares of planes under the paper's marks."""
    summary = summarise(values)
    plain: dict[str, Any] = {
        "planes": len(values),
        "mean": summary.mean,
        "median": summary.median,
        "percentile_10": float(np.percentile(values, 10)),
        "percentile_90": summary.percentile_90,
    }
    if component is not None:
        plain["share_under_paper_mark"] = summary.share_under(PAPER_MARKS[component])
        plain["share_under_common_mark"] = summary.share_under(COMMON_MARK)
    return plain


def main_table(arrays: Arrays, predictor: str, seed: int, distance_planes: int) -> dict[str, dict[str, Any]]:
    """Compute the paper's Table 1 for one set of planes: component -> distances and mean MSE, also those of noise.

    Distances are taken over the first `distance_planes` planes, because only distances over equally many planes can be
    compared.
    """
    table = {}
    for component in COMPONENTS:
        truth, answer, noise = (
            arrays.get(f"features/{whose}/{component}") for whose in ("truth", predictor, NOISE)
        )
        rows: dict[str, dict[str, float]] = {
            name: {"mse": float(arrays[key].mean())}
            for name, key in (
                ("score", f"{predictor}/{component}/mse"),
                ("noise_against_truth", f"{NOISE}/{component}/mse"),
                ("noise_against_noise", f"{NOISE}/against_noise/mse"),
            )
        }
        if truth is not None and answer is not None and noise is not None and distance_planes > 1:
            other = arrays[f"features/{NOISE}/{COMPONENTS[1 - COMPONENTS.index(component)]}"]
            for name, pair in (
                ("score", (answer, truth)),
                ("noise_against_truth", (noise, truth)),
                ("noise_against_noise", (noise, other)),
            ):
                first, second = (each[:distance_planes] for each in pair)
                found = distance(first, second, seed)
                rows[name] |= {
                    "fid": found.frechet,
                    "kid": found.kernel_mean,
                    "kid_std": found.kernel_std,
                    "distance_planes": len(first),
                    "kid_subset_planes": found.subset_size,
                }
        table[component] = rows
    return table


def by_class(arrays: Arrays, predictor: str, breakdowns: Sequence[Breakdown]) -> dict[str, Any]:
    """Summarise the MSE by class: breakdown -> class -> component -> summary; empty classes are left out."""
    return {
        each.name: {
            label: {
                component: _summary(arrays[f"{predictor}/{component}/mse"][each.index == number], component)
                for component in COMPONENTS
            }
            for number, label in enumerate(each.labels)
            if np.any(each.index == number)
        }
        for each in breakdowns
    }


def missing_curve(arrays: Arrays, predictors: Sequence[str]) -> list[dict[str, Any]]:
    """Compute the mean MSE of every predictor in bins of the share of missing pixels; empty bins are left out."""
    share = arrays["missing_share"]
    points = []
    for low, high in pairwise(_CURVE_EDGES):
        inside = (share >= low) & ((share < high) | (high == _CURVE_EDGES[-1]))
        if inside.any():
            points.append(
                {
                    "from": float(low),
                    "to": float(high),
                    "planes": int(inside.sum()),
                    "mse": _means(arrays, predictors, inside),
                }
            )
    return points


def mean_errors(arrays: Arrays, predictors: Sequence[str]) -> dict[str, dict[str, float]]:
    """Compute the mean MSE over all planes: predictor -> component -> MSE."""
    return _means(arrays, predictors, np.ones(len(arrays["missing_share"]), bool))


def _means(
    arrays: Arrays, predictors: Sequence[str], which: npt.NDArray[np.bool_]
) -> dict[str, dict[str, float]]:
    return {
        predictor: {
            component: float(arrays[f"{predictor}/{component}/mse"][which].mean()) for component in COMPONENTS
        }
        for predictor in predictors
    }


def calibration(arrays: Arrays, predictor: str) -> dict[str, Any]:
    """Compare predicted standard deviations with errors, by component.

    `within_1` and `within_2` are the shares of pixels with an error within one and two deviations (ideally 0.683 and
    0.954 if errors are Gaussian). `factor` is rms error over rms deviation, by which all deviations would have to be
    multiplied. `bins` lists, for each bin of predicted deviation, the rms of both and the share of pixels.
    """
    result = {}
    for component in COMPONENTS:
        pixels, error, deviation = (
            arrays[f"{predictor}/{component}/deviation_{name}"].sum(axis=0)
            for name in ("pixels", "squared_error", "squared_deviation")
        )
        total = float(deviation.sum())
        result[component] = {
            **{name: float(arrays[f"{predictor}/{component}/deviation_{name}"].mean()) for name in COVERAGE},
            # None because JSON has no infinity.
            "factor": float(np.sqrt(error.sum() / total)) if total > 0 else None,
            "bins": [
                {
                    "from": float(DEVIATION_EDGES[place]),
                    "share_of_pixels": float(pixels[place] / pixels.sum()),
                    "rms_deviation": float(np.sqrt(deviation[place] / pixels[place])),
                    "rms_error": float(np.sqrt(error[place] / pixels[place])),
                }
                for place in np.flatnonzero(pixels)
            ],
        }
    return result


def ranked(values: Array) -> Mapping[str, int]:
    """Return the planes with the best, the median and the worst score (n,); the first of equal ones."""
    order = np.argsort(values, kind="stable")
    return {"best": int(order[0]), "median": int(order[(len(order) - 1) // 2]), "worst": int(order[-1])}


def limits(
    report_measures: Mapping[str, Any], table: Mapping[str, Any], inception: bool
) -> list[dict[str, Any]]:
    """Compare our scores with the limits that the paper states for its own: name, ours, limit, kept.

    Distances are compared only in the paper's own feature space, Inception's.
    """
    found = []
    for component in COMPONENTS:
        mse = report_measures[component]["mse"]
        found.append(
            _limit(f"{component}: 90th percentile of the MSE", mse["percentile_90"], PAPER_MARKS[component])
        )
        for name in ("mse", "fid", "kid") if inception else ("mse",):
            if name in table[component]["score"]:
                ratio = table[component]["score"][name] / table[component]["noise_against_truth"][name]
                found.append(_limit(f"{component}: {name.upper()} over that of noise", ratio, 0.1))
        found.append(
            _limit(
                f"{component}: share of planes above {COMMON_MARK:g}", 1 - mse["share_under_common_mark"], 0.1
            )
        )
    return found


def _limit(name: str, ours: float, mark: float) -> dict[str, Any]:
    return {"name": name, "ours": float(ours), "paper": mark, "kept": bool(ours < mark)}
