"""The grids of a difference pair distribution function: voxels that map onto themselves under Q -> -Q, and real space.

Along each axis the voxels lie at q times the step, q whole numbers or, where 0 lies between two voxels, halves of odd
ones. Real space gets u = m / (N step), m = -M ... M: with an odd number of voxels the origin is the middle one.
"""

import math
import re
from dataclasses import dataclass, replace

import numpy as np
from scipy import fft

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.io import Volume
from dsfunet.physics import Cell
from dsfunet.planes.names import AXIS_LABELS

_ON_GRID = 0.01  # [voxels]
_MOST_VOXELS = 2_000_000_000
REAL_LABELS = ("u", "v", "w")
"""Names of the coordinates in real space, in units of a, b and c."""


@dataclass(frozen=True)
class GridAxis:
    """One axis of both grids.

    Attributes:
        number: 0, 1 or 2 for h, k, l and u, v, w.
        step: of the voxels [r.l.u.], positive.
        doubled_first: twice the q of the measured voxel with the lowest coordinate.
        count: number of measured voxels.
        descending: whether coordinates decrease along the array of the file.
        doubled_limit: twice the largest q that is used.
        size: N, the number of voxels of the Fourier transform.
        reach: M.
    """

    number: int
    step: float
    doubled_first: int
    count: int
    descending: bool
    doubled_limit: int
    size: int
    reach: int

    @property
    def length(self) -> int:
        """Number of voxels that are used, symmetric about the origin."""
        return self.doubled_limit + 1

    @property
    def limit(self) -> float:
        """Largest coordinate that is used [r.l.u.]."""
        return self.doubled_limit / 2 * self.step

    @property
    def real_step(self) -> float:
        """Step in real space [cells]."""
        return 1 / (self.size * self.step)

    @property
    def real_length(self) -> int:
        """Number of voxels in real space, odd."""
        return 2 * self.reach + 1

    def coordinates(self) -> Array:
        """Return u, v or w of the voxels in real space [cells], shape (real_length,)."""
        return np.arange(-self.reach, self.reach + 1, dtype=np.float64) * self.real_step

    def half_steps(self) -> Array:
        """Return q of the voxels that are used, shape (length,)."""
        return np.arange(-self.doubled_limit, self.doubled_limit + 1, 2, dtype=np.float64) / 2


def make_axes(
    volume: Volume, cell: Cell, resolution: str | None = None, extent: str | None = None
) -> tuple[GridAxis, GridAxis, GridAxis]:
    """Make the axes of the grids of a volume.

    Args:
        volume: open.
        cell: its unit cell.
        resolution: step in real space, as `parse_lengths` takes it. Finer steps than 1 / (number of voxels * step of
            the voxels) come from zeros around the data; they add no information. Coarser ones leave out the outer
            voxels. None for that step itself.
        extent: largest distance from the origin in real space along each axis, likewise; None for all of it.

    Raises:
        InputError: the volume is a single layer, the origin is neither a voxel nor half-way between two, or an option
            asks for too much or too little.
    """
    steps = None if resolution is None else parse_lengths(resolution, "--resolution", cell)
    extents = None if extent is None else parse_lengths(extent, "--extent", cell)
    axes = []
    for number, label in enumerate(AXIS_LABELS):
        count, step = volume.axes.counts[number], volume.axes.steps[number]
        if count < 2:
            raise InputError(
                f"the volume has one voxel along {label}; expected a volume, because a layer gives only a projection"
            )
        first = min(volume.axes.coordinates(number)[[0, -1]]) / abs(step)
        doubled = round(2 * first)
        if abs(2 * first - doubled) > 2 * _ON_GRID:
            raise InputError(
                f"voxels along {label} begin at {first * abs(step):g} with step {abs(step):g}; expected {label} = 0 on"
                " a voxel or half-way between two"
            )
        limit = max(abs(doubled), abs(doubled + 2 * (count - 1)))
        axis = GridAxis(number, abs(step), doubled, count, step < 0, limit, limit + 1, limit // 2)
        if steps is not None:
            axis = _with_resolution(axis, steps[number])
        if extents is not None:
            axis = replace(axis, reach=min(axis.reach, math.floor(extents[number] / axis.real_step + 1e-6)))
            if axis.reach < 1:
                raise InputError(
                    f"--extent {extent}: along {REAL_LABELS[number]} that is less than one voxel of"
                    f" {axis.real_step:.4g} cells; expected more"
                )
        axes.append(axis)
    if math.prod(float(axis.real_length) for axis in axes) > _MOST_VOXELS:
        sizes = " x ".join(str(axis.real_length) for axis in axes)
        raise InputError(
            f"the map would have {sizes} voxels; expected at most 2 billion, so add --extent or a coarser --resolution"
        )
    return axes[0], axes[1], axes[2]


def _with_resolution(axis: GridAxis, real_step: float) -> GridAxis:
    wanted = 1 / (axis.step * real_step)
    size = int(fft.next_fast_len(max(math.ceil(wanted - 1e-6), 2), real=True))
    # The same parity as before: voxels stay where they are.
    limit = min(axis.doubled_limit, math.ceil(wanted - 1e-6) - 1)
    limit -= (axis.doubled_limit - limit) % 2
    if limit < 2:
        raise InputError(
            f"--resolution: a step of {real_step:.4g} cells along {REAL_LABELS[axis.number]} leaves no voxels of the"
            f" volume; expected less than {1 / (3 * axis.step):.3g} cells"
        )
    return replace(axis, doubled_limit=limit, size=size, reach=(size - 1) // 2)


def parse_lengths(text: str, option: str, cell: Cell) -> tuple[float, float, float]:
    """Parse one or three lengths along a, b and c, in Angstrom unless "cells" follows; returned in cells.

    Raises:
        InputError: the text is not one or three positive numbers.

    Examples:
        >>> from dsfunet.analysis.pair_distribution.grids import parse_lengths
        >>> from dsfunet.physics import Cell
        >>> parse_lengths("0.5", "--resolution", Cell(5, 5, 10))
        (0.1, 0.1, 0.05)
        >>> parse_lengths("4 4 2 cells", "--extent", Cell(5, 5, 10))
        (4.0, 4.0, 2.0)
    """
    match = re.fullmatch(r"\s*(.*?)\s*(A|Å|angstrom|cells?)?\s*", text, re.IGNORECASE)
    words = re.split(r"[\s,]+", match[1]) if match else []
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 3) or not all(math.isfinite(each) and each > 0 for each in numbers):
        raise InputError(
            f"{option} {text}: this is not one or three positive lengths; expected for example 0.2 (Angstrom) or"
            " '0.05 cells'"
        )
    numbers = numbers * 3 if len(numbers) == 1 else numbers
    in_cells = bool(match and match[2] and match[2].lower().startswith("cell"))
    a, b, c = (
        each if in_cells else each / edge for each, edge in zip(numbers, cell.parameters[:3], strict=True)
    )
    return a, b, c
