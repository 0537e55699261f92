"""The unit cell of a NeXus file, which its writers keep in half a dozen places."""

import h5py
import numpy as np

from dsfunet.errors import InputError
from dsfunet.io.cell_parameters import NO_CELL, FoundCell, cell_from_parameters
from dsfunet.io.hdf5 import attribute, attribute_number, attribute_text, dataset_at, group_at, members, small

_NAMES = ("a", "b", "c", "alpha", "beta", "gamma")
_PREFIXES = ("unitcell_", "unit_cell_", "", "cell_", "lattice_")


def sample_cell(file: h5py.File, path: str, data: h5py.Group) -> FoundCell:
    """The cell that belongs to the NXdata at a path: its own, that of a sample in its entry, or of any sample.

    Raises:
        InputError: a dataset that should be six numbers is something else altogether.
    """
    entry = path.split("/")[0]
    places = [data]
    for where in (entry, ""):
        parent = group_at(file, where) if where else file
        if parent is None:
            continue
        for name in members(parent)[:100]:
            try:
                found = group_at(parent, name)
            except InputError:
                continue
            if found is not None and (name == "sample" or attribute_text(found, "NX_class") == "NXsample"):
                places.append(found)
    for name in members(file)[:20]:
        other = group_at(file, f"{name}/sample") if name != entry else None
        if other is not None:
            places.append(other)
    trouble = NO_CELL
    for place in places:
        cell, reason = _cell_in(place)
        if cell is not None:
            return cell, ""
        if reason:
            trouble = reason
    return None, trouble


def _cell_in(group: h5py.Group) -> FoundCell:
    """The cell in one group; no cell and no trouble where it says nothing of one."""
    for name in ("unit_cell", "unitcell", "lattice_parameters"):
        found = _vector(group, name)
        if found is not None and len(found) == 6:
            return cell_from_parameters(found, name)
    lengths, angles = _vector(group, "unit_cell_abc"), _vector(group, "unit_cell_alphabetagamma")
    if lengths is not None and angles is not None and len(lengths) == len(angles) == 3:
        return cell_from_parameters([*lengths, *angles], "unit_cell_abc and unit_cell_alphabetagamma")
    for prefix in _PREFIXES:
        values = [_number(group, prefix + name) for name in _NAMES]
        if all(value is not None for value in values):
            return cell_from_parameters(
                [value for value in values if value is not None], f"{prefix}a, {prefix}b, ..."
            )
    return None, ""


def _vector(group: h5py.Group, name: str) -> list[float] | None:
    found = dataset_at(group, name)
    if found is not None:
        # A list of cells, one for each temperature, stands for its first.
        values = small(found, name)
        return [float(value) for value in (values[0] if values.ndim == 2 and len(values) else values).ravel()]
    try:
        return [float(value) for value in np.asarray(attribute(group, name), dtype=np.float64).ravel()[:100]]
    except (TypeError, ValueError):
        return None


def _number(group: h5py.Group, name: str) -> float | None:
    found = dataset_at(group, name)
    if found is not None and found.size == 1:
        return float(small(found, name).ravel()[0])
    return attribute_number(group, name)
