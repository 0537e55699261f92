"""Arrays with names, as .npz and MATLAB files hold them: which is the intensity, and which are its axes and cell."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.io.axis_names import find_cartesian_axis, find_direction, find_index_axis
from dsfunet.io.cell_parameters import NO_CELL, FoundCell, cell_from_parameters, convert_cell
from dsfunet.io.directed_axes import ArrayPlace, DirectedAxis, make_cartesian_axes, place_array
from dsfunet.io.grid_axes import GridAxis, describe_stored_order, make_grid_axis
from dsfunet.io.oblique_volumes import Read
from dsfunet.io.read_options import ReadOptions
from dsfunet.io.volume import Box, Volume, VolumeAxes, to_intensities
from dsfunet.physics import Cell
from dsfunet.planes.names import PlaneName

Numbers = npt.NDArray[Any]
"""An array of a file, of any type."""

_INTENSITIES = (
    "intensity",
    "intensities",
    "data",
    "i",
    "signal",
    "counts",
    "plane",
    "volume",
    "image",
    "z",
    "v",
    "values",
)
_SIGMAS = (
    "sigma",
    "sigmas",
    "error",
    "errors",
    "err",
    "intensity_error",
    "sig",
    "esd",
    "di",
    "std",
    "uncertainty",
)
_CELLS = ("cell", "unit_cell", "unitcell", "lattice", "latt", "lattice_parameters", "cell_parameters", "lat")
_CELL_NAMES = ("a", "b", "c", "alpha", "beta", "gamma")


@dataclass(frozen=True, eq=False)
class ArrayFile:
    """An intensity array and what its file says about it.

    Attributes:
        layout: kind of file, in words.
        intensity: two or three dimensions, or more that are one voxel thick.
        axes: name and values of the axis along each dimension that has one, as voxel centres or bin edges.
        layers: coordinates of indices along which the array has no dimension, by number [r.l.u.].
        ranges: first and last coordinate along both dimensions of a plane whose file does not name its axes.
        steps: for an array whose dimensions run along any Cartesian directions, Q of its first voxel and the step of Q
            along each dimension, shapes (3,) and (3, 3) [1/Angstrom].
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
    cell: FoundCell = (None, NO_CELL)
    sigma: Numbers | None = None
    notes: tuple[str, ...] = ()

    @property
    def has_axes(self) -> bool:
        """Whether the file says where its voxels lie."""
        return len(self.axes) >= 2 or self.ranges is not None or self.steps is not None


def sort_arrays(arrays: Mapping[str, Numbers], layout: str) -> ArrayFile:
    """Find the intensity among the arrays of a file, its axes, its uncertainties and the cell.

    Axes are vectors, or grids of the shape of the intensity, with names such as h, Qk or "[0,0,L]"; a single number of
    such a name is the index of a plane. Without names, axes of the right lengths are not guessed.

    Raises:
        InputError: there is no intensity, or more than one array may be it.
    """
    plain = {
        name: np.asarray(array) for name, array in arrays.items() if np.asarray(array).dtype.kind in "iufb"
    }
    named = {name: array for name, array in plain.items() if _is_axis(name)}
    cells = [name for name in plain if name.lower() in _CELLS and plain[name].size == 6]
    sigmas = [name for name in plain if name.lower() in _SIGMAS and np.squeeze(plain[name]).ndim >= 2]
    candidates = [
        name
        for name, array in plain.items()
        if np.squeeze(array).ndim >= 2 and name not in named and name not in sigmas and name not in cells
    ]
    usual = [name for name in candidates if name.lower() in _INTENSITIES]
    chosen = candidates if len(candidates) == 1 else usual
    if len(chosen) != 1:
        found = ", ".join(f"{name} {np.asarray(array).shape}" for name, array in list(arrays.items())[:8])
        raise InputError(
            f"the file holds {found or 'no arrays'}; expected one array of two or three dimensions, or one named"
            " intensity"
        )
    intensity = plain[chosen[0]]
    sigma = next((plain[name] for name in sigmas if plain[name].shape == intensity.shape), None)
    axes, layers = _match_axes(named, intensity.shape)
    cell = cell_from_parameters(plain[cells[0]].ravel(), cells[0]) if cells else _read_six_numbers(plain)
    if len(axes) < 2:
        axes, named = {}, {name: array for name, array in named.items() if array.size == 1}
    used = {chosen[0], *named, *cells, *sigmas}
    ignored = [
        name for name in arrays if name not in used and name not in _CELL_NAMES and not name.startswith("__")
    ]
    notes = (f"the file also holds {', '.join(ignored)}, which is ignored",) if ignored else ()
    return ArrayFile(layout, intensity, axes, layers, cell=cell, sigma=sigma, notes=notes)


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
    notes = list(found.notes)
    own, trouble = found.cell
    converted, _ = convert_cell(own, trouble, options.cell_units)  # the volume keeps what the file says
    if options.array_axes is not None:
        if found.has_axes:
            raise InputError("the file already defines its axes; remove --array-axes")
        place = ArrayPlace(options.array_axes.make_volume_axes(shape))
    elif found.ranges is not None:
        place = _place_by_ranges(shape, found.ranges, plane)
    elif found.steps is not None:
        place = _place_by_steps(shape, *found.steps, converted or cell, options.ub_matrix)
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
    if place.grid is not None:
        axes = place.grid.make_straight_axes()
        read = place.grid.straighten_reader(axes, read)
        read_sigma = None if read_sigma is None else place.grid.straighten_reader(axes, read_sigma)
    return Volume(
        found.layout, axes, read, own, trouble, read_sigma, (*notes, *place.notes), spanned=place.spanned
    )


