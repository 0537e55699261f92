"""Any NeXus file: the NXdata that `default` leads to, or one that lies where NXRefine, CHESS and dsfunet put it.

What runs along a dimension is said by the names of the axes: h, k, l, Qh, Qk, Ql, H, K, L or [H,0,0], .... Axes are
centres of voxels or edges of bins. The array may be in another file.
"""

from collections.abc import Iterator

import h5py
import numpy as np

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.io.formats.nexus_sample import sample_cell
from dsfunet.io.formats.nxdata_names import axis_names, signal_name
from dsfunet.io.grid_axes import GridAxis, grid_axis, index_letter, stored_order, volume_axes
from dsfunet.io.hdf5 import (
    attribute_text,
    dataset_at,
    group_at,
    members,
    numbers,
    scalar,
    shape_of,
    small,
    text,
)
from dsfunet.io.volume import Box, Volume, VolumeAxes, intensities
from dsfunet.planes.names import AXIS_LABELS

EXPECTED = "a NeXus file with an NXdata over h, k, l (NXRefine's entry/transform, CHESS's entry/data/counts, any other)"
"""What this reader looks for, in words."""

# Of several, the one a user means by the file; masked ones are for 3D-PDFs.
_USUAL_GROUPS = ("transform", "symm_transform", "masked_transform", "symm_masked_transform", "data")
_DEEPEST, _MOST_GROUPS = 4, 300


def recognises(file: h5py.File) -> bool:
    """Whether an open file has an NXdata anywhere near its root, or says that it is NeXus."""
    if attribute_text(file, "default") or attribute_text(file, "NX_class"):
        return True
    return next(_candidates(file), None) is not None


def open_volume(file: h5py.File) -> Volume:
    """The volume, or the single plane, in an open file.

    Raises:
        InputError: no NXdata is over h, k and l, a file that is linked to is missing, or axes make no sense.
    """
    first: InputError | None = None
    for path, group in _candidates(file):
        try:
            return _volume(file, path, group)
        except InputError as error:
            error = InputError(f"{path}: {error}")
            # Something else, a picture or a list of peaks, is passed over; but what is meant is not replaced.
            if _is_over_indices(group):
                raise error from None
            first = first or error
    for entry in members(file):
        for name in _USUAL_GROUPS:
            group_at(file, f"{entry}/{name}")  # says so where it is a link to a file that is not there
    raise first or InputError(
        f"NeXus file with {', '.join(members(file)[:8]) or 'nothing'} at its root and no NXdata: expected {EXPECTED}"
    )


def _candidates(file: h5py.File) -> Iterator[tuple[str, h5py.Group]]:
    """Groups that may be meant, with their paths: what dsfunet measured, the default, the usual names, then any."""
    seen: set[object] = set()

    def fresh(group: h5py.Group | None) -> bool:
        if group is None or group.id in seen or signal_name(group) is None:
            return False
        seen.add(group.id)
        return True

    if _is_result(file):
        group = group_at(file, "entry/input")
        if group is not None and fresh(group):
            yield "entry/input", group
    path, group = _default(file)
    if group is not None and fresh(group):
        yield path, group
    for entry in members(file):
        for name in _USUAL_GROUPS:
            group = _quiet_group(file, f"{entry}/{name}")
            if group is not None and fresh(group):
                yield f"{entry}/{name}", group
    for path, group in _below(file):
        if attribute_text(group, "NX_class") == "NXdata" and fresh(group):
            yield path, group


def _default(file: h5py.File) -> tuple[str, h5py.Group | None]:
    """Where the attributes `default` lead from the root, as a viewer follows them."""
    here, path = file, ""
    for _ in range(8):
        name = attribute_text(here, "default").strip("/")
        if not name:
            break
        found = group_at(here, name)
        if found is None:
            break
        here, path = found, f"{path}/{name}".strip("/")
    return path, here if path else None


def _below(file: h5py.File) -> Iterator[tuple[str, h5py.Group]]:
    """Groups near the root, level by level; links may go in circles, so no more than 300 of them."""
    level: list[tuple[str, h5py.Group]] = [("", file)]
    count = 0
    for _ in range(_DEEPEST):
        deeper = []
        for path, group in level:
            for name in members(group):
                found = _quiet_group(group, name)
                if found is not None and count < _MOST_GROUPS:
                    count += 1
                    deeper.append((f"{path}/{name}".strip("/"), found))
                    yield deeper[-1]
        level = deeper


def _quiet_group(group: h5py.Group, path: str) -> h5py.Group | None:
    try:
        return group_at(group, path)
    except InputError:  # a link to a file that is not there, in a place where nobody has to look
        return None


