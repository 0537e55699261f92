"""Blocks of a volume in which each voxel is the mean of itself and its Friedel mate, with a window."""

from dataclasses import dataclass, field

import numpy as np

from dsfunet._typing import Array, Float32
from dsfunet.analysis.pair_distribution.grids import GridAxis
from dsfunet.analysis.pair_distribution.windows import WindowName, window_values
from dsfunet.io import Volume
from dsfunet.physics import Cell

Axes = tuple[GridAxis, GridAxis, GridAxis]


@dataclass
class Coverage:
    """How much of the window was measured, as sums of window values; it grows block by block.

    Attributes:
        total: of all voxels.
        measured: of voxels that were measured.
        with_mates: of voxels that, or whose Friedel mates, were measured.
        filled: of other voxels that another array filled.
    """

    total: float = 0.0
    measured: float = 0.0
    with_mates: float = 0.0
    filled: float = 0.0


@dataclass(frozen=True, eq=False)
class WindowSettings:
    """A window on reciprocal space.

    Attributes:
        name: of the window.
        metric: (|Q| / radius)^2 of a voxel is q metric q for its indices h, k, l, shape (3, 3).
        radius_inv_angstrom: radius along a sphere [1/Angstrom]; NaN for an ellipsoid or without a window.
        describe: what it is, in words.
    """

    name: WindowName
    metric: Array
    radius_inv_angstrom: float
    describe: str


@dataclass(frozen=True, eq=False)
class MeasuredBlocks:
    """A volume as blocks along its slowest axis.

    Attributes:
        volume: open.
        order: the axes, that along which the file stores whole planes together first.
        window: to multiply by.
        fill: another volume on the same grid, for voxels that neither the volume nor its mates have.
        coverage: of all blocks read so far.
    """

    volume: Volume
    order: Axes
    window: WindowSettings
    fill: Volume | None = None
    coverage: Coverage = field(default_factory=Coverage)

    def read(self, first: int, count: int) -> Float32:
        """Read the planes first ... first + count - 1 of those with q >= 0, 0 where missing; shape (count, n, m)."""
        values, number = self._with_mates(self.volume, first, count)
        window = self._window(first, count)
        # Planes with q > 0 stand for those at -q as well.
        twice = np.full((count, 1, 1), 2.0)
        if first == 0 and self.order[0].doubled_limit % 2 == 0:
            twice[0] = 1.0
        known = number > 0
        self.coverage.total += float((twice * window).sum(dtype=np.float64))
        self.coverage.measured += float((twice * window * number / 2).sum(dtype=np.float64))
        self.coverage.with_mates += float((twice * window * known).sum(dtype=np.float64))
        if self.fill is not None and not known.all():
            others, found = self._with_mates(self.fill, first, count)
            use = ~known & (found > 0)
            values[use] = others[use]
            self.coverage.filled += float((twice * window * use).sum(dtype=np.float64))
        values *= window
        return values

    def _with_mates(self, volume: Volume, first: int, count: int) -> tuple[Float32, Float32]:
        """Return the mean of voxels and mates, 0 where both are missing, and how many of the two there are."""
        # Twice the q of the first plane of the block.
        doubled = 2 * first + self.order[0].doubled_limit % 2
        here = self._read_planes(volume, doubled, count)
        there = self._read_planes(volume, -doubled - 2 * (count - 1), count)[::-1, ::-1, ::-1]
        has_here, has_there = np.isfinite(here), np.isfinite(there)
        number: Float32 = has_here.astype(np.float32) + has_there
        mean: Float32 = np.where(has_here, here, np.float32(0)) + np.where(has_there, there, np.float32(0))
        mean /= np.maximum(number, np.float32(1))
        return mean, number

    def _read_planes(self, volume: Volume, doubled_first: int, count: int) -> Float32:
        """Read planes by twice the q of the first, on the symmetric grid; NaN where the file has no voxels."""
        slow, middle, fast = self.order
        result = np.full((count, middle.length, fast.length), np.nan, np.float32)
        parts, places = [slice(0, 0)] * 3, []
        for axis, begin, length in (
            (slow, doubled_first, count),
            (middle, -middle.doubled_limit, middle.length),
            (fast, -fast.doubled_limit, fast.length),
        ):
            offset = (axis.doubled_first - begin) // 2  # of the file's first voxel in the block
            low, high = max(offset, 0), min(offset + axis.count, length)
            if low >= high:
                return result
            places.append(slice(low, high))
            start, stop = low - offset, high - offset
            if axis.descending:
                start, stop = axis.count - stop, axis.count - start
            parts[axis.number] = slice(start, stop)
        found = volume.read((parts[0], parts[1], parts[2])).transpose([axis.number for axis in self.order])
        flips = tuple(slice(None, None, -1 if axis.descending else 1) for axis in self.order)
        result[tuple(places)] = found[flips]
        return result

    def _window(self, first: int, count: int) -> Float32:
        slow, middle, fast = self.order
        planes = (np.arange(first, first + count) + (slow.doubled_limit % 2) / 2) * slow.step
        indices = [
            planes.astype(np.float32)[:, None, None],
            (middle.half_steps() * middle.step).astype(np.float32)[None, :, None],
            (fast.half_steps() * fast.step).astype(np.float32)[None, None, :],
        ]
        squared = np.zeros((count, middle.length, fast.length), np.float32)
        if self.window.name == "none":
            return squared + np.float32(1)
        for i, row in enumerate(self.order):
            for j, column in enumerate(self.order[i:], start=i):
                factor = self.window.metric[row.number, column.number] * (1 if i == j else 2)
                if factor:
                    squared += np.float32(factor) * indices[i] * indices[j]
        return window_values(self.window.name, squared)


def make_window(
    name: WindowName, shape: str, radius_inv_angstrom: float | None, axes: Axes, cell: Cell
) -> WindowSettings:
    """Make a window on the voxels that are used.

    Args:
        name: of the window.
        shape: "sphere", or "ellipsoid" for the largest ellipsoid in the box.
        radius_inv_angstrom: of the sphere [1/Angstrom], 2 pi / d; None for the largest in the box.
        axes: of the grid.
        cell: unit cell.
    """
    limits = np.array([axis.limit for axis in axes])
    if name == "none":
        return WindowSettings(
            name, np.zeros((3, 3)), float("nan"), "none: the whole box of voxels, with sharp faces"
        )
    if shape == "ellipsoid":
        inside = "up to the largest ellipsoid in the box of voxels"
        return WindowSettings(name, np.diag(1 / limits**2), float("nan"), f"{name}, {inside}")
    # The face h = H of the box lies at Q . a = 2 pi H, at the distance 2 pi H / |a|.
    largest = float((2 * np.pi * limits / np.array(cell.parameters[:3])).min())
    radius = largest if radius_inv_angstrom is None else radius_inv_angstrom
    which = "the largest sphere in the box of voxels" if radius_inv_angstrom is None else "as asked"
    if radius > largest * (1 + 1e-6):
        which = f"as asked, which is more than the largest sphere in the box, {largest:.4g}"
    metric = cell.reciprocal @ cell.reciprocal.T / radius**2
    return WindowSettings(name, metric, radius, f"{name}, up to |Q| = {radius:.4g} 1/Å ({which})")
