"""A further axis of an array without HDF5, such as temperature: its value is chosen, and the array has it no more."""

from collections.abc import Mapping
from dataclasses import replace

from dsfunet.errors import InputError
from dsfunet.io.formats.arrays import ArrayFile, open_array
from dsfunet.io.fourth_axis import choose_value
from dsfunet.io.read_options import ReadOptions
from dsfunet.io.volume import Volume
from dsfunet.physics import Cell
from dsfunet.planes.names import PlaneName


def open_array_at_value(
    found: ArrayFile, options: ReadOptions, cell: Cell | None = None, plane: PlaneName | None = None
) -> Volume:
    """Describe the volume, or the plane, in an array at the chosen value along its further axis, if it has one.

    Args:
        found: the array.
        options: what the user says about it, and the value along the axis.
        cell: as for `open_array`.
        plane: as for `open_array`.

    Raises:
        InputError: as `open_array`, or no value is chosen, or the array does not have it.
    """
    found, options, choices = _choose_values(found, options)
    return replace(open_array(found, options, cell, plane), choices=choices)


def _choose_values(
    found: ArrayFile, options: ReadOptions
) -> tuple[ArrayFile, ReadOptions, Mapping[str, tuple[float, ...]]]:
    """Return the array and the options without further axes, and the values along each of them by its name."""
    further = dict(found.further)
    given = options.array_axes
    if given is not None and given.further:
        if further:
            raise InputError(
                f"the file already has an axis {', '.join(name for name, _ in further.values())}; remove it from"
                " --array-axes"
            )
        further = given.place_further(found.intensity.shape)
        options = replace(options, array_axes=replace(given, further=()))
    choices: dict[str, tuple[float, ...]] = {}
    for dimension in sorted(further, reverse=True):
        name, values = further[dimension]
        chosen = choose_value(name, values, found.intensity.shape[dimension], "", options.at)
        choices[name] = chosen.values
        found = _take(found, dimension, chosen.index, chosen.note)
    return found, options, choices


def _take(found: ArrayFile, dimension: int, index: int, note: str) -> ArrayFile:
    """Return the array at one index of a dimension, without that dimension and without reading the rest of it."""
    at: tuple[slice | int, ...] = (*(slice(None) for _ in range(dimension)), index)
    return replace(
        found,
        intensity=found.intensity[at],
        sigma=None if found.sigma is None else found.sigma[at],
        axes={each - (each > dimension): axis for each, axis in found.axes.items()},
        further={},
        notes=(*found.notes, note),
    )
