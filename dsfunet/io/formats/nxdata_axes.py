"""The axes of an NXdata: h, k, l, directions, components of Q, and a fourth one of which the user chooses a value."""

from dataclasses import dataclass, replace

import h5py
import numpy as np

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.io.axis_names import find_cartesian_axis, find_direction
from dsfunet.io.directed_axes import ArrayPlace, DirectedAxis, make_cartesian_axes, place_array
from dsfunet.io.formats.nxdata_names import find_axis_names
from dsfunet.io.grid_axes import GridAxis, describe_stored_order, make_grid_axis
from dsfunet.io.hdf5 import find_dataset, get_shape, read_attribute_text, read_scalar, read_small
from dsfunet.io.read_options import ReadOptions
from dsfunet.io.volume import VolumeAxes
from dsfunet.physics import Cell
from dsfunet.planes.names import AXIS_LABELS

_MOST_VALUES_SHOWN = 12


@dataclass
class _FoundAxes:
    """Axes of an array as they are found, by dimension: directions, components of Q, and indices chosen by the user."""

    directed: dict[int, DirectedAxis]
    cartesian: dict[int, tuple[int, GridAxis, str]]
    chosen: dict[int, int]
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
            notes += _read_axis(found, dimension, name, dataset, shape[dimension], options)
    if found.cartesian:
        directed, more = make_cartesian_axes(found.cartesian, cell, ub)
        found.directed |= directed
        notes += more
    layers = {
        number: value
        for number, label in enumerate(AXIS_LABELS)
        if (value := _read_layer(group, label)) is not None
    }
    left = tuple(1 if dimension in found.chosen else count for dimension, count in enumerate(shape))
    place = place_array(left, found.directed, layers)
    place = replace(place, stored=replace(place.stored, chosen=tuple(found.chosen.items())))
    if found.edges:
        notes.append("the axes are bin edges, so voxel centres lie half-way between")
    if place.grid is None and place.spanned is None:
        notes.insert(0, f"array order in the file: {describe_stored_order(place.stored)}")
    return replace(place, notes=(*notes, *place.notes))


def _read_axis(
    found: _FoundAxes, dimension: int, name: str, dataset: h5py.Dataset, count: int, options: ReadOptions
) -> list[str]:
    """Read the axis along a dimension into `found`, and return notes for the user."""
    long_name = read_attribute_text(dataset, "long_name")
    direction = find_direction(name)
    direction = find_direction(long_name) if direction is None else direction
    component = next((n for each in (name, long_name) if (n := find_cartesian_axis(each)) is not None), None)
    if direction is None and component is None:
        return [] if count == 1 else _choose_value(found, dimension, name, dataset, count, options)
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
    return []


def _choose_value(
    found: _FoundAxes, dimension: int, name: str, dataset: h5py.Dataset, count: int, options: ReadOptions
) -> list[str]:
    """Choose the index along an axis that is not one of reciprocal space, at the value that the user names."""
    values = read_small(dataset, name).ravel()
    if len(values) == count + 1:
        values = 0.5 * (values[1:] + values[:-1])
    if len(values) != count or not np.isfinite(values).all():
        return []
    units = read_attribute_text(dataset, "units")
    held = ", ".join(f"{value:g}" for value in values[:_MOST_VALUES_SHOWN])
    held += ", ..." if count > _MOST_VALUES_SHOWN else ""
    wanted = options.at if options.at is not None and options.at[0].lower() == name.lower() else None
    if wanted is None:
        raise InputError(
            f"the data have an axis {name} with {count} values, {held} {units}".rstrip()
            + f"; choose one, such as --at {name}={values[0]:g}, and run once for each that you need"
        )
    index = int(np.abs(values - wanted[1]).argmin())
    if abs(values[index] - wanted[1]) > 0.5 * np.abs(np.diff(values)).min() + 1e-9:
        raise InputError(
            f"--at {name}={wanted[1]:g}: the file holds {held} {units}".rstrip() + "; choose one of these"
        )
    found.chosen[dimension] = index
    return [f"the data at {name} = {values[index]:g} {units} are used".replace("  ", " ")]


def _read_layer(group: h5py.Group, label: str) -> float | None:
    """Read the coordinate of a plane along an axis that its array does not have."""
    for name in (label, label.upper(), f"Q{label}"):
        value = read_scalar(group, name)
        if value is not None:
            return value
    return None
