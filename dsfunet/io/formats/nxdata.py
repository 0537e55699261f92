"""NeXus files in general: the NXdata that `default` leads to, or one where NXRefine, CHESS and dsfunet put it.

The names of the axes give the index along each dimension (h, Qk, L, [H,0,0], ...), its direction ([H,H,0]), or the
component of Q in 1/Angstrom (Qx). NXRefine reverses them, [Ql, Qk, Qh]. Of a fourth axis, the user chooses a
value. Axes are voxel centres or bin edges. The array may be in another file, to which an external link leads.
"""

from collections.abc import Iterator

import h5py
import numpy as np

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.files import name_file_in_errors
from dsfunet.io.axis_names import find_cartesian_axis, find_index_axis
from dsfunet.io.cell_parameters import NO_CELL, cell_from_ub, convert_cell
from dsfunet.io.formats.nexus_sample import find_sample_cell, find_sample_space_group, find_sample_ub
from dsfunet.io.formats.nxdata_axes import place_nxdata
from dsfunet.io.formats.nxdata_names import find_signal_name
from dsfunet.io.gap_marks import GapReader
from dsfunet.io.hdf5 import (
    find_dataset,
    find_group,
    get_shape,
    list_members,
    read_attribute_text,
    read_text,
    require_numbers,
)
from dsfunet.io.oblique_volumes import Read
from dsfunet.io.read_options import ReadOptions
from dsfunet.io.space_groups import centring_of_record
from dsfunet.io.volume import Box, Volume, to_intensities
from dsfunet.physics import Cell

EXPECTED = "a NeXus file with an NXdata over h, k, l (NXRefine's entry/transform, CHESS's entry/data/counts, any other)"
"""What this reader looks for, in words, for messages."""

# In order of preference, if a file has several; masked ones are meant for 3D-PDFs.
_USUAL_GROUPS = ("transform", "symm_transform", "masked_transform", "symm_masked_transform", "data")
_DEEPEST, _MOST_GROUPS = 4, 300


def recognises(file: h5py.File) -> bool:
    """Whether an open file has an NXdata near its root, or has the attributes of a NeXus file."""
    if read_attribute_text(file, "default") or read_attribute_text(file, "NX_class"):
        return True
    return next(_list_candidates(file), None) is not None


def open_volume(file: h5py.File, options: ReadOptions | None = None, cell: Cell | None = None) -> Volume:
    """Describe the volume, or the single plane, in an open file.

    Args:
        file: the file.
        options: what the user says about the file: a value along a fourth axis, or a UB matrix.
        cell: the unit cell, used for axes along Qx, Qy, Qz when the file has no valid one.

    Raises:
        InputError: no NXdata has the axes h, k and l, a linked file is missing, or the axes are not valid.
    """
    first: InputError | None = None
    for path, group in _list_candidates(file):
        try:
            with name_file_in_errors(path):
                return _make_volume(file, path, group, options or ReadOptions(), cell)
        except InputError as error:
            # Other data, such as a picture or a list of peaks, are skipped; data over h, k and l must be readable.
            if _is_over_indices(group):
                raise
            first = first or error
    for entry in list_members(file):
        for name in _USUAL_GROUPS:
            find_group(file, f"{entry}/{name}")  # raises an error if it is a link to a missing file
    found = ", ".join(list_members(file)[:8]) or "nothing"
    raise first or InputError(f"the NeXus file has {found} at its root and no NXdata; expected {EXPECTED}")


def open_part(file: h5py.File, name: str) -> Volume:
    """Describe one of the arrays of a result, such as `product`.

    Args:
        file: an open file.
        name: `input`, `form_factor`, `short_range_order`, `product` or `residual`.

    Raises:
        InputError: the file is no result, does not hold that array, or its axes are not valid.
    """
    if not _is_result(file):
        raise InputError(f"the file is not a result of dsfunet, so it has no {name}; expected a result")
    path = f"entry/{name}"
    group = find_group(file, path)
    if group is None or find_signal_name(group) is None:
        held = ", ".join(each for each in list_members(file["entry"])[:50] if _has_signal(file, each))
        raise InputError(f"the result has no {name}; expected one of {held}")
    with name_file_in_errors(path):
        return _make_volume(file, path, group, ReadOptions(), None)


