"""From a user's grid to the square Cartesian grid the networks see, and back.

Both grids are affine in their pixel indices, so one grid's indices are an affine function of the other's.
Where a target pixel is wider than a source pixel, the source is averaged over it, else it is interpolated by cubic
splines: straight lines between pixels would blur a coarse grid so that no lattice explains it. Missing pixels take
no part.
"""

from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.physics import Plane
from dsfunet.planes.measured import MeasuredPlane
from dsfunet.planes.preprocessing import PIXELS, measured_pixels

SMALLEST_SQUARE, LARGEST_SQUARE = 6.0, 8.8
"""Half sides of the squares that the networks are shown [1/Angstrom]; they were trained on 6 to 8.

The networks' answer to a plane out to 3 is tens of times as wrong where it fills the square as with missing pixels
around it out to 6; that to one out to 12 is four to five times as wrong, within 8, as that to its part out to 8
(benchmarks/ranges.md).
"""

# A target pixel wider than this [source pixels] is averaged over; below, interpolation suffices.
_AVERAGE_ABOVE = 1.5
_HALF = 0.5 * (1 - 1e-9)


class Grid(Protocol):
    """A grid of pixels that can be resampled, such as `PlaneGrid` or `dsfunet.planes.geometry.Geometry`."""

    @property
    def plane(self) -> Plane:
        """Where the pixels lie [1/Angstrom]."""
        ...

    def square(self, q_max_inv_angstrom: float) -> Plane:
        """A square Cartesian plane of 256 x 256 pixels in the same plane of Q, about the grid's zero."""
        ...


def to_network_grid(measured: MeasuredPlane, whole: bool = False) -> tuple[Array, Plane | None]:
    """A measured plane on the 256 x 256 grid of the networks, NaN where missing, and where that grid lies.

    As `to_network_plane`; a plane that has no axes keeps its pixels.

    Raises:
        InputError: nothing was measured, or a plane without axes is not 256 x 256.
    """
    if measured.grid is not None:
        return to_network_plane(measured.intensity, measured.grid, whole)
    mask = measured_pixels(measured.intensity)
    _check_any_measured(mask)
    if mask.shape != (PIXELS, PIXELS):
        raise InputError(f"plane of shape {mask.shape} without axes: expected {(PIXELS, PIXELS)}")
    return np.where(mask, measured.intensity, np.nan), None


def to_network_plane(intensity: Array, grid: Grid, whole: bool = False) -> tuple[Array, Plane]:
    """Intensities (n, m) on a grid, brought to the 256 x 256 grid of the networks, NaN where missing; and its place.

    The grid is square and Cartesian, its rows along the plane's first axis, centred as the grid's `square`, and just
    wide enough to hold every *measured* pixel; corners of an oblique grid that nobody measured do not widen it. It
    keeps to sizes that the networks were trained on: a smaller plane has missing pixels around it, and of a larger one
    that part is taken that lies nearest the centre, unless the `whole` is asked for. A plane that lies on such
    a grid already keeps its pixels. Negative intensities are missing.

    Raises:
        InputError: nothing was measured.
    """
    mask = measured_pixels(intensity)
    _check_any_measured(mask)
    intensity = np.where(mask, intensity, np.nan)
    target = _choose_network_plane(grid, mask, whole)
    if target is grid.plane:
        return intensity, target
    return interpolate(intensity, grid.plane, target), target


def _check_any_measured(mask: npt.NDArray[np.bool_]) -> None:
    if not mask.any():
        raise InputError("plane has no measured pixel: expected finite, non-negative intensities")


def to_user_grid(values: npt.NDArray[np.floating[Any]], plane: Plane | None, grid: Grid | None) -> Array:
    """Values (256, 256) on the networks' grid, brought to the user's own grid (n, m).

    `plane` is the second result of `to_network_grid`. Pixels of the user's that lie outside the networks'
    grid become NaN; unless the plane is larger than that may be, none of them was measured.
    """
    copy = np.array(values, dtype=np.float64)
    if plane is None or grid is None or plane is grid.plane:
        return copy
    return interpolate(copy, plane, grid.plane)


