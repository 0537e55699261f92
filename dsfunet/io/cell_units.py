"""Unit cells in nm, pm or radians: recognised as likely, asked about, and converted if the user says so."""

from collections.abc import Sequence
from dataclasses import dataclass

from dsfunet.errors import InputError

EDGE_UNITS = {"angstrom": 1.0, "nm": 10.0, "pm": 0.01}
"""Length of each unit [Angstrom]."""

ANGLE_UNITS = {"degrees": 1.0, "radians": 57.29577951308232}
"""Size of each unit [degrees]."""

_SHORTEST_EDGE = 2.0
"""No crystal has two edges shorter than this [Angstrom]; beryllium has 2.29."""

_LONGEST_SHORT_EDGE = 200.0
"""A cell whose edges are all longer than this [Angstrom] is more likely to be in pm: 2 Angstrom are 200 pm."""

_SMALLEST_ANGLE = 10.0
"""A cell whose angles are all smaller than this [degrees] is not a cell."""

_STAND_IN = 1.0
"""Many programs write this for the edge of a plane that the plane does not have."""


@dataclass(frozen=True)
class CellUnits:
    """Units of a unit cell, as a user gives them; None where the user says nothing.

    Attributes:
        edges: "angstrom", "nm" or "pm".
        angles: "degrees" or "radians".
    """

    edges: str | None = None
    angles: str | None = None

    def convert(self, numbers: Sequence[float]) -> tuple[float, ...]:
        """Convert a, b, c, alpha, beta, gamma to Angstrom and degrees."""
        edge, angle = EDGE_UNITS[self.edges or "angstrom"], ANGLE_UNITS[self.angles or "degrees"]
        return (*(edge * value for value in numbers[:3]), *(angle * value for value in numbers[3:]))


class CellQuestion(str):
    """The reason why a cell is not used as it stands: its units are doubtful, and the user has to name them.

    Attributes:
        numbers: a, b, c, alpha, beta, gamma as they stand in the file.
    """

    numbers: tuple[float, ...]

    def __new__(cls, text: str, numbers: Sequence[float]) -> "CellQuestion":
        """Make the question about these numbers."""
        question = super().__new__(cls, text)
        question.numbers = tuple(numbers)
        return question


def parse_cell_units(text: str) -> CellUnits:
    """Parse the units of a cell: angstrom, nm or pm, and degrees or radians, one or two words.

    Raises:
        InputError: the text is anything else.
    """
    words = text.lower().replace(",", " ").split()
    edges = [word for word in words if word in EDGE_UNITS]
    angles = [word for word in words if word in ANGLE_UNITS]
    if not words or len(edges) + len(angles) != len(words) or max(len(edges), len(angles)) > 1:
        raise InputError(
            f"unit of the cell {text!r}; expected angstrom, nm or pm for the edges, degrees or radians for the angles,"
            " or one of each"
        )
    return CellUnits(next(iter(edges), None), next(iter(angles), None))


def question_units(numbers: Sequence[float], name: str, units: CellUnits, answer: str) -> CellQuestion | None:
    """Return the question that a cell raises; None if its units are plausible, or named by the user.

    Args:
        numbers: a, b, c, alpha, beta, gamma as they stand.
        name: what the cell is called, for the question.
        units: units that the user has named.
        answer: how the user names the units, such as "give --cell-unit".
    """
    edges, angles = list(numbers[:3]), list(numbers[3:])
    found = " ".join(f"{value:g}" for value in numbers)
    reasons, words, confirmed = [], [], []
    if units.edges is None:
        likely = _guess_edge_unit(edges)
        if likely:
            size = "below 2" if likely == "nm" else "all above 200"
            meant = " ".join(f"{EDGE_UNITS[likely] * edge:.4g}" for edge in edges)
            reasons.append(f"its edges are {size} Angstrom; in {likely} they would be {meant} Angstrom")
            words.append(likely)
            confirmed.append("angstrom")
    if units.angles is None and max(angles) < _SMALLEST_ANGLE:
        meant = " ".join(f"{ANGLE_UNITS['radians'] * angle:.4g}" for angle in angles)
        reasons.append(f"its angles are below 10 degrees; in radians they would be {meant} degrees")
        words.append("radians")
        confirmed.append("degrees")
    if not reasons:
        return None
    return CellQuestion(
        f"{name} is {found}, and {', and '.join(reasons)}: {answer} '{' '.join(words)}', or '{' '.join(confirmed)}' if"
        " the numbers are right",
        numbers,
    )


def _guess_edge_unit(edges: list[float]) -> str | None:
    """Guess the unit of edges that are not plausible in Angstrom; None if they are."""
    short = [edge for edge in edges if edge < _SHORTEST_EDGE]
    if len(short) > 1 or any(edge != _STAND_IN for edge in short):
        return "nm"
    return "pm" if min(edges) >= _LONGEST_SHORT_EDGE else None
