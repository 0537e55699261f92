"""Gauss-Newton iterations on both factors at once, with priors chosen by the evidence on the way."""

from dataclasses import dataclass, replace

import numpy as np

from dsfunet._typing import Array
from dsfunet.lattice.joint_fit.choice import STIFF, choose_order_prior, propose_roughness
from dsfunet.lattice.joint_fit.evidence import (
    FieldPrior,
    OrderPosterior,
    Prior,
    Quadratic,
    Reduced,
    integrate_field,
    solve_coefficients,
    solve_order,
)
from dsfunet.lattice.joint_fit.model import FitData, FitState, follow_blur, likelihood, linearise, model_of
from dsfunet.lattice.joint_fit.noise import Variance, estimate_variance

CONVINCING = 3.0
"""Gain in log evidence of the outer harmonics that calls for longer ones."""

MOST_ROUNDS = 30
"""Most iterations of a fit; most converge in 3 to 15."""

COARSENING = 3
"""How many times the spacing of the knots of F is that of its envelope."""

_DECISIVE = 20.0  # gain that calls for longer ones before the iterations have converged
_LARGEST_STEP = 2.0  # of log F in one round
_STIFF_ROUNDS, _COARSE_ROUNDS, _MOST_CHOICES = 3, 2, 12
_NOISE_ROUNDS = (1, 3, 6)
_CONVERGED = 0.05  # change of a parameter in its standard uncertainties
_SETTLED = 0.1  # expected gain of the log evidence by another choice of smoothness
_ROUGHLY = 10.0  # times both, for a fit that is only compared with others
_LARGEST_RATIO = 1e3
_INNER = 0.75  # share of the longest length beyond which harmonics are tested
_FIRST_ROUGHNESS = 1e3


@dataclass(frozen=True, eq=False)
class Solution:
    """Where the iterations ended.

    Attributes:
        data: what was fitted, with the prior of F over its envelope.
        state: the estimate.
        prior: what the evidence chose.
        reduced: the last quadratic, with the coefficients integrated out.
        covariance: posterior covariance of the parameters of S.
        log_evidence: of the linearised problem.
        outer_evidence: gain in it by the longest harmonics.
        iterations: number of iterations.
    """

    data: FitData
    state: FitState
    prior: Prior
    reduced: Reduced
    covariance: Array
    log_evidence: float
    outer_evidence: float
    iterations: int


def fit_envelope(data: FitData, state: FitState) -> FitState:
    """Return a state for F = E u, where E is an exponential too stiff to follow the modulation by S, and u is 1.

    Args:
        data: what is fitted, with splines as coarse as a stiff exponential allows.
        state: a first estimate of log F on these splines; S is fitted here.
    """
    spacing = data.series.harmonics.spacing
    # The same stiffness on knots COARSENING times as far apart: third differences grow with the cube of the spacing.
    stiff = STIFF / COARSENING**5
    prior = Prior((stiff, stiff), 0.05, 0.05, 2 * spacing)
    for _ in range(_STIFF_ROUNDS):
        state = _fit_order_alone(data, state, prior)
    for _ in range(_STIFF_ROUNDS):
        quadratic = linearise(data, state)
        reduced = integrate_field(data.surface, quadratic, data.field_prior, prior.roughness)
        posterior = solve_order(reduced, _prior_variances(data, prior))
        coefficients = solve_coefficients(reduced, posterior.parameters)
        state, _ = _step(data, state, quadratic, prior, coefficients, posterior)
    envelope = model_of(data, state).form_factor
    envelope = np.minimum(envelope, envelope[data.mask].max())  # an extrapolation may grow without bound
    return replace(state, envelope=envelope)


def prior_over_envelope(data: FitData, envelope: Array) -> FieldPrior:
    """Return the prior of u = F / E."""
    if data.prior_form_factor is None or data.prior_weight is None:
        return FieldPrior(1.0)
    ratio = np.minimum(data.prior_form_factor / envelope, _LARGEST_RATIO)
    # An error of log F is a relative error of u; for small u it is about that of a tenth.
    weight = data.prior_weight / np.maximum(ratio, 0.1) ** 2
    return FieldPrior.of(data.surface, 1.0, weight, ratio)


def first_prior(data: FitData) -> Prior:
    """Return the prior that the iterations start with."""
    return Prior((_FIRST_ROUGHNESS, _FIRST_ROUGHNESS), 0.05, 0.05, 2 * data.series.harmonics.spacing)


