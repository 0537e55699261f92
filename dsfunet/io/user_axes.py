"""Axes that a user gives for a file without axes: a unit cell, the name of the plane, and where its pixels lie."""

from dataclasses import dataclass, replace

import numpy as np

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.physics import Cell, plane_through
from dsfunet.planes.measured import MeasuredPlane, PlaneGrid
from dsfunet.planes.names import PlaneName, SpannedPlaneName

SAME_PIXEL = 0.25
"""Two axes count as perpendicular if their obliqueness shifts no pixel of a picture by more than this [pixels]."""


@dataclass(frozen=True)
class UserAxes:
    """The place of the pixels of a picture in reciprocal space, as a user gives it, in one of two ways.

    Either `first_range` and `second_range` are the coordinates of the first and the last pixel *centre* along the two
    axes of the plane, which may be oblique, as in a volume. Or `q_max_inv_angstrom` is half the side of a square
    picture with Cartesian pixels, drawn to scale: one direction is the first reciprocal axis of the plane, the other is
    perpendicular to it, and pixel (n // 2, n // 2) is the centre of the plane (h = k = 0 in hk1).

    Attributes:
        cell: the unit cell.
        plane: the plane.
        first_range: first and last coordinate along the first axis [r.l.u.]; they may decrease.
        second_range: first and last coordinate along the second axis [r.l.u.]; from bottom to top in a "picture".
        q_max_inv_angstrom: half the side, from the centre to the outer edge [1/Angstrom].
        orientation: "array" if rows of the file run along the first axis and columns along the second; "picture" if the
            first axis points to the right and the second up, so that row 0 of the file is at the top.

    Raises:
        InputError: neither or both ways are given, a range is empty, or a number is not finite.

    Examples:
        >>> from dsfunet.io import UserAxes, parse_plane_name
        >>> from dsfunet.physics import Cell
        >>> axes = UserAxes(Cell(5, 5, 8), parse_plane_name("hk0"), first_range=(-4, 4), second_range=(-4, 4))
        >>> axes.make_grid((81, 81)).rows[[0, 40, 80]].tolist()
        [-4.0, 0.0, 4.0]
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
                f"the axes of plane {self.plane} have the ranges {self.first_range} and {self.second_range} and q_max"
                f" {self.q_max_inv_angstrom}; expected either both ranges [r.l.u.] or q_max [1/Angstrom] alone"
            )
        for label, limits in zip(self.plane.labels, ranges, strict=True):
            if limits is not None and not (
                len(limits) == 2 and np.isfinite(limits).all() and limits[0] != limits[1]
            ):
                raise InputError(
                    f"the range of axis {label} is {limits}; expected two different finite numbers, the coordinates of"
                    " the first and the last pixel [r.l.u.]"
                )
        if by_q and not 0 < float(self.q_max_inv_angstrom or 0) < np.inf:
            raise InputError(f"q_max is {self.q_max_inv_angstrom}; expected a positive number [1/Angstrom]")
        if self.orientation not in ("array", "picture"):
            raise InputError(f"orientation is {self.orientation!r}; expected 'array' or 'picture'")

    def make_grid(self, shape: tuple[int, int]) -> PlaneGrid:
        """Make the grid of a plane of (n, m) pixels whose rows run along the first axis.

        Raises:
            InputError: the plane has fewer than two rows or columns, or q_max is given and it is not square.
        """
        if min(shape) < 2:
            raise InputError(f"the picture has {shape} pixels; expected two or more rows and columns")
        if self.q_max_inv_angstrom is None:
            assert self.first_range is not None and self.second_range is not None  # checked in __post_init__
            rows, columns = (
                np.linspace(*limits, count)
                for limits, count in zip((self.first_range, self.second_range), shape, strict=True)
            )
            return PlaneGrid(self.cell, self.plane, rows, columns)
        if shape[0] != shape[1]:
            raise InputError(
                f"the picture has {shape} pixels; expected a square picture with q_max, or give the ranges of both axes"
            )
        step = 2 * self.q_max_inv_angstrom / shape[0]
        return make_cartesian_grid(self.cell, self.plane, step, shape)


def put_on_axes(measured: MeasuredPlane, axes: UserAxes) -> MeasuredPlane:
    """Put a plane without axes onto the axes that a user gives, with its rows along the first axis.

    Raises:
        InputError: the plane has axes already, or the given axes do not fit its shape.
    """
    if measured.grid is not None:
        raise InputError("this file already defines its axes; remove the axis options")
    drawn = axes.orientation == "picture"
    intensity, sigma = measured.intensity, measured.sigma
    if drawn:
        intensity, sigma = orient_picture(intensity), None if sigma is None else orient_picture(sigma)
    return replace(
        measured, intensity=intensity, grid=axes.make_grid(intensity.shape), sigma=sigma, from_picture=drawn
    )


def orient_picture(values: Array) -> Array:
    """Rearrange a picture, first axis to the right and second axis up, so that rows run along the first axis."""
    return np.ascontiguousarray(values[::-1].T)


def make_cartesian_grid(
    cell: Cell,
    name: PlaneName,
    step_inv_angstrom: float,
    shape: tuple[int, int],
    origin_pixel: tuple[float, float] | None = None,
) -> PlaneGrid:
    """Make a grid of square Cartesian pixels with rows along the first reciprocal axis of a plane.

    Columns are perpendicular to the rows within the plane. If the two axes of the plane are oblique, columns run along
    no axis of the cell and the grid belongs to a plane spanned by two vectors: [1 0 0] and [-1/2 1 0] for hk1 of a
    hexagonal crystal. If they are perpendicular, within a quarter of a pixel at the edge, it keeps the name.

    Args:
        cell: the unit cell.
        name: the plane.
        step_inv_angstrom: width of a pixel [1/Angstrom].
        shape: numbers of rows and columns (n, m).
        origin_pixel: where the centre of the plane lies (h = k = 0 in hk1), in pixels from the middle of pixel (0, 0);
            pixel (n // 2, m // 2) by default.
    """
    n, m = shape
    place_u, place_v = origin_pixel if origin_pixel is not None else (n // 2, m // 2)
    # Steps of length 1 [1/Angstrom], as h, k, l.
    unit = plane_through(cell, name.axes, name.offset, q_max_inv_angstrom=1.0, pixels=2)
    along_rows, along_columns = np.stack([unit.step_u, unit.step_v]) @ cell.direct.T / (2 * np.pi)
    first, second = name.axes
    steps = step_inv_angstrom * along_rows[first], step_inv_angstrom * along_columns[second]
    rows, columns = (
        step * (np.arange(count) - place)
        for step, count, place in zip(steps, shape, (place_u, place_v), strict=True)
    )
    shear = float(along_columns[first] / along_columns[second])
    if abs(shear * steps[1]) * m / 2 <= SAME_PIXEL * abs(steps[0]):
        return PlaneGrid(cell, name, rows, columns)
    vectors = np.eye(3)[[first, second]]
    vectors[1, first] = round(shear, 12)  # exactly -0.5 for a hexagonal cell
    across, up, through = ((each[0], each[1], each[2]) for each in (*vectors.tolist(), name.origin.tolist()))
    return PlaneGrid(cell, SpannedPlaneName(across, up, through), rows, columns)
