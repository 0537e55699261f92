"""Warren-Cowley parameters from planes of I_SRO of one crystal on a known lattice, by least squares.

On plane p, I_SRO(Q) = s_p (1 + sum_orbits alpha_o sum_{v in o} cos 2 pi (h i + k j + l k)): one set of alphas, and a
scale for each plane, because normalisation took it away. For one plane that is linear in s and s alpha; for several see
`bilinear`. On one layer l, vectors that differ only along the third axis are one and the same cosine: with none of them
but those in the plane, as in the paper, a coefficient is the sum of alpha cos(2 pi k l) over k and the constant term
1 + sum alpha_00k cos(2 pi k l), so that their ratio is the in-plane alpha where correlations along the third axis
vanish; layers at different l, and planes of other orientation, tell such vectors apart.

The fit is to the raw pixels: folding first would blur each bin and gain nothing, because the normal equations add up
the zones by themselves. Zones are what is independent: pixels of one zone share the errors of whatever produced them,
so covariances come from the scatter between zones of all planes (`least_squares.fit`). Errors that repeat in every
zone do not scatter, but what of them is no cosine of the series stays behind in the folded map: that misfit, beyond
what scatter explains, is taken for a sample of as much in the harmonics that are fitted, and added (as if each bin of
the zone were off at random).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.sparse import block_diag

from dsfunet._typing import Array
from dsfunet.analysis.refinement.bilinear import BilinearFit, Term, fit_bilinear
from dsfunet.analysis.refinement.data import ErrorsFrom, PlaneData
from dsfunet.analysis.refinement.least_squares import check_rank, fit, root_of
from dsfunet.analysis.refinement.zones import Misfit, misfit_of
from dsfunet.errors import InputError
from dsfunet.physics.cosine_series import check_weights
from dsfunet.physics.symmetry import Orbit
from dsfunet.planes.measured import PlaneGrid

FEWEST_GROUPS = 3

# Planes are stored as 32-bit numbers: zones that scatter less than this share of the plane do not scatter.
_ROUNDING = 1e-6

_WEIGHTINGS = 3


@dataclass(frozen=True, eq=False)
class FittedPlane:
    """How a refinement describes one plane.

    Attributes:
        scale: s, in units of the values.
        calculated: the fitted series on the whole plane, shape (n, m), in units of the values.
        pixels: number of pixels that counted.
        zones: number of Brillouin zones they lie in.
        groups: number of groups of equivalent zones: the independent looks.
        degrees_of_freedom: bins of the folded zone less the parameters that this plane settles.
        chi_squared: sum over bins of n (mean residual)^2 / variance, the variance from the scatter between zones within
            bins; NaN where the zones do not scatter.
        pixel_chi_squared: sum w (o - c)^2, for weights 1/sigma^2; None otherwise.
        r_factor: sum |o - c| / sum |o| over the pixels that counted.
        weighted_r_factor: wR2, sqrt(sum w (o - c)^2 / sum w o^2).
    """

    scale: float
    calculated: Array
    pixels: int
    zones: int
    groups: int
    degrees_of_freedom: float
    chi_squared: float
    pixel_chi_squared: float | None
    r_factor: float
    weighted_r_factor: float


@dataclass(frozen=True, eq=False)
class Refinement:
    """What a refinement found. Parameters are a scale for each of the p planes and then one alpha for each orbit.

    Attributes:
        orbits: shells in the order of the parameters.
        alphas: dimensionless, shape (k,).
        covariance: of (scales, alphas), shape (p + k, p + k); zero rows for alphas at a bound.
        at_bound: -1 at the lower, 1 at the upper feasibility bound, 0 between, shape (k,).
        planes: what of it belongs to each plane.
    """

    orbits: tuple[Orbit, ...]
    alphas: Array
    covariance: Array
    at_bound: npt.NDArray[np.int_]
    planes: tuple[FittedPlane, ...]

    @property
    def uncertainties(self) -> Array:
        """Standard uncertainties of the alphas, shape (k,); NaN at a bound."""
        sigma = np.sqrt(np.diag(self.covariance)[len(self.planes) :])
        return np.where(self.at_bound == 0, sigma, np.nan)

    @property
    def scale_uncertainties(self) -> Array:
        """Standard uncertainties of the scales, shape (p,)."""
        sigma: Array = np.sqrt(np.diag(self.covariance)[: len(self.planes)])
        return sigma

    @property
    def correlations(self) -> Array:
        """Correlation matrix of (scales, alphas), shape (p + k, p + k); NaN beside an uncertainty that is zero."""
        sigma = np.sqrt(np.diag(self.covariance))
        with np.errstate(invalid="ignore", divide="ignore"):
            matrix: Array = self.covariance / np.outer(sigma, sigma)
        return matrix

    @property
    def groups(self) -> int:
        """Independent looks of all planes."""
        return sum(plane.groups for plane in self.planes)

    @property
    def degrees_of_freedom(self) -> float:
        """Of all planes."""
        return sum(plane.degrees_of_freedom for plane in self.planes)

    @property
    def chi_squared(self) -> float:
        """Of all planes; NaN where the zones of one do not scatter."""
        return sum(plane.chi_squared for plane in self.planes)


def orbit_series(orbit: Orbit, grid: PlaneGrid) -> Array:
    """sum over the orbit's vectors of cos 2 pi (h i + k j + l k) on a plane, shape of the grid."""
    name, vectors = grid.name, orbit.vectors
    rows, columns = (
        np.exp(2j * np.pi * np.outer(coordinates, vectors @ direction))
        for coordinates, direction in zip((grid.rows, grid.columns), name.vectors, strict=True)
    )
    origin = np.exp(2j * np.pi * (vectors @ name.origin))
    series: Array = ((rows * origin) @ columns.T).real
    return series


