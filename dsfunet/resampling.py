"""From a user's grid to the square Cartesian grid the networks see, and back.

Both grids are affine in their pixel indices, so one grid's indices are an affine function of the other's.
Where a target pixel is wider than a source pixel, the source is averaged over it; missing pixels take no
part.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from dsfunet.errors import InputError
from dsfunet.io.measured import MeasuredPlane, PlaneGrid
from dsfunet.physics import Plane, plane_through
from dsfunet.preprocessing import PIXELS, measured_pixels

Array = npt.NDArray[np.float64]

# A target pixel wider than this [source pixels] is averaged over; below, interpolation suffices.
_AVERAGE_ABOVE = 1.5


def to_network_grid(measured: MeasuredPlane) -> tuple[Array, Plane | None]:
    """A measured plane on the 256 x 256 grid of the networks, NaN where missing, and where that grid lies.

    The grid is square and Cartesian, its rows along the plane's first axis, centred as in `plane_through`,
    and just wide enough to hold every *measured* pixel; corners of an oblique grid that nobody measured do
    not widen it. A plane that has no axes, or lies on such a grid already, keeps its pixels. Negative
    intensities are missing.

    Raises:
        InputError: nothing was measured, or a plane without axes is not 256 x 256.
    """
    mask = measured_pixels(measured.intensity)
    if not mask.any():
        raise InputError("plane has no measured pixel: expected finite, non-negative intensities")
    intensity = np.where(mask, measured.intensity, np.nan)
    if measured.grid is None:
        if intensity.shape != (PIXELS, PIXELS):
            raise InputError(f"plane of shape {intensity.shape} without axes: expected {(PIXELS, PIXELS)}")
        return intensity, None
    target = _network_plane(measured.grid, mask)
    if target is measured.grid.plane:
        return intensity, target
    return resample(intensity, measured.grid.plane, target), target


def to_user_grid(values: npt.NDArray[np.floating[Any]], plane: Plane | None, grid: PlaneGrid | None) -> Array:
    """Values (256, 256) on the networks' grid, brought to the user's own grid (n, m).

    `plane` is the second result of `to_network_grid`. Pixels of the user's that lie outside the networks'
    grid, none of which was measured, become NaN.
    """
    copy = np.array(values, dtype=np.float64)
    if plane is None or grid is None or plane is grid.plane:
        return copy
    return resample(copy, plane, grid.plane)


def resample(values: Array, source: Plane, target: Plane) -> Array:
    """Values on one grid of pixels, found on another grid in the same plane of Q; NaN is missing on both.

    Bilinear between pixel centres, averaged over target pixels wider than 1.5 source pixels, normalised by
    the weight of the pixels that were measured, and missing where that weight is below one half.

    Raises:
        ValueError: the grids lie in different planes, or the values do not have the source's shape.
    """
    if values.shape != source.shape:
        raise ValueError(f"values of shape {values.shape}: expected {source.shape}")
    matrix, offset = _index_map(source, target)
    measured = np.isfinite(values)
    filled, weights = np.where(measured, values, 0.0), measured.astype(np.float64)
    total, weight = np.zeros(target.shape), np.zeros(target.shape)
    samples = [_samples(column) for column in matrix.T]
    shifts = [(np.arange(count) + 0.5) / count - 0.5 for count in samples]
    for shift_u in shifts[0]:
        for shift_v in shifts[1]:
            shifted = offset + matrix @ np.array([shift_u, shift_v])
            total += _bilinear(filled, matrix, shifted, target.shape)
            weight += _bilinear(weights, matrix, shifted, target.shape)
    # Zeros surround the source, so half a pixel beyond its edge the weight is one half: pixels have an area.
    missing = weight < 0.5 * samples[0] * samples[1] * (1 - 1e-9)
    result: Array = np.divide(total, weight, out=np.full(target.shape, np.nan), where=~missing)
    return result


def _bilinear(values: Array, matrix: Array, offset: Array, shape: tuple[int, int]) -> Array:
    # Outside the source both values and weights are zero, so interpolation runs on over its edge.
    result: Array = ndimage.affine_transform(values, matrix, offset, shape, order=1, mode="grid-constant")
    return result


def _samples(step: Array) -> int:
    """How many samples a target pixel needs along one of its axes, whose step is given in source pixels."""
    width = float(np.abs(step).max())
    return int(np.ceil(width)) if width > _AVERAGE_ABOVE else 1


def _index_map(source: Plane, target: Plane) -> tuple[Array, Array]:
    """(matrix, offset) with source index = matrix @ target index + offset, indices counted from 0."""
    steps: Array = np.stack([source.step_u, source.step_v], axis=1)
    columns = np.stack([target.step_u, target.step_v, target.origin - source.origin], axis=1)
    solution: Array = np.asarray(np.linalg.lstsq(steps, columns, rcond=None)[0], dtype=np.float64)
    if np.abs(steps @ solution - columns).max() > 1e-6 * np.abs(steps).max():
        raise ValueError("the two grids lie in different planes of Q")
    matrix: Array = solution[:, :2]
    half_source, half_target = (np.array(plane.shape) // 2 for plane in (source, target))
    return matrix, solution[:, 2] + half_source - matrix @ half_target


def _network_plane(grid: PlaneGrid, mask: npt.NDArray[np.bool_]) -> Plane:
    """The square Cartesian plane that holds every measured pixel, or the grid's own if it is one already."""
    own = grid.plane
    unit = plane_through(grid.cell, grid.name.axes, grid.name.offset, PIXELS / 2)  # steps of 1/Angstrom
    matrix = np.stack(
        [[step @ axis for axis in (unit.step_u, unit.step_v)] for step in (own.step_u, own.step_v)]
    )
    step = float(np.abs(matrix[0, 0]))
    square = own.shape == (PIXELS, PIXELS) and np.allclose(matrix, step * np.eye(2), atol=1e-6 * step)
    if square and np.allclose(own.origin, unit.origin, atol=1e-6 * step):
        return own
    # An extreme of a linear function over a row is at the row's first or last measured pixel.
    rows = np.flatnonzero(mask.any(axis=1))
    first = mask[rows].argmax(axis=1)
    last = mask.shape[1] - 1 - mask[rows, ::-1].argmax(axis=1)
    i, j = own.index_u[np.tile(rows, 2)], own.index_v[np.concatenate([first, last])]
    centre = np.array([(own.origin - unit.origin) @ axis for axis in (unit.step_u, unit.step_v)])
    # Out to the edges of those pixels, not to their centres: on a coarse grid the difference is whole pixels.
    half_pixel = 0.5 * np.abs(matrix).sum(axis=0)
    extent = float((np.abs(centre + np.outer(i, matrix[0]) + np.outer(j, matrix[1])) + half_pixel).max())
    # The last pixel of 256 lies 127 steps from the centre.
    q_max = max(extent, step) * (PIXELS // 2) / (PIXELS // 2 - 1)
    return plane_through(grid.cell, grid.name.axes, grid.name.offset, q_max)
