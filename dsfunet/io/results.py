"""The result: one NeXus HDF5 file that opens by itself in any NXdata viewer, and reading it back."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from dsfunet._version import __version__
from dsfunet.errors import InputError
from dsfunet.files import leading_bytes, replacing
from dsfunet.io.hdf5 import REAL, get_shape, open_hdf5, read_block, read_small, require_numbers
from dsfunet.io.volume import MOST_PIXELS
from dsfunet.physics import Cell
from dsfunet.planes.measured import PlaneGrid
from dsfunet.planes.names import AXIS_LABELS, PlaneName, SpannedPlaneName
from dsfunet.planes.result import _OPTIONAL, _SIGMAS, TITLES, Result, Scalar

_SPANNED = ("u_vector", "v_vector", "origin_hkl")
"""h, k, l of one unit along the axes u and v of a plane that two vectors span, and of their origin."""


def write_result(path: Path | str, result: Result, date: str | None = None) -> None:
    """Write a result as NeXus, whole or not at all.

    The root holds one NXentry, with one NXdata for each plane, an NXsample (cell and axes) and an NXprocess.
    `date` is an ISO 8601 time for the record, now by default; with one given, equal results make equal files.

    Raises:
        InputError: nothing can be written at the path.
    """
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update({"NX_class": "NXroot", "default": "entry", "creator": "dsfunet"})
        entry = _create_group(file, "entry", "NXentry", default="form_factor")
        entry["title"] = "Form factor and short-range order" + (
            f", plane {result.grid.name}" if result.grid else ""
        )
        process = _create_group(entry, "process", "NXprocess")
        now = date or datetime.now().astimezone().isoformat(timespec="seconds")
        record = {"program": "dsfunet", "version": __version__, "date": now, **result.process}
        for name, value in record.items():
            process[name] = value
        axes = _write_axes(entry, result)
        for name, plane in result.planes().items():
            _write_plane(entry, name, plane, axes)
        for name in _SIGMAS:
            if name in entry:  # the name under which NeXus looks for the uncertainty of a signal
                entry[f"{name.removeprefix('sigma_')}/data_errors"] = entry[name]["data"]


def is_result(path: Path) -> bool:
    """Whether an HDF5 file is one that `write_result` wrote, or what is left of one."""
    try:
        with open_hdf5(path) as file:
            return str(file.attrs.get("creator")) == "dsfunet"
    except Exception:  # told by who reads the file
        return False


def read_result(path: Path | str) -> Result:
    """A result that `write_result` wrote.

    Raises:
        InputError: the file is missing, damaged, or no such result.
    """
    path = Path(path)
    leading_bytes(path)
    try:
        # Numbers beyond float32 become infinite, and are shown as they are.
        with open_hdf5(path) as file, np.errstate(all="ignore"):
            entry = file["entry"]
            planes = {
                name: _read_plane(entry[name], name)
                for name in TITLES
                if name not in _OPTIONAL or name in entry
            }
            process = {name: _read_scalar_or_text(dataset) for name, dataset in entry["process"].items()}
            grid = _read_grid(entry)
            planes["mask"] = planes["mask"].astype(np.bool_)
            return Result(**planes, grid=grid, process=process)
    except (OSError, RuntimeError, LookupError, AttributeError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a result of dsfunet, or a damaged one ({error})") from error


def _create_group(parent: h5py.Group, name: str, nx_class: str, **attributes: Any) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs.update({"NX_class": nx_class, **attributes})
    return group


def _write_axes(entry: h5py.Group, result: Result) -> dict[str, h5py.Dataset]:
    """Axis datasets by name, slow then fast, then what else belongs beside every plane; all in one place."""
    grid = result.grid
    if grid is None:
        pixels = _create_group(entry, "pixels", "NXcollection")
        shape = result.input.shape
        return {
            label: _create_dataset(pixels, label, np.arange(n), "pixel")
            for label, n in zip("yx", shape, strict=True)
        }
    sample = _create_group(entry, "sample", "NXsample")
    cell = np.array(grid.cell.parameters)
    _create_dataset(sample, "unit_cell_abc", cell[:3], "angstrom")
    _create_dataset(sample, "unit_cell_alphabetagamma", cell[3:], "degree")
    unit_cell = _create_dataset(sample, "unit_cell", cell, "angstrom, degree")
    first, second = grid.name.labels
    if isinstance(grid.name, SpannedPlaneName):
        # Names of NeXus are letters and digits: what u and v mean stands beside them, and on the axis.
        vectors = dict(zip(_SPANNED, (*grid.name.vectors, grid.name.origin), strict=True))
        return {
            "u": _create_dataset(sample, "u", grid.rows, "r.l.u.", first),
            "v": _create_dataset(sample, "v", grid.columns, "r.l.u.", second),
            **{label: _create_dataset(sample, label, hkl, "r.l.u.") for label, hkl in vectors.items()},
            "unit_cell": unit_cell,
        }
    return {
        first: _create_dataset(sample, first, grid.rows, "r.l.u."),
        second: _create_dataset(sample, second, grid.columns, "r.l.u."),
        grid.name.fixed_label: _create_dataset(
            sample, grid.name.fixed_label, np.float64(grid.name.offset), "r.l.u."
        ),
        "unit_cell": unit_cell,
    }


def _write_plane(
    entry: h5py.Group, name: str, plane: npt.NDArray[Any], axes: Mapping[str, h5py.Dataset]
) -> None:
    rows, columns = list(axes)[:2]
    group = _create_group(entry, name, "NXdata", signal="data", axes=[rows, columns])
    group.attrs.update({f"{rows}_indices": 0, f"{columns}_indices": 1})
    group["title"] = TITLES[name]
    # Booleans are stored by h5py as an enumeration, which many viewers do not draw.
    if plane.dtype == np.bool_:
        data = group.create_dataset(
            "data", data=plane.astype(np.uint8), compression="gzip", compression_opts=1
        )
    else:  # compressed, floats would shrink by a third, and take as long as all else that writes a result
        data = group.create_dataset("data", data=plane, chunks=plane.shape, fletcher32=True)
    data.attrs["long_name"] = TITLES[name]
    for label, dataset in axes.items():
        group[label] = dataset  # a hard link


def _create_dataset(
    group: h5py.Group, name: str, values: npt.ArrayLike, units: str, long_name: str = ""
) -> h5py.Dataset:
    dataset = group.create_dataset(name, data=values)
    dataset.attrs.update({"units": units, "long_name": f"{long_name or name} ({units})"})
    return dataset


def _read_plane(group: h5py.Group, name: str) -> npt.NDArray[Any]:
    """A plane as it is kept. What damage makes of its shape is judged before anything of that size is made."""
    data = require_numbers(group, "data", f"the plane {name} of a result", REAL + "b")
    shape = get_shape(data) or ()
    if len(shape) != 2 or shape[0] * shape[1] > MOST_PIXELS:
        raise InputError(f"{name} of shape {shape}: expected a plane, two dimensions")
    return read_block(data, [slice(None)] * 2)


def _read_grid(entry: h5py.Group) -> PlaneGrid | None:
    if "sample" not in entry:
        return None
    sample = entry["sample"]
    labels = [str(label) for label in entry["input"].attrs["axes"]]
    cell = Cell(*map(float, read_small(sample["unit_cell"], "unit_cell")))
    rows, columns = (read_small(sample[label], label) for label in labels)
    if labels == ["u", "v"]:
        vectors = (read_small(sample[label], label).tolist() for label in _SPANNED)
        return PlaneGrid(cell, SpannedPlaneName(*vectors), rows, columns)
    first, second = (AXIS_LABELS.index(label) for label in labels)
    fixed = AXIS_LABELS[3 - first - second]
    return PlaneGrid(cell, PlaneName((first, second), float(read_small(sample[fixed], fixed))), rows, columns)


def _read_scalar_or_text(dataset: h5py.Dataset) -> Scalar:
    if dataset.shape != ():
        raise InputError(f"{dataset.name} of shape {dataset.shape}: expected one number or text")
    value = dataset[()]
    result: Scalar = value.decode() if isinstance(value, bytes) else value.item()
    return result