def refine(
    planes: Sequence[PlaneData],
    orbits: Sequence[Orbit],
    *,
    errors_from: ErrorsFrom = "zones",
    alpha_bounds: tuple[float, float] | None = None,
) -> Refinement:
    """One set of alphas for one or more planes of a crystal, and the scale of each plane.

    Several planes count in proportion to how well the fit describes each: their weights are brought to one
    variance, unless all of them are 1 / sigma^2 already.

    Args:
        planes: what is fitted, one or more, each on its own grid and with zones of its own.
        orbits: what to refine, one or more.
        errors_from: zones takes uncertainties from the scatter between groups of equivalent zones and from the
            misfit that all zones share; pixels takes every pixel for independent and scales by the misfit.
        alpha_bounds: lowest and highest alpha that is feasible.

    Raises:
        InputError: shapes differ, the pixels do not settle the parameters (which is said by name), the zones are too
            few, or a constant term is not positive.
    """
    terms, names = [_term(plane, orbits) for plane in planes], _names(planes, orbits)
    if len(planes) == 1:
        check_rank(terms[0].design, terms[0].weights, names)
    groups = sum(plane.groups for plane in planes)
    if errors_from == "zones" and groups < FEWEST_GROUPS:
        raise InputError(
            f"{groups} independent zones of the plane count: expected at least {FEWEST_GROUPS} for uncertainties from"
            " their scatter, or --errors-from pixels"
        )
    found = fit_bilinear(terms, alpha_bounds)
    if len(planes) > 1 and not all(plane.inverse_variances for plane in planes):
        for _ in range(_WEIGHTINGS):
            terms = _of_one_variance(terms, found)
            found = fit_bilinear(terms, alpha_bounds)
    for plane, term, scale in zip(planes, terms, found.scales.tolist(), strict=True):
        if not scale > 1e-9 * float(np.abs(term.values).max()):
            raise InputError(
                f"the constant term of the series comes out as {scale:.3g} in {plane.grid.name}: expected a positive"
                " one, so the floor of I_SRO is too low, or these vectors do not describe the plane"
            )

    # Alphas at a bound are constants.
    free = np.concatenate([np.ones(len(planes), bool), found.at_bound == 0])
    jacobian = _jacobian(terms, found)[:, free]
    weight = np.concatenate([term.weights for term in terms])
    if len(planes) > 1:
        # Where scales and alphas are what they are: there a plane may tell vectors apart by their ratio to others.
        check_rank(jacobian, weight, [name for name, each in zip(names, free, strict=True) if each])
    windows = None
    if errors_from == "zones":
        each = [plane.zones.windows[:, np.flatnonzero(plane.used)] for plane in planes]
        windows = block_diag(each, format="csr")
    # This close to the minimum the series is linear in its parameters; the step is what rounding left of the way.
    last = fit(jacobian, _residuals(terms, found), weight, windows)
    parameters = np.concatenate([found.scales, found.alphas])
    parameters[free] += last.coefficients
    scales, alphas = parameters[: len(planes)], parameters[len(planes) :]

    inverse = np.linalg.inv((jacobian * weight[:, None]).T @ jacobian)
    influence, described = [last.influence], []
    ends = np.cumsum([len(term.values) for term in terms])
    first_window = 0
    for plane, term, end, scale in zip(planes, terms, ends.tolist(), scales.tolist(), strict=True):
        part = slice(end - len(term.values), end)
        weighted = jacobian[part] * term.weights[:, None]
        normal = weighted.T @ jacobian[part]
        residuals = last.residuals[part]
        hkl = plane.grid.hkl()[plane.used]
        misfit = misfit_of(residuals, term.weights, plane.zones.zone[plane.used], hkl, plane.grid)
        degrees = round(misfit.bins - float(np.trace(inverse @ normal)), 6)
        if plane.floor_influence is not None:
            # Along with a constant on this plane, in so far as the fit follows it.
            more = np.outer(plane.floor_influence, inverse @ weighted.sum(axis=0))
            if windows is None:
                influence.append(more)
            else:
                influence[0][first_window : first_window + len(more)] += more
        first_window += plane.zones.windows.shape[0]
        if windows is not None and degrees > 0:
            influence.append(misfit.beyond(degrees) * root_of(normal) @ inverse)
        described.append(_described(plane, term, scale, alphas, orbits, residuals, misfit, degrees))
    spread = np.zeros((sum(map(len, influence)), len(parameters)))
    spread[:, free] = np.concatenate(influence)
    return Refinement(tuple(orbits), alphas, spread.T @ spread, found.at_bound, tuple(described))


