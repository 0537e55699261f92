"""The place of an array whose dimensions run along any directions of reciprocal space: [H,0,0], [H,H,0], [0,0,L]."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.io.cell_parameters import cell_from_ub, cells_agree
from dsfunet.io.grid_axes import GridAxis, make_volume_axes
from dsfunet.io.oblique_volumes import ObliqueGrid
from dsfunet.io.volume import VolumeAxes
from dsfunet.physics import Cell
from dsfunet.planes.names import AXIS_LABELS, SpannedPlaneName

CartesianFrame: TypeAlias = Literal["reciprocal", "direct"]
"""How Cartesian components of Q lie to the crystal: a* along x and b* in the x-y plane (Busing and Levy, Acta Cryst.
22, 457, 1967), or a along x and b in the x-y plane, as in RMCProfile, Scatty and Spinteract."""

_FRAMES: dict[CartesianFrame, str] = {
    "reciprocal": "a* along x and b* in the x-y plane",
    "direct": "a along x and b in the x-y plane",
}


@dataclass(frozen=True, eq=False)
class DirectedAxis:
    """Evenly spaced voxel centres along a direction.

    Attributes:
        direction: h, k, l of one unit along the axis, shape (3,) [r.l.u.].
        first: coordinate of the first voxel centre, in units of the direction.
        step: spacing of the voxel centres, in units of the direction.
        name: name of the axis in the file.
    """

    direction: Array
    first: float
    step: float
    name: str


@dataclass(frozen=True, eq=False)
class ArrayPlace:
    """The place of an array in reciprocal space.

    Attributes:
        stored: its voxels along the axes of the array: along h, k, l if neither of the others is given.
        grid: the same voxels in h, k, l, if the array has three dimensions that do not run along h, k, l.
        spanned: the plane of an array that is one voxel thick, if it does not run along two of h, k, l; `stored` then
            counts along its two vectors, and its third axis means nothing.
        notes: sentences for the user about what was assumed.
        choices: the values along each further axis, of which the user has chosen one, by its name.
    """

    stored: VolumeAxes
    grid: ObliqueGrid | None = None
    spanned: SpannedPlaneName | None = None
    notes: tuple[str, ...] = ()
    choices: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


def place_array(
    shape: Sequence[int], along: Mapping[int, DirectedAxis], layers: Mapping[int, float] | None = None
) -> ArrayPlace:
    """Find the place of an array from the directions of its dimensions.

    Args:
        shape: shape of the array.
        along: the axis along each dimension; dimensions without an axis must be one voxel thick.
        layers: coordinates [r.l.u.] of indices along which the array has no dimension, by number.

    Raises:
        InputError: a dimension with several voxels has no axis, or the axes do not span two or three dimensions.
    """
    if all(np.count_nonzero(axis.direction) == 1 for axis in along.values()):
        return _place_along_indices(shape, along, layers)
    thick = [dimension for dimension in sorted(along) if shape[dimension] > 1]
    for dimension, count in enumerate(shape):
        if count > 1 and dimension not in along:
            raise InputError(
                f"dimension {dimension} of the array of shape {tuple(shape)} has no direction in h, k, l; expected"
                " names such as [H,0,0], [H,H,0] or [0,0,L]"
            )
    if len(thick) == 3:
        return _place_volume(shape, along, thick)
    if len(thick) == 2:
        return _place_spanned_plane(shape, along, thick, layers or {})
    raise InputError(
        f"the array has shape {tuple(shape)}; expected two or three dimensions with several voxels along h, k, l"
    )


def _place_along_indices(
    shape: Sequence[int], along: Mapping[int, DirectedAxis], layers: Mapping[int, float] | None
) -> ArrayPlace:
    aligned, notes = {}, []
    for dimension, axis in along.items():
        number = int(np.abs(axis.direction).argmax())
        factor = float(axis.direction[number])
        aligned[dimension] = GridAxis(number, factor * axis.first, factor * axis.step)
        if factor != 1:
            notes.append(f"{axis.name} is {AXIS_LABELS[number]} in units of {factor:g}")
    axes, more = make_volume_axes(shape, aligned, layers)
    return ArrayPlace(axes, notes=(*notes, *more))


def _place_volume(
    shape: Sequence[int], along: Mapping[int, DirectedAxis], thick: Sequence[int]
) -> ArrayPlace:
    # Mantid lists its dimensions in reverse order, and any order will do.
    order = list(reversed(thick))
    numbered = {d: GridAxis(n, along[d].first, along[d].step) for n, d in enumerate(order)}
    stored, _ = make_volume_axes(shape, numbered)
    matrix = np.stack([along[d].direction for d in order], axis=1)
    grid = ObliqueGrid(matrix @ np.array(stored.lower), matrix * np.array(stored.steps), stored.counts)
    texts = ", ".join(describe_direction(along[d].direction) for d in order)
    note = f"the bins run along {texts} in h, k, l, so intensities are interpolated onto a grid of h, k, l"
    return ArrayPlace(stored, grid, notes=(note,))


def _place_spanned_plane(
    shape: Sequence[int], along: Mapping[int, DirectedAxis], thick: Sequence[int], layers: Mapping[int, float]
) -> ArrayPlace:
    through = np.zeros(3)
    for dimension, axis in along.items():
        if dimension not in thick:
            through += axis.first * axis.direction
    order = sorted(thick, key=lambda d: _first_index(along[d].direction))
    directions = [along[d].direction for d in order]
    # Files name only what they have: the index that neither direction changes may be stated alone.
    for number, value in layers.items():
        if not any(direction[number] for direction in directions) and not through[number]:
            through[number] = value
    (a, b, c), (d, e, f) = ([float(round(value, 9)) for value in direction] for direction in directions)
    name = SpannedPlaneName((a, b, c), (d, e, f), tuple(float(round(value, 9)) for value in through))  # type: ignore[arg-type]
    numbered = {dim: GridAxis(n, along[dim].first, along[dim].step) for n, dim in enumerate(order)}
    stored, _ = make_volume_axes(shape, numbered, {2: 0.0})
    return ArrayPlace(stored, spanned=name, notes=(f"the file holds the plane {name} alone",))


def _first_index(direction: Array) -> tuple[int, ...]:
    """Order directions like h, k, l: by their first index that is not zero, positive directions first."""
    number = int(np.flatnonzero(direction)[0])
    return number, -int(np.sign(direction[number:]).sum())


def describe_direction(direction: Array) -> str:
    """Describe a direction in h, k, l, such as [1, 1, 0]."""
    return f"[{', '.join(f'{value:.6g}' for value in direction)}]"


def make_cartesian_axes(
    axes: Mapping[int, tuple[int, GridAxis, str]],
    cell: Cell | None,
    ub: Array | None,
    frame: CartesianFrame = "reciprocal",
) -> tuple[dict[int, DirectedAxis], tuple[str, ...]]:
    """Make axes along h, k, l from axes along Qx, Qy, Qz, which include the factor 2 pi: Q = 2 pi UB (h, k, l).

    Args:
        axes: for each dimension of an array the component of Q (0, 1, 2 for x, y, z), the axis in 1/Angstrom, and its
            name.
        cell: the unit cell; None if it is not known.
        ub: columns a*, b*, c* without the factor 2 pi, shape (3, 3) [1/Angstrom]; None takes those of the cell in
            `frame`.
        frame: how the axes lie to a crystal whose matrix is not known.

    Returns:
        the axes, and sentences for the user about what was assumed.

    Raises:
        InputError: neither the cell nor the matrix is known, or they contradict each other.
    """
    notes: tuple[str, ...] = ()
    if ub is not None and cell is not None:
        ub, notes = _check_against_cell(ub, cell)
    if ub is None:
        if cell is None:
            names = ", ".join(name for _, _, name in axes.values())
            raise InputError(
                f"the axes are {names} in 1/Angstrom; give the orientation with --ub, or with --cell a cell that lies"
                f" with {_FRAMES[frame]}"
            )
        reciprocal = cell.reciprocal / (2 * np.pi)
        upper = np.linalg.cholesky(reciprocal @ reciprocal.T).T
        ub = np.asarray(upper if frame == "reciprocal" else reciprocal.T, dtype=np.float64)
        notes = (f"the axes are components of Q in 1/Angstrom; {_FRAMES[frame]} is assumed",)
    inverse: Array = np.asarray(np.linalg.inv(2 * np.pi * ub), dtype=np.float64)
    inverse[np.abs(inverse) < 1e-9 * np.abs(inverse).max()] = 0.0
    return {
        dimension: DirectedAxis(inverse[:, number], axis.first, axis.step, name)
        for dimension, (number, axis, name) in axes.items()
    }, (*notes, "Q of the axes includes the factor 2 pi")


def _check_against_cell(ub: Array, cell: Cell) -> tuple[Array, tuple[str, ...]]:
    """Return a UB matrix without the factor 2 pi, which it includes if only that agrees with the cell."""
    own, trouble = cell_from_ub(ub, "the UB matrix")
    if own is not None and cells_agree(own, cell):
        return ub, ()
    smaller = np.asarray(ub / (2 * np.pi))
    without, _ = cell_from_ub(smaller, "the UB matrix")
    if without is not None and cells_agree(without, cell):
        return smaller, ("the UB matrix includes the factor 2 pi, as the unit cell shows",)
    found = trouble if own is None else " ".join(f"{value:.5g}" for value in own.parameters)
    stated = " ".join(f"{value:g}" for value in cell.parameters)
    raise InputError(
        f"the UB matrix gives the unit cell {found}, and the cell is {stated}; expected the same"
    )
