"""Coefficients that make standard uncertainties of features: fitted to known errors, and judged on others."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.stats import spearmanr

from dsfunet._typing import Planes
from dsfunet.factorize.uncertainty import linear_sigma
from dsfunet.networks.calibration import CALIBRATED_PASSES, FEATURES, MODES, Calibration, Mode
from dsfunet.planes.preprocessing import COMPONENTS, unspread
from evaluate.runs.summary import missing_index

LEVELS: dict[str, float | None] = {"as stored": None, "1000 counts": 1000.0, "100 counts": 100.0}
"""Noise levels, which planes take in turn; counts expected in the brightest pixel."""

DEGREES_OF_FREEDOM = 4.0
"""Of the Student distribution whose likelihood is fitted: a few planes come out all wrong, and must not decide."""

ONE_SIGMA = 0.6827
"""Share of a Gaussian within one standard deviation."""

MISSING = ("none", "under 10 %", "10-25 %", "25-40 %", "40 % and more")
"""Names of the classes of `evaluate.runs.summary.missing_index`."""

_SMALLEST_RMS = 1e-6


@dataclass
class Measured:
    """What was measured of one plane in one mode with one number of passes.

    Attributes:
        features: (2, FEATURES, pixels) of the pixels drawn.
        error: (2, pixels), answer minus truth, spread.
        mse: (2,) over all pixels, spread.
        deviation: (2,) rms of the deviation between passes; 0 for one pass.
        ranks: (2,) Spearman correlation of that deviation, smoothed, with |error| within the plane; 0 for one pass.
    """

    features: Planes
    error: Planes
    mse: npt.NDArray[np.float64]
    deviation: npt.NDArray[np.float64]
    ranks: npt.NDArray[np.float64]


@dataclass
class PlaneRecord:
    """All of one plane, by mode and passes; lattice mode is not there where it does not accept the lattice."""

    number: int
    noise: str
    missing: float
    measured: dict[tuple[Mode, int], Measured]
    seconds: tuple[float, float]
    """That one pass of the networks and one of lattice mode took."""


def fit(records: list[PlaneRecord], digest: str) -> Calibration:
    """The calibration that makes the errors of these planes most likely."""
    coefficients = {}
    for mode in MODES:
        for passes in CALIBRATED_PASSES:
            of = [each.measured[mode, passes] for each in records if (mode, passes) in each.measured]
            for place, component in enumerate(COMPONENTS):
                if of:
                    features = np.concatenate([each.features[place] for each in of], axis=1)
                    error = np.concatenate([each.error[place] for each in of])
                else:  # no lattice was accepted: nothing is known, and the deviation stands
                    features, error = np.ones((len(FEATURES), 1)), np.ones(1)
                values = fit_coefficients(features.astype(np.float64), error.astype(np.float64))
                coefficients[mode, component, passes] = values
    return Calibration(digest, coefficients)


def fit_coefficients(
    features: npt.NDArray[np.float64], error: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    """Coefficients of the logarithm of sigma, (features,), of pixels (features, n) and their errors (n,).

    Those of the highest Student likelihood, then scaled so that ONE_SIGMA of the errors lie within one sigma. The
    first feature is 1; one that does not vary gets 0.
    """
    centre, width = features.mean(axis=1), features.std(axis=1)
    varying = width > 1e-9
    columns = np.where(
        varying[:, None], (features - centre[:, None]) / np.where(varying, width, 1)[:, None], 0
    )
    columns[0] = 1
    squares, nu = error**2 + 1e-12, DEGREES_OF_FREEDOM

    def loss(theta: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        log_sigma = theta @ columns
        ratio = squares * np.exp(-2 * log_sigma)
        value = np.mean(log_sigma + 0.5 * (nu + 1) * np.log1p(ratio / nu))
        slope = 1 - (nu + 1) * ratio / (nu + ratio)
        # A touch of ridge: columns may be alike.
        return float(value + 1e-5 * theta[1:] @ theta[1:]), columns @ slope / len(squares) + 2e-5 * np.append(
            0, theta[1:]
        )

    start = np.zeros(len(features))
    start[0] = 0.5 * np.log(np.median(squares)) + 0.4
    theta = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
    theta[0] += np.log(np.quantile(np.sqrt(squares) / np.exp(theta @ columns), ONE_SIGMA))
    plain = np.where(varying, theta / np.where(varying, width, 1), 0)
    plain[0] = theta[0] - plain[1:] @ centre[1:]
    # As they are written: what is judged is what is used.
    return np.array([float(f"{each:.6g}") for each in plain], np.float32)


def judge(calibration: Calibration, records: list[PlaneRecord]) -> dict[str, Any]:
    """What passes do to the errors, and what the calibrated sigmas are worth, on planes not fitted on."""
    plain: dict[str, Any] = {"passes": {}, "coverage": {}}
    missing = missing_index(np.array([each.missing for each in records]))
    for mode in MODES:
        for passes in CALIBRATED_PASSES:
            chosen = [place for place, each in enumerate(records) if (mode, passes) in each.measured]
            if not chosen:
                continue
            of = [records[place].measured[mode, passes] for place in chosen]
            features = np.stack([each.features for each in of], axis=2)  # (2, FEATURES, planes, pixels)
            signed = np.stack([each.error for each in of], axis=1)
            sigma = calibration.sigma(mode, passes, features)
            error = np.abs(signed)
            ratio = error / sigma
            level = features[:, FEATURES.index("level")]
            # What a user has in hand: linear intensity, and its sigma.
            linear = np.abs(unspread(level) - unspread(level - signed)) / linear_sigma(level, sigma)
            unmeasured = features[0, FEATURES.index("log_depth")] > 0
            noise = np.array([records[place].noise for place in chosen])
            classes = {
                "all": np.ones(unmeasured.shape, bool),
                "measured": ~unmeasured,
                "missing": unmeasured,
                **{f"{name} missing": (missing[chosen] == k)[:, None] for k, name in enumerate(MISSING)},
                **{name: (noise == name)[:, None] for name in LEVELS},
            }
            for component, name in enumerate(COMPONENTS):
                table = plain["passes"].setdefault(mode, {}).setdefault(name, {})
                table[str(passes)] = _of_passes(of, component, ratio[component], error[component])
                for bound in (1, 2):
                    table[str(passes)][f"linear_within_{bound}"] = float((linear[component] < bound).mean())
                plain["coverage"].setdefault(mode, {}).setdefault(name, {})[str(passes)] = {
                    label: _coverage(ratio[component][np.broadcast_to(members, unmeasured.shape)])
                    for label, members in classes.items()
                }
    return plain


def _of_passes(
    of: list[Measured], component: int, ratio: npt.NDArray[np.floating[Any]], error: Planes
) -> dict[str, float]:
    mse = np.array([each.mse[component] for each in of])
    deviation = np.array([each.deviation[component] for each in of])
    sigma = error / np.maximum(ratio, _SMALLEST_RMS)
    raw = error / np.maximum(np.exp([each.features[component, 1] for each in of]), _SMALLEST_RMS)
    several = bool(deviation.any())
    order = np.argsort(sigma, axis=None)
    surest = error.ravel()[order[: len(order) // 2]]
    return {
        "planes": len(of),
        "mse": float(mse.mean()),
        "mse_median": float(np.median(mse)),
        "mse_90": float(np.percentile(mse, 90)),
        "raw_within_1": float((raw < 1).mean()) if several else 0.0,
        "raw_within_2": float((raw < 2).mean()) if several else 0.0,
        "ranks_pixels_raw": float(np.mean([each.ranks[component] for each in of])),
        "ranks_planes_raw": _rank(deviation, mse) if several else 0.0,
        "ranks_pixels": float(np.mean([_rank(*each) for each in zip(sigma, error, strict=True)])),
        "ranks_planes": _rank(np.sqrt(np.mean(sigma**2, axis=1)), mse),
        "mse_of_surer_half": float(np.mean(surest**2) / max(float(np.mean(error**2)), 1e-30)),
        "median_sigma": float(np.median(sigma)),
        "factor_95": float(np.quantile(ratio, 0.95)),
    }


def _rank(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> float:
    if len(first) < 2 or not np.ptp(first) > 0 or not np.ptp(second) > 0:
        return 0.0
    return float(spearmanr(first, second).statistic)


def _coverage(ratio: npt.NDArray[np.floating[Any]]) -> dict[str, float]:
    if not ratio.size:
        return {"pixels": 0}
    return {
        "pixels": int(ratio.size),
        "within_1": float((ratio < 1).mean()),
        "within_2": float((ratio < 2).mean()),
    }
