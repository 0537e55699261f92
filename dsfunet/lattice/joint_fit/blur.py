"""What a Gaussian resolution does to a product of two factors, by their gradients.

For a Gaussian G of covariance C, G * (F S) is not (G * F)(G * S) but

    exp(sum over a, b of C_ab d_a d'_b) (G * F)(G * S)

where d acts on F and d' on S. F is smooth, so that two terms of the exponential are enough. Those of S are exact,
harmonic by harmonic: the first is multiplied by i w and the second by -w w / 2, with the shift w = 2 pi C p.
"""

import numpy as np

from dsfunet._typing import Array
from dsfunet.lattice.joint_fit.series import HarmonicSeries


def add_blur(form_factor: Array, series: HarmonicSeries, parameters: Array) -> Array:
    """Return G * (F S) minus (G * F)(G * S), shape (n, m).

    Args:
        form_factor: G * F, shape (n, m).
        series: the harmonics of S, with their resolution.
        parameters: of the series.
    """
    damped, shifts = series.damping * series.coefficients(parameters), series.shifts
    gradients = _gradients(form_factor, series)
    total = np.zeros_like(form_factor)
    for axis, gradient in enumerate(gradients):
        total += gradient * series.evaluate_terms(1j * shifts[:, axis] * damped)
        curvatures = _gradients(gradient, series)
        for other, curvature in enumerate(curvatures):
            total += curvature * series.evaluate_terms(-0.5 * shifts[:, axis] * shifts[:, other] * damped)
    return total


def remove_blur(form_factor: Array, series: HarmonicSeries) -> Array:
    """Return F of G * F to first order in the covariance, shape (n, m): the unit stays, noise grows little."""
    if series.blur is None:
        return form_factor
    sharp = form_factor.copy()
    for axis, gradient in enumerate(_gradients(form_factor, series)):
        for other, curvature in enumerate(_gradients(gradient, series)):
            sharp -= 0.5 * series.blur.covariance[axis, other] * curvature
    return sharp


def _gradients(field: Array, series: HarmonicSeries) -> tuple[Array, Array]:
    """Return the derivatives along both axes [1/r.l.u.], by central differences, correct to fourth order."""
    found = []
    for axis, coordinates in enumerate((series.rows, series.columns)):
        slope = np.gradient(field, coordinates, axis=axis)
        # The next order of central differences: a sixth of their second difference in pixels.
        bend = np.diff(slope, 2, axis=axis) / 6
        inner = [slice(None), slice(None)]
        inner[axis] = slice(1, -1)
        slope[tuple(inner)] -= bend
        found.append(slope)
    return found[0], found[1]
