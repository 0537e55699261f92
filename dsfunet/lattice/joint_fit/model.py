"""The model I = F S of a plane at an estimate, and its linearisation."""

from dataclasses import dataclass, replace

import numpy as np

from dsfunet._typing import Array, Mask
from dsfunet.lattice.joint_fit.blur import add_blur
from dsfunet.lattice.joint_fit.evidence import FieldPrior, Quadratic
from dsfunet.lattice.joint_fit.noise import Variance
from dsfunet.lattice.joint_fit.series import HarmonicSeries
from dsfunet.lattice.joint_fit.spline import SplineSurface

# The variance does not fall further where the model is below this share of F or its envelope, and may be negative.
_DARK = 0.02


@dataclass(frozen=True, eq=False)
class FitData:
    """What is fitted.

    Attributes:
        intensity: measured intensities, 0 where missing, shape (n, m).
        mask: True where measured.
        surface: the spline of F.
        series: the harmonics of S.
        field_prior: prior of the spline.
        prior_form_factor: prior mean of F, or None.
        prior_weight: inverse variance of its logarithm, or None.
        beyond: what the detector sees beyond F S because of its resolution, shape (n, m); None for nothing.
        further: other terms of the intensity, shape (n, m); None for nothing (`further_terms`).
        skip_negative: whether pixels in which these terms make the intensity negative are left out.
    """

    intensity: Array
    mask: Mask
    surface: SplineSurface
    series: HarmonicSeries
    field_prior: FieldPrior
    prior_form_factor: Array | None = None
    prior_weight: Array | None = None
    beyond: Array | None = None
    further: Array | None = None
    skip_negative: bool = False


@dataclass(frozen=True, eq=False)
class FitState:
    """An estimate: spline coefficients of u, parameters of S, and the model of the noise.

    First F = exp(u); then F = E u with a fixed smooth envelope E, because a form factor has zeros, near which its
    logarithm is not smooth but F / E is: the transform of a bounded Patterson function.

    Attributes:
        coefficients: of the spline u, shape of the surface.
        parameters: of the series S.
        variance: of the noise.
        envelope: E, shape (n, m); None for F = exp(u).
    """

    coefficients: Array
    parameters: Array
    variance: Variance
    envelope: Array | None = None


@dataclass(frozen=True, eq=False)
class Model:
    """The model of a plane at a state, each of shape (n, m).

    Attributes:
        form_factor: F, blurred by the resolution.
        slope: derivative of F with respect to the spline u.
        order: S, blurred by the resolution, 0 or more.
        intensity: F S, and what the resolution adds to it.
        variance: variance of the noise.
        floor: intensity below which the variance stays constant.
        used: True where measured and the series of S is not negative. A truncated series can be negative where
            short-range order vanishes; such pixels hold no information on it.
    """

    form_factor: Array
    slope: Array
    order: Array
    intensity: Array
    variance: Array
    floor: Array
    used: Mask


def model_of(data: FitData, state: FitState) -> Model:
    """Return the model of a plane at a state."""
    spline = data.surface.evaluate(state.coefficients)
    if state.envelope is None:
        form_factor = slope = envelope = np.exp(np.clip(spline, -300, 300))
    else:
        form_factor, slope, envelope = state.envelope * spline, state.envelope, state.envelope
    series = data.series.evaluate(state.parameters)
    order = np.maximum(series, 0.0)
    intensity, floor = form_factor * order, _DARK * envelope
    if data.beyond is not None:
        intensity = intensity + data.beyond
    used = data.mask & (series >= 0)
    if data.further is not None:
        intensity = intensity + data.further
        if data.skip_negative:
            used &= intensity >= 0
    variance = state.variance(np.maximum(intensity, floor))
    return Model(form_factor, slope, order, intensity, variance, floor, used)


def follow_blur(data: FitData, state: FitState) -> FitData:
    """Return the data with what the resolution adds to F S at a state; it changes little from state to state."""
    if data.series.blur is None:
        return data
    form_factor = model_of(data, state).form_factor
    return replace(data, beyond=add_blur(form_factor, data.series, state.parameters))


def linearise(data: FitData, state: FitState) -> Quadratic:
    """Return the quadratic log likelihood around a state (Gauss-Newton, Fisher's information)."""
    model, surface, series = model_of(data, state), data.surface, data.series
    precision = np.where(model.used, 1 / model.variance, 0.0)
    field_slope, order_slope = model.slope * model.order, model.form_factor
    field_bands = surface.normal_matrix(precision * field_slope**2)
    cross = series.cross_matrix(surface, precision * field_slope * order_slope)
    order = series.normal_matrix(precision * order_slope**2)
    misfit = precision * np.where(model.used, data.intensity - model.intensity, 0.0)
    # H times the state, from what the linearised model is at the pixels.
    linear = field_slope * surface.evaluate(state.coefficients) + order_slope * (model.order - 1)
    pulled = misfit + precision * linear
    field_pull = np.asarray(surface.project(field_slope * pulled))
    order_pull = series.gradient(order_slope * pulled)
    # l(x) = l0 + g'(x - s) - (x - s)' H (x - s) / 2 = l0 - g's - s'Hs / 2 + (g + Hs)'x - x'Hx / 2
    slope = float(np.sum(misfit * linear))
    curvature = float(np.sum(precision * linear**2))
    value = likelihood(data, state, model)
    constant = value - slope - 0.5 * curvature
    return Quadratic(field_bands, cross, order, field_pull, order_pull, constant, value)


def likelihood(data: FitData, state: FitState, model: Model) -> float:
    """Return the log likelihood of a model, up to a constant."""
    return state.variance.log_likelihood(data.intensity, model.intensity, model.floor, data.mask)
