"""Warren-Cowley parameters from planes of I_SRO of one crystal on a known lattice, by least squares.

On plane p, equation (3) with a scale: I_SRO(Q) = s_p (1 + sum_orbits alpha_o sum_{v in o} cos 2 pi (h i + k j + l k)).
All planes share one set of alphas. Each has a scale of its own, because normalisation removed it. For one plane the
problem is linear in s and s alpha; for several see `bilinear`.

On one layer l, vectors that differ only along the third axis are the same cosine. If only vectors in the plane are
refined, as in Fuller & Rudden (2024), each coefficient is the sum of alpha cos(2 pi k l) over k, and the constant term
is 1 + sum alpha_00k cos(2 pi k l); their ratio is the in-plane alpha if correlations along the third axis vanish.
Layers at different l, and planes of other orientations, distinguish such vectors.

The fit is to all pixels. Folding first would blur each bin and gain nothing, because the normal equations already add
up the zones. Pixels of one zone share the errors of whatever produced them, so covariances come from the scatter
between the zones of all planes (`least_squares.fit`). Errors that repeat in every zone do not scatter, but the part of
them that is no cosine of the series remains in the folded map. The part of that misfit that exceeds the scatter is
taken as an estimate of the same error in the fitted harmonics and is added to the covariance, as if each bin of the
zone had a random error.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import block_diag

from dsfunet._typing import Array
from dsfunet.analysis.refinement.bilinear import BilinearFit, Term, fit_triangles
from dsfunet.analysis.refinement.data import ErrorsFrom, PlaneData
from dsfunet.analysis.refinement.least_squares import check_rank, fit, root_of
from dsfunet.analysis.refinement.terms import (
    ROUNDING,
    FurtherParameter,
    derivatives_of,
    list_further,
    name_parameters,
    residuals_of,
    term_of,
    weigh_alike,
)
from dsfunet.analysis.refinement.zones import Misfit, misfit_of
from dsfunet.errors import InputError
from dsfunet.physics.symmetry import Orbit

FEWEST_GROUPS = 3
"""The smallest number of independent zones whose scatter gives uncertainties."""

_WEIGHTINGS = 3


@dataclass(frozen=True, eq=False)
class FittedPlane:
    """The fit of one plane of a refinement.

    Attributes:
        scale: s, in units of the values.
        calculated: the fitted values, shape (n, m), in the same units; NaN in pixels that do not count where the form
            factor is known.
        pixels: number of pixels that counted.
        zones: number of Brillouin zones in which they lie.
        groups: number of groups of equivalent zones, which are the independent observations.
        degrees_of_freedom: number of bins of the folded zone minus the number of parameters that this plane determines.
        chi_squared: sum over bins of n (mean residual)^2 / variance, with the variance from the scatter between zones
            within bins; NaN where the zones do not scatter.
        pixel_chi_squared: sum w (o - c)^2 for weights 1/sigma^2; None for other weights.
        r_factor: sum |o - c| / sum |o| over the pixels that counted.
        weighted_r_factor: wR2, sqrt(sum w (o - c)^2 / sum w o^2).
        noise_r_factor: R that the noise of the plane alone would give; None if it is not known.
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
    noise_r_factor: float | None = None


@dataclass(frozen=True, eq=False)
class Refinement:
    """Refined Warren-Cowley parameters: a scale for each of p planes, then an alpha for each of k orbits.

    Attributes:
        orbits: of lattice vectors, in the order of the alphas.
        alphas: dimensionless, shape (k,).
        covariance: of (scales, alphas), shape (p + k, p + k); zero rows for alphas at a bound.
        at_bound: -1 at the lower bound, 1 at the upper bound, 0 between, shape (k,).
        planes: the fit of each plane.
        further: other parameters that were refined with them; their errors are part of those of the alphas.
        evidence_gain: in its logarithm, by the further parameters but B; None without any.
    """

    orbits: tuple[Orbit, ...]
    alphas: Array
    covariance: Array
    at_bound: npt.NDArray[np.int_]
    planes: tuple[FittedPlane, ...]
    further: tuple[FurtherParameter, ...] = ()
    evidence_gain: float | None = None

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
        """Correlation matrix of (scales, alphas), shape (p + k, p + k); NaN where an uncertainty is zero."""
        sigma = np.sqrt(np.diag(self.covariance))
        with np.errstate(invalid="ignore", divide="ignore"):
            matrix: Array = self.covariance / np.outer(sigma, sigma)
        return matrix

    @property
    def groups(self) -> int:
        """Number of groups of equivalent zones of all planes."""
        return sum(plane.groups for plane in self.planes)

    @property
    def degrees_of_freedom(self) -> float:
        """Sum of the degrees of freedom of all planes."""
        return sum(plane.degrees_of_freedom for plane in self.planes)

    @property
    def chi_squared(self) -> float:
        """Sum of chi-squared of all planes; NaN where the zones of one plane do not scatter."""
        return sum(plane.chi_squared for plane in self.planes)


