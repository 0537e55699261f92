"""Grids and planes of scattering that the tests of the clean-up share."""

import numpy as np

from dsfunet.io import PlaneGrid, parse_plane_name
from dsfunet.physics import Cell

TETRAGONAL = Cell(7.0, 7.0, 9.0)
HEXAGONAL = Cell(8.0, 8.0, 6.0, 90, 90, 120)
TRICLINIC = Cell(7.1, 6.2, 7.3, 81.0, 97.0, 112.0)


def grid(cell: Cell, name: str = "hk0", n: int = 161, m: int = 161, reach: float = 5.0) -> PlaneGrid:
    """Indices from -reach to reach along both axes."""
    return PlaneGrid(
        cell, parse_plane_name(name), np.linspace(-reach, reach, n), np.linspace(-reach, reach, m)
    )


def scattering(where: PlaneGrid, symmetric: bool = True) -> np.ndarray:
    """Positive, smooth, periodic times a Gaussian of |Q|; of the cell's own symmetry, or of inversion's alone."""
    h, k = (where.rows[:, None], where.columns[None, :])
    order = 3 + np.cos(2 * np.pi * h) + np.cos(2 * np.pi * k)
    if where.cell.gamma == 120:
        order = order + np.cos(2 * np.pi * (h + k))
    if not symmetric:
        order = order + 1.2 * np.cos(2 * np.pi * (h - 2 * k))
    return order * np.exp(-where.plane.q_squared() / (2 * 3.0**2))
