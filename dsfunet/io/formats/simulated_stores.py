"""Stores of planes that `python -m simulate` writes, folders in Zarr v3: one plane is read like a measured one.

A store holds both components of each plane, (256, 256) and normalised, with their floors (minimum over range). The
scattering is stored as measured, or is the product of the components: I ~ (form_factor + floor) (short_range_order +
floor), normalised to [0, 1].
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.files import name_file_in_errors
from dsfunet.io.fourth_axis import Coordinates, choose_value
from dsfunet.io.user_axes import SAME_PIXEL
from dsfunet.physics import Cell
from dsfunet.planes.measured import MeasuredPlane, PlaneGrid
from dsfunet.planes.names import PlaneName, SpannedPlaneName
from dsfunet.planes.preprocessing import normalise

AXIS = "plane"
"""Name of the axis along which a store counts its planes."""


def recognises(path: Path) -> bool:
    """Whether a path is the folder of a Zarr store."""
    return path.is_dir() and (path / "zarr.json").is_file()


def count_planes(path: Path) -> int:
    """Return the number of planes in a store.

    Raises:
        InputError: zarr is not installed, or the folder is no finished store of simulated planes.
    """
    with name_file_in_errors(path):
        return _count_planes(_open_store(path))


def read_plane_of_store(path: Path, at: Coordinates | None) -> MeasuredPlane:
    """Read one plane of a store, on its Cartesian grid and with the cell it was simulated for.

    Args:
        path: folder of the store.
        at: number of the plane, `plane=17`.

    Raises:
        InputError: as `count_planes`, or no plane is chosen, or there is no such plane, or it is damaged.
    """
    with name_file_in_errors(path):
        group = _open_store(path)
        count = _count_planes(group)
        if at is None or at.name.lower() not in ("", AXIS):
            raise InputError(f"a store of {count} simulated planes; choose one, such as --at {AXIS}=0")
        number = choose_value(AXIS, np.arange(float(count)), count, "", at).index
        try:
            intensity = _read_scattering(group, number)
            mask = np.unpackbits(np.asarray(group["mask"][number]), axis=-1).astype(bool)
            measured = _place(np.where(mask, intensity, np.nan), group, number)
        except InputError:
            raise
        except (KeyError, ValueError, RuntimeError, OSError) as error:  # a checksum, a codec, a missing array
            raise InputError(f"plane {number} of the store is damaged ({error})") from error
        note = f"plane {number} of {count} simulated planes; intensities are normalised to [0, 1]"
        return replace(measured, notes=(note,))


def _place(intensity: Array, group: Any, number: int) -> MeasuredPlane:
    """Put a plane on its grid: rows run along a reciprocal axis, and columns perpendicular to it within the plane."""
    cell = Cell(*np.asarray(group["cell"][number]).tolist())
    first, second = np.asarray(group["plane_axes"][number]).tolist()
    offset = float(group["plane_offset"][number])
    steps = np.asarray(group["plane"][number])[1:] @ cell.direct.T / (2 * np.pi)  # h, k, l of both steps
    along, across = float(steps[0, first]), float(steps[1, second])
    rows, columns = (
        step * (np.arange(n) - n // 2) for step, n in zip((along, across), intensity.shape, strict=True)
    )
    shear = float(steps[1, first]) / across
    if abs(shear * columns[0]) <= SAME_PIXEL * abs(along):
        if first < second:
            return MeasuredPlane(
                intensity, PlaneGrid(cell, PlaneName((first, second), offset), rows, columns)
            )
        return MeasuredPlane(intensity.T, PlaneGrid(cell, PlaneName((second, first), offset), columns, rows))
    vectors = np.eye(3)[[first, second]]
    vectors[1, first] = round(shear, 12)
    through = np.zeros(3)
    through[3 - first - second] = offset
    u, v, origin = ((each[0], each[1], each[2]) for each in (*vectors.tolist(), through.tolist()))
    return MeasuredPlane(intensity, PlaneGrid(cell, SpannedPlaneName(u, v, origin), rows, columns))


def _open_store(path: Path) -> Any:
    try:
        import zarr
    except ModuleNotFoundError as error:
        raise InputError(
            f"a Zarr store, and {error.name} is not installed; install it with pip install 'dsfunet[train]'"
        ) from error
    try:
        group = zarr.open_group(path, mode="r", zarr_format=3)
    except Exception as error:  # damaged metadata fail in a dozen ways
        raise InputError("not a Zarr v3 store of simulated planes") from error
    if "layout_version" not in group.attrs or not group.attrs.get("complete"):
        raise InputError(
            "not a finished store of simulated planes; expected one that `python -m simulate` wrote"
        )
    return group


def _count_planes(group: Any) -> int:
    samples = group.attrs.get("samples")
    if not isinstance(samples, int) or samples < 1:
        raise InputError("the store is damaged; its attributes have no number of samples")
    return samples


def _read_scattering(group: Any, number: int) -> Array:
    names = ("scattering",) if "scattering" in group else ("form_factor", "short_range_order")
    planes = [np.asarray(group[name][number], dtype=np.float32) for name in names]
    if not all(np.isfinite(each).all() for each in planes):  # the fill value
        raise InputError(f"plane {number} of the store is missing; its shard was deleted or never written")
    if len(planes) == 1:
        return planes[0].astype(np.float64)
    factors = [
        plane + np.float32(group[f"{name}_floor"][number]) for name, plane in zip(names, planes, strict=True)
    ]
    return np.asarray(normalise(factors[0] * factors[1])[0], dtype=np.float64)