def refine(
    planes: Sequence[PlaneData],
    orbits: Sequence[Orbit],
    *,
    errors_from: ErrorsFrom = "zones",
    alpha_bounds: tuple[float, float] | None = None,
) -> Refinement:
    """Refine one set of alphas for one or more planes of a crystal, and the scale of each plane.

    Several planes count in proportion to the quality of their fits: their weights are brought to one variance, unless
    all of them are 1 / sigma^2 already.

    Args:
        planes: the data, one or more planes, each with its own grid and zones.
        orbits: the orbits to refine, one or more.
        errors_from: "zones" takes uncertainties from the scatter between groups of equivalent zones and from the misfit
            that all zones share; "pixels" treats every pixel as independent and scales by the misfit.
        alpha_bounds: lowest and highest allowed alpha.

    Raises:
        InputError: shapes differ, the pixels do not determine the parameters (which are named), there are too few
            zones, or a constant term is not positive.
    """
    terms: Sequence[Term] = [term_of(plane, orbits) for plane in planes]
    names = name_parameters(planes, orbits)
    if len(planes) == 1:
        first = terms[0]
        whole = first.design if first.added is None else np.column_stack([first.design, first.added])
        check_rank(whole, first.weights, names)
    if errors_from == "zones":
        _check_groups(planes)
    terms, found = _fit_scales_and_alphas(planes, terms, alpha_bounds)
    _check_scales(planes, terms, found)

    # Alphas at a bound are constants.
    jacobian = derivatives_of(planes, terms, found)
    free = np.ones(jacobian.shape[1], bool)
    free[len(planes) : len(planes) + len(orbits)] = found.at_bound[: len(orbits)] == 0
    jacobian = jacobian[:, free]
    weight = np.concatenate([term.weights for term in terms])
    if len(planes) > 1:
        # At the minimum, because a plane may distinguish vectors by the ratio of their alphas to others.
        names = [*names, *["B"] * (jacobian.shape[1] - sum(free[: len(names)]))]
        check_rank(jacobian, weight, [name for name, each in zip(names, free, strict=True) if each])
    windows = None
    if errors_from == "zones":
        each = [plane.zones.windows[:, np.flatnonzero(plane.used)] for plane in planes]
        windows = block_diag(each, format="csr")
    # This close to the minimum the series is linear in its parameters; the step removes what rounding left.
    last = fit(jacobian, residuals_of(terms, found), weight, windows)
    parameters = np.zeros(len(free))
    count = len(found.scales) + len(found.alphas)
    parameters[:count] = np.concatenate([found.scales, found.alphas])
    parameters[free] += last.coefficients
    scales, alphas = parameters[: len(planes)], parameters[len(planes) : len(planes) + len(orbits)]

    inverse = np.linalg.inv((jacobian * weight[:, None]).T @ jacobian)
    parts = _parts(planes, terms, jacobian, last.residuals, inverse)
    described = [_described(part, scale) for part, scale in zip(parts, scales.tolist(), strict=True)]
    influence = _influence(parts, last.influence, inverse, from_zones=windows is not None)
    spread = np.zeros((len(influence), len(parameters)))
    spread[:, free] = influence
    covariance, settled = spread.T @ spread, len(planes) + len(orbits)
    further, gain = list_further(planes, parameters[settled:], covariance[settled:, settled:])
    return Refinement(
        tuple(orbits),
        alphas,
        covariance[:settled, :settled],
        found.at_bound[: len(orbits)],
        tuple(described),
        further,
        gain,
    )


@dataclass(frozen=True, eq=False)
class _Part:
    """One plane at the minimum: its rows of the weighted jacobian (n, p + k), its residuals (n,) and its misfit."""

    plane: PlaneData
    term: Term
    weighted_jacobian: Array
    normal_matrix: Array
    residuals: Array
    misfit: Misfit
    degrees_of_freedom: float


def _check_groups(planes: Sequence[PlaneData]) -> None:
    groups = sum(plane.groups for plane in planes)
    if groups < FEWEST_GROUPS:
        raise InputError(
            f"found {groups} independent zones; expected {FEWEST_GROUPS} or more for uncertainties from their scatter,"
            " or --errors-from pixels"
        )


