"""Planes spanned by two vectors of reciprocal space, interpolated from a volume that is read in boxes."""

from itertools import combinations, product

import numpy as np

from dsfunet._typing import Array, Integers
from dsfunet.errors import InputError
from dsfunet.io.volume import (
    MOST_PIXELS,
    Box,
    CheckGrid,
    Volume,
    VolumeAxes,
    accept_any_grid,
    to_intensities,
)
from dsfunet.planes.measured import MeasuredPlane, PlaneGrid
from dsfunet.planes.names import AnyPlaneName, PlaneName, SpannedPlaneName
from dsfunet.planes.preprocessing import measured_pixels

MOST_VOXELS = 8_000_000
"""Number of voxels read at a time, 64 MB as float64; larger boxes are divided."""

_STRIP_PIXELS = 2**18

# Rounding error [voxels] of the place of a pixel that lies on the outermost voxels.
_ROUNDING = 1e-6


def read_from_volume(
    volume: Volume, name: AnyPlaneName | None = None, check: CheckGrid = accept_any_grid
) -> MeasuredPlane:
    """Read a plane of a volume, whatever kind either is of.

    Args:
        volume: the open volume.
        name: the plane; None for the only one of a file.
        check: function that is called with the place of the plane before its pixels are read, and may refuse it.

    Raises:
        InputError: as `Volume.read_plane` and `read_oblique_plane`; or the file holds another plane alone.
    """
    if volume.spanned is not None:
        return _read_spanned_plane(volume, volume.spanned, name, check)
    if isinstance(name, SpannedPlaneName):
        return read_oblique_plane(volume, name, check=check)
    return volume.read_plane(name, check)


def _read_spanned_plane(
    volume: Volume, spanned: SpannedPlaneName, name: AnyPlaneName | None, check: CheckGrid
) -> MeasuredPlane:
    """Read the plane of a file that holds one plane spanned by two vectors, on the file's own grid."""
    if name is not None and not _are_one_plane(spanned, name):
        raise InputError(f"plane {name}: the file holds plane {spanned} alone; request that plane or none")
    if volume.cell is None:
        raise volume.make_cell_error()
    grid = PlaneGrid(volume.cell, spanned, volume.axes.coordinates(0), volume.axes.coordinates(1))
    check(grid)
    intensity, sigma = volume.read_layers(PlaneName((0, 1), 0.0), {0: 1.0})
    centring, remarks = volume.find_centring()
    notes = (*volume.notes, *volume.remarks(), *remarks)
    return MeasuredPlane(intensity, grid, notes, sigma, centring=centring)


def _are_one_plane(first: AnyPlaneName, second: AnyPlaneName) -> bool:
    """Whether two names stand for the same points, whatever the vectors along which they count."""
    normal = np.cross(*first.vectors)
    normal = normal / np.linalg.norm(normal)
    ways = np.vstack([second.vectors, second.origin - first.origin])
    return bool((np.abs(ways @ normal) < 1e-6 * np.maximum(np.linalg.norm(ways, axis=1), 1.0)).all())


