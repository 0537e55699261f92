"""Steps of smoothness and range of order towards the largest evidence, from its exact slope (Fisher scoring).

The slope of the evidence of a linearised problem follows from the posterior mean and covariance alone (MacKay, Neural
Comput. 4, 415, 1992; Wood and Fasiolo, Biometrics 73, 1071, 2017). The expected information gives the length of a step.
"""

from dataclasses import dataclass, replace

import numpy as np

from dsfunet._typing import Array
from dsfunet.lattice.joint_fit.evidence import OrderPosterior, Prior, Reduced, solve_order
from dsfunet.lattice.joint_fit.spline import SplineSurface

STIFF = 1e6
"""Precision of third differences with which log F follows only features wider than some cells: an envelope."""

_AMPLITUDES = (1e-6, 1e2)
_DECAYS = (0.15, 60.0)  # in units of the spacing of the harmonics
_MOST_ROUNDS = 12
_SMALL_GAIN = 0.01  # of the log evidence, that ends the steps of the prior of the harmonics
_ORDER_STEP = 1.5  # most that a logarithm changes in one step
# F may always follow what its envelope follows: that was fitted to the same data, and is not exact.
_ROUGHNESS = (1e-3, 0.05 * STIFF)
_ROUGHNESS_STEP = 3.0
_LONG_STEP, _SAME_DIRECTION = 0.3, 0.9
_SECANT_FROM = 1.0  # longest step that is near enough to the largest evidence to be extrapolated
_MOST_EXTRAPOLATED = 4.0
_MOST_RATIO = 9.2  # largest difference between the logarithms of smoothness along the two axes


@dataclass(frozen=True, eq=False)
class _Slope:
    """Posterior at some values of the logarithms of the prior, the slope of its evidence and the information."""

    posterior: OrderPosterior
    slope: Array
    information: Array


def choose_order_prior(
    reduced: Reduced, prior: Prior, lengths: Array, cosines: int, spacing: float
) -> tuple[Prior, OrderPosterior]:
    """Return the prior of the parameters with the largest evidence, near a first one, and their posterior.

    Args:
        reduced: the quadratic, with the coefficients integrated out.
        prior: where to start; its roughness stays.
        lengths: lengths of the harmonics of all parameters [Angstrom].
        cosines: number of real parts among the parameters.
        spacing: spacing of the harmonics [Angstrom].
    """
    free = 3 if cosines < len(lengths) else 2
    low = np.log([_AMPLITUDES[0], _DECAYS[0] * spacing, _AMPLITUDES[0]])
    high = np.log([_AMPLITUDES[1], _DECAYS[1] * spacing, _AMPLITUDES[1]])
    place = np.clip(np.log([prior.amplitude, prior.decay, prior.sine_amplitude]), low, high)

    def with_values(logarithms: Array) -> Prior:
        amplitude, decay, sine = (float(value) for value in np.exp(logarithms))
        return replace(prior, amplitude=amplitude, decay=decay, sine_amplitude=sine)

    here = _slope_of_order(reduced, with_values(place), lengths, cosines)
    for _ in range(_MOST_ROUNDS):
        step = np.zeros(3)
        step[:free] = _scoring_step(here.slope[:free], here.information[:free, :free], _ORDER_STEP)
        target = np.clip(place + step, low, high)
        if float(here.slope @ (target - place)) < 2 * _SMALL_GAIN:
            break
        for share in (1.0, 0.5, 0.25, 0.06):
            trial = place + share * (target - place)
            there = _slope_of_order(reduced, with_values(trial), lengths, cosines)
            if there.posterior.log_evidence > here.posterior.log_evidence:
                break
        else:
            break
        place, here = trial, there
    return with_values(place), here.posterior


def _slope_of_order(reduced: Reduced, prior: Prior, lengths: Array, cosines: int) -> _Slope:
    posterior = solve_order(reduced, prior.variances(lengths, cosines))
    spread = np.diagonal(posterior.scaled)
    is_cosine = np.arange(len(lengths)) < cosines
    rates = np.stack([is_cosine.astype(np.float64), lengths / prior.decay, (~is_cosine).astype(np.float64)])
    slope = 0.5 * rates @ (posterior.scaled_mean**2 + spread - 1)
    squared = posterior.scaled**2
    squared[np.diag_indices_from(squared)] = (spread - 1) ** 2
    return _Slope(posterior, slope, 0.5 * rates @ squared @ rates.T)


def _scoring_step(slope: Array, information: Array, most: float) -> Array:
    """Return a step of Fisher scoring, shortened to the largest allowed change of a logarithm."""
    damped = information + np.diag(1e-3 * np.diagonal(information) + 1e-9)
    step = np.linalg.solve(damped, slope)
    return np.asarray(step / max(float(np.abs(step).max()) / most, 1.0))


@dataclass(frozen=True, eq=False)
class RoughnessStep:
    """A step of smoothness along both axes towards a larger evidence.

    Attributes:
        roughness: smoothness after the step.
        gain: in the logarithm of the evidence, as expected.
        before: logarithms of smoothness before it, shape (2,).
        scored: step of Fisher scoring, before it was extrapolated or cut, shape (2,).
    """

    roughness: tuple[float, float]
    gain: float
    before: Array
    scored: Array


