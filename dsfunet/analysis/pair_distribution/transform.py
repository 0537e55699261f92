"""Fourier transform of a volume of which half is kept: one pass over the file, then one axis at a time.

With a mean of each voxel and its Friedel mate the intensity is real and even, and so is its transform. Half of the
planes in reciprocal space and half of the columns in real space are enough.
"""

import os
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import fft

from dsfunet._typing import Float32
from dsfunet.analysis.pair_distribution.grids import GridAxis
from dsfunet.analysis.pair_distribution.measured import MeasuredBlocks

_BLOCK = 4_000_000
"""Voxels in work at a time; about ten arrays of this size exist together."""

Report = Callable[[int, int], None]
"""Called with the number of planes done, and of all."""


def transform_volume(blocks: MeasuredBlocks, volume_element: float, report: Report | None = None) -> Float32:
    """Return P(u, v, w) = volume element * sum over voxels of window * I(h) cos(2 pi (h u + k v + l w)).

    Args:
        blocks: of the volume.
        volume_element: factor of the sum.
        report: called after each block.

    Returns:
        the map with the origin in the middle, shape of the real grid in the order u, v, w.
    """
    slow, middle, fast = blocks.order
    half = slow.doubled_limit // 2 + 1
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    planes = max(1, _BLOCK // (middle.length * fast.length))
    columns = max(1, _BLOCK // (max(half, slow.real_length) * (fast.reach + 1)))
    # Planes of reciprocal space with q >= 0, transformed along the other two axes; w >= 0 only.
    layers = np.empty((half, middle.real_length, fast.reach + 1), np.complex64)
    whole = half + middle.real_length
    for first in range(0, half, planes):
        count = min(planes, half - first)
        values = blocks.read(first, count)
        along = fft.rfft(values, fast.size, axis=2, workers=workers)[..., : fast.reach + 1]
        along *= _shift(fast, np.arange(fast.reach + 1))
        both = fft.fft(along, middle.size, axis=1, workers=workers, overwrite_x=True)
        layers[first : first + count] = both[:, _shown(middle)]
        layers[first : first + count] *= _shift(middle, np.arange(-middle.reach, middle.reach + 1))[:, None]
        if report is not None:
            report(first + count, whole)
    if slow.doubled_limit % 2 == 0:
        layers[0] /= 2  # its own mate
    result = np.empty((slow.real_length, middle.real_length, fast.real_length), np.float32)
    # Planes lie at q = 0, 1, 2 ... or 1/2, 3/2 ...
    start = np.exp(
        -1j * np.pi * (slow.doubled_limit % 2) * np.arange(-slow.reach, slow.reach + 1) / slow.size
    )
    start = (2 * volume_element * start).astype(np.complex64)[:, None, None]
    for first in range(0, middle.real_length, columns):
        last = min(first + columns, middle.real_length)
        through = fft.fft(layers[:, first:last], slow.size, axis=0, workers=workers)[_shown(slow)]
        through *= start
        result[:, first:last, fast.reach :] = through.real
        # P(-r) = P(r): the columns w < 0 at -v, with u reversed.
        mirrored = slice(middle.real_length - last, middle.real_length - first)
        result[:, mirrored, : fast.reach] = through.real[::-1, ::-1, :0:-1]
        if report is not None:
            report(half + last, whole)
    places = np.argsort([axis.number for axis in blocks.order])
    return result.transpose(places)


def _shown(axis: GridAxis) -> npt.NDArray[np.intp]:
    """Return where the transform has m = -M ... M."""
    return np.arange(-axis.reach, axis.reach + 1) % axis.size


def _shift(axis: GridAxis, m: npt.NDArray[np.intp]) -> npt.NDArray[np.complex64]:
    """Return the phases that move the origin from the first voxel to q = 0."""
    # Reduced modulo a whole turn first, in integers, so that nothing is lost for large grids.
    turns = (axis.doubled_limit * m) % (2 * axis.size)
    phases: npt.NDArray[np.complex64] = np.exp(1j * np.pi * turns / axis.size).astype(np.complex64)
    return phases
