"""Unit cells as files give them: six numbers, a metric tensor or a UB matrix, and whether they make sense."""

import re
from collections.abc import Sequence

import numpy as np

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.physics import Cell
from dsfunet.physics.lattice import parameters_of_metric

FoundCell = tuple[Cell | None, str]
"""A cell or, where there is none that makes sense, None and what is wrong with it, in words."""

NO_CELL = "the file has no unit cell"

_EDGES = 0.1, 1e4  # [Angstrom]; no crystal has a cell edge outside


def cell_from_parameters(values: Sequence[float] | Array, name: str) -> FoundCell:
    """The cell of six numbers [Angstrom, degrees], found under a name."""
    numbers = tuple(map(float, values))
    if np.allclose(numbers, [1, 1, 1, 90, 90, 90]):
        return None, f"{name} is 1 1 1 90 90 90, which stands for no cell"
    try:
        cell = Cell(*numbers)
    except InputError as error:
        return None, f"{name} makes no sense ({error})"
    if min(numbers[:3]) < _EDGES[0] or max(numbers[:3]) > _EDGES[1]:
        edges = ", ".join(f"{edge:g}" for edge in numbers[:3])
        return None, f"{name} makes no sense (edges of {edges} Angstrom)"
    return cell, ""


def cell_from_text(text: str) -> Cell:
    """The cell that a person wrote, "a b c alpha beta gamma" [Angstrom, degrees], with blanks or commas.

    Raises:
        InputError: it is not six numbers, or they close no cell.
    """
    try:
        values = [float(word) for word in re.split(r"[\s,]+", text.strip("[]() "))]
    except ValueError:
        values = []
    if len(values) != 6:
        raise InputError(f"cell {text!r}: expected six numbers, a b c [Angstrom] alpha beta gamma [degrees]")
    return Cell(*values)


def cell_from_metric(metric: Array, name: str) -> FoundCell:
    """The cell whose metric tensor (3, 3) is the table of a.a, a.b, ... [Angstrom^2]."""
    with np.errstate(all="ignore"):
        parameters = parameters_of_metric(metric)
    if not np.isfinite(parameters).all():
        return None, f"{name} makes no sense (it is the metric of no cell)"
    # Rounded far below what anyone measures, so that a right angle is 90 and not 90 - 1e-14.
    return cell_from_parameters([*parameters[:3], *np.round(parameters[3:], 9)], name)


def cell_from_ub(ub: Array, name: str) -> FoundCell:
    """The cell whose reciprocal vectors, without 2 pi [1/Angstrom], are the columns of a UB matrix (3, 3)."""
    try:
        with np.errstate(all="ignore"):
            metric = np.linalg.inv(ub.T @ ub)
    except np.linalg.LinAlgError:
        return None, f"{name} makes no sense (its columns are not three directions)"
    return cell_from_metric(np.asarray(metric), name)


def same_cell(first: Cell, second: Cell, tolerance: float = 0.005) -> bool:
    """Whether two cells agree, edges to a fraction and angles to as many right angles."""
    return bool(
        np.allclose(first.parameters[:3], second.parameters[:3], rtol=tolerance)
        and np.allclose(first.parameters[3:], second.parameters[3:], atol=90 * tolerance)
    )
