"""The evidence (marginal likelihood) of smoothness and range of order for a linearised fit.

Around an estimate, the log likelihood is quadratic in the spline coefficients c and the harmonics a. With Gaussian
priors the integral over both is known in closed form (Laplace; MacKay, Neural Comput. 4, 415, 1992). The coefficients
are integrated out first, once for each smoothness; what is left is small, so that priors of the harmonics cost little.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import lapack

from dsfunet._typing import Array
from dsfunet.lattice.joint_fit.block_tridiagonal import BlockTridiagonal
from dsfunet.lattice.joint_fit.spline import SplineSurface

_RIDGE = 1e-4
"""Precision of each spline coefficient about the mean of the logarithm: a standard deviation of 100."""


@dataclass(frozen=True)
class Prior:
    """What the evidence chooses.

    Attributes:
        roughness: precision of third differences of the spline coefficients along the first and second axis.
        amplitude: prior variance of the real part of a harmonic of length 0.
        sine_amplitude: that of the imaginary part.
        decay: length over which these variances fall to 1/e [Angstrom].
    """

    roughness: tuple[float, float]
    amplitude: float
    sine_amplitude: float
    decay: float

    def variances(self, lengths: Array, cosines: int) -> Array:
        """Return prior variances of all parameters; the first `cosines` of them are real parts."""
        amplitudes = np.where(np.arange(len(lengths)) < cosines, self.amplitude, self.sine_amplitude)
        return np.asarray(np.maximum(amplitudes * np.exp(-lengths / self.decay), 1e-30))


@dataclass(frozen=True, eq=False)
class FieldPrior:
    """Prior of the spline besides its smoothness: a level, and optionally a field with weights.

    Attributes:
        level: mean of the spline.
        weight: inverse variance of the field in each pixel; None without a field, as all that follow.
        field: prior mean of the spline at the pixels.
        bands: normal matrix of the weights, as of `SplineSurface.normal_matrix`.
        pull: sums over pixels of weight times field times a spline, shape (n, m).
    """

    level: float
    weight: Array | None = None
    field: Array | None = None
    bands: Array | None = None
    pull: Array | None = None

    @classmethod
    def of(cls, surface: SplineSurface, level: float, weight: Array, field: Array) -> "FieldPrior":
        """Return the prior of a field with weights."""
        return cls(
            level, weight, field, surface.normal_matrix(weight), np.asarray(surface.project(weight * field))
        )


@dataclass(frozen=True, eq=False)
class Quadratic:
    """Quadratic log likelihood: constant + b' x - x' H x / 2, x = (c, a).

    Attributes:
        field_bands: H of the coefficients, as bands.
        cross: H between coefficients and parameters, shape (n, m, parameters).
        order: H of the parameters of I_SRO.
        field_pull: b of the coefficients, shape (n, m).
        order_pull: b of the parameters.
        constant: log likelihood at x = 0 of the quadratic.
        likelihood: log likelihood of the state itself.
    """

    field_bands: Array
    cross: Array
    order: Array
    field_pull: Array
    order_pull: Array
    constant: float
    likelihood: float


@dataclass(frozen=True, eq=False)
class Reduced:
    """A quadratic with the spline coefficients integrated out, for one smoothness.

    Attributes:
        factor: Cholesky factor L of the posterior precision of the coefficients.
        half: solutions of L x = cross and, in the last column, of L x = pull, padded, shape (rows, parameters + 1).
        order: posterior precision of the parameters, without their prior.
        order_pull: pull of the parameters.
        log_evidence: the part that does not depend on the prior of the parameters.
        prior_factor: Cholesky factor of the prior precision of the coefficients; None without a prior field.
        prior_mean: their prior mean, padded; None without a prior field.
    """

    factor: BlockTridiagonal
    half: Array
    order: Array
    order_pull: Array
    log_evidence: float
    prior_factor: BlockTridiagonal | None = None
    prior_mean: Array | None = None

    @cached_property
    def modes(self) -> Array:
        """Changes of the coefficients with the parameters and, last, their mean at parameters 0, padded."""
        return self.factor.solve_backward(self.half)


def integrate_field(
    surface: SplineSurface, quadratic: Quadratic, field_prior: FieldPrior, roughness: tuple[float, float]
) -> Reduced:
    """Integrate out the spline coefficients for one smoothness.

    Raises:
        numpy.linalg.LinAlgError: the posterior precision is not positive definite.
    """
    prior_bands = roughness[0] * surface.roughness_bands[0] + roughness[1] * surface.roughness_bands[1]
    prior_bands[0, 0] += _RIDGE
    prior_pull = np.full(surface.shape, _RIDGE * field_prior.level)
    prior_factor = prior_mean = None
    if field_prior.bands is None or field_prior.pull is None:
        first, second = surface.roughness_spectra
        spectrum = roughness[0] * first[:, None] + roughness[1] * second[None, :] + _RIDGE
        log_prior = 0.5 * float(np.log(spectrum).sum())
        log_prior -= 0.5 * _RIDGE * field_prior.level**2 * spectrum.size
    else:
        prior_bands = prior_bands + field_prior.bands
        prior_pull = prior_pull + field_prior.pull
        prior_factor = surface.factorise(prior_bands)
        padded = surface.pad(prior_pull)
        prior_mean = prior_factor.solve(padded)
        log_prior = 0.5 * prior_factor.log_determinant - 0.5 * float(padded @ prior_mean)
    factor = surface.factorise(quadratic.field_bands + prior_bands)
    count = len(quadratic.order_pull)
    half = factor.solve_forward(surface.pad(quadratic.cross, (quadratic.field_pull + prior_pull)[:, :, None]))
    products = half.T @ half
    evidence = quadratic.constant + log_prior - 0.5 * factor.log_determinant + 0.5 * float(products[-1, -1])
    return Reduced(
        factor,
        half,
        quadratic.order - products[:count, :count],
        quadratic.order_pull - products[:count, -1],
        evidence,
        prior_factor,
        prior_mean,
    )


@dataclass(frozen=True, eq=False)
class OrderPosterior:
    """The parameters of I_SRO for one prior, with the coefficients integrated out.

    Attributes:
        parameters: posterior mean.
        covariance: posterior covariance.
        log_evidence: logarithm of the evidence.
        scaled: covariance in units of the prior: that of each parameter over the root of its prior variance.
        scaled_mean: mean in these units.
    """

    parameters: Array
    covariance: Array
    log_evidence: float
    scaled: Array
    scaled_mean: Array


def solve_order(reduced: Reduced, variances: Array) -> OrderPosterior:
    """Return the posterior of the parameters for their prior variances.

    Raises:
        numpy.linalg.LinAlgError: the posterior precision is not positive definite.
    """
    root = np.sqrt(variances)
    matrix = root[:, None] * reduced.order * root[None, :]
    matrix[np.diag_indices_from(matrix)] += 1
    factor, failed = lapack.dpotrf(matrix.T, lower=0, clean=1)
    if failed:
        raise np.linalg.LinAlgError("the posterior precision of the harmonics is not positive definite")
    inverse, _ = lapack.dpotri(factor, lower=0)
    inverse = np.triu(inverse) + np.triu(inverse, 1).T
    pull = root * reduced.order_pull
    mean = inverse @ pull
    value = reduced.log_evidence + 0.5 * float(pull @ mean) - float(np.log(np.diagonal(factor)).sum())
    return OrderPosterior(root * mean, root[:, None] * inverse * root, value, inverse, mean)


def solve_coefficients(reduced: Reduced, parameters: Array) -> Array:
    """Return the posterior mean of the coefficients for some parameters, padded."""
    return np.asarray(reduced.modes[:, -1] - reduced.modes[:, :-1] @ parameters)
