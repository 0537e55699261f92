"""MDHisto workspaces of Mantid, as SaveMD writes them.

The array is indexed [D2, D1, D0]: the first dimension comes last. D0, D1, ... hold bin edges, one more than there are
bins, and their long names, such as [H,0,0], give their directions. The UB matrix is stored without the factor 2 pi. A
bin is missing if its mask is 1 or its value is not finite, which means that there was nothing to normalise by. In
unnormalised histograms such bins are zero; there, bins without signal and without events are missing too.
"""

from dataclasses import replace

import h5py
import numpy as np

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.io.axis_names import find_cartesian_axis, find_direction
from dsfunet.io.cell_parameters import NO_CELL, FoundCell, cell_from_parameters, cell_from_ub, cells_agree
from dsfunet.io.cell_units import CellQuestion
from dsfunet.io.directed_axes import ArrayPlace, DirectedAxis, make_cartesian_axes, place_array
from dsfunet.io.fourth_axis import ChosenValue, Coordinates, choose_value
from dsfunet.io.gap_marks import GapReader
from dsfunet.io.grid_axes import GridAxis, describe_stored_order, make_grid_axis
from dsfunet.io.hdf5 import (
    REAL,
    find_dataset,
    find_group,
    get_shape,
    list_members,
    read_attribute_number,
    read_attribute_text,
    read_scalar,
    read_small,
    read_text,
    require_numbers,
)
from dsfunet.io.oblique_volumes import Read
from dsfunet.io.read_options import ReadOptions
from dsfunet.io.volume import Box, Volume, to_intensities

EXPECTED = "a Mantid MDHistoWorkspace (data/signal with axes D0, D1, D2)"
"""What this reader looks for, in words, for messages."""

_LATTICE = "experiment0/sample/oriented_lattice"
_WANTED = "expected dimensions along [H,0,0], [0,K,0], [0,0,L] in any order"


def recognises(file: h5py.File) -> bool:
    """Whether an open file has this layout."""
    return find_group(file, "MDHistoWorkspace") is not None


def open_volume(file: h5py.File, options: ReadOptions | None = None) -> Volume:
    """Describe the volume in an open file.

    Args:
        file: the file.
        options: what the user says about the file: a value along a fourth axis.

    Raises:
        InputError: the workspace is not binned along h, k and l, is incomplete, or contradicts itself.
    """
    workspace = find_group(file, "MDHistoWorkspace")
    assert workspace is not None
    data = find_group(workspace, "data")
    if data is None:
        raise InputError(f"MDHistoWorkspace has no data; expected {EXPECTED}")
    signal = require_numbers(data, "signal", EXPECTED)
    place = _make_place(workspace, data, signal, None if options is None else options.at)
    stored, grid = place.stored, place.grid
    others = {name: find_dataset(data, name, REAL + "b") for name in ("mask", "num_events", "errors_squared")}
    for name, dataset in others.items():
        if dataset is not None and get_shape(dataset) != get_shape(signal):
            raise InputError(f"{name} has shape {get_shape(dataset)}; expected {get_shape(signal)}")

    def read_values(name: str, box: Box) -> Array | None:
        dataset = others[name]
        return None if dataset is None else to_intensities(stored.read(dataset, box))

    def read_signal(box: Box) -> Array:
        found = to_intensities(stored.read(signal, box))
        mask, events = read_values("mask", box), read_values("num_events", box)
        normalised = np.isnan(found).any()
        if mask is not None:
            found[mask != 0] = np.nan
        if events is not None and not normalised and (events != 0).any():
            found[(events == 0) & (found == 0)] = np.nan
        return found

    def read_variance(box: Box) -> Array:
        squared = read_values("errors_squared", box)
        assert squared is not None
        return np.where(np.isnan(gaps(box)) | (squared < 0), np.nan, squared)

    axes = stored
    gaps = GapReader(read_signal)
    read: Read = read_signal
    read_variances: Read = read_variance
    if grid is not None:
        axes = grid.make_straight_axes()
        # Neighbouring voxels that share a bin share its error, so variances are averaged and do not shrink.
        read = grid.straighten_reader(axes, gaps)
        read_variances = grid.straighten_reader(axes, read_variance)
    (cell, trouble), more = _read_cell(workspace)
    return Volume(
        "Mantid MDHisto workspace",
        axes,
        read,
        cell,
        trouble,
        (lambda box: np.sqrt(read_variances(box))) if others["errors_squared"] is not None else None,
        (*place.notes, "the axes are bin edges, so voxel centres lie half-way between", *more),
        _list_details(workspace),
        spanned=place.spanned,
        remarks=gaps.describe,
        choices=place.choices,
    )


