"""Molecular form factors and I_FF against the direct sum, and against numbers worked out by hand."""

from dataclasses import replace

import gemmi
import numpy as np
import pytest

from dsfunet.errors import InputError
from dsfunet.physics import Cell, Molecule, Plane, form_factor_intensity, molecular_form_factor, plane_through
from tests.reference import (
    at,
    oblique_plane,
    reference_form_factor,
    reference_form_factor_intensity,
    reference_q,
    reference_scattering_factor,
    some_pixels,
)

# Positions in general: no atom on the origin, none two alike.
FIRST = Molecule(
    ("C", "C", "O", "H", "Cl"),
    np.array([[0.1, -0.4, 0.7], [1.3, 0.2, -0.9], [-1.1, 2.0, 0.3], [0.4, -2.1, 1.8], [-2.7, -0.3, -1.5]]),
)
SECOND = Molecule(("N", "Br", "C"), np.array([[-0.2, 0.5, 0.1], [2.2, -1.4, 0.6], [-1.7, -0.8, 1.1]]))
VACANCY = Molecule((), np.zeros((0, 3)))

PLANES = {
    "oblique": oblique_plane(0),
    "oblique_odd": oblique_plane(1, (33, 20)),
    "far_beyond_the_table": Plane(
        np.array([14.0, 15, -9]), np.array([0.05, 0, 0.1]), np.array([0, 0.2, 0.01])
    ),
    "orthogonal_hk1": plane_through(Cell(6.0, 7.5, 5.2), (0, 1), 1.0, 8.0),
    "orthogonal_hhalfl": plane_through(Cell(6.0, 7.5, 5.2), (2, 0), 0.5, 8.0),
    "hexagonal_h2l": plane_through(Cell(8.0, 4.0, 8.0, 90, 120, 90), (0, 2), 2.0, 8.0),
    "hexagonal_hk1": plane_through(Cell(8.0, 4.0, 8.0, 90, 120, 90), (1, 0), 1.0, 6.5),
}
every_plane = pytest.mark.parametrize("plane", PLANES.values(), ids=PLANES.keys())


@every_plane
def test_form_factor_agrees_with_the_direct_sum(plane: Plane) -> None:
    pixels = some_pixels(plane.shape)
    q = reference_q(plane.origin, plane.step_u, plane.step_v, plane.shape, pixels)
    expected = reference_form_factor(FIRST.elements, FIRST.positions_angstrom, q)
    found = molecular_form_factor(FIRST, plane)
    assert found.shape == plane.shape
    assert np.abs(at(found, pixels) - expected).max() < 1e-5 * np.abs(expected).max()


@every_plane
def test_intensity_agrees_with_the_direct_sum(plane: Plane) -> None:
    pixels = some_pixels(plane.shape)
    q = reference_q(plane.origin, plane.step_u, plane.step_v, plane.shape, pixels)
    first = (FIRST.elements, FIRST.positions_angstrom)
    second = (SECOND.elements, SECOND.positions_angstrom)
    expected = reference_form_factor_intensity(first, second, q, 0.3, 0.8)
    found = at(form_factor_intensity(FIRST, SECOND, plane, 0.3, 0.8), pixels)
    assert np.abs(found - expected).max() < 1e-5 * expected.max()


@pytest.mark.parametrize("element", ["H", "C", "O", "Si", "Cl", "Cu", "Ag", "Au", "Cf"])
def test_table_is_good_to_a_millionth_of_the_electrons(element: str) -> None:
    plane = Plane(np.zeros(3), np.array([0.0613, 0, 0]), np.array([0, 0.0011, 0]))
    pixels = [(i, 140) for i in range(256)]
    q = reference_q(plane.origin, plane.step_u, plane.step_v, plane.shape, pixels)
    found = at(molecular_form_factor(Molecule((element,), np.zeros((1, 3))), plane), pixels)
    expected = reference_scattering_factor(element, q)
    assert np.abs(found - expected).max() < 1e-6 * gemmi.Element(element).atomic_number


