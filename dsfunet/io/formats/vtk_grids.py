"""Grids of VTK, from legacy or XML files: the array [x, y, z], and where its points lie.

Scatty and scripts write regular grids whose x, y, z are h, k, l. rmc-discord writes structured grids whose points are
Cartesian, B (h, k, l) without 2 pi, with a* along x and b* in the x-y plane; they need a unit cell.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.io.formats.arrays import ArrayFile

_XYZ = ("h", "k", "l")
_NOTE = "x, y and z of the grid are taken as h, k and l"


@dataclass(frozen=True, eq=False)
class VtkGrid:
    """A grid, and its values.

    Attributes:
        layout: kind of file, in words.
        counts: numbers of points along x, y, z.
        values: the values, x fastest: at the points, or at the cells between them.
        origin: the first point, shape (3,); None if `coordinates` or `points` are given.
        spacing: distances of points along x, y, z; None likewise.
        coordinates: coordinates along x, y and z; None if the points are regular or free.
        points: all points, x fastest, shape (n, 3); None if they are not free.
    """

    layout: str
    counts: tuple[int, int, int]
    values: npt.NDArray[np.generic]
    origin: Array | None = None
    spacing: Array | None = None
    coordinates: tuple[Array, Array, Array] | None = None
    points: Array | None = None


def make_array_file(grid: VtkGrid) -> ArrayFile:
    """Make an array [x, y, z] with its axes.

    Raises:
        InputError: there are not as many values as points or cells, or free points do not form a parallelepiped.
    """
    points = int(np.prod([int(count) for count in grid.counts]))
    cells = tuple(max(count - 1, 1) for count in grid.counts)
    counts = grid.counts
    between = grid.values.size != points
    if between:
        counts = cells  # type: ignore[assignment]
        if grid.values.size != np.prod(cells):
            raise InputError(
                f"a VTK file of {' x '.join(map(str, grid.counts))} points with {grid.values.size} values; expected one"
                " number for each point or for each cell"
            )
    array = grid.values.reshape(counts[::-1]).T
    if array.dtype.kind not in "iuf":
        raise InputError(f"a VTK file with values of type {array.dtype}; expected real numbers")
    if grid.points is not None:
        return _place_free_points(
            grid, grid.points.reshape(*grid.counts[::-1], 3).transpose(2, 1, 0, 3), array
        )
    if grid.coordinates is not None:
        lines = list(grid.coordinates)
    else:
        assert grid.origin is not None and grid.spacing is not None
        lines = [grid.origin[n] + grid.spacing[n] * np.arange(grid.counts[n]) for n in range(3)]
    if between:
        lines = [0.5 * (line[1:] + line[:-1]) if len(line) > 1 else line for line in lines]
    thick = {n: (_XYZ[n], line) for n, line in enumerate(lines) if len(line) > 1}
    layers = {n: float(line[0]) for n, line in enumerate(lines) if len(line) == 1}
    return ArrayFile(grid.layout, array, thick, layers, notes=(_NOTE,))


def _place_free_points(grid: VtkGrid, points: Array, array: npt.NDArray[np.generic]) -> ArrayFile:
    """Find the three step vectors of a structured grid; along x, y, z they are h, k, l, else Cartesian."""
    if array.shape != points.shape[:3]:
        raise InputError("a structured VTK grid with values in its cells; expected values at its points")
    origin, steps = points[0, 0, 0], np.zeros((3, 3))
    for n in range(3):
        if points.shape[n] > 1:
            steps[n] = (np.moveaxis(points, n, 0)[-1, 0, 0] - origin) / (points.shape[n] - 1)
    index = np.stack(np.meshgrid(*(np.arange(count) for count in points.shape[:3]), indexing="ij"), axis=-1)
    if np.abs(origin + index @ steps - points).max() > 1e-3 * np.abs(steps).max():
        raise InputError("a structured VTK grid with curved or uneven lines; expected evenly spaced points")
    thick = [n for n in range(3) if points.shape[n] > 1]
    straight = all(np.count_nonzero(np.abs(steps[n]) > 1e-6 * np.abs(steps[n]).max()) == 1 for n in thick)
    if straight and all(np.abs(steps[n]).argmax() == n for n in thick):
        lines = {n: (_XYZ[n], origin[n] + steps[n, n] * np.arange(points.shape[n])) for n in thick}
        layers = {n: float(origin[n]) for n in range(3) if n not in thick}
        note = f"{_NOTE}; if they are Cartesian, B (h, k, l), write the file before it is transformed"
        return ArrayFile(grid.layout, array, lines, layers, notes=(note,))
    note = "the points of the grid are taken as B (h, k, l) without 2 pi, a* along x, b* in the x-y plane"
    return ArrayFile(grid.layout, array, steps=(2 * np.pi * origin, 2 * np.pi * steps), notes=(note,))
