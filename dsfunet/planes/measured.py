"""One measured plane as its owner keeps it: intensities, and where in reciprocal space its pixels lie."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.physics import Cell, Plane
from dsfunet.physics.lattice import square_plane
from dsfunet.planes.names import AnyPlaneName


@dataclass(frozen=True, eq=False)
class PlaneGrid:
    """The pixels of a plane on its owner's own grid, which may be oblique and need not be square.

    `rows` (n,) and `columns` (m,) are the coordinates of the pixel centres [r.l.u.] along the two axes that
    `name` lets vary, in that order: intensity[i, j] of hk1 lies at h = rows[i], k = columns[j], l = 1, and that of hhl
    at h = k = rows[i], l = columns[j].

    Raises:
        InputError: the coordinates of an axis are fewer than two, not finite, or not evenly spaced.
    """

    cell: Cell
    name: AnyPlaneName
    rows: Array
    columns: Array

    def __post_init__(self) -> None:
        for field, label in zip(("rows", "columns"), self.name.labels, strict=True):
            values = np.array(getattr(self, field), dtype=np.float64)
            _check_even(values, label)
            values.flags.writeable = False
            object.__setattr__(self, field, values)

    @property
    def shape(self) -> tuple[int, int]:
        """(n, m), the numbers of rows and columns."""
        return len(self.rows), len(self.columns)

    @property
    def steps(self) -> tuple[float, float]:
        """Spacing of the rows and of the columns [r.l.u.]; negative where an axis runs downwards."""
        return _mean_step(self.rows), _mean_step(self.columns)

    @cached_property
    def plane(self) -> Plane:
        """The same pixels in Cartesian coordinates [1/Angstrom], Q = 2 pi (h a* + k b* + l c*)."""
        n, m = self.shape
        # The middle as first + step * index, so that a float32 axis does not tilt the grid.
        middle = np.array(
            [self.rows[0] + self.steps[0] * (n // 2), self.columns[0] + self.steps[1] * (m // 2)]
        )
        centre = self.name.origin + middle @ self.name.vectors
        first, second = self.vectors
        return Plane(centre @ self.cell.reciprocal, self.steps[0] * first, self.steps[1] * second, (n, m))

    @property
    def vectors(self) -> Array:
        """One unit along the rows' axis and along the columns' axis [1/Angstrom], shape (2, 3)."""
        return np.asarray(self.name.vectors @ self.cell.reciprocal)

    def square(self, q_max_inv_angstrom: float) -> Plane:
        """The square Cartesian plane of 256 x 256 pixels about the point where both coordinates are 0 [1/Angstrom].

        Rows run along the first axis, columns perpendicular to it: `plane_through` for two axes of the cell.
        """
        first, second = self.vectors
        return square_plane(self.name.origin @ self.cell.reciprocal, first, second, q_max_inv_angstrom)

    def hkl(self) -> Array:
        """Indices h, k, l of every pixel [r.l.u.], shape (n, m, 3)."""
        first, second = self.name.vectors
        along_rows, along_columns = np.outer(self.rows, first), np.outer(self.columns, second)
        hkl: Array = self.name.origin + along_rows[:, None] + along_columns[None, :]
        return hkl

    def describe(self) -> str:
        """One line for a person: axis order, ranges, cell and the 2 pi."""
        axes = [
            f"{axis} {label} from {values[0]:g} to {values[-1]:g} ({len(values)} pixels)"
            for axis, label, values in zip(
                ("rows", "columns"), self.name.labels, (self.rows, self.columns), strict=True
            )
        ]
        cell = " ".join(f"{value:g}" for value in self.cell.parameters)
        return f"plane {self.name.title}: {', '.join(axes)}; cell {cell}; Q = 2 pi (h a* + k b* + l c*)"


@dataclass(frozen=True, eq=False)
class MeasuredPlane:
    """A plane as it was read: `intensity` (n, m), NaN where nothing was measured.

    A value that a numpy masked array hides counts as that, too; others are as in the file. `grid` is None when the
    file does not say where its pixels lie; `notes` are sentences about what a reader had to assume, for the user to
    see. `sigma` (n, m) are the standard uncertainties of the intensities, in their unit, where the file has them.
    `from_picture` says that rows and columns are not those of the file, which is a picture as people draw it: masks and
    backgrounds that belong to it are turned likewise. `interpolated` says that intensities are no voxels' own, so that
    flags in the file have mixed with their neighbours.

    Raises:
        InputError: the intensity is not of real numbers or not two-dimensional, its shape is not that of the grid, or
            sigma's not its own.
    """

    intensity: Array
    grid: PlaneGrid | None = None
    notes: tuple[str, ...] = ()
    sigma: Array | None = None
    from_picture: bool = False
    interpolated: bool = False

    def __post_init__(self) -> None:
        intensity = _as_real(self.intensity, "intensity")
        if intensity.ndim != 2:
            raise InputError(f"intensity of shape {intensity.shape}: expected a plane, two dimensions")
        if self.grid is not None and intensity.shape != self.grid.shape:
            raise InputError(f"intensity of shape {intensity.shape}: its axes have {self.grid.shape} pixels")
        object.__setattr__(self, "intensity", intensity)
        if self.sigma is not None:
            sigma = _as_real(self.sigma, "sigma")
            if sigma.shape != intensity.shape:
                raise InputError(f"sigma of shape {sigma.shape}: the intensity has {intensity.shape}")
            object.__setattr__(self, "sigma", sigma)

    @property
    def cell(self) -> Cell | None:
        """The unit cell, None when the file does not say."""
        return None if self.grid is None else self.grid.cell


def _as_real(values: npt.ArrayLike, name: str) -> Array:
    """Numbers as float64, NaN where a masked array hides them."""
    found = np.asarray(values)
    if found.dtype.kind not in "fiub":
        raise InputError(f"{name} of type {found.dtype}: expected real numbers")
    with np.errstate(over="ignore"):  # a longdouble may not fit
        result = found.astype(np.float64, copy=False)
    hidden = np.ma.getmask(values)
    return result if hidden is np.ma.nomask else np.where(hidden, np.nan, result)


def _mean_step(values: Array) -> float:
    return float(values[-1] - values[0]) / (len(values) - 1)


def _check_even(values: Array, label: str) -> None:
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise InputError(
            f"axis {label} of shape {values.shape}: expected two or more finite numbers [r.l.u.]"
        )
    step = _mean_step(values)
    # One part in a thousand of a pixel step is more than float32 axes lose and less than anyone can see.
    if step == 0 or np.abs(np.diff(values) - step).max() > 1e-3 * abs(step):
        raise InputError(f"axis {label} from {values[0]:g} to {values[-1]:g}: expected evenly spaced values")
