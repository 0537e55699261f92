"""Resampling from the user's grid to the square Cartesian grid of the networks, and back.

Both grids are affine in their pixel indices, so the indices of one are an affine function of those of the other. Where
a target pixel is wider than 1.5 source pixels, the source is averaged over it; otherwise it is interpolated by cubic
splines, because linear interpolation would blur a coarse grid so much that no lattice fits it. Missing pixels are
ignored.
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
"""Smallest and largest half side of the square that the networks see [1/Angstrom]; they were trained on 6 to 8.

If a plane out to 3 fills the square, the error is tens of times as large as with missing pixels around it out to 6. If
a plane out to 12 fills the square, the error within 8 is four to five times that of the part out to 8 alone
(benchmarks/ranges.md).
"""

# The source is averaged over target pixels wider than this [source pixels], and interpolated in narrower ones.
_AVERAGE_ABOVE = 1.5
# Where target pixels are at least twice as wide as this [source pixels], blocks of the source are averaged first.
_SAMPLES_KEPT = 4.0
_HALF = 0.5 * (1 - 1e-9)


class Grid(Protocol):
    """A grid of pixels that can be resampled, such as `PlaneGrid` or `dsfunet.planes.geometry.Geometry`."""

    @property
    def plane(self) -> Plane:
        """The pixels in Cartesian coordinates [1/Angstrom]."""
        ...

    def square(self, q_max_inv_angstrom: float) -> Plane:
        """Return a square Cartesian plane of 256 x 256 pixels in the same plane of Q, centred on the grid's zero."""
        ...


def to_network_grid(measured: MeasuredPlane, whole: bool = False) -> tuple[Array, Plane | None]:
    """Resample a measured plane to the 256 x 256 grid of the networks, as `to_network_plane` does.

    A plane without axes must have 256 x 256 pixels and keeps them; its place is then None.

    Returns:
        the intensities, shape (256, 256), NaN where missing; and the place of the grid in reciprocal space.

    Raises:
        InputError: nothing was measured, or a plane without axes is not 256 x 256.
    """
    if measured.grid is not None:
        return to_network_plane(measured.intensity, measured.grid, whole)
    mask = measured_pixels(measured.intensity)
    _check_any_measured(mask)
    if mask.shape != (PIXELS, PIXELS):
        raise InputError(
            f"the plane has shape {mask.shape} and no axes; expected {(PIXELS, PIXELS)}, or a plane with axes"
        )
    return np.where(mask, measured.intensity, np.nan), None


