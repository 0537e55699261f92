"""The axes of an NXdata: h, k, l, directions, components of Q, and a fourth one of which the user chooses a value."""

from dataclasses import dataclass, replace

import h5py

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.io.axis_names import find_cartesian_axis, find_direction
from dsfunet.io.directed_axes import ArrayPlace, DirectedAxis, make_cartesian_axes, place_array
from dsfunet.io.formats.nxdata_names import find_axis_names
from dsfunet.io.fourth_axis import ChosenValue, choose_value
from dsfunet.io.grid_axes import GridAxis, describe_stored_order, make_grid_axis
from dsfunet.io.hdf5 import find_dataset, get_shape, read_attribute_text, read_scalar, read_small
from dsfunet.io.read_options import ReadOptions
from dsfunet.io.volume import VolumeAxes
from dsfunet.physics import Cell
from dsfunet.planes.names import AXIS_LABELS


@dataclass
class _FoundAxes:
    """Axes of an array as they are found, by dimension: directions, components of Q, and others with their names."""

    directed: dict[int, DirectedAxis]
    cartesian: dict[int, tuple[int, GridAxis, str]]
    others: dict[int, tuple[str, h5py.Dataset]]
    edges: bool = False


def place_nxdata(
    group: h5py.Group,
    signal: h5py.Dataset,
    is_result: bool,
    options: ReadOptions,
    cell: Cell | None,
    ub: Array | None,
) -> ArrayPlace:
    """Find the place of the signal of an NXdata.

    Args:
        group: the NXdata.
        signal: its signal.
        is_result: whether the file is a result of dsfunet.
        options: what the user says about the file: a value along a fourth axis.
        cell: the unit cell, for axes along Qx, Qy, Qz.
        ub: the UB matrix likewise.

    Raises:
        InputError: the axes are not valid, or there are others and no value along them is chosen.
    """
    shape = get_shape(signal) or ()
    names, assumed = find_axis_names(group, signal, shape)
    if is_result and names == ["y", "x"]:  # the result of a plane without axes
        return ArrayPlace(VolumeAxes((0.0, 0.0, 0.0), (1.0, 1.0, 0.0), (shape[0], shape[1], 1)))
    found, notes = _FoundAxes({}, {}, {}), list(assumed)
    for dimension, name in enumerate(names):
        dataset = find_dataset(group, name) if name else None
        if dataset is not None:
            _read_axis(found, dimension, name, dataset, shape[dimension])
    if found.cartesian:
        directed, more = make_cartesian_axes(found.cartesian, cell, ub)
        found.directed |= directed
        notes += more
    layers = {
        number: value
        for number, label in enumerate(AXIS_LABELS)
        if (value := _read_layer(group, label)) is not None
    }
    chosen = _choose_values(found, shape, options)
    notes += [value.note for value in chosen.values()]
    left = tuple(1 if dimension in chosen else count for dimension, count in enumerate(shape))
    place = place_array(left, found.directed, layers)
    indices = tuple((dimension, value.index) for dimension, value in chosen.items())
    choices = {found.others[dimension][0]: value.values for dimension, value in chosen.items()}
    place = replace(place, stored=replace(place.stored, chosen=indices), choices=choices)
    if found.edges:
        notes.append("the axes are bin edges, so voxel centres lie half-way between")
    if place.grid is None and place.spanned is None:
        notes.insert(0, f"array order in the file: {describe_stored_order(place.stored)}")
    return replace(place, notes=(*notes, *place.notes))


def _read_axis(found: _FoundAxes, dimension: int, name: str, dataset: h5py.Dataset, count: int) -> None:
    """Read the axis along a dimension into `found`."""
    long_name = read_attribute_text(dataset, "long_name")
    direction = find_direction(name)
    direction = find_direction(long_name) if direction is None else direction
    component = next((n for each in (name, long_name) if (n := find_cartesian_axis(each)) is not None), None)
    if direction is None and component is None:
        if count > 1:
            found.others[dimension] = name, dataset
        return
    units = read_attribute_text(dataset, "units").lower()
    in_angstrom = any(word in units for word in ("ang", "nm", "\N{LATIN SMALL LETTER A WITH RING ABOVE}"))
    if direction is not None and in_angstrom:
        raise InputError(f"axis {name} is in {units}; expected reciprocal-lattice units")
    # The number of the axis means nothing yet.
    axis = make_grid_axis(0, read_small(dataset, name), count, name, 0.1 if "nm" in units else 1.0)
    found.edges |= axis.edges
    if direction is not None:
        found.directed[dimension] = DirectedAxis(direction, axis.first, axis.step, name)
    elif component is not None:
        found.cartesian[dimension] = component, axis, name


def _choose_values(found: _FoundAxes, shape: tuple[int, ...], options: ReadOptions) -> dict[int, ChosenValue]:
    """Choose a value along each axis that is not one of reciprocal space."""
    of_space = sum(shape[dimension] > 1 for dimension in found.directed)
    if found.others and of_space < 2:
        names = ", ".join(name for name, _ in found.others.values())
        raise InputError(
            f"the axes {names} are none of reciprocal space; expected names such as h, k, l, Qh, [H,H,0], Qx or"
            " H (r.l.u.), in the file or as long_name"
        )
    return {
        dimension: choose_value(
            name,
            read_small(dataset, name),
            shape[dimension],
            read_attribute_text(dataset, "units"),
            options.at,
        )
        for dimension, (name, dataset) in found.others.items()
    }


def _read_layer(group: h5py.Group, label: str) -> float | None:
    """Read the coordinate of a plane along an axis that its array does not have."""
    for name in (label, label.upper(), f"Q{label}"):
        value = read_scalar(group, name)
        if value is not None:
            return value
    return None
