"""Fits of structural models to the form factor that the networks found, and their ranking by misfit."""

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
from dsfunet.physics.scattering import RADIATIONS, XRAYS, Radiation, Scattering
from dsfunet.planes.preprocessing import spread

B_LIMITS_ANGSTROM2 = (0.0, 20.0)
"""Range of the isotropic Debye-Waller B [Angstrom^2]; at larger B a plane out to 8 1/Angstrom is nearly empty."""

CERTAIN = 0.95
"""Share of resamples in which one model fits better than another from which the data tell them apart."""

FITTING_RATIO, TABLE_ERROR = 2.0, 0.02
"""How many times the wR2 of noise alone a model may reach and still be said to fit, and what is allowed beside it.

Tables of scattering factors, spherical atoms and the smoothness of the fitted form factor are good to a few per cent.
"""

_B_KNOTS = 11
# Errors near zero intensity, relative to the brightest pixel: the first for weights without sigma, the second with it.
_WEIGHT_FLOOR, _SIGMA_FLOOR = 0.01, 0.001
_WEIGHT_ROUNDS = 3
_FAR_BETTER = 0.7  # share of wR2 from which another radiation is worth a sentence
_ALIKE = 1e-6


@dataclass(frozen=True, eq=False)
class Fit:
    """A model fitted to an observation: y = scale I_FF exp(-B |Q|^2 / 8 pi^2) + floor.

    Standard uncertainties come from the scatter between blocks of pixels. All are NaN if the scale is zero.

    Attributes:
        model: the two species.
        scale: [1/electrons^2], for the I_FF of one cell with m_A = m_B = 1/2.
        floor: in units of the observation, whose values are in [0, 1].
        debye_waller_b_angstrom2: isotropic B [Angstrom^2].
        scale_su: standard uncertainty of the scale.
        floor_su: standard uncertainty of the floor.
        debye_waller_b_su: standard uncertainty of B [Angstrom^2]; NaN if B is at a limit of its range.
        intensity: the fitted y in every pixel of the plane, shape (n, m).
        misfit: mean over the used pixels of (s_observed - s_fitted)^2 with s = 2 sqrt(y) - 1, the error measure of
            Fuller & Rudden (2024).
        wr2: sqrt(sum w (y_o - y_c)^2 / sum w y_o^2).
        noise_wr2: what a perfect model would reach, sqrt(sum w sigma^2 / sum w y_o^2); NaN without sigma.
        block_errors: sums of (s_observed - s_fitted)^2 over each block, shape (blocks,).
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
    noise_wr2: float
    block_errors: Array

    @property
    def name(self) -> str:
        """The name of the model."""
        return self.model.name

    @property
    def explains(self) -> bool | None:
        """Whether the model leaves no more than `allowed_wr2`; None without sigma."""
        return None if np.isnan(self.noise_wr2) else self.wr2 <= self.allowed_wr2

    @property
    def allowed_wr2(self) -> float:
        """The largest wR2 of a model that is said to fit; NaN without sigma."""
        return float(np.hypot(FITTING_RATIO * self.noise_wr2, TABLE_ERROR))


def limits_of_b(model: ModelPair) -> tuple[float, float]:
    """Return the range of a B that is added to those of the atoms [Angstrom^2]: none may fall below 0."""
    own = np.concatenate([model.first.b_factors_angstrom2, model.second.b_factors_angstrom2])
    return B_LIMITS_ANGSTROM2[0] - float(own.min()), B_LIMITS_ANGSTROM2[1]


def fit_model(model: ModelPair, observation: Observation, scattering: Scattering = XRAYS) -> Fit:
    """Fit a model's I_FF, equation (1) of Fuller & Rudden (2024), to an observation by scale, floor and isotropic B.

    Normalisation removed an unknown scale and floor from the observation. For a given B the problem is linear in both;
    B, added to those of the atoms, is searched for within `limits_of_b`. Weights are 1 / sigma^2 if sigma is known.
    Otherwise errors are assumed uniform in s = 2 sqrt(y) - 1, which means sigma^2 proportional to y: w = 1 / (P + 0.01)
    with P = (y_o + 2 y_c) / 3, as in refinement against F^2, updated in three rounds. The scale of a model that
    anticorrelates with the observation is 0.

    Raises:
        InputError: the two species scatter identically, so that I_FF is zero, or an element has no factor for this
            radiation.
    """
    used, y = observation.used, observation.values
    calculated = form_factor_intensity(
        model.first,
        model.second,
        observation.plane,
        q_squared=observation.q_squared,
        scattering=scattering,
    )
    limits = limits_of_b(model)
    brightest = float(calculated[used].max())
    if brightest < _ALIKE:
        raise InputError(
            f"model {model.name!r}: its two species scatter identically; expected different species"
        )
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
        # New weights change B little, so later rounds search near the previous B only.
        knots = np.linspace(*limits, _B_KNOTS) if number == 0 else np.array([b - 1, b, b + 1])
        b = best_b(
            partial(_sum_of_squares, x, k, y, weights),
            np.unique(np.clip(knots, *limits)).tolist(),
        )
        scale, floor, _ = _scale_and_floor(x * np.exp(-b * k), y, weights)
    damped = x * np.exp(-b * k)
    fitted = scale * damped + floor
    squared = (spread(y) - spread(np.maximum(fitted, 0.0))) ** 2
    gradient = np.stack([damped, np.ones_like(y), -scale * k * damped], axis=1)
    # B is fixed at a limit, and with a scale of 0 no parameter is determined.
    free = [0, 1] if b in limits else [0, 1, 2]
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
        noise_wr2=_noise_wr2(observation, weights),
        block_errors=observation.block_sums(squared),
    )


def _noise_wr2(observation: Observation, weights: Array) -> float:
    if observation.sigma is None:
        return float(np.nan)
    sigma, y = observation.sigma[observation.used], observation.values
    return float(np.sqrt((weights @ sigma**2) / (weights @ y**2)))


def _scale_and_floor(x: Array, y: Array, weights: Array) -> tuple[float, float, float]:
    """Return scale >= 0 and floor of y = scale x + floor by weighted least squares, and the sum of squares."""
    total = weights.sum()
    x_mean, y_mean = weights @ x / total, weights @ y / total
    x, y = x - x_mean, y - y_mean
    weighted = weights * x
    varies = weighted @ x
    scale = max(0.0, float(weighted @ y / varies)) if varies > 0 else 0.0
    return scale, float(y_mean - scale * x_mean), float(weights @ y**2 - scale * (weighted @ y))


def _sum_of_squares(x: Array, k: Array, y: Array, weights: Array, b: float) -> float:
    """Return the weighted sum of squared residuals of y = scale x exp(-B k) + floor, for the best scale and floor."""
    return _scale_and_floor(x * np.exp(-b * k), y, weights)[2]


def best_b(misfit: Callable[[float], float], knots: Sequence[float], tolerance: float = 1e-6) -> float:
    """Find the B [Angstrom^2] of the smallest misfit: at the knots first, then between the neighbours of the best.

    Args:
        misfit: as a function of B.
        knots: values of B in increasing order.
        tolerance: of B [Angstrom^2].
    """
    heights = [misfit(knot) for knot in knots]
    best = int(np.argmin(heights))
    bounds = knots[max(best - 1, 0)], knots[min(best + 1, len(knots) - 1)]
    found = minimize_scalar(misfit, bounds=bounds, method="bounded", options={"xatol": tolerance})
    # The search never reaches its bounds, one of which may be a limit of B.
    return float(found.x) if found.fun < heights[best] else knots[best]


def _uncertainties(gradient: Array, residual: Array, weights: Array, observation: Observation) -> Array:
    """Return standard uncertainties of p parameters, shape (p,), when residuals are correlated within blocks.

    The covariance is the sandwich H^-1 (sum_b s_b s_b^T) H^-1 with H = sum w g g^T, and s_b the sum of w r g over
    block b. `gradient` has shape (k, p), `residual` and `weights` (k,).
    """
    weighted = gradient * weights[:, None]
    inverse = np.linalg.pinv(gradient.T @ weighted, hermitian=True)
    scores = observation.block_sums(weighted * residual[:, None])
    lost = observation.block_count / max(1, observation.block_count - gradient.shape[1])
    return np.asarray(np.sqrt(lost * np.diag(inverse @ (scores.T @ scores) @ inverse)))


def resampled_misfits(fits: Sequence[Fit], observation: Observation, draws: npt.NDArray[np.int64]) -> Array:
    """Return the misfit of each of m fits in bootstrap resamples of the blocks, shape (resamples, m).

    The same blocks are drawn for every fit, so errors that fits share cancel in their differences. Parameters are not
    refitted: three parameters matter little against the number of pixels.

    Args:
        fits: to one observation.
        observation: that was fitted.
        draws: from `Observation.draws`.
    """
    errors = np.stack([fit.block_errors for fit in fits], axis=1)
    pixels = observation.block_sums(np.ones_like(observation.values))
    return np.asarray(draws @ errors / (draws @ pixels)[:, None])


@dataclass(frozen=True, eq=False)
class Comparison:
    """Structural models ranked by misfit, with bootstrap confidence.

    Attributes:
        fits: of m models, from the smallest misfit to the largest.
        intervals: that contain 95 % of the resamples of each misfit, shape (m, 2).
        better_than_next: fraction of resamples in which a model fits better than the next one, shape (m - 1,); ties
            count half.
        best: fraction of resamples in which a model fits best of all, shape (m,).
        better: fraction of resamples in which a model fits better than another one, shape (m, m); ties count half.
        resamples: number of bootstrap resamples.
        seed: of the resamples.
    """

    fits: tuple[Fit, ...]
    intervals: Array
    better_than_next: Array
    best: Array
    better: Array
    resamples: int
    seed: int

    @property
    def indistinguishable(self) -> list[tuple[int, int]]:
        """Pairs of models, by their places from 0, that the data cannot tell apart with 95 % confidence."""
        first, second = np.nonzero(np.triu(self.better < CERTAIN, 1))
        return list(zip(first.tolist(), second.tolist(), strict=True))


def compare_models(
    models: Sequence[ModelPair],
    observation: Observation,
    resamples: int = 2000,
    seed: int = 0,
    scattering: Scattering = XRAYS,
) -> Comparison:
    """Fit models to an observation and rank them by misfit, with bootstrap confidence.

    Args:
        models: one or more.
        observation: the form factor of a result.
        resamples: number of bootstrap resamples, 10 or more.
        seed: of the resamples, 0 or more.
        scattering: the radiation.

    Raises:
        InputError: there are no models, the two species of a model scatter identically, or `resamples` or `seed` is out
            of range.
    """
    if not models:
        raise InputError("compare_models: found no models; expected one or more")
    draws = observation.draws(resamples, seed)
    fits = sorted((fit_model(model, observation, scattering) for model in models), key=lambda fit: fit.misfit)
    misfits = resampled_misfits(fits, observation, draws)
    upper, lower = misfits[:, :, None], misfits[:, None, :]
    better = ((upper < lower) + 0.5 * (upper == lower)).mean(axis=0)
    best = misfits == misfits.min(axis=1, keepdims=True)
    return Comparison(
        tuple(fits),
        intervals=np.percentile(misfits, [2.5, 97.5], axis=0).T,
        better_than_next=np.diagonal(better, 1),
        best=(best / best.sum(axis=1, keepdims=True)).mean(axis=0),
        better=better,
        resamples=resamples,
        seed=seed,
    )


def find_better_radiation(
    models: Sequence[ModelPair], observation: Observation, scattering: Scattering, best: Fit
) -> tuple[Radiation, Fit] | None:
    """Return the radiation with which some model fits far better than the best one with that given, and its fit.

    Args:
        models: that were compared.
        observation: the form factor of a result.
        scattering: the radiation that was given.
        best: the best fit with it.
    """
    found: tuple[Radiation, Fit] | None = None
    if best.explains:
        return None
    for radiation in RADIATIONS:
        if radiation == scattering.radiation:
            continue
        for model in models:
            try:
                fit = fit_model(model, observation, Scattering(radiation))
            except InputError:
                continue  # an element without a factor, or two species that this radiation does not tell apart
            if fit.wr2 < (_FAR_BETTER * best.wr2 if found is None else found[1].wr2):
                found = radiation, fit
    return found