def propose_roughness(
    surface: SplineSurface,
    reduced: Reduced,
    prior: Prior,
    coefficients: Array,
    covariance: Array,
    both: bool,
    previous: RoughnessStep | None = None,
) -> RoughnessStep:
    """Return smoothness along both axes with a larger evidence.

    The information is that of splines with the same number of effective parameters on evenly weighted pixels.

    Args:
        surface: the spline.
        reduced: the quadratic for the smoothness of the prior.
        prior: the present prior.
        coefficients: posterior mean of the coefficients, padded.
        covariance: posterior covariance of the parameters of S.
        both: whether smoothness may change differently along the two axes.
        previous: the last step. The information is only about right, so that steps are too short or too long: long ones
            in the same direction are doubled, short ones extrapolated (secant).
    """
    strengths = np.array(prior.roughness)
    spectra = [strengths[0] * surface.roughness_spectra[0][:, None] + np.zeros(surface.shape)]
    spectra.append(strengths[1] * surface.roughness_spectra[1][None, :] + np.zeros(surface.shape))
    total = np.maximum(spectra[0] + spectra[1], 1e-9)
    shares = [spectrum / total for spectrum in spectra]
    if reduced.prior_factor is None or reduced.prior_mean is None:
        expected = np.array([float(share.sum()) for share in shares])
    else:
        expected = strengths * surface.roughness_traces(reduced.prior_factor)
        mean = surface.unpad(reduced.prior_mean[:, None])
        expected += strengths * [form.item() for form in surface.roughness_forms(mean)]
    forms = surface.roughness_forms(surface.unpad(np.column_stack([reduced.modes[:, :-1], coefficients])))
    spread = strengths * surface.roughness_traces(reduced.factor)
    spread += strengths * [float(np.sum(form[:-1, :-1] * covariance)) for form in forms]
    found = strengths * [float(form[-1, -1]) for form in forms]
    slope = 0.5 * (expected - spread - found)
    rough = total > 1e-9
    weight = _matching_weight(total[rough], float(np.sum(expected - spread)))
    shrunk = np.where(rough, weight / (total + weight), 0.0)
    rates = np.stack([(share * shrunk).reshape(-1) for share in shares])
    information = 0.5 * rates @ rates.T
    if both:
        step = _scoring_step(slope, information, _ROUGHNESS_STEP)
    else:
        step = np.repeat(
            _scoring_step(slope.sum(keepdims=True), information.sum(keepdims=True), _ROUGHNESS_STEP), 2
        )
    before = np.log(strengths)
    if previous is not None:
        longer = _extrapolate(step, before, previous) if both else _lengthen(step, before - previous.before)
    else:
        longer = step
    after = np.clip(before + longer, *np.log(_ROUGHNESS))
    difference = after[0] - after[1]
    if abs(difference) > _MOST_RATIO:  # at this bound only both together can change
        bound = np.clip(difference, -_MOST_RATIO, _MOST_RATIO)
        half = (bound - (before[0] - before[1])) / 2
        middle = (slope.sum() - half * (information @ [1.0, -1.0]).sum()) / max(
            float(information.sum()), 1e-9
        )
        middle = np.clip(middle, -_ROUGHNESS_STEP, _ROUGHNESS_STEP)
        after = np.clip(before + middle + half * np.array([1.0, -1.0]), *np.log(_ROUGHNESS))
    first, second = np.exp(after)
    return RoughnessStep(
        (float(first), float(second)), 0.5 * float(slope @ (after - before)), before, np.asarray(step)
    )


def _extrapolate(step: Array, before: Array, previous: RoughnessStep) -> Array:
    """Return a short step to where the last two steps of scoring say that the next one is 0 (Anderson's mixing).

    Long steps are treated as of `_lengthen`: far from the largest evidence nothing is linear.
    """
    taken, change = before - previous.before, step - previous.scored
    longest = max(float(np.abs(step).max()), float(np.abs(taken).max()))
    curvature = float(change @ change)
    if longest > _SECANT_FROM or curvature <= 1e-12:
        return _lengthen(step, taken)
    mixed = step - float(step @ change) / curvature * (taken + change)
    length = float(np.linalg.norm(mixed))
    if float(mixed @ step) <= 0:
        return step
    return np.asarray(mixed * min(1.0, _MOST_EXTRAPOLATED * float(np.linalg.norm(step)) / max(length, 1e-12)))


def _lengthen(step: Array, last: Array) -> Array:
    """Return twice a long step that goes on in the direction of the last one, within the limit of a step."""
    lengths = float(np.linalg.norm(step)), float(np.linalg.norm(last))
    onward = float(step @ last) > _SAME_DIRECTION * lengths[0] * lengths[1]
    if lengths[0] < _LONG_STEP or lengths[0] < 0.5 * lengths[1] or not onward:
        return step
    return np.asarray(step * min(2.0, max(_ROUGHNESS_STEP / float(np.abs(step).max()), 1.0)))


def _matching_weight(precisions: Array, parameters: float) -> float:
    """Return the weight of data for which priors of such precisions leave a number of effective parameters."""
    if not len(precisions):
        return 0.0
    wanted = float(np.clip(parameters, 1.0, max(0.95 * len(precisions), 1.0)))
    low, high = np.log(precisions.min()) - 30, np.log(precisions.max()) + 30
    for _ in range(50):
        middle = (low + high) / 2
        if np.sum(1 / (1 + precisions * np.exp(-middle))) < wanted:
            low = middle
        else:
            high = middle
    return float(np.exp((low + high) / 2))
