"""Axes for a plane whose file has none: a cell, the plane's name, and where its pixels lie, from a person."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dsfunet.errors import InputError
from dsfunet.io.cartesian_grid import CartesianGrid
from dsfunet.io.measured import MeasuredPlane, PlaneGrid
from dsfunet.io.plane_names import PlaneName
from dsfunet.physics import Cell, Plane, plane_through

Array = npt.NDArray[np.float64]

_SAME_PIXEL = 0.25
"""Oblique by less than this over half a picture [pixels], two axes count as perpendicular."""


@dataclass(frozen=True)
class GivenAxes:
    """Where the pixels of a picture lie, in one of two ways.

    Either `first_range` and `second_range` are the coordinates [r.l.u.] of the first and the last pixel *centre* along
    the two axes that `plane` lets vary, which may be oblique, as in a volume; or `q_max_inv_angstrom` is half the side
    of a square picture with Cartesian pixels, whose one direction is the plane's first reciprocal axis, the other
    perpendicular to it, and whose pixel (n // 2, n // 2) is the plane's centre (h = k = 0 in hk1): what is drawn to
    scale on paper.

    `orientation` says which way up the picture is. "array": rows run along the first axis and columns along the
    second, as in everything of ours. "picture": the first axis points to the right and the second up, as people draw
    it, so that row 0 of the file is the top.

    Attributes:
        cell: the unit cell.
        plane: which plane it is.
        first_range: first and last coordinate along the first axis; the first may be the larger one.
        second_range: likewise along the second axis; from the bottom up in a "picture".
        q_max_inv_angstrom: half the side, from the centre to the outer edge [1/Angstrom].
        orientation: "array" or "picture".

    Raises:
        InputError: neither or both ways are given, or a number is not finite or makes no extent.
    """

    cell: Cell
    plane: PlaneName
    first_range: tuple[float, float] | None = None
    second_range: tuple[float, float] | None = None
    q_max_inv_angstrom: float | None = None
    orientation: str = "array"

    def __post_init__(self) -> None:
        ranges = [self.first_range, self.second_range]
        by_q = self.q_max_inv_angstrom is not None
        if ranges.count(None) != (2 if by_q else 0):
            raise InputError(
                f"axes of plane {self.plane}: found ranges {self.first_range} and {self.second_range} and q_max"
                f" {self.q_max_inv_angstrom}, expected either both ranges [r.l.u.] or q_max [1/Angstrom] alone"
            )
        for label, limits in zip(self.plane.labels, ranges, strict=True):
            if limits is not None and not (
                len(limits) == 2 and np.isfinite(limits).all() and limits[0] != limits[1]
            ):
                raise InputError(
                    f"axis {label} from {limits}: expected two different finite numbers, the first and the last"
                    " pixel's [r.l.u.]"
                )
        if by_q and not 0 < float(self.q_max_inv_angstrom or 0) < np.inf:
            raise InputError(f"q_max {self.q_max_inv_angstrom} 1/Angstrom: expected a positive number")
        if self.orientation not in ("array", "picture"):
            raise InputError(f"orientation {self.orientation!r}: expected 'array' or 'picture'")

    def grid(self, shape: tuple[int, int]) -> PlaneGrid | CartesianGrid:
        """The grid of a plane of (n, m) pixels whose rows run along the first axis.

        Raises:
            InputError: there are fewer than two pixels one way, or q_max is given and the picture is not square.
        """
        if min(shape) < 2:
            raise InputError(f"picture of {shape} pixels: expected two or more each way")
        if self.q_max_inv_angstrom is None:
            assert self.first_range is not None and self.second_range is not None  # __post_init__ made sure
            rows, columns = (
                np.linspace(*limits, count)
                for limits, count in zip((self.first_range, self.second_range), shape, strict=True)
            )
            return PlaneGrid(self.cell, self.plane, rows, columns)
        if shape[0] != shape[1]:
            raise InputError(
                f"picture of {shape} pixels: expected a square one for q_max, or ranges of both axes [r.l.u.]"
            )
        step = 2 * self.q_max_inv_angstrom / shape[0]
        return cartesian(self.cell, self.plane, step, shape)


def place(measured: MeasuredPlane, axes: GivenAxes) -> MeasuredPlane:
    """A plane without axes, put onto those that were given, its rows along the first axis.

    Raises:
        InputError: the plane has axes of its own, or its shape is none that these axes can have.
    """
    if measured.grid is not None:
        raise InputError(f"plane {measured.grid.name} has axes of its own: expected none from options")

    def turned(values: Array | None) -> Array | None:
        if values is None or axes.orientation == "array":
            return values
        return np.ascontiguousarray(values[::-1].T)

    intensity = turned(measured.intensity)
    assert intensity is not None
    return on_grid(
        replace(measured, intensity=intensity, sigma=turned(measured.sigma)), axes.grid(intensity.shape)
    )


def on_grid(measured: MeasuredPlane, grid: PlaneGrid | CartesianGrid) -> MeasuredPlane:
    """The same plane with a grid of either kind."""
    return replace(measured, grid=grid)  # type: ignore[arg-type]  # until MeasuredPlane says that it takes both


def cartesian(
    cell: Cell,
    name: PlaneName,
    step_inv_angstrom: float,
    shape: tuple[int, int],
    origin_pixel: tuple[float, float] | None = None,
) -> PlaneGrid | CartesianGrid:
    """Square Cartesian pixels, rows along the plane's first reciprocal axis, columns perpendicular to it in the plane.

    `origin_pixel` is where the plane's centre, the point 0 0 l of hkl, lies [pixels from the middle of pixel (0, 0)];
    by default on pixel (n // 2, m // 2). Where the two axes are perpendicular, to a quarter of a pixel at the edge,
    this is a `PlaneGrid`.
    """
    n, m = shape
    unit = plane_through(
        cell, name.axes, name.offset, q_max_inv_angstrom=1.0, pixels=2
    )  # steps of 1 1/Angstrom
    place_u, place_v = origin_pixel if origin_pixel is not None else (n // 2, m // 2)
    step_u, step_v = step_inv_angstrom * unit.step_u, step_inv_angstrom * unit.step_v
    origin = unit.origin + (n // 2 - place_u) * step_u + (m // 2 - place_v) * step_v
    grid = CartesianGrid(cell, name, Plane(origin, step_u, step_v, shape))
    if abs(grid.shear) * m / 2 > _SAME_PIXEL * abs(grid.steps[0]):
        return grid
    return PlaneGrid(cell, name, grid.rows, grid.columns)
