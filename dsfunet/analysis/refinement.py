"""Warren-Cowley parameters from a plane of I_SRO on a known lattice, by linear least squares.

I_SRO(Q) = s (1 + sum_orbits alpha_o sum_{v in o} cos 2 pi (h i + k j + l k)) is linear in s and s alpha_o, so
alphas are ratios of coefficients and their covariances follow by propagation. On one layer l, vectors that differ
only along the third axis are one and the same cosine: with none of them but those in the plane, as in the paper, a
coefficient is the sum of alpha cos(2 pi k l) over k and the constant term 1 + sum alpha_00k cos(2 pi k l), so that
their ratio is the in-plane alpha where correlations along the third axis vanish. The fit is to the raw pixels: folding
first would blur each bin and gain nothing, because the normal equations add up the zones by themselves. Zones are
what is independent: pixels of one zone share the errors of whatever produced them, so covariances come from the
scatter between zones (`least_squares.fit`). Errors that repeat in every zone do not scatter, but what of them
is no cosine of the series stays behind in the folded map: that misfit, beyond what scatter explains, is taken for a
sample of as much in the harmonics that are fitted, and added (as if each bin of the zone were off at random).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from dsfunet.analysis.least_squares import check_rank, fit, ratios_at_bounds
from dsfunet.analysis.symmetry import Integers, Orbit
from dsfunet.analysis.zones import Zones, fold_bins, fold_numbers, hkl_of
from dsfunet.errors import InputError
from dsfunet.io.measured import PlaneGrid
from dsfunet.physics.cosine_series import check_weights
from dsfunet.physics.lattice import Array

ErrorsFrom = Literal["zones", "pixels"]

FEWEST_GROUPS = 3

# Planes are stored as 32-bit numbers: zones that scatter less than this share of the plane do not scatter.
_ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class Refinement:
    """What a refinement found. Parameters are the scale and then one alpha for each orbit.

    Attributes:
        orbits: shells in the order of the parameters.
        scale: s, in units of the values.
        alphas: dimensionless, shape (k,).
        covariance: of (scale, alphas), shape (k + 1, k + 1); zero rows for alphas at a bound.
        at_bound: -1 at the lower, 1 at the upper feasibility bound, 0 between, shape (k,).
        calculated: the fitted series on the whole plane, shape (n, m), in units of the values.
        pixels: number of pixels that counted.
        zones: number of Brillouin zones they lie in.
        groups: number of groups of equivalent zones: the independent looks.
        degrees_of_freedom: bins of the folded zone less parameters.
        chi_squared: sum over bins of n (mean residual)^2 / variance, the variance from the scatter between zones within
            bins; NaN where the zones do not scatter.
        pixel_chi_squared: sum w (o - c)^2, for weights 1/sigma^2; None otherwise.
        r_factor: sum |o - c| / sum |o| over the pixels that counted.
        weighted_r_factor: wR2, sqrt(sum w (o - c)^2 / sum w o^2).
    """

    orbits: tuple[Orbit, ...]
    scale: float
    alphas: Array
    covariance: Array
    at_bound: npt.NDArray[np.int_]
    calculated: Array
    pixels: int
    zones: int
    groups: int
    degrees_of_freedom: int
    chi_squared: float
    pixel_chi_squared: float | None
    r_factor: float
    weighted_r_factor: float

    @property
    def uncertainties(self) -> Array:
        """Standard uncertainties of the alphas, shape (k,); NaN at a bound."""
        return np.where(self.at_bound == 0, np.sqrt(np.diag(self.covariance)[1:]), np.nan)

    @property
    def scale_uncertainty(self) -> float:
        """Standard uncertainty of the scale."""
        return float(np.sqrt(self.covariance[0, 0]))

    @property
    def correlations(self) -> Array:
        """Correlation matrix of (scale, alphas), shape (k + 1, k + 1); NaN beside an uncertainty that is zero."""
        sigma = np.sqrt(np.diag(self.covariance))
        with np.errstate(invalid="ignore", divide="ignore"):
            matrix: Array = self.covariance / np.outer(sigma, sigma)
        return matrix


def orbit_series(orbit: Orbit, grid: PlaneGrid) -> Array:
    """sum over the orbit's vectors of cos 2 pi (h i + k j + l k) on a plane, shape of the grid."""
    first, second = grid.name.axes
    vectors = orbit.vectors
    rows = np.exp(2j * np.pi * np.outer(grid.rows, vectors[:, first]))
    columns = np.exp(2j * np.pi * np.outer(grid.columns, vectors[:, second]))
    third = np.exp(2j * np.pi * grid.name.offset * vectors[:, grid.name.fixed_axis])
    series: Array = ((rows * third) @ columns.T).real
    return series


