"""What a user adds to a file: the scale of its numbers, the units of its cell, the axes of a bare array."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.io.axis_names import find_direction
from dsfunet.io.cell_units import CellUnits, parse_cell_units
from dsfunet.io.fourth_axis import Coordinates, parse_coordinates
from dsfunet.io.grid_axes import GridAxis, make_volume_axes
from dsfunet.io.volume import VolumeAxes
from dsfunet.planes.names import AXIS_LABELS
from dsfunet.planes.scale_names import Scale

_AXES_GRAMMAR = (
    "expected the index along each dimension of the array with its first and last value, such as"
    ' "h -6 6, k -7.5 7.5, l 0 2", for a plane also the index that is fixed, "h -6 6, k -6 6, l 1", and the name and'
    ' values of a fourth axis, "temperature 100 300, h -6 6, k -6 6, l 0 2"'
)
_MOST_VALUES = 10_000


@dataclass(frozen=True)
class ArrayAxes:
    """The axes of an array without axes: h, k, l or another along each dimension, and the index that is fixed.

    Attributes:
        text: the axes as the user wrote them.
        along: the number of the index (0, 1, 2 for h, k, l) and the coordinates of the first and the last voxel centre
            [r.l.u.], for each dimension of the array that is more than one voxel thick.
        fixed: coordinates of the indices along which the array has no dimension, by number [r.l.u.].
        further: axes that are none of reciprocal space, such as temperature: the place of each among the dimensions
            that are more than one voxel thick, its name, and its first and last value or all of them.
    """

    text: str
    along: tuple[tuple[int, float, float], ...]
    fixed: tuple[tuple[int, float], ...] = ()
    further: tuple[tuple[int, str, tuple[float, ...]], ...] = ()

    def place_further(self, shape: tuple[int, ...]) -> dict[int, tuple[str, Array]]:
        """Return name and values of each further axis of an array of some shape, by its dimension.

        Raises:
            InputError: the array has another number of dimensions.
        """
        thick = [dimension for dimension, count in enumerate(shape) if count > 1]
        if len(thick) != len(self.along) + len(self.further):
            raise self._make_error(shape)
        return {
            thick[place]: (
                name,
                np.linspace(*values, shape[thick[place]]) if len(values) == 2 else np.array(values),
            )
            for place, name, values in self.further
        }

    def _make_error(self, shape: tuple[int, ...]) -> InputError:
        return InputError(
            f"the array has shape {shape}, and the axes {self.text!r} are for {len(self.along) + len(self.further)}"
            f" dimensions; {_AXES_GRAMMAR}"
        )

    def make_volume_axes(self, shape: tuple[int, ...]) -> VolumeAxes:
        """Make the axes of an array of some shape.

        Raises:
            InputError: the array has another number of dimensions.
        """
        thick = [dimension for dimension, count in enumerate(shape) if count > 1]
        if len(thick) != len(self.along):
            raise self._make_error(shape)
        along = {
            dimension: GridAxis(number, first, (last - first) / (shape[dimension] - 1))
            for dimension, (number, first, last) in zip(thick, self.along, strict=True)
        }
        return make_volume_axes(shape, along, dict(self.fixed))[0]


@dataclass(frozen=True)
class ReadOptions:
    """What a user says about a file that the file itself does not say.

    Attributes:
        scale: scale of its numbers, in terms of the intensity; "auto" recognises that of DSFU-Net.
        cell_units: units of the file's unit cell; None for Angstrom and degrees, if the cell is plausible in these.
        array_axes: axes of an array without axes.
        at: values along a fourth axis of the data, such as temperature.
        allow_external: folders into which links in a file may lead, beside the folder of the file itself.
        ub: UB matrix of axes Qx, Qy, Qz: columns a*, b*, c* without the factor 2 pi, nine numbers row by row
            [1/Angstrom]; None for a* along x and b* in the x-y plane.
    """

    scale: Scale = "auto"
    cell_units: CellUnits = field(default_factory=CellUnits)
    array_axes: ArrayAxes | None = None
    at: Coordinates | None = None
    ub: tuple[float, ...] | None = None
    allow_external: tuple[Path, ...] = ()

    @property
    def ub_matrix(self) -> Array | None:
        """The UB matrix, shape (3, 3) [1/Angstrom]; None if it is not given."""
        return None if self.ub is None else np.array(self.ub).reshape(3, 3)


def parse_read_options(
    scale: Scale = "auto",
    cell_unit: str | None = None,
    array_axes: str | None = None,
    at: str | None = None,
    ub: str | None = None,
    allow_external: str | None = None,
) -> ReadOptions:
    """Parse the options of the command line about a file, as text.

    Raises:
        InputError: one of them cannot be understood.
    """
    return ReadOptions(
        scale=scale,
        cell_units=CellUnits() if cell_unit is None else parse_cell_units(cell_unit),
        array_axes=None if array_axes is None else parse_array_axes(array_axes),
        at=None if at is None else parse_coordinates(at),
        ub=None if ub is None else parse_ub(ub),
        allow_external=() if allow_external is None else tuple(map(Path, allow_external.split(os.pathsep))),
    )


def parse_array_axes(text: str) -> ArrayAxes:
    """Parse axes of an array, such as "h -6 6, k -7.5 7.5, l 1" or "temperature 100 300, h -6 6, k -6 6, l 0 2".

    Raises:
        InputError: the text is anything else, or an index occurs twice or not at all.
    """
    along: list[tuple[int, float, float]] = []
    fixed: list[tuple[int, float]] = []
    further: list[tuple[int, str, tuple[float, ...]]] = []
    for item in (part.split() for part in re.split(r"[,;]", text.replace("\N{MINUS SIGN}", "-"))):
        name = item[0] if item else ""
        number = AXIS_LABELS.index(name.lower()) if name.lower() in AXIS_LABELS else -1
        try:
            values = [float(word) for word in item[1:]]
        except ValueError:
            values = []
        most = 2 if number >= 0 else _MOST_VALUES
        if not np.isfinite(values).all() or not (1 if number >= 0 else 2) <= len(values) <= most:
            raise InputError(f"array axes {text!r}: {' '.join(item)!r} is not an axis; {_AXES_GRAMMAR}")
        if number < 0:
            if not re.fullmatch(r"[^\W\d]\w*", name) or find_direction(name) is not None:
                raise InputError(f"array axes {text!r}: {name!r} is not an axis; {_AXES_GRAMMAR}")
            further.append((len(along) + len(further), name, tuple(values)))
        elif len(values) == 1:
            fixed.append((number, values[0]))
        elif values[0] == values[1]:
            raise InputError(f"array axes {text!r}: {' '.join(item)!r} has no width; {_AXES_GRAMMAR}")
        else:
            along.append((number, values[0], values[1]))
    numbers = [number for number, *_ in along] + [number for number, _ in fixed]
    if len(set(numbers)) != len(numbers) or len(along) < 2:
        raise InputError(f"array axes {text!r}: {_AXES_GRAMMAR}")
    return ArrayAxes(text, tuple(along), tuple(fixed), tuple(further))


def parse_ub(text: str) -> tuple[float, ...]:
    """Parse a UB matrix, nine numbers row by row.

    Raises:
        InputError: the text is anything else, or the matrix is singular.
    """
    try:
        values = tuple(float(word) for word in re.split(r"[\s,;]+", text.strip("[]() ")))
    except ValueError:
        values = ()
    if (
        len(values) != 9
        or not np.isfinite(values).all()
        or abs(np.linalg.det(np.reshape(values, (3, 3)))) < 1e-12
    ):
        raise InputError(
            f"--ub {text!r}; expected nine numbers, the rows of a matrix with columns a*, b*, c* [1/Angstrom], without"
            " the factor 2 pi"
        )
    return values
