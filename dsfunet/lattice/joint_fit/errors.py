"""Uncertainty of the form factor of a joint fit (Laplace), with its bias by smoothing."""

import numpy as np

from dsfunet._typing import Array
from dsfunet.lattice.joint_fit.iteration import Solution
from dsfunet.lattice.joint_fit.model import follow_blur, model_of
from dsfunet.lattice.joint_fit.threads import use_one_thread


@use_one_thread
def spline_variances(solution: Solution) -> tuple[Array, Array]:
    """Return the derivative of F by the spline, and the variance of the spline at all pixels, shape (n, m) each.

    Args:
        solution: of a joint fit.
    """
    data = follow_blur(solution.data, solution.state)
    # The coefficients that go with the parameters have the covariance A^-1 + (A^-1 C) covariance (A^-1 C)'.
    root = np.linalg.cholesky(solution.covariance + 1e-12 * np.diag(np.diagonal(solution.covariance)))
    modes = data.surface.unpad(solution.reduced.modes[:, :-1] @ root)
    bands = data.surface.covariance_bands(solution.reduced.factor, modes)
    variances = np.maximum(data.surface.variances(bands), 0)
    # Where nothing was measured, the estimate itself is smoothed across the gap, and tells half of it at most.
    variances += (np.where(data.mask, 1.0, 2.0) * data.surface.evaluate(_bias(solution))) ** 2
    return model_of(data, solution.state).slope, variances


def _bias(solution: Solution) -> Array:
    """Return the change of the coefficients with the logarithm of both smoothnesses, shape (n, m).

    That is the bias of the estimate as the estimate itself tells it.
    """
    surface, reduced, coefficients = solution.data.surface, solution.reduced, solution.state.coefficients
    first, second = solution.prior.roughness
    rough = first * surface.rows.roughness @ coefficients + second * coefficients @ surface.columns.roughness
    padded = surface.pad(rough)
    slopes = reduced.modes[:, :-1]
    found: Array = reduced.factor.solve(padded) + slopes @ (solution.covariance @ (slopes.T @ padded))
    return surface.unpad(found[:, None])[:, :, 0]
