"""The signal of an NXdata and the axis along each of its dimensions, in old and new NeXus conventions."""

import re
from collections.abc import Sequence

import h5py
import numpy as np

from dsfunet.io.axis_names import find_cartesian_axis, find_direction, find_index_axis
from dsfunet.io.hdf5 import (
    find_dataset,
    find_member,
    get_shape,
    list_members,
    read_attribute,
    read_attribute_number,
    read_attribute_text,
    read_attribute_texts,
)

_USUAL_SIGNALS = ("data", "counts", "v", "signal")


def find_signal_name(group: h5py.Group) -> str | None:
    """Find the name of the signal of a group: by its attribute, by the dataset's, or a usual name; None without one."""
    stated = read_attribute_text(group, "signal")
    names = set(list_members(group))
    if stated in names:
        return stated
    for name in sorted(names)[:200]:
        found = _try_dataset(group, name)
        if found is not None and read_attribute_number(found, "signal") == 1:
            return name
    # Without an attribute, a group counts as data only by its class or by its axes.
    if read_attribute_text(group, "NX_class") != "NXdata" and not _has_index_axes(names):
        return None
    return next((name for name in _USUAL_SIGNALS if name in names), None)


def find_axis_names(
    group: h5py.Group, signal: h5py.Dataset, shape: Sequence[int]
) -> tuple[list[str], list[str]]:
    """Find the name of the axis along each dimension of the signal, empty if there is none, and what was assumed."""
    names = [""] * len(shape)
    stated = _read_axes_attribute(group) or _read_axes_attribute(signal)
    for position, name in enumerate(stated):
        indices = _read_indices(group, name)
        for dimension in indices if indices is not None else [position]:
            if name not in ("", ".") and 0 <= dimension < len(shape):
                names[dimension] = name
    if any(names):
        return names, []
    # NeXus before 2010: each axis has the number of its dimension as an attribute, counted from 1.
    for name in list_members(group)[:200]:
        found = _try_dataset(group, name)
        number = read_attribute_number(found, "axis") if found is not None else None
        if number is not None and number.is_integer() and 1 <= number <= len(shape):
            names[int(number) - 1] = name
    return (names, []) if any(names) else _match_by_length(group, shape)


def _match_by_length(group: h5py.Group, shape: Sequence[int]) -> tuple[list[str], list[str]]:
    """Match axes of a group without attributes to dimensions: h, k, l, or l, k, h if only that fits the lengths."""
    lengths: dict[int, tuple[str, int]] = {}
    for name in list_members(group)[:200]:
        number = find_index_axis(name)
        found = _try_dataset(group, name) if number is not None else None
        if number is not None and found is not None and len(get_shape(found) or ()) == 1:
            lengths[number] = name, int(found.size)
    if len(lengths) != len(shape) or len(shape) > 3:
        return [""] * len(shape), []
    numbers = sorted(lengths)
    for order in (numbers, numbers[::-1]):
        if all(lengths[n][1] in (count, count + 1) for n, count in zip(order, shape, strict=True)):
            names = [lengths[n][0] for n in order]
            return names, [f"the file does not say which axis runs along which dimension; {names} is assumed"]
    return [""] * len(shape), []


def _read_axes_attribute(thing: h5py.Group | h5py.Dataset) -> list[str]:
    """Read the names in the attribute `axes`: a list, or one text such as Ql:Qk:Qh or [Ql,Qk,Qh]."""
    names = read_attribute_texts(thing, "axes")
    if len(names) != 1:
        return names
    text = names[0]
    if ":" in text:
        return [name.strip() for name in text.split(":")]
    # A bracket may be part of a name, as in [H,0,0].
    if find_direction(text) is not None:
        return [text]
    return [name for name in re.split(r"[\s,]+", text.strip("[]() ")) if name]


def _read_indices(group: h5py.Group, name: str) -> list[int] | None:
    value = read_attribute(group, f"{name}_indices")
    try:
        numbers = np.atleast_1d(np.asarray(value, dtype=np.float64)).ravel()[:10]
    except (TypeError, ValueError):
        return None
    if value is None or not np.isfinite(numbers).all():
        return None
    return [int(number) for number in numbers]


def _has_index_axes(names: set[str]) -> bool:
    return any(
        len({find(name) for name in names} - {None}) >= 2 for find in (find_index_axis, find_cartesian_axis)
    )


def _try_dataset(group: h5py.Group, name: str) -> h5py.Dataset | None:
    try:
        return (
            find_dataset(group, name, "iufb") if isinstance(find_member(group, name), h5py.Dataset) else None
        )
    except Exception:  # links to missing files, damaged objects
        return None
