"""Centred lattices: shells known from crystallography, exact vectors, texts, and Laue classes that fit them."""

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest

from dsfunet.errors import InputError
from dsfunet.physics import Cell
from dsfunet.physics.centring import (
    CENTRINGS,
    Centring,
    are_reciprocal_vectors,
    as_component,
    centring_translations,
    check_closure,
    format_vector,
    is_lattice_vector,
    lattice_vectors,
    parse_vector,
    smallest_component,
)
from dsfunet.physics.symmetry import laue_rotations, nearest_shells, orbits_of, symmetric_metric

CUBIC = Cell(4, 4, 4)
RHOMBOHEDRAL = Cell(4.2, 4.2, 8.0, 90, 90, 120)


@pytest.mark.parametrize(
    ("centring", "numbers"),
    [("P", [6, 12, 8, 6, 24]), ("F", [12, 6, 24, 12, 24]), ("I", [8, 6, 12, 24, 8])],
)
def test_shells_of_cubic_lattices(centring: Centring, numbers: list[int]) -> None:
    found = Counter(round(length, 6) for _, length in lattice_vectors(CUBIC, centring, 10.0))
    assert [found[length] for length in sorted(found)][:5] == numbers
    orbits = nearest_shells(5, laue_rotations("m-3m"), symmetric_metric(CUBIC, "m-3m"), None, centring)
    assert [len(orbit.vectors) for orbit in orbits] == numbers
    assert [orbit.length_angstrom for orbit in orbits] == pytest.approx(sorted(found)[:5])


def test_shells_of_a_rhombohedral_lattice_on_hexagonal_axes() -> None:
    found = lattice_vectors(RHOMBOHEDRAL, "R", 4.3)
    # Three neighbours above and three below at (a^2 / 3 + c^2 / 9)^(1/2), and six in the layer.
    near, far = np.hypot(4.2 / 3**0.5, 8.0 / 3), 4.2
    assert [length for _, length in found] == pytest.approx([near] * 6 + [far] * 6)
    assert {format_vector(vector) for vector, _ in found[:6]} == {
        *("2/3 1/3 1/3", "-1/3 1/3 1/3", "-1/3 -2/3 1/3"),
        *("-2/3 -1/3 -1/3", "1/3 -1/3 -1/3", "1/3 2/3 -1/3"),
    }
    rotations, metric = laue_rotations("-3m1"), symmetric_metric(RHOMBOHEDRAL, "-3m1")
    orbits = nearest_shells(2, rotations, metric, None, "R")
    assert [(orbit.name, len(orbit.vectors)) for orbit in orbits] == [("2/3 1/3 1/3", 6), ("1 0 0", 6)]
    (asked,) = orbits_of([parse_vector("2/3 1/3 1/3")], rotations, metric, None, "R")
    assert np.array_equal(asked.vectors, orbits[0].vectors)


def test_the_triple_hexagonal_cell_is_a_smaller_hexagonal_lattice() -> None:
    """H on (a, c) is P on (a / sqrt 3, c), turned by 30 degrees about c (International Tables A)."""
    triple, single = Cell(4.2, 4.2, 3.1, 90, 90, 120), Cell(4.2 / 3**0.5, 4.2 / 3**0.5, 3.1, 90, 90, 120)
    found, expected = lattice_vectors(triple, "H", 9.0), lattice_vectors(single, "P", 9.0)
    assert [length for _, length in found] == pytest.approx([length for _, length in expected])
    assert {format_vector(vector) for vector, _ in found[:6]} == {
        *("2/3 1/3 0", "1/3 2/3 0", "-1/3 1/3 0", "-2/3 -1/3 0", "-1/3 -2/3 0", "1/3 -1/3 0")
    }
    # The Laue classes with mirrors along a of one cell and across a of the other change places.
    for laue, turned in (("-3m1", "-31m"), ("-31m", "-3m1"), ("6/mmm", "6/mmm")):
        of_triple, of_single = (
            nearest_shells(6, laue_rotations(name), symmetric_metric(cell, name), None, centring)
            for name, cell, centring in ((laue, triple, "H"), (turned, single, "P"))
        )
        assert [len(each.vectors) for each in of_triple] == [len(each.vectors) for each in of_single]
        assert [each.length_angstrom for each in of_triple] == pytest.approx(
            [each.length_angstrom for each in of_single]
        )


def test_the_smallest_component_of_vectors_with_one_projection() -> None:
    assert smallest_component((1, 1, 0), 2, "F") == 0 and smallest_component((1, 1, 7), 2, "I") == 1
    assert smallest_component((2, 0, 1), 1, "R") == 1 and smallest_component((1, 2, 0), 2, "R") == -1
    assert smallest_component((5, 0, -3), 0, "P") == 0
    with pytest.raises(InputError, match="vector 1/2 0 0: no vector of centring C projects on it"):
        smallest_component((1, 0, 0), 2, "C")


