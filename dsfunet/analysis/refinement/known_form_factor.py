"""Warren-Cowley parameters where the species are known: planes are divided by the I_FF of a structural model.

The form factor of the networks is not used. The model's I_FF, equation (1) of Fuller & Rudden (2024), is multiplied by
exp(-B |Q|^2 / 8 pi^2) with one isotropic B for all planes. B is given, or refined with the alphas so that the product
of form factor and series fits I best.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from dsfunet._typing import Array
from dsfunet.analysis.models.fit import B_LIMITS_ANGSTROM2, best_b
from dsfunet.analysis.models.model_names import ModelPair
from dsfunet.analysis.refinement.bilinear import fit_triangles
from dsfunet.analysis.refinement.data import PlaneData
from dsfunet.analysis.refinement.terms import term_of
from dsfunet.errors import InputError
from dsfunet.physics import form_factor_intensity
from dsfunet.physics.symmetry import Orbit
from dsfunet.planes.measured import PlaneGrid

_B_KNOTS_ANGSTROM2 = (0.0, 1.0, 2.5, 5.0, 10.0, 20.0)
_B_TOLERANCE_ANGSTROM2 = 1e-4  # far below the precision of the data


def damped_form_factor(model: ModelPair, grid: PlaneGrid, b_angstrom2: float) -> Array:
    """Return the I_FF of a model, equation (1), with an isotropic Debye-Waller factor.

    Args:
        model: the two species.
        grid: of the plane, shape (n, m).
        b_angstrom2: isotropic B [Angstrom^2] in exp(-B |Q|^2 / 8 pi^2).

    Returns:
        I_FF of one cell for m_A = m_B = 1/2 [electrons^2], shape (n, m).
    """
    plane = grid.plane
    q_squared = plane.q_squared()
    intensity = form_factor_intensity(model.first, model.second, plane, q_squared=q_squared)
    damped: Array = intensity * np.exp(-b_angstrom2 / (8 * np.pi**2) * q_squared)
    return damped


def prepare_known(
    model: ModelPair,
    grids: Sequence[PlaneGrid],
    prepare: Callable[[Sequence[Array]], list[PlaneData]],
    orbits: Sequence[Orbit],
    b_angstrom2: float | None = None,
) -> tuple[list[PlaneData], float]:
    """Return the data of planes divided by the form factor of a model, and its B [Angstrom^2], given or refined.

    Args:
        model: the two species.
        grids: of the planes.
        prepare: returns the data of the planes, divided by form factors, one for each.
        orbits: whose alphas are refined with B.
        b_angstrom2: B, if it is given.

    Raises:
        InputError: `prepare` raises it, or as `refine_debye_waller`.
    """
    bare = [damped_form_factor(model, grid, 0.0) for grid in grids]
    exponents = [exponent_of(grid) for grid in grids]

    def damped(b: float) -> list[PlaneData]:
        return prepare([each * np.exp(-b * k) for each, k in zip(bare, exponents, strict=True)])

    if b_angstrom2 is not None:
        return damped(b_angstrom2), b_angstrom2
    b = refine_debye_waller(damped(0.0), orbits)
    return [
        replace(plane, exponent=exponent) for plane, exponent in zip(damped(b), exponents, strict=True)
    ], b


def refine_debye_waller(
    planes: Sequence[PlaneData],
    orbits: Sequence[Orbit],
    knots: Sequence[float] = _B_KNOTS_ANGSTROM2,
) -> float:
    """Find the B [Angstrom^2] that minimises the sum over planes of wR2 squared; alphas are refined for each B.

    This wR2 is that of I itself, because the weights are the squares of the form factor that divides I. For each B a
    plane counts only through the triangle of `Term.triangle`, so that one B takes milliseconds.

    Args:
        planes: the data, divided by the form factor without a B.
        orbits: whose alphas are refined.
        knots: values of B [Angstrom^2] in increasing order, between the first and last of which it is looked for.

    Raises:
        InputError: the pixels do not settle the alphas, or the best B is the largest allowed.
    """
    terms = [term_of(plane, orbits) for plane in planes]
    exponents = [exponent_of(plane.grid)[plane.used] for plane in planes]

    def misfit(b_angstrom2: float) -> float:
        triangles = [
            term.triangle(np.exp(-b_angstrom2 * exponent))
            for term, exponent in zip(terms, exponents, strict=True)
        ]
        return fit_triangles(triangles)[1]

    b = best_b(misfit, knots, _B_TOLERANCE_ANGSTROM2)
    if b >= B_LIMITS_ANGSTROM2[1]:
        raise InputError(
            f"the refined B of the model is at its limit of {B_LIMITS_ANGSTROM2[1]:g} Angstrom^2; use a model that"
            " matches the plane, or give B with --b-iso-angstrom2"
        )
    return b


def exponent_of(grid: PlaneGrid) -> Array:
    """Return |Q|^2 / 8 pi^2 of a plane [1/Angstrom^2], shape (n, m)."""
    return np.asarray(grid.plane.q_squared() / (8 * np.pi**2))
