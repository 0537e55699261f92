"""Grids of VTK, from legacy or XML files: the array [x, y, z], and where its points lie.

The title of a legacy file tells its program. Scatty and Spinteract write components of Q with the factor 2 pi, with a
along x and b in the x-y plane; 3DSCalculator, and Scatty for the Bragg peaks of a supercell, write h, k, l. Other
regular grids are taken as h, k, l, unless the user gives a UB matrix or other axes. rmc-discord writes structured grids
whose points are Cartesian, B (h, k, l) without 2 pi, with a* along x and b* in the x-y plane; they need a unit cell.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.io.formats.arrays import ArrayFile

_XYZ = ("h", "k", "l")
_NOTE = "x, y and z of the grid are taken as h, k and l"
_OR_Q = "; if they are Qx, Qy and Qz in 1/Angstrom, give --ub, and if they are others, --array-axes"
_IN_INDICES = ("(hkl grid)", "supercell bragg peaks")
_IN_Q = ("diffuse scattering", "spinteract", "scatty")


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
        title: the title of a legacy file.
    """

    layout: str
    counts: tuple[int, int, int]
    values: npt.NDArray[np.generic]
    origin: Array | None = None
    spacing: Array | None = None
    coordinates: tuple[Array, Array, Array] | None = None
    points: Array | None = None
    title: str = ""


def make_array_file(grid: VtkGrid) -> ArrayFile:
    """Make an array [x, y, z] with its axes.

    Raises:
        InputError: there are not as many values as points or cells, free points do not form a parallelepiped, or the
            grid is one of Scatty or Spinteract that does not run along x, y, z.
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
        title = grid.title.lower()
        if any(word in title for word in _IN_Q) and not any(word in title for word in _IN_INDICES):
            return _place_in_q(grid, grid.origin, grid.spacing, array)
        lines = [grid.origin[n] + grid.spacing[n] * np.arange(grid.counts[n]) for n in range(3)]
    if between:
        lines = [0.5 * (line[1:] + line[:-1]) if len(line) > 1 else line for line in lines]
    thick = {n: (_XYZ[n], line) for n, line in enumerate(lines) if len(line) > 1}
    layers = {n: float(line[0]) for n, line in enumerate(lines) if len(line) == 1}
    known = any(word in grid.title.lower() for word in _IN_INDICES)
    note = _NOTE if known else f"{_NOTE}{_OR_Q}"
    return ArrayFile(grid.layout, array, thick, layers, guessed=not known, notes=(note,))


def _place_in_q(grid: VtkGrid, origin: Array, spacing: Array, array: npt.NDArray[np.generic]) -> ArrayFile:
    """Place a grid of Scatty or Spinteract, whose file has the corner in Q and the lengths of the steps alone."""
    counts = np.array(array.shape)
    thick = counts > 1
    half = np.where(thick, spacing * (counts - 1) / 2, 0.0)
    rounding = 1e-6 * counts + 1e-6 * np.abs(origin)  # the file has six decimals
    if (np.abs(origin + half) <= rounding)[thick].all():
        spacing = np.where(thick, -2 * origin / np.maximum(counts - 1, 1), spacing)
    elif abs(np.linalg.norm(origin) - np.linalg.norm(half)) < 1e-4 * np.linalg.norm(half):
        raise InputError(
            "a VTK file of Scatty or Spinteract whose grid does not run along x, y and z, and the file does not say"
            " where else; give the list of h, k, l and intensity that Scatty writes too (..._list.txt)"
        )
    notes = (
        "a VTK file of Scatty or Spinteract, by its title: x, y and z are components of Q with the factor 2 pi, and its"
        " grid is taken to run along them",
    )
    return ArrayFile(
        f"{grid.layout} of Scatty or Spinteract",
        array,
        steps=(origin, np.diag(np.where(thick, spacing, 0.0))),
        frame="direct",
        guessed=True,
        notes=notes,
    )


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
