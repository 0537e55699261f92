"""The coefficients of a calibration: fitted to the known errors of some planes and tested on other planes."""

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
from evaluate.runs.summary import MISSING_CLASSES, missing_index

NOISE_LEVELS: dict[str, float | None] = {"as stored": None, "1000 counts": 1000.0, "100 counts": 100.0}
"""Noise levels, which alternate from plane to plane: expected counts in the brightest pixel; None is as stored."""

DEGREES_OF_FREEDOM = 4.0
"""Of the Student distribution in the fit; its tails keep the few planes that fail completely from dominating."""

ONE_SIGMA = 0.6827
"""Share of a Gaussian within one standard deviation."""

_SMALLEST_RMS = 1e-6


@dataclass
class PassStatistics:
    """Statistics of one plane in one mode with one number of passes; the first axis is the component.

    Attributes:
        features: (2, FEATURES, pixels) of the drawn pixels.
        error: (2, pixels), answer minus truth in spread space.
        mse: (2,) over all pixels in spread space.
        deviation: (2,) rms of the deviation between passes; 0 for one pass.
        ranks: (2,) Spearman correlation within the plane of this deviation, smoothed, with |error|; 0 for one pass.
    """

    features: Planes
    error: Planes
    mse: npt.NDArray[np.float64]
    deviation: npt.NDArray[np.float64]
    ranks: npt.NDArray[np.float64]


@dataclass
class PlaneRecord:
    """All statistics of one plane, by mode and passes; lattice mode is left out if it rejects the lattice."""

    number: int
    noise: str
    missing: float
    measured: dict[tuple[Mode, int], PassStatistics]
    seconds: tuple[float, float]
    """Running time of one pass of the networks and of one pass of lattice mode [s]."""


def fit(records: list[PlaneRecord], digest: str) -> Calibration:
    """Fit the calibration of maximum likelihood to the errors of these planes; `digest` identifies the weights."""
    coefficients = {}
    for mode in MODES:
        for passes in CALIBRATED_PASSES:
            known = [each.measured[mode, passes] for each in records if (mode, passes) in each.measured]
            for place, component in enumerate(COMPONENTS):
                if known:
                    features = np.concatenate([each.features[place] for each in known], axis=1)
                    error = np.concatenate([each.error[place] for each in known])
                else:  # lattice mode rejected every lattice, so there is nothing to fit
                    features, error = np.ones((len(FEATURES), 1)), np.ones(1)
                values = fit_coefficients(features.astype(np.float64), error.astype(np.float64))
                coefficients[mode, component, passes] = values
    return Calibration(digest, coefficients)


def fit_coefficients(
    features: npt.NDArray[np.float64], error: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    """Fit the coefficients (features,) of log sigma to the features (features, n) and errors (n,) of pixels.

    The fit maximises a Student likelihood; then sigma is scaled so that a share ONE_SIGMA of the errors lies within one
    sigma. The first feature must be 1; a feature that does not vary gets the coefficient 0.
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
        # A slight ridge penalty, because columns may be nearly equal.
        return float(value + 1e-5 * theta[1:] @ theta[1:]), columns @ slope / len(squares) + 2e-5 * np.append(
            0, theta[1:]
        )

    start = np.zeros(len(features))
    start[0] = 0.5 * np.log(np.median(squares)) + 0.4
    theta = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
    theta[0] += np.log(np.quantile(np.sqrt(squares) / np.exp(theta @ columns), ONE_SIGMA))
    plain = np.where(varying, theta / np.where(varying, width, 1), 0)
    plain[0] = theta[0] - plain[1:] @ centre[1:]
    # Rounded as in the file, so that the calibration is tested exactly as it will be used.
    return np.array([float(f"{each:.6g}") for each in plain], np.float32)


def judge_calibration(calibration: Calibration, records: list[PlaneRecord]) -> dict[str, Any]:
    """Test a calibration on planes that were not fitted: errors by number of passes, and coverage of the sigmas."""
    plain: dict[str, Any] = {"passes": {}, "coverage": {}}
    missing = missing_index(np.array([each.missing for each in records]))
    for mode in MODES:
        for passes in CALIBRATED_PASSES:
            chosen = [place for place, each in enumerate(records) if (mode, passes) in each.measured]
            if not chosen:
                continue
            known = [records[place].measured[mode, passes] for place in chosen]
            features = np.stack([each.features for each in known], axis=2)  # (2, FEATURES, planes, pixels)
            signed = np.stack([each.error for each in known], axis=1)
            sigma = calibration.sigma(mode, passes, features)
            error = np.abs(signed)
            ratio = error / sigma
            level = features[:, FEATURES.index("level")]
            # Results for users hold linear intensity and its sigma.
            linear = np.abs(unspread(level) - unspread(level - signed)) / linear_sigma(level, sigma)
            unmeasured = features[0, FEATURES.index("log_depth")] > 0
            noise = np.array([records[place].noise for place in chosen])
            classes = {
                "all": np.ones(unmeasured.shape, bool),
                "measured": ~unmeasured,
                "missing": unmeasured,
                **{
                    f"{name} missing": (missing[chosen] == k)[:, None]
                    for k, name in enumerate(MISSING_CLASSES)
                },
                **{name: (noise == name)[:, None] for name in NOISE_LEVELS},
            }
            for component, name in enumerate(COMPONENTS):
                table = plain["passes"].setdefault(mode, {}).setdefault(name, {})
                table[str(passes)] = _summarise_passes(known, component, ratio[component], error[component])
                for bound in (1, 2):
                    table[str(passes)][f"linear_within_{bound}"] = float((linear[component] < bound).mean())
                plain["coverage"].setdefault(mode, {}).setdefault(name, {})[str(passes)] = {
                    label: _coverage(ratio[component][np.broadcast_to(members, unmeasured.shape)])
                    for label, members in classes.items()
                }
    return plain


def _summarise_passes(
    statistics: list[PassStatistics], component: int, ratio: npt.NDArray[np.floating[Any]], error: Planes
) -> dict[str, float]:
    mse = np.array([each.mse[component] for each in statistics])
    deviation = np.array([each.deviation[component] for each in statistics])
    sigma = error / np.maximum(ratio, _SMALLEST_RMS)
    raw = error / np.maximum(np.exp([each.features[component, 1] for each in statistics]), _SMALLEST_RMS)
    several = bool(deviation.any())
    order = np.argsort(sigma, axis=None)
    surest = error.ravel()[order[: len(order) // 2]]
    return {
        "planes": len(statistics),
        "mse": float(mse.mean()),
        "mse_median": float(np.median(mse)),
        "mse_90": float(np.percentile(mse, 90)),
        "raw_within_1": float((raw < 1).mean()) if several else 0.0,
        "raw_within_2": float((raw < 2).mean()) if several else 0.0,
        "ranks_pixels_raw": float(np.mean([each.ranks[component] for each in statistics])),
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
