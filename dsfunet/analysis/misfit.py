"""What a fit leaves of a plane, folded into one Brillouin zone: what repeats in all zones, and what scatters."""

from dataclasses import dataclass

import numpy as np

from dsfunet.analysis.symmetry import Integers
from dsfunet.analysis.zones import fold_bins, fold_numbers
from dsfunet.io.measured import PlaneGrid
from dsfunet.physics.lattice import Array


@dataclass(frozen=True)
class Misfit:
    """What a fit leaves of a plane.

    Attributes:
        repeated: sum over bins of w (mean residual)^2.
        scatter: variance for unit weight, from the scatter of zones within bins.
        bins: number of bins with a pixel that counts.
    """

    repeated: float
    scatter: float
    bins: int

    def beyond(self, degrees_of_freedom: float) -> float:
        """Standard deviation for unit weight of what repeats and scatter does not explain, 0 or more."""
        return float(np.sqrt(max(0.0, self.repeated / degrees_of_freedom - self.scatter)))


def misfit_of(residuals: Array, weights: Array, zone: Integers, hkl: Array, grid: PlaneGrid) -> Misfit:
    """Misfit of n pixels with residuals (n,), weights (n,), numbers of zones (n,) and indices hkl (n, 3)."""
    number = np.unique(fold_numbers(hkl, grid.name.layer.axes, fold_bins(grid)), return_inverse=True)[1]
    zones = int(zone.max()) + 1
    cell, where = np.unique(number * zones + zone, return_inverse=True)
    bin_of_cell = cell // zones
    weight = np.bincount(where, weights)
    mean = np.bincount(where, weights * residuals) / weight
    count = int(number.max()) + 1
    bin_weight = np.bincount(bin_of_cell, weight)
    bin_mean = np.bincount(bin_of_cell, weight * mean) / bin_weight
    within = len(cell) - count
    scatter = float(weight @ (mean - bin_mean[bin_of_cell]) ** 2) / within if within else 0.0
    return Misfit(float(bin_weight @ bin_mean**2), scatter, count)
