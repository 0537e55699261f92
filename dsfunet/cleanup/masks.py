"""Which pixels were not measured at all: by a value, by limits, by a file; and what a negative one means."""

from pathlib import Path
from typing import Literal

import numpy as np

from dsfunet._typing import Array, Mask
from dsfunet.cleanup.record import Number, StepRecord, counted
from dsfunet.errors import InputError
from dsfunet.files import NPY_SIGNATURE, leading_bytes
from dsfunet.io import PlaneGrid, read_plane
from dsfunet.io.formats.images import read_pixels
from dsfunet.io.user_axes import orient_picture

Marks = Literal["measured", "missing"]
"""What a mask file marks with values that are not zero (or True)."""

Negative = Literal["missing", "zero"]
"""What negative intensities are taken for."""


def parse_values(text: str | float) -> tuple[float, ...]:
    """Numbers out of "-1", "-1, 65535" or a number itself.

    Raises:
        InputError: it is anything else.
    """
    words = str(text).replace(",", " ").split()
    try:
        values = tuple(float(word) for word in words)
    except ValueError:
        values = ()
    if not values:
        raise InputError(f"mask_value {text!r}: expected one or more numbers, such as -1 or '-1, 65535'")
    return values


def mask_values(
    intensity: Array, values: tuple[float, ...], below: float | None, above: float | None
) -> tuple[Array, StepRecord]:
    """A plane with pixels of certain values, or beyond limits, made missing (NaN).

    A value is met where it is the same to one part in a million: flags pass through float32 on their way here.
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
        f"mask: {counted(int(masked.sum()), masked.size)} taken as missing for being {', '.join(parts)}"
    )
    numbers = {"pixels_of_value": int(flagged.sum()), "pixels_beyond_limits": int(limits.sum())}
    notes = ("mask: no pixel has such a value",) if not masked.any() else ()
    return np.where(masked, np.nan, intensity), StepRecord("mask values", sentence, numbers, notes)


def read_mask(
    path: Path | str,
    shape: tuple[int, int],
    marks: Marks,
    grid: PlaneGrid | None,
    picture: bool = False,
) -> Mask:
    """True where a mask file says that pixels were measured, shape (n, m) of the plane.

    Any file that `dsfunet.io.read_plane` takes, and .npy of any shape and of bool. Values that are not zero are what
    the file `marks`; NaN is missing either way. Of a volume the layer of the plane's own name is read. Of a plane that
    was a `picture` with its second axis up, the mask is one, too.

    Raises:
        InputError: the file cannot be read, is of another shape than the plane, or leaves nothing measured.
    """
    path = Path(path)
    if leading_bytes(path).startswith(NPY_SIGNATURE):
        values = orient_picture(_read_array(path)) if picture else _read_array(path)
    else:
        values = read_like(path, grid, picture)
    if values.shape != shape:
        raise InputError(f"mask file {path}: found shape {values.shape}, expected that of the plane, {shape}")
    known = ~np.isnan(values)
    nonzero = known & (values != 0)
    measured: Mask = nonzero if marks == "measured" else known & ~nonzero
    if not measured.any():
        raise InputError(
            f"mask file {path}: no pixel is left when values that are not zero are taken for {marks}; expected the"
            " other convention, or another file"
        )
    return measured


def apply_mask_file(
    intensity: Array, path: Path | str, marks: Marks, grid: PlaneGrid | None, picture: bool = False
) -> tuple[Array, StepRecord]:
    """A plane with the pixels that a file masks made missing; see `read_mask`."""
    measured = read_mask(path, intensity.shape, marks, grid, picture)
    masked = int(np.count_nonzero(~measured & ~np.isnan(intensity)))
    sentence = (
        f"mask: {counted(masked, measured.size)} taken as missing by {Path(path).name}, in which values that are not"
        f" zero mark {marks} pixels"
    )
    notes: tuple[str, ...] = ()
    if (share := float(measured.mean())) < 0.5:
        notes = (
            f"mask: {Path(path).name} leaves {100 * share:.0f} % of the pixels; does it mark {marks} pixels indeed?",
        )
    numbers: dict[str, Number] = {"file": Path(path).name, "marks": marks, "pixels_masked": masked}
    return np.where(measured, intensity, np.nan), StepRecord("mask file", sentence, numbers, notes)


def settle_negative(intensity: Array, negative: Negative) -> tuple[Array, StepRecord | None]:
    """Negative pixels of the file made missing (NaN) or zero; no record where there are none."""
    with np.errstate(invalid="ignore"):
        below = intensity < 0
    number = int(below.sum())
    if not number:
        return intensity, None
    word = "missing" if negative == "missing" else "zero intensity"
    sentence = f"negative values: {counted(number, below.size)} taken as {word}"
    lowest = float(intensity[below].min())
    record = StepRecord(
        "negative values", sentence, {"pixels": number, "lowest": lowest, "taken_as": negative}
    )
    return np.where(below, np.nan if negative == "missing" else 0.0, intensity), record


def read_like(path: Path, grid: PlaneGrid | None, picture: bool = False) -> Array:
    """The intensity of another file, the layer of the same name where that file is a volume.

    A picture without axes may have any shape; of a plane that was a `picture` with its second axis up, it is one, too.

    Raises:
        InputError: it cannot be read, or its pixels lie elsewhere in reciprocal space than those of `grid`.
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
                f"{path}: its pixels lie elsewhere in reciprocal space ({other.grid.describe()}), expected the grid of"
                f" the plane ({grid.describe()})"
            )
    return other.intensity


def _read_array(path: Path) -> Array:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a damaged header fails in any of half a dozen ways
        raise InputError(
            f"{path}: cannot be read as .npy, truncated, damaged or not numbers ({error})"
        ) from error
    if array.dtype.kind not in "biuf":
        raise InputError(f"{path}: found numbers of type {array.dtype}, expected bool or real numbers")
    return np.array(array, dtype=np.float64)
