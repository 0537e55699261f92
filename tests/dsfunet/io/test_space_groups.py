"""The centring that a file states: symbols and numbers, settings, and what is not believed."""

import json
from typing import Any

import pytest

from dsfunet.io.space_groups import centring_of_record, find_centring
from dsfunet.physics import Cell

CUBIC = Cell(3.75, 3.75, 3.75)
HEXAGONAL = Cell(4.2, 4.2, 12, 90, 90, 120)
RHOMBOHEDRAL = Cell(5, 5, 5, 70, 70, 70)
MONOCLINIC = Cell(6, 7, 8, 90, 100, 90)


@pytest.mark.parametrize(
    ("text", "cell", "centring"),
    [
        ("Fm-3m", CUBIC, "F"),
        ("F m -3 m", None, "F"),
        ("'I m -3 m'", CUBIC, "I"),
        ("225", CUBIC, "F"),
        ("229.0", CUBIC, "I"),
        ("F m -3 m (225)", CUBIC, "F"),
        ("Fd-3m:2", CUBIC, "F"),
        ("P21/c", MONOCLINIC, "P"),
        ("14", MONOCLINIC, "P"),
        ("2", None, "P"),
        ("C2/c", MONOCLINIC, "C"),
        ("I 2/a", MONOCLINIC, "I"),
        ("15", MONOCLINIC, "C"),
        ("166", HEXAGONAL, "R"),
        ("R -3 m:H", HEXAGONAL, "R"),
        ("H 3", HEXAGONAL, "R"),
        ("166", RHOMBOHEDRAL, "P"),
        ("R -3 m:R", RHOMBOHEDRAL, "P"),
        ("R -3 m:R", HEXAGONAL, "R"),
        ("R-3m", None, "R"),
        ("F", None, "F"),
        ("R", HEXAGONAL, "R"),
        # Measured cells are not exactly what symmetry asks for.
        ("225", Cell(3.75, 3.752, 3.749, 90.02, 89.97, 90), "F"),
    ],
)
def test_centrings(text: str, cell: Cell | None, centring: str) -> None:
    assert find_centring(text, cell) == (centring, ())


@pytest.mark.parametrize("text", ["", " ", "?", ".", "1", "1.0", "P", "P 1", "P1"])
def test_what_is_no_statement(text: str) -> None:
    assert find_centring(text, CUBIC) == (None, ())


@pytest.mark.parametrize(
    ("text", "cell", "note"),
    [
        ("nonsense", CUBIC, "'nonsense', which is not known"),
        ("x" * 5000, CUBIC, "'xxxxx.*[.]{3}', which is not known"),
        ("0", CUBIC, "'0', which is not known"),
        ("231", CUBIC, "'231', which is not known"),
        ("-3", CUBIC, "'-3', which is not known"),
        ("\u00c5", CUBIC, "which is not known"),
        ("225", Cell(2.65, 2.65, 2.65, 60, 60, 60), "F m -3 m does not fit the unit cell"),
        ("225", Cell(3.75, 3.75, 3.9), "F m -3 m does not fit"),
        ("15", Cell(6, 7, 8, 90, 90, 100), "C 1 2/c 1 does not fit"),
        ("166", CUBIC, ""),
        ("R", MONOCLINIC, "centring R does not fit"),
    ],
)
def test_what_is_not_used_is_noted(text: str, cell: Cell, note: str) -> None:
    centring, notes = find_centring(text, cell)
    if not note:  # a cube is a rhombohedron, and its cell is primitive
        assert (centring, notes) == ("P", ())
        return
    assert centring is None and len(notes) == 1
    with pytest.raises(AssertionError, match=note):
        raise AssertionError(notes[0])


@pytest.mark.parametrize(
    ("lattice", "centring"),
    [
        (json.dumps({"centring": "F", "centring_from": "option"}), "F"),
        (json.dumps({"centring": "I", "centring_from": "data"}), "I"),
        (json.dumps({"centring": "P", "centring_from": "assumed"}), None),
        (json.dumps({"centring": None, "centring_from": "assumed"}), None),
        (json.dumps({"centring": "Q", "centring_from": "file"}), None),
        (json.dumps({"centring": ["F"], "centring_from": "file"}), None),
        (json.dumps([1]), None),
        ("{", None),
        (3, None),
    ],
)
def test_centring_of_a_result(lattice: Any, centring: str | None) -> None:
    assert centring_of_record({"lattice": lattice}) == centring
    assert centring_of_record({}) is None
