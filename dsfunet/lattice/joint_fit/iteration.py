"""Gauss-Newton iterations on both factors at once, with priors chosen by the evidence on the way."""

from dataclasses import dataclass, replace

import numpy as np

from dsfunet._typing import Array
from dsfunet.lattice.joint_fit.evidence import (
    FieldPrior,
    Prior,
    Quadratic,
    Reduced,
    choose_order_prior,
    climb,
    integrate_field,
    order_evidence,
    solve,
)
from dsfunet.lattice.joint_fit.model import FitData, FitState, follow_blur, likelihood, linearise, model_of
from dsfunet.lattice.joint_fit.noise import Variance, estimate_variance

_MOST_ITERATIONS = 30
_LARGEST_STEP = 2.0  # of log F in one round
_STIFF_ROUNDS, _COARSE_ROUNDS, _MOST_CHOICES = 3, 2, 8
_NOISE_ROUNDS = (1, 3, 6)
_CONVERGED = 0.02  # change of a parameter in its standard uncertainties
_LARGEST_RATIO = 1e3
_INNER = 0.75  # share of the longest length beyond which harmonics are tested
_FIRST_ROUGHNESS = 1e3
_ROUGHNESS = (1e-3, 1e8)
_MOST_RATIO = 4.6  # logarithm of the ratio between either axis and the geometric mean of both
_REACH = np.array([2.3, 1.2])  # most that the logarithms of smoothness and of its ratio change in one round


def iterate(data: FitData, state: FitState, prior: Prior, estimate_noise: bool) -> "Solution":
    """Iterate from a first state to convergence.

    The first rounds keep log F stiff, so that it cannot follow the modulation by S before S does. Then the evidence of
    each linearised problem chooses smoothness and range (penalised quasi-likelihood; Breslow and Clayton, J. Am. Stat.
    Assoc. 88, 9, 1993), and the noise is estimated from the residual.
    """
    for _ in range(_STIFF_ROUNDS):
        state = _fit_order_alone(data, state, linearise(data, state), prior)
    for _ in range(_STIFF_ROUNDS):
        reduced = integrate_field(data.surface, linearise(data, state), data.field_prior, prior.roughness)
        state, _ = _step(data, state, reduced, prior)
    data, state = _take_envelope(data, state)
    prior = replace(prior, roughness=(_FIRST_ROUGHNESS, _FIRST_ROUGHNESS))
    rounds, settled = 0, False
    for rounds in range(1, _MOST_ITERATIONS + 1):
        if estimate_noise and rounds in _NOISE_ROUNDS:
            state = replace(state, variance=_noise_of(data, state))
        data = follow_blur(data, state)
        quadratic = linearise(data, state)
        before = prior
        if not settled:
            prior, reduced = _choose_all(data, quadratic, prior, coarse=rounds <= _COARSE_ROUNDS)
        else:
            reduced = integrate_field(data.surface, quadratic, data.field_prior, prior.roughness)
        settled = settled or rounds >= _MOST_CHOICES or (rounds > _COARSE_ROUNDS and _alike(before, prior))
        state, change = _step(data, state, reduced, prior)
        if settled and change < _CONVERGED:
            break
    data = follow_blur(data, state)
    quadratic = linearise(data, state)
    reduced = integrate_field(data.surface, quadratic, data.field_prior, prior.roughness)
    prior, evidence = _choose_order(data, reduced, prior, fine=True)
    _, _, covariance = solve(reduced, _prior_variances(data, prior))
    outer = evidence - _inner_evidence(data, reduced, prior)
    return Solution(state, prior, reduced, covariance, evidence, outer, rounds)


@dataclass(frozen=True, eq=False)
class Solution:
    """Where the iterations ended.

    Attributes:
        state: the estimate.
        prior: what the evidence chose.
        reduced: the quadratic there, with the coefficients integrated out.
        covariance: posterior covariance of the parameters of S.
        log_evidence: of the linearised problem.
        outer_evidence: gain in it by the longest harmonics.
        iterations: number of iterations.
    """

    state: FitState
    prior: Prior
    reduced: Reduced
    covariance: Array
    log_evidence: float
    outer_evidence: float
    iterations: int


def _take_envelope(data: FitData, state: FitState) -> tuple[FitData, FitState]:
    """Return data and state for F = E u, where E is the stiff exponential fitted so far and u starts at 1."""
    envelope = model_of(data, state).form_factor
    envelope = np.minimum(envelope, envelope[data.mask].max())  # an extrapolation may grow without bound
    state = replace(state, envelope=envelope, coefficients=np.ones_like(state.coefficients))
    prior = FieldPrior(1.0)
    if data.prior_form_factor is not None and data.prior_weight is not None:
        ratio = np.minimum(data.prior_form_factor / envelope, _LARGEST_RATIO)
        # An error of log F is a relative error of u; for small u it is about that of a tenth.
        weight = data.prior_weight / np.maximum(ratio, 0.1) ** 2
        prior = FieldPrior.of(data.surface, 1.0, weight, ratio)
    return replace(data, field_prior=prior), state


