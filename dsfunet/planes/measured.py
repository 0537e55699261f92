"""One measured plane on the user's own grid: intensities, and where in reciprocal space its pixels lie."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.physics import Cell, Plane
from dsfunet.physics.centring import Centring, check_centring
from dsfunet.physics.lattice import square_plane
from dsfunet.planes.names import AnyPlaneName


@dataclass(frozen=True, eq=False)
class PlaneGrid:
    """The pixels of a plane on the user's own grid, which may be oblique and need not be square.

    In hk1, intensity[i, j] lies at h = rows[i], k = columns[j], l = 1; in hhl, at h = k = rows[i], l = columns[j].

    Attributes:
        cell: the unit cell.
        name: the plane, which says along which two axes the rows and columns run.
        rows: coordinates of the pixel centres along the first axis, shape (n,) [r.l.u.].
        columns: coordinates of the pixel centres along the second axis, shape (m,) [r.l.u.].

    Raises:
        InputError: an axis has fewer than two coordinates, or they are not finite or not evenly spaced.

    Examples:
        >>> import numpy as np
        >>> from dsfunet.physics import Cell
        >>> from dsfunet.planes.measured import PlaneGrid
        >>> from dsfunet.planes.names import parse_plane
        >>> grid = PlaneGrid(Cell(5, 5, 8), parse_plane("hk1"), np.linspace(-4, 4, 81), np.linspace(-3, 3, 61))
        >>> grid.shape, [round(step, 6) for step in grid.steps]
        ((81, 61), [0.1, 0.1])
        >>> grid.hkl()[40, 30]
        array([0., 0., 1.])
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
        """Numbers of rows and columns, (n, m)."""
        return len(self.rows), len(self.columns)

    @property
    def steps(self) -> tuple[float, float]:
        """Spacing of the rows and of the columns [r.l.u.]; negative if the coordinates decrease."""
        return _mean_step(self.rows), _mean_step(self.columns)

    @cached_property
    def plane(self) -> Plane:
        """The same pixels in Cartesian coordinates, Q = 2 pi (h a* + k b* + l c*) [1/Angstrom]."""
        n, m = self.shape
        # The middle is first + step * index, so that rounding of a float32 axis does not tilt the grid.
        middle = np.array(
            [self.rows[0] + self.steps[0] * (n // 2), self.columns[0] + self.steps[1] * (m // 2)]
        )
        centre = self.name.origin + middle @ self.name.vectors
        first, second = self.vectors
        return Plane(centre @ self.cell.reciprocal, self.steps[0] * first, self.steps[1] * second, (n, m))

    @property
    def vectors(self) -> Array:
        """Q of one unit along the first and along the second axis, shape (2, 3) [1/Angstrom]."""
        return np.asarray(self.name.vectors @ self.cell.reciprocal)

    def square(self, q_max_inv_angstrom: float) -> Plane:
        """Return the square Cartesian plane of 256 x 256 pixels centred where both coordinates are 0 [1/Angstrom].

        Rows run along the first axis and columns perpendicular to it, as in `plane_through` for two axes of the cell.

        Args:
            q_max_inv_angstrom: half the side of the square [1/Angstrom].
        """
        first, second = self.vectors
        return square_plane(self.name.origin @ self.cell.reciprocal, first, second, q_max_inv_angstrom)

    def hkl(self) -> Array:
        """Return the indices h, k, l of every pixel, shape (n, m, 3) [r.l.u.]."""
        first, second = self.name.vectors
        along_rows, along_columns = np.outer(self.rows, first), np.outer(self.columns, second)
        hkl: Array = self.name.origin + along_rows[:, None] + along_columns[None, :]
        return hkl

    def describe(self) -> str:
        """Return one line for the user: axis order, ranges, cell and the factor 2 pi in Q."""
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
    """A measured plane: intensities, where its pixels lie, and what had to be assumed when it was read.

    Attributes:
        intensity: intensities in any unit, shape (n, m); NaN where nothing was measured. Values that are hidden in a
            numpy masked array become NaN; all others are kept as they are.
        grid: where the pixels lie; None if the file does not say.
        notes: sentences for the user about what the reader had to assume.
        sigma: standard uncertainties of the intensities, in the same unit, shape (n, m); None if the file has none.
        from_picture: whether the file is a picture with its first axis to the right and its second axis up, so that
            rows and columns differ from those in the file. Masks and backgrounds from such files are rearranged too.
        interpolated: whether intensities were interpolated between voxels, so that flag values in the file may have
            mixed with neighbouring intensities.
        centring: centring of the cell, from the space group in the file; None if the file does not state it.

    Raises:
        InputError: the centring is unknown, the intensity is not a two-dimensional array of real numbers, or its shape
            differs from that of the grid or of sigma.

    Examples:
        >>> import numpy as np
        >>> from dsfunet.physics import Cell
        >>> from dsfunet.planes.measured import MeasuredPlane, PlaneGrid
        >>> from dsfunet.planes.names import parse_plane
        >>> grid = PlaneGrid(Cell(5, 5, 8), parse_plane("hk0"), np.linspace(-4, 4, 81), np.linspace(-4, 4, 81))
        >>> plane = MeasuredPlane(np.ones((81, 81)), grid)
        >>> plane.intensity.shape, plane.cell.a
        ((81, 81), 5)
    """

    intensity: Array
    grid: PlaneGrid | None = None
    notes: tuple[str, ...] = ()
    sigma: Array | None = None
    from_picture: bool = False
    interpolated: bool = False
    centring: Centring | None = None

    def __post_init__(self) -> None:
        intensity = _as_real(self.intensity, "intensity")
        if intensity.ndim != 2:
            raise InputError(
                f"the intensity has shape {intensity.shape}; expected a plane with two dimensions"
            )
        if self.grid is not None and intensity.shape != self.grid.shape:
            raise InputError(
                f"the intensity has shape {intensity.shape}; expected {self.grid.shape}, the shape of its grid"
            )
        object.__setattr__(self, "intensity", intensity)
        if self.sigma is not None:
            sigma = _as_real(self.sigma, "sigma")
            if sigma.shape != intensity.shape:
                raise InputError(
                    f"sigma has shape {sigma.shape}; expected {intensity.shape}, the shape of the intensity"
                )
            object.__setattr__(self, "sigma", sigma)
        if self.centring is not None:
            check_centring(self.centring)

    @property
    def cell(self) -> Cell | None:
        """The unit cell; None if the file has none."""
        return None if self.grid is None else self.grid.cell


def _as_real(values: npt.ArrayLike, name: str) -> Array:
    """Return numbers as float64, NaN where a masked array hides them."""
    found = np.asarray(values)
    if found.dtype.kind not in "fiub":
        raise InputError(f"{name} has type {found.dtype}; expected real numbers")
    with np.errstate(over="ignore"):  # a longdouble may not fit
        result = found.astype(np.float64, copy=False)
    hidden = np.ma.getmask(values)
    return result if hidden is np.ma.nomask else np.where(hidden, np.nan, result)


def _mean_step(values: Array) -> float:
    return float(values[-1] - values[0]) / (len(values) - 1)


def _check_even(values: Array, label: str) -> None:
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise InputError(
            f"axis {label} has shape {values.shape}; expected two or more finite numbers [r.l.u.]"
            if values.ndim != 1 or len(values) < 2
            else f"axis {label} has values that are not finite; expected finite numbers [r.l.u.]"
        )
    step = _mean_step(values)
    # Rounding of float32 axes stays below a thousandth of a step, and a thousandth of a step cannot be seen.
    if step == 0 or np.abs(np.diff(values) - step).max() > 1e-3 * abs(step):
        raise InputError(
            f"axis {label} from {values[0]:g} to {values[-1]:g} is not evenly spaced; expected equal steps"
        )
