"""Gauss-Newton iterations on both factors at once, with priors chosen by the evidence on the way."""

from dataclasses import dataclass, replace

import numpy as np

from dsfunet._typing import Array, Mask
from dsfunet.lattice.joint_fit.evidence import (
    FieldPrior,
    Prior,
    Quadratic,
    Reduced,
    choose_order_prior,
    climb,
    integrate_field,
    solve,
)
from dsfunet.lattice.joint_fit.noise import Variance, estimate_variance
from dsfunet.lattice.joint_fit.series import HarmonicSeries
from dsfunet.lattice.joint_fit.spline import SplineSurface

# Where S is negative between pixels or by an extrapolation, the model continues at this share of F.
import os
EV=None
DEBUG = 'DBG' in os.environ
_LEAST_ORDER = 0.02
_MOST_ITERATIONS = 30


@dataclass(frozen=True, eq=False)
class FitData:
    """What is fitted: intensities (0 where missing), mask, the two parts of the model, and priors."""

    intensity: Array
    mask: Mask
    surface: SplineSurface
    series: HarmonicSeries
    field_prior: FieldPrior


@dataclass(frozen=True, eq=False)
class FitState:
    """An estimate: spline coefficients of log F, parameters of S, and the model of the noise."""

    coefficients: Array
    parameters: Array
    variance: Variance


def expected_intensity(data: FitData, state: FitState) -> tuple[Array, Array, Array]:
    """Return F, the model F S, and the model kept above 0."""
    form_factor = np.exp(np.clip(data.surface.evaluate(state.coefficients), -300, 300))
    model = form_factor * data.series.evaluate(state.parameters)
    return form_factor, model, np.maximum(model, _LEAST_ORDER * form_factor)


def _linearise(data: FitData, state: FitState) -> Quadratic:
    """Return the quadratic log likelihood around a state (Gauss-Newton, Fisher's information)."""
    form_factor, model, positive = expected_intensity(data, state)
    precision = np.where(data.mask, 1 / state.variance(positive), 0.0)
    misfit = precision * (data.intensity - np.where(data.mask, model, 0.0))
    surface, series = data.surface, data.series
    field_bands = surface.normal_matrix(precision * positive**2)
    cross = series.cross_matrix(surface, precision * positive * form_factor)
    order = series.normal_matrix(precision * form_factor**2)
    # H times the state, from its surface at the pixels; the information is that of the linearised model.
    linear = precision * positive * (
        positive * data.surface.evaluate(state.coefficients)
        + form_factor * (series.evaluate(state.parameters) - 1)
    )
    order_change = precision * form_factor * (
        positive * data.surface.evaluate(state.coefficients)
        + form_factor * (series.evaluate(state.parameters) - 1)
    )
    field_gradient = np.asarray(surface.project(misfit * positive))
    order_gradient = series.gradient(misfit * form_factor)
    field_pull = field_gradient + np.asarray(surface.project(linear))
    order_pull = order_gradient + series.gradient(order_change)
    likelihood = state.variance.log_likelihood(data.intensity, positive, data.mask)
    at_state = float(np.sum(field_pull * state.coefficients) + order_pull @ state.parameters)
    slope = float(np.sum(field_gradient * state.coefficients) + order_gradient @ state.parameters)
    # l(x) = l0 + g'(x - s) - (x - s)' H (x - s) / 2; pull = g + H s.
    constant = likelihood - slope - 0.5 * (at_state - slope)
    return Quadratic(field_bands, cross, order, field_pull, order_pull, constant)


def iterate(data: FitData, state: FitState, prior: Prior, estimate_noise: bool) -> "Solution":
    """Iterate from a first state to convergence.

    The first rounds keep log F stiff, so that it cannot follow the modulation by S before S does. Then the evidence of
    each linearised problem chooses smoothness and range (penalised quasi-likelihood; Breslow and Clayton, J. Am. Stat.
    Assoc. 88, 9, 1993), and the noise is estimated from the residual.
    """
    for _ in range(3):
        state = _fit_order_alone(data, state, _linearise(data, state), prior)
    rounds, settled = 0, 0
    for rounds in range(1, _MOST_ITERATIONS + 1):
        if estimate_noise and rounds in (3, 5, 8):
            state = replace(state, variance=_noise_of(data, state))
        quadratic = _linearise(data, state)
        before = prior
        if rounds <= 2:
            reduced = integrate_field(data.surface, quadratic, data.field_prior, prior.roughness)
        elif settled < 2:
            prior, reduced = _choose_all(data, quadratic, prior, coarse=rounds <= 4)
        else:
            reduced = integrate_field(data.surface, quadratic, data.field_prior, prior.roughness)
        settled = settled + 1 if rounds > 4 and _alike(before, prior) else settled
        change = np.inf
        if DEBUG: print(rounds, prior.roughness, prior.amplitude, prior.decay, state.parameters[:4], round(max(e[1] for e in EV)) if EV else 0, state.variance.ratio, state.variance.offset)
        state, change = _step(data, state, reduced, prior)
        if rounds > 8 or settled >= 2:
            settled = max(settled, 2)
            if change < 0.02 and rounds > 5:
                break
    quadratic = _linearise(data, state)
    reduced = integrate_field(data.surface, quadratic, data.field_prior, prior.roughness)
    prior, evidence = _choose_order(data, reduced, prior, fine=True)
    _, parameters, covariance = solve(reduced, _prior_variances(data, prior))
    return Solution(state, prior, reduced, covariance, evidence, rounds)


