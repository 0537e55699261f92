"""Diffuse scattering of RMCProfile as text: a line for each voxel with its number along each axis, Q and intensity.

The first line has the number of voxels and of sections, and in calculated files a scale and an offset. A line has i, j,
k from 1, then x, y, z of Q with the factor 2 pi for each section, which are equivalent by symmetry, and the intensity.
An intensity of 0 marks a voxel that is left out of fits.
"""

import numpy as np

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.io.formats.arrays import ArrayFile
from dsfunet.io.formats.damage import MOST_VALUES

_LARGEST_DEVIATION = 0.01
"""Farthest that a voxel may lie from the grid, in steps."""


def recognises(rows: list[list[str]]) -> bool:
    """Whether the lines of a text, each split into words, are such a file."""
    if len(rows) < 5 or len(rows[0]) not in (2, 3, 4) or not all(word.isdigit() for word in rows[0][:2]):
        return False
    sections = int(rows[0][1])
    return (
        1 <= sections <= 192
        and len(rows[1]) == 4 + 3 * sections
        and all(word.isdigit() for word in rows[1][:3])
    )


def read_array(header: list[str], table: Array) -> ArrayFile:
    """Read the voxels.

    Args:
        header: the words of the first line.
        table: the numbers of the other lines, a row each.

    Raises:
        InputError: the voxels are fewer than the first line says, or do not lie on a grid.
    """
    count = int(header[0])
    if len(table) < count:
        raise InputError(
            f"a file of RMCProfile with {len(table)} voxels; expected {count}, as its first line says"
        )
    table = table[:count]
    index = table[:, :3]
    if not (np.isfinite(table[:, :6]).all() and (index >= 1).all() and (index == np.round(index)).all()):
        raise InputError(
            "a file of RMCProfile whose voxels are not numbered from 1; expected i, j, k in each line"
        )
    counts = index.max(axis=0)
    if np.prod(counts) > MOST_VALUES or np.prod(counts) > 50 * count:
        raise InputError(
            f"a file of RMCProfile with {count} voxels of {' x '.join(f'{n:g}' for n in counts)}; expected most of them"
        )
    shape = (int(counts[0]), int(counts[1]), int(counts[2]))
    place = (index - 1).astype(np.int64)
    unknown = np.column_stack([np.ones(count), place])
    solution = np.linalg.lstsq(unknown, table[:, 3:6], rcond=None)[0]
    steps = np.where((counts > 1)[:, None], solution[1:], 0.0)
    deviation = np.abs(unknown @ np.vstack([solution[:1], steps]) - table[:, 3:6]).max()
    if deviation > _LARGEST_DEVIATION * np.linalg.norm(steps, axis=1)[counts > 1].min(initial=np.inf):
        raise InputError("a file of RMCProfile whose voxels do not lie on a grid; expected equal steps in Q")
    intensity = np.full(shape, np.nan)
    intensity[place[:, 0], place[:, 1], place[:, 2]] = table[:, -1]
    notes = ["x, y and z are components of Q with the factor 2 pi, by the layout of RMCProfile"]
    left_out = int(np.count_nonzero(intensity == 0))
    if left_out:
        intensity[intensity == 0] = np.nan
        notes.append(
            f"voxels without a value: {left_out} have the intensity 0, which marks them, and are missing"
        )
    return ArrayFile(
        "text of RMCProfile", intensity, steps=(solution[0], steps), frame="direct", notes=tuple(notes)
    )
