"""Warren-Cowley parameters where the species are known: planes are divided by the I_FF of a structural model.

The form factor of the networks is not used. The model's I_FF, equation (1) of Fuller & Rudden (2024), is multiplied by
exp(-B |Q|^2 / 8 pi^2) with one isotropic B for all planes. B is given, or refined with the alphas so that the product
of form factor and series fits I best.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from dsfunet._typing import Array
from dsfunet.analysis.models.fit import B_LIMITS_ANGSTROM2, best_b, limits_of_b
from dsfunet.analysis.models.model_names import ModelPair
from dsfunet.analysis.refinement.bilinear import fit_triangles
from dsfunet.analysis.refinement.data import PlaneData
from dsfunet.analysis.refinement.terms import term_of
from dsfunet.errors import InputError
from dsfunet.physics import form_factor_intensity
from dsfunet.physics.scattering import RADIATIONS, XRAYS, Scattering, shown_radiation
from dsfunet.physics.symmetry import Orbit
from dsfunet.planes.measured import PlaneGrid

_B_KNOTS_ANGSTROM2 = (0.0, 1.0, 2.5, 5.0, 10.0, 20.0)
_FAR_BETTER = 0.7  # share of the sum of squares from which another radiation is worth a sentence
_B_TOLERANCE_ANGSTROM2 = 1e-4  # far below the precision of the data


def damped_form_factor(
    model: ModelPair, grid: PlaneGrid, b_angstrom2: float, scattering: Scattering = XRAYS
) -> Array:
    """Return the I_FF of a model, equation (1), with an isotropic Debye-Waller factor.

    Args:
        model: the two species.
        grid: of the plane, shape (n, m).
        b_angstrom2: isotropic B [Angstrom^2] in exp(-B |Q|^2 / 8 pi^2), added to those of the atoms.
        scattering: the radiation.

    Returns:
        I_FF of one cell for m_A = m_B = 1/2, shape (n, m), in electrons^2 or the square of the unit of F.

    Raises:
        InputError: an element has no factor for this radiation.
    """
    plane = grid.plane
    q_squared = plane.q_squared()
    intensity = form_factor_intensity(
        model.first, model.second, plane, q_squared=q_squared, scattering=scattering
    )
    damped: Array = intensity * np.exp(-b_angstrom2 / (8 * np.pi**2) * q_squared)
    return damped


def prepare_known(
    model: ModelPair,
    grids: Sequence[PlaneGrid],
    prepare: Callable[[Sequence[Array]], list[PlaneData]],
    orbits: Sequence[Orbit],
    b_angstrom2: float | None = None,
    scattering: Scattering = XRAYS,
) -> tuple[list[PlaneData], float, float | None]:
    """Return the data of planes divided by the form factor of a model, and its B [Angstrom^2], given or refined.

    For a refined B, the sum over planes of wR2 squared comes with it, as of `refine_debye_waller`.

    Args:
        model: the two species.
        grids: of the planes.
        prepare: returns the data of the planes, divided by form factors, one for each.
        orbits: whose alphas are refined with B.
        b_angstrom2: B, if it is given.
        scattering: the radiation.

    Raises:
        InputError: `prepare` raises it, or as `refine_debye_waller`.
    """
    bare = [damped_form_factor(model, grid, 0.0, scattering) for grid in grids]
    exponents = [exponent_of(grid) for grid in grids]

    def damped(b: float) -> list[PlaneData]:
        return prepare([each * np.exp(-b * k) for each, k in zip(bare, exponents, strict=True)])

    if b_angstrom2 is not None:
        return damped(b_angstrom2), b_angstrom2, None
    low = limits_of_b(model)[0]
    b, misfit = refine_debye_waller(
        damped(0.0), orbits, [low, *_B_KNOTS_ANGSTROM2] if low < 0 else _B_KNOTS_ANGSTROM2
    )
    planes = damped(b)
    if b > low:
        planes = [
            replace(plane, exponent=exponent, b_angstrom2=b)
            for plane, exponent in zip(planes, exponents, strict=True)
        ]
    return planes, b, misfit


def note_other_radiation(
    model: ModelPair,
    grids: Sequence[PlaneGrid],
    prepare: Callable[[Sequence[Array]], list[PlaneData]],
    orbits: Sequence[Orbit],
    scattering: Scattering,
    own: float | None = None,
) -> list[str]:
    """Return a note if another radiation would leave far less of the planes than the one that was given.

    Args:
        model: the two species.
        grids: of the planes.
        prepare: as for `prepare_known`.
        orbits: whose alphas are refined.
        scattering: the radiation that was given.
        own: what that one leaves, as of `prepare_known`; None if it is not known.
    """
    misfits = {} if own is None else {scattering.radiation: own}
    for radiation in RADIATIONS:
        if radiation in misfits:
            continue
        tried = scattering if radiation == scattering.radiation else Scattering(radiation)
        try:
            bare = [damped_form_factor(model, grid, 0.0, tried) for grid in grids]
            misfits[radiation] = refine_debye_waller(prepare(bare), orbits)[1]
        except InputError:
            continue  # an element without a factor, or a form factor that cannot be the one of the planes
    own = misfits.get(scattering.radiation, float(np.inf))
    best = min(misfits, key=lambda radiation: misfits[radiation], default=scattering.radiation)
    if best == scattering.radiation or misfits[best] > _FAR_BETTER * own:
        return []
    name = shown_radiation(best)
    share = f" {100 * np.sqrt(misfits[best] / len(grids)):.1f} %"
    left = f" instead of {100 * np.sqrt(own / len(grids)):.1f} %" if np.isfinite(own) else ""
    return [
        f"the factors of {name} leave wR2{share}{left}: was the crystal measured with {name}? Then use --radiation"
        f" {best}"
    ]


def refine_debye_waller(
    planes: Sequence[PlaneData],
    orbits: Sequence[Orbit],
    knots: Sequence[float] = _B_KNOTS_ANGSTROM2,
) -> tuple[float, float]:
    """Find the B [Angstrom^2] that minimises the sum over planes of wR2 squared; alphas are refined for each B.

    This wR2 is that of I itself, because the weights are the squares of the form factor that divides I. For each B a
    plane counts only through the triangle of `Term.triangle`, so that one B takes milliseconds.

    Args:
        planes: the data, divided by the form factor without a B.
        orbits: whose alphas are refined.
        knots: values of B [Angstrom^2] in increasing order, between the first and last of which it is looked for.

    Returns:
        B and that sum.

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
    return b, misfit(b)


def exponent_of(grid: PlaneGrid) -> Array:
    """Return |Q|^2 / 8 pi^2 of a plane [1/Angstrom^2], shape (n, m)."""
    return np.asarray(grid.plane.q_squared() / (8 * np.pi**2))
