"""Volumes in the layout of Yell: from Yell, Meerkat and DISCUS.

Intensities are indexed [h, k, l], voxel centres lie at lower_limits + step_sizes * index in r.l.u. Meerkat's
raw files ("Yell 0.9") keep the sum of intensities and the number of pixels that went into it.
"""

from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from dsfunet.errors import InputError
from dsfunet.io.volume import Box, Volume, VolumeAxes
from dsfunet.physics import Cell

Array = npt.NDArray[np.float64]

EXPECTED = "a Yell 1.0 volume (datasets format, data, lower_limits, step_sizes, unit_cell)"
"""What this reader looks for, in words."""

_DISCUS_STEPS = ("step_sizes_abs", "step_sizes_ord", "step_sizes_top")


def recognises(file: h5py.File) -> bool:
    """Whether an open file has this layout: `format` says so, or the datasets are an older writer's."""
    return (
        _text(file, "format").startswith("Yell")
        or "rebinned_data" in file
        or {"data", "lower_limits"} <= set(file)
    )


def open_volume(file: h5py.File) -> Volume:
    """The volume in an open file.

    Raises:
        InputError: the file holds a real-space map, lacks something or contradicts itself.
    """
    _check_reciprocal(file)
    raw = "data" not in file
    intensity = _numbers(file, "rebinned_data" if raw else "data")
    axes = _axes(file, intensity)
    cell, trouble = _cell(file)
    if not raw:
        return Volume(
            _layout(file), axes, lambda box: axes.read(intensity, box).astype(np.float64), cell, trouble
        )
    pixels = _numbers(file, "number_of_pixels_rebinned")
    if pixels.shape != intensity.shape:
        raise InputError(f"number_of_pixels_rebinned of shape {pixels.shape}: expected {intensity.shape}")

    def mean_of_pixels(box: Box) -> Array:
        total, counts = axes.read(intensity, box).astype(np.float64), axes.read(pixels, box)
        mean: Array = np.divide(total, counts, out=np.full(total.shape, np.nan), where=counts > 0)
        return mean

    return Volume("Meerkat raw (Yell 0.9)", axes, mean_of_pixels, cell, trouble)


def _layout(file: h5py.File) -> str:
    program = _text(file, "PROGRAM")
    return (_text(file, "format") or "Yell without a format") + (f" by {program}" if program else "")


def _check_reciprocal(file: h5py.File) -> None:
    if "is_direct" not in file:
        return
    # DISCUS writes the flag into part of an integer and leaves the rest to chance (256 is common): as when it
    # reads its own files, only the lowest bit counts.
    flag = np.atleast_1d(_numbers(file, "is_direct", "iufb")[()]).ravel()
    if len(flag) and np.isfinite(flag[0]) and int(flag[0]) % 2:
        raise InputError(
            "is_direct is true, a map in real space (3D-PDF): expected scattering in reciprocal space"
        )


def _axes(file: h5py.File, intensity: h5py.Dataset) -> VolumeAxes:
    if intensity.ndim not in (2, 3):
        raise InputError(
            f"{intensity.name[1:]} of shape {intensity.shape}: expected a volume, three dimensions"
        )
    shape = (*intensity.shape, 1)[:3]
    if "lower_limits" in file or "maxind" not in file:
        lower = _vector(file, "lower_limits", 3)
    else:  # Meerkat before it named its format: a grid centred on the origin
        lower = -_vector(file, "maxind", 3)
    if all(name in file for name in _DISCUS_STEPS):
        steps, dimensions = _discus_steps(np.array([_vector(file, name, 3) for name in _DISCUS_STEPS]), shape)
    else:
        old = "step_sizes" not in file and "step_size" in file
        steps, dimensions = _vector(file, "step_size" if old else "step_sizes", 3), [0, 1, 2]
    h, k, l = dimensions  # noqa: E741
    return VolumeAxes(
        (float(lower[0]), float(lower[1]), float(lower[2])),
        (float(steps[0]), float(steps[1]), float(steps[2])),
        (shape[h], shape[k], shape[l]),
        (h, k, l),
    )


def _discus_steps(vectors: Array, shape: tuple[int, ...]) -> tuple[Array, list[int]]:
    """Steps along h, k, l, and the dimension of the array along each, from DISCUS's three step vectors.

    Row d of `vectors` is the step in h, k, l of the array's dimension d: a section need not keep the order h,
    k, l.
    """
    axis_of: list[int | None] = [None] * 3
    for d, vector in enumerate(vectors):
        along = np.flatnonzero(np.abs(vector) > 1e-6 * np.abs(vector).max())
        if len(along) == 1 and int(along[0]) not in axis_of:
            axis_of[d] = int(along[0])
        elif shape[d] > 1:
            raise InputError(
                f"{_DISCUS_STEPS[d]} is {vector.tolist()}: expected steps along h, k and l alone"
            )
    # A dimension one voxel thick may have any step, none included: it takes an axis that is left over.
    left = [axis for axis in range(3) if axis not in axis_of]
    order = [left.pop(0) if axis is None else axis for axis in axis_of]
    steps = np.zeros(3)
    for d, axis in enumerate(order):
        steps[axis] = vectors[d, axis]
    return steps, [order.index(axis) for axis in range(3)]


def _cell(file: h5py.File) -> tuple[Cell | None, str]:
    """The unit cell or, where there is none that makes sense, None and what is wrong with it."""
    if "unit_cell" not in file:
        return None, "the file has no unit_cell"
    values = _vector(file, "unit_cell", 6, finite=False)
    if np.allclose(values, [1, 1, 1, 90, 90, 90]):
        return None, "unit_cell is 1 1 1 90 90 90, which stands for no cell"
    try:
        return Cell(*map(float, values)), ""
    except InputError as error:
        return None, f"unit_cell makes no sense ({error})"


def _numbers(file: h5py.File, name: str, kinds: str = "iuf") -> h5py.Dataset:
    dataset: Any = file.get(name)
    if not isinstance(dataset, h5py.Dataset):
        raise InputError(f"dataset {name} is missing: expected {EXPECTED}")
    if dataset.dtype.kind not in kinds or dataset.shape is None:
        raise InputError(f"dataset {name} is of type {dataset.dtype}: expected real numbers")
    return dataset


def _vector(file: h5py.File, name: str, length: int, finite: bool = True) -> Array:
    values = np.asarray(_numbers(file, name)[()], dtype=np.float64).ravel()
    if len(values) != length or (finite and not np.isfinite(values).all()):
        raise InputError(f"dataset {name} is {values[:8].tolist()}: expected {length} finite numbers")
    return values


def _text(file: h5py.File, name: str) -> str:
    dataset: Any = file.get(name)
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind not in "OS" or dataset.size != 1:
        return ""
    value = np.asarray(dataset[()]).ravel()[0]
    return (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)).strip("\0 ")