def _fit_scales_and_alphas(
    planes: Sequence[PlaneData], terms: Sequence[Term], alpha_bounds: tuple[float, float] | None
) -> tuple[Sequence[Term], BilinearFit]:
    """Return the terms with their final weights and the fit to them."""
    unbounded = len(planes[0].displacements)
    triangles = [term.triangle() for term in terms]
    found, _ = fit_triangles(triangles, alpha_bounds, unbounded)
    if len(planes) > 1 and not all(plane.inverse_variances for plane in planes):
        for _ in range(_WEIGHTINGS):
            reweighed = weigh_alike(terms, found)
            factors = [
                np.sqrt(new.weights[0] / old.weights[0]) for new, old in zip(reweighed, terms, strict=True)
            ]
            triangles = [factor * each for factor, each in zip(factors, triangles, strict=True)]
            terms = reweighed
            found, _ = fit_triangles(triangles, alpha_bounds, unbounded)
    return terms, found


def _check_scales(planes: Sequence[PlaneData], terms: Sequence[Term], found: BilinearFit) -> None:
    for plane, term, scale in zip(planes, terms, found.scales.tolist(), strict=True):
        if not scale > 1e-9 * float(np.abs(term.values).max()):
            raise InputError(
                f"plane {plane.grid.name}: the constant term of the series is {scale:.3g}; expected a positive one (the"
                " floor of I_SRO may be too low, or the vectors may not describe the plane)"
            )


def _parts(
    planes: Sequence[PlaneData], terms: Sequence[Term], jacobian: Array, residuals: Array, inverse: Array
) -> list[_Part]:
    """Return what belongs to each plane; `inverse` is the inverse of the normal matrix of all planes."""
    parts = []
    ends = np.cumsum([len(term.values) for term in terms])
    for plane, term, end in zip(planes, terms, ends.tolist(), strict=True):
        rows = slice(end - len(term.values), end)
        weighted = jacobian[rows] * term.weights[:, None]
        normal = weighted.T @ jacobian[rows]
        place = (plane.zones.zone[plane.used], plane.grid.hkl()[plane.used], plane.grid, plane.zones.repeat)
        misfit = misfit_of(residuals[rows], term.weights, *place)
        degrees = round(misfit.bins - float(np.trace(inverse @ normal)), 6)
        parts.append(_Part(plane, term, weighted, normal, residuals[rows], misfit, degrees))
    return parts


def _influence(parts: Sequence[_Part], of_fit: Array, inverse: Array, from_zones: bool) -> Array:
    """Return all contributions to the errors of the parameters: scatter, floors and shared misfit, shape (g, k)."""
    contributions = [of_fit]
    first_window = 0
    for part in parts:
        if part.plane.floor_influence is not None:
            # An error of the floor is a constant on this plane, which the fit partly follows.
            of_floor = np.outer(part.plane.floor_influence, inverse @ part.weighted_jacobian.sum(axis=0))
            if from_zones:
                of_fit[first_window : first_window + len(of_floor)] += of_floor
            else:
                contributions.append(of_floor)
        first_window += part.plane.zones.windows.shape[0]
        if from_zones and part.degrees_of_freedom > 0:
            shared = part.misfit.beyond_scatter(part.degrees_of_freedom)
            contributions.append(shared * root_of(part.normal_matrix) @ inverse)
    return np.concatenate(contributions)


def _described(part: _Part, scale: float) -> FittedPlane:
    plane, term, residuals = part.plane, part.term, part.residuals
    weights = plane.weights[plane.used].astype(np.float64)
    rounding = float(np.mean(term.weights)) * (ROUNDING * float(np.abs(term.values).max())) ** 2
    calculated = np.full(plane.grid.shape, np.nan)
    calculated[plane.used] = term.values - residuals
    return FittedPlane(
        scale=scale,
        calculated=calculated,
        pixels=len(term.values),
        zones=len(np.unique(plane.zones.zone[plane.used])),
        groups=plane.groups,
        degrees_of_freedom=part.degrees_of_freedom,
        chi_squared=part.misfit.repeated / part.misfit.scatter if part.misfit.scatter > rounding else np.nan,
        pixel_chi_squared=float(weights @ residuals**2) if plane.inverse_variances else None,
        r_factor=float(np.abs(residuals).sum() / np.abs(term.values).sum()),
        weighted_r_factor=float(np.sqrt(weights @ residuals**2 / (weights @ term.values**2))),
    )
