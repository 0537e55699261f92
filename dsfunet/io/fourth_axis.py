"""A fourth axis of data, such as temperature: the user chooses a value along it, or all of them one after another."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dsfunet._typing import Array
from dsfunet.errors import InputError

_MOST_VALUES_SHOWN = 12


@dataclass(frozen=True)
class Coordinates:
    """Values along an axis that is none of reciprocal space, as a user names them.

    Attributes:
        name: name of the axis; empty for whatever axis there is.
        values: the values; none stands for all of them.
    """

    name: str
    values: tuple[float, ...] = ()

    @property
    def are_several(self) -> bool:
        """Whether these are several values, or all."""
        return len(self.values) != 1

    def __str__(self) -> str:
        return f"{self.name}={', '.join(f'{value:g}' for value in self.values) or 'all'}"


ANY = Coordinates("")
"""Any axis; where one value is needed, it stands for the first."""


@dataclass(frozen=True)
class ChosenValue:
    """The value that was chosen along an axis.

    Attributes:
        index: its index.
        values: all values along the axis.
        note: a sentence for the user.
    """

    index: int
    values: tuple[float, ...]
    note: str


def parse_coordinates(text: str) -> Coordinates:
    """Parse values along a fourth axis: "temperature=150", "temperature=100, 150" or "temperature=all".

    Raises:
        InputError: the text is anything else.
    """
    name, _, values = text.partition("=")
    words = values.replace(",", " ").split()
    try:
        numbers = () if words == ["all"] else tuple(float(word) for word in words)
    except ValueError:
        words = []
    if not (name.strip() and words) or not np.isfinite(numbers).all():
        raise InputError(
            f"--at {text!r}; expected the name of an axis and a number, temperature=150, several numbers, or"
            " temperature=all"
        )
    return Coordinates(name.strip(), tuple(dict.fromkeys(numbers)))


def choose_value(name: str, values: Array, count: int, units: str, at: Coordinates | None) -> ChosenValue:
    """Choose the index along an axis at the value that the user names.

    Args:
        name: name of the axis.
        values: its `count` values, or `count` + 1 bin edges.
        count: number of values.
        units: unit of the values, for messages.
        at: what the user says; of `ANY` and of "all", the first value is taken.

    Raises:
        InputError: no value is chosen, several are, or the axis does not have it.
    """
    values = values.ravel()
    if len(values) == count + 1:
        values = 0.5 * (values[1:] + values[:-1])
    if len(values) != count or not np.isfinite(values).all():
        raise InputError(
            f"axis {name} has {len(values)} values; expected {count} finite numbers, or {count + 1} edges"
        )
    held = describe_values(values, units)
    if at is None or at.name.lower() not in ("", name.lower()):
        raise InputError(
            f"the data have an axis {name} with {count} values, {held}; choose one, such as --at {name}={values[0]:g},"
            f" or factorise all with --at {name}=all and --out FOLDER"
        )
    if len(at.values) > 1:
        raise InputError(f"--at {at}: several values are chosen; expected one of {held}")
    index = int(np.abs(values - at.values[0]).argmin()) if at.values else 0
    spacing = np.abs(np.diff(values)).min() if count > 1 else np.inf
    if at.values and abs(values[index] - at.values[0]) > 0.5 * spacing + 1e-9:
        raise InputError(f"--at {at}: the file holds {held}; choose one of these")
    note = f"the data at {name} = {values[index]:g} {units}".rstrip() + " are used"
    return ChosenValue(index, tuple(float(value) for value in values), note)


def describe_values(values: Array | Sequence[float], units: str = "") -> str:
    """Describe the values along an axis in words: the first dozen."""
    held = ", ".join(f"{value:g}" for value in values[:_MOST_VALUES_SHOWN])
    return f"{held}{', ...' if len(values) > _MOST_VALUES_SHOWN else ''} {units}".rstrip()
