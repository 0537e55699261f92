"""A plane of Q that two reciprocal axes span: where on it the lattice says that I_SRO repeats."""

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
    """A cell, a plane of its reciprocal space, and the two reciprocal axes (0, 1, 2 for a*, b*, c*) that span it.

    `max_index` says out to which harmonic of either axis I_SRO is a series there.

    Raises:
        InputError: the axes are not two different ones, or do not span the plane, or max_index is negative.
    """

    cell: Cell
    plane: Plane
    axes: tuple[int, int]
    max_index: int = MAX_INDEX

    def __post_init__(self) -> None:
        if self.max_index < 0:
            raise InputError(f"max_index {self.max_index}: expected zero or a positive number")
        third_index(self.cell, self.plane, self.axes)

    @property
    def third_index(self) -> float:
        """The index of the layer along the axis that does not span it [r.l.u.]."""
        return third_index(self.cell, self.plane, self.axes)

    @cached_property
    def _vectors(self) -> Array:
        # h = Q . a / 2 pi for both spanning axes, shape (2, 3).
        return np.asarray(self.cell.direct[list(self.axes)] / (2 * np.pi))

    def fractional_indices(self) -> tuple[Array, Array]:
        """(h, k) of every pixel along the two axes, each of the plane's shape [r.l.u.]."""
        plane = self.plane
        first, second = (
            vector @ plane.origin
            + np.add.outer((vector @ plane.step_u) * plane.index_u, (vector @ plane.step_v) * plane.index_v)
            for vector in self._vectors
        )
        return first, second

    def line_spacings(self) -> tuple[float, float]:
        """Distances between neighbouring reciprocal lattice lines, those of whole h and those of whole k [pixels]."""
        per_pixel = self._vectors @ np.stack([self.plane.step_u, self.plane.step_v], axis=1)
        first, second = 1 / np.linalg.norm(per_pixel, axis=1)
        return float(first), float(second)

    def cell_deviation(self) -> tuple[float, float]:
        """Standard deviation of one reciprocal cell's area along rows and along columns [pixels].

        A cell a wide is uniform over its width, so that its deviation is a / sqrt(12).
        """
        per_pixel = self._vectors @ np.stack([self.plane.step_u, self.plane.step_v], axis=1)
        along_u, along_v = np.sqrt(np.sum(np.linalg.inv(per_pixel) ** 2, axis=1) / 12)
        return float(along_u), float(along_v)

    @property
    def inverts_onto_itself(self) -> bool:
        """Whether the plane holds -Q of each Q, pixel (i, j) at (-i, -j): then both components are centrosymmetric.

        The scattering power |F_A - F_B|^2 is that of real form factors, and correlations obey alpha_v = alpha_-v.
        """
        return float(np.abs(self.plane.origin).max()) < 1e-9
