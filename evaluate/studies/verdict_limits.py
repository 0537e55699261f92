"""Limits of the verdict from planes that keep every assumption: what `dsfunet/verdict/limits.json` holds."""

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
"""Share of good planes that all limits together flag; the rest up to 5 % is for planes that are not as these."""

FOLDS = 5
"""The threshold is that of scores that planes get from the percentiles of the other folds: outer quantiles of
many numbers fit the planes that set them better than any other."""

FEWEST = 100
"""Planes that a class of noise needs for limits of its own; with fewer it takes those of all."""

_LIKENESS = ("root_", "band_")
_LEAST = {"cliff": 0.2, "dark": 1e-3, "isolated": 2e-4, "radial": 0.01, "bragg_outstanding": 0.03}
_LEAST_OF_OTHERS = 0.1
_MOST = {"cliff": 0.6}
"""What cannot be larger than 2 has limits below what it is where the fault is there, whatever one good plane had."""

_NO_FAULT = {"lattice_over_networks": 0.0}
"""Nor is what no fault has to be: networks as good as the lattice, on an easy plane."""

_FEWEST_VALUES = 20
_DIGITS = 6


def fit_limits(
    good: list[dict[Regime, dict[str, float]]],
    training: list[dict[str, float]],
    provenance: Mapping[str, Any],
) -> dict[str, Any]:
    """Quantiles of every number by regime and noise, the likeness's reference, and the threshold.

    The threshold is on the largest of a plane's scores, one for each regime (see FOLDS).

    Args:
        good: numbers of good planes by regime.
        training: numbers of training planes.
        provenance: where these come from, kept in the file.
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
            others = [each for each, its in zip(planes, fold, strict=True) if its != number]
            without = {"limits": {regime: _tables(others)}}
            largest += [
                max(score_numbers(each, regime, without).values())
                for each, its in zip(planes, fold, strict=True)
                if its == number
            ]
        fitted["limits"][regime] = _tables(planes)
        fitted["threshold"][regime] = round(max(float(np.quantile(largest, 1 - TARGET)), 1e-3), _DIGITS)
    return fitted


def _tables(planes: list[dict[str, float]]) -> list[dict[str, list[float]]]:
    """A table for each class of noise."""
    classes = np.array([noise_class(each["noise"]) for each in planes])
    tables = []
    for number in range(len(NOISE_CLASSES) + 1):
        members = [each for each, its in zip(planes, classes, strict=True) if its == number]
        tables.append(_table(members if len(members) >= FEWEST else planes))
    return tables


def _table(planes: list[dict[str, float]]) -> dict[str, list[float]]:
    table: dict[str, list[float]] = {}
    for name in TESTS:
        values = [comparable_value(name, each[name]) for each in planes if name in each]
        if len(values) < _FEWEST_VALUES:
            continue
        quantiles = np.quantile(values, QUANTILES)
        # Where hardly any good plane has the thing at all, as zeros in one piece.
        least = _LEAST.get(name, _LEAST_OF_OTHERS)
        quantiles = np.minimum(quantiles, _MOST.get(name, np.inf))
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
    # Combinations that hardly vary among training planes say little, and are not to decide alone.
    whitening = vectors.T / np.sqrt(np.maximum(variances, 1e-2))[:, None] / deviations
    return {
        "names": names,
        "mean": values.mean(axis=0).round(_DIGITS).tolist(),
        "whitening": whitening.round(_DIGITS).tolist(),
    }
