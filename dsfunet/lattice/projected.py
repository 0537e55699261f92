"""Lattice planes from two direct vectors that are known in projection only, in cycles per pixel."""

from functools import lru_cache

import numpy as np

from dsfunet._typing import Array
from dsfunet.lattice.candidates import SHORTEST
from dsfunet.physics.lattice import Cell, Plane
from dsfunet.physics.lattice_plane import LatticePlane

_NOMINAL_STEP = 0.05
"""Assumed pixel size of a plane without axes [1/Angstrom]: Q up to 6.4 on 256 pixels."""


def lattice_plane(vectors: Array, plane: Plane) -> LatticePlane:
    """Build a lattice plane from a and b alone, projected onto the plane.

    The plane is rotated into the Cartesian setting of the cell: a along x, b in the xy plane. The unknown c is upright
    and as long as a. The distance of the plane from Q = 0 does not change.

    Args:
        vectors: a and b as rows, (2, 2) [cycles per pixel], along rows and along columns.
        plane: positions of the pixels in any Cartesian setting [1/Angstrom].

    Raises:
        InputError: the vectors are parallel or zero.
    """
    frame = _frame(plane)
    steps = np.stack([frame[:2] @ plane.step_u, frame[:2] @ plane.step_v])
    direct = 2 * np.pi * np.linalg.solve(steps, vectors.T).T
    lengths = np.linalg.norm(direct, axis=1)
    along = direct[0] / lengths[0]
    across = np.array([-along[1], along[0]])
    across *= np.sign(direct[1] @ across)
    gamma = float(np.degrees(np.arctan2(direct[1] @ across, direct[1] @ along)))
    turn = np.stack([along @ frame[:2], across @ frame[:2], frame[2]])
    origin, step_u, step_v = (turn @ each for each in (plane.origin, plane.step_u, plane.step_v))
    cell = Cell(float(lengths[0]), float(lengths[1]), float(lengths[0]), gamma=gamma)
    return LatticePlane(cell, Plane(origin, step_u, step_v, plane.shape), (0, 1))


@lru_cache(maxsize=8)
def _frame(plane: Plane) -> Array:
    """Return Cartesian axes as rows: along the rows of the plane, across them in the plane, and upright."""
    along = plane.step_u / np.linalg.norm(plane.step_u)
    upright = np.cross(plane.step_u, plane.step_v)
    upright = upright / np.linalg.norm(upright)
    return np.stack([along, np.cross(upright, along), upright])


@lru_cache(maxsize=8)
def nominal_plane(shape: tuple[int, ...]) -> Plane:
    """Return a plane without known axes: Q = 0 lies off the plane, because it may be anywhere."""
    origin, step_u, step_v = _NOMINAL_STEP * np.eye(3)[[2, 0, 1]]
    return Plane(origin, step_u, step_v, (shape[0], shape[1]))


def is_possible(vectors: Array) -> bool:
    """Return whether two vectors are long enough to search for, and far enough from parallel."""
    lengths = np.linalg.norm(vectors, axis=1)
    return bool(lengths.min() > 0.9 * SHORTEST and abs(np.linalg.det(vectors)) > 0.5 * lengths.prod())


def measure_side(vectors: Array) -> float:
    """Return the square root of the area of the reciprocal cell [pixels]."""
    return 1 / float(np.sqrt(abs(np.linalg.det(vectors))))