@dataclass(frozen=True, eq=False)
class Solution:
    """Where the iterations ended.

    Attributes:
        state: the estimate.
        prior: what the evidence chose.
        reduced: the quadratic there, with the coefficients integrated out.
        covariance: posterior covariance of the parameters of S.
        log_evidence: of the linearised problem.
        iterations: number of iterations.
    """

    state: FitState
    prior: Prior
    reduced: Reduced
    covariance: Array
    log_evidence: float
    iterations: int


def _prior_variances(data: FitData, prior: Prior) -> Array:
    return prior.variances(data.series.lengths, data.series.harmonics.count)


def _choose_order(data: FitData, reduced: Reduced, prior: Prior, fine: bool) -> tuple[Prior, float]:
    harmonics = data.series.harmonics
    return choose_order_prior(
        reduced, prior, data.series.lengths, harmonics.count, harmonics.spacing, fine
    )


def _choose_all(
    data: FitData, quadratic: Quadratic, prior: Prior, coarse: bool
) -> tuple[Prior, Reduced]:
    """Choose smoothness along each axis and the prior of S by the evidence; first one smoothness, then two."""
    found: dict[tuple[float, ...], tuple[Prior, Reduced, float]] = {}
    current = prior

    def evaluate(log_values: Array) -> float:
        nonlocal current
        key = tuple(np.round(log_values, 6))
        if key not in found:
            common, ratio = np.exp(log_values)
            roughness = (float(common * ratio), float(common / ratio))
            reduced = integrate_field(data.surface, quadratic, data.field_prior, roughness)
            chosen, value = _choose_order(data, reduced, replace(current, roughness=roughness), fine=not coarse)
            found[key] = (chosen, reduced, value)
            if value >= max(each[2] for each in found.values()):
                current = chosen
        return found[key][2]

    first, second = np.log(prior.roughness)
    start = np.array([(first + second) / 2, (first - second) / 2])
    low, high = np.log([_ROUGHNESS_RANGE[0], 1e-2]), np.log([_ROUGHNESS_RANGE[1], 1e2])
    reach = np.array([2.3, 1.2])
    low, high = np.maximum(low, start - reach), np.minimum(high, start + reach)
    step, finest, free = (2.3, 2.3, (0,)) if coarse else (1.15, 0.5, (0, 1))
    best, _ = climb(evaluate, start, low, high, free, step, finest)
    global EV; EV=[(k,v[2]) for k,v in found.items()]
    chosen, reduced, _ = found[tuple(np.round(best, 6))]
    return chosen, reduced


_ROUGHNESS_RANGE = (1e-3, 1e8)


def _alike(one: Prior, other: Prior) -> bool:
    """Whether two priors differ by less than a fifth."""
    values = [np.array([*each.roughness, each.amplitude, each.decay]) for each in (one, other)]
    return bool(np.abs(np.log(values[0] / values[1])).max() < 0.2)


def _noise_of(data: FitData, state: FitState) -> Variance:
    _, _, positive = expected_intensity(data, state)
    return estimate_variance(data.intensity, positive, data.mask)


def _fit_order_alone(data: FitData, state: FitState, quadratic: Quadratic, prior: Prior) -> FitState:
    """Return the state with S fitted to the data divided by the first F."""
    matrix = quadratic.order + np.diag(1 / _prior_variances(data, prior))
    pull = quadratic.order_pull - np.tensordot(state.coefficients, quadratic.cross, 2)
    return replace(state, parameters=np.linalg.solve(matrix, pull))


def _objective(data: FitData, state: FitState, prior: Prior) -> float:
    """Return the penalised log likelihood."""
    _, _, positive = expected_intensity(data, state)
    value = state.variance.log_likelihood(data.intensity, positive, data.mask)
    c = state.coefficients
    value -= 0.5 * prior.roughness[0] * float(np.sum(c * (data.surface.rows.roughness @ c)))
    value -= 0.5 * prior.roughness[1] * float(np.sum(c * (c @ data.surface.columns.roughness)))
    if data.field_prior.weight is not None and data.field_prior.logarithm is not None:
        away = data.surface.evaluate(c) - data.field_prior.logarithm
        value -= 0.5 * float(np.sum(data.field_prior.weight * away**2))
    return value - 0.5 * float(np.sum(state.parameters**2 / _prior_variances(data, prior)))


def _step(data: FitData, state: FitState, reduced: Reduced, prior: Prior) -> tuple[FitState, float]:
    """Return the next state, and the largest change of a parameter in units of its standard uncertainty.

    The step is at most 1 in log F and is halved while it lowers the penalised likelihood.
    """
    padded, parameters, covariance = solve(reduced, _prior_variances(data, prior))
    change = data.surface.unpad(padded) - state.coefficients
    order_change = parameters - state.parameters
    share = min(1.0, 1.0 / max(float(np.abs(change).max()), 1e-300))
    before = _objective(data, state, prior)
    for _ in range(6):
        trial = replace(
            state,
            coefficients=state.coefficients + share * change,
            parameters=state.parameters + share * order_change,
        )
        if _objective(data, trial, prior) >= before - 1e-6 * abs(before):
            break
        share /= 2
    deviations = np.sqrt(np.maximum(np.diagonal(covariance), 1e-30))
    moved = float(np.max(np.abs(order_change) / deviations, initial=0.0))
    return trial, max(moved, float(np.abs(change).max()) if share < 1 else 0.0)
