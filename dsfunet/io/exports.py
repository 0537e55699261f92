"""Writing what was read: volumes and planes in the layout of Yell, as NXdata, or as .npz."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeAlias

import h5py
import numpy as np

from dsfunet._typing import Array
from dsfunet._version import __version__
from dsfunet.errors import InputError
from dsfunet.files import replacing
from dsfunet.io.hdf5_writing import create_hdf5
from dsfunet.io.volume import Box, Volume
from dsfunet.planes.measured import MeasuredPlane, PlaneGrid
from dsfunet.planes.names import AXIS_LABELS, PlaneName

ExportFormat: TypeAlias = Literal["yell", "nxdata", "npz"]
"""Layouts in which volumes and planes are written."""

_SUFFIXES: dict[str, ExportFormat] = {
    ".h5": "yell",
    ".hdf5": "yell",
    ".nxs": "nxdata",
    ".nx": "nxdata",
    ".npz": "npz",
}
_MOST_IN_MEMORY = 200_000_000
_SLAB = 8_000_000
"""Number of voxels that are read and written at a time, 64 MB as float64."""


def choose_format(path: Path) -> ExportFormat:
    """Choose the layout by the ending of a file's name: .h5 for Yell, .nxs for NXdata, .npz.

    Raises:
        InputError: the ending is none of these.
    """
    found = _SUFFIXES.get(path.suffix.lower())
    if found is None:
        raise InputError(
            f"{path}: expected a name that ends in .h5 (Yell), .nxs (NXdata) or .npz, or give --format"
        )
    return found


def write_volume(path: Path, volume: Volume, layout: ExportFormat, source: str = "") -> None:
    """Write a volume with its axes, its cell and its uncertainties; missing voxels are NaN.

    Args:
        path: the file to write; it appears whole or not at all.
        volume: the open volume.
        layout: the layout.
        source: name of the file from which it was read, for the record.

    Raises:
        InputError: the volume has no cell and the layout needs one, it is too large for .npz, or the file cannot be
            written.
    """
    axes = volume.axes
    cell = None if volume.cell is None else np.array(volume.cell.parameters)
    coordinates = [axes.coordinates(n) for n in range(3)]
    if layout == "npz":
        if np.prod([float(count) for count in axes.counts]) > _MOST_IN_MEMORY:
            raise InputError(
                f"{path}: a volume of {axes.counts} voxels is too large for .npz; write it as .h5 or .nxs"
            )
        box: Box = (slice(0, axes.counts[0]), slice(0, axes.counts[1]), slice(0, axes.counts[2]))
        arrays = {"intensity": volume.read(box), **dict(zip(AXIS_LABELS, coordinates, strict=True))}
        if volume.read_sigma is not None:
            arrays["sigma"] = volume.read_sigma(box)
        _write_npz(path, arrays, cell)
        return
    with _create_hdf5(path) as file:
        if layout == "yell":
            if cell is None:
                raise volume.make_cell_error()
            file["format"], file["is_direct"] = "Yell 1.0", False
            file["lower_limits"], file["unit_cell"] = np.array(axes.lower), cell
            file["step_sizes"] = np.array(
                [s if n > 1 else 1.0 for s, n in zip(axes.steps, axes.counts, strict=True)]
            )
            group, names = file, ("data", "data_sigma")
        else:
            group = _make_nxdata(
                file, dict(zip(AXIS_LABELS, coordinates, strict=True)), list(AXIS_LABELS), cell, source
            )
            names = ("data", "data_errors")
        _write_slabs(group, names[0], axes.counts, volume.read)
        if volume.read_sigma is not None and layout == "nxdata":
            _write_slabs(group, names[1], axes.counts, volume.read_sigma)


def write_plane(path: Path, plane: MeasuredPlane, layout: ExportFormat, source: str = "") -> None:
    """Write a plane with its axes, its cell and its uncertainties; missing pixels are NaN.

    Args:
        path: the file to write; it appears whole or not at all.
        plane: the plane, with its axes.
        layout: the layout; that of Yell takes planes along two of h, k, l only.
        source: name of the file from which it was read, for the record.

    Raises:
        InputError: the plane has no axes, the layout cannot hold it, or the file cannot be written.
    """
    grid = plane.grid
    if grid is None:
        raise InputError(
            "the plane has no axes; give them as options (--cell, --plane and ranges, or --array-axes)"
        )
    cell = np.array(grid.cell.parameters)
    if layout == "yell":
        _write_yell_plane(path, plane, grid)
        return
    names, layers = _name_axes(grid)
    axes = dict(zip(names, (grid.rows, grid.columns), strict=True))
    if layout == "npz":
        arrays = {
            "intensity": plane.intensity,
            **axes,
            **{name: np.array(value) for name, value in layers.items()},
        }
        if plane.sigma is not None:
            arrays["sigma"] = plane.sigma
        _write_npz(path, arrays, cell)
        return
    with _create_hdf5(path) as file:
        plain = names if isinstance(grid.name, PlaneName) else ["x", "y"]
        values = dict(zip(plain, axes.values(), strict=True))
        group = _make_nxdata(file, values, plain, cell, source)
        for name, long_name in zip(plain, names, strict=True):
            group[name].attrs["long_name"] = f"{long_name} (r.l.u.)"
        for name, value in layers.items():
            group[name] = value
        group["data"] = plane.intensity
        if plane.sigma is not None:
            group["data_errors"] = plane.sigma


def _write_yell_plane(path: Path, plane: MeasuredPlane, grid: PlaneGrid) -> None:
    name = grid.name
    if not isinstance(name, PlaneName):
        raise InputError(
            f"{path}: plane {name} runs along {' and '.join(name.labels)}, and Yell's layout only along h, k and l;"
            " write it as .nxs or .npz"
        )
    lower, steps = np.zeros(3), np.ones(3)
    lower[name.fixed_axis] = name.offset
    lower[list(name.axes)] = grid.rows[0], grid.columns[0]
    steps[list(name.axes)] = grid.steps
    with _create_hdf5(path) as file:
        file["format"], file["is_direct"] = "Yell 1.0", False
        file["lower_limits"], file["step_sizes"], file["unit_cell"] = (
            lower,
            steps,
            np.array(grid.cell.parameters),
        )
        file["data"] = np.expand_dims(plane.intensity, name.fixed_axis)


def _name_axes(grid: PlaneGrid) -> tuple[list[str], dict[str, float]]:
    """Name both axes of a plane, h, k or [H,H,0], and the indices that are the same everywhere."""
    name = grid.name
    if isinstance(name, PlaneName):
        return list(name.labels), {name.fixed_label: name.offset}
    kept = {
        label: float(name.origin[n]) for n, label in enumerate(AXIS_LABELS) if not name.vectors[:, n].any()
    }
    if np.count_nonzero(name.origin) > sum(value != 0 for value in kept.values()):
        raise InputError(
            f"plane {name}: it does not contain a point with integer multiples of its vectors alone; this layout has no"
            " place for that"
        )
    return [_name_direction(vector) for vector in name.vectors], kept


def _name_direction(vector: Array) -> str:
    letter = "HKL"[int(np.flatnonzero(vector)[0])]
    words = [f"{value:.10g}{letter}" if value else "0" for value in vector]
    return (
        f"[{','.join({f'1{letter}': letter, f'-1{letter}': f'-{letter}'}.get(word, word) for word in words)}]"
    )


def _write_npz(path: Path, arrays: dict[str, Array], cell: Array | None) -> None:
    if cell is not None:
        arrays = {**arrays, "unit_cell": cell}
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]


@contextmanager
def _create_hdf5(path: Path) -> Iterator[h5py.File]:
    with create_hdf5(path) as file:
        file.attrs["creator"] = f"dsfunet convert {__version__}"
        yield file


def _make_nxdata(
    file: h5py.File, axes: dict[str, Array], order: list[str], cell: Array | None, source: str
) -> h5py.Group:
    file.attrs.update({"NX_class": "NXroot", "default": "entry"})
    entry = file.create_group("entry")
    entry.attrs.update({"NX_class": "NXentry", "default": "data"})
    entry["title"] = source
    group = entry.create_group("data")
    group.attrs.update({"NX_class": "NXdata", "signal": "data", "axes": order})
    for name, values in axes.items():
        group[name] = values
        group[name].attrs["units"] = "r.l.u."
    if cell is not None:
        group["unit_cell"] = cell
    return group


def _write_slabs(
    group: h5py.Group, name: str, counts: tuple[int, int, int], read: Callable[[Box], Array]
) -> None:
    """Write an array [h, k, l] slab by slab along h."""
    dataset = group.create_dataset(name, counts, "f8", compression="gzip", shuffle=True)
    height = max(_SLAB // max(counts[1] * counts[2], 1), 1)
    for begin in range(0, counts[0], height):
        part = slice(begin, min(begin + height, counts[0]))
        dataset[part] = read((part, slice(0, counts[1]), slice(0, counts[2])))