def _prior_variances(data: FitData, prior: Prior) -> Array:
    return prior.variances(data.series.lengths, data.series.harmonics.count)


def _choose_order(data: FitData, reduced: Reduced, prior: Prior, fine: bool) -> tuple[Prior, float]:
    harmonics = data.series.harmonics
    return choose_order_prior(reduced, prior, data.series.lengths, harmonics.count, harmonics.spacing, fine)


def _inner_evidence(data: FitData, reduced: Reduced, prior: Prior) -> float:
    """Return the log evidence with the longest harmonics fixed to 0, at the best prior of the others."""
    lengths, cosines = data.series.lengths, data.series.harmonics.count
    inner = np.flatnonzero(lengths <= _INNER * lengths.max(initial=0.0))
    if not len(inner):
        return reduced.log_evidence
    part = replace(reduced, order=reduced.order[np.ix_(inner, inner)], order_pull=reduced.order_pull[inner])
    spacing, kept = data.series.harmonics.spacing, int(np.count_nonzero(inner < cosines))
    return choose_order_prior(part, prior, lengths[inner], kept, spacing, fine=True)[1]


def _choose_all(data: FitData, quadratic: Quadratic, prior: Prior, coarse: bool) -> tuple[Prior, Reduced]:
    """Choose the prior of S, then smoothness along each axis, at first alike along both, by the evidence.

    Smoothness changes by a limited factor, because the linearised problem holds only near the present state.
    """
    found: dict[tuple[float, ...], Reduced] = {}

    def reduce(log_values: Array) -> Reduced:
        key = tuple(np.round(log_values, 6))
        if key not in found:
            common, ratio = np.exp(log_values)
            roughness = (float(common * ratio), float(common / ratio))
            found[key] = integrate_field(data.surface, quadratic, data.field_prior, roughness)
        return found[key]

    first, second = np.log(prior.roughness)
    start = np.array([(first + second) / 2, (first - second) / 2])
    chosen, _ = _choose_order(data, reduce(start), prior, fine=not coarse)
    variances = _prior_variances(data, chosen)
    low = np.maximum([np.log(_ROUGHNESS[0]), -_MOST_RATIO], start - _REACH)
    high = np.minimum([np.log(_ROUGHNESS[1]), _MOST_RATIO], start + _REACH)
    step, finest, free = (2.3, 2.3, (0,)) if coarse else (1.15, 0.5, (0, 1))
    best, _ = climb(
        lambda values: order_evidence(reduce(values), variances), start, low, high, free, step, finest
    )
    common, ratio = np.exp(best)
    return replace(chosen, roughness=(float(common * ratio), float(common / ratio))), reduce(best)


def _alike(one: Prior, other: Prior) -> bool:
    """Whether two priors differ by less than a fifth."""
    values = [np.array([*each.roughness, each.amplitude, each.decay]) for each in (one, other)]
    return bool(np.abs(np.log(values[0] / values[1])).max() < 0.2)


def _noise_of(data: FitData, state: FitState) -> Variance:
    model = model_of(data, state)
    return estimate_variance(data.intensity, np.maximum(model.intensity, 0.0), data.mask)


def _fit_order_alone(data: FitData, state: FitState, quadratic: Quadratic, prior: Prior) -> FitState:
    """Return the state with S fitted to the data divided by the first F."""
    matrix = quadratic.order + np.diag(1 / _prior_variances(data, prior))
    pull = quadratic.order_pull - np.tensordot(state.coefficients, quadratic.cross, 2)
    parameters = np.asarray(np.linalg.solve(matrix, pull), dtype=np.float64)
    return replace(state, parameters=parameters)


def _objective(data: FitData, state: FitState, prior: Prior) -> float:
    """Return the penalised log likelihood."""
    value = likelihood(data, state, model_of(data, state))
    c = state.coefficients
    value -= 0.5 * prior.roughness[0] * float(np.sum(c * (data.surface.rows.roughness @ c)))
    value -= 0.5 * prior.roughness[1] * float(np.sum(c * (c @ data.surface.columns.roughness)))
    if data.field_prior.weight is not None and data.field_prior.field is not None:
        away = data.surface.evaluate(c) - data.field_prior.field
        value -= 0.5 * float(np.sum(data.field_prior.weight * away**2))
    return value - 0.5 * float(np.sum(state.parameters**2 / _prior_variances(data, prior)))


def _step(data: FitData, state: FitState, reduced: Reduced, prior: Prior) -> tuple[FitState, float]:
    """Return the next state, and the largest change of a parameter in units of its standard uncertainty.

    A coefficient of log F changes by at most 2, and the step is halved while it lowers the penalised likelihood.
    """
    padded, parameters, covariance = solve(reduced, _prior_variances(data, prior))
    change = data.surface.unpad(padded) - state.coefficients
    order_change = parameters - state.parameters
    if state.envelope is None:
        change = np.clip(change, -_LARGEST_STEP, _LARGEST_STEP)
    share = 1.0
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
