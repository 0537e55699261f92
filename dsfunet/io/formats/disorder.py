"""Volumes in "Disorder scattering 1.0" and in the unified disorder format of RMCProfile and DISCUS.

"Disorder scattering 1.0" has one array, /scattering/data/data [h, k, l]. The unified format has two copies that are
transposed against each other: /entry/data/data_values [h, k, l] and /scattering/data/data [l, k, h]. The copy in /entry
states its axes completely and is preferred. For the other, the order of the axes comes from the attributes
`h_indices`, `k_indices`, `l_indices`, or else from the lengths of the axes.
"""

import h5py
import numpy as np

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.io.cell_parameters import NO_CELL, FoundCell, cell_from_parameters
from dsfunet.io.formats.yell import find_steps_along_axes
from dsfunet.io.grid_axes import GridAxis, describe_stored_order, make_grid_axis, make_volume_axes
from dsfunet.io.hdf5 import (
    find_dataset,
    find_group,
    find_member,
    get_shape,
    read_attribute_number,
    read_attribute_text,
    read_small,
    read_text,
    read_vector,
    require_numbers,
)
from dsfunet.io.volume import Volume, VolumeAxes, to_intensities
from dsfunet.planes.names import AXIS_LABELS

EXPECTED = "a Disorder scattering 1.0 or unified file (scattering/data/data or entry/data/data_values)"
"""What this reader looks for, in words, for messages."""

_ENTRY, _SCATTERING = "entry/data", "scattering/data"


def recognises(file: h5py.File) -> bool:
    """Whether an open file has this layout: its dictionary or format names it, or it has the datasets."""
    names = (read_attribute_text(file, "format"), read_attribute_text(file, "audit_conform_dict_name"))
    return (
        any(name.startswith("Disorder") for name in names)
        or read_text(file, f"{_ENTRY}/audit_conform_dict_name").startswith("Disorder")
        or find_dataset(file, f"{_ENTRY}/data_values") is not None
        or find_dataset(file, f"{_SCATTERING}/data") is not None
    )


def open_volume(file: h5py.File) -> Volume:
    """Describe the volume in an open file.

    Raises:
        InputError: the file holds a structure or a map in real space, is incomplete, or contradicts itself.
    """
    entry, scattering = find_group(file, _ENTRY), find_group(file, _SCATTERING)
    if entry is not None and find_member(entry, "data_values") is not None:
        intensity = require_numbers(entry, "data_values", EXPECTED)
        axes, notes = _read_entry_axes(entry, intensity)
        group = entry
    elif scattering is not None and find_member(scattering, "data") is not None:
        intensity = require_numbers(scattering, "data", EXPECTED)
        axes, notes = _read_scattering_axes(file, scattering, intensity)
        group = scattering
    else:
        dictionary = read_attribute_text(file, "audit_conform_dict_name") or read_text(
            file, f"{_ENTRY}/audit_conform_dict_name"
        )
        found = dictionary or read_attribute_text(file, "format")
        raise InputError(f"the file is a {found} file without scattering; expected {EXPECTED}")
    _check_reciprocal(group)
    cell, trouble = _read_cell(group)
    return Volume(
        _describe_layout(file),
        axes,
        lambda box: to_intensities(axes.read(intensity, box)),
        cell,
        trouble,
        notes=(f"array order in the file: {describe_stored_order(axes)}", *notes),
        details=_list_details(file, group),
        space_group=_read_space_group(group),
    )


def _describe_layout(file: h5py.File) -> str:
    plain = read_attribute_text(file, "format")
    if plain.startswith("Disorder"):
        return plain
    dictionary = read_attribute_text(file, "audit_conform_dict_name") or read_text(
        file, f"{_ENTRY}/audit_conform_dict_name"
    )
    return f"Disorder unified ({dictionary})" if dictionary else "Disorder unified"


def _list_details(file: h5py.File, group: h5py.Group) -> dict[str, str]:
    found = {
        "method": read_text(group, "audit_creation_method")
        or read_attribute_text(file, "audit_creation_method"),
        "date": read_text(group, "audit_creation_date") or read_attribute_text(file, "audit_creation_date"),
        "radiation": read_text(group, "data_radiation") or read_attribute_text(group, "radiation"),
        "space group": _read_space_group(group),
        "symmetrised": read_text(group, "data_type_symmetrized"),
    }
    return {name: value[:200] for name, value in found.items() if value}


def _read_space_group(group: h5py.Group) -> str:
    return read_text(group, "symmetry_space_group_name_H-M")


def _check_reciprocal(group: h5py.Group) -> None:
    axes, space = read_text(group, "data_type_axes").lower(), read_attribute_text(group, "space").lower()
    if axes not in ("", "hkl") or space not in ("", "reciprocal"):
        raise InputError(
            f"the axes of the data are {axes or space}; expected scattering in reciprocal space, over h, k, l [r.l.u.]"
        )
    kind = read_text(group, "data_type_number").lower()
    if kind not in ("", "real"):
        raise InputError(f"the data are {kind} numbers; expected real intensities")


