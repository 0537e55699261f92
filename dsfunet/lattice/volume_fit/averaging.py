"""Symmetry before a fit: Friedel mates and Laue equivalents of a volume are averaged onto half of its grid."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array, Integers
from dsfunet.errors import InputError
from dsfunet.lattice.volume_fit.voxels import Axes, Float32, Voxels, step_of
from dsfunet.physics.symmetry import rotate_voxels

ReadBlock = Callable[[slice], Array]
"""Reads layers of constant h, NaN where nothing was measured, shape (layers, m, o)."""

LAYERS = 16
"""Layers that are read, evaluated and written at a time."""

_SAME_PLACE = 1e-2  # of a step
_SAME_STEP = 1e-6  # largest relative difference of steps along axes that an operation exchanges
_OVERLAP = 1.0  # what of the other half is fitted as well [r.l.u.]


@dataclass(frozen=True, eq=False)
class Grid:
    """The grid of a volume with increasing coordinates, and the half of it that is fitted.

    Attributes:
        axes: coordinates along h, k, l of the whole grid [r.l.u.].
        folded: whether the grid has a voxel at -Q for each at Q, so that only layers with h of 0 or more are read, and
            fitted with a few of the others.
    """

    axes: Axes
    folded: bool

    @classmethod
    def of(cls, axes: Axes) -> "Grid":
        """Return the grid of some axes, folded if all are symmetric about 0."""
        symmetric = True
        for axis in axes:
            symmetric = symmetric and float(np.abs(axis + axis[::-1]).max()) <= _SAME_PLACE * step_of(axis)
        return cls(axes, symmetric and len(axes[0]) > 1)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of voxels along h, k, l."""
        first, second, third = (len(axis) for axis in self.axes)
        return first, second, third

    @property
    def first(self) -> int:
        """Number of the first layer that is fitted."""
        return len(self.axes[0]) // 2 if self.folded else 0

    @property
    def half_axes(self) -> Axes:
        """Coordinates of the voxels that are averaged: half of them where the grid is folded."""
        return self.axes[0][self.first :], self.axes[1], self.axes[2]

    @property
    def overlap(self) -> int:
        """Number of layers with h below 0 that are fitted as well."""
        if not self.folded:
            return 0
        return min(self.first, round(_OVERLAP / step_of(self.axes[0])))

    def blocks(self) -> Iterator[slice]:
        """Yield runs of layers of the whole grid; none crosses the first fitted one or a multiple of `LAYERS`.

        A file with chunks of `LAYERS` layers then has each chunk written at once, but for one.
        """
        count = len(self.axes[0])
        edges = sorted({*range(0, count, LAYERS), self.first, count})
        for start, stop in pairwise(edges):
            yield slice(start, stop)

    def fitted_part(self, block: slice) -> tuple[slice, bool]:
        """Return the fitted layers that a block shows, and whether they are to be turned by -1."""
        if block.start >= self.first:
            start, stop = block.start - self.first, block.stop - self.first
        else:
            count = len(self.axes[0])
            start, stop = count - block.stop - self.first, count - block.start - self.first
        return slice(self.overlap + start, self.overlap + stop), block.start < self.first


