"""Shear orthogonal and hexagonal cells into triclinic ones."""

import numpy as np

from dsfunet.errors import InputError
from dsfunet.physics import Cell

MAX_SHEAR_DEGREES = 15.0
"""Largest change of an angle [degrees]: a right angle becomes 75 to 105, a hexagonal beta 105 to 135."""

_SHEARABLE = ((90.0, 90.0, 90.0), (90.0, 120.0, 90.0))


def shear_cell(cell: Cell, rng: np.random.Generator) -> Cell:
    """Return a cell with the same edges and new angles, each uniform within 15 degrees of the old angle.

    Any three such angles make a valid cell: the volume over a b c, sqrt(1 - cos^2 alpha - cos^2 beta - cos^2 gamma
    + 2 cos alpha cos beta cos gamma), is at least 0.874 for an orthogonal and 0.520 for a hexagonal start. Only
    inversion symmetry remains, so the order in the cell must be a Monte Carlo set without symmetry.

    Args:
        cell: Cell with all angles 90 degrees, or with beta = 120 degrees and the others 90.
        rng: Source of the three angles.

    Raises:
        InputError: the cell has other angles.
    """
    angles = np.array(cell.parameters[3:])
    if not any(np.allclose(angles, known) for known in _SHEARABLE):
        raise InputError(f"the cell angles are {cell.parameters[3:]} degrees; expected 90 90 90 or 90 120 90")
    alpha, beta, gamma = (angles + rng.uniform(-MAX_SHEAR_DEGREES, MAX_SHEAR_DEGREES, 3)).tolist()
    return Cell(cell.a, cell.b, cell.c, alpha, beta, gamma)
