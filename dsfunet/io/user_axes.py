"""Axes for a plane whose file has none: a cell, the plane's name, and where its pixels lie, from a person."""

from dataclasses import dataclass, replace

import numpy as np

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.physics import Cell, plane_through
from dsfunet.planes.measured import MeasuredPlane, PlaneGrid
from dsfunet.planes.names import PlaneName, SpannedPlaneName

_SAME_PIXEL = 0.25
"""Oblique by less than this over half a picture [pixels], two axes count as perpendicular."""


@dataclass(frozen=True)
class UserAxes:
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

    def grid(self, shape: tuple[int, int]) -> PlaneGrid:
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
        return make_cartesian_grid(self.cell, self.plane, step, shape)


def put_on_axes(measured: MeasuredPlane, axes: UserAxes) -> MeasuredPlane:
    """A plane without axes, put onto those that were given, its rows along the first axis.

    Raises:
        InputError: the plane has axes of its own, or its shape is none that these axes can have.
    """
    if measured.grid is not None:
        raise InputError(f"plane {measured.grid.name} has axes of its own: expected none from options")

    drawn = axes.orientation == "picture"
    intensity, sigma = measured.intensity, measured.sigma
    if drawn:
        intensity, sigma = orient_picture(intensity), None if sigma is None else orient_picture(sigma)
    return replace(
        measured, intensity=intensity, grid=axes.grid(intensity.shape), sigma=sigma, from_picture=drawn
    )


def orient_picture(values: Array) -> Array:
    """A picture whose first axis points to the right and whose second points up, as everything of ours has them."""
    return np.ascontiguousarray(values[::-1].T)


def make_cartesian_grid(
    cell: Cell,
    name: PlaneName,
    step_inv_angstrom: float,
    shape: tuple[int, int],
    origin_pixel: tuple[float, float] | None = None,
) -> PlaneGrid:
    """Square Cartesian pixels, rows along the plane's first reciprocal axis, columns perpendicular to it in the plane.

    `origin_pixel` is where the plane's centre, the point 0 0 l of hkl, lies [pixels from the middle of pixel (0, 0)];
    by default on pixel (n // 2, m // 2). Where the two axes of the plane are oblique, the columns run along no axis of
    the cell, and the grid is that of a plane which two vectors span: [1 0 0] and [-1/2 1 0] for hk1 of a hexagonal
    crystal. Where they are perpendicular, to a quarter of a pixel at the edge, it has the plane's own name.
    """
    n, m = shape
    place_u, place_v = origin_pixel if origin_pixel is not None else (n // 2, m // 2)
    # Steps of 1 1/Angstrom, in h, k, l.
    unit = plane_through(cell, name.axes, name.offset, q_max_inv_angstrom=1.0, pixels=2)
    along_rows, along_columns = np.stack([unit.step_u, unit.step_v]) @ cell.direct.T / (2 * np.pi)
    first, second = name.axes
    steps = step_inv_angstrom * along_rows[first], step_inv_angstrom * along_columns[second]
    rows, columns = (
        step * (np.arange(count) - place)
        for step, count, place in zip(steps, shape, (place_u, place_v), strict=True)
    )
    shear = float(along_columns[first] / along_columns[second])
    if abs(shear * steps[1]) * m / 2 <= _SAME_PIXEL * abs(steps[0]):
        return PlaneGrid(cell, name, rows, columns)
    vectors = np.eye(3)[[first, second]]
    vectors[1, first] = round(shear, 12)  # -0.5 of a hexagonal cell is -0.5
    across, up, through = ((each[0], each[1], each[2]) for each in (*vectors.tolist(), name.origin.tolist()))
    return PlaneGrid(cell, SpannedPlaneName(across, up, through), rows, columns)
