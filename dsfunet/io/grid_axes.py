"""The axes of a volume as files give them: voxel centres or bin edges, and a name that tells h, k or l."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.io.volume import VolumeAxes
from dsfunet.planes.names import AXIS_LABELS


@dataclass(frozen=True)
class GridAxis:
    """Evenly spaced voxel centres along one of h, k, l.

    Attributes:
        number: which of h, k, l the axis is: 0, 1 or 2.
        first: coordinate of the first voxel centre [r.l.u.].
        step: spacing of the voxel centres [r.l.u.].
        edges: whether the file gave bin edges instead of centres.
    """

    number: int
    first: float
    step: float
    edges: bool = False


def make_grid_axis(number: int, values: Array, count: int, name: str, factor: float = 1.0) -> GridAxis:
    """Make an axis from the centres of its voxels or from the edges of its bins.

    Args:
        number: which of h, k, l the axis is: 0, 1 or 2.
        values: `count` centres, or `count` + 1 edges.
        count: number of voxels.
        name: name of the axis in the file.
        factor: factor from the file's values to r.l.u.

    Raises:
        InputError: there are neither `count` nor `count` + 1 values, or they are not finite or not evenly spaced.
    """
    values = values.ravel()
    edges = len(values) == count + 1
    if not edges and len(values) != count:
        raise InputError(
            f"axis {name} has {len(values)} values; expected {count} centres or {count + 1} bin edges"
        )
    if not len(values) or not np.isfinite(values).all():
        raise InputError(f"axis {name} is empty or not finite; expected finite numbers [r.l.u.]")
    with np.errstate(all="ignore"):
        step = float(values[-1] - values[0]) / max(len(values) - 1, 1)
        # Rounding of float32 axes stays below a thousandth of a step; the same limit as in PlaneGrid.
        uneven = np.abs(np.diff(values) - step).max(initial=0.0) > 1e-3 * abs(step)
    if uneven or (len(values) > 1 and step == 0) or not np.isfinite(step):
        raise InputError(
            f"axis {name} from {values[0]:g} to {values[-1]:g} is not evenly spaced; expected equal steps"
        )
    first = float(values[0]) + (0.5 * step if edges else 0.0)
    return GridAxis(number, factor * first, factor * step, edges)


def make_volume_axes(
    shape: Sequence[int], along: Mapping[int, GridAxis], layers: Mapping[int, float] | None = None
) -> tuple[VolumeAxes, list[str]]:
    """Make the axes of a volume from the axes of an array.

    Args:
        shape: shape of the array.
        along: the axis along each dimension; dimensions without an axis must be one voxel thick.
        layers: coordinates [r.l.u.] of axes that the array does not have, by number of the axis.

    Returns:
        the axes, and notes about what had to be assumed.

    Raises:
        InputError: a dimension with several voxels has no axis, an axis occurs twice, or two axes are missing.
    """
    for dimension, count in enumerate(shape):
        if dimension not in along and count != 1:
            raise InputError(
                f"dimension {dimension} of the array of shape {tuple(shape)} is none of h, k, l; expected axes named"
                " h, k, l, Qh, Qk, Ql or [H,0,0], [0,K,0], [0,0,L], or directions such as [H,H,0]"
            )
    notes = []
    of_number = {axis.number: (dimension, axis) for dimension, axis in along.items()}
    if len(of_number) < len(along):
        names = ", ".join(AXIS_LABELS[axis.number] for axis in along.values())
        raise InputError(f"the axes are {names}; expected each of h, k, l once")
    missing = [number for number in range(3) if number not in of_number]
    if len(missing) > 1:
        raise InputError(
            f"the array of shape {tuple(shape)} has fewer than two of the axes h, k, l; expected two or three"
        )
    for number in missing:
        layer = (layers or {}).get(number)
        if layer is None:
            layer = 0.0
            label = AXIS_LABELS[number]
            notes.append(f"the file does not give the {label} of the plane; {label} = 0 is assumed")
        # A dimension number beyond those of the array marks an axis that the array does not have.
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
    """Describe the order of the axes in the file, slowest first: [l, k, h]."""
    present = sorted(
        (dimension, label)
        for dimension, label, count in zip(axes.dimensions, AXIS_LABELS, axes.counts, strict=True)
        if count > 1
    )
    return f"[{', '.join(label for _, label in present)}]"
