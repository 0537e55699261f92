"""In-plane harmonics: the projections of lattice vectors of primitive and centred lattices."""

import itertools

import numpy as np
import pytest

from dsfunet.errors import InputError
from dsfunet.lattice.joint_fit import list_harmonics
from dsfunet.physics import Cell
from dsfunet.physics.centring import CENTRINGS, Centring, centring_translations
from dsfunet.planes.names import parse_plane

CUBIC = Cell(4, 4, 4)
HEXAGONAL = Cell(4.2, 4.2, 12, 90, 90, 120)


def pairs(cell: Cell, plane: str, centring: Centring, radius: float) -> set[tuple[float, float]]:
    harmonics = list_harmonics(cell, parse_plane(plane), centring, radius)
    found = {(float(p[0]), float(p[1])) for p in np.round(harmonics.indices, 4)}
    assert len(found) == harmonics.count
    assert not found & {(-first, -second) for first, second in found}
    return found


@pytest.mark.parametrize(
    ("plane", "centring", "radius", "expected"),
    [
        ("hk0", "P", 4.1, {(0, 1), (1, 0)}),
        ("hk0", "F", 2.9, {(0, 0.5), (0.5, 0), (0.5, 0.5), (0.5, -0.5)}),
        ("hk0", "I", 2.9, {(0.5, 0.5), (0.5, -0.5)}),
        ("hk0", "C", 2.9, {(0.5, 0.5), (0.5, -0.5)}),
        ("hk0", "A", 2.1, {(0, 0.5)}),
        ("h0l", "A", 2.1, {(0, 0.5)}),
        ("0kl", "A", 2.9, {(0.5, 0.5), (0.5, -0.5)}),
        ("hk0", "B", 2.1, {(0.5, 0)}),
    ],
)
def test_projections_of_short_vectors(
    plane: str, centring: Centring, radius: float, expected: set[tuple[float, float]]
) -> None:
    assert pairs(CUBIC, plane, centring, radius) == expected


def test_projections_on_a_plane_along_a_diagonal() -> None:
    # r = (m, n, o) has the phase (m + n) u + o v on hhl.
    assert pairs(CUBIC, "hhl", "P", 2.9) == {(1, 0)}
    # The face centres: (1/2 1/2 0) along [1 1 0], and (1/2 0 1/2) halfway along it, shown at half its length.
    assert pairs(CUBIC, "hhl", "F", 2.9) == {(1, 0), (0.5, 0.5), (0.5, -0.5)}
    harmonics = list_harmonics(CUBIC, parse_plane("hhl"), "P", 9)
    vectors = harmonics.vectors
    np.testing.assert_allclose(harmonics.indices, np.stack([vectors[:, 0] + vectors[:, 1], vectors[:, 2]], 1))
    np.testing.assert_allclose(
        harmonics.lengths, 4 * np.hypot(harmonics.indices[:, 0] / np.sqrt(2), harmonics.indices[:, 1])
    )


@pytest.mark.parametrize("centring", CENTRINGS)
@pytest.mark.parametrize("plane", ["hk0", "h0l", "0kl", "hhl", "h k 0.5"])
def test_their_number_is_that_of_half_a_disc(centring: Centring, plane: str) -> None:
    cell = HEXAGONAL if centring in "RH" else CUBIC
    harmonics = list_harmonics(cell, parse_plane(plane), centring, 30)
    expected = 0.5 * np.pi * (30 / harmonics.spacing) ** 2
    assert harmonics.count == pytest.approx(expected, rel=0.12)
    assert (np.diff(np.round(harmonics.lengths, 3)) >= 0).all() and harmonics.lengths.max() <= 30.001
    # Each vector belongs to the lattice.
    shifts = np.array([[float(each) for each in shift] for shift in centring_translations(centring)])
    away = harmonics.vectors[:, None] - shifts
    assert (np.abs(away - np.round(away)).max(axis=2).min(axis=1) < 1e-6).all()


def test_which_harmonics_are_real() -> None:
    assert list_harmonics(CUBIC, parse_plane("hk0"), "F", 9).is_real.all()
    assert list_harmonics(CUBIC, parse_plane("hk1/2"), "P", 9).is_real.all()
    assert not list_harmonics(CUBIC, parse_plane("hk1/4"), "P", 9).is_real.any()
    layer = list_harmonics(HEXAGONAL, parse_plane("hk1"), "R", 9)
    whole = np.abs(layer.indices - np.round(layer.indices)).max(axis=1) < 1e-6
    np.testing.assert_array_equal(layer.is_real, whole)


def test_a_vector_is_found_with_its_sign() -> None:
    plane = parse_plane("hk0")
    harmonics = list_harmonics(CUBIC, plane, "F", 9)
    for vector in itertools.product((-0.5, 0, 0.5), (-0.5, 0.5), (0, 0.5)):
        place, sign = harmonics.find(vector, plane)
        np.testing.assert_allclose(sign * harmonics.indices[place], vector[:2])
    with pytest.raises(InputError, match=r"vector \(0, 0, 1\): it is not among the \d+ harmonics"):
        harmonics.find((0, 0, 1), plane)
    assert harmonics.within(2.1).count == 2


def test_bad_input() -> None:
    with pytest.raises(InputError, match=r"centring is 'X'; expected one of P, A"):
        list_harmonics(CUBIC, parse_plane("hk0"), "X", 9)
    with pytest.raises(InputError, match="expected a smaller radius"):
        list_harmonics(CUBIC, parse_plane("hk0"), "P", 900)
    with pytest.raises(InputError, match="its two vectors have no simple ratios"):
        list_harmonics(CUBIC, parse_plane("[1 0 0] [0 1 0.123457]"), "P", 9)
