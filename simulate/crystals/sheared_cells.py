"""Cells with angles of their own: orthogonal and hexagonal ones sheared into triclinic ones."""

import numpy as np

from dsfunet.errors import InputError
from dsfunet.physics import Cell

MAX_SHEAR_DEGREES = 15.0
"""Largest change of any angle [degrees]: 75 to 105 of a right angle, 105 to 135 of a hexagonal beta."""

_SHEARABLE = ((90.0, 90.0, 90.0), (90.0, 120.0, 90.0))


def shear_cell(cell: Cell, rng: np.random.Generator) -> Cell:
    """The cell with the same edges and three new angles, each uniform up to 15 degrees from its own.

    Any three such angles close a cell: sqrt(1 - cos^2 alpha - cos^2 beta - cos^2 gamma + 2 cos alpha cos beta
    cos gamma), the volume over a b c, is at least 0.874 from an orthogonal and 0.520 from a hexagonal cell. No
    symmetry but inversion is left, so the order in the cell must have none either: an untied Monte Carlo set.

    Args:
        cell: All angles 90 degrees, or beta 120 and the others 90.
        rng: Source of the three angles.

    Raises:
        InputError: the cell has other angles.
    """
    angles = np.array(cell.parameters[3:])
    if not any(np.allclose(angles, known) for known in _SHEARABLE):
        raise InputError(
            f"cell angles {cell.parameters[3:]} degrees: expected 90 90 90 or 90 120 90 to shear from"
        )
    alpha, beta, gamma = (angles + rng.uniform(-MAX_SHEAR_DEGREES, MAX_SHEAR_DEGREES, 3)).tolist()
    return Cell(cell.a, cell.b, cell.c, alpha, beta, gamma)