def _volume(file: h5py.File, path: str, group: h5py.Group) -> Volume:
    name = signal_name(group)
    assert name is not None
    signal = numbers(group, name, EXPECTED)
    axes, notes = _axes(group, signal, _is_result(file))
    shape = shape_of(signal)
    weights, errors, mask = (
        next((dataset for each in names if (dataset := _same_shape(group, each, shape)) is not None), None)
        for names in (
            (f"{name}_weights", "weights"),
            (f"{name}_errors", "errors", f"{name}_error"),
            (f"{name}_mask",),
        )
    )
    kept = _kept(file, path, shape)

    def weighted(dataset: h5py.Dataset, box: Box) -> Array:
        found = intensities(axes.read(dataset, box))
        if weights is not None:
            share = intensities(axes.read(weights, box))
            with np.errstate(all="ignore"):
                found = np.divide(found, share, out=np.full(found.shape, np.nan), where=share > 0)
        if mask is not None:
            found[axes.read(mask, box) != 0] = np.nan
        if kept is not None:
            found[axes.read(kept, box) == 0] = np.nan
        return intensities(found)

    if weights is not None:
        notes.append("the signal was divided by its weights; voxels without weight are missing")
    cell, trouble = sample_cell(file, path, group)
    return Volume(
        f"{_kind(file, path, name)}, {path}/{name}",
        axes,
        lambda box: weighted(signal, box),
        cell,
        trouble,
        None if errors is None else lambda box: weighted(errors, box),
        tuple(notes),
        _details(file, path, group),
    )


def _is_result(file: h5py.File) -> bool:
    return attribute_text(file, "creator") == "dsfunet"


def _kind(file: h5py.File, path: str, signal: str) -> str:
    if _is_result(file):
        return "result of dsfunet"
    if path.rpartition("/")[2].endswith("transform"):
        return "NXRefine"
    return "CHESS" if signal == "counts" else "NXdata"


def _kept(file: h5py.File, path: str, shape: tuple[int, ...] | None) -> h5py.Dataset | None:
    """The mask, 1 measured, that dsfunet keeps beside the plane that it was given."""
    if not _is_result(file) or path != "entry/input":
        return None
    found = dataset_at(file, "entry/mask/data", "iub")
    return found if found is not None and shape_of(found) == shape else None


def _same_shape(group: h5py.Group, name: str, shape: tuple[int, ...] | None) -> h5py.Dataset | None:
    found = dataset_at(group, name, "iufb")
    return found if found is not None and shape_of(found) == shape else None


def _axes(group: h5py.Group, signal: h5py.Dataset, result: bool) -> tuple[VolumeAxes, list[str]]:
    shape = shape_of(signal) or ()
    names, notes = axis_names(group, signal, shape)
    if result and names == ["y", "x"]:  # a plane of dsfunet's that came without axes
        return VolumeAxes((0.0, 0.0, 0.0), (1.0, 1.0, 0.0), (shape[0], shape[1], 1)), []
    along: dict[int, GridAxis] = {}
    for dimension, name in enumerate(names):
        dataset = dataset_at(group, name) if name else None
        number = _index_of(name, dataset)
        if dataset is None or number is None:
            continue
        units = attribute_text(dataset, "units").lower()
        if any(word in units for word in ("ang", "nm", "\N{LATIN SMALL LETTER A WITH RING ABOVE}")):
            raise InputError(f"axis {name} in {units}: expected reciprocal-lattice units")
        along[dimension] = grid_axis(number, small(dataset, name), shape[dimension], name)
    layers = {
        number: value
        for number, label in enumerate(AXIS_LABELS)
        if (value := _layer(group, label)) is not None
    }
    axes, more = volume_axes(shape, along, layers)
    if any(axis.edges for axis in along.values()):
        notes.append("axes are edges of bins, so voxels lie between")
    return axes, [f"array order in the file: {stored_order(axes)}", *notes, *more]


def _index_of(name: str, dataset: h5py.Dataset | None) -> int | None:
    """Which of h, k, l runs along an axis, by its name or else its long name."""
    number = index_letter(name)
    return (
        number
        if number is not None or dataset is None
        else index_letter(attribute_text(dataset, "long_name"))
    )


def _is_over_indices(group: h5py.Group) -> bool:
    """Whether an NXdata is meant to be over h, k and l, whatever is wrong with it."""
    found = set()
    for name in members(group)[:200]:
        try:
            found.add(_index_of(name, dataset_at(group, name)))
        except InputError:
            found.add(index_letter(name))
    return len(found - {None}) >= 2


def _layer(group: h5py.Group, label: str) -> float | None:
    """Where along an axis that the array does not have a plane lies."""
    for name in (label, label.upper(), f"Q{label}"):
        value = scalar(group, name)
        if value is not None:
            return value
    return None


def _details(file: h5py.File, path: str, group: h5py.Group) -> dict[str, str]:
    entry = path.split("/")[0]
    found = {
        "title": text(group, "title") or text(file, f"{entry}/title"),
        "sample": text(file, f"{entry}/sample/name"),
        "also in the file": ", ".join(
            name
            for name in _USUAL_GROUPS
            if f"{entry}/{name}" != path and _quiet_group(file, f"{entry}/{name}") is not None
        ),
    }
    return {name: value[:200] for name, value in found.items() if value}