def _read_entry_axes(entry: h5py.Group, intensity: h5py.Dataset) -> tuple[VolumeAxes, list[str]]:
    """Read the axes from the corner and the increment vectors; column d is the step in h, k, l along dimension d."""
    shape = _require_three_dimensions(intensity)
    corner = read_vector(entry, "data_corner", 3, EXPECTED)
    vectors = read_vector(entry, "data_increment_vector", 9, EXPECTED).reshape(3, 3).T
    dimensions_of_file = find_dataset(entry, "data_dimension")
    notes = []
    reverse = False
    if dimensions_of_file is not None:
        stated = tuple(read_small(dimensions_of_file, "data_dimension").ravel().tolist())
        reverse = stated != shape and stated == shape[::-1]
        if stated != shape and not reverse:
            raise InputError(f"data_values has shape {shape}; expected {stated}, as data_dimension states")
        if reverse:
            notes.append("data_values is transposed against data_dimension, so it is read as [l, k, h]")
    names = tuple(f"column {d} of data_increment_vector" for d in range(3))
    steps, dimensions = find_steps_along_axes(vectors, shape[::-1] if reverse else shape, names)
    along = {}
    for number, d in enumerate(dimensions):
        along[2 - d if reverse else d] = GridAxis(number, float(corner[number]), float(steps[number]))
    axes, more = make_volume_axes(shape, along)
    return axes, notes + more


def _read_scattering_axes(
    file: h5py.File, group: h5py.Group, intensity: h5py.Dataset
) -> tuple[VolumeAxes, list[str]]:
    shape = _require_three_dimensions(intensity)
    coordinates = _read_coordinates(group, shape)
    lengths = tuple(len(values) for values in coordinates)
    order, notes = _find_order(file, group, shape, lengths)
    along = {
        order[number]: make_grid_axis(number, coordinates[number], shape[order[number]], label)
        for number, label in enumerate(AXIS_LABELS)
    }
    axes, more = make_volume_axes(shape, along)
    return axes, notes + more


def _read_coordinates(group: h5py.Group, shape: tuple[int, ...]) -> list[Array]:
    """Read the voxel centres along h, k and l from their own datasets, or else from limits and steps."""
    if "h" in group and "k" in group and "l" in group:
        return [read_small(require_numbers(group, label, EXPECTED), label).ravel() for label in AXIS_LABELS]
    lower = read_vector(group, "lower_limits", 3, EXPECTED)
    steps = read_vector(group, "step_vectors", 9, EXPECTED).reshape(3, 3)
    if np.abs(steps - np.diag(np.diag(steps))).max() > 1e-6 * np.abs(steps).max():
        raise InputError(f"step_vectors is {steps.tolist()}; expected each step along one of h, k and l")
    # Without axes to compare with, the order is assumed to be that of the unified format, [l, k, h].
    if max(shape) > 100_000:
        raise InputError(f"data has shape {shape}; expected datasets h, k, l that describe its axes")
    return [lower[n] + steps[n, n] * np.arange(shape[2 - n]) for n in range(3)]


def _find_order(
    file: h5py.File, group: h5py.Group, shape: tuple[int, ...], lengths: tuple[int, ...]
) -> tuple[tuple[int, ...], list[str]]:
    """Find the dimension of the array along each of h, k and l, and what had to be assumed."""
    stated = tuple(read_attribute_number(group, f"{label}_indices") for label in AXIS_LABELS)
    notes = []
    if sorted(n if n is not None else -1 for n in stated) == [0, 1, 2]:
        order = tuple(int(n) for n in stated if n is not None)
        if all(shape[d] == n for d, n in zip(order, lengths, strict=True)):
            return order, []
        notes.append(f"h_indices, k_indices, l_indices contradict the shape {shape} and are ignored")
    plain = read_attribute_text(file, "format").startswith("Disorder scattering")
    candidates = [(0, 1, 2), (2, 1, 0)] if plain else [(2, 1, 0), (0, 1, 2)]
    fitting = [order for order in candidates if tuple(shape[d] for d in order) == lengths]
    if not fitting:
        raise InputError(
            f"data has shape {shape}; expected {', '.join(map(str, lengths))} voxels along h, k, l, the lengths of the"
            " axes"
        )
    if len(fitting) == 2:
        notes.append(
            "the file does not say which dimension is h; the order"
            f" [{', '.join(AXIS_LABELS[n] for n in fitting[0])}] is assumed"
        )
    return fitting[0], notes


def _require_three_dimensions(intensity: h5py.Dataset) -> tuple[int, ...]:
    shape = get_shape(intensity) or ()
    if len(shape) != 3:
        raise InputError(f"{intensity.name[1:]} has shape {shape}; expected a volume with three dimensions")
    return shape


def _read_cell(group: h5py.Group) -> FoundCell:
    if find_dataset(group, "unit_cell") is not None:
        return cell_from_parameters(read_vector(group, "unit_cell", 6, EXPECTED, finite=False), "unit_cell")
    if find_dataset(group, "unit_cell_lengths") is None or find_dataset(group, "unit_cell_angles") is None:
        return None, NO_CELL
    parts = [
        read_vector(group, name, 3, EXPECTED, finite=False)
        for name in ("unit_cell_lengths", "unit_cell_angles")
    ]
    return cell_from_parameters(np.concatenate(parts), "unit_cell_lengths and unit_cell_angles")
