"""Results as files: writes one NeXus HDF5 file that any NXdata viewer opens, and reads it back."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from dsfunet._version import __version__
from dsfunet.errors import InputError
from dsfunet.files import HDF5_SIGNATURE, leading_bytes
from dsfunet.io.hdf5 import REAL, check_storage, get_shape, open_hdf5, read_block, read_small, require_numbers
from dsfunet.io.hdf5_writing import create_hdf5
from dsfunet.io.volume import MOST_PIXELS
from dsfunet.physics import Cell
from dsfunet.planes.measured import PlaneGrid
from dsfunet.planes.names import AXIS_LABELS, PlaneName, SpannedPlaneName
from dsfunet.planes.result import _OPTIONAL, _SIGMAS, TITLES, Result, Scalar

_SPANNED = ("u_vector", "v_vector", "origin_hkl")
"""Datasets with h, k, l of one unit along the axes u and v of a plane spanned by two vectors, and of its origin."""


def write_result(path: Path | str, result: Result, date: str | None = None) -> None:
    """Write a result as a NeXus file, whole or not at all.

    The root holds one NXentry, with one NXdata for each plane, an NXsample (cell and axes) and an NXprocess (the
    record).

    Args:
        path: file to write; an existing file is replaced.
        result: the result.
        date: time for the record in ISO 8601, now by default. With a given date, equal results make equal files.

    Raises:
        InputError: the file cannot be written.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from dsfunet.io import Result, read_result, write_result
        >>> ones = np.ones((4, 4))
        >>> result = Result(ones, ones, ones, ones, 0 * ones, ones > 0, process={"seed": 7})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_result(Path(folder) / "plane.nxs", result)
        ...     print(read_result(Path(folder) / "plane.nxs").process["seed"])
        7
    """
    with create_hdf5(path) as file:
        file.attrs.update({"NX_class": "NXroot", "default": "entry", "creator": "dsfunet"})
        entry = create_group(file, "entry", "NXentry", default="form_factor")
        entry["title"] = "Form factor and short-range order" + (
            f", plane {result.grid.name}" if result.grid else ""
        )
        process = create_group(entry, "process", "NXprocess")
        now = date or datetime.now().astimezone().isoformat(timespec="seconds")
        record = {"program": "dsfunet", "version": __version__, "date": now, **result.process}
        for name, value in record.items():
            process[name] = value
        axes = _write_axes(entry, result)
        for name, plane in result.planes().items():
            _write_plane(entry, name, plane, axes)
        for name in _SIGMAS:
            if name in entry:  # NeXus expects the uncertainty of a signal under this name
                entry[f"{name.removeprefix('sigma_')}/data_errors"] = entry[name]["data"]


def is_result(path: Path) -> bool:
    """Whether an HDF5 file is a result that `write_result` wrote, complete or damaged."""
    try:
        with open_hdf5(path) as file:
            return str(file.attrs.get("creator")) == "dsfunet"
    except Exception:  # whoever reads the file reports the damage
        return False


def read_result(path: Path | str) -> Result:
    """Read a result that `write_result` wrote.

    Raises:
        InputError: the file is missing, damaged, or not a result of dsfunet.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from dsfunet.io import PlaneGrid, Result, parse_plane, read_result, write_result
        >>> from dsfunet.physics import Cell
        >>> grid = PlaneGrid(Cell(5, 5, 8), parse_plane("hk1"), np.linspace(-1, 1, 5), np.linspace(-1, 1, 5))
        >>> ones = np.ones((5, 5))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "plane.nxs"
        ...     write_result(path, Result(ones, ones, ones, ones, 0 * ones, ones > 0, grid))
        ...     result = read_result(path)
        >>> str(result.grid.name), result.short_range_order.shape
        ('hk1', (5, 5))
    """
    path = Path(path)
    if not leading_bytes(path).startswith(HDF5_SIGNATURE):
        raise InputError(
            f"{path}: the file is not a result of dsfunet; expected a .nxs file of `dsfunet factorize`"
        )
    with open_hdf5(path) as file:
        try:
            with np.errstate(all="ignore"):  # numbers beyond float32 become infinite and are kept so
                return _read_entry(file["entry"])
        except (OSError, RuntimeError, LookupError, AttributeError, TypeError, ValueError) as error:
            raise InputError(
                f"{path}: the file is not a result of dsfunet, or it is damaged ({error})"
            ) from error


def _read_entry(entry: h5py.Group) -> Result:
    planes = {
        name: _read_plane(entry[name], name) for name in TITLES if name not in _OPTIONAL or name in entry
    }
    process = {name: _read_scalar_or_text(dataset) for name, dataset in entry["process"].items()}
    grid = _read_grid(entry)
    planes["mask"] = planes["mask"].astype(np.bool_)
    return Result(**planes, grid=grid, process=process)


def create_group(parent: h5py.Group, name: str, nx_class: str, **attributes: Any) -> h5py.Group:
    """Create a group of a NeXus class with attributes."""
    group = parent.create_group(name)
    group.attrs.update({"NX_class": nx_class, **attributes})
    return group


def _write_axes(entry: h5py.Group, result: Result) -> dict[str, h5py.Dataset]:
    """Write the axes once and return their datasets by name: slow axis, fast axis, then all others of a plane."""
    grid = result.grid
    if grid is None:
        pixels = create_group(entry, "pixels", "NXcollection")
        shape = result.input.shape
        return {
            label: create_dataset(pixels, label, np.arange(n), "pixel")
            for label, n in zip("yx", shape, strict=True)
        }
    sample = create_group(entry, "sample", "NXsample")
    cell = np.array(grid.cell.parameters)
    create_dataset(sample, "unit_cell_abc", cell[:3], "angstrom")
    create_dataset(sample, "unit_cell_alphabetagamma", cell[3:], "degree")
    unit_cell = create_dataset(sample, "unit_cell", cell, "angstrom, degree")
    first, second = grid.name.labels
    if isinstance(grid.name, SpannedPlaneName):
        # NeXus names are letters and digits, so the vectors are stored beside u and v and shown in the long names.
        vectors = dict(zip(_SPANNED, (*grid.name.vectors, grid.name.origin), strict=True))
        return {
            "u": create_dataset(sample, "u", grid.rows, "r.l.u.", first),
            "v": create_dataset(sample, "v", grid.columns, "r.l.u.", second),
            **{label: create_dataset(sample, label, hkl, "r.l.u.") for label, hkl in vectors.items()},
            "unit_cell": unit_cell,
        }
    return {
        first: create_dataset(sample, first, grid.rows, "r.l.u."),
        second: create_dataset(sample, second, grid.columns, "r.l.u."),
        grid.name.fixed_label: create_dataset(
            sample, grid.name.fixed_label, np.float64(grid.name.offset), "r.l.u."
        ),
        "unit_cell": unit_cell,
    }


def _write_plane(
    entry: h5py.Group, name: str, plane: npt.NDArray[Any], axes: Mapping[str, h5py.Dataset]
) -> None:
    rows, columns = list(axes)[:2]
    group = create_group(entry, name, "NXdata", signal="data", axes=[rows, columns])
    group.attrs.update({f"{rows}_indices": 0, f"{columns}_indices": 1})
    group["title"] = TITLES[name]
    # h5py stores booleans as an enumeration, which many viewers cannot draw.
    if plane.dtype == np.bool_:
        data = group.create_dataset(
            "data", data=plane.astype(np.uint8), compression="gzip", compression_opts=1
        )
    else:  # compression would save a third of the size and double the time to write a result
        data = group.create_dataset("data", data=plane, chunks=plane.shape, fletcher32=True)
    data.attrs["long_name"] = TITLES[name]
    for label, dataset in axes.items():
        group[label] = dataset  # a hard link


def create_dataset(
    group: h5py.Group, name: str, values: npt.ArrayLike, units: str, long_name: str = ""
) -> h5py.Dataset:
    """Create a dataset with its unit and a name for viewers."""
    dataset = group.create_dataset(name, data=values)
    dataset.attrs.update({"units": units, "long_name": f"{long_name or name} ({units})"})
    return dataset


def _read_plane(group: h5py.Group, name: str) -> npt.NDArray[Any]:
    """Read a plane; its shape is checked before an array of that size is created, in case the file is damaged."""
    data = require_numbers(group, "data", f"the plane {name} of a result", REAL + "b")
    shape = get_shape(data) or ()
    if len(shape) != 2 or shape[0] * shape[1] > MOST_PIXELS:
        raise InputError(f"{name} has shape {shape}; expected a plane with two dimensions")
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
        raise InputError(f"{dataset.name} has shape {dataset.shape}; expected one number or text")
    check_storage(dataset)
    value = dataset[()]
    result: Scalar = value.decode() if isinstance(value, bytes) else value.item()
    return result
