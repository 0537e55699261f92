"""The axes of a volume as files give them: centres or bin edges, and a name that says which of h, k, l they are."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.io.volume import VolumeAxes
from dsfunet.planes.names import AXIS_LABELS

_LETTER = re.compile(r"(?:q[_ ]?)?([hkl])(?:[_ ]?(?:axis|centers|centres|edges))?(?:\s*[(\[].*)?")
_COMPONENT = re.compile(r"([+-]?)((?:\d+(?:\.\d*)?|\.\d+)?)\*?([a-z]?\d?)")


@dataclass(frozen=True)
class GridAxis:
    """Evenly spaced voxel centres along one of h, k, l: `number` 0, 1, 2; `first` and `step` [r.l.u.].

    `edges` says whether the file had the bins' edges.
    """

    number: int
    first: float
    step: float
    edges: bool = False


def make_grid_axis(number: int, values: Array, count: int, name: str, factor: float = 1.0) -> GridAxis:
    """The axis of `count` voxels whose centres, or the `count` + 1 edges of whose bins, are `values` * `factor`.

    Raises:
        InputError: there are neither as many, or they are not finite or not evenly spaced.
    """
    values = values.ravel()
    edges = len(values) == count + 1
    if not edges and len(values) != count:
        raise InputError(
            f"axis {name} has {len(values)} values: expected {count}, or {count + 1} edges of bins"
        )
    if not len(values) or not np.isfinite(values).all():
        raise InputError(f"axis {name}: expected finite numbers [r.l.u.]")
    with np.errstate(all="ignore"):
        step = float(values[-1] - values[0]) / max(len(values) - 1, 1)
        # One part in a thousand of a step is more than float32 axes lose; the same as in PlaneGrid.
        uneven = np.abs(np.diff(values) - step).max(initial=0.0) > 1e-3 * abs(step)
    if uneven or (len(values) > 1 and step == 0) or not np.isfinite(step):
        raise InputError(f"axis {name} from {values[0]:g} to {values[-1]:g}: expected evenly spaced values")
    first = float(values[0]) + (0.5 * step if edges else 0.0)
    return GridAxis(number, factor * first, factor * step, edges)


def find_index_axis(name: str) -> int | None:
    """Which of h, k, l (0, 1, 2) an axis of that name is: h, Qh, H (r.l.u.), [0,K,0]; None for others."""
    match = _LETTER.fullmatch(name.strip().lower())
    if match:
        return AXIS_LABELS.index(match.group(1))
    direction = parse_direction(name)
    if direction is not None and np.count_nonzero(direction) == 1 and direction.max() == 1:
        return int(direction.argmax())
    return None


def parse_direction(name: str) -> Array | None:
    """The direction in h, k, l (3,) that a name such as [H,0,0], [0,-2K,0] or [H,H,0] means; None for others."""
    inner = re.fullmatch(r"\[(.{0,100})\]", name.strip().lower())
    words = inner.group(1).split(",") if inner else []
    if len(words) != 3:
        return None
    direction = []
    for word in words:
        match = _COMPONENT.fullmatch(word.strip())
        if not match or not (match.group(2) or match.group(3)):
            return None
        number = float(match.group(2) or 1) * (-1 if match.group(1) == "-" else 1)
        if not match.group(3) and number != 0:  # a number without a letter varies with nothing
            return None
        direction.append(number)
    return np.array(direction) if any(direction) and max(map(abs, direction)) < 1e3 else None


def make_volume_axes(
    shape: Sequence[int], along: Mapping[int, GridAxis], layers: Mapping[int, float] | None = None
) -> tuple[VolumeAxes, list[str]]:
    """Axes of an array of that shape, and what had to be assumed.

    `along` says what runs along which dimension; dimensions it does not name are one voxel thick. `layers` are
    the coordinates of axes that the array does not have.

    Raises:
        InputError: a dimension of many voxels has no axis, an axis is there twice, or two are missing.
    """
    for dimension, count in enumerate(shape):
        if dimension not in along and count != 1:
            raise InputError(
                f"dimension {dimension} of the array of shape {tuple(shape)} is none of h, k, l: expected axes"
                " named h, k, l, Qh, Qk, Ql or [H,0,0], [0,K,0], [0,0,L]"
            )
    notes = []
    of_number = {axis.number: (dimension, axis) for dimension, axis in along.items()}
    if len(of_number) < len(along):
        names = ", ".join(AXIS_LABELS[axis.number] for axis in along.values())
        raise InputError(f"axes {names}: expected each of h, k, l once")
    missing = [number for number in range(3) if number not in of_number]
    if len(missing) > 1:
        raise InputError(f"array of shape {tuple(shape)} has fewer than two of the axes h, k, l")
    for number in missing:
        layer = (layers or {}).get(number)
        if layer is None:
            layer = 0.0
            label = AXIS_LABELS[number]
            notes.append(f"the file does not say at which {label} the plane lies: {label} = 0 was assumed")
        # A dimension beyond those of the array stands for an axis that it does not have.
        of_number[number] = len(shape), GridAxis(number, layer, 0.0)
    (h, k, l) = (of_number[number] for number in range(3))  # noqa: E741
    axes = VolumeAxes(
        (h[1].first, k[1].first, l[1].first),
        (h[1].step, k[1].step, l[1].step),
        tuple(shape[d] if d < len(shape) else 1 for d, _ in (h, k, l)),  # type: ignore[arg-type]
        (h[0], k[0], l[0]),
    )
    return axes, notes


def describe_stored_order(axes: VolumeAxes) -> str:
    """The order of the axes in the file, slowest first, for a person: [l, k, h]."""
    present = sorted(
        (dimension, label)
        for dimension, label, count in zip(axes.dimensions, AXIS_LABELS, axes.counts, strict=True)
        if count > 1
    )
    return f"[{', '.join(label for _, label in present)}]"