def interpolate(values: Array, source: Plane, target: Plane) -> Array:
    """As `resample`, but by cubic splines, within the range of the values, where nothing is missing around.

    Two pixels around; nearer to what is missing, and where pixels are averaged, it is what `resample` says.

    Raises:
        ValueError: as `resample`.
    """
    matrix, offset = _map_indices(source, target)
    measured = np.isfinite(values)
    fine = max(map(_count_samples, matrix.T)) == 1
    if fine and measured.all() and values.shape == source.shape:  # as components are everywhere
        cubic = ndimage.affine_transform(values, matrix, offset, target.shape, order=3, mode="nearest")
        np.clip(cubic, values.min(), values.max(), out=cubic)
        cubic[~_find_inside(source, target)] = np.nan
        return np.asarray(cubic, dtype=np.float64)
    result = resample(values, source, target)
    if not fine or not measured.any():
        return result
    filled, chosen = values, np.isfinite(result)
    if not measured.all():
        nearest = ndimage.distance_transform_edt(~measured, return_distances=False, return_indices=True)
        filled = values[tuple(nearest)]
        surrounded = ndimage.binary_erosion(measured, np.ones((5, 5)), border_value=1).astype(np.float64)
        # Beyond the last pixel centres there is no more than half a pixel to go: the mask runs on, as the values do.
        here = ndimage.affine_transform(surrounded, matrix, offset, target.shape, order=1, mode="nearest")
        chosen &= here > 1 - 1e-9
    cubic = ndimage.affine_transform(filled, matrix, offset, target.shape, order=3, mode="nearest")
    result[chosen] = np.clip(cubic[chosen], filled.min(), filled.max())
    return result


@lru_cache(maxsize=8)
def _find_inside(source: Plane, target: Plane) -> npt.NDArray[np.bool_]:
    """Target pixels of which at least half lies on source pixels: where `resample` finds values if all are there."""
    matrix, offset = _map_indices(source, target)
    inside: npt.NDArray[np.bool_] = (
        _interpolate_linearly(np.ones(source.shape), matrix, offset, target.shape) >= _HALF
    )
    inside.flags.writeable = False
    return inside


def resample(values: Array, source: Plane, target: Plane) -> Array:
    """Values on one grid of pixels, found on another grid in the same plane of Q; NaN is missing on both.

    Bilinear between pixel centres, averaged over target pixels wider than 1.5 source pixels, normalised by
    the weight of the pixels that were measured, and missing where that weight is below one half.

    Raises:
        ValueError: the grids lie in different planes, or the values do not have the source's shape.
    """
    if values.shape != source.shape:
        raise ValueError(f"values of shape {values.shape}: expected {source.shape}")
    matrix, offset = _map_indices(source, target)
    measured = np.isfinite(values)
    filled, weights = np.where(measured, values, 0.0), measured.astype(np.float64)
    total, weight = np.zeros(target.shape), np.zeros(target.shape)
    samples = [_count_samples(column) for column in matrix.T]
    shifts = [(np.arange(count) + 0.5) / count - 0.5 for count in samples]
    for shift_u in shifts[0]:
        for shift_v in shifts[1]:
            shifted = offset + matrix @ np.array([shift_u, shift_v])
            total += _interpolate_linearly(filled, matrix, shifted, target.shape)
            weight += _interpolate_linearly(weights, matrix, shifted, target.shape)
    # Zeros surround the source, so half a pixel beyond its edge the weight is one half: pixels have an area.
    missing = weight < _HALF * samples[0] * samples[1]
    result: Array = np.divide(total, weight, out=np.full(target.shape, np.nan), where=~missing)
    return result


def _interpolate_linearly(values: Array, matrix: Array, offset: Array, shape: tuple[int, int]) -> Array:
    # Outside the source both values and weights are zero, so interpolation runs on over its edge.
    result: Array = ndimage.affine_transform(values, matrix, offset, shape, order=1, mode="grid-constant")
    return result


def _count_samples(step: Array) -> int:
    """How many samples a target pixel needs along one of its axes, whose step is given in source pixels."""
    width = float(np.abs(step).max())
    return int(np.ceil(width)) if width > _AVERAGE_ABOVE else 1