def _make_place(
    workspace: h5py.Group, data: h5py.Group, signal: h5py.Dataset, at: Coordinates | None
) -> ArrayPlace:
    """Find the place of the array: along h, k and l, in other directions, or a plane spanned by two of these."""
    shape = get_shape(signal) or ()
    if len(shape) < 2:
        raise InputError(
            f"signal has shape {shape}; expected a volume (SaveMD version 1 wrote flat arrays: save it again)"
        )
    names = _find_dimension_names(data, signal, len(shape))
    thick = [name for name, count in zip(names, shape, strict=True) if count > 1]
    of_space = [name for name in thick if _is_of_space(data, name)]
    if len(of_space) < 2:
        of_space = thick
    in_q = _check_frame(workspace, data, of_space or names)
    matrix = None if in_q else _read_w_matrix(workspace)
    notes: list[str] = []
    directed: dict[int, DirectedAxis] = {}
    cartesian: dict[int, tuple[int, GridAxis, str]] = {}
    chosen: dict[int, ChosenValue] = {}
    choices: dict[str, tuple[float, ...]] = {}
    for dimension, name in enumerate(names):
        dataset = require_numbers(data, name, EXPECTED)
        long_name = read_attribute_text(dataset, "long_name") or name
        column = len(names) - 1 - dimension
        stated = matrix[:, column] if matrix is not None and column < 3 else None
        label = f"{name} {read_attribute_text(dataset, 'long_name')}".strip()

        def read_axis(
            number: int, dimension: int = dimension, name: str = name, label: str = label
        ) -> GridAxis:
            return make_grid_axis(number, read_small(data[name], name), shape[dimension], label)

        if shape[dimension] > 1 and name not in of_space:
            value = choose_value(
                long_name,
                read_small(dataset, name),
                shape[dimension],
                read_attribute_text(dataset, "units"),
                at,
            )
            chosen[dimension], choices[long_name] = value, value.values
            notes.append(value.note)
            continue
        component = find_cartesian_axis(long_name) if in_q else None
        if component is not None:
            cartesian[dimension] = component, read_axis(component), long_name
            continue
        direction, remark = _choose_direction(long_name, stated)
        if direction is not None and not in_q:
            axis = read_axis(column % 3)
            directed[dimension] = DirectedAxis(direction, axis.first, axis.step, name)
        elif shape[dimension] != 1:
            raise InputError(f"dimension {name} of the workspace is {long_name!r}; {_WANTED}")
        notes += remark
    if cartesian:
        (cell, _), _ = _read_cell(workspace)
        directed, more = make_cartesian_axes(cartesian, cell, _read_ub(workspace))
        notes += more
    left = tuple(1 if dimension in chosen else count for dimension, count in enumerate(shape))
    place = place_array(left, directed)
    indices = tuple((dimension, value.index) for dimension, value in chosen.items())
    place = replace(place, stored=replace(place.stored, chosen=indices), choices=choices)
    if place.grid is None and place.spanned is None:
        notes.insert(0, f"array order in the file: {describe_stored_order(place.stored)}")
    return replace(place, notes=(*notes, *place.notes))


def _is_of_space(data: h5py.Group, name: str) -> bool:
    """Whether a dimension runs along a direction in h, k, l or a component of Q, by its name."""
    dataset = find_dataset(data, name)
    long_name = (read_attribute_text(dataset, "long_name") if dataset is not None else "") or name
    return find_direction(long_name) is not None or find_cartesian_axis(long_name) is not None


def _choose_direction(name: str, stated: Array | None) -> tuple[Array | None, list[str]]:
    """Choose the direction of a dimension in h, k, l, by its name or else by W_MATRIX; with notes for the user."""
    direction = find_direction(name)
    if stated is None:
        return direction, []
    if direction is None:
        return stated, [f"{name} runs along {stated.tolist()}, according to W_MATRIX"]
    # Names have three digits only. But a workspace that was cut from another one keeps the matrix of that one.
    if np.allclose(stated, direction, atol=2e-3):
        return stated, []
    return direction, [f"W_MATRIX gives {stated.tolist()} for {name}; the name is used"]


