"""Masks: pixels that were not measured, by value, by limits or by a file; and the meaning of negative values."""

from pathlib import Path
from typing import Literal

import numpy as np

from dsfunet._typing import Array, Mask
from dsfunet.cleanup.record import Number, StepRecord, format_pixels
from dsfunet.errors import InputError
from dsfunet.files import NPY_SIGNATURE, leading_bytes
from dsfunet.io import PlaneGrid, read_plane
from dsfunet.io.formats.images import read_pixels
from dsfunet.io.user_axes import orient_picture

Marks = Literal["measured", "missing"]
"""Pixels that a mask file marks with non-zero values (or True)."""

Negative = Literal["missing", "zero"]
"""What negative intensities become."""


def mask_values(
    intensity: Array, values: tuple[float, ...], below: float | None, above: float | None
) -> tuple[Array, StepRecord]:
    """Set pixels of certain values, or beyond limits, to missing (NaN); returns the plane and the record.

    Values match within one part in a million, because flags may have been stored as float32.
    """
    flagged = np.zeros(intensity.shape, bool)
    with np.errstate(invalid="ignore"):
        for value in values:
            same = np.isclose(intensity, value, rtol=1e-6, atol=0.0, equal_nan=False)
            flagged |= same | (np.isnan(intensity) if np.isnan(value) else False)
        limits = np.zeros_like(flagged)
        if below is not None:
            limits |= intensity < below
        if above is not None:
            limits |= intensity > above
    flagged &= ~np.isnan(intensity)
    limits &= ~flagged
    masked = flagged | limits
    parts = [" or ".join(f"{value:g}" for value in values)] if values else []
    parts += [f"below {below:g}"] if below is not None else []
    parts += [f"above {above:g}"] if above is not None else []
    sentence = (
        f"mask: {format_pixels(int(masked.sum()), masked.size)} set to missing because their value is"
        f" {', '.join(parts)}"
    )
    numbers = {"pixels_of_value": int(flagged.sum()), "pixels_beyond_limits": int(limits.sum())}
    notes = ("mask: no pixel has such a value; check the mask options",) if not masked.any() else ()
    return np.where(masked, np.nan, intensity), StepRecord("mask values", sentence, numbers, notes)


def read_mask(
    path: Path,
    shape: tuple[int, int],
    marks: Marks,
    grid: PlaneGrid | None,
    picture: bool = False,
) -> Mask:
    """Read a mask file; returns True where pixels were measured, shape (n, m) of the plane.

    The file is any that `dsfunet.io.read_plane` reads, or .npy of any shape, bool included. From a volume the layer
    with the name of the plane is read.

    Args:
        path: the mask file.
        shape: (n, m) of the plane.
        marks: what non-zero values mark; NaN is missing either way.
        grid: grid of the plane, which that of the file must match.
        picture: whether the mask, like the file of the plane, is a picture with the second axis up.

    Raises:
        InputError: the file cannot be read, does not have the shape or the grid of the plane, or leaves no pixel.
    """
    if leading_bytes(path).startswith(NPY_SIGNATURE):
        values = orient_picture(_read_array(path)) if picture else _read_array(path)
    else:
        values = read_on_grid(path, grid, picture)
    if values.shape != shape:
        raise InputError(f"{path}: the mask has shape {values.shape}; expected that of the plane, {shape}")
    known = ~np.isnan(values)
    nonzero = known & (values != 0)
    measured: Mask = nonzero if marks == "measured" else known & ~nonzero
    if not measured.any():
        raise InputError(
            f"{path}: the mask leaves no pixel if non-zero values mark {marks} pixels; set the other"
            " --mask-file-marks, or give another file"
        )
    return measured


def apply_mask_file(
    intensity: Array, path: Path, marks: Marks, grid: PlaneGrid | None, picture: bool = False
) -> tuple[Array, StepRecord]:
    """Set the pixels that a file masks to missing (NaN), as `read_mask` reads it; returns the plane and the record."""
    measured = read_mask(path, intensity.shape, marks, grid, picture)
    masked = int(np.count_nonzero(~measured & ~np.isnan(intensity)))
    sentence = (
        f"mask: {format_pixels(masked, measured.size)} set to missing by {path.name}, where non-zero values mark"
        f" {marks} pixels"
    )
    notes: tuple[str, ...] = ()
    if (share := float(measured.mean())) < 0.5:
        notes = (
            f"mask: {path.name} leaves {100 * share:.0f} % of the pixels; check that non-zero values mark {marks}"
            " pixels",
        )
    numbers: dict[str, Number] = {"file": path.name, "marks": marks, "pixels_masked": masked}
    return np.where(measured, intensity, np.nan), StepRecord("mask file", sentence, numbers, notes)


def replace_negative(intensity: Array, negative: Negative) -> tuple[Array, StepRecord | None]:
    """Set negative pixels of the file to missing (NaN) or zero; returns the plane and, if there are any, the record."""
    with np.errstate(invalid="ignore"):
        below = intensity < 0
    number = int(below.sum())
    if not number:
        return intensity, None
    word = "missing" if negative == "missing" else "zero"
    sentence = f"negative values: {format_pixels(number, below.size)} set to {word}"
    lowest = float(intensity[below].min())
    record = StepRecord(
        "negative values", sentence, {"pixels": number, "lowest": lowest, "taken_as": negative}
    )
    return np.where(below, np.nan if negative == "missing" else 0.0, intensity), record


def read_on_grid(path: Path, grid: PlaneGrid | None, picture: bool = False) -> Array:
    """Read the intensity in another file; from a volume, the layer with the name of the plane.

    A picture without axes may have any shape. `picture` says whether it has the second axis up, like that of the plane.

    Raises:
        InputError: the file cannot be read, or its pixels are not at the positions of `grid` in reciprocal space.
    """
    name = None if grid is None else str(grid.name)
    pixels = read_pixels(path, leading_bytes(path))
    if pixels is not None and pixels.grid is None:
        return orient_picture(pixels.intensity) if picture else pixels.intensity
    try:
        other = pixels or read_plane(path)
    except InputError:
        if name is None:
            raise
        other = read_plane(path, name)
    if grid is not None and other.grid is not None and other.intensity.shape == grid.shape:
        own, its = grid.plane, other.grid.plane
        vectors = [(own.origin, its.origin), (own.step_u * grid.shape[0], its.step_u * grid.shape[0])]
        vectors.append((own.step_v * grid.shape[1], its.step_v * grid.shape[1]))
        pixel = np.linalg.norm(own.step_u)
        if max(float(np.linalg.norm(a - b)) for a, b in vectors) > 0.5 * pixel:
            raise InputError(
                f"{path}: its pixels lie elsewhere in reciprocal space ({other.grid.describe()}); expected the grid of"
                f" the plane ({grid.describe()})"
            )
    return other.intensity


def _read_array(path: Path) -> Array:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # numpy raises half a dozen types of error on damaged headers
        raise InputError(
            f"{path}: the .npy file cannot be read; it is truncated, damaged or does not hold numbers ({error})"
        ) from error
    if array.dtype.kind not in "biuf":
        raise InputError(f"{path}: the numbers have type {array.dtype}; expected bool or real numbers")
    return np.array(array, dtype=np.float64)
