"""Where Bragg peaks can be on a plane: integer hkl that the lattice's centring allows, and how far pixels are away."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np

from dsfunet._typing import Array, Integers, Mask
from dsfunet.errors import InputError
from dsfunet.physics import Cell, Plane

Centring = Literal["P", "A", "B", "C", "I", "F", "R"]
"""Lattice types; R is the obverse setting on hexagonal axes."""

RadiusUnit = Literal["inv-angstrom", "rlu"]
"""What a radius about a Bragg position is in: 1/Angstrom, or reciprocal-lattice units along each axis."""

# Just short of halfway to the next integer, so that the nearest integer hkl is the only one within reach.
MOST_REACH_RLU = 0.49


def allowed(hkl: Integers, centring: Centring) -> Mask:
    """Whether the centring allows reflections hkl (..., 3), shape (...).

    Raises:
        InputError: no such lattice type.
    """
    if centring not in get_args(Centring):
        raise InputError(f"centring {centring!r}: expected one of {', '.join(get_args(Centring))}")
    h, k, l = np.moveaxis(hkl, -1, 0)  # noqa: E741 (the field's name of the third index)
    conditions = {
        "P": np.ones(h.shape, bool),
        "A": (k + l) % 2 == 0,
        "B": (h + l) % 2 == 0,
        "C": (h + k) % 2 == 0,
        "I": (h + k + l) % 2 == 0,
        "F": ((h + k) % 2 == 0) & ((k + l) % 2 == 0),
        "R": (-h + k + l) % 3 == 0,
    }
    condition: Mask = conditions[centring]
    return condition


def reciprocal_indices(plane: Plane, cell: Cell) -> Array:
    """hkl of every pixel [r.l.u.], from Q . a = 2 pi h; shape (n, m, 3), for any plane of Q."""
    indices: Array = plane.q_points() @ cell.direct.T / (2 * np.pi)
    return indices


@dataclass(frozen=True, eq=False)
class BraggPositions:
    """The pixels of a plane sorted to the Bragg positions they are nearest to in hkl.

    Attributes:
        plane: the pixels' places.
        cell: the unit cell.
        deviation: hkl of every pixel less that of its position [r.l.u.], (n, m, 3), each within half a unit.
        number: which of `hkl` a pixel belongs to, (n, m); -1 where the centring forbids that reflection.
        hkl: the positions, (k, 3).
    """

    plane: Plane
    cell: Cell
    deviation: Array
    number: Integers
    hkl: Integers

    def reach(self, radius: tuple[float, ...], unit: RadiusUnit) -> Array:
        """How far out every pixel is, 1 on the surface of the ellipsoid about its position; shape (n, m).

        `radius` is one number, of a sphere in Q or along each axis of hkl, or one for each axis with the unit rlu.

        Raises:
            InputError: the ellipsoid reaches halfway to the next integer hkl or further.
        """
        if unit == "inv-angstrom":
            metric = self.cell.reciprocal @ self.cell.reciprocal.T / radius[0] ** 2
        else:
            metric = np.diag(1 / np.broadcast_to(np.array(radius, dtype=np.float64), 3) ** 2)
        # An ellipsoid x G x = 1 reaches sqrt(G^-1_ii) along axis i.
        furthest = np.sqrt(np.diag(np.linalg.inv(metric)))
        if furthest.max() > MOST_REACH_RLU:
            words = "1/Angstrom" if unit == "inv-angstrom" else "r.l.u."
            raise InputError(
                f"Bragg radius {' '.join(f'{each:g}' for each in radius)} {words}: reaches {furthest.max():.2g} r.l.u.,"
                f" expected less than {MOST_REACH_RLU:g}, halfway to the next reflection"
            )
        reach: Array = np.sqrt(np.einsum("nmi,ij,nmj->nm", self.deviation, metric, self.deviation))
        return reach

    @cached_property
    def pixel_inv_angstrom(self) -> float:
        """The side of a square of one pixel's area [1/Angstrom]."""
        return float(np.sqrt(np.linalg.norm(self._normal)))

    @cached_property
    def _normal(self) -> Array:
        return np.cross(self.plane.step_u, self.plane.step_v)

    @cached_property
    def _vectors(self) -> Array:
        return self.deviation @ self.cell.reciprocal

    @cached_property
    def off_plane_inv_angstrom(self) -> Array:
        """Distance between the plane and the position of every pixel [1/Angstrom], (n, m)."""
        unit = self._normal / np.linalg.norm(self._normal)
        return np.abs(self._vectors @ unit)

    @cached_property
    def in_plane_inv_angstrom(self) -> Array:
        """Distance of every pixel from its position's foot in the plane [1/Angstrom], (n, m)."""
        squared = np.einsum("nmi,nmi->nm", self._vectors, self._vectors) - self.off_plane_inv_angstrom**2
        distance: Array = np.sqrt(np.maximum(squared, 0.0))
        return distance


def bragg_positions(plane: Plane, cell: Cell, centring: Centring = "P") -> BraggPositions:
    """The Bragg positions that the pixels of a plane are nearest to, as `BraggPositions`.

    Raises:
        InputError: no such centring.
    """
    indices = reciprocal_indices(plane, cell)
    nearest = np.rint(indices)
    whole = nearest.reshape(-1, 3).astype(np.int64)
    low, high = whole.min(axis=0), whole.max(axis=0)
    # One number for each position, in the order of h, k, l: sorting rows takes ten times as long.
    sizes = high - low + 1
    keys, number = np.unique(
        np.ravel_multi_index(tuple((whole - low).T), tuple(sizes.tolist())), return_inverse=True
    )
    hkl = np.stack(np.unravel_index(keys, tuple(sizes.tolist())), axis=1) + low
    kept = allowed(hkl, centring)
    renumbered = np.where(kept, np.cumsum(kept) - 1, -1)
    number = renumbered[number.reshape(plane.shape)]
    return BraggPositions(plane, cell, indices - nearest, number, hkl[kept])
