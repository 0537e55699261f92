"""A plane of Q that two reciprocal axes span, and the lattice on which I_SRO repeats in it."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.physics.cosine_series import third_index
from dsfunet.physics.lattice import Cell, Plane
from dsfunet.physics.short_range_order import MAX_INDEX


@dataclass(frozen=True, eq=False)
class LatticePlane:
    """A plane of the reciprocal space of a cell that two reciprocal axes span.

    Attributes:
        cell: of the average structure.
        plane: of shape (n, m), in the Cartesian setting of the cell.
        axes: the two reciprocal axes (0, 1, 2 for a*, b*, c*) that span the plane.
        max_index: highest harmonic of either axis in the series of I_SRO, 0 or more.

    Raises:
        InputError: the axes are not two different ones or do not span the plane, or max_index is negative.
    """

    cell: Cell
    plane: Plane
    axes: tuple[int, int]
    max_index: int = MAX_INDEX

    def __post_init__(self) -> None:
        if self.max_index < 0:
            raise InputError(f"max_index is {self.max_index}; expected 0 or more")
        third_index(self.cell, self.plane, self.axes)

    @property
    def third_index(self) -> float:
        """Index of the layer along the third axis [r.l.u.]."""
        return third_index(self.cell, self.plane, self.axes)

    @cached_property
    def _vectors(self) -> Array:
        # h = Q . a / 2 pi for both spanning axes, shape (2, 3).
        return np.asarray(self.cell.direct[list(self.axes)] / (2 * np.pi))

    def fractional_indices(self) -> tuple[Array, Array]:
        """Return h and k of every pixel along the two axes [r.l.u.], each of shape (n, m)."""
        plane = self.plane
        first, second = (
            vector @ plane.origin
            + np.add.outer((vector @ plane.step_u) * plane.index_u, (vector @ plane.step_v) * plane.index_v)
            for vector in self._vectors
        )
        return first, second

    def line_spacings(self) -> tuple[float, float]:
        """Return the distances between neighbouring lines of integer h, and of integer k [pixels]."""
        per_pixel = self._vectors @ np.stack([self.plane.step_u, self.plane.step_v], axis=1)
        first, second = 1 / np.linalg.norm(per_pixel, axis=1)
        return float(first), float(second)

    def cell_deviation(self) -> tuple[float, float]:
        """Return the standard deviation of the area of one reciprocal cell along rows and along columns [pixels].

        A cell of width a has the standard deviation a / sqrt(12), that of a uniform distribution.
        """
        per_pixel = self._vectors @ np.stack([self.plane.step_u, self.plane.step_v], axis=1)
        along_u, along_v = np.sqrt(np.sum(np.linalg.inv(per_pixel) ** 2, axis=1) / 12)
        return float(along_u), float(along_v)

    @property
    def inverts_onto_itself(self) -> bool:
        """Whether the plane contains -Q for each Q, pixel (i, j) at (-i, -j).

        Both components are centrosymmetric then: |F_A - F_B|^2 because atomic form factors are real, and I_SRO because
        alpha_v = alpha_-v.
        """
        return float(np.abs(self.plane.origin).max()) < 1e-9
