"""Refusals of volumes that cannot be fitted, and of fits that ended nowhere."""

import numpy as np

from dsfunet.errors import InputError
from dsfunet.lattice.volume_fit.iteration import Solution
from dsfunet.lattice.volume_fit.series import LatticeVectors
from dsfunet.lattice.volume_fit.voxels import Voxels

_FEWEST_ZONES = 1.0
_LOST = 5.0  # chi-squared, with estimated noise, of a fit that explains nothing


def check_volume(voxels: Voxels, vectors: LatticeVectors) -> None:
    """Raise an InputError for a volume that cannot be fitted."""
    if not vectors.count:
        raise InputError(
            "volume: its voxels are coarser than half a zone in which short-range order repeats; expected finer ones"
        )
    measured = int(np.count_nonzero(voxels.count))
    if measured < 10 * vectors.count:
        raise InputError(
            f"volume: found {measured} measured voxels for {vectors.count} correlations; expected ten times as many"
        )
    for label, axis, steps in zip("hkl", voxels.axes, np.abs(vectors.vectors).T, strict=True):
        zones = float(np.ptp(axis)) * float(steps[steps > 0].min(initial=np.inf))
        if zones < _FEWEST_ZONES:
            raise InputError(
                f"volume: it spans {np.ptp(axis):g} r.l.u. along {label}, {zones:.1f} of the zones in which short-range"
                " order repeats; expected at least one along each axis (a single layer needs no --volume)"
            )
    if not float(voxels.intensity.sum(dtype=np.float64)) > 0:
        raise InputError("volume: the mean of its intensity is 0 or less; expected a positive number")


def check_solution(solution: Solution, fixed_noise: bool) -> None:
    """Raise an InputError for iterations that ended far from any solution.

    Args:
        solution: where they ended.
        fixed_noise: whether the noise is given; an estimated one brings chi-squared near 1.
    """
    largest = float(np.abs(solution.state.alphas).max(initial=0.0))
    if largest >= 1 or (not fixed_noise and solution.chi_squared > _LOST):
        raise InputError(
            f"volume: the fit did not settle (chi-squared {solution.chi_squared:.3g}, correlations up to"
            f" {largest:.2g}); expected short-range order on the lattice of the cell, so check the cell, the centring,"
            " and what is left of Bragg peaks and background"
        )
