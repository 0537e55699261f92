"""A volume averaged over its Laue class: the mean of the equivalent voxels that were measured."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array, Float32, Integers
from dsfunet.analysis.pair_distribution.grids import GridAxis
from dsfunet.errors import InputError
from dsfunet.io import Volume
from dsfunet.io.volume import Box
from dsfunet.physics import Cell
from dsfunet.physics.symmetry import laue_rotations, rotate_voxels, symmetric_metric
from dsfunet.planes.names import AXIS_LABELS

_WHOLE = 1e-3
_BLOCK = 2_000_000


def average_equivalents(
    volume: Volume, axes: tuple[GridAxis, GridAxis, GridAxis], laue: str, unique_axis: str | None, cell: Cell
) -> Volume:
    """Average a volume over the operations of a Laue class, on a grid symmetric about the origin.

    A voxel has the mean of its equivalents that were measured, and is missing if there are none. The volume is held in
    memory, with nine bytes for each voxel of the symmetric grid.

    Args:
        volume: open.
        axes: of its grid, without a change of resolution.
        laue: one of `dsfunet.physics.symmetry.LAUE_CLASSES`.
        unique_axis: as for `dsfunet.physics.symmetry.laue_rotations`.
        cell: unit cell.

    Raises:
        InputError: the class is unknown, the cell does not obey it, or an operation does not map voxels onto voxels.
    """
    symmetric_metric(cell, laue, unique_axis)  # raises an error if the cell does not obey the class
    # Voxels at -Q come with the Friedel mates later, so one of each pair R, -R is enough. Q' = Q R.
    rotations = [each for each in laue_rotations(laue, unique_axis) if np.linalg.det(each) > 0]
    steps = np.array([axis.step for axis in axes])
    matrices = [_on_grid(rotation, steps, axes, laue) for rotation in rotations]
    # Axes that an operation exchanges reach as far as the longer one.
    mixed = np.abs(matrices).max(axis=0) > 0
    limits = np.array([axis.doubled_limit for axis in axes])
    limits = np.array([max(limits[mixed[:, number] | mixed[number]]) for number in range(3)])
    shape = tuple((limits + 1).tolist())
    measured = np.full(shape, np.nan, np.float32)
    places, flips, whole = [], [], []
    for axis, limit in zip(axes, limits.tolist(), strict=True):
        first = (axis.doubled_first + limit) // 2
        places.append(slice(first, first + axis.count))
        flips.append(slice(None, None, -1 if axis.descending else 1))
        whole.append(slice(None))
    thick = max(1, _BLOCK // (shape[1] * shape[2]))
    slow = axes[0]
    for start in range(0, slow.count, thick):
        stop = min(start + thick, slow.count)
        low, high = (slow.count - stop, slow.count - start) if slow.descending else (start, stop)
        found = volume.read((slice(low, high), whole[1], whole[2]))
        target = slice(places[0].start + start, places[0].start + stop)
        measured[target, places[1], places[2]] = found[flips[0], flips[1], flips[2]]
    mean = _average(measured, matrices, limits)

    def read(box: Box) -> Array:
        return mean[box].astype(np.float64)

    grid = replace(
        volume.axes,
        lower=tuple((-limits / 2 * steps).tolist()),
        steps=tuple(steps.tolist()),
        counts=shape,
        dimensions=(0, 1, 2),
    )
    note = f"the volume was averaged over {len(rotations)} operations of {laue}, and their opposites"
    return replace(volume, axes=grid, read=read, read_sigma=None, notes=(*volume.notes, note))


def _average(measured: Float32, matrices: list[Integers], limits: Integers) -> Float32:
    total = np.zeros(measured.shape, np.float32)
    number = np.zeros(measured.shape, np.uint8)
    n, m, l = measured.shape  # noqa: E741
    thick = max(1, _BLOCK // (m * l))
    flat = measured.ravel()
    for start in range(0, n, thick):
        block = slice(start, min(start + thick, n))
        # Twice the index of each voxel, zero at the origin.
        rows = 2 * np.arange(block.start, block.stop)[:, None, None] - limits[0]
        columns = 2 * np.arange(m)[None, :, None] - limits[1]
        depths = 2 * np.arange(l)[None, None, :] - limits[2]
        for matrix in matrices:
            inside: npt.NDArray[np.bool_] = np.ones((block.stop - block.start, m, l), bool)
            place: Integers = np.zeros(inside.shape, np.int64)
            for axis, count in enumerate(measured.shape):
                doubled = rows * matrix[0, axis] + columns * matrix[1, axis] + depths * matrix[2, axis]
                inside &= np.abs(doubled) <= limits[axis]
                place *= count
                place += (doubled + limits[axis]) // 2
            place[~inside] = 0
            values = flat[place]
            inside &= np.isfinite(values)
            total[block] += np.where(inside, values, np.float32(0))
            number[block] += inside
    with np.errstate(invalid="ignore", divide="ignore"):
        total /= number  # 0 / 0 is NaN: missing
    return total


def _on_grid(
    rotation: Integers, steps: Array, axes: tuple[GridAxis, GridAxis, GridAxis], laue: str
) -> Integers:
    """Return an operation on rows of voxel indices.

    Raises:
        InputError: it does not map voxels onto voxels.
    """
    odd = np.array([axis.doubled_limit % 2 for axis in axes])
    whole = rotate_voxels(rotation, steps, odd, _WHOLE)
    if whole is None:
        found = ", ".join(f"{label} {step:g}" for label, step in zip(AXIS_LABELS, steps, strict=True))
        raise InputError(
            f"--laue {laue}: its operations do not map the voxels onto each other (steps {found}); expected equal"
            " steps, and 0 on a voxel, along equivalent axes"
        )
    return whole