def _suggest_axes(shape: tuple[int, ...]) -> str:
    thick = [count for count in shape if count > 1]
    return '"h -6 6, k -6 6, l 0 2"' if len(thick) > 2 else '"h -6 6, k -6 6, l 0"'


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
    shape: tuple[int, ...], origin: Array, steps: Array, cell: Cell | None, ub: Array | None
) -> ArrayPlace:
    cartesian = {n: (n, GridAxis(0, 0.0, 1.0), name) for n, name in enumerate(("Qx", "Qy", "Qz"))}
    unit, notes = make_cartesian_axes(cartesian, cell, ub)
    to_indices = np.stack([unit[n].direction for n in range(3)], axis=1)
    directions = steps @ to_indices.T
    directions[np.abs(directions) < 1e-6 * np.abs(directions).max()] = 0.0
    thick = [n for n in range(3) if shape[n] > 1]
    first = to_indices @ origin
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


def _is_axis(name: str) -> bool:
    return find_direction(name) is not None or find_cartesian_axis(name) is not None


def _match_axes(
    named: Mapping[str, Numbers], shape: tuple[int, ...]
) -> tuple[dict[int, tuple[str, Array]], dict[int, float]]:
    """Match arrays named like axes to the dimensions of the intensity, and single numbers to layers."""
    axes: dict[int, tuple[str, Array]] = {}
    layers: dict[int, float] = {}
    vectors: list[tuple[str, Array]] = []
    for name, array in named.items():
        values = np.asarray(array, dtype=np.float64)
        number = find_index_axis(name)
        if values.size == 1 and number is not None:
            layers[number] = float(values.ravel()[0])
        elif values.shape == shape and min(shape) > 1:
            dimension = _find_varying_dimension(values)
            if dimension is not None:
                axes[dimension] = name, np.moveaxis(values, dimension, 0).reshape(shape[dimension], -1)[:, 0]
            elif number is not None and np.ptp(values) == 0:
                layers[number] = float(values.flat[0])
        elif np.squeeze(values).ndim == 1:
            vectors.append((name, values.ravel()))
    # In the order h, k, l, and x, y, z, along the dimensions; in the reverse order if only that fits the lengths.
    vectors.sort(key=lambda pair: _order_of_axis(pair[0]))
    free = [dimension for dimension, count in enumerate(shape) if count > 1 and dimension not in axes]
    for order in (free, free[::-1]):
        if len(vectors) == len(order) and all(
            len(values) in (shape[dimension], shape[dimension] + 1)
            for (_, values), dimension in zip(vectors, order, strict=True)
        ):
            axes |= dict(zip(order, vectors, strict=True))
            break
    return axes, layers


def _order_of_axis(name: str) -> tuple[int, ...]:
    direction, component = find_direction(name), find_cartesian_axis(name)
    if direction is not None:
        return int(np.flatnonzero(direction)[0]), -int(np.sign(direction).sum())
    return (component if component is not None else 3,)


def _find_varying_dimension(values: Array) -> int | None:
    """Find the one dimension along which a grid of coordinates changes."""
    varying = [d for d in range(values.ndim) if not np.allclose(np.diff(values, axis=d), 0, atol=1e-9)]
    return varying[0] if len(varying) == 1 else None


def _read_six_numbers(arrays: Mapping[str, Numbers]) -> FoundCell:
    if all(name in arrays and arrays[name].size == 1 for name in _CELL_NAMES):
        return cell_from_parameters([float(arrays[name].ravel()[0]) for name in _CELL_NAMES], "a, b, c, ...")
    return None, NO_CELL
