"""Volumes in the layout of Yell, as Yell, Meerkat and DISCUS write them.

Intensities are indexed [h, k, l], and voxel centres lie at lower_limits + step_sizes * index [r.l.u.]; NaN is missing.
Raw files of Meerkat ("Yell 0.9") store the sum of intensities and the number of pixels in each voxel instead. DISCUS
writes its steps as three vectors, and flags and cells that need care.
"""

import h5py
import numpy as np

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.io.cell_parameters import NO_CELL, FoundCell, cell_from_metric, cell_from_parameters, cells_agree
from dsfunet.io.hdf5 import (
    REAL,
    find_dataset,
    find_group,
    get_shape,
    list_members,
    read_small,
    read_text,
    read_vector,
    require_numbers,
)
from dsfunet.io.volume import Box, Volume, VolumeAxes, to_intensities
from dsfunet.physics import Cell

EXPECTED = "a Yell 1.0 volume (datasets format, data, lower_limits, step_sizes, unit_cell)"
"""What this reader looks for, in words, for messages."""

_DISCUS_STEPS = ("step_sizes_abs", "step_sizes_ord", "step_sizes_top")


def recognises(file: h5py.File) -> bool:
    """Whether an open file has this layout: `format` names it, or it has the datasets of an older program."""
    return (
        read_text(file, "format").startswith("Yell")
        or "rebinned_data" in file
        or {"data", "lower_limits"} <= set(list_members(file))
    )


def open_volume(file: h5py.File) -> Volume:
    """Describe the volume in an open file.

    Raises:
        InputError: the file holds a real-space map, is incomplete, or contradicts itself.
    """
    _check_reciprocal(file)
    raw = "data" not in file
    intensity = require_numbers(file, "rebinned_data" if raw else "data", EXPECTED)
    axes = _read_axes(file, intensity)
    (cell, trouble), notes = _read_cell(file)
    space_group, remarks = _read_space_group(file, cell)
    notes += remarks
    details = _list_details(file)
    if not raw:
        return Volume(
            _describe_layout(file),
            axes,
            lambda box: to_intensities(axes.read(intensity, box)),
            cell,
            trouble,
            notes=tuple(notes),
            details=details,
            space_group=space_group,
        )
    pixels = require_numbers(file, "number_of_pixels_rebinned", EXPECTED)
    if get_shape(pixels) != get_shape(intensity):
        raise InputError(
            f"number_of_pixels_rebinned has shape {get_shape(pixels)}; expected {get_shape(intensity)}"
        )

    def divide_by_pixels(total: Array, box: Box) -> Array:
        counts = to_intensities(axes.read(pixels, box))
        with np.errstate(all="ignore"):
            return to_intensities(
                np.divide(total, counts, out=np.full(total.shape, np.nan), where=counts > 0)
            )

    def read_mean(box: Box) -> Array:
        return divide_by_pixels(to_intensities(axes.read(intensity, box)), box)

    def read_sigma(box: Box) -> Array:
        total = to_intensities(axes.read(intensity, box))
        # At least one count: a voxel without photons has an uncertainty, too.
        return divide_by_pixels(np.sqrt(np.maximum(total, 1.0)), box)

    notes.append(
        "uncertainties are the square root of the summed intensities divided by the number of pixels: counting"
        " statistics, valid while the corrections for polarisation and solid angle are near 1"
    )
    return Volume(
        "Meerkat raw (Yell 0.9)",
        axes,
        read_mean,
        cell,
        trouble,
        read_sigma,
        tuple(notes),
        details,
        space_group,
    )


def _describe_layout(file: h5py.File) -> str:
    program = read_text(file, "PROGRAM")
    if not program and ("space_group_nr" in file or "meerkat_provenance" in file):
        program = "Meerkat"
    return (read_text(file, "format") or "Yell without a format") + (f" by {program}" if program else "")


def _list_details(file: h5py.File) -> dict[str, str]:
    details = {}
    space_group = _read_space_group_number(file)
    if space_group:
        details["space group number"] = space_group
    provenance = find_group(file, "meerkat_provenance")
    if provenance is not None:
        for name in list_members(provenance)[:20]:
            found = read_text(provenance, name)
            if found:
                details[f"provenance: {name}"] = found.splitlines()[0][:200]
    return details


def _read_space_group_number(file: h5py.File) -> str:
    found = find_dataset(file, "space_group_nr")
    if found is None or found.size != 1:
        return ""
    return f"{read_small(found, 'space_group_nr').ravel()[0]:g}"


def _read_space_group(file: h5py.File, cell: Cell | None) -> tuple[str, list[str]]:
    """Read the space group of the cell that the axes refer to: the number that Meerkat copies from XDS."""
    number = _read_space_group_number(file)
    if number in ("", "1") or cell is None or "unit_cell" not in file or _read_metric(file) is None:
        return number, []
    stated, _ = cell_from_parameters(read_vector(file, "unit_cell", 6, EXPECTED, finite=False), "unit_cell")
    if stated is None or cells_agree(stated, cell):
        return number, []
    return "", [f"space group number {number} belongs to unit_cell and not to these axes, and is not used"]