def iterate(
    data: FitData,
    state: FitState,
    prior: Prior,
    estimate_noise: bool,
    may_extend: bool,
    most_rounds: int = MOST_ROUNDS,
    warm: bool = False,
    roughly: bool = False,
) -> Solution:
    """Iterate from a state with an envelope to convergence.

    The evidence of each linearised problem chooses smoothness and range (penalised quasi-likelihood; Breslow and
    Clayton, J. Am. Stat. Assoc. 88, 9, 1993), and the noise is estimated from the residual.

    Args:
        data: what is fitted.
        state: first estimate.
        prior: where the choice of priors starts.
        estimate_noise: whether to estimate the noise.
        may_extend: whether to stop as soon as the outer harmonics are certainly needed, because longer ones follow.
        most_rounds: number of iterations after which to stop anyway.
        warm: whether state and prior are those of another fit to the same pixels.
        roughly: whether the log evidence need be right to about 1 only.
    """
    tolerance = _ROUGHLY if roughly else 1.0
    rounds, settled, previous, step = 0, False, None, None
    for rounds in range(1, most_rounds + 1):
        if estimate_noise and rounds in _NOISE_ROUNDS:
            state = replace(state, variance=_noise_of(data, state))
        data = follow_blur(data, state)
        quadratic = linearise(data, state)
        reduced = integrate_field(data.surface, quadratic, data.field_prior, prior.roughness)
        prior, posterior = _choose_order(data, reduced, prior)
        evidence, covariance = posterior.log_evidence, posterior.covariance
        coefficients = solve_coefficients(reduced, posterior.parameters)
        if not settled:
            both = warm or rounds > _COARSE_ROUNDS
            step = propose_roughness(data.surface, reduced, prior, coefficients, covariance, both, previous)
            settled = rounds >= _MOST_CHOICES or (both and step.gain < tolerance * _SETTLED)
        state, change = _step(data, state, quadratic, prior, coefficients, posterior)
        if settled and change < tolerance * _CONVERGED:
            break
        longer_follow = may_extend and rounds > _COARSE_ROUNDS
        stop = longer_follow and evidence - _inner_evidence(data, reduced, prior) > _DECISIVE
        if not settled and step is not None:
            previous, prior = step, replace(prior, roughness=step.roughness)
        if stop:
            break
    outer = evidence - _inner_evidence(data, reduced, prior)
    return Solution(data, state, prior, reduced, covariance, evidence, outer, rounds)


def _prior_variances(data: FitData, prior: Prior) -> Array:
    return prior.variances(data.series.lengths, data.series.harmonics.count)


def _choose_order(data: FitData, reduced: Reduced, prior: Prior) -> tuple[Prior, OrderPosterior]:
    harmonics = data.series.harmonics
    return choose_order_prior(reduced, prior, data.series.lengths, harmonics.count, harmonics.spacing)


def _inner_evidence(data: FitData, reduced: Reduced, prior: Prior) -> float:
    """Return the log evidence with the longest harmonics fixed to 0, at the best prior of the others."""
    lengths, cosines = data.series.lengths, data.series.harmonics.count
    inner = np.flatnonzero(lengths <= _INNER * lengths.max(initial=0.0))
    if not len(inner):
        return reduced.log_evidence
    part = replace(reduced, order=reduced.order[np.ix_(inner, inner)], order_pull=reduced.order_pull[inner])
    spacing, kept = data.series.harmonics.spacing, int(np.count_nonzero(inner < cosines))
    return choose_order_prior(part, prior, lengths[inner], kept, spacing)[1].log_evidence


def _noise_of(data: FitData, state: FitState) -> Variance:
    model = model_of(data, state)
    return estimate_variance(data.intensity, np.maximum(model.intensity, 0.0), data.mask)


def _fit_order_alone(data: FitData, state: FitState, prior: Prior) -> FitState:
    """Return the state with S fitted to the data divided by the first F."""
    model = model_of(data, state)
    weighted = np.where(data.mask, model.form_factor / model.variance, 0.0)
    matrix = data.series.normal_matrix(weighted * model.form_factor)
    matrix += np.diag(1 / _prior_variances(data, prior))
    pull = data.series.gradient(weighted * (data.intensity - model.form_factor))
    return replace(state, parameters=np.asarray(np.linalg.solve(matrix, pull), dtype=np.float64))


def _log_prior(data: FitData, state: FitState, prior: Prior) -> float:
    """Return the logarithm of the prior density of a state, up to a constant."""
    c = state.coefficients
    value = -0.5 * prior.roughness[0] * float(np.sum(c * (data.surface.rows.roughness @ c)))
    value -= 0.5 * prior.roughness[1] * float(np.sum(c * (c @ data.surface.columns.roughness)))
    if data.field_prior.weight is not None and data.field_prior.field is not None:
        away = data.surface.evaluate(c) - data.field_prior.field
        value -= 0.5 * float(np.sum(data.field_prior.weight * away**2))
    return value - 0.5 * float(np.sum(state.parameters**2 / _prior_variances(data, prior)))


def _step(
    data: FitData,
    state: FitState,
    quadratic: Quadratic,
    prior: Prior,
    coefficients: Array,
    posterior: OrderPosterior,
) -> tuple[FitState, float]:
    """Return the next state, and the largest change of a parameter in units of its standard uncertainty.

    A coefficient of log F changes by at most 2, and the step is halved while it lowers the penalised likelihood.
    """
    change = data.surface.unpad(coefficients) - state.coefficients
    order_change = posterior.parameters - state.parameters
    if state.envelope is None:
        change = np.clip(change, -_LARGEST_STEP, _LARGEST_STEP)
    share = 1.0
    before = quadratic.likelihood + _log_prior(data, state, prior)
    for _ in range(6):
        trial = replace(
            state,
            coefficients=state.coefficients + share * change,
            parameters=state.parameters + share * order_change,
        )
        value = likelihood(data, trial, model_of(data, trial)) + _log_prior(data, trial, prior)
        if value >= before - 1e-6 * abs(before):
            break
        share /= 2
    deviations = np.sqrt(np.maximum(np.diagonal(posterior.covariance), 1e-30))
    moved = float(np.max(np.abs(order_change) / deviations, initial=0.0))
    return trial, max(moved, float(np.abs(change).max()) if share < 1 else 0.0)
