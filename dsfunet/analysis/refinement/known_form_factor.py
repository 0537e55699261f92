"""Warren-Cowley parameters where the species are known: the plane is divided by the I_FF of a structural model.

No network has a say then. The model's I_FF (equation 1) is damped by exp(-B |Q|^2 / 8 pi^2), with one isotropic B for
all planes, given or refined along with the alphas: the B with which form factor times series comes closest to I.
"""

from collections.abc import Callable, Sequence

import numpy as np

from dsfunet._typing import Array
from dsfunet.analysis.models.fit import B_LIMITS_ANGSTROM2, best_b
from dsfunet.analysis.models.model_names import ModelPair
from dsfunet.analysis.refinement.data import PlaneData
from dsfunet.analysis.refinement.fit import Refinement
from dsfunet.errors import InputError
from dsfunet.io import PlaneGrid
from dsfunet.physics import form_factor_intensity

# Every B asks for a refinement: a few of them enclose the best one.
_B_KNOTS_ANGSTROM2 = (0.0, 1.0, 2.5, 5.0, 10.0, 20.0)
_B_TOLERANCE_ANGSTROM2 = 5e-3  # far below what the data settle


def damped_form_factor(model: ModelPair, grid: PlaneGrid, b_angstrom2: float) -> Array:
    """I_FF of a model with an isotropic Debye-Waller factor [electrons^2], shape (n, m) of the grid."""
    plane = grid.plane
    q_squared = plane.q_squared()
    intensity = form_factor_intensity(model.first, model.second, plane, q_squared=q_squared)
    damped: Array = intensity * np.exp(-b_angstrom2 / (8 * np.pi**2) * q_squared)
    return damped


def refine_debye_waller(
    prepare: Callable[[float], Sequence[PlaneData]], refine: Callable[[Sequence[PlaneData]], Refinement]
) -> float:
    """The B [Angstrom^2] that, with the alphas refined anew for each, leaves the smallest sum of squared wR2 of planes.

    wR2 is that of I itself, as the weights are the squares of what I was divided by.

    Args:
        prepare: planes divided by the form factor with a B.
        refine: alphas and scales of such planes.

    Raises:
        InputError: as both, or the best B is the largest that is tried.
    """

    def misfit(b_angstrom2: float) -> float:
        return sum(plane.weighted_r_factor**2 for plane in refine(prepare(b_angstrom2)).planes)

    b = best_b(misfit, _B_KNOTS_ANGSTROM2, _B_TOLERANCE_ANGSTROM2)
    if b >= B_LIMITS_ANGSTROM2[1]:
        raise InputError(
            f"the model's form factor fits best with B at its limit of {B_LIMITS_ANGSTROM2[1]:g} Angstrom^2: expected"
            " a model that scatters like the plane, or --b-iso-angstrom2 given"
        )
    return b
