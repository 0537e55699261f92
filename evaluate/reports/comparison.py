"""The comparison of two reports on the same planes: which weights are better, with confidence intervals."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dsfunet._typing import Array
from dsfunet.errors import InputError
from evaluate.metrics.measures import MEASURES, PRODUCT_MEASURES, Measure
from evaluate.reports.markdown import padded_table
from evaluate.reports.report_folder import PLANES_FILE, REPORT_FILE
from evaluate.reports.tables import NETWORK, TITLES
from evaluate.runs.evaluation import FORMAT
from evaluate.runs.work_units import read_arrays

STATISTICS = ("mean", "median", "90th percentile")
_RESAMPLES_AT_ONCE = 50


@dataclass(frozen=True)
class Difference:
    """One statistic of one measure in two reports, and the bootstrap interval of the second minus the first.

    Attributes:
        component: `form_factor`, `short_range_order` or `product`.
        measure: name of the measure.
        statistic: one of STATISTICS.
        first: value in the first report.
        second: value in the second report.
        low: lower end of the interval of the difference.
        high: upper end of this interval.
        better: report that is better with this confidence, 1 or 2; 0 if the interval contains 0.
    """

    component: str
    measure: str
    statistic: str
    first: float
    second: float
    low: float
    high: float
    better: int


def compare_reports(
    first: Path,
    second: Path,
    predictors: tuple[str, str] = (NETWORK, NETWORK),
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> list[Difference]:
    """Compare two reports by a paired bootstrap over planes (Efron & Tibshirani 1993).

    Both reports are resampled with the same planes. This pairing makes the intervals narrow, because planes differ much
    more from each other than the two answers to one plane. Intervals are percentiles of the resampled differences.

    Args:
        first: folder of a report.
        second: folder of another report on the same planes, or the same folder to compare two of its predictors.
        predictors: predictor of the first report and predictor of the second.
        resamples: bootstrap resamples, at least 100.
        confidence: of the intervals, between 0 and 1.
        seed: of the resampling.

    Raises:
        InputError: if a folder holds no report, the planes differ, a predictor was not scored, or a number is out of
            range.
    """
    if resamples < 100:
        raise InputError(f"--resamples is {resamples}; expected 100 or more")
    if not 0 < confidence < 1:
        raise InputError(f"--confidence is {confidence}; expected a number between 0 and 1")
    (one, planes_one), (two, planes_two) = _read(first), _read(second)
    _check_same_planes(one, two, first, second)
    both = [
        _scores_of(planes, predictor, folder)
        for planes, predictor, folder in zip(
            (planes_one, planes_two), predictors, (first, second), strict=True
        )
    ]
    found = []
    for key in (key for key in both[0] if key in both[1]):
        component, name = key.split("/")
        measure = (PRODUCT_MEASURES if component == "product" else MEASURES)[name]
        found += _differences(
            component, name, measure, both[0][key], both[1][key], resamples, confidence, seed
        )
    return found


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    try:
        plain = json.loads((folder / REPORT_FILE).read_text(encoding="utf-8"))
        if not isinstance(plain, dict) or plain.get("format") != FORMAT:
            raise ValueError(f"{REPORT_FILE} is not of format {FORMAT}")
        return plain, read_arrays(folder / PLANES_FILE)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder}: this is not a report ({error}); expected a report of `python -m evaluate` with {REPORT_FILE}"
            f" and {PLANES_FILE}"
        ) from error


def _check_same_planes(one: dict[str, Any], two: dict[str, Any], first: Path, second: Path) -> None:
    stores = [plain["provenance"]["stores"]["validation"] for plain in (one, two)]
    same = [(store["digest"], store["planes"]) for store in stores]
    if same[0] != same[1]:
        found = [f"{planes} planes (digest {digest[:12]})" for digest, planes in same]
        raise InputError(
            f"{first} scores {found[0]} and {second} scores {found[1]}; expected reports on the same planes"
        )


def _scores_of(planes: dict[str, Array], predictor: str, folder: Path) -> dict[str, Array]:
    prefix = f"{predictor}/"
    known = {
        f"{part}/{name}" for part in TITLES for name in (PRODUCT_MEASURES if part == "product" else MEASURES)
    }
    found = {
        name.removeprefix(prefix): values
        for name, values in planes.items()
        if name.startswith(prefix) and name.removeprefix(prefix) in known
    }
    if not found:
        names = sorted({name.split("/")[0] for name in planes if "/" in name})
        raise InputError(
            f"{folder}: the report has no scores of {predictor!r}; expected one of {', '.join(names)}"
        )
    return found


def _differences(
    component: str,
    name: str,
    measure: Measure,
    first: Array,
    second: Array,
    resamples: int,
    confidence: float,
    seed: int,
) -> list[Difference]:
    kept = ~(np.isnan(first) | np.isnan(second)) if measure.may_be_missing else np.ones(len(first), bool)
    pair = np.stack([first[kept], second[kept]])
    if not pair.size:
        return []
    # Every measure is resampled with the same planes.
    rng = np.random.default_rng(seed)
    count = pair.shape[1]
    resampled = []
    for start in range(0, resamples, _RESAMPLES_AT_ONCE):
        rows = min(_RESAMPLES_AT_ONCE, resamples - start)
        drawn = pair[:, rng.integers(count, size=(rows, count))]
        statistics = _statistics(drawn)
        resampled.append(statistics[:, 1] - statistics[:, 0])
    tails = 50 * (1 - confidence), 50 * (1 + confidence)
    low, high = np.percentile(np.concatenate(resampled, axis=1), tails, axis=1)
    values = _statistics(pair)
    result = []
    for number, statistic in enumerate(STATISTICS):
        sure = bool(low[number] > 0 or high[number] < 0)
        second_smaller = bool(high[number] < 0)
        better = (2 if second_smaller == measure.smaller_is_better else 1) if sure else 0
        before, after = values[number].tolist()
        ends = float(low[number]), float(high[number])
        result.append(Difference(component, name, statistic, before, after, *ends, better))
    return result


def _statistics(values: Array) -> Array:
    """Compute STATISTICS over the last axis, along a new first axis."""
    return np.stack([values.mean(axis=-1), *np.percentile(values, (50, 90), axis=-1)])


def comparison_table(differences: list[Difference], confidence: float) -> list[str]:
    """Return the differences as a Markdown table."""
    conclusions = ("no significant difference", "the first is better", "the second is better")
    rows = [
        [
            TITLES[each.component],
            (PRODUCT_MEASURES if each.component == "product" else MEASURES)[each.measure].title,
            each.statistic,
            f"{each.first:.5g}",
            f"{each.second:.5g}",
            f"{each.second - each.first:+.3g}",
            f"{each.low:+.3g} to {each.high:+.3g}",
            conclusions[each.better],
        ]
        for each in differences
    ]
    header = [
        "",
        "measure",
        "statistic",
        "first",
        "second",
        "second - first",
        f"{100 * confidence:g} % interval",
        "",
    ]
    return padded_table(header, rows)