def test_forward_scattering_counts_the_electrons() -> None:
    plane = Plane(np.zeros(3), np.array([0.02, 0.01, 0]), np.array([0, 0.02, 0.01]))
    electrons = sum(gemmi.Element(element).atomic_number for element in FIRST.elements)
    at_zero = molecular_form_factor(FIRST, plane)[128, 128]
    assert electrons == 6 + 6 + 8 + 1 + 17
    assert at_zero.real == pytest.approx(electrons, abs=0.02)
    assert at_zero.imag == pytest.approx(0.0, abs=1e-10)
    assert np.abs(molecular_form_factor(FIRST, plane)).max() == pytest.approx(abs(at_zero))


def test_two_single_atoms_by_hand() -> None:
    plane = oblique_plane(6, (12, 10))
    q = plane.q_points().reshape(-1, 3)
    copper, silver = reference_scattering_factor("Cu", q), reference_scattering_factor("Ag", q)
    there = np.array([[0.3, -0.2, 0.5]])
    found = form_factor_intensity(Molecule(("Cu",), np.zeros((1, 3))), Molecule(("Ag",), there), plane, 0.25)
    # |f_A - f_B exp(i phi)|^2 = f_A^2 + f_B^2 - 2 f_A f_B cos(phi), equation 1 with N = 1
    by_hand = 0.25 * 0.75 * (copper**2 + silver**2 - 2 * copper * silver * np.cos(q @ there[0]))
    np.testing.assert_allclose(found.reshape(-1), by_hand, rtol=2e-5)


def test_form_factor_at_minus_q_is_the_conjugate() -> None:
    plane = oblique_plane(7)
    opposite = Plane(-plane.origin, -plane.step_u, -plane.step_v)
    np.testing.assert_allclose(
        molecular_form_factor(FIRST, opposite), molecular_form_factor(FIRST, plane).conj(), atol=1e-10
    )


def test_intensity_has_a_centre_of_inversion() -> None:
    plane = Plane(np.zeros(3), np.array([0.05, 0.01, 0]), np.array([0, 0.02, 0.06]), (65, 65))
    intensity = form_factor_intensity(FIRST, SECOND, plane)
    np.testing.assert_allclose(intensity, intensity[::-1, ::-1], rtol=1e-8, atol=1e-8)


def test_moving_both_species_changes_nothing_and_moving_one_does() -> None:
    plane = oblique_plane(8, (32, 32))
    shift = np.array([0.7, -1.1, 0.4])
    moved = [replace(each, positions_angstrom=each.positions_angstrom + shift) for each in (FIRST, SECOND)]
    intensity = form_factor_intensity(FIRST, SECOND, plane)
    np.testing.assert_allclose(form_factor_intensity(*moved, plane), intensity, rtol=1e-9, atol=1e-9)
    assert np.abs(form_factor_intensity(moved[0], SECOND, plane) - intensity).max() > 0.1 * intensity.max()


def test_rotating_molecule_and_plane_together_changes_nothing() -> None:
    plane = oblique_plane(9, (32, 32))
    turn = np.array([[0.0, -1.0, 0.0], [0.6, 0.0, -0.8], [0.8, 0.0, 0.6]])
    assert np.linalg.det(turn) == pytest.approx(1.0)
    turned_plane = Plane(turn @ plane.origin, turn @ plane.step_u, turn @ plane.step_v, plane.shape)
    np.testing.assert_allclose(
        molecular_form_factor(FIRST.rotated(turn), turned_plane),
        molecular_form_factor(FIRST, plane),
        atol=1e-9,
    )


def test_a_vacancy_scatters_nothing() -> None:
    plane = oblique_plane(10, (16, 16))
    assert not molecular_form_factor(VACANCY, plane).any()
    expected = 0.4 * 0.6 * np.abs(molecular_form_factor(FIRST, plane)) ** 2
    np.testing.assert_allclose(form_factor_intensity(FIRST, VACANCY, plane, 0.4), expected)
    np.testing.assert_allclose(form_factor_intensity(VACANCY, FIRST, plane, 0.6), expected)


def test_two_species_alike_scatter_nothing_diffusely() -> None:
    assert not form_factor_intensity(FIRST, FIRST, oblique_plane(11, (16, 16))).any()