def _find_dimension_names(data: h5py.Group, signal: h5py.Dataset, rank: int) -> list[str]:
    """Find the names of the datasets that describe the dimensions of the array, slowest first."""
    stated = read_attribute_text(signal, "axes").split(":")
    if len(stated) == rank and all(find_dataset(data, name) is not None for name in stated):
        return stated
    plain = [f"D{rank - 1 - dimension}" for dimension in range(rank)]
    if all(find_dataset(data, name) is not None for name in plain):
        return plain
    # Otherwise the datasets are named by their directions; the first dimension of Mantid comes last.
    named = {}
    for name in list_members(data):
        direction = find_direction(name)
        if direction is not None and np.count_nonzero(direction) == 1:
            named[int(np.abs(direction).argmax())] = name
    if len(named) == rank == 3:
        return [named[number] for number in (2, 1, 0)]
    raise InputError(f"MDHistoWorkspace/data lacks the axes {', '.join(plain)}; expected {EXPECTED}")


def _check_frame(workspace: h5py.Group, data: h5py.Group, names: list[str]) -> bool:
    """Check the frame of the dimensions with several bins; return whether they are components of Q of the sample."""
    frames = {read_attribute_text(require_numbers(data, name, EXPECTED), "frame") for name in names} - {""}
    system = read_scalar(workspace, "coordinate_system")
    if frames == {"QSample"} or (not frames and system == 2.0):
        return True
    if frames and frames != {"HKL"}:
        found = ", ".join(sorted(frames))
        repair = (
            "if its axes are h, k, l, say so with SetMDFrame(InputWorkspace=..., MDFrame='HKL', Axes='0,1,2') and save"
            " it again; else bin it in HKL"
            if "General Frame" in frames
            else "bin it in HKL before saving"
        )
        raise InputError(f"the workspace is in the frame {found}; expected HKL ({repair})")
    if not frames and system == 1.0:
        raise InputError("the workspace is in a frame of Q; expected HKL (bin it in HKL before saving)")
    return False


def _read_ub(workspace: h5py.Group) -> Array | None:
    found = find_dataset(workspace, f"{_LATTICE}/orientation_matrix")
    if found is None or found.size != 9:
        return None
    matrix = read_small(found, "orientation_matrix").reshape(3, 3)
    return matrix if np.isfinite(matrix).all() and abs(np.linalg.det(matrix)) > 1e-12 else None


def _read_w_matrix(workspace: h5py.Group) -> Array | None:
    for path in ("experiment0/logs/W_MATRIX/value", "experiment0/logs/W_MATRIX"):
        found = find_dataset(workspace, path)
        if found is not None and found.size == 9:
            matrix = read_small(found, path).reshape(3, 3)
            if np.isfinite(matrix).all() and matrix.any() and np.abs(matrix).max() < 1e3:
                return matrix
    return None


def _read_cell(workspace: h5py.Group) -> tuple[FoundCell, list[str]]:
    found = find_dataset(workspace, f"{_LATTICE}/orientation_matrix")
    by_matrix: FoundCell = None, NO_CELL
    if found is not None and found.size == 9:
        by_matrix = cell_from_ub(read_small(found, "orientation_matrix").reshape(3, 3), "orientation_matrix")
    parameters = [
        read_scalar(workspace, f"{_LATTICE}/unit_cell_{name}")
        for name in ("a", "b", "c", "alpha", "beta", "gamma")
    ]
    by_numbers: FoundCell = None, NO_CELL
    if all(value is not None for value in parameters):
        by_numbers = cell_from_parameters(
            [value for value in parameters if value is not None], "unit_cell_a, ..."
        )
    if by_numbers[0] is None:
        notes = ["the unit cell comes from the UB matrix, which has no factor 2 pi"] if by_matrix[0] else []
        return (by_matrix if by_matrix[0] or by_matrix[1] != NO_CELL else by_numbers), notes
    doubtful = isinstance(by_matrix[1], CellQuestion)  # such as a matrix with the factor 2 pi
    if doubtful or (by_matrix[0] is not None and not cells_agree(by_matrix[0], by_numbers[0])):
        return by_numbers, ["the UB matrix disagrees with unit_cell_a, ...; the latter are used"]
    return by_numbers, []


def _list_details(workspace: h5py.Group) -> dict[str, str]:
    details = {}
    version = read_attribute_number(workspace, "SaveMDVersion")
    if version is not None:
        details["SaveMD version"] = f"{version:g}"
    sample = find_group(workspace, "experiment0/sample")
    found = {
        "sample": read_attribute_text(sample, "name") if sample is not None else "",
        "title": read_text(workspace, "experiment0/title"),
        "run": read_text(workspace, "experiment0/logs/run_number/value"),
    }
    return details | {name: value[:200] for name, value in found.items() if value}