def _map_indices(source: Plane, target: Plane) -> tuple[Array, Array]:
    """(matrix, offset) with source index = matrix @ target index + offset, indices counted from 0."""
    steps: Array = np.stack([source.step_u, source.step_v], axis=1)
    columns = np.stack([target.step_u, target.step_v, target.origin - source.origin], axis=1)
    solution: Array = np.asarray(np.linalg.lstsq(steps, columns, rcond=None)[0], dtype=np.float64)
    if np.abs(steps @ solution - columns).max() > 1e-6 * np.abs(steps).max():
        raise ValueError("the two grids lie in different planes of Q")
    matrix: Array = solution[:, :2]
    half_source, half_target = (np.array(plane.shape) // 2 for plane in (source, target))
    return matrix, solution[:, 2] + half_source - matrix @ half_target


def find_measured_bounds(grid: Grid, mask: npt.NDArray[np.bool_]) -> tuple[Array, Array]:
    """Lowest and highest coordinate of what was measured, along rows and columns of the grid's `square`, shape (2,).

    Counted from its centre [1/Angstrom]; `mask` (n, m) is True somewhere.
    """
    own, unit = grid.plane, grid.square(PIXELS / 2)
    axes = np.stack([unit.step_u, unit.step_v], axis=1)
    matrix = np.stack([own.step_u, own.step_v]) @ axes
    # An extreme of a linear function over a row is at the row's first or last measured pixel.
    rows = np.flatnonzero(mask.any(axis=1))
    first = mask[rows].argmax(axis=1)
    last = mask.shape[1] - 1 - mask[rows, ::-1].argmax(axis=1)
    i, j = own.index_u[np.tile(rows, 2)], own.index_v[np.concatenate([first, last])]
    places = (own.origin - unit.origin) @ axes + np.outer(i, matrix[0]) + np.outer(j, matrix[1])
    # Out to the edges of those pixels, not to their centres: on a coarse grid the difference is whole pixels.
    half_pixel = 0.5 * np.abs(matrix).sum(axis=0)
    return places.min(axis=0) - half_pixel, places.max(axis=0) + half_pixel


def is_network_grid(grid: Grid, whole: bool = False) -> bool:
    """Whether a grid is one that the networks are shown as it is: square, Cartesian, of a size that they know."""
    own = grid.plane
    if own.shape != (PIXELS, PIXELS):
        return False
    unit = grid.square(PIXELS / 2)  # steps of 1/Angstrom
    matrix = np.stack([own.step_u, own.step_v]) @ np.stack([unit.step_u, unit.step_v], axis=1)
    step = _step_along_rows(own, unit)
    square = np.allclose(matrix, step * np.eye(2), atol=1e-6 * step)
    fits = whole or SMALLEST_SQUARE <= step * PIXELS / 2 * (1 + 1e-9) <= LARGEST_SQUARE * (1 + 2e-9)
    return bool(square and fits and np.allclose(own.origin, unit.origin, atol=1e-6 * step))


def _step_along_rows(own: Plane, unit: Plane) -> float:
    return float(np.abs(own.step_u @ unit.step_u))


def _choose_network_plane(grid: Grid, mask: npt.NDArray[np.bool_], whole: bool) -> Plane:
    """The networks' grid for the measured pixels of a grid, or the grid's own if it is one already."""
    if is_network_grid(grid, whole):
        return grid.plane
    unit = grid.square(PIXELS / 2)  # steps of 1/Angstrom
    step = _step_along_rows(grid.plane, unit)
    low, high = find_measured_bounds(grid, mask)
    extent = float(max(np.abs(low).max(), np.abs(high).max()))
    # The last pixel of 256 lies 127 steps from the centre.
    q_max = max(extent, step) * (PIXELS // 2) / (PIXELS // 2 - 1)
    if whole:
        return grid.square(q_max)
    if q_max <= LARGEST_SQUARE:
        return grid.square(max(q_max, SMALLEST_SQUARE))
    # What was measured to one side of the centre is looked at there; of what is wider than the square, the part
    # nearest the centre.
    reach = LARGEST_SQUARE * (PIXELS // 2 - 1) / (PIXELS // 2)
    middle = (low + high) / 2
    shift = np.where(
        high - low > 2 * reach, np.clip(0.0, low + reach, np.maximum(high, low + 2 * reach) - reach), middle
    )
    shift = np.where(np.maximum(-low, high) <= reach, 0.0, shift)
    extent = min(float(np.maximum(high - shift, shift - low).max()), reach)
    target = grid.square(max(extent * LARGEST_SQUARE / reach, SMALLEST_SQUARE))
    origin = target.origin + shift[0] * unit.step_u + shift[1] * unit.step_v
    return Plane(origin, target.step_u, target.step_v, target.shape)