def to_network_plane(intensity: Array, grid: Grid, whole: bool = False) -> tuple[Array, Plane]:
    """Resample intensities to the 256 x 256 grid of the networks.

    The grid is square and Cartesian, with its rows along the first axis of the plane and its centre at that of
    `grid.square`. It is just wide enough for every *measured* pixel; missing corners of an oblique grid do not widen
    it. Its half side stays between SMALLEST_SQUARE and LARGEST_SQUARE: a smaller plane gets missing pixels around it,
    and a larger one is cut to the part nearest the centre, unless `whole` is True. A plane that already lies on such a
    grid keeps its pixels.

    Args:
        intensity: intensities, shape (n, m); NaN and negative values are missing.
        grid: where the pixels lie.
        whole: keep all of a plane that is larger than LARGEST_SQUARE.

    Returns:
        the intensities, shape (256, 256), NaN where missing; and the place of the grid in reciprocal space.

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
        raise InputError("the plane has no measured pixel; expected finite, non-negative intensities")


def to_user_grid(values: npt.NDArray[np.floating[Any]], plane: Plane | None, grid: Grid | None) -> Array:
    """Resample values from the grid of the networks back to the user's grid.

    Args:
        values: values on the networks' grid, shape (256, 256).
        plane: the place of that grid, the second result of `to_network_grid`.
        grid: the user's grid; None, like `plane`, for a plane without axes.

    Returns:
        the values on the user's grid, shape (n, m); NaN outside the networks' grid. Measured pixels lie outside it only
        if the plane was cut because it was too large.
    """
    copy = np.array(values, dtype=np.float64)
    if plane is None or grid is None or plane is grid.plane:
        return copy
    return interpolate(copy, plane, grid.plane)


def interpolate(values: Array, source: Plane, target: Plane) -> Array:
    """Resample values as `resample` does, but by cubic splines wherever nothing is missing within two pixels.

    Nearer to missing pixels, and where pixels are averaged, the result is that of `resample`. Splines are clipped to
    the range of the values.

    Raises:
        ValueError: as `resample`.
    """
    matrix, offset = _map_indices(source, target)
    measured = np.isfinite(values)
    fine = max(map(_count_samples, matrix.T)) == 1
    if fine and measured.all() and values.shape == source.shape:  # components have no missing pixels
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
        # At most half a pixel lies beyond the outermost pixel centres: the mask is continued there like the values.
        here = ndimage.affine_transform(surrounded, matrix, offset, target.shape, order=1, mode="nearest")
        chosen &= here > 1 - 1e-9
    cubic = ndimage.affine_transform(filled, matrix, offset, target.shape, order=3, mode="nearest")
    result[chosen] = np.clip(cubic[chosen], filled.min(), filled.max())
    return result


@lru_cache(maxsize=8)
def _find_inside(source: Plane, target: Plane) -> npt.NDArray[np.bool_]:
    """Find the target pixels at least half of which lies on source pixels, where `resample` gives values."""
    matrix, offset = _map_indices(source, target)
    inside: npt.NDArray[np.bool_] = (
        _interpolate_linearly(np.ones(source.shape), matrix, offset, target.shape) >= _HALF
    )
    inside.flags.writeable = False
    return inside


def resample(values: Array, source: Plane, target: Plane) -> Array:
    """Resample values from one grid of pixels to another in the same plane of Q; NaN is missing in both.

    Values are interpolated bilinearly between pixel centres and averaged over target pixels wider than 1.5 source
    pixels. They are normalised by the weight of the measured pixels, and missing where that weight is below one half.

    Args:
        values: values on the source grid.
        source: the grid of the values.
        target: the grid of the result.

    Raises:
        ValueError: the grids lie in different planes, or the values do not have the shape of the source.
    """
    if values.shape != source.shape:
        raise ValueError(f"the values have shape {values.shape}; expected {source.shape}")
    matrix, offset = _map_indices(source, target)
    measured = np.isfinite(values)
    filled, weights = np.where(measured, values, 0.0), measured.astype(np.float64)
    # The number of samples would grow with the square of the width, to minutes for a plane of few cells.
    widths = np.array([_choose_block(float(width)) for width in np.abs(matrix).max(axis=1)])
    if widths.max() > 1:
        filled, weights = _average_blocks(filled, widths), _average_blocks(weights, widths)
        matrix, offset = matrix / widths[:, None], (offset - (widths - 1) / 2) / widths
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


def _choose_block(width: float) -> int:
    """Choose how many source pixels are averaged along an axis where target pixels have this width [source pixels]."""
    return int(width // _SAMPLES_KEPT) if width >= 2 * _SAMPLES_KEPT else 1


def _average_blocks(values: Array, widths: npt.NDArray[np.int_]) -> Array:
    """Average an array (n, m) over blocks of some numbers of rows and columns; incomplete blocks are filled with 0."""
    counts = [-(-count // int(width)) for count, width in zip(values.shape, widths, strict=True)]
    padding = [(0, n * int(w) - count) for n, w, count in zip(counts, widths, values.shape, strict=True)]
    blocks = np.pad(values, padding).reshape(counts[0], int(widths[0]), counts[1], int(widths[1]))
    return np.asarray(blocks.mean(axis=(1, 3)))


def _interpolate_linearly(values: Array, matrix: Array, offset: Array, shape: tuple[int, int]) -> Array:
    # Outside the source both values and weights are zero, so interpolation continues across its edge.
    result: Array = ndimage.affine_transform(values, matrix, offset, shape, order=1, mode="grid-constant")
    return result


def _count_samples(step: Array) -> int:
    """Count the samples that a target pixel needs along one of its axes, whose step is given in source pixels."""
    width = float(np.abs(step).max())
    return int(np.ceil(width)) if width > _AVERAGE_ABOVE else 1


def _map_indices(source: Plane, target: Plane) -> tuple[Array, Array]:
    """Return (matrix, offset) with source index = matrix @ target index + offset, indices counted from 0."""
    steps: Array = np.stack([source.step_u, source.step_v], axis=1)
    columns = np.stack([target.step_u, target.step_v, target.origin - source.origin], axis=1)
    solution: Array = np.asarray(np.linalg.lstsq(steps, columns, rcond=None)[0], dtype=np.float64)
    if np.abs(steps @ solution - columns).max() > 1e-6 * np.abs(steps).max():
        raise ValueError("the two grids lie in different planes of Q; expected two grids in one plane")
    matrix: Array = solution[:, :2]
    half_source, half_target = (np.array(plane.shape) // 2 for plane in (source, target))
    return matrix, solution[:, 2] + half_source - matrix @ half_target


def find_measured_bounds(grid: Grid, mask: npt.NDArray[np.bool_]) -> tuple[Array, Array]:
    """Find the range of the measured pixels along the rows and the columns of the grid's `square`.

    Args:
        grid: where the pixels lie.
        mask: True where measured, shape (n, m), with at least one True.

    Returns:
        the lowest and the highest coordinates, counted from the centre of the square, each of shape (2,) [1/Angstrom].
    """
    own, unit = grid.plane, grid.square(PIXELS / 2)
    axes = np.stack([unit.step_u, unit.step_v], axis=1)
    matrix = np.stack([own.step_u, own.step_v]) @ axes
    # A linear function has its extremes over a row at the first or last measured pixel of the row.
    rows = np.flatnonzero(mask.any(axis=1))
    first = mask[rows].argmax(axis=1)
    last = mask.shape[1] - 1 - mask[rows, ::-1].argmax(axis=1)
    i, j = own.index_u[np.tile(rows, 2)], own.index_v[np.concatenate([first, last])]
    places = (own.origin - unit.origin) @ axes + np.outer(i, matrix[0]) + np.outer(j, matrix[1])
    # The range ends at the edges of those pixels, not at their centres: on a coarse grid this matters.
    half_pixel = 0.5 * np.abs(matrix).sum(axis=0)
    return places.min(axis=0) - half_pixel, places.max(axis=0) + half_pixel


def is_network_grid(grid: Grid, whole: bool = False) -> bool:
    """Whether the networks can use a grid as it is: 256 x 256 square Cartesian pixels, in the range of sizes."""
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
    """Choose the networks' grid for the measured pixels of a grid, or the grid itself if it is suitable already."""
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
    # If everything was measured on one side of the centre, the square moves there. If the measured part is wider than
    # the square, the part nearest the centre is used.
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
