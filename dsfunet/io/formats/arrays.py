"""An array of intensities from a file, with or without axes, and the volume or plane that it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.io.axis_names import find_cartesian_axis, find_direction
from dsfunet.io.cell_parameters import NO_CELL, FoundCell, convert_cell
from dsfunet.io.directed_axes import (
    ArrayPlace,
    CartesianFrame,
    DirectedAxis,
    make_cartesian_axes,
    place_array,
)
from dsfunet.io.gap_marks import GapReader
from dsfunet.io.grid_axes import GridAxis, describe_stored_order, make_grid_axis
from dsfunet.io.oblique_volumes import Read
from dsfunet.io.read_options import ReadOptions
from dsfunet.io.volume import Box, Volume, VolumeAxes, to_intensities
from dsfunet.physics import Cell
from dsfunet.planes.names import AXIS_LABELS, PlaneName

Numbers = npt.NDArray[Any]
"""An array of a file, of any type."""


@dataclass(frozen=True, eq=False)
class ArrayFile:
    """An intensity array and what its file says about it.

    Attributes:
        layout: kind of file, in words.
        intensity: two or three dimensions, those of `further`, and any that are one voxel thick.
        axes: name and values of the axis along each dimension that has one, as voxel centres or bin edges.
        further: name and values of axes that are none of reciprocal space, such as temperature, likewise.
        layers: coordinates of indices along which the array has no dimension, by number [r.l.u.].
        ranges: first and last coordinate along both dimensions of a plane whose file does not name its axes.
        steps: for an array whose dimensions run along any Cartesian directions, Q of its first voxel and the step of Q
            along each dimension, shapes (3,) and (3, 3) [1/Angstrom].
        frame: how Cartesian directions lie to the crystal.
        guessed: whether the axes are a guess, which the user may replace.
        cell: the unit cell, or the reason why there is none.
        sigma: standard uncertainties, of the shape of the intensity; None if there are none.
        notes: sentences for the user about what was assumed.
    """

    layout: str
    intensity: Numbers
    axes: Mapping[int, tuple[str, Array]] = field(default_factory=dict)
    layers: Mapping[int, float] = field(default_factory=dict)
    ranges: tuple[tuple[float, float], tuple[float, float]] | None = None
    steps: tuple[Array, Array] | None = None
    frame: CartesianFrame = "reciprocal"
    guessed: bool = False
    cell: FoundCell = (None, NO_CELL)
    sigma: Numbers | None = None
    notes: tuple[str, ...] = ()
    further: Mapping[int, tuple[str, Array]] = field(default_factory=dict)

    @property
    def has_axes(self) -> bool:
        """Whether the file says where its voxels lie."""
        return len(self.axes) >= 2 or self.ranges is not None or self.steps is not None


def open_array(
    found: ArrayFile, options: ReadOptions, cell: Cell | None = None, plane: PlaneName | None = None
) -> Volume:
    """Describe the volume, or the plane, in an array.

    Args:
        found: the array.
        options: what the user says about it: its axes, the units of the cell.
        cell: unit cell, used when the file has no valid one.
        plane: the requested plane, which names the axes of a plane whose file does not.

    Raises:
        InputError: the array has no axes and is given none, or it has axes and is given others.
    """
    shape = found.intensity.shape
    if found.guessed and options.ub is not None:
        found = _take_as_q(found)
    notes = list(found.notes)
    own, trouble = found.cell
    converted, _ = convert_cell(own, trouble, options.cell_units)  # the volume keeps what the file says
    if options.array_axes is not None:
        if found.has_axes and not found.guessed:
            raise InputError("the file already defines its axes; remove --array-axes")
        place = ArrayPlace(options.array_axes.make_volume_axes(shape))
    elif found.ranges is not None:
        place = _place_by_ranges(shape, found.ranges, plane)
    elif found.steps is not None:
        place = _place_by_steps(shape, found.steps, found.frame, converted or cell, options.ub_matrix)
    elif len(found.axes) >= 2:
        place = _place_by_axes(found, converted or cell, options)
    else:
        raise InputError(
            f"the array has shape {shape} and no axes; give them with --array-axes, such as"
            f' {_suggest_axes(shape)}, and --cell "a b c alpha beta gamma"'
        )
    if place.spanned is None and place.grid is None:
        notes.append(f"array order in the file: {describe_stored_order(place.stored)}")
    axes, read = place.stored, _make_reader(place.stored, found.intensity)
    read_sigma = None if found.sigma is None else _make_reader(place.stored, found.sigma)
    gaps = GapReader(read)
    if place.grid is not None:
        axes = place.grid.make_straight_axes()
        read = place.grid.straighten_reader(axes, gaps)
        read_sigma = None if read_sigma is None else place.grid.straighten_reader(axes, read_sigma)
    return Volume(
        found.layout,
        axes,
        read,
        own,
        trouble,
        read_sigma,
        (*notes, *place.notes),
        spanned=place.spanned,
        remarks=gaps.describe,
    )


def _take_as_q(found: ArrayFile) -> ArrayFile:
    """Return an array whose axes are taken as components of Q instead of h, k, l."""
    if found.steps is not None:
        return found
    origin, steps = np.zeros(3), np.zeros((3, 3))
    for dimension, (name, values) in found.axes.items():
        number = AXIS_LABELS.index(name)
        origin[number] = values[0]
        steps[dimension, number] = (values[-1] - values[0]) / (len(values) - 1)
    for number, value in found.layers.items():
        origin[number] = value
    return replace(
        found,
        axes={},
        layers={},
        steps=(origin, steps),
        notes=("x, y and z of the grid are taken as Qx, Qy, Qz",),
    )


def _suggest_axes(shape: tuple[int, ...]) -> str:
    thick = sum(count > 1 for count in shape)
    volume = "h -6 6, k -6 6, l 0 2"
    return {2: '"h -6 6, k -6 6, l 0"', 4: f'"temperature 100 300, {volume}"'}.get(thick, f'"{volume}"')


def _place_by_ranges(
    shape: tuple[int, ...], ranges: tuple[tuple[float, float], tuple[float, float]], plane: PlaneName | None
) -> ArrayPlace:
    if plane is None:
        (a, b), (c, d) = ranges
        raise InputError(
            f"the file says that its axes run from {a:g} to {b:g} and from {c:g} to {d:g}, but not which plane this is;"
            " name it with --plane, such as hk0"
        )
    along = {
        dimension: DirectedAxis(
            vector, first, (last - first) / max(shape[dimension] - 1, 1), f"axis {dimension + 1}"
        )
        for dimension, (vector, (first, last)) in enumerate(zip(plane.vectors, ranges, strict=True))
    }
    return place_array(shape, along, {plane.fixed_axis: plane.offset})


def _place_by_steps(
    shape: tuple[int, ...],
    stated: tuple[Array, Array],
    frame: CartesianFrame,
    cell: Cell | None,
    ub: Array | None,
) -> ArrayPlace:
    origin, steps = stated
    cartesian = {n: (n, GridAxis(0, 0.0, 1.0), name) for n, name in enumerate(("Qx", "Qy", "Qz"))}
    unit, notes = make_cartesian_axes(cartesian, cell, ub, frame)
    to_indices = np.stack([unit[n].direction for n in range(3)], axis=1)
    spans = np.maximum(np.array(shape) - 1, 1)[:, None]
    directions = _round_indices(spans * (steps @ to_indices.T)) / spans
    directions[np.abs(directions) < 1e-6 * np.abs(directions).max()] = 0.0
    thick = [n for n in range(3) if shape[n] > 1]
    first = _round_indices(to_indices @ origin)
    # The first voxel counts from the origin along the steps; what is left of it is the layer of a plane.
    counted = np.linalg.lstsq(directions[thick].T, first, rcond=None)[0]
    left = first - counted @ directions[thick]
    along = {
        n: DirectedAxis(directions[n], float(place), 1.0, f"axis {n + 1}")
        for n, place in zip(thick, counted, strict=True)
    }
    layers = {n: float(left[n]) for n in range(3) if not directions[thick][:, n].any()}
    place = place_array(shape, along, layers)
    units = tuple(note for note in place.notes if "in units of" not in note)
    return replace(place, notes=(*notes, *units))


def _round_indices(hkl: Array) -> Array:
    """Round indices that are within 5e-6 of four decimals: texts have six or seven digits of Q."""
    rounded = np.round(hkl, 4)
    return np.where(np.abs(hkl - rounded) < 5e-6, rounded, hkl)


def _place_by_axes(found: ArrayFile, cell: Cell | None, options: ReadOptions) -> ArrayPlace:
    directed: dict[int, DirectedAxis] = {}
    cartesian: dict[int, tuple[int, GridAxis, str]] = {}
    notes: list[str] = []
    for dimension, (name, values) in found.axes.items():
        axis = make_grid_axis(0, values, found.intensity.shape[dimension], name)
        direction, component = find_direction(name), find_cartesian_axis(name)
        if axis.edges:
            notes.append(f"{name} are bin edges, so voxel centres lie half-way between")
        if direction is not None:
            directed[dimension] = DirectedAxis(direction, axis.first, axis.step, name)
        elif component is not None:
            cartesian[dimension] = component, axis, name
    if cartesian:
        more, remarks = make_cartesian_axes(cartesian, cell, options.ub_matrix)
        directed |= more
        notes += remarks
    place = place_array(found.intensity.shape, directed, found.layers)
    return replace(place, notes=(*notes, *place.notes))


def _make_reader(axes: VolumeAxes, array: Numbers) -> Read:
    order = [d for d in axes.dimensions if d < array.ndim]
    order += [d for d in range(array.ndim) if d not in order]

    def read(box: Box) -> Array:
        selection = [slice(0, 1)] * array.ndim
        for dimension, part in zip(axes.dimensions, box, strict=True):
            if dimension < array.ndim:
                selection[dimension] = part
        size = tuple(len(range(*part.indices(n))) for part, n in zip(box, axes.counts, strict=True))
        return to_intensities(array[tuple(selection)].transpose(order).reshape(size))

    return read
