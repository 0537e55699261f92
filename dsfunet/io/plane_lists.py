"""Selections of planes: "hk0,h0l,hhl" names planes, "hk:all", "hl:half" and "kl:-2..2" name layers of a volume."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.io.volume import VolumeAxes
from dsfunet.planes.names import AXIS_LABELS, AnyPlaneName, PlaneName, parse_plane

_LAYERS = re.compile(r"\s*(hk|hl|kl)\s*:\s*(.*?)\s*")
_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)"
_RANGE = re.compile(rf"({_NUMBER})\s*\.\.\s*({_NUMBER})(?:\s*/\s*({_NUMBER}))?")
_MOST_LAYERS = 10_000
_GRAMMAR = "hk:all (integer layers), hk:half (half-integer layers), hk:0..3 or hk:0..3/0.5; hl: and kl: work likewise"


@dataclass(frozen=True)
class LayerSelection:
    """Layers of a volume along one axis, written hk:all, hk:half, hk:0..3 or hk:0..3/0.5; likewise hl: and kl:.

    Attributes:
        text: the selection as the user wrote it, for messages.
        axes: the two axes that vary in each layer, (0, 1) for hk.
        first: index of the first layer [r.l.u.]; None starts at the lower end of the volume.
        last: index of the last layer [r.l.u.]; None ends at the upper end of the volume.
        step: spacing of the layers [r.l.u.].
        shift: where layers begin if `first` is None: 0 for integer layers, 0.5 for half-integer layers.
    """

    text: str
    axes: tuple[int, int]
    first: float | None = None
    last: float | None = None
    step: float = 1.0
    shift: float = 0.0

    def list_planes(self, axes: VolumeAxes) -> list[AnyPlaneName]:
        """Return the planes of the selected layers that the volume holds, as `VolumeAxes.find_layer` judges.

        Raises:
            InputError: the volume holds none of the layers.
        """
        fixed = 3 - sum(self.axes)
        values = axes.coordinates(fixed)
        low, high = float(values.min()), float(values.max())
        names: dict[int, AnyPlaneName] = {}
        for offset in np.round(self._list_offsets(low, high), 9):
            name = PlaneName(self.axes, float(offset))
            try:
                names.setdefault(axes.find_layer(name)[0], name)
            except InputError:
                continue
        if not names:
            raise InputError(
                f"planes {self.text!r}: the volume has no such layer; its {AXIS_LABELS[fixed]} runs from {low:g} to"
                f" {high:g} in steps of {abs(axes.steps[fixed]):g}"
            )
        return list(names.values())

    def _list_offsets(self, low: float, high: float) -> Array:
        if self.first is None or self.last is None:
            # One layer beyond either end: float32 limits fall slightly short of the layer they mean.
            return np.arange(np.floor(low) - 1, np.ceil(high) + 2) + self.shift
        return self.first + self.step * np.arange(np.floor((self.last - self.first) / self.step + 1e-6) + 1)


@dataclass(frozen=True)
class PlaneSelection:
    """Several planes to make of a file: planes by name, layers of the volume, or both. str() gives the user's text.

    Attributes:
        text: the selection as the user wrote it.
        items: the parts of the selection, in order.
    """

    text: str
    items: tuple[AnyPlaneName | LayerSelection, ...]

    @property
    def needs_volume(self) -> bool:
        """Whether the planes depend on the layers that a volume holds."""
        return any(isinstance(item, LayerSelection) for item in self.items)

    def list_planes(self, axes: VolumeAxes | None = None) -> list[AnyPlaneName]:
        """Return the selected planes in order, each once.

        A plane that is selected by name is listed whether or not the volume holds it; reading it then fails.

        Args:
            axes: axes of the volume; required where `needs_volume` is True.

        Raises:
            InputError: layers are selected and there is no volume, or the volume holds none of them.
        """
        return list(dict.fromkeys(self._iterate(axes)))

    def _iterate(self, axes: VolumeAxes | None) -> Iterator[AnyPlaneName]:
        for item in self.items:
            if not isinstance(item, LayerSelection):
                yield item
            elif axes is None:
                raise InputError(
                    f"planes {item.text!r}: this selects layers of a volume; the file has no layers, name its planes"
                )
            else:
                yield from item.list_planes(axes)

    def __str__(self) -> str:
        return self.text


def parse_plane_selection(text: str) -> PlaneSelection:
    """Parse a list of planes such as "hk0,h0l,hhl" or "hk:all;hl:0..3/0.5".

    Items are separated by semicolons, or by commas outside brackets. An item is either a plane, as `parse_plane`
    takes it, or layers of the volume: `hk:all` is all layers with an integer third index, `hk:half` those half-way
    between, `hk:0..3` the layers 0, 1, 2 and 3, and `hk:0..3/0.5` the same range in steps of 0.5; likewise `hl:` and
    `kl:`.

    Raises:
        InputError: an item is anything else, or a range of layers does not run upwards.
    """
    items: list[AnyPlaneName | LayerSelection] = []
    for item in _split(text):
        layers = _LAYERS.fullmatch(item.lower().replace("\N{MINUS SIGN}", "-"))
        if layers:
            items.append(_parse_layers(item.strip(), *layers.groups()))
        elif ":" in item or ".." in item:
            raise _make_grammar_error(item.strip())
        else:
            items.append(parse_plane(item))
    return PlaneSelection(text, tuple(items))


def _make_grammar_error(item: str) -> InputError:
    return InputError(f"planes {item!r}: this names neither planes nor layers; expected {_GRAMMAR}")


def _split(text: str) -> list[str]:
    try:
        parse_plane(text)
    except InputError:
        pass
    else:
        return [text]  # (h, k, 1) contains commas, too
    if ";" in text:
        return [item for part in text.split(";") if part.strip() for item in _split(part)] or [text]
    return [item for item in re.split(r",(?![^\[(]*[\])])", text) if item.strip()] or [text]


def _parse_layers(item: str, letters: str, layers: str) -> LayerSelection:
    axes = AXIS_LABELS.index(letters[0]), AXIS_LABELS.index(letters[1])
    if layers in ("all", "half"):
        return LayerSelection(item, axes, shift=0.0 if layers == "all" else 0.5)
    given = _RANGE.fullmatch(layers)
    if given is None:
        raise _make_grammar_error(item)
    first, last, step = float(given[1]), float(given[2]), float(given[3] or 1)
    if not step > 0 or last < first or (last - first) / step > _MOST_LAYERS:
        raise InputError(
            f"planes {item!r}: the range does not run upwards, or has more than {_MOST_LAYERS} layers; expected a"
            f" range such as {letters}:0..3 or {letters}:0..3/0.5"
        )
    return LayerSelection(item, axes, first, last, step)
