"""The terms of a refinement: its columns and derivatives, plane by plane, and what their parameters are called."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dsfunet._typing import Array
from dsfunet.analysis.refinement.bilinear import BilinearFit, Term
from dsfunet.analysis.refinement.data import PlaneData
from dsfunet.errors import InputError
from dsfunet.physics.cosine_series import check_weights
from dsfunet.physics.symmetry import Orbit
from dsfunet.planes.measured import PlaneGrid

ROUNDING = 1e-6
"""Share of a plane below which its scatter is rounding: planes are stored as 32-bit numbers."""


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
    added = np.column_stack([each[plane.used] for _, each in plane.added]) if plane.added else None
    return Term(np.column_stack(columns), values, weights, added)


def name_parameters(planes: Sequence[PlaneData], orbits: Sequence[Orbit]) -> list[str]:
    """Return the names of all parameters but B, for error messages."""
    scales = [f"the scale of {plane.grid.name}" for plane in planes] if len(planes) > 1 else ["the scale"]
    shared = [name for name, _ in planes[0].displacements]
    own = [name for plane in planes for name, _ in plane.added]
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
    planes: Sequence[PlaneData], values: Array, sigmas: Array, start: int
) -> tuple[FurtherParameter, ...]:
    """Return the parameters after scales and alphas: displacements, added terms and B."""
    entries = [(name, "Angstrom") for name, _ in planes[0].displacements]
    several = len(planes) > 1
    entries += [
        (f"{name} of {plane.grid.name}" if several else name, plane.unit_of_added)
        for plane in planes
        for name, _ in plane.added
    ]
    if planes[0].exponent is not None:
        entries.append(("B", "Angstrom^2"))
    return tuple(
        FurtherParameter(name, float(values[start + number]), float(sigmas[start + number]), unit)
        for number, (name, unit) in enumerate(entries)
    )
