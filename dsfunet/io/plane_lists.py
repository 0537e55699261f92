"""Several planes of a volume in one text: "hk0,h0l,hhl", "hk:all", "hl:half", "kl:-2..2"."""

import re

import numpy as np

from dsfunet.errors import InputError
from dsfunet.io.volume import VolumeAxes
from dsfunet.planes.names import AXIS_LABELS, AnyPlaneName, PlaneName, parse_plane

_LAYERS = re.compile(r"\s*(hk|hl|kl)\s*:\s*(.*?)\s*")
_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)"
_RANGE = re.compile(rf"({_NUMBER})\s*\.\.\s*({_NUMBER})(?:\s*/\s*({_NUMBER}))?")
_MOST_LAYERS = 10_000
_GRAMMAR = (
    "hk:all (integer layers), hk:half (half-integer ones), hk:0..3 or hk:0..3/0.5, likewise hl: and kl:"
)


def planes_of(axes: VolumeAxes, text: str) -> list[AnyPlaneName]:
    """The planes that a text lists, in its order, each once.

    Items are parted by semicolons, or by commas outside brackets. An item is a plane, as `parse_plane` takes it, or
    layers of the volume: `hk:all` all with an integer third index, `hk:half` those half-way between, `hk:0..3` 0, 1, 2
    and 3, with a step after a stroke, `hk:0..3/0.5`; likewise `hl:` and `kl:`. Of layers those are listed
    that the volume really holds, as `VolumeAxes.layer` judges; a plane named by itself is listed in any case, and
    refused when it is read.

    Raises:
        InputError: an item is anything else, or lists layers of which the volume holds none.
    """
    names: list[AnyPlaneName] = []
    for item in _items(text):
        layers = _LAYERS.fullmatch(item.lower().replace("\N{MINUS SIGN}", "-"))
        if layers:
            names += _held(axes, item.strip(), *layers.groups())
        elif ":" in item or ".." in item:
            raise InputError(f"planes {item.strip()!r}: expected {_GRAMMAR}")
        else:
            names.append(parse_plane(item))
    return list(dict.fromkeys(names))


def _items(text: str) -> list[str]:
    try:
        parse_plane(text)
    except InputError:
        pass
    else:
        return [text]  # (h, k, 1) has commas, too
    if ";" in text:
        return [item for part in text.split(";") if part.strip() for item in _items(part)] or [text]
    return [item for item in re.split(r",(?![^\[(]*[\])])", text) if item.strip()] or [text]


def _held(axes: VolumeAxes, item: str, letters: str, layers: str) -> list[AnyPlaneName]:
    """The layers of one item that the volume holds."""
    varying = AXIS_LABELS.index(letters[0]), AXIS_LABELS.index(letters[1])
    third = 3 - sum(varying)
    values = axes.coordinates(third)
    low, high = float(values.min()), float(values.max())
    given = _RANGE.fullmatch(layers)
    if layers in ("all", "half"):
        shift = 0.0 if layers == "all" else 0.5
        # One beyond either end: float32 limits fall a little short of the layer they mean.
        wanted = np.arange(np.floor(low) - 1, np.ceil(high) + 2) + shift
    elif given:
        first, last, step = float(given[1]), float(given[2]), float(given[3] or 1)
        if not step > 0 or last < first or (last - first) / step > _MOST_LAYERS:
            raise InputError(
                f"planes {item!r}: expected a range upwards, such as {letters}:0..3 or {letters}:0..3/0.5"
            )
        wanted = first + step * np.arange(np.floor((last - first) / step + 1e-6) + 1)
    else:
        raise InputError(f"planes {item!r}: expected {_GRAMMAR}")
    names: dict[int, AnyPlaneName] = {}
    for offset in np.round(wanted, 9):
        name = PlaneName(varying, float(offset))
        try:
            names.setdefault(axes.layer(name)[0], name)
        except InputError:
            continue
    if not names:
        raise InputError(
            f"planes {item!r}: the volume holds no such layer, its {AXIS_LABELS[third]} runs from {low:g} to {high:g}"
            f" in steps of {abs(axes.steps[third]):g}"
        )
    return list(names.values())