def test_orbits_have_exact_components() -> None:
    rotations, metric = laue_rotations("m-3m"), symmetric_metric(CUBIC, "m-3m")
    (orbit,) = orbits_of([(0, Fraction(1, 2), Fraction(1, 2))], rotations, metric, None, "F")
    assert orbit.name == "1/2 1/2 0" and orbit.representative == (Fraction(1, 2), Fraction(1, 2), 0)
    assert len(orbit.equivalents) == 12 and all(is_lattice_vector(each, "F") for each in orbit.equivalents)
    assert orbit.length_angstrom == pytest.approx(8**0.5)
    in_plane = nearest_shells(3, rotations, metric, 2, "F")
    assert [orbit.name for orbit in in_plane] == ["1/2 1/2 0", "1 0 0", "1 1 0"]


@pytest.mark.parametrize("centring", CENTRINGS)
def test_translations_and_reflections_are_dual(centring: Centring) -> None:
    translations = centring_translations(centring)
    hkl = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    exact = [
        all(sum(x * int(h) for x, h in zip(t, row, strict=True)) % 1 == 0 for t in translations)
        for row in hkl
    ]
    assert are_reciprocal_vectors(hkl, centring).tolist() == exact
    for one in translations:
        for other in translations:
            assert is_lattice_vector([x - y for x, y in zip(one, other, strict=True)], centring)
    volume = len(translations)
    assert np.mean(are_reciprocal_vectors(hkl % 6, centring)) == pytest.approx(1 / volume, abs=0.06)


def test_vectors_that_do_not_belong_to_a_lattice() -> None:
    assert not is_lattice_vector(parse_vector("1/2 0 0"), "F")
    assert is_lattice_vector(parse_vector("3/2 -1/2 1"), "F")
    assert not is_lattice_vector(parse_vector("1/2 1/2 0"), "I")
    assert not is_lattice_vector(parse_vector("1/3 2/3 1/3"), "R")
    assert not is_lattice_vector(parse_vector("1/3 0 0"), "P")
    rotations, metric = laue_rotations("m-3m"), np.eye(3)
    with pytest.raises(InputError, match="vector 1/2 0 0: it does not connect two points of a lattice with"):
        orbits_of([parse_vector("1/2 0 0")], rotations, metric, None, "F")
    with pytest.raises(InputError, match="vector 0 0 0: its alpha is 1 by definition"):
        orbits_of([parse_vector("0 0 0")], rotations, metric, None, "F")
    with pytest.raises(InputError, match="vector 0 1/2 1/2: it is equivalent to 1/2 1/2 0"):
        orbits_of([parse_vector(text) for text in ("1/2 1/2 0", "0 1/2 1/2")], rotations, metric, None, "F")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("1/2 1/2 0", "1/2 1/2 0"),
        (" 2/3  1/3 1/3 ", "2/3 1/3 1/3"),
        ("1 0 0", "1 0 0"),
        ("0.5 -.5 2/2", "1/2 -1/2 1"),
        ("-4/6 0 3", "-2/3 0 3"),
    ],
)
def test_texts_of_vectors(text: str, written: str) -> None:
    assert format_vector(parse_vector(text)) == written


@pytest.mark.parametrize(
    "text", ["1 0", "1 0 0 0", "a b c", "1/0 0 0", "", "0.333 0 0", "1/7 0 0", "nan 0 0"]
)
def test_texts_that_are_no_vectors(text: str) -> None:
    with pytest.raises(InputError, match="expected three integers or fractions, such as 1/2 1/2 0"):
        parse_vector(text)


def test_numbers_become_exact_components() -> None:
    assert as_component(2 / 3) == Fraction(2, 3) and as_component(0.5) == Fraction(1, 2)
    assert as_component(3.0) == 3 and isinstance(as_component(3.0), int)
    for wrong in (0.51, float("nan"), float("inf")):
        with pytest.raises(InputError, match="expected a whole number or a fraction"):
            as_component(wrong)


@pytest.mark.parametrize(
    ("laue", "axis", "centring", "fits"),
    [
        *[("m-3m", None, centring, centring in "PIF") for centring in CENTRINGS if centring not in "RH"],
        *[("mmm", None, centring, True) for centring in CENTRINGS if centring not in "RH"],
        ("4/mmm", None, "I", True),
        ("4/mmm", None, "C", True),
        ("4/mmm", None, "A", False),
        ("2/m", None, "R", False),
        ("-3", None, "R", True),
        ("-3m1", None, "R", True),
        ("-31m", None, "R", False),
        ("6/m", None, "R", False),
        ("-3m:R", None, "R", False),
        ("-3m:R", None, "F", True),
        ("6/m", None, "C", False),
        ("6/mmm", None, "H", True),
        ("-3m1", None, "H", True),
        ("-3m:R", None, "H", False),
        ("-1", None, "F", True),
    ],
)
def test_laue_classes_that_keep_a_lattice(
    laue: str, axis: str | None, centring: Centring, fits: bool
) -> None:
    rotations = laue_rotations(laue, axis)
    if fits:
        check_closure(rotations, centring, laue)
        return
    with pytest.raises(
        InputError, match=rf"Laue class {laue}: its operations do not keep .* of centring {centring}"
    ):
        check_closure(rotations, centring, laue)


def test_unknown_lattice_types() -> None:
    wrong: Centring = "S"  # type: ignore[assignment]
    for function in (centring_translations, lambda c: is_lattice_vector((1, 0, 0), c)):
        with pytest.raises(InputError, match="centring is 'S'; expected one of P, A, B, C, I, F, R, H"):
            function(wrong)