def _has_signal(file: h5py.File, name: str) -> bool:
    group = _try_group(file, f"entry/{name}")
    return group is not None and find_signal_name(group) is not None


def _list_candidates(file: h5py.File) -> Iterator[tuple[str, h5py.Group]]:
    """List groups that may hold the data: the input of a result, the default, the usual names, then all others."""
    seen: set[object] = set()

    def is_new(group: h5py.Group | None) -> bool:
        if group is None or group.id in seen or find_signal_name(group) is None:
            return False
        seen.add(group.id)
        return True

    if _is_result(file):
        group = find_group(file, "entry/input")
        if group is not None and is_new(group):
            yield "entry/input", group
    path, group = _follow_default(file)
    if group is not None and is_new(group):
        yield path, group
    for entry in list_members(file):
        for name in _USUAL_GROUPS:
            group = _try_group(file, f"{entry}/{name}")
            if group is not None and is_new(group):
                yield f"{entry}/{name}", group
    for path, group in _walk_groups(file):
        if read_attribute_text(group, "NX_class") == "NXdata" and is_new(group):
            yield path, group


def _follow_default(file: h5py.File) -> tuple[str, h5py.Group | None]:
    """Follow the attributes `default` from the root, as a viewer does."""
    here, path = file, ""
    for _ in range(8):
        name = read_attribute_text(here, "default").strip("/")
        if not name:
            break
        found = find_group(here, name)
        if found is None:
            break
        here, path = found, f"{path}/{name}".strip("/")
    return path, here if path else None


def _walk_groups(file: h5py.File) -> Iterator[tuple[str, h5py.Group]]:
    """Walk through the groups near the root, level by level; at most 300 of them, because links may be circular."""
    level: list[tuple[str, h5py.Group]] = [("", file)]
    count = 0
    for _ in range(_DEEPEST):
        deeper = []
        for path, group in level:
            for name in list_members(group):
                found = _try_group(group, name)
                if found is not None and count < _MOST_GROUPS:
                    count += 1
                    deeper.append((f"{path}/{name}".strip("/"), found))
                    yield deeper[-1]
        level = deeper


def _try_group(group: h5py.Group, path: str) -> h5py.Group | None:
    try:
        return find_group(group, path)
    except InputError:  # a link to a missing file, which matters only if nothing else is found
        return None


