"""Volumes of rspace3d, assembled from unwarped layers of CrysAlisPro.

`data` is indexed [h, k, l], and H, K, L are the indices along its dimensions. Volumes made from unwarped layers without
resampling have square Cartesian pixels. If the two reciprocal vectors of the layers are not perpendicular, such a
volume is sheared: the first index also depends on the second, h = H[i] + shear K[j]. It is then interpolated onto a
grid of h, k, l. UB holds a*, b*, c* times the wavelength, without the factor 2 pi.
"""

import h5py
import numpy as np

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.io.cell_parameters import NO_CELL, FoundCell, cell_from_parameters, cell_from_ub
from dsfunet.io.gap_marks import GapReader
from dsfunet.io.grid_axes import GridAxis, make_grid_axis, make_volume_axes
from dsfunet.io.hdf5 import (
    find_dataset,
    get_shape,
    read_attribute_number,
    read_attribute_text,
    read_block,
    read_small,
    require_numbers,
)
from dsfunet.io.oblique_volumes import ObliqueGrid, Read
from dsfunet.io.volume import Box, Volume, to_intensities
from dsfunet.planes.names import AXIS_LABELS

EXPECTED = "an rspace3d volume (datasets data, H, K, L, UB)"
"""What this reader looks for, in words, for messages."""

_IN_PLANE = {"HK": (0, 1), "HL": (0, 2), "KL": (1, 2)}
_SUFFIXES = ("a", "b", "c", "alpha", "beta", "gamma")


def recognises(file: h5py.File) -> bool:
    """Whether an open file has this layout."""
    return all(find_dataset(file, name) is not None for name in ("data", "H", "K", "L"))


def open_volume(file: h5py.File) -> Volume:
    """Describe the volume in an open file.

    Raises:
        InputError: the file is incomplete or contradicts itself.
    """
    intensity = require_numbers(file, "data", EXPECTED)
    shape = get_shape(intensity) or ()
    if len(shape) != 3:
        raise InputError(f"data has shape {shape}; expected a volume with three dimensions")
    along = {number: _read_axis(file, number, shape) for number in range(3)}
    stored, _ = make_volume_axes(shape, along)
    counts = find_dataset(file, "counts")
    if counts is not None and get_shape(counts) != shape:
        raise InputError(f"counts has shape {get_shape(counts)}; expected {shape}")

    def read_stored(box: Box) -> Array:
        found = to_intensities(stored.read(intensity, box))
        if counts is not None:
            found[stored.read(counts, box) == 0] = np.nan
        return found

    axes = stored
    gaps = GapReader(read_stored)
    read: Read = read_stored
    ub = _read_ub(file)
    cell, trouble = _read_cell(file, ub)
    notes = ["array order in the file: [h, k, l]"]
    shear = _find_shear(file, ub)
    if shear is not None:
        first, second, ratio = shear
        labels = AXIS_LABELS[first], AXIS_LABELS[second]
        notes.append(
            f"the pixels are sheared, {labels[0]} = {labels[0].upper()} {ratio:+.6g} {labels[1]}, so intensities are"
            f" interpolated along {labels[0]} onto a grid of h, k, l"
        )
        origin, matrix = np.array(stored.lower), np.diag([step or 1.0 for step in stored.steps])
        origin[first] += ratio * origin[second]
        matrix[first, second] = ratio * matrix[second, second]
        grid = ObliqueGrid(origin, matrix, stored.counts)
        axes = grid.make_straight_axes()
        read = grid.straighten_reader(axes, gaps)
    return Volume(
        "rspace3d",
        axes,
        read,
        cell,
        trouble,
        notes=tuple(notes),
        details=_list_details(file),
        remarks=gaps.describe,
    )


def _find_shear(file: h5py.File, ub: Array | None) -> tuple[int, int, float] | None:
    """Find (m, n, ratio): index m of a voxel is the value of its axis plus ratio times index n. None for no shear."""
    if read_attribute_text(file, "grid_kind") not in ("", "unwarp_raster"):
        return None
    first, second = _IN_PLANE.get(read_attribute_text(file, "plane_type").upper(), (0, 1))
    matrix = find_dataset(file, "M_inv")
    if matrix is not None and get_shape(matrix) == (2, 2):
        inverse = read_small(matrix, "M_inv")
        ratio = inverse[0, 1] / inverse[1, 1] if inverse[1, 1] else np.nan
    elif ub is not None:
        # Rows run along the first reciprocal vector and columns perpendicular to it.
        u, v = ub[:, first], ub[:, second]
        ratio = -(u @ v) / (u @ u) if u.any() else np.nan
    else:
        return None
    if not np.isfinite(ratio) or abs(ratio) > 10:
        raise InputError(f"M_inv or UB gives a shear of {ratio}; expected a finite shear of at most 10")
    return (first, second, float(ratio)) if abs(ratio) > 1e-6 else None


def _read_axis(file: h5py.File, number: int, shape: tuple[int, ...]) -> GridAxis:
    name = AXIS_LABELS[number].upper()
    dataset = require_numbers(file, name, EXPECTED)
    stored = get_shape(dataset) or ()
    if len(stored) != 3:
        return make_grid_axis(number, read_small(dataset, name), shape[number], name)
    # A coordinate for every voxel: the grid is regular if it changes along its own dimension only.
    if stored != shape:
        raise InputError(f"{name} has shape {stored}; expected {shape[number]} numbers, or {shape}")
    if max(shape) > 100_000:
        raise InputError(f"{name} has shape {stored}; expected {shape[number]} numbers")
    lines = []
    for end in (0, -1):
        corner = [slice(n - 1, n) if end else slice(0, 1) for n in shape]
        for dimension in range(3):
            line = read_block(
                dataset, [slice(None) if d == dimension else corner[d] for d in range(3)]
            ).ravel()
            if dimension == number:
                lines.append(to_intensities(line))
            elif np.ptp(line) > 1e-6:
                raise InputError(f"{name} changes along dimension {dimension}; expected a grid of h, k, l")
    if not np.allclose(lines[0], lines[1], atol=1e-6):
        raise InputError(f"{name} differs between lines of voxels; expected a grid of h, k, l")
    return make_grid_axis(number, lines[0], shape[number], name)


def _read_ub(file: h5py.File) -> Array | None:
    """Read the UB matrix of CrysAlisPro, whose columns are the reciprocal vectors times the wavelength."""
    found = find_dataset(file, "UB")
    if found is None or found.size != 9:
        return None
    matrix = read_small(found, "UB").reshape(3, 3)
    return matrix if np.isfinite(matrix).all() else None


def _read_cell(file: h5py.File, ub: Array | None) -> FoundCell:
    stated = [read_attribute_number(file, f"cell_{suffix}") for suffix in _SUFFIXES]
    if all(value is not None for value in stated):
        return cell_from_parameters([value for value in stated if value is not None], "cell_a, ...")
    wavelength = read_attribute_number(file, "wavelength")
    if ub is None or not wavelength:
        return None, NO_CELL
    return cell_from_ub(ub / wavelength, "UB")


def _list_details(file: h5py.File) -> dict[str, str]:
    details = {}
    wavelength = read_attribute_number(file, "wavelength")
    if wavelength:
        details["wavelength"] = f"{wavelength:g} Angstrom"
    for label, name in (("Laue class averaged over", "laue_group"), ("source", "source_folder")):
        found = read_attribute_text(file, name)
        if found:
            details[label] = found[:200]
    return details
