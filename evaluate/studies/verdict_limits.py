"""The limits of the verdict (`dsfunet/verdict/limits.json`), fitted to planes that keep every assumption."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from dsfunet.verdict.judge import (
    NOISE_CLASSES,
    QUANTILES,
    TESTS,
    Regime,
    comparable_value,
    distance_from_training,
    noise_class,
    score_numbers,
)

TARGET = 0.04
"""Share of good planes that all limits together flag; the margin to 5 % is for planes unlike these."""

FOLDS = 5
"""Folds of the cross-validation that sets the threshold: each plane is scored with quantiles of the other folds,
because outer quantiles fit the planes that they were computed from better than any other planes."""

FEWEST = 100
"""Number of planes from which a class of noise gets its own limits; with fewer it uses the limits of all planes."""

_LIKENESS = ("root_", "band_")
_MINIMUM_WIDTHS = {"cliff": 0.2, "dark": 1e-3, "isolated": 2e-4, "radial": 0.01, "bragg_outstanding": 0.03}
_MINIMUM_WIDTH_OF_OTHERS = 0.1
_UPPER_BOUNDS = {"cliff": 0.6}
"""Upper bounds of the limits, for numbers that cannot exceed 2: one unusual good plane must not put a limit above the
values that faulty planes have."""

_NO_FAULT = {"lattice_over_networks": 0.0}
"""Values that are no fault, so that limits must lie above them: on an easy plane,
networks and lattice are equally good."""

_FEWEST_VALUES = 20
_DIGITS = 6


def fit_limits(
    good: list[dict[Regime, dict[str, float]]],
    training: list[dict[str, float]],
    provenance: Mapping[str, Any],
) -> dict[str, Any]:
    """Fit the limits: quantiles of every number by regime and noise, the reference of the likeness, and thresholds.

    There is one threshold per regime; it applies to the largest score of a plane (see FOLDS).

    Args:
        good: numbers of good planes by regime.
        training: numbers of training planes.
        provenance: origin of these planes, kept in the file.
    """
    fitted: dict[str, Any] = {
        "provenance": dict(provenance),
        "likeness": _likeness(training),
        "limits": {},
        "threshold": {},
    }
    regimes: tuple[Regime, ...] = ("lattice", "none")
    for regime in regimes:
        planes = [
            {**each[regime], "unlike": distance_from_training(each[regime], fitted["likeness"])}
            for each in good
        ]
        fold = np.arange(len(planes)) % FOLDS
        largest = []
        for number in range(FOLDS):
            others = [each for each, own in zip(planes, fold, strict=True) if own != number]
            limits = {"limits": {regime: _tables(others)}}
            largest += [
                max(score_numbers(each, regime, limits).values())
                for each, own in zip(planes, fold, strict=True)
                if own == number
            ]
        fitted["limits"][regime] = _tables(planes)
        fitted["threshold"][regime] = round(max(float(np.quantile(largest, 1 - TARGET)), 1e-3), _DIGITS)
    return fitted


def _tables(planes: list[dict[str, float]]) -> list[dict[str, list[float]]]:
    """Return a table of limits for each class of noise."""
    classes = np.array([noise_class(each["noise"]) for each in planes])
    tables = []
    for number in range(len(NOISE_CLASSES) + 1):
        members = [each for each, own in zip(planes, classes, strict=True) if own == number]
        tables.append(_table(members if len(members) >= FEWEST else planes))
    return tables


def _table(planes: list[dict[str, float]]) -> dict[str, list[float]]:
    table: dict[str, list[float]] = {}
    for name in TESTS:
        values = [comparable_value(name, each[name]) for each in planes if name in each]
        if len(values) < _FEWEST_VALUES:
            continue
        quantiles = np.quantile(values, QUANTILES)
        # A minimum width, for numbers that are 0 on nearly all good planes, such as dark areas.
        least = _MINIMUM_WIDTHS.get(name, _MINIMUM_WIDTH_OF_OTHERS)
        quantiles = np.minimum(quantiles, _UPPER_BOUNDS.get(name, np.inf))
        quantiles = np.maximum(quantiles, quantiles[0] + least * np.array([0.0, 0.5, 1.0, 1.2]))
        if name in _NO_FAULT:
            quantiles[2:] = np.maximum(quantiles[2:], _NO_FAULT[name] + np.array([0.0, 0.05]))
        table[name] = np.round(quantiles, _DIGITS).tolist()
    return table


def _likeness(training: list[dict[str, float]]) -> dict[str, Any]:
    names = [name for name in training[0] if name.startswith(_LIKENESS)]
    values = np.array([[each[name] for name in names] for each in training])
    deviations = values.std(axis=0) + 1e-6
    variances, vectors = np.linalg.eigh(np.cov((values / deviations).T))
    # Combinations that hardly vary between training planes carry little information and must not dominate.
    whitening = vectors.T / np.sqrt(np.maximum(variances, 1e-2))[:, None] / deviations
    return {
        "names": names,
        "mean": values.mean(axis=0).round(_DIGITS).tolist(),
        "whitening": whitening.round(_DIGITS).tolist(),
    }
