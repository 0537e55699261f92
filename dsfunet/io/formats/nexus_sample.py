"""The unit cell and space group of a NeXus file, which programs store in half a dozen different places."""

import h5py
import numpy as np

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.io.cell_parameters import NO_CELL, FoundCell, cell_from_parameters
from dsfunet.io.hdf5 import (
    find_dataset,
    find_group,
    list_members,
    read_attribute,
    read_attribute_number,
    read_attribute_text,
    read_small,
    read_text,
)

_NAMES = ("a", "b", "c", "alpha", "beta", "gamma")
_SPACE_GROUP_NAMES = (
    "space_group",
    "space_group_name_H-M_alt",
    "symmetry_space_group_name_H-M",
    "space_group_number",
    "lattice_centring",  # of NXRefine, a letter
)
_PREFIXES = ("unitcell_", "unit_cell_", "", "cell_", "lattice_")


def find_sample_cell(file: h5py.File, path: str, data: h5py.Group) -> FoundCell:
    """Find the cell of an NXdata: in its own group, in a sample of its entry, or in any other sample.

    Args:
        file: the open file.
        path: path of the NXdata.
        data: the group of the NXdata.

    Raises:
        InputError: a dataset that should hold the cell is damaged or far too large.
    """
    trouble = NO_CELL
    for place in _list_places(file, path, data):
        cell, reason = _find_cell(place)
        if cell is not None:
            return cell, ""
        if reason:
            trouble = reason
    return None, trouble


def find_sample_space_group(file: h5py.File, path: str, data: h5py.Group) -> str:
    """Find the space group of an NXdata, or the letter of its centring, where its cell may be; empty if there is none.

    Args:
        file: the open file.
        path: path of the NXdata.
        data: the group of the NXdata.
    """
    for name in _SPACE_GROUP_NAMES:
        for place in _list_places(file, path, data):
            found = read_text(place, name) or read_attribute_text(place, name)
            if found:
                return found
            number = find_dataset(place, name)
            if number is not None and number.size == 1:
                return f"{read_small(number, name).ravel()[0]:g}"
    return ""


def find_sample_ub(file: h5py.File, path: str, data: h5py.Group) -> Array | None:
    """Find the UB matrix of an NXdata where its cell may be, shape (3, 3) [1/Angstrom]; None if there is none.

    Args:
        file: the open file.
        path: path of the NXdata.
        data: the group of the NXdata.
    """
    for place in _list_places(file, path, data):
        for name in ("ub_matrix", "UB", "ub"):
            found = find_dataset(place, name)
            if found is not None and found.size == 9:
                matrix = read_small(found, name).reshape(3, 3)
                if np.isfinite(matrix).all() and abs(np.linalg.det(matrix)) > 1e-12:
                    return matrix
    return None


def _list_places(file: h5py.File, path: str, data: h5py.Group) -> list[h5py.Group]:
    """List the groups that may describe the crystal: the NXdata, the samples of its entry, and all other samples."""
    entry = path.split("/")[0]
    places = [data]
    for where in (entry, ""):
        parent = find_group(file, where) if where else file
        if parent is None:
            continue
        for name in list_members(parent)[:100]:
            try:
                found = find_group(parent, name)
            except InputError:
                continue
            if found is not None and (
                name == "sample" or read_attribute_text(found, "NX_class") == "NXsample"
            ):
                places.append(found)
    for name in list_members(file)[:20]:
        other = find_group(file, f"{name}/sample") if name != entry else None
        if other is not None:
            places.append(other)
    return places


def _find_cell(group: h5py.Group) -> FoundCell:
    """Find the cell in one group; returns no cell and no trouble if the group does not mention one."""
    for name in ("unit_cell", "unitcell", "lattice_parameters"):
        found = _read_vector(group, name)
        if found is not None and len(found) == 6:
            return cell_from_parameters(found, name)
    lengths, angles = _read_vector(group, "unit_cell_abc"), _read_vector(group, "unit_cell_alphabetagamma")
    if lengths is not None and angles is not None and len(lengths) == len(angles) == 3:
        return cell_from_parameters([*lengths, *angles], "unit_cell_abc and unit_cell_alphabetagamma")
    for prefix in _PREFIXES:
        values = [_read_number(group, prefix + name) for name in _NAMES]
        if all(value is not None for value in values):
            return cell_from_parameters(
                [value for value in values if value is not None], f"{prefix}a, {prefix}b, ..."
            )
    return None, ""


def _read_vector(group: h5py.Group, name: str) -> list[float] | None:
    found = find_dataset(group, name)
    if found is not None:
        # Of a list of cells, one for each temperature, the first is used.
        values = read_small(found, name)
        return [float(value) for value in (values[0] if values.ndim == 2 and len(values) else values).ravel()]
    try:
        return [
            float(value) for value in np.asarray(read_attribute(group, name), dtype=np.float64).ravel()[:100]
        ]
    except (TypeError, ValueError):
        return None


def _read_number(group: h5py.Group, name: str) -> float | None:
    found = find_dataset(group, name)
    if found is not None and found.size == 1:
        return float(read_small(found, name).ravel()[0])
    return read_attribute_number(group, name)
