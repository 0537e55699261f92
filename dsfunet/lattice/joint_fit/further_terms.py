"""Further terms of the intensity in a joint fit: I = F S + sum_i a_i t_i, with amplitudes a_i of Gaussian priors.

The amplitudes and both factors are found in turns: the score test (`score`) gives the step of the amplitudes with
everything that F and S make up for allowed for, which is the step of Gauss and Newton on all of them together.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.lattice.joint_fit.fit import report
from dsfunet.lattice.joint_fit.iteration import Solution, iterate
from dsfunet.lattice.joint_fit.model import FitData, FitState, model_of
from dsfunet.lattice.joint_fit.result import JointFit
from dsfunet.lattice.joint_fit.score import score_terms
from dsfunet.lattice.joint_fit.threads import use_one_thread

_MOST_TURNS, _LAST_TURNS, _ROUNDS_EACH, _MOST_HALVINGS = 12, 3, 8, 4
_ALLOWED = 3.0  # by which a step may raise the misfit; both factors follow it only in later turns
_LOST = 1e3  # step that is left at the end in fits that do not converge
_SETTLED = 0.1  # step of an amplitude in its standard uncertainties


@dataclass(frozen=True, eq=False)
class TermsFit:
    """A joint fit with further terms.

    Attributes:
        fit: with the terms in its intensity, and their errors in those of its parameters.
        amplitudes: a, shape (k,).
        covariance: of the amplitudes, shape (k, k).
        log_evidence_gain: gain in the logarithm of the evidence by the terms, with their prior (Laplace).
    """

    fit: JointFit
    amplitudes: Array
    covariance: Array
    log_evidence_gain: float

    @property
    def sigmas(self) -> Array:
        """Standard uncertainties of the amplitudes, shape (k,)."""
        return np.sqrt(np.maximum(np.diagonal(self.covariance), 0.0))


@use_one_thread
def fit_further_terms(
    fit: JointFit, make_terms: Callable[[Array], Array], prior_sigmas: Array, estimate_noise: bool = True
) -> TermsFit:
    """Fit further terms beside form factor and short-range order, starting from a fit without them.

    Args:
        fit: without the terms.
        make_terms: returns the terms, shape (k, n, m), for a form factor of shape (n, m).
        prior_sigmas: standard deviations of the amplitudes about 0, shape (k,).
        estimate_noise: whether to estimate the noise again.

    Raises:
        InputError: the steps do not settle.
    """
    solution = fit.solution
    precision = 1 / np.asarray(prior_sigmas, dtype=np.float64) ** 2
    amplitudes = np.zeros(len(precision))
    last = False
    for turn in range(_MOST_TURNS):
        terms = make_terms(model_of(solution.data, solution.state).form_factor)
        score = score_terms(solution, terms)
        values, vectors = np.linalg.eigh(score.information)  # rounding makes terms that are alike negative
        information = (vectors * np.maximum(values, 0.0)) @ vectors.T
        posterior = np.linalg.inv(information + np.diag(precision))
        posterior = (posterior + posterior.T) / 2
        step = posterior @ (score.slope - precision * amplitudes)
        moved = float(np.max(np.abs(step) / np.sqrt(np.diagonal(posterior))))
        if moved < _SETTLED and last:
            break
        last = last or moved < _SETTLED or turn == _MOST_TURNS - _LAST_TURNS
        data = replace(solution.data, skip_negative=last)
        solution, step = _take_step(replace(solution, data=data), terms, amplitudes, step, estimate_noise)
        amplitudes = amplitudes + step
    if not moved < _LOST:
        raise InputError(
            "form factor, correlations and further terms do not settle: the plane does not tell them apart; omit"
            " --size-effect, --background or --thermal"
        )
    pull = (information + np.diag(precision)) @ amplitudes
    gain = 0.5 * float(pull @ posterior @ pull)
    gain += 0.5 * float(np.linalg.slogdet(posterior * precision)[1])
    reported = report(solution)
    inflation = max(reported.chi_squared, 1.0)
    covariance = reported.covariance + inflation * score.response @ posterior @ score.response.T
    return TermsFit(
        replace(reported, covariance=covariance),
        amplitudes,
        np.asarray(inflation * posterior, np.float64),
        gain,
    )


def _take_step(
    solution: Solution, terms: Array, amplitudes: Array, step: Array, estimate_noise: bool
) -> tuple[Solution, Array]:
    """Return the solution with both factors fitted anew after a step, which is halved while it makes the fit worse."""
    before = model_of(solution.data, solution.state)
    data = replace(solution.data, further=np.tensordot(amplitudes, terms, axes=1))
    worst = _ALLOWED * _misfit(data, solution.state, before.variance)
    for _ in range(_MOST_HALVINGS):
        data = replace(solution.data, further=np.tensordot(amplitudes + step, terms, axes=1))
        trial = iterate(data, solution.state, solution.prior, estimate_noise, False, _ROUNDS_EACH)
        if _misfit(trial.data, trial.state, before.variance) <= worst:
            return trial, step
        step = step / 2
    return solution, np.zeros_like(step)


def _misfit(data: FitData, state: FitState, variance: Array) -> float:
    """Return the mean of (measured - model)^2 / variance over the measured pixels, negative intensities taken as 0."""
    misfit = data.intensity - np.maximum(model_of(data, state).intensity, 0.0)
    return float(np.mean((misfit**2 / variance)[data.mask]))