def _make_volume(
    file: h5py.File, path: str, group: h5py.Group, options: ReadOptions, given: Cell | None
) -> Volume:
    name = find_signal_name(group)
    assert name is not None
    signal = require_numbers(group, name, EXPECTED)
    cell, trouble = find_sample_cell(file, path, group)
    converted, _ = convert_cell(cell, trouble, options.cell_units)  # the volume keeps what the file says
    ub = options.ub_matrix if options.ub is not None else find_sample_ub(file, path, group)
    place = place_nxdata(group, signal, _is_result(file), options, converted or given, ub)
    axes, notes = place.stored, list(place.notes)
    if trouble == NO_CELL and ub is not None:
        cell, trouble = cell_from_ub(ub, "the UB matrix")
        notes.append("the unit cell comes from the UB matrix, taken to have no factor 2 pi")
    shape = get_shape(signal)
    weights, errors, mask = (
        next(
            (dataset for each in names if (dataset := _find_same_shape(group, each, shape)) is not None), None
        )
        for names in (
            (f"{name}_weights", "weights"),
            (f"{name}_errors", "errors", f"{name}_error"),
            (f"{name}_mask",),
        )
    )
    kept = _find_result_mask(file, path, shape)

    stored = axes

    def read_weighted(dataset: h5py.Dataset, box: Box) -> Array:
        found = to_intensities(stored.read(dataset, box))
        if weights is not None:
            share = to_intensities(stored.read(weights, box))
            with np.errstate(all="ignore"):
                found = np.divide(found, share, out=np.full(found.shape, np.nan), where=share > 0)
        if mask is not None:
            found[stored.read(mask, box) != 0] = np.nan
        if kept is not None:
            found[stored.read(kept, box) == 0] = np.nan
        return to_intensities(found)

    if weights is not None:
        notes.append("the signal is divided by its weights; voxels with zero weight are missing")
    read: Read = lambda box: read_weighted(signal, box)  # noqa: E731
    gaps = GapReader(read)
    read_sigma: Read | None = None if errors is None else lambda box: read_weighted(errors, box)
    if place.grid is not None:
        axes = place.grid.make_straight_axes()
        read = place.grid.straighten_reader(axes, gaps)
        # Neighbouring voxels that share a voxel of the file share its error, which interpolation does not shrink.
        read_sigma = None if read_sigma is None else place.grid.straighten_reader(axes, read_sigma)
    return Volume(
        f"{_describe_kind(file, path, name)}, {path}/{name}",
        axes,
        read,
        cell,
        trouble,
        read_sigma,
        tuple(notes),
        _list_details(file, path, group),
        _read_space_group(file, path, group),
        spanned=place.spanned,
        remarks=gaps.describe,
        choices=place.choices,
    )


def _read_space_group(file: h5py.File, path: str, group: h5py.Group) -> str:
    """Read the space group, or the centring with which a result was made."""
    if _is_result(file):
        return centring_of_record({"lattice": read_text(file, "entry/process/lattice")}) or ""
    return find_sample_space_group(file, path, group)


def _is_result(file: h5py.File) -> bool:
    return read_attribute_text(file, "creator") == "dsfunet"


def _describe_kind(file: h5py.File, path: str, signal: str) -> str:
    if _is_result(file):
        return "result of dsfunet"
    if path.rpartition("/")[2].endswith("transform"):
        return "NXRefine"
    return "CHESS" if signal == "counts" else "NXdata"


def _find_result_mask(file: h5py.File, path: str, shape: tuple[int, ...] | None) -> h5py.Dataset | None:
    """Find the mask (1 measured) that a result of dsfunet stores beside the input."""
    if not _is_result(file) or path != "entry/input":
        return None
    found = find_dataset(file, "entry/mask/data", "iub")
    return found if found is not None and get_shape(found) == shape else None


def _find_same_shape(group: h5py.Group, name: str, shape: tuple[int, ...] | None) -> h5py.Dataset | None:
    found = find_dataset(group, name, "iufb")
    return found if found is not None and get_shape(found) == shape else None


def _is_over_indices(group: h5py.Group) -> bool:
    """Whether an NXdata has at least two axes named h, k, l or Qx, Qy, Qz, even if they are not valid."""
    found = set()
    for name in list_members(group)[:200]:
        try:
            dataset = find_dataset(group, name)
            long_name = "" if dataset is None else read_attribute_text(dataset, "long_name")
        except InputError:
            long_name = ""
        for each in (name, long_name):
            number = find_index_axis(each)
            found.add(number if number is not None else find_cartesian_axis(each))
    return len(found - {None}) >= 2


def _list_details(file: h5py.File, path: str, group: h5py.Group) -> dict[str, str]:
    entry = path.split("/")[0]
    found = {
        "title": read_text(group, "title") or read_text(file, f"{entry}/title"),
        "sample": read_text(file, f"{entry}/sample/name"),
        "also in the file": ", ".join(
            name
            for name in _USUAL_GROUPS
            if f"{entry}/{name}" != path and _try_group(file, f"{entry}/{name}") is not None
        ),
    }
    return {name: value[:200] for name, value in found.items() if value}
