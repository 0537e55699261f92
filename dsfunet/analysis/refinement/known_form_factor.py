"""Warren-Cowley parameters where the species are known: planes are divided by the I_FF of a structural model.

The form factor of the networks is not used. The model's I_FF, equation (1) of Fuller & Rudden (2024), is multiplied by
exp(-B |Q|^2 / 8 pi^2) with one isotropic B for all planes. B is given, or refined with the alphas so that the product
of form factor and series fits I best.
"""

from collections.abc import Callable, Sequence

import numpy as np

from dsfunet._typing import Array
from dsfunet.analysis.models.fit import B_LIMITS_ANGSTROM2, best_b
from dsfunet.analysis.models.model_names import ModelPair
from dsfunet.analysis.refinement.data import PlaneData
from dsfunet.analysis.refinement.fit import Refinement
from dsfunet.errors import InputError
from dsfunet.physics import form_factor_intensity
from dsfunet.planes.measured import PlaneGrid

# Each value of B needs a refinement of its own, so only a few of them are tried to bracket the best.
_B_KNOTS_ANGSTROM2 = (0.0, 1.0, 2.5, 5.0, 10.0, 20.0)
_B_TOLERANCE_ANGSTROM2 = 5e-3  # far below the precision of the data


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


def refine_debye_waller(
    prepare: Callable[[float], Sequence[PlaneData]], refine: Callable[[Sequence[PlaneData]], Refinement]
) -> float:
    """Find the B [Angstrom^2] that minimises the sum over planes of wR2 squared; the alphas are refined for each B.

    This wR2 is that of I itself, because the weights are the squares of the form factor that divides I.

    Args:
        prepare: returns the data of the planes, divided by the form factor with a given B.
        refine: refines alphas and scales of such data.

    Raises:
        InputError: `prepare` or `refine` raise it, or the best B is the largest allowed.
    """

    def misfit(b_angstrom2: float) -> float:
        return sum(plane.weighted_r_factor**2 for plane in refine(prepare(b_angstrom2)).planes)

    b = best_b(misfit, _B_KNOTS_ANGSTROM2, _B_TOLERANCE_ANGSTROM2)
    if b >= B_LIMITS_ANGSTROM2[1]:
        raise InputError(
            f"the refined B of the model is at its limit of {B_LIMITS_ANGSTROM2[1]:g} Angstrom^2; use a model that"
            " matches the plane, or give B with --b-iso-angstrom2"
        )
    return b
