"""Names of structural models: pairs of species from files, each optionally rotated."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dsfunet._typing import Array
from dsfunet.analysis.models.molecules import VACANCY, LabelledMolecule
from dsfunet.analysis.models.structure_files import StructureFile, read_structure
from dsfunet.errors import InputError
from dsfunet.physics import Cell
from dsfunet.physics.scattering import parse_species

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_ROTATE = re.compile(rf"rotate\s+({_NUMBER})\s+(.+?)(?:\s+about\s+(origin|centroid))?\s*")
_EXPECTED = (
    "FILE+FILE, FILE+vacancy or a CIF with disorder groups 1 and 2, where :GROUP or '@rotate ANGLE AXIS' may follow"
    " each FILE"
)
_LENGTH_TOLERANCE, _ANGLE_TOLERANCE_DEG = 0.02, 1.0


@dataclass(frozen=True, eq=False)
class ModelPair:
    """A structural model of binary substitutional disorder: the two species A and B of equation (1).

    Attributes:
        name: of the model, for tables and pictures.
        first: species A.
        second: species B.
        notes: sentences about doubts that the files raise, for the user to check.

    Raises:
        InputError: both species are vacancies.
    """

    name: str
    first: LabelledMolecule
    second: LabelledMolecule
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.first.elements and not self.second.elements:
            raise InputError(
                f"model {self.name!r}: both species are vacancies; expected atoms in at least one"
            )


def read_model(text: str, cell: Cell) -> ModelPair:
    """Read a model such as a.cif, b.xyz+c.xyz, d.xyz+vacancy, a.cif:1+a.cif:3 or "e.xyz+e.xyz@rotate 180 0 0 1".

    A single file means disorder groups 1 and 2 of a CIF. `@rotate ANGLE AXIS` rotates a species by an angle [degrees]
    about an axis (see `parse_axis`) through the centroid of its atoms or, with `about origin`, through the
    origin of the coordinates; several rotations apply in order.

    Args:
        text: the name of the model.
        cell: of the measurement.

    Raises:
        InputError: the name has another form, or a file cannot be used.
    """
    names = [text] if _exists(Path(text)) else [name.strip() for name in text.split("+")]
    if len(names) > 2:  # a + inside a file name or a number
        names = next(
            ([left, right] for left, right in _splits(text) if _is_species(left) and _is_species(right)),
            names,
        )
    if len(names) > 2 or not all(names):
        raise InputError(f"model {text!r}: expected {_EXPECTED}")
    if len(names) == 1:
        name, file, group, moves = _species_parts(text)
        if file is None or group is not None or moves:
            raise InputError(f"model {text!r}: found one species; expected {_EXPECTED}")
        structure = read_structure(file)
        return ModelPair(name, *structure.pair(), notes=(*structure.notes, *_cell_notes(structure, cell)))
    first, second = (_read_species(name, cell) for name in names)
    return ModelPair(
        f"{_shown(names[0])}+{_shown(names[1])}",
        first[0],
        second[0],
        tuple(dict.fromkeys(first[1] + second[1])),
    )


def parse_axis(text: str, cell: Cell) -> Array:
    """Parse "x y z" (Cartesian) or "[uvw]" (u a + v b + w c of a cell) into a unit vector, shape (3,).

    Numbers are separated by blanks or commas; single digits in brackets need no separator, as in [1-10].

    Raises:
        InputError: the text has another form, or all three numbers are zero.
    """
    cleaned = text.replace("\N{MINUS SIGN}", "-").strip()
    lattice = re.fullmatch(r"\[(.*)\]", cleaned)
    words = re.split(r"[\s,]+", (lattice[1] if lattice else cleaned).strip())
    if lattice and len(words) == 1:
        words = re.findall(r"[+-]?\d", words[0]) if re.fullmatch(r"([+-]?\d){3}", words[0]) else []
    numbers = [float(word) for word in words if re.fullmatch(_NUMBER, word)]
    if len(words) != 3 or len(numbers) != 3 or not any(numbers):
        raise InputError(
            f"axis {text!r}: expected three Cartesian components such as '0 0 1' or a lattice direction such as [001]"
        )
    axis = np.array(numbers) @ cell.direct if lattice else np.array(numbers)
    return np.asarray(axis / np.linalg.norm(axis))


def describe_point(point: Array) -> str:
    """Return a point as text, "(0.00, 1.20, -0.35) Å"."""
    return "(" + ", ".join(f"{value + 0.0:.2f}" for value in np.round(point, 2)) + ") Å"


def read_models(texts: Sequence[str], cell: Cell, b_factors: str | None = None) -> list[ModelPair]:
    """Read models as `read_model` does, with B of elements or ions as `parse_b_factors` takes them.

    Raises:
        InputError: as these, or as `with_b_factors`.
    """
    known = parse_b_factors(b_factors)
    return with_b_factors([read_model(text, cell) for text in texts], known)


def with_b_factors(pairs: Sequence[ModelPair], b_factors: Mapping[str, float]) -> list[ModelPair]:
    """Return models whose atoms have the B [Angstrom^2] of their element or ion.

    Raises:
        InputError: an element is in no model.
    """
    names = {name for pair in pairs for each in (pair.first, pair.second) for name in each.elements}
    known = names | {parse_species(name)[0] for name in names}
    for name in b_factors:
        if name not in known:
            raise InputError(
                f"--b-factors: found {name}, which is in no model; expected some of {', '.join(sorted(known))}"
            )
    return [
        replace(
            pair, first=pair.first.with_b_factors(b_factors), second=pair.second.with_b_factors(b_factors)
        )
        for pair in pairs
    ]


def parse_b_factors(text: str | None) -> dict[str, float]:
    """Parse "Au 0.5, Cu 0.6", the B [Angstrom^2] of elements or ions; nothing is empty.

    Raises:
        InputError: an entry is not a symbol and a number of 0 or more.
    """
    found = {}
    for entry in [] if text is None else text.split(","):
        words = entry.replace("=", " ").split()
        try:
            parse_species(words[0])
            b = float(words[1])
        except (IndexError, ValueError, InputError):
            b = np.nan
        if len(words) != 2 or not 0 <= b < np.inf:
            raise InputError(
                f"--b-factors: found {entry.strip()!r}; expected symbols with B [Angstrom^2], such as 'Au 0.5, Cu 0.6'"
            )
        found[words[0]] = b
    return found


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a text that is not a file name may be too long for one
        return False


def _splits(text: str) -> list[tuple[str, str]]:
    places = [number for number, letter in enumerate(text) if letter == "+"]
    return [(text[:place].strip(), text[place + 1 :].strip()) for place in places]


def _is_species(text: str) -> bool:
    file = _species_parts(text)[1]
    return bool(text) and (file is None or _exists(file))


def _shown(text: str) -> str:
    """Return the text of a species without the folders of its file."""
    return _species_parts(text)[0]


def _species_parts(text: str) -> tuple[str, Path | None, str | None, list[str]]:
    """Return the text to show, the file (None for a vacancy), the disorder group and the rotations of one species."""
    stem, *moves = [part.strip() for part in text.split("@")]
    if _exists(Path(text)):
        stem, moves = text, []
    if stem.lower() == "vacancy":
        return "vacancy", None, None, moves
    file, group = Path(stem), None
    if not _exists(file) and (match := re.fullmatch(r"(.+):([^:/\\]+)", stem)):
        file, group = Path(match[1]), match[2]
    shown = "@".join([file.name + (f":{group}" if group else ""), *moves])
    return shown, file, group, moves


def _read_species(text: str, cell: Cell) -> tuple[LabelledMolecule, tuple[str, ...]]:
    _, file, group, moves = _species_parts(text)
    structure = read_structure(file) if file is not None else None
    molecule = structure.molecule(group) if structure else VACANCY
    turns = []
    for move in moves:
        match = _ROTATE.fullmatch(move)
        if match is None or structure is None:
            raise InputError(
                f"species {text!r}: found '@{move}'; expected FILE@rotate ANGLE AXIS [about origin]"
            )
        about = match[3] or "centroid"
        point = np.zeros(3) if about == "origin" else molecule.centroid
        turns.append(
            f"{_shown(text).split('@')[0]}: {move.strip()} turns about the {about} {describe_point(point)}"
            + ("" if match[3] else "; write 'about origin' to turn about the origin")
        )
        molecule = molecule.turned(parse_axis(match[2], cell), float(match[1]), point)
    return molecule, (*structure.notes, *_cell_notes(structure, cell), *turns) if structure else ()


def _cell_notes(structure: StructureFile, cell: Cell) -> tuple[str, ...]:
    if structure.cell is None:
        return ()
    theirs, ours = np.array(structure.cell.parameters), np.array(cell.parameters)
    lengths = np.abs(theirs[:3] / ours[:3] - 1).max() > _LENGTH_TOLERANCE
    if not lengths and np.abs(theirs[3:] - ours[3:]).max() <= _ANGLE_TOLERANCE_DEG:
        return ()
    shown = (" ".join(f"{value:g}" for value in values) for values in (theirs, ours))
    return (
        "{}: its cell {} differs from that of the measurement, {}; check that both use the same setting".format(
            structure.name, *shown
        ),
    )