def test_concentration_enters_as_the_product_of_both() -> None:
    plane = oblique_plane(12, (16, 16))
    half = form_factor_intensity(FIRST, SECOND, plane, 0.5)
    np.testing.assert_allclose(form_factor_intensity(FIRST, SECOND, plane, 0.2), half * 0.16 / 0.25)
    np.testing.assert_allclose(form_factor_intensity(SECOND, FIRST, plane, 0.8), half * 0.16 / 0.25)


def test_debye_waller_factor() -> None:
    plane = oblique_plane(13)
    plain = form_factor_intensity(FIRST, SECOND, plane)
    damped = form_factor_intensity(FIRST, SECOND, plane, debye_waller_b_angstrom2=2.5)
    q_squared = np.sum(plane.q_points() ** 2, axis=-1)
    np.testing.assert_allclose(damped, plain * np.exp(-2.5 * q_squared / (8 * np.pi**2)), rtol=1e-9)
    # At |Q|^2 = 8 pi^2 / B the factor is 1/e.
    edge = Plane(np.array([np.sqrt(8 * np.pi**2 / 2.5), 0, 0]), plane.step_u, plane.step_v)
    ratio = (
        form_factor_intensity(FIRST, SECOND, edge, debye_waller_b_angstrom2=2.5)[128, 128]
        / form_factor_intensity(FIRST, SECOND, edge)[128, 128]
    )
    assert ratio == pytest.approx(np.exp(-1))


def test_q_squared_may_be_handed_in() -> None:
    plane = oblique_plane(14, (16, 16))
    given = molecular_form_factor(FIRST, plane, plane.q_squared())
    np.testing.assert_array_equal(given, molecular_form_factor(FIRST, plane))


def test_a_molecule_keeps_its_own_copy() -> None:
    positions = np.zeros((1, 3))
    molecule = Molecule(("C",), positions)
    positions[0, 0] = 9.0
    assert molecule.positions_angstrom[0, 0] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        molecule.positions_angstrom[0, 0] = 1.0


@pytest.mark.parametrize("concentration", [0.0, 1.0, -0.1, 1.5, np.nan])
def test_a_concentration_that_leaves_no_disorder_is_refused(concentration: float) -> None:
    with pytest.raises(InputError, match=r"^concentration is .*strictly between 0 and 1$"):
        form_factor_intensity(FIRST, SECOND, oblique_plane(0, (4, 4)), concentration)


def test_counts_that_differ_are_refused() -> None:
    with pytest.raises(InputError, match=r"^molecule: found 2 elements and positions of shape \(1, 3\)"):
        Molecule(("C", "O"), np.zeros((1, 3)))


def test_positions_the_wrong_way_round_are_refused() -> None:
    with pytest.raises(InputError, match=r"expected \(2, 3\)$"):
        Molecule(("C", "O"), np.zeros((3, 2)))


@pytest.mark.parametrize("symbol", ["Carbon", "c", "Q"])
def test_what_is_not_quite_a_symbol_is_refused(symbol: str) -> None:
    with pytest.raises(InputError, match=r"International Tables .* no scattering factor"):
        Molecule((symbol,), np.zeros((1, 3)))


@pytest.mark.parametrize("wrong", [-1.0, np.nan, np.inf])
def test_debye_waller_factors_that_are_none_are_refused(wrong: float) -> None:
    plane = Plane(np.zeros(3), np.array([0.1, 0, 0]), np.array([0, 0.1, 0]), (4, 4))
    atom = Molecule(("C",), np.zeros((1, 3)))
    with pytest.raises(InputError, match=r"^Debye-Waller B"):
        form_factor_intensity(atom, Molecule((), np.zeros((0, 3))), plane, 0.5, wrong)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_coordinates_that_are_no_numbers_are_refused(wrong: float) -> None:
    with pytest.raises(
        InputError, match=r"^molecule: found NaN or infinity in the positions; expected finite"
    ):
        Molecule(("C",), np.array([[0.0, wrong, 0.0]]))


@pytest.mark.parametrize("element", ["Xx", "", "Q", "Md"])
def test_an_element_without_a_table_is_refused(element: str) -> None:
    message = (
        r"the International Tables \(1992\) have no scattering factor for it; expected a symbol such as C$"
    )
    with pytest.raises(InputError, match=message):
        Molecule((element,), np.zeros((1, 3)))