def refine(
    values: npt.NDArray[np.floating[Any]],
    weights: npt.NDArray[np.floating[Any]],
    grid: PlaneGrid,
    orbits: Sequence[Orbit],
    zones: Zones,
    *,
    errors_from: ErrorsFrom = "zones",
    weights_are_inverse_variances: bool = False,
    floor_influence: Array | None = None,
    alpha_bounds: tuple[float, float] | None = None,
) -> Refinement:
    """Scale and alphas of the series nearest to a plane of I_SRO.

    Args:
        values: I_SRO with its floor put back, in any unit, shape of the grid.
        weights: 0 or more, 0 = does not count, shape of the grid; values there may be NaN.
        grid: where the pixels lie.
        orbits: what to refine, one or more.
        zones: of the same grid.
        errors_from: zones takes uncertainties from the scatter between groups of equivalent zones and from the
            misfit that all zones share; pixels takes every pixel for independent and scales by the misfit.
        weights_are_inverse_variances: weights are 1 / sigma^2 of the pixels.
        floor_influence: what each group of zones adds to the error of the floor in the values, shape (groups,) with
            its variance the sum of squares; from pixels, independent contributions of any number.
        alpha_bounds: lowest and highest alpha that is feasible.

    Raises:
        InputError: shapes differ, the pixels do not settle the parameters (which is said by name), the zones are too
            few, or the constant term is not positive.
    """
    check_weights(values, weights, grid.shape)
    used = weights > 0
    if not np.isfinite(values[used]).all():
        raise InputError("values: found NaN or infinity where the weight is positive, expected finite ones")
    names = ["the scale", *(orbit.name for orbit in orbits)]
    series = np.stack([np.ones(grid.shape), *(orbit_series(orbit, grid) for orbit in orbits)])
    design = series[:, used].T
    observed, weight = values[used].astype(np.float64), weights[used].astype(np.float64)
    check_rank(design, weight, names)
    zone, group = zones.zone[used], zones.group[used]
    groups = len(np.unique(group))
    if errors_from == "zones" and groups < FEWEST_GROUPS:
        raise InputError(
            f"{groups} independent zones of the plane count: expected at least {FEWEST_GROUPS} for uncertainties from"
            " their scatter, or --errors-from pixels"
        )

    # Alphas at a bound are constants: their series joins the constant term, and the rest is fitted without them.
    at_bound = np.zeros(len(orbits), dtype=int)
    fixed = np.zeros(len(orbits))
    if alpha_bounds is not None:
        at_bound = ratios_at_bounds(design, observed, weight, *alpha_bounds)
        fixed = np.choose(at_bound + 1, (alpha_bounds[0], 0.0, alpha_bounds[1]))
    free = np.flatnonzero(at_bound == 0)
    merged = np.column_stack([design[:, 0] + design[:, 1:] @ fixed, design[:, 1 + free]])
    windows = zones.windows[:, np.flatnonzero(used)] if errors_from == "zones" else None
    found = fit(merged, observed, weight, windows)
    scale = float(found.coefficients[0])
    if not scale > 1e-9 * float(np.abs(observed).max()):
        raise InputError(
            f"the constant term of the series comes out as {scale:.3g}: expected a positive one, so the"
            " floor of I_SRO is too low, or these vectors do not describe the plane"
        )
    alphas = fixed.copy()
    alphas[free] = found.coefficients[1:] / scale
    influence = found.influence
    if floor_influence is not None:
        # Along with the constant term, in so far as the fit follows a constant.
        follows = np.linalg.lstsq(merged * np.sqrt(weight)[:, None], np.sqrt(weight), rcond=None)[0]
        more = np.outer(floor_influence, follows)
        influence = influence + more if errors_from == "zones" else np.concatenate([influence, more])
    residuals = found.residuals
    repeated, scatter, bins = _misfit(residuals, weight, zone, hkl_of(grid)[used], grid)
    degrees = bins - merged.shape[1]
    if errors_from == "zones" and degrees > 0:
        normal = np.linalg.inv((merged * weight[:, None]).T @ merged)
        beyond = np.sqrt(max(0.0, repeated / degrees - scatter))
        influence = np.concatenate([influence, beyond * np.linalg.cholesky(normal).T])
    # d alpha = (d(s alpha) - alpha ds) / s
    spread = np.zeros((len(influence), 1 + len(orbits)))
    spread[:, 0] = influence[:, 0]
    spread[:, 1 + free] = (influence[:, 1:] - np.outer(influence[:, 0], alphas[free])) / scale
    scatters = scatter > float(np.mean(weight)) * (_ROUNDING * float(np.abs(observed).max())) ** 2
    return Refinement(
        orbits=tuple(orbits),
        scale=scale,
        alphas=alphas,
        covariance=spread.T @ spread,
        at_bound=at_bound,
        calculated=np.tensordot(np.concatenate([[1.0], alphas]) * scale, series, axes=1),
        pixels=int(used.sum()),
        zones=len(np.unique(zone)),
        groups=groups,
        degrees_of_freedom=degrees,
        chi_squared=repeated / scatter if scatters else np.nan,
        pixel_chi_squared=float(weight @ residuals**2) if weights_are_inverse_variances else None,
        r_factor=float(np.abs(residuals).sum() / np.abs(observed).sum()),
        weighted_r_factor=float(np.sqrt(weight @ residuals**2 / (weight @ observed**2))),
    )


def _misfit(
    residuals: Array, weights: Array, zone: Integers, hkl: Array, grid: PlaneGrid
) -> tuple[float, float, int]:
    """sum over bins of w (mean residual)^2, variance for unit weight from the scatter of zones within bins, bins."""
    bins = fold_bins(grid)
    number = np.unique(fold_numbers(hkl, grid.name.axes, bins), return_inverse=True)[1]
    cell, where = np.unique(number * (int(zone.max()) + 1) + zone, return_inverse=True)
    bin_of_cell = cell // (int(zone.max()) + 1)
    weight = np.bincount(where, weights)
    mean = np.bincount(where, weights * residuals) / weight
    count = int(number.max()) + 1
    bin_weight = np.bincount(bin_of_cell, weight)
    bin_mean = np.bincount(bin_of_cell, weight * mean) / bin_weight
    within = len(cell) - count
    scatter = float(weight @ (mean - bin_mean[bin_of_cell]) ** 2) / within if within else 0.0
    return float(bin_weight @ bin_mean**2), scatter, count
