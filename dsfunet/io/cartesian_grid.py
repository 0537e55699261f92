"""Planes with Cartesian pixels although their reciprocal axes are oblique: what pictures of them usually are."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from dsfunet.errors import InputError
from dsfunet.io.plane_names import PlaneName
from dsfunet.physics import Cell, Plane, plane_through

Array = npt.NDArray[np.float64]

_RECIPROCAL_AXES = {"h": "a*", "k": "b*", "l": "c*"}

_PARALLEL = 1e-6
"""How far a step may leave its direction, as a share of its length."""


@dataclass(frozen=True, eq=False)
class CartesianGrid:
    """The pixels of a plane whose rows run along its first reciprocal axis and whose columns run perpendicular to that.

    Where the two axes of `name` are oblique, the first index changes along rows *and* columns, so that no two lists of
    r.l.u. describe the pixels, as they do those of a `PlaneGrid`: pixel (i, j) of hk1 lies at

        h = rows[i] + shear (j - m // 2),  k = columns[j],  l = 1.

    `plane` are the pixels in Cartesian coordinates [1/Angstrom], Q = 2 pi (h a* + k b* + l c*).

    Raises:
        InputError: the rows do not run along the first axis, the columns not perpendicular to it in the plane, or the
            plane lies at another height than its name says.
    """

    cell: Cell
    name: PlaneName
    plane: Plane

    def __post_init__(self) -> None:
        if min(self.plane.shape) < 2:
            raise InputError(f"plane {self.name} of {self.plane.shape} pixels: expected two or more each way")
        indices = self._indices(np.stack([self.plane.step_u, self.plane.step_v, self.plane.origin]))
        first, second = self.name.axes
        along_rows, along_columns, centre = indices
        lengths = [float(np.linalg.norm(step)) for step in (self.plane.step_u, self.plane.step_v)]
        if max(abs(along_rows[second]), abs(along_rows[self.name.fixed_axis])) > _PARALLEL * abs(
            along_rows[first]
        ):
            raise InputError(f"plane {self.name}: expected rows along its axis {self.name.labels[0]}")
        skew = abs(float(self.plane.step_u @ self.plane.step_v)) / (lengths[0] * lengths[1])
        if skew > _PARALLEL or abs(along_columns[self.name.fixed_axis]) > _PARALLEL * abs(
            along_columns[second]
        ):
            raise InputError(
                f"plane {self.name}: expected columns in the plane, perpendicular to its axis {self.name.labels[0]}"
            )
        if abs(centre[self.name.fixed_axis] - self.name.offset) > 1e-6 * max(1.0, abs(self.name.offset)):
            raise InputError(
                f"plane {self.name}: its pixels lie at {self.name.fixed_label} = {centre[self.name.fixed_axis]:g}"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """(n, m), the numbers of rows and columns."""
        return self.plane.shape

    @property
    def steps(self) -> tuple[float, float]:
        """Spacing of the rows in the first index and of the columns in the second [r.l.u.]."""
        first, second = self.name.axes
        along_rows, along_columns = self._indices(np.stack([self.plane.step_u, self.plane.step_v]))
        return float(along_rows[first]), float(along_columns[second])

    @property
    def shear(self) -> float:
        """How much the first index changes from one column to the next [r.l.u.]; 0 where the axes are at 90 degrees."""
        return float(self._indices(self.plane.step_v)[self.name.axes[0]])

    @cached_property
    def rows(self) -> Array:
        """First index of the pixels of column m // 2 [r.l.u.], shape (n,)."""
        values: Array = self._centre[self.name.axes[0]] + self.steps[0] * self.plane.index_u
        values.flags.writeable = False
        return values

    @cached_property
    def columns(self) -> Array:
        """Second index of the pixels of every row [r.l.u.], shape (m,)."""
        values: Array = self._centre[self.name.axes[1]] + self.steps[1] * self.plane.index_v
        values.flags.writeable = False
        return values

    @property
    def vectors(self) -> Array:
        """One unit of `rows` and one of `columns`, at right angles [1/Angstrom], shape (2, 3)."""
        return np.stack([self.plane.step_u / self.steps[0], self.plane.step_v / self.steps[1]])

    @property
    def spanning(self) -> Array:
        """The same two in h, k, l: (1 0 0) and (-1/2 1 0) for hk1 of a hexagonal crystal, shape (2, 3)."""
        return self._indices(self.vectors)

    def square(self, q_max_inv_angstrom: float) -> Plane:
        """The square Cartesian plane of 256 x 256 pixels about the plane's centre, such as 0 0 1 [1/Angstrom]."""
        return plane_through(self.cell, self.name.axes, self.name.offset, q_max_inv_angstrom)

    def hkl(self) -> Array:
        """Indices h, k, l of every pixel [r.l.u.], shape (n, m, 3)."""
        hkl = np.empty((*self.shape, 3))
        first, second = self.name.axes
        hkl[..., first] = self.rows[:, None] + self.shear * self.plane.index_v[None, :]
        hkl[..., second] = self.columns[None, :]
        hkl[..., self.name.fixed_axis] = self.name.offset
        return hkl

    def describe(self) -> str:
        """One line for a person: axis order, ranges, pixels, cell and the 2 pi."""
        first, second = self.name.labels
        n, m = self.shape
        pixel = [float(np.linalg.norm(step)) for step in (self.plane.step_u, self.plane.step_v)]
        cell = " ".join(f"{value:g}" for value in self.cell.parameters)
        rows, columns = (f"from {values[0]:g} to {values[-1]:g}" for values in (self.rows, self.columns))
        return (
            f"plane {self.name}: rows along {_RECIPROCAL_AXES[first]}, {first} {rows} in the middle column"
            f" ({n} pixels), columns perpendicular to it, {second} {columns} ({m} pixels); Cartesian pixels of"
            f" {pixel[0]:.4g} x {pixel[1]:.4g} 1/Angstrom; cell {cell}; Q = 2 pi (h a* + k b* + l c*)"
        )

    @property
    def _centre(self) -> Array:
        return self._indices(self.plane.origin)

    def _indices(self, q: Array) -> Array:
        """h, k, l of vectors of Q (..., 3): Q . a = 2 pi h."""
        indices: Array = q @ self.cell.direct.T / (2 * np.pi)
        return indices
