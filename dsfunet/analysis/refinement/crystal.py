"""What several planes of a refinement have in common: one crystal, its cell, and the axis left out."""

from collections.abc import Sequence

import numpy as np

from dsfunet.analysis.refinement.settings import RefinementSettings
from dsfunet.errors import InputError
from dsfunet.physics import Cell
from dsfunet.physics.centring import Vector
from dsfunet.physics.layer_orbits import LayerHarmonics
from dsfunet.physics.symmetry import (
    AXES,
    Orbit,
    laue_rotations,
    nearest_shells,
    orbits_of,
    symmetric_metric,
)
from dsfunet.planes.measured import PlaneGrid

DEFAULT_SHELLS = 5
"""Number of nearest shells that are refined where neither shells nor vectors are given."""

# A given cell that differs more than this from the file's belongs to another crystal or to other axes.
_SAME_EDGE, _SAME_ANGLE_DEGREES = 0.05, 2.0
# Planes of one reconstruction share one cell, up to digits lost on the way.
_ONE_CRYSTAL_EDGE, _ONE_CRYSTAL_ANGLE_DEGREES = 0.005, 0.5
_SAME_OFFSET = 1e-3


def fixed_axis(grids: Sequence[PlaneGrid], settings: RefinementSettings) -> int | None:
    """Return the axis along which vectors are assumed to be uncorrelated; None where there is no such axis.

    Planes of different orientations have no common third axis, and each contains vectors out of the others.
    """
    axes = {grid.name.layer.fixed_axis for grid in grids}
    return None if settings.out_of_plane or len(axes) > 1 else axes.pop()


def choose_orbits(
    names: Sequence[str], grids: Sequence[PlaneGrid], settings: RefinementSettings
) -> list[Orbit]:
    """Return the orbits to refine on planes of one crystal: of lattice vectors, or of the harmonics of a single layer.

    Args:
        names: of the planes, for error messages.
        grids: of the planes, all with the cell to refine on.
        settings: of the refinement, with nothing left open (`settle_settings`).

    Raises:
        InputError: there are several planes for the correlations of a layer, the cell does not obey the Laue class, or
            the vectors or shells are not usable (`dsfunet.physics.symmetry`, `dsfunet.physics.layer_orbits`).
    """
    cell, centring = grids[0].cell, settings.centring or "P"
    rotations = laue_rotations(settings.laue, settings.unique_axis)
    metric = symmetric_metric(cell, settings.laue, settings.unique_axis)
    shells = DEFAULT_SHELLS if settings.shells is None else settings.shells
    if not settings.layer:
        without_axis = fixed_axis(grids, settings)
        if settings.vectors is None:
            return nearest_shells(shells, rotations, metric, without_axis, centring)
        vectors: list[Vector] = [(i, j, k) for i, j, k in settings.vectors]
        return orbits_of(vectors, rotations, metric, without_axis, centring)
    if len(grids) > 1:
        raise InputError(
            f"--layer true: found {len(grids)} planes, {', '.join(names)}; expected one, because each layer has"
            " correlations of its own"
        )
    harmonics = layer_harmonics(grids[0], settings)
    return (
        harmonics.nearest_shells(shells)
        if settings.vectors is None
        else harmonics.orbits_of(settings.vectors)
    )


def layer_harmonics(grid: PlaneGrid, settings: RefinementSettings) -> LayerHarmonics:
    """Return the harmonics of the layer of a plane; the settings say its Laue class and centring.

    Raises:
        InputError: the cell does not obey the Laue class.
    """
    rotations = laue_rotations(settings.laue, settings.unique_axis)
    metric = symmetric_metric(grid.cell, settings.laue, settings.unique_axis)
    layer = grid.name.layer
    return LayerHarmonics(rotations, metric, layer.fixed_axis, layer.offset, settings.centring or "P")


def notes_on_layers(grids: Sequence[PlaneGrid], settings: RefinementSettings) -> list[str]:
    """Return sentences about what planes of one orientation settle: correlations of a layer."""
    axis = fixed_axis(grids, settings)
    if axis is None:
        return []
    along = AXES[axis]
    if settings.layer:
        return [
            f"the values are correlations of the layer, not alphas of the crystal: {layer_formula(axis)}, n over all"
            " lattice vectors with these components"
        ]
    return [
        f"the values are alphas only if correlations along {along} vanish, as --no-order-along-axis states; otherwise"
        " they are correlations of the layer"
    ]


def layer_formula(axis: int) -> str:
    """Return the definition of the correlation of a layer as text, with the axis a, b or c as 0, 1 or 2."""
    letters = ["u", "v", "w"]
    letters[axis] = "n"
    origin = ["n" if number == axis else "0" for number in range(3)]
    phase = f"exp(2 pi i {'hkl'[axis]} n)"
    return f"sum_n alpha({' '.join(letters)}) {phase} / sum_n alpha({' '.join(origin)}) {phase}"


def check_one_crystal(names: Sequence[str], grids: Sequence[PlaneGrid]) -> None:
    """Check that planes can be refined together; `names` name them in error messages.

    Raises:
        InputError: two planes have different cells or are the same plane.
    """
    for number, (name, grid) in enumerate(zip(names, grids, strict=True)):
        if _differ(grid.cell, grids[0].cell, _ONE_CRYSTAL_EDGE, _ONE_CRYSTAL_ANGLE_DEGREES):
            raise InputError(
                f"{names[0]} and {name}: found cells {_text(grids[0].cell)} and {_text(grid.cell)}; expected planes of"
                f" one crystal, with cells within {100 * _ONE_CRYSTAL_EDGE:g} % and"
                f" {_ONE_CRYSTAL_ANGLE_DEGREES:g} degrees"
            )
        for other, earlier in zip(names[:number], grids[:number], strict=True):
            one, two = earlier.name.layer, grid.name.layer
            if one.axes == two.axes and abs(one.offset - two.offset) < _SAME_OFFSET:
                raise InputError(
                    f"{other} and {name}: found plane {grid.name} twice; expected different planes of one crystal"
                )


def cell_to_use(given: Cell | None, measured: Cell, name: str) -> tuple[Cell, list[str]]:
    """Return the cell to refine on, the given one or that of the result, and notes on a difference between them.

    Raises:
        InputError: the given cell is not that of the result called `name`.
    """
    if given is None:
        return measured, []
    if _differ(given, measured, _SAME_EDGE, _SAME_ANGLE_DEGREES):
        raise InputError(
            f"--cell {_text(given)}: {name} has the cell {_text(measured)}; expected agreement within"
            f" {100 * _SAME_EDGE:g} % and {_SAME_ANGLE_DEGREES:g} degrees"
        )
    same = np.allclose(given.parameters, measured.parameters, rtol=1e-5, atol=1e-5)
    return given, [] if same else [f"the given cell replaces that of the file, {_text(measured)}"]


def _differ(one: Cell, other: Cell, edge: float, angle_degrees: float) -> bool:
    first, second = np.array(one.parameters), np.array(other.parameters)
    edges, angles = np.abs(first[:3] / second[:3] - 1), np.abs(first[3:] - second[3:])
    return bool(edges.max() > edge or angles.max() > angle_degrees)


def _text(cell: Cell) -> str:
    return " ".join(f"{value:g}" for value in cell.parameters)
