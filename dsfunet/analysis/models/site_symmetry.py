"""Whether the two species of a model agree with the symmetry of their site.

Every operation of the site's point group maps the crystal onto itself, and so maps each species onto itself or onto the
other one, about the site. A pair for which this is not so would need more orientations than two.
"""

from itertools import product

import gemmi
import numpy as np
from scipy.optimize import linear_sum_assignment

from dsfunet._typing import Array
from dsfunet.analysis.models.model_names import ModelPair, describe_point
from dsfunet.analysis.models.molecules import LabelledMolecule
from dsfunet.errors import InputError
from dsfunet.physics import Cell

_TOLERANCE_ANGSTROM = 0.3
_OPERATION_OF_24 = 24


def parse_site_symmetry(symbol: str) -> list[Array]:
    """Return the operations of a crystallographic point group, in the cell's axes, each of shape (3, 3).

    Args:
        symbol: Hermann-Mauguin symbol of the point group along the axes of the cell, such as 2/m (unique axis b), "1 1
            2/m", mmm, -1, 4/mmm, 3m or m-3m.

    Raises:
        InputError: there is no such point group.
    """
    text = " ".join(symbol.split())
    letters = " ".join(_letters(text))
    if not text or ("1" in text and " " not in text and text not in ("1", "-1")):
        letters = text = "none"  # a compact symbol has no 1 in it
    for name in (f"P {text}", f"P {letters}", f"P {letters} 1"):
        group = gemmi.find_spacegroup_by_name(name)
        if group is not None and all(part in "P12346-/m " for part in group.hm):
            operations = group.operations().sym_ops
            return [np.array(each.rot) / _OPERATION_OF_24 for each in operations]
    raise InputError(
        f"--site-symmetry {symbol!r}: this is no point group; expected a symbol such as -1, 2/m, mmm or 4/mmm"
    )


def _letters(text: str) -> list[str]:
    """Return the parts of a point-group symbol, ["4/m", "m", "m"] of "4/mmm"."""
    parts, number = [], 0
    while number < len(text):
        length = 2 if text[number] == "-" else 1
        if text[number + length : number + length + 1] == "/":
            length += 2
        parts.append(text[number : number + length])
        number += length
    return parts


def check_site_symmetry(pair: ModelPair, symbol: str, cell: Cell) -> str | None:
    """Return a sentence if a model cannot have a site of some symmetry at the origin; None if it can.

    Args:
        pair: the model.
        symbol: as for `parse_site_symmetry`.
        cell: of the measurement.

    Raises:
        InputError: there is no such point group.
    """
    operations = parse_site_symmetry(symbol)
    worst = _violation(pair, operations, cell, np.zeros(3))
    if worst is None:
        return None
    centre = (pair.first.centroid + pair.second.centroid) / 2
    apart = "" if np.isinf(worst) else f" (atoms are {worst:.2g} Å off)"
    note = (
        f"{pair.name}: site symmetry {symbol} about the origin maps its species neither onto themselves nor onto each"
        f" other{apart}, so this pair of orientations cannot be right for that site"
    )
    if np.linalg.norm(centre) > 1e-6 and _violation(pair, operations, cell, centre) is None:
        note += f"; about the point {describe_point(centre)} it would be: check which point the turn is about"
    return note


def _violation(pair: ModelPair, operations: list[Array], cell: Cell, point: Array) -> float | None:
    """Return how far atoms are from where the worst operation needs them [Angstrom]; None if all are there."""
    species, worst = (pair.first, pair.second), 0.0
    for operation in operations:
        # x' = W x in fractions; rows of `direct` are the axes, so Cartesian positions turn by direct' W direct'^-1.
        matrix = cell.direct.T @ operation @ np.linalg.inv(cell.direct.T)
        distances = {
            (first, second): _distance(_moved(species[first], matrix, point), species[second])
            for first, second in product((0, 1), (0, 1))
        }
        kept = max(distances[0, 0], distances[1, 1])
        exchanged = max(distances[0, 1], distances[1, 0])
        worst = max(worst, min(kept, exchanged))
    return worst if worst > _TOLERANCE_ANGSTROM else None


def _moved(molecule: LabelledMolecule, matrix: Array, point: Array) -> LabelledMolecule:
    return molecule.at(point + (molecule.positions_angstrom - point) @ matrix.T)


def _distance(one: LabelledMolecule, other: LabelledMolecule) -> float:
    """Return the largest distance of paired atoms of one kind [Angstrom]; infinite where species differ."""
    if sorted(one.elements) != sorted(other.elements):
        return float(np.inf)
    largest = 0.0
    for element in {*one.elements}:
        places = [
            each.positions_angstrom[[name == element for name in each.elements]] for each in (one, other)
        ]
        apart = np.linalg.norm(places[0][:, None] - places[1][None], axis=2)
        largest = max(largest, float(apart[linear_sum_assignment(apart**2)].max()))
    return largest
