"""The terms of a refinement: its columns and derivatives, plane by plane, and what their parameters are called."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dsfunet._typing import Array
from dsfunet.analysis.formatting import with_uncertainty
from dsfunet.analysis.refinement.bilinear import BilinearFit, Term
from dsfunet.analysis.refinement.data import PlaneData
from dsfunet.errors import InputError
from dsfunet.physics.cosine_series import check_weights
from dsfunet.physics.symmetry import Orbit
from dsfunet.planes.measured import PlaneGrid

ROUNDING = 1e-6
"""Share of a plane below which its scatter is rounding: planes are stored as 32-bit numbers."""

DISPLACEMENT_PRIOR_ANGSTROM = 0.1
"""Prior standard deviation of the parameters of a size effect [Angstrom]."""

SHARE_PRIOR, SHARE_UNIT = 1.0, "of the mean intensity"
"""Prior standard deviation and unit of the amplitudes of backgrounds and thermal scattering."""

_MOST_SHOWN = 12
_CONVINCING = 5.0  # gain in the logarithm of the evidence


@dataclass(frozen=True)
class FurtherParameter:
    """A parameter that was refined beside scales and alphas.

    Attributes:
        name: such as "B", "size effect 1 0 0" or "flat background".
        value: in its unit.
        standard_uncertainty: likewise.
        unit: such as "Angstrom^2".
    """

    name: str
    value: float
    standard_uncertainty: float
    unit: str


def orbit_series(orbit: Orbit, grid: PlaneGrid) -> Array:
    """Return the sum over an orbit of cos 2 pi (h i + k j + l k), the cosines of equation (3); shape of the grid.

    For the orbits of a layer, the harmonics are multiplied by their coefficients.
    """
    name, vectors = grid.name, orbit.components
    rows, columns = (
        np.exp(2j * np.pi * np.outer(coordinates, vectors @ direction))
        for coordinates, direction in zip((grid.rows, grid.columns), name.vectors, strict=True)
    )
    origin = np.exp(2j * np.pi * (vectors @ name.origin))
    if orbit.coefficients is not None:
        origin = origin * orbit.coefficients
    series: Array = ((rows * origin) @ columns.T).real
    return series


def term_of(plane: PlaneData, orbits: Sequence[Orbit]) -> Term:
    """Return the pixels of a plane that count, as a term of the bilinear fit.

    Raises:
        InputError: the weights are not usable, or no pixel counts.
    """
    check_weights(plane.values, plane.weights, plane.grid.shape)
    values, weights = (each[plane.used].astype(np.float64) for each in (plane.values, plane.weights))
    if not np.isfinite(values).all():
        raise InputError(
            f"plane {plane.grid.name}: found NaN or infinity where the weight is positive; expected finite values"
        )
    if not len(values):
        raise InputError(f"plane {plane.grid.name}: all weights are 0; expected some positive weights")
    columns = [np.ones(len(values)), *(orbit_series(orbit, plane.grid)[plane.used] for orbit in orbits)]
    columns += [series[plane.used] for _, series in plane.displacements]
    added = np.column_stack([each[plane.used] for _, each, _ in plane.added]) if plane.added else None
    return Term(np.column_stack(columns), values, weights, added)


def name_parameters(planes: Sequence[PlaneData], orbits: Sequence[Orbit]) -> list[str]:
    """Return the names of all parameters but B, for error messages."""
    scales = [f"the scale of {plane.grid.name}" for plane in planes] if len(planes) > 1 else ["the scale"]
    shared = [name for name, _ in planes[0].displacements]
    own = [name for plane in planes for name, _, _ in plane.added]
    return [*scales, *(orbit.name for orbit in orbits), *shared, *own]


def weigh_alike(terms: Sequence[Term], found: BilinearFit) -> list[Term]:
    """Return the planes with weights scaled so that the weighted mean squared residual of each is 1."""
    weighed = []
    for term, scale in zip(terms, found.scales, strict=True):
        residuals = term.residuals(scale, found.alphas)
        rounding = (ROUNDING * float(np.abs(term.values).max())) ** 2 * float(np.mean(term.weights))
        variance = float(np.mean(term.weights * residuals**2))
        weighed.append(replace(term, weights=term.weights / max(variance, rounding)))
    return weighed


def residuals_of(terms: Sequence[Term], found: BilinearFit) -> Array:
    """Return the residuals of all planes, shape (n,)."""
    pairs = zip(terms, found.scales, strict=True)
    return np.concatenate([term.values - scale * term.shape(found.alphas) for term, scale in pairs])


def derivatives_of(planes: Sequence[PlaneData], terms: Sequence[Term], found: BilinearFit) -> Array:
    """Return the derivatives of all planes with respect to all parameters, shape (n, parameters).

    These are the scales, what the planes share (alphas and displacements), the added terms of each plane, and B.
    """
    blocks = []
    before, total = 0, sum(len(plane.added) for plane in planes)
    for number, (plane, term, scale) in enumerate(zip(planes, terms, found.scales, strict=True)):
        shape = term.shape(found.alphas)
        by_scales = np.zeros((len(term.values), len(terms)))
        by_scales[:, number] = shape
        by_added = np.zeros((len(term.values), total))
        if term.added is not None:
            by_added[:, before : before + len(plane.added)] = term.added
        before += len(plane.added)
        columns = [by_scales, scale * term.design[:, 1:], by_added]
        if plane.exponent is not None:
            columns.append((-scale * plane.exponent[plane.used] * shape)[:, None])
        blocks.append(np.column_stack(columns))
    return np.concatenate(blocks)


def list_further(
    planes: Sequence[PlaneData], values: Array, covariance: Array
) -> tuple[tuple[FurtherParameter, ...], float | None]:
    """Return the parameters after scales and alphas, and by how much all but B raise the logarithm of the evidence.

    Args:
        planes: the data.
        values: of displacements, added terms and B.
        covariance: of these.
    """
    names = [name for name, _ in planes[0].displacements]
    shares, units = [1.0] * len(names), ["Å"] * len(names)
    priors = [DISPLACEMENT_PRIOR_ANGSTROM] * len(names)
    for plane in planes:
        for name, _, share in plane.added:
            names.append(f"{name} of {plane.grid.name}" if len(planes) > 1 else name)
            shares.append(share)
            units.append(SHARE_UNIT)
            priors.append(SHARE_PRIOR)
    count = len(names)
    found = group_parameters(names, shares, units, values[:count], covariance[:count, :count])
    gain = gain_of_evidence(values[:count], covariance[:count, :count], np.array(priors)) if count else None
    if planes[0].exponent is not None:
        found.append(
            FurtherParameter(
                "B", planes[0].b_angstrom2 + float(values[-1]), float(np.sqrt(covariance[-1, -1])), "Å²"
            )
        )
    return tuple(found), gain


def group_parameters(
    names: Sequence[str], shares: Sequence[float], units: Sequence[str], values: Array, covariance: Array
) -> list[FurtherParameter]:
    """Return one parameter for each name: the sum of values times shares of all entries with that name.

    Args:
        names: k names, alike for terms of one kind.
        shares: factors of the values, such as the mean of a term of a background.
        units: of the values.
        values: shape (k,).
        covariance: of the values, shape (k, k).
    """
    found = []
    for name in dict.fromkeys(names):
        factors = np.array(
            [share if each == name else 0.0 for each, share in zip(names, shares, strict=True)]
        )
        sigma = float(np.sqrt(max(factors @ covariance @ factors, 0.0)))
        found.append(FurtherParameter(name, float(factors @ values), sigma, units[names.index(name)]))
    return found


def gain_of_evidence(values: Array, covariance: Array, priors: Array) -> float:
    """Return by how much parameters raise the logarithm of the evidence over leaving them 0 (Laplace).

    Args:
        values: estimates without a prior, shape (k,).
        covariance: of these, shape (k, k).
        priors: standard deviations of Gaussian priors about 0, shape (k,).
    """
    information = np.linalg.pinv(covariance, hermitian=True)
    posterior = np.linalg.inv(information + np.diag(priors**-2.0))
    pull = information @ values
    return 0.5 * float(pull @ posterior @ pull + np.linalg.slogdet(posterior * priors**-2.0)[1])


def describe_further(further: Sequence[FurtherParameter], gain: float | None = None) -> list[str]:
    """Return lines for the report on parameters that were refined beside scales and alphas, B left out.

    Args:
        further: the parameters.
        gain: in the logarithm of the evidence by them.
    """
    shown = [each for each in further if each.name != "B"]
    lines = [
        f"term       {each.name}: {with_uncertainty(each.value, each.standard_uncertainty)} {each.unit}"
        for each in shown[:_MOST_SHOWN]
    ]
    if len(shown) > _MOST_SHOWN:
        lines.append(f"term       and {len(shown) - _MOST_SHOWN} more, in the JSON file")
    if gain is not None:
        what = "the data ask for these terms" if gain > _CONVINCING else "the data do not ask for these terms"
        lines.append(f"           logarithm of the evidence: {gain:+.0f} with them; {what}")
    return lines
