"""What is asked of a refinement: settings of the command line as bounds, orbits and a cell."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dsfunet.analysis.refinement.data import ErrorsFrom, FitTo
from dsfunet.errors import InputError
from dsfunet.io import PlaneGrid
from dsfunet.io.cell_parameters import cell_from_text
from dsfunet.physics import Cell
from dsfunet.physics.symmetry import Orbit, laue_rotations, nearest_shells, orbits_of, symmetric_metric

_DEFAULT_SHELLS = 5
_MOST_INDEX = 50
# A cell of the user's that is farther than this from the file's belongs to another crystal, or to other axes.
_SAME_EDGE, _SAME_ANGLE_DEGREES = 0.05, 2.0
# Planes of one reconstruction have one and the same cell, but for digits lost on the way.
_ONE_CRYSTAL_EDGE, _ONE_CRYSTAL_ANGLE_DEGREES = 0.005, 0.5
_SAME_OFFSET = 1e-3


@dataclass(frozen=True)
class RefinementSettings:
    """What is asked of a refinement; `dsfunet.cli.refine.refine` says what each is."""

    laue: str
    cell: str | None = None
    shells: int | None = None
    vectors: str | None = None
    unique_axis: str | None = None
    out_of_plane: bool = False
    exclude_below: float = 0.05
    fit_to: FitTo = "measured"
    floor: float | None = None
    errors_from: ErrorsFrom = "zones"
    bounds: bool = False
    concentration: float | None = None
    model: str | None = None
    b_iso_angstrom2: float | None = None

    def __post_init__(self) -> None:
        if self.b_iso_angstrom2 is None:
            return
        if self.model is None:
            raise InputError(
                "--b-iso-angstrom2 is there for the form factor of a model: expected --model with it"
            )
        if not 0 <= self.b_iso_angstrom2 < np.inf:
            raise InputError(f"B {self.b_iso_angstrom2:g} Angstrom^2: expected zero or a positive number")


def fixed_axis(grids: Sequence[PlaneGrid], settings: RefinementSettings) -> int | None:
    """The axis along which vectors are taken for uncorrelated; None where there is no such axis.

    Planes of different orientation have no third axis in common, and each sees vectors out of the others.
    """
    axes = {grid.name.layer.fixed_axis for grid in grids}
    return None if settings.out_of_plane or len(axes) > 1 else axes.pop()


def check_one_crystal(files: Sequence[Path], grids: Sequence[PlaneGrid]) -> None:
    """Make sure that planes can be refined together.

    Raises:
        InputError: two of them have different cells, or are the same plane.
    """
    for number, (file, grid) in enumerate(zip(files, grids, strict=True)):
        if _differ(grid.cell, grids[0].cell, _ONE_CRYSTAL_EDGE, _ONE_CRYSTAL_ANGLE_DEGREES):
            raise InputError(
                f"{files[0]} and {file}: found cells {_text(grids[0].cell)} and {_text(grid.cell)}, expected one within"
                f" {100 * _ONE_CRYSTAL_EDGE:g} % and {_ONE_CRYSTAL_ANGLE_DEGREES:g} degrees, for planes of one crystal"
            )
        for other, earlier in zip(files[:number], grids[:number], strict=True):
            one, two = earlier.name.layer, grid.name.layer
            if one.axes == two.axes and abs(one.offset - two.offset) < _SAME_OFFSET:
                raise InputError(
                    f"{other} and {file}: found plane {grid.name} twice, expected different planes of one crystal"
                )


def alpha_bounds(settings: RefinementSettings) -> tuple[float, float] | None:
    """Feasible alphas, 1 - P/m with a conditional probability P between 0 and 1 for either species; None for any.

    Raises:
        InputError: a concentration without bounds, or bounds without one between 0 and 1.
    """
    if not settings.bounds:
        if settings.concentration is not None:
            raise InputError("--concentration is there for the bounds: expected --bounds true with it")
        return None
    first = settings.concentration
    if first is None or not 0 < first < 1:
        found = "none" if first is None else f"{first:g}"
        raise InputError(
            f"concentration {found}: the bounds expect --concentration, the share m_A between 0 and 1"
        )
    return max(-first / (1 - first), -(1 - first) / first), 1.0


def orbits_to_refine(settings: RefinementSettings, cell: Cell, without: int | None) -> list[Orbit]:
    """The orbits that were chosen, without vectors along the axis number `without`.

    Raises:
        InputError: they are not vectors, or not such as `symmetry.orbits_of` takes.
    """
    rotations = laue_rotations(settings.laue, settings.unique_axis)
    metric = symmetric_metric(cell, settings.laue, settings.unique_axis)
    if settings.vectors is None:
        number = _DEFAULT_SHELLS if settings.shells is None else settings.shells
        return nearest_shells(number, rotations, metric, without)
    if settings.shells is not None:
        raise InputError(
            f"{settings.shells} shells and vectors {settings.vectors!r}: expected one of the two"
        )
    vectors = []
    for text in settings.vectors.split(","):
        try:
            i, j, k = map(int, text.split())
        except ValueError:
            raise InputError(
                f"vector {text.strip()!r}: expected three whole numbers, several such separated by commas"
            ) from None
        if max(abs(i), abs(j), abs(k)) > _MOST_INDEX:
            raise InputError(f"vector {text.strip()!r}: expected indices up to {_MOST_INDEX}")
        vectors.append((i, j, k))
    return orbits_of(vectors, rotations, metric, without)


def cell_to_use(text: str | None, grid: PlaneGrid, file: Path) -> tuple[Cell, list[str]]:
    """The cell that was given, once it is found to be that of the file, or the file's; and a note on a difference.

    Raises:
        InputError: it is no cell, or not that of the file.
    """
    if text is None:
        return grid.cell, []
    cell = cell_from_text(text)
    if _differ(cell, grid.cell, _SAME_EDGE, _SAME_ANGLE_DEGREES):
        raise InputError(
            f"cell {text!r}: {file} has indices on the cell {_text(grid.cell)}; expected one within"
            f" {100 * _SAME_EDGE:g} % and {_SAME_ANGLE_DEGREES:g} degrees of it"
        )
    same = np.allclose(cell.parameters, grid.cell.parameters, rtol=1e-5, atol=1e-5)
    return cell, [] if same else [
        f"the file records the cell {_text(grid.cell)}; the one given takes its place"
    ]


def _differ(one: Cell, other: Cell, edge: float, angle_degrees: float) -> bool:
    first, second = np.array(one.parameters), np.array(other.parameters)
    edges, angles = np.abs(first[:3] / second[:3] - 1), np.abs(first[3:] - second[3:])
    return bool(edges.max() > edge or angles.max() > angle_degrees)


def _text(cell: Cell) -> str:
    return " ".join(f"{value:g}" for value in cell.parameters)
