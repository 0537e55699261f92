"""What a joint fit found: both factors, the harmonics, their uncertainties, and how well they explain the plane."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from dsfunet._typing import Array
from dsfunet.lattice.joint_fit.errors import spline_variances
from dsfunet.lattice.joint_fit.evidence import Prior
from dsfunet.lattice.joint_fit.harmonics import Harmonics
from dsfunet.lattice.joint_fit.iteration import Solution
from dsfunet.lattice.joint_fit.noise import Variance


@dataclass(frozen=True, eq=False)
class JointFit:
    """Form factor and short-range order of a plane, fitted jointly.

    Attributes:
        form_factor: F of the crystal, 0 or more, in the unit of the intensity, shape (n, m).
        short_range_order: S of the crystal, clipped at 0, with a mean of 1 over its repeat, shape (n, m).
        intensity: what the detector should see of both, 0 or more, shape (n, m): F times S, blurred by the resolution.
        harmonics: the harmonics of S.
        parameters: the real parts of all c_p, then the imaginary parts of those that are not known to be real.
        covariance: covariance of the parameters.
        prior: smoothness and prior of the harmonics that the evidence chose.
        log_evidence: logarithm of the evidence; comparable between fits to the same pixels with the same noise.
        outer_evidence: gain in this logarithm by the harmonics beyond three quarters of the longest length; if it is
            well above 0, longer ones are probably needed.
        chi_squared: mean of (measured - model)^2 / variance over the measured pixels, those at which the series of S is
            negative left out.
        noise: model of the variance of the noise, estimated or given.
        variance: variance of the noise in each pixel by that model, above 0, shape (n, m).
        iterations: number of iterations.
        solution: where the iterations ended, for tests of further terms (`dsfunet.lattice.joint_fit.score`).
    """

    form_factor: Array
    short_range_order: Array
    intensity: Array
    harmonics: Harmonics
    parameters: Array
    covariance: Array
    prior: Prior
    log_evidence: float
    outer_evidence: float
    chi_squared: float
    noise: Variance
    variance: Array
    iterations: int
    solution: Solution = field(repr=False)

    @property
    def alphas(self) -> Array:
        """Real parts of c_p in the order of the harmonics, shape (k,): the layer's correlations on its own scale.

        One layer does not tell its mean intensity from the scale of F, so these are c_p / c_0, where c_0 is the sum of
        alpha along the direction perpendicular to the layer, with its phase; they are not alphas of the crystal.
        """
        return self.parameters[: self.harmonics.count]

    @property
    def alpha_sigmas(self) -> Array:
        """Their standard uncertainties, shape (k,)."""
        return np.sqrt(np.maximum(np.diagonal(self.covariance)[: self.harmonics.count], 0))

    @cached_property
    def form_factor_sigma(self) -> Array:
        """Standard uncertainty of F, shape (n, m)."""
        envelope, variances = spline_variances(self.solution)
        return np.asarray(envelope * np.sqrt(max(self.chi_squared, 1.0) * variances))

    @cached_property
    def short_range_order_sigma(self) -> Array:
        """Standard uncertainty of S, shape (n, m)."""
        return np.asarray(np.sqrt(self.solution.data.series.variances(self.covariance)))
