"""Structural models judged by I_FF: fitted to the form factor that the networks found, and ranked by misfit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from dsfunet._typing import Array
from dsfunet.analysis.models.model_names import ModelPair
from dsfunet.analysis.models.observation import Observation
from dsfunet.errors import InputError
from dsfunet.physics import form_factor_intensity
from dsfunet.planes.preprocessing import spread

B_LIMITS_ANGSTROM2 = (0.0, 20.0)
"""Where the isotropic Debye-Waller B is looked for; beyond it a plane out to 8 1/Angstrom is empty."""

_B_KNOTS = 11
# Roundings and reading errors near zero: one part in a hundred of the brightest pixel for the weights that stand in
# for sigma, one in a thousand for sigma itself.
_WEIGHT_FLOOR, _SIGMA_FLOOR = 0.01, 0.001
_WEIGHT_ROUNDS = 3
_ALIKE_ELECTRONS2 = 1e-6


@dataclass(frozen=True, eq=False)
class Fit:
    """A model brought to an observation: y = scale I_FF exp(-B |Q|^2 / 8 pi^2) + floor.

    `scale` [1/electrons^2] (I_FF of one cell, m_A = m_B = 1/2), `floor` and `debye_waller_b_angstrom2` come with
    standard uncertainties `*_su` from the scatter between blocks; that of B is NaN where B is at a limit, those of
    all where the scale is zero. `intensity` (n, m) is the fitted y, on every pixel of the plane. `misfit` is the
    mean over the pixels of (s_observed - s_fitted)^2, s = 2 sqrt(y) - 1, the paper's error; `block_errors` (blocks,)
    are its sums over blocks. `wr2` = sqrt(sum w (y_o - y_c)^2 / sum w y_o^2).
    """

    model: ModelPair
    scale: float
    floor: float
    debye_waller_b_angstrom2: float
    scale_su: float
    floor_su: float
    debye_waller_b_su: float
    intensity: Array
    misfit: float
    wr2: float
    block_errors: Array

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.model.name


def fit_model(model: ModelPair, observation: Observation) -> Fit:
    """Scale, floor and isotropic B that bring a model's I_FF (equation 1) closest to an observation.

    Normalisation took an unknown scale and floor from the observation. Given B the problem is linear in both;
    B is searched for within `B_LIMITS_ANGSTROM2`. Weights are 1 / sigma^2 where sigma is known. Where it is not,
    errors are taken as even in s = 2 sqrt(y) - 1, which is sigma^2 proportional to y: w = 1 / (P + 0.01) with
    P = (y_o + 2 y_c) / 3, as in refinement against F^2, found in three rounds. A model that goes against the
    observation gets scale 0.

    Raises:
        InputError: the two species scatter alike, so that I_FF is zero.
    """
    used, y = observation.used, observation.values
    calculated = form_factor_intensity(
        model.first, model.second, observation.plane, q_squared=observation.q_squared
    )
    brightest = float(calculated[used].max())
    if brightest < _ALIKE_ELECTRONS2:
        raise InputError(f"model {model.name!r}: its two species scatter alike, expected two that differ")
    exponent = observation.q_squared / (8 * np.pi**2)
    x, k = calculated[used] / brightest, exponent[used]
    weights = np.ones_like(y)
    scale = floor = b = 0.0
    for number in range(1 if observation.sigma is not None else 1 + _WEIGHT_ROUNDS):
        if observation.sigma is not None:
            weights = 1 / (observation.sigma[used] ** 2 + _SIGMA_FLOOR**2)
        else:
            before = y if number == 0 else np.maximum(scale * x * np.exp(-b * k) + floor, 0.0)
            weights = 1 / ((y + 2 * before) / 3 + _WEIGHT_FLOOR)
        # The weights move B little: from the second round on, a short way to either side will do.
        knots = np.linspace(*B_LIMITS_ANGSTROM2, _B_KNOTS) if number == 0 else np.array([b - 1, b, b + 1])
        b = best_b(
            partial(_left_over, x, k, y, weights), np.unique(np.clip(knots, *B_LIMITS_ANGSTROM2)).tolist()
        )
        scale, floor, _ = _scale_and_floor(x * np.exp(-b * k), y, weights)
    damped = x * np.exp(-b * k)
    fitted = scale * damped + floor
    squared = (spread(y) - spread(np.maximum(fitted, 0.0))) ** 2
    gradient = np.stack([damped, np.ones_like(y), -scale * k * damped], axis=1)
    # At a limit B does not vary, and without a scale nothing has a meaning.
    free = [0, 1] if b in B_LIMITS_ANGSTROM2 else [0, 1, 2]
    uncertainties = np.full(3, np.nan)
    if scale > 0:
        uncertainties[free] = _uncertainties(gradient[:, free], y - fitted, weights, observation)
    return Fit(
        model,
        scale=scale / brightest,
        floor=floor,
        debye_waller_b_angstrom2=b,
        scale_su=float(uncertainties[0]) / brightest,
        floor_su=float(uncertainties[1]),
        debye_waller_b_su=float(uncertainties[2]),
        intensity=scale / brightest * calculated * np.exp(-b * exponent) + floor,
        misfit=float(squared.mean()),
        wr2=float(np.sqrt((weights @ (y - fitted) ** 2) / (weights @ y**2))),
        block_errors=observation.block_sums(squared),
    )


def _scale_and_floor(x: Array, y: Array, weights: Array) -> tuple[float, float, float]:
    """Scale >= 0 and floor of y = scale x + floor by weighted least squares, and the sum of squares left over."""
    total = weights.sum()
    x_mean, y_mean = weights @ x / total, weights @ y / total
    x, y = x - x_mean, y - y_mean
    weighted = weights * x
    varies = weighted @ x
    scale = max(0.0, float(weighted @ y / varies)) if varies > 0 else 0.0
    return scale, float(y_mean - scale * x_mean), float(weights @ y**2 - scale * (weighted @ y))


def _left_over(x: Array, k: Array, y: Array, weights: Array, b: float) -> float:
    """Sum of squares of y = scale x exp(-B k) + floor."""
    return _scale_and_floor(x * np.exp(-b * k), y, weights)[2]


def best_b(left_over: Callable[[float], float], knots: Sequence[float], tolerance: float = 1e-6) -> float:
    """B of the smallest misfit `left_over`: at the knots, in increasing order, then between two of them."""
    heights = [left_over(knot) for knot in knots]
    best = int(np.argmin(heights))
    bounds = knots[max(best - 1, 0)], knots[min(best + 1, len(knots) - 1)]
    found = minimize_scalar(left_over, bounds=bounds, method="bounded", options={"xatol": tolerance})
    # The search never arrives at its bounds, of which a limit is one.
    return float(found.x) if found.fun < heights[best] else knots[best]


def _uncertainties(gradient: Array, residual: Array, weights: Array, observation: Observation) -> Array:
    """Standard uncertainties of p parameters when residuals are correlated within blocks.

    The sandwich H^-1 (sum_b s_b s_b^T) H^-1 with H = sum w g g^T and s_b the sum of w r g over block b; gradient
    (k, p), residual and weights (k,).
    """
    weighted = gradient * weights[:, None]
    inverse = np.linalg.pinv(gradient.T @ weighted, hermitian=True)
    scores = observation.block_sums(weighted * residual[:, None])
    lost = observation.block_count / max(1, observation.block_count - gradient.shape[1])
    return np.asarray(np.sqrt(lost * np.diag(inverse @ (scores.T @ scores) @ inverse)))


def resampled_misfits(fits: Sequence[Fit], observation: Observation, draws: npt.NDArray[np.int64]) -> Array:
    """The misfit of each of m fits in bootstrap resamples `draws` of the blocks, shape (resamples, m).

    The same blocks are drawn for every fit, so that differences between fits keep what they have in common.
    Parameters stay as fitted: three of them cost little beside the number of pixels.
    """
    errors = np.stack([fit.block_errors for fit in fits], axis=1)
    pixels = observation.block_sums(np.ones_like(observation.values))
    return np.asarray(draws @ errors / (draws @ pixels)[:, None])


@dataclass(frozen=True, eq=False)
class Comparison:
    """Fits from the smallest misfit to the largest.

    `intervals` (m, 2) hold 95 % of each misfit's resamples; `better_than_next` (m - 1,) is the share of resamples in
    which a model fits better than the one ranked below it (ties count half); `best` (m,) that in which it is the
    best of all.
    """

    fits: tuple[Fit, ...]
    intervals: Array
    better_than_next: Array
    best: Array
    resamples: int
    seed: int


def compare_models(
    models: Sequence[ModelPair], observation: Observation, resamples: int = 2000, seed: int = 0
) -> Comparison:
    """Fit every model and rank them by misfit, with bootstrap confidence.

    Raises:
        InputError: there are no models, or as `fit_model` and `Observation.draws`.
    """
    if not models:
        raise InputError("no models: expected one or more")
    draws = observation.draws(resamples, seed)
    fits = sorted((fit_model(model, observation) for model in models), key=lambda fit: fit.misfit)
    misfits = resampled_misfits(fits, observation, draws)
    upper, lower = misfits[:, :-1], misfits[:, 1:]
    best = misfits == misfits.min(axis=1, keepdims=True)
    return Comparison(
        tuple(fits),
        intervals=np.percentile(misfits, [2.5, 97.5], axis=0).T,
        better_than_next=((upper < lower) + 0.5 * (upper == lower)).mean(axis=0),
        best=(best / best.sum(axis=1, keepdims=True)).mean(axis=0),
        resamples=resamples,
        seed=seed,
    )
