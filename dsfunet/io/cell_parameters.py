"""Unit cells as files and users give them: six numbers, a metric tensor or a UB matrix; and whether they are valid."""

import re
from collections.abc import Sequence

import numpy as np

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.io.cell_units import CellQuestion, CellUnits, parse_cell_units, question_units
from dsfunet.physics import Cell
from dsfunet.physics.lattice import parameters_of_metric

FoundCell = tuple[Cell | None, str]
"""A cell and "", or None and the reason why there is no valid cell."""

NO_CELL = "the file has no unit cell"

_EDGES = 0.1, 1e4  # [Angstrom]; no crystal has a cell edge outside this range


def cell_from_parameters(values: Sequence[float] | Array, name: str) -> FoundCell:
    """Make a cell from six numbers a, b, c [Angstrom], alpha, beta, gamma [degrees], called `name` in the file."""
    numbers = tuple(map(float, values))
    if np.allclose(numbers, [1, 1, 1, 90, 90, 90]):
        return None, f"{name} is 1 1 1 90 90 90, which is a placeholder and not a cell"
    if np.isfinite(numbers).all() and min(numbers) > 0:
        question = question_units(numbers, name, CellUnits(), "give --cell-unit")
        if question is not None:
            return None, question
    return _make_cell(numbers, name)


def convert_cell(cell: Cell | None, trouble: str, units: CellUnits) -> FoundCell:
    """Convert a cell that was read as Angstrom and degrees, or raised a question, from the units that a user names.

    Args:
        cell: the cell; None if there is none, or if it raised a question.
        trouble: the reason why there is none.
        units: the units.
    """
    if cell is None and not isinstance(trouble, CellQuestion):
        return cell, trouble
    numbers = trouble.numbers if isinstance(trouble, CellQuestion) else cell.parameters if cell else ()
    if units == CellUnits():
        return cell, trouble
    question = question_units(numbers, "the unit cell", units, "give --cell-unit")
    return (None, question) if question is not None else _make_cell(units.convert(numbers), "the unit cell")


def _make_cell(numbers: Sequence[float], name: str) -> FoundCell:
    try:
        cell = Cell(*numbers)
    except InputError as error:
        return None, f"{name} is not a valid cell ({error})"
    if min(numbers[:3]) < _EDGES[0] or max(numbers[:3]) > _EDGES[1]:
        edges = ", ".join(f"{edge:g}" for edge in numbers[:3])
        return None, f"{name} is not a valid cell (its edges are {edges} Angstrom)"
    return cell, ""


def cell_from_text(text: str) -> Cell:
    """Parse a unit cell that a user wrote: "a b c alpha beta gamma", with blanks or commas.

    Edges are in Angstrom and angles in degrees, unless units follow: nm or pm, radians.

    Raises:
        InputError: the text is not six numbers, they do not form a cell, or they are not plausible in their units.

    Examples:
        >>> from dsfunet.io.cell_parameters import cell_from_text
        >>> cell_from_text("8.4, 8.4, 3.6, 90, 90, 120").gamma
        120.0
    """
    words = [word for word in re.split(r"[\s,]+", text.strip("[]() ")) if word]
    named = [word for word in words[6:] if word.isalpha()]
    units = parse_cell_units(" ".join(named)) if named else CellUnits()
    try:
        values = [float(word) for word in words if word not in named]
    except ValueError:
        values = []
    if len(values) != 6:
        raise InputError(
            f"cell {text!r}: this is not six numbers; expected a b c [Angstrom] alpha beta gamma [degrees]"
        )
    if np.isfinite(values).all() and min(values) > 0:
        question = question_units(values, f"cell {text!r}", units, "write the units behind it,")
        if question is not None:
            raise InputError(str(question))
    return Cell(*units.convert(values))


def cell_from_metric(metric: Array, name: str) -> FoundCell:
    """Make a cell from a metric tensor (3, 3) of a.a, a.b, ... [Angstrom^2]; `name` is its name in the file."""
    with np.errstate(all="ignore"):
        parameters = parameters_of_metric(metric)
    if not np.isfinite(parameters).all():
        return None, f"{name} is not a valid cell (its metric tensor is not positive definite)"
    # Rounded far below any measurement, so that a right angle is 90 and not 90 - 1e-14.
    return cell_from_parameters([*parameters[:3], *np.round(parameters[3:], 9)], name)


def cell_from_ub(ub: Array, name: str) -> FoundCell:
    """Make a cell from a UB matrix (3, 3), whose columns are a*, b*, c* without the factor 2 pi [1/Angstrom]."""
    try:
        with np.errstate(all="ignore"):
            metric = np.linalg.inv(ub.T @ ub)
    except np.linalg.LinAlgError:
        return None, f"{name} is not a valid UB matrix (it is singular)"
    return cell_from_metric(np.asarray(metric), name)


def cells_agree(first: Cell, second: Cell, tolerance: float = 0.005) -> bool:
    """Whether two cells agree: edges within a fraction `tolerance`, angles within 90 `tolerance` degrees."""
    return bool(
        np.allclose(first.parameters[:3], second.parameters[:3], rtol=tolerance)
        and np.allclose(first.parameters[3:], second.parameters[3:], atol=90 * tolerance)
    )
