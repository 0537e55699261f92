"""Bragg positions on a plane: integer hkl that the centring allows, and the distance of every pixel from them."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from dsfunet._typing import Array, Integers, Mask
from dsfunet.errors import InputError
from dsfunet.physics import Cell, Plane
from dsfunet.physics.centring import Centring, are_reciprocal_vectors

RadiusUnit = Literal["inv-angstrom", "rlu"]
"""Unit of a radius about a Bragg position: 1/Angstrom, or reciprocal-lattice units along each axis."""

Radius = float | tuple[float, float, float]
"""One radius, or one for each of h, k and l."""

# Just under half a unit, so that a pixel is within the radius of its nearest integer hkl only.
MOST_REACH_RLU = 0.49


def is_allowed(hkl: Integers, centring: Centring) -> Mask:
    """Return whether the centring allows the reflections hkl (..., 3), shape (...).

    Raises:
        InputError: the lattice type is unknown.
    """
    allowed: Mask = are_reciprocal_vectors(hkl, centring)
    return allowed


def reciprocal_indices(plane: Plane, cell: Cell) -> Array:
    """Return hkl of every pixel [r.l.u.] from Q . a = 2 pi h, shape (n, m, 3), for any plane in Q."""
    indices: Array = plane.q_points() @ cell.direct.T / (2 * np.pi)
    return indices


@dataclass(frozen=True, eq=False)
class BraggPositions:
    """Pixels of a plane, each assigned to its nearest Bragg position in hkl.

    Attributes:
        plane: positions of the pixels in Q.
        cell: the unit cell.
        deviation: hkl of every pixel minus that of its Bragg position [r.l.u.], (n, m, 3), each within half a unit.
        number: row of `hkl` that a pixel is assigned to, (n, m); -1 where the centring forbids that reflection.
        hkl: indices of the Bragg positions, (k, 3).
    """

    plane: Plane
    cell: Cell
    deviation: Array
    number: Integers
    hkl: Integers

    def scaled_distance(self, radius: Radius, unit: RadiusUnit) -> Array:
        """Return the distance of every pixel from its position: 1 on the surface of an ellipsoid, shape (n, m).

        Args:
            radius: radius of a sphere in Q with the unit inv-angstrom; with the unit rlu, one semi-axis for all of h,
                k and l, or one for each.
            unit: unit of the radius.

        Raises:
            InputError: the ellipsoid reaches halfway to the next integer hkl or further.
        """
        radii = radius if isinstance(radius, tuple) else (radius,)
        if unit == "inv-angstrom":
            metric = self.cell.reciprocal @ self.cell.reciprocal.T / radii[0] ** 2
        else:
            metric = np.diag(1 / np.broadcast_to(np.array(radii, dtype=np.float64), 3) ** 2)
        # An ellipsoid x G x = 1 reaches sqrt(G^-1_ii) along axis i.
        furthest = np.sqrt(np.diag(np.linalg.inv(metric)))
        if furthest.max() > MOST_REACH_RLU:
            words = "1/Angstrom" if unit == "inv-angstrom" else "r.l.u."
            raise InputError(
                f"Bragg radius {' '.join(f'{each:g}' for each in radii)} {words}: it reaches {furthest.max():.2g}"
                f" r.l.u.; expected less than {MOST_REACH_RLU:g} r.l.u., halfway to the next reflection"
            )
        distance: Array = np.sqrt(np.einsum("nmi,ij,nmj->nm", self.deviation, metric, self.deviation))
        return distance

    @cached_property
    def pixel_inv_angstrom(self) -> float:
        """Side of a square with the area of one pixel [1/Angstrom]."""
        return float(np.sqrt(np.linalg.norm(self._normal)))

    @cached_property
    def _normal(self) -> Array:
        return np.cross(self.plane.step_u, self.plane.step_v)

    @cached_property
    def _vectors(self) -> Array:
        return self.deviation @ self.cell.reciprocal

    @cached_property
    def off_plane_inv_angstrom(self) -> Array:
        """Distance from the plane to the Bragg position of every pixel [1/Angstrom], (n, m)."""
        unit = self._normal / np.linalg.norm(self._normal)
        return np.abs(self._vectors @ unit)

    @cached_property
    def in_plane_inv_angstrom(self) -> Array:
        """Distance of every pixel from the projection of its Bragg position onto the plane [1/Angstrom], (n, m)."""
        squared = np.einsum("nmi,nmi->nm", self._vectors, self._vectors) - self.off_plane_inv_angstrom**2
        distance: Array = np.sqrt(np.maximum(squared, 0.0))
        return distance


def find_bragg_positions(plane: Plane, cell: Cell, centring: Centring = "P") -> BraggPositions:
    """Assign every pixel of a plane to its nearest Bragg position.

    Raises:
        InputError: the centring is unknown.
    """
    indices = reciprocal_indices(plane, cell)
    nearest = np.rint(indices)
    whole = nearest.reshape(-1, 3).astype(np.int64)
    low, high = whole.min(axis=0), whole.max(axis=0)
    # One integer for each position, in the order of h, k, l: sorting rows of three takes ten times as long.
    sizes = high - low + 1
    keys, number = np.unique(
        np.ravel_multi_index(tuple((whole - low).T), tuple(sizes.tolist())), return_inverse=True
    )
    hkl = np.stack(np.unravel_index(keys, tuple(sizes.tolist())), axis=1) + low
    kept = is_allowed(hkl, centring)
    renumbered = np.where(kept, np.cumsum(kept) - 1, -1)
    number = renumbered[number.reshape(plane.shape)]
    return BraggPositions(plane, cell, indices - nearest, number, hkl[kept])
