"""Evaluation of a fitted I_SRO on other pixels than those of the fit."""

import numpy as np

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.lattice.joint_fit.harmonics import Harmonics
from dsfunet.lattice.joint_fit.result import JointFit
from dsfunet.lattice.joint_fit.series import HarmonicSeries
from dsfunet.physics import Plane
from dsfunet.planes.measured import PlaneGrid


def evaluate_order(fit: JointFit, grid: PlaneGrid, plane: Plane) -> Array:
    """Return I_SRO of a fit on another grid of pixels in the same plane of Q, where it repeats, shape (n, m).

    Args:
        fit: of the pixels of `grid`.
        grid: of the fit.
        plane: pixels in the same plane of Q, in any direction, such as the square that the networks see.

    Raises:
        InputError: the pixels lie in another plane of Q.
    """
    targets = np.stack([plane.step_u, plane.step_v, plane.origin - grid.name.origin @ grid.cell.reciprocal])
    coordinates, *_ = np.linalg.lstsq(grid.vectors.T, targets.T, rcond=None)
    if np.abs(grid.vectors.T @ coordinates - targets.T).max() > 1e-6 * np.abs(grid.vectors).max():
        raise InputError(
            "plane: its pixels lie in another plane of Q than those of the fit; expected the same"
        )
    per_pixel, start = coordinates[:, :2], coordinates[:, 2]
    indices = fit.harmonics.indices @ per_pixel
    phases = np.exp(2j * np.pi * fit.harmonics.indices @ start)
    own = HarmonicSeries(fit.harmonics, grid.rows[:1], grid.columns[:1])
    coefficients = own.coefficients(fit.parameters) * phases
    shifted = Harmonics(
        indices,
        fit.harmonics.vectors,
        fit.harmonics.lengths,
        np.zeros(fit.harmonics.count, np.bool_),
        fit.harmonics.spacing,
    )
    series = HarmonicSeries(shifted, plane.index_u.astype(np.float64), plane.index_v.astype(np.float64))
    return np.maximum(series.evaluate(np.concatenate([coefficients.real, coefficients.imag])), 0.0)
