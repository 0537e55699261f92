"""Symmetry averaging over the operations of a Laue class that map a plane onto itself, on the grid of the plane."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from dsfunet._typing import Array, Integers
from dsfunet.cleanup.record import StepRecord
from dsfunet.errors import InputError
from dsfunet.physics import Cell, Plane
from dsfunet.physics.symmetry import LAUE_CLASSES, laue_rotations, symmetric_metric
from dsfunet.planes.noise import estimate_noise, smooth_measured

# Distance from the centre of a pixel that counts as on it [pixels], over the whole plane.
_ON_A_PIXEL = 0.02
_SAME = 1e-6
# Disagreement that deserves a note: R_int above the first number, and above this multiple of that of noise alone.
_LARGE_R, _LARGE_RATIO = 0.1, 2.0


@dataclass(frozen=True, eq=False)
class PixelMap:
    """Map of pixels by one operation: index' = matrix @ index + offset, with indices from 0.

    Attributes:
        matrix: (2, 2).
        offset: (2,) [pixels].
        exact: whether pixels map onto pixels, so that nothing is interpolated.
    """

    matrix: Array
    offset: Array
    exact: bool

    def fetch(self, values: Array) -> Array:
        """Return the value at the mapped position of each pixel, (n, m); NaN off the plane or beside missing pixels."""
        known = np.isfinite(values)
        order = 0 if self.exact else 1

        def moved(array: Array) -> Array:
            result: Array = ndimage.affine_transform(
                array, self.matrix, self.offset, array.shape, order=order, mode="grid-constant"
            )
            return result

        weight = moved(known.astype(np.float64))
        # All pixels of an interpolation must have been measured; otherwise the edges of gaps would shift.
        return np.where(weight > 1 - 1e-9, moved(np.where(known, values, 0.0)), np.nan)


@dataclass(frozen=True, eq=False)
class Averaged:
    """Plane averaged over equivalent pixels.

    Attributes:
        intensity: (n, m), NaN where no equivalent pixel was measured.
        sigma: standard uncertainty of the mean; None if the plane has no sigma.
        redundancy: number of distinct measured pixels in each mean, (n, m).
        r_int: sum |I - <I>| / sum I over pixels with a redundancy of two or more; None if there are none.
        r_noise: R_int that the noise of single pixels alone would give; None likewise.
        operations: number of distinct operations that map the plane onto itself, including the identity.
        interpolated: number of these that do not map pixels onto pixels.
    """

    intensity: Array
    sigma: Array | None
    redundancy: Array
    r_int: float | None
    r_noise: float | None
    operations: int
    interpolated: int

    @property
    def disagrees(self) -> bool:
        """Whether equivalent pixels differ by more than noise explains."""
        if self.r_int is None:
            return False
        return self.r_int > _LARGE_R and self.r_int > _LARGE_RATIO * (self.r_noise or 0.0)


def find_pixel_maps(plane: Plane, cell: Cell, rotations: Integers) -> list[PixelMap]:
    """Find the distinct maps of the pixels of a plane onto each other, Q' = Q R with hkl as rows; identity first.

    Operations that do not map the plane onto itself are left out. Operations that move its pixels alike count once.
    """
    origin, *steps = np.stack([plane.origin, plane.step_u, plane.step_v]) @ cell.direct.T / (2 * np.pi)
    basis = np.stack(steps, axis=1)
    half = np.array(plane.shape) // 2
    size = np.array(plane.shape)
    pixel = float(np.linalg.norm(basis, axis=0).min())
    maps = [PixelMap(np.eye(2), np.zeros(2), True)]
    for rotation in rotations:
        columns = np.column_stack([(basis.T @ rotation).T, origin @ rotation - origin])
        solution = np.linalg.lstsq(basis, columns, rcond=None)[0]
        # Distance of the mapped edges from the plane.
        leaves = np.abs(basis @ solution - columns) * np.array([size[0] / 2, size[1] / 2, 1.0])
        if leaves.max() > 0.5 * pixel:
            continue
        matrix = solution[:, :2]
        offset = solution[:, 2] + half - matrix @ half
        rounded, shift = np.rint(matrix), np.rint(offset)
        error = np.abs(matrix - rounded) @ (size / 2) + np.abs(offset - shift)
        exact = bool(error.max() < _ON_A_PIXEL)
        new = PixelMap(rounded, shift, True) if exact else PixelMap(matrix, offset, False)
        if not any(
            np.allclose(new.matrix, each.matrix, atol=_SAME)
            and np.allclose(new.offset, each.offset, atol=_SAME * size.max())
            for each in maps
        ):
            maps.append(new)
    return maps


def average(intensity: Array, sigma: Array | None, maps: list[PixelMap]) -> Averaged:
    """Average measured pixels over all maps, and compare them with each other.

    The mean is not weighted by sigma: sigma of counts depends on the counts, so weights would favour low counts.
    """
    index = np.stack(np.meshgrid(*(np.arange(size) for size in intensity.shape), indexing="ij"), axis=-1)
    total, number, variance, fixed = (np.zeros(intensity.shape) for _ in range(4))
    values = []
    for each in maps:
        value = each.fetch(intensity)
        known = np.isfinite(value)
        total += np.where(known, value, 0.0)
        number += known
        if sigma is not None:
            variance += np.where(known, np.nan_to_num(each.fetch(sigma)) ** 2, 0.0)
        # A pixel on a mirror line maps onto itself and counts once.
        moved = index @ each.matrix.T + each.offset
        fixed += np.abs(moved - index).max(axis=-1) < _ON_A_PIXEL
        values.append(value)
    mean = np.divide(total, number, out=np.full(intensity.shape, np.nan), where=number > 0)
    redundancy = number / fixed
    several = redundancy > 1.5
    r_int = r_noise = None
    bottom = float(np.abs(total[several]).sum())
    if several.any() and bottom > 0:
        r_int = sum(float(np.nansum(np.abs(each - mean)[several])) for each in values) / bottom
        noise = estimate_noise(intensity)(np.nan_to_num(smooth_measured(mean, 1.0)))
        scatter = np.sqrt(2 / np.pi) * noise * np.sqrt(1 - 1 / np.maximum(redundancy, 1)) * number
        r_noise = float(scatter[several].sum()) / bottom
    deviation = None
    if sigma is not None:
        deviation = np.where(number > 0, np.sqrt(fixed * variance) / np.maximum(number, 1), np.nan)
    inexact = sum(not each.exact for each in maps)
    return Averaged(mean, deviation, redundancy, r_int, r_noise, len(maps), inexact)


def average_symmetry(
    intensity: Array, sigma: Array | None, plane: Plane, cell: Cell, laue: str, unique_axis: str | None = None
) -> tuple[Array, Array | None, StepRecord]:
    """Average a plane over its Laue class, without missing pixels; returns the plane, its sigma and the record.

    Raises:
        InputError: the class is unknown, or the cell does not obey it.
    """
    symmetric_metric(cell, laue, unique_axis)
    maps = find_pixel_maps(plane, cell, laue_rotations(laue, unique_axis))
    found = average(intensity, sigma, maps)
    measured = found.redundancy > 0
    gained = int(np.count_nonzero(measured & ~np.isfinite(intensity)))
    mean_redundancy = float(found.redundancy[measured].mean()) if measured.any() else 0.0
    sentence = (
        f"symmetry: averaged over the {found.operations} operations of {laue} in this plane, {mean_redundancy:.2g}"
        f" measured pixels per mean; {gained:,} missing pixels filled"
    )
    if found.r_int is not None:
        sentence += f"; R_int = {100 * found.r_int:.1f} %"
    notes = []
    if found.operations == 1:
        notes.append(f"symmetry: only the identity of {laue} maps this plane onto itself")
    if found.disagrees:
        fitting = _find_fitting_classes(intensity, plane, cell, laue)
        hint = f" ({', '.join(fitting)} would agree)" if fitting else ""
        notes.append(
            f"symmetry: equivalent pixels of {laue} differ by R_int = {100 * (found.r_int or 0):.0f} %, while noise"
            f" alone gives {100 * (found.r_noise or 0):.0f} %; try a lower Laue class{hint}, or subtract the background"
        )
    numbers = {
        "laue": laue,
        "unique_axis": unique_axis,
        "operations": found.operations,
        "operations_interpolated": found.interpolated,
        "mean_redundancy": mean_redundancy,
        "pixels_gained": gained,
        "r_int": found.r_int,
        "r_int_of_noise": found.r_noise,
    }
    return found.intensity, found.sigma, StepRecord("symmetry", sentence, numbers, tuple(notes))


def _find_fitting_classes(intensity: Array, plane: Plane, cell: Cell, wrong: str) -> list[str]:
    """Find the lower Laue classes, on their usual axes, that the plane obeys; among these, those of most operations."""
    fitting: dict[str, int] = {}
    most = len(laue_rotations(wrong))
    for name in LAUE_CLASSES:
        rotations = laue_rotations(name)
        if name == wrong or len(rotations) >= most:
            continue
        try:
            symmetric_metric(cell, name)
        except InputError:
            continue
        maps = find_pixel_maps(plane, cell, rotations)
        if len(maps) > 1 and not average(intensity, None, maps).disagrees:
            fitting[name] = len(maps)
    best = max(fitting.values(), default=0)
    return [name for name, number in fitting.items() if number == best]