def read_oblique_plane(
    volume: Volume,
    name: SpannedPlaneName,
    most_voxels: int = MOST_VOXELS,
    check: CheckGrid = accept_any_grid,
) -> MeasuredPlane:
    """Read a plane spanned by two vectors from a volume, on a grid as fine as the voxels.

    Along each vector, pixels lie where the fastest changing index is that of a voxel centre, as far as the plane stays
    inside the volume; so pixels coincide with voxels wherever the plane passes through them. Interpolation is
    trilinear and ignores voxels that are NaN or negative; where the remaining weight is below one half, the pixel is
    NaN. Only the part of the volume around the plane is read.

    Args:
        volume: the open volume.
        name: the plane.
        most_voxels: largest number of voxels to read at a time; boxes two voxels thick may have more.
        check: as for `read_from_volume`.

    Raises:
        InputError: the volume has no cell, the plane does not pass through it, or the plane has too many pixels.
    """
    if volume.cell is None:
        raise volume.make_cell_error()
    axes = volume.axes
    rows, columns = _choose_coordinates(axes, name)
    grid = PlaneGrid(volume.cell, name, rows, columns)
    if len(rows) * len(columns) > MOST_PIXELS:
        raise InputError(
            f"plane {name}: the plane has {len(rows)} x {len(columns)} pixels; expected at most {MOST_PIXELS:,}"
        )
    check(grid)
    shape = grid.shape
    intensity = np.full(shape, np.nan)
    sigma = None if volume.read_sigma is None else np.full(shape, np.nan)
    between = False
    # Some rows at a time, because the coordinates of all pixels take ten times the memory of their intensities.
    height = max(_STRIP_PIXELS // len(columns), 1)
    for begin in range(0, len(rows), height):
        part = slice(begin, begin + height)
        hkl = name.origin + rows[part, None, None] * name.vectors[0] + columns[:, None] * name.vectors[1]
        its_sigma = None if sigma is None else sigma[part].reshape(-1)
        with np.errstate(all="ignore"):  # the largest numbers overflow and are then not finite
            between |= _fill_pixels(
                volume, hkl.reshape(-1, 3), most_voxels, intensity[part].reshape(-1), its_sigma
            )
    centring, remarks = volume.find_centring()
    notes = [*volume.notes, *volume.remarks(), *remarks]
    if between:
        notes.append(f"plane {name}: the pixels lie between voxels, so intensities are interpolated")
    return MeasuredPlane(
        to_intensities(intensity),
        grid,
        tuple(notes),
        None if sigma is None else to_intensities(sigma),
        interpolated=between,
        centring=centring,
    )


def _fill_pixels(volume: Volume, hkl: Array, most_voxels: int, intensity: Array, sigma: Array | None) -> bool:
    """Fill in the pixels (n,) at indices `hkl` (n, 3) of a volume; return whether any lies between voxels."""
    axes = volume.axes
    places = (hkl - np.array(axes.lower)) / _steps_or_one(axes)
    last = np.array(axes.counts) - 1
    inside = ((places >= -_ROUNDING) & (places <= last + _ROUNDING)).all(axis=1)
    # A pixel that differs from a voxel by rounding alone is moved onto it: a neighbour without weight may be missing.
    near = np.round(places)
    places = np.where(np.abs(places - near) < _ROUNDING, near, places)
    order = [int(axis) for axis in np.argsort(axes.dimensions)]
    for chosen in _divide(np.flatnonzero(inside), np.floor(places), order, most_voxels):
        _interpolate(volume, places, chosen, last, intensity, sigma)
    return not np.array_equal(places[inside], near[inside])


def _choose_coordinates(axes: VolumeAxes, name: SpannedPlaneName) -> tuple[Array, Array]:
    """Choose the coordinates of rows and columns [r.l.u.]: one voxel per step along one axis, less along the others."""
    corners = _find_corners(axes, name)
    found = []
    for values, vector in zip(corners.T, name.vectors, strict=True):
        fastest = int(np.argmax(np.abs(vector / _steps_or_one(axes))))
        on_voxels = (axes.coordinates(fastest) - name.origin[fastest]) / vector[fastest]
        on_voxels.sort()
        slack = _ROUNDING * abs(axes.steps[fastest] / vector[fastest])
        chosen = on_voxels[(on_voxels >= values.min() - slack) & (on_voxels <= values.max() + slack)]
        if len(chosen) < 2:
            raise _make_outside_error(axes, name)
        found.append(chosen)
    return found[0], found[1]


def _steps_or_one(axes: VolumeAxes) -> Array:
    """Return the steps along h, k, l; 1 for a single layer, which has no step."""
    return np.array([step if count > 1 else 1.0 for step, count in zip(axes.steps, axes.counts, strict=True)])


def _find_corners(axes: VolumeAxes, name: SpannedPlaneName) -> Array:
    """Find the corners of the polygon where the plane cuts the volume, as coordinates along both vectors, (k, 2)."""
    ends = np.array([[coordinates[0], coordinates[-1]] for coordinates in map(axes.coordinates, range(3))])
    ends.sort(axis=1)
    slack = _ROUNDING * np.abs(_steps_or_one(axes))
    # Each face of the volume is a line on the plane: a . (u, v) = b.
    lines = [
        (name.vectors[:, axis], end - name.origin[axis])
        for axis in range(3)
        for end in ends[axis]
        if name.vectors[:, axis].any()
    ]
    corners = []
    for (a, b), (c, d) in combinations(lines, 2):
        matrix = np.array([a, c])
        if abs(np.linalg.det(matrix)) > 1e-9 * np.linalg.norm(a) * np.linalg.norm(c):
            place = np.linalg.solve(matrix, [b, d])
            point = name.origin + place @ name.vectors
            if ((point >= ends[:, 0] - slack) & (point <= ends[:, 1] + slack)).all():
                corners.append(place)
    if len(corners) < 3:
        raise _make_outside_error(axes, name)
    return np.array(corners)


def _make_outside_error(axes: VolumeAxes, name: SpannedPlaneName) -> InputError:
    held = ", ".join(
        f"{label} = {min(values):g} to {max(values):g}"
        for label, values in zip("hkl", map(axes.coordinates, range(3)), strict=True)
    )
    return InputError(f"plane {name}: the plane does not pass through the volume; the volume holds {held}")


def _divide(chosen: Integers, below: Array, order: list[int], most_voxels: int) -> list[Integers]:
    """Divide pixels into groups whose voxels fit in one box, along the axis that varies slowest on disk."""
    if not len(chosen):
        return []
    low, high = below[chosen].min(axis=0), below[chosen].max(axis=0)
    if np.prod(high - low + 2) <= most_voxels:
        return [chosen]
    for axis in order:
        if high[axis] > low[axis]:
            lower = below[chosen, axis] < (low[axis] + high[axis] + 1) // 2
            halves = chosen[lower], chosen[~lower]
            return [part for half in halves for part in _divide(half, below, order, most_voxels)]
    return [chosen]


def _interpolate(
    volume: Volume, places: Array, chosen: Integers, last: Integers, intensity: Array, sigma: Array | None
) -> None:
    """Fill in the chosen pixels from one box of voxels."""
    place = places[chosen]
    below = np.clip(np.floor(place).astype(np.int64), 0, last)
    share = place - below
    above = np.minimum(below + 1, last)
    low, high = below.min(axis=0), above.max(axis=0) + 1
    box: Box = (
        slice(int(low[0]), int(high[0])),
        slice(int(low[1]), int(high[1])),
        slice(int(low[2]), int(high[2])),
    )
    values = volume.read(box)
    uncertain = volume.read_sigma(box) if volume.read_sigma is not None and sigma is not None else None
    total, variance, weight = np.zeros(len(chosen)), np.zeros(len(chosen)), np.zeros(len(chosen))
    for corner in product((False, True), repeat=3):
        index = np.where(corner, above, below) - low
        height = np.prod(np.where(corner, share, 1 - share), axis=1)
        at = (index[:, 0], index[:, 1], index[:, 2])
        value = values[at]
        height = np.where(measured_pixels(value), height, 0.0)
        total += height * np.where(height > 0, value, 0.0)
        weight += height
        if uncertain is not None:
            variance += np.square(height * np.where(height > 0, uncertain[at], 0.0))
    # As in `dsfunet.planes.resampling`, at least half of the weight must be measured.
    enough = weight >= 0.5 * (1 - 1e-9)
    intensity[chosen] = np.divide(total, weight, out=np.full(len(chosen), np.nan), where=enough)
    if sigma is not None:
        sigma[chosen] = np.divide(np.sqrt(variance), weight, out=np.full(len(chosen), np.nan), where=enough)