def _check_reciprocal(file: h5py.File) -> None:
    if "is_direct" not in file:
        return
    # DISCUS writes the flag into part of an integer and leaves the rest undefined (256 is common). Only the lowest bit
    # counts, as when DISCUS reads its own files.
    flag = read_small(require_numbers(file, "is_direct", EXPECTED, REAL + "b"), "is_direct").ravel()
    if len(flag) and np.isfinite(flag[0]) and int(flag[0]) % 2:
        raise InputError(
            "is_direct is true, so the file is a map in real space (3D-PDF); expected scattering in reciprocal space"
        )


def _read_axes(file: h5py.File, intensity: h5py.Dataset) -> VolumeAxes:
    stored = get_shape(intensity) or ()
    if len(stored) not in (2, 3):
        raise InputError(f"{intensity.name[1:]} has shape {stored}; expected a volume with three dimensions")
    shape = (*stored, 1)[:3]
    if "lower_limits" in file or "maxind" not in file:
        lower = read_vector(file, "lower_limits", 3, EXPECTED)
    else:  # files of Meerkat before it wrote `format`: a grid centred on the origin
        lower = -read_vector(file, "maxind", 3, EXPECTED)
    if all(name in file for name in _DISCUS_STEPS):
        vectors = np.array([read_vector(file, name, 3, EXPECTED) for name in _DISCUS_STEPS])
        steps, dimensions = find_steps_along_axes(vectors, shape, _DISCUS_STEPS)
    else:
        old = "step_sizes" not in file and "step_size" in file
        steps, dimensions = read_vector(file, "step_size" if old else "step_sizes", 3, EXPECTED), [0, 1, 2]
    h, k, l = dimensions  # noqa: E741
    return VolumeAxes(
        (float(lower[0]), float(lower[1]), float(lower[2])),
        (float(steps[0]), float(steps[1]), float(steps[2])),
        (shape[h], shape[k], shape[l]),
        (h, k, l),
    )


def find_steps_along_axes(
    vectors: Array, shape: tuple[int, ...], names: tuple[str, ...]
) -> tuple[Array, list[int]]:
    """Find the steps along h, k, l and the dimension of the array along each, from three step vectors.

    Args:
        vectors: row d is the step in h, k, l along dimension d of the array; sections of DISCUS need not keep the order
            h, k, l. Shape (3, 3).
        shape: shape of the array.
        names: names of the rows in the file, for messages.

    Raises:
        InputError: a row is not a step along exactly one of h, k and l.
    """
    axis_of: list[int | None] = [None] * 3
    for d, row in enumerate(vectors):
        along = np.flatnonzero(np.abs(row) > 1e-6 * np.abs(row).max())
        if len(along) == 1 and int(along[0]) not in axis_of:
            axis_of[d] = int(along[0])
        elif shape[d] > 1:
            raise InputError(f"{names[d]} is {row.tolist()}; expected a step along one of h, k and l")
    # A dimension one voxel thick may have any step, including zero, and gets one of the axes that are left.
    left = [axis for axis in range(3) if axis not in axis_of]
    order = [left.pop(0) if axis is None else axis for axis in axis_of]
    steps = np.zeros(3)
    for d, axis in enumerate(order):
        steps[axis] = vectors[d, axis]
    return steps, [order.index(axis) for axis in range(3)]


def _read_cell(file: h5py.File) -> tuple[FoundCell, list[str]]:
    """Read the unit cell that the axes refer to, with notes for the user."""
    stated: FoundCell = None, NO_CELL
    if "unit_cell" in file:
        stated = cell_from_parameters(read_vector(file, "unit_cell", 6, EXPECTED, finite=False), "unit_cell")
    metric = _read_metric(file)
    if metric is None:
        return stated, []
    if np.allclose(metric, np.eye(3), atol=1e-6):
        # Meerkat with reconstruct_in_orthonormal_basis; unit_cell is still that of the crystal.
        return (
            None,
            "metric_tensor is the identity, so the axes are in 1/Angstrom and not h, k, l of a cell",
        ), []
    measured = cell_from_metric(metric, "metric_tensor")
    if measured[0] is None:
        return stated, []
    if stated[0] is None:
        return measured, ["the unit cell comes from metric_tensor"]
    if cells_agree(stated[0], measured[0]):
        return stated, []
    # Meerkat transforms the axes of a reconstruction but writes the original cell.
    return measured, ["unit_cell disagrees with metric_tensor, to which h, k, l refer; metric_tensor is used"]


def _read_metric(file: h5py.File) -> Array | None:
    found = find_dataset(file, "metric_tensor")
    if found is None or get_shape(found) != (3, 3):
        return None
    metric = read_small(found, "metric_tensor")
    return metric if np.isfinite(metric).all() and np.allclose(metric, metric.T) else None
