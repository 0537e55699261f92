"""Arrays with names, as .npz and MATLAB files hold them: which is the intensity, and which are its axes and cell."""

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.io.axis_names import find_cartesian_axis, find_direction, find_index_axis
from dsfunet.io.cell_parameters import NO_CELL, FoundCell, cell_from_parameters
from dsfunet.io.formats.arrays import ArrayFile, Numbers

_INTENSITIES = (
    "intensity",
    "intensities",
    "data",
    "i",
    "signal",
    "counts",
    "plane",
    "volume",
    "image",
    "z",
    "v",
    "values",
)
_SIGMAS = (
    "sigma",
    "sigmas",
    "error",
    "errors",
    "err",
    "intensity_error",
    "sig",
    "esd",
    "di",
    "std",
    "uncertainty",
)
_CELLS = ("cell", "unit_cell", "unitcell", "lattice", "latt", "lattice_parameters", "cell_parameters", "lat")
_CELL_NAMES = ("a", "b", "c", "alpha", "beta", "gamma")


def sort_arrays(arrays: Mapping[str, Numbers], layout: str) -> ArrayFile:
    """Find the intensity among the arrays of a file, its axes, its uncertainties and the cell.

    Axes are vectors, or grids of the shape of the intensity, with names such as h, Qk or "[0,0,L]"; a single number of
    such a name is the index of a plane. Without names, axes of the right lengths are not guessed. A vector of another
    name is the axis of the dimension that they leave, such as temperature, if there is one and its length fits.

    Raises:
        InputError: there is no intensity, or more than one array may be it.
    """
    plain = {
        name: np.asarray(array) for name, array in arrays.items() if np.asarray(array).dtype.kind in "iufb"
    }
    named = {name: array for name, array in plain.items() if _is_axis(name)}
    cells = [name for name in plain if name.lower() in _CELLS and plain[name].size == 6]
    sigmas = [name for name in plain if name.lower() in _SIGMAS and np.squeeze(plain[name]).ndim >= 2]
    candidates = [
        name
        for name, array in plain.items()
        if np.squeeze(array).ndim >= 2 and name not in named and name not in sigmas and name not in cells
    ]
    usual = [name for name in candidates if name.lower() in _INTENSITIES]
    chosen = candidates if len(candidates) == 1 else usual
    if len(chosen) != 1:
        found = ", ".join(f"{name} {np.asarray(array).shape}" for name, array in list(arrays.items())[:8])
        raise InputError(
            f"the file holds {found or 'no arrays'}; expected one array of two or three dimensions, or one named"
            " intensity"
        )
    intensity = plain[chosen[0]]
    sigma = next((plain[name] for name in sigmas if plain[name].shape == intensity.shape), None)
    others = {
        name: array.ravel().astype(np.float64)
        for name, array in plain.items()
        if np.squeeze(array).ndim == 1 and name not in named and name not in cells
    }
    axes, layers, further = _match_axes(named, others, intensity.shape)
    cell = cell_from_parameters(plain[cells[0]].ravel(), cells[0]) if cells else _read_six_numbers(plain)
    if len(axes) < 2:
        axes, further, named = {}, {}, {name: array for name, array in named.items() if array.size == 1}
    used = {chosen[0], *named, *cells, *sigmas, *(name for name, _ in further.values())}
    ignored = [
        name for name in arrays if name not in used and name not in _CELL_NAMES and not name.startswith("__")
    ]
    notes = (f"the file also holds {', '.join(ignored)}, which is ignored",) if ignored else ()
    return ArrayFile(layout, intensity, axes, layers, cell=cell, sigma=sigma, notes=notes, further=further)


def _is_axis(name: str) -> bool:
    return find_direction(name) is not None or find_cartesian_axis(name) is not None


_Axes: TypeAlias = dict[int, tuple[str, Array]]


def _match_axes(
    named: Mapping[str, Numbers], others: Mapping[str, Array], shape: tuple[int, ...]
) -> tuple[_Axes, dict[int, float], _Axes]:
    """Match arrays named like axes to the dimensions of the intensity, and single numbers to layers.

    Returns:
        the axes, the layers, and the axis of a dimension that is none of reciprocal space, from `others`.
    """
    axes: _Axes = {}
    layers: dict[int, float] = {}
    vectors: list[tuple[str, Array]] = []
    for name, array in named.items():
        values = np.asarray(array, dtype=np.float64)
        number = find_index_axis(name)
        if values.size == 1 and number is not None:
            layers[number] = float(values.ravel()[0])
        elif values.shape == shape and min(shape) > 1:
            dimension = _find_varying_dimension(values)
            if dimension is not None:
                axes[dimension] = name, np.moveaxis(values, dimension, 0).reshape(shape[dimension], -1)[:, 0]
            elif number is not None and np.ptp(values) == 0:
                layers[number] = float(values.flat[0])
        elif np.squeeze(values).ndim == 1:
            vectors.append((name, values.ravel()))
    # In the order h, k, l, and x, y, z, along the dimensions; in the reverse order if only that fits the lengths.
    vectors.sort(key=lambda pair: _order_of_axis(pair[0]))
    free = [dimension for dimension, count in enumerate(shape) if count > 1 and dimension not in axes]
    if len(vectors) == len(free):
        return axes | (_match_in_order(vectors, free, shape) or {}), layers, {}
    found = [
        (matched, {dimension: (name, values)})
        for name, values in others.items()
        for dimension in free
        if len(values) in (shape[dimension], shape[dimension] + 1)
        and (matched := _match_in_order(vectors, [each for each in free if each != dimension], shape))
        is not None
    ]
    if len(found) == 1:
        return axes | found[0][0], layers, found[0][1]
    return axes, layers, {}


def _match_in_order(
    vectors: list[tuple[str, Array]], free: list[int], shape: tuple[int, ...]
) -> _Axes | None:
    """Match vectors to dimensions in their order, or in the reverse order; None if the lengths fit neither."""
    for order in (free, free[::-1]):
        if len(vectors) == len(order) and all(
            len(values) in (shape[dimension], shape[dimension] + 1)
            for (_, values), dimension in zip(vectors, order, strict=True)
        ):
            return dict(zip(order, vectors, strict=True))
    return None


def _order_of_axis(name: str) -> tuple[int, ...]:
    direction, component = find_direction(name), find_cartesian_axis(name)
    if direction is not None:
        return int(np.flatnonzero(direction)[0]), -int(np.sign(direction).sum())
    return (component if component is not None else 3,)


def _find_varying_dimension(values: Array) -> int | None:
    """Find the one dimension along which a grid of coordinates changes."""
    varying = [d for d in range(values.ndim) if not np.allclose(np.diff(values, axis=d), 0, atol=1e-9)]
    return varying[0] if len(varying) == 1 else None


def _read_six_numbers(arrays: Mapping[str, Numbers]) -> FoundCell:
    if all(name in arrays and arrays[name].size == 1 for name in _CELL_NAMES):
        return cell_from_parameters([float(arrays[name].ravel()[0]) for name in _CELL_NAMES], "a, b, c, ...")
    return None, NO_CELL
