"""A tensor product of cubic B-splines along three axes, evaluated and projected by products of small matrices."""

from dataclasses import dataclass

import numpy as np

from dsfunet._typing import Array
from dsfunet.lattice.joint_fit.spline import SplineAxis
from dsfunet.lattice.volume_fit.voxels import Axes, Float32, Rows


@dataclass(frozen=True, eq=False)
class SplineVolume:
    """Cubic splines on the grid of a volume; coefficients have shape (k, l, m), an axis each.

    Attributes:
        matrices: values of the splines at the voxels along each axis, shape (voxels, splines) each.
    """

    matrices: tuple[Float32, Float32, Float32]

    @classmethod
    def cover(
        cls, axes: Axes, spacings: tuple[float, float, float], margins: tuple[float, float, float]
    ) -> tuple["SplineVolume", "SplineVolume"]:
        """Return splines over all voxels and a margin around them.

        Near an edge of its domain a spline with a prior is less free than elsewhere, so this ends beyond the data.

        Args:
            axes: coordinates of the voxels along each axis, evenly spaced [r.l.u.].
            spacings: largest spacing of the knots [r.l.u.].
            margins: width of the margin on either side [r.l.u.].

        Returns:
            the splines on the voxels, and on the wider grid that includes the margin.
        """
        inner, outer = [], []
        for axis, spacing, margin in zip(axes, spacings, margins, strict=True):
            step = float(np.ptp(axis)) / max(len(axis) - 1, 1) or spacing
            more = int(np.ceil(margin / step))
            beyond = step * np.arange(1, more + 1)
            wide = np.concatenate([axis[0] - beyond[::-1], axis, axis[-1] + beyond])
            basis = SplineAxis.cover(wide, spacing).basis.toarray().astype(np.float32)
            outer.append(basis)
            inner.append(np.ascontiguousarray(basis[more : more + len(axis)]))
        return cls((inner[0], inner[1], inner[2])), cls((outer[0], outer[1], outer[2]))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of splines along the three axes."""
        first, second, third = (matrix.shape[1] for matrix in self.matrices)
        return first, second, third

    def take(self, rows: Rows) -> "SplineVolume":
        """Return the same splines at some of the voxels along each axis."""
        first, second, third = (
            np.ascontiguousarray(matrix[chosen]) for matrix, chosen in zip(self.matrices, rows, strict=True)
        )
        return SplineVolume((first, second, third))

    def evaluate(self, coefficients: Array, block: slice) -> Float32:
        """Return the splines' sum at the voxels of a block of layers, shape (layers, m, o)."""
        rows, columns, tubes = self.matrices
        _, second, third = self.shape
        flat = coefficients.astype(np.float32).reshape(self.shape[0], -1)
        layers = (rows[block] @ flat).reshape(-1, second, third)
        spread = np.matmul(columns, layers)
        values: Float32 = (spread.reshape(-1, third) @ tubes.T).reshape(len(layers), len(columns), len(tubes))
        return values

    def project(self, values: Float32, block: slice, total: Array) -> None:
        """Add the sums over a block's voxels of each spline times a field to `total`, the transpose of `evaluate`.

        Args:
            values: the field, shape (layers, m, o).
            block: the layers.
            total: sums so far, shape of the coefficients; changed in place.
        """
        rows, columns, tubes = self.matrices
        count = len(values)
        narrow = (values.reshape(-1, values.shape[2]) @ tubes).reshape(count, values.shape[1], -1)
        layers = np.matmul(columns.T, narrow)
        total += (rows[block].T @ layers.reshape(count, -1)).reshape(self.shape)


def multiply_along_axes(matrices: tuple[Array, Array, Array], values: Array) -> Array:
    """Return values times a matrix along each of three axes: sum of A[i, a] B[j, b] C[k, c] values[a, b, c]."""
    first, second, third = values.shape
    step = (matrices[0] @ values.reshape(first, -1)).reshape(-1, second, third)
    step = np.matmul(matrices[1], step)
    return np.asarray(step @ matrices[2].T)