def _names(planes: Sequence[PlaneData], orbits: Sequence[Orbit]) -> list[str]:
    scales = [f"the scale of {plane.grid.name}" for plane in planes] if len(planes) > 1 else ["the scale"]
    return [*scales, *(orbit.name for orbit in orbits)]


def _term(plane: PlaneData, orbits: Sequence[Orbit]) -> Term:
    check_weights(plane.values, plane.weights, plane.grid.shape)
    values, weights = (each[plane.used].astype(np.float64) for each in (plane.values, plane.weights))
    if not np.isfinite(values).all():
        raise InputError("values: found NaN or infinity where the weight is positive, expected finite ones")
    if not len(values):
        raise InputError(f"plane {plane.grid.name}: found no pixel that counts, expected some")
    columns = [np.ones(len(values)), *(orbit_series(orbit, plane.grid)[plane.used] for orbit in orbits)]
    return Term(np.column_stack(columns), values, weights)


def _of_one_variance(terms: Sequence[Term], found: BilinearFit) -> list[Term]:
    """The planes with weights that make the weighted mean squared residual of each 1."""
    weighed = []
    for term, scale in zip(terms, found.scales, strict=True):
        residuals = term.values - scale * term.shape(found.alphas)
        rounding = (_ROUNDING * float(np.abs(term.values).max())) ** 2 * float(np.mean(term.weights))
        variance = float(np.mean(term.weights * residuals**2))
        weighed.append(replace(term, weights=term.weights / max(variance, rounding)))
    return weighed


def _residuals(terms: Sequence[Term], found: BilinearFit) -> Array:
    """Of all planes, shape (n,)."""
    pairs = zip(terms, found.scales, strict=True)
    return np.concatenate([term.values - scale * term.shape(found.alphas) for term, scale in pairs])


def _jacobian(terms: Sequence[Term], found: BilinearFit) -> Array:
    """Derivatives of all planes by scales and alphas, shape (n, p + k)."""
    blocks = []
    for number, (term, scale) in enumerate(zip(terms, found.scales, strict=True)):
        by_scales = np.zeros((len(term.values), len(terms)))
        by_scales[:, number] = term.shape(found.alphas)
        blocks.append(np.column_stack([by_scales, scale * term.design[:, 1:]]))
    return np.concatenate(blocks)


def _described(
    plane: PlaneData,
    term: Term,
    scale: float,
    alphas: Array,
    orbits: Sequence[Orbit],
    residuals: Array,
    misfit: Misfit,
    degrees: float,
) -> FittedPlane:
    series = [alpha * orbit_series(orbit, plane.grid) for alpha, orbit in zip(alphas, orbits, strict=True)]
    weights = plane.weights[plane.used].astype(np.float64)
    rounding = float(np.mean(term.weights)) * (_ROUNDING * float(np.abs(term.values).max())) ** 2
    return FittedPlane(
        scale=scale,
        calculated=scale * (1 + np.sum(series, axis=0)),
        pixels=len(term.values),
        zones=len(np.unique(plane.zones.zone[plane.used])),
        groups=plane.groups,
        degrees_of_freedom=degrees,
        chi_squared=misfit.repeated / misfit.scatter if misfit.scatter > rounding else np.nan,
        pixel_chi_squared=float(weights @ residuals**2) if plane.inverse_variances else None,
        r_factor=float(np.abs(residuals).sum() / np.abs(term.values).sum()),
        weighted_r_factor=float(np.sqrt(weights @ residuals**2 / (weights @ term.values**2))),
    )