def turn(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a block of layers as seen from -Q."""
    return values[::-1, ::-1, ::-1]


def read_voxels(
    grid: Grid,
    read: ReadBlock,
    read_sigma: ReadBlock | None = None,
    report: Callable[[float], None] = lambda share: None,
) -> Voxels:
    """Read a volume block by block and average its Friedel mates.

    With standard uncertainties the means are weighted by their inverse squares, otherwise all voxels count the same.
    Intensities below 0 are kept where the file has standard uncertainties and missing otherwise.

    Args:
        grid: the grid.
        read: reads intensities.
        read_sigma: reads standard uncertainties, above 0 where measured.
        report: called with the share that has been read.

    Raises:
        InputError: no voxel or too few were measured.
    """
    shape = tuple(len(axis) for axis in grid.half_axes)
    total = np.zeros(shape, np.float32)
    count = np.zeros(shape, np.uint8)
    weight = None if read_sigma is None else np.zeros(shape, np.float32)
    layers = len(grid.axes[0])
    for block in grid.blocks():
        values = read(block)
        if weight is not None and read_sigma is not None:
            sigma = read_sigma(block)
            with np.errstate(all="ignore"):
                measured = np.isfinite(values) & np.isfinite(sigma) & (sigma > 0)
                inverse = np.where(measured, 1 / np.where(measured, sigma, 1.0) ** 2, 0.0)
        else:
            measured = np.isfinite(values) & (values >= 0)
            inverse = measured.astype(np.float64)
        sums = np.where(measured, values, 0.0) * inverse
        part, turned = grid.fitted_part(block)
        part = slice(part.start - grid.overlap, part.stop - grid.overlap)
        pieces = [(part, turned)]
        if grid.folded and not turned and block.start <= grid.first < block.stop and layers % 2:
            pieces.append((slice(0, 1), True))  # the layer h = 0 holds mates of its own
        for where, mirrored in pieces:
            use = slice(None) if where is part else slice(0, 1)
            each = [piece[use] for piece in (sums, inverse, measured)]
            if mirrored:
                each = [turn(piece) for piece in each]
            total[where] += each[0]
            count[where] += each[2]
            if weight is not None:
                weight[where] += each[1]
        report(block.stop / layers)
    divisor = np.maximum(count, 1) if weight is None else np.where(weight > 0, weight, 1)
    total /= divisor
    return Voxels(grid.half_axes, total, count, weight)


def average_equivalents(voxels: Voxels, grid: Grid, rotations: Integers) -> Voxels:
    """Average the voxels that a Laue class makes equal.

    Args:
        voxels: what `read_voxels` returned.
        grid: the grid.
        rotations: matrices R that take a row of indices hkl to hkl R, shape (count, 3, 3).

    Raises:
        InputError: the grid is not symmetric about 0, or an operation takes voxels between others.
    """
    if not grid.folded:
        raise InputError("--laue: the grid of the volume is not symmetric about 0 0 0; leave the option out")
    steps = np.array([step_of(axis) for axis in grid.axes])
    odd = np.array([(len(axis) - 1) % 2 for axis in grid.axes])
    weight = (voxels.count if voxels.precision is None else voxels.precision).astype(np.float32)
    sums = voxels.intensity * weight
    total, summed = np.zeros(voxels.shape, np.float32), np.zeros(voxels.shape, np.float32)
    count = np.zeros(voxels.shape, np.uint16)
    seen: set[tuple[int, ...]] = set()
    for rotation in np.asarray(rotations, dtype=np.int64):
        key = max(tuple(rotation.reshape(-1)), tuple(-rotation.reshape(-1)))
        if key in seen:
            continue  # Friedel mates are averaged already
        seen.add(key)
        whole = rotate_voxels(rotation, steps, odd, _SAME_STEP)
        if whole is None:
            raise InputError(
                "--laue: an operation of this class takes voxels between others of the grid; expected equal steps, and"
                " 0 on a voxel, along axes that it exchanges, or no --laue"
            )
        _add_equivalents(voxels, grid, (sums, weight), whole, (total, summed), count)
    divisor = np.where(summed > 0, summed, 1)
    precision = None if voxels.precision is None else summed
    mean = (total / divisor).astype(np.float32)
    shares = np.full(voxels.shape[0], 1 / len(seen))
    return Voxels(voxels.axes, mean, np.minimum(count, 255).astype(np.uint8), precision, shares)


def _add_equivalents(
    voxels: Voxels,
    grid: Grid,
    values: tuple[Float32, Float32],
    rotation: Integers,
    totals: tuple[Float32, Float32],
    count: np.ndarray[tuple[int, ...], np.dtype[np.uint16]],
) -> None:
    """Add the values at Q R, or at -Q R where those lie on the fitted half, to the totals at Q."""
    size = np.array(voxels.shape)
    # Twice the indices of voxels from the origin.
    last = np.array(grid.shape) - 1
    low = np.array([2 * grid.first - last[0], -last[1], -last[2]])
    second, third = (low[axis] + 2 * np.arange(size[axis]) for axis in (1, 2))
    for layer in range(size[0]):
        first = low[0] + 2 * layer
        place = [
            first * rotation[0, axis] + second[:, None] * rotation[1, axis] + third[None] * rotation[2, axis]
            for axis in range(3)
        ]
        sign = np.where(place[0] < 0, -1, 1)
        where = [(sign * each - low[axis]) // 2 for axis, each in enumerate(place)]
        inside = np.logical_and.reduce([(each >= 0) & (each < size[axis]) for axis, each in enumerate(where)])
        chosen = tuple(np.where(inside, each, 0) for each in where)
        for total, source in zip(totals, values, strict=True):
            total[layer] += np.where(inside, source[chosen], 0)
        count[layer] += np.where(inside, voxels.count[chosen], 0).astype(np.uint16)


def add_overlap(voxels: Voxels, grid: Grid) -> Voxels:
    """Add the layers beyond h = 0 that are fitted as well, so that the fit knows both sides of it to be equal.

    What is in two voxels then counts half in each.

    Args:
        voxels: half of a folded grid, or a whole one, which is returned as it is.
        grid: the grid.
    """
    more = grid.overlap
    if not more:
        return voxels
    own = len(grid.axes[0]) % 2  # the layer h = 0 is its own mate
    shares = np.ones(voxels.shape[0]) if voxels.shares is None else voxels.shares.copy()
    shares[own : own + more] /= 2

    def extend(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.concatenate([turn(values[own : own + more]), values])

    return Voxels(
        (grid.axes[0][grid.first - more :], *voxels.axes[1:]),
        extend(voxels.intensity),
        extend(voxels.count),
        None if voxels.precision is None else extend(voxels.precision),
        np.concatenate([shares[own : own + more][::-1], shares]),
    )
