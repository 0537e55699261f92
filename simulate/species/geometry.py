"""Ideal polyhedra, and the standard frame of a molecule. All positions are in Angstrom."""

import numpy as np

from dsfunet._typing import Array

# Relative difference below which two principal moments count as equal. Force-field minima of symmetric molecules are
# symmetric to about 1 %.
DEGENERACY = 0.02

# Unit vectors from the centre to the corners; the triangle lies in the xz plane, its normal along y = b.
SHAPES: dict[str, Array] = {
    "tetrahedron": np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3),
    "octahedron": np.array(
        [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], dtype=np.float64
    ),
    "triangle": np.array([[1, 0, 0], [-0.5, 0, np.sqrt(3) / 2], [-0.5, 0, -np.sqrt(3) / 2]]),
}


def standard_frame(positions_angstrom: Array) -> Array:
    """Return positions (n, 3) relative to their centroid and rotated into their principal axes.

    The longest extent lies along z and the shortest, the normal of a flat molecule, along y. If principal moments are
    equal, the atom farthest from the axis (or from the centroid) defines the direction. The signs of z and x give a
    positive third moment. The rotation is proper, so a chiral molecule keeps its handedness.
    """
    if not len(positions_angstrom):
        return positions_angstrom.copy()
    centred = positions_angstrom - positions_angstrom.mean(axis=0)
    axes = _principal_axes(centred)
    extents = np.ptp(centred @ axes.T, axis=0)
    _, middle, longest = np.argsort(np.round(extents, 3), kind="stable")
    z = _along_third_moment(centred, axes[longest])
    x = _along_third_moment(centred, axes[middle])
    return np.asarray(centred @ np.stack([x, np.cross(z, x), z]).T)


def _principal_axes(centred: Array) -> Array:
    """Return three orthonormal rows in any order, well defined even for equal principal moments."""
    moments, vectors = np.linalg.eigh(centred.T @ centred)
    if moments[2] < 1e-12:
        return np.eye(3)
    lower_equal, upper_equal = np.diff(moments) < DEGENERACY * moments[2]
    if not lower_equal and not upper_equal:
        return np.asarray(vectors.T)
    if lower_equal and upper_equal:
        first = _farthest(centred)
    else:
        first = vectors[:, 0] if upper_equal else vectors[:, 2]
    second = _farthest(centred - np.outer(centred @ first, first))
    if np.linalg.norm(second) < 0.5:  # all atoms lie on a line, so any perpendicular is valid
        second = np.cross(first, np.eye(3)[np.argmin(np.abs(first))])
        second /= np.linalg.norm(second)
    return np.stack([first, second, np.cross(first, second)])


def _farthest(points: Array) -> Array:
    """Return the unit vector to the first of the points farthest from the origin, or zero if all are at the origin."""
    distances = np.linalg.norm(points, axis=1)
    index = np.argmax(np.round(distances, 2))
    if distances[index] < 1e-3:
        return np.zeros(3)
    return np.asarray(points[index] / distances[index])


def _along_third_moment(centred: Array, axis: Array) -> Array:
    """Return the axis, reversed if the third moment along it is negative."""
    return np.asarray(-axis if np.sum((centred @ axis) ** 3) < -1e-6 else axis)
