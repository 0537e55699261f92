"""Scattering factors of other radiation, ions, dispersion and displacements, against numbers from other places."""

import numpy as np
import pytest

from dsfunet.errors import InputError
from dsfunet.physics import Molecule, Plane, form_factor_intensity, molecular_form_factor
from dsfunet.physics.scattering import Scattering, dispersion_of, parse_species
from tests.reference import oblique_plane

AT_ZERO = Plane(np.zeros(3), np.array([0.05, 0, 0]), np.array([0, 0.05, 0]), (3, 3))


def forward(name: str, scattering: Scattering) -> complex:
    """The form factor of one atom at Q = 0."""
    return complex(
        molecular_form_factor(Molecule((name,), np.zeros((1, 3))), AT_ZERO, scattering=scattering)[1, 1]
    )


@pytest.mark.parametrize(
    ("name", "radiation", "expected", "within"),
    [
        ("Fe", "xray", 26, 0.02),
        ("Fe3+", "xray", 23, 0.02),
        ("O-", "xray", 9, 0.02),
        ("Na+", "xray", 10, 0.02),
        # Bound coherent scattering lengths of Sears (1992) [fm].
        ("H", "neutron", -3.739, 0.001),
        ("D", "neutron", 6.671, 0.001),
        ("Mn", "neutron", -3.73, 0.001),
        ("Fe3+", "neutron", 9.45, 0.001),
        # International Tables C, table 4.3.2.2 at s = 0 [Angstrom].
        ("C", "electron", 2.51, 0.03),
        ("Fe3+", "electron", 7.16, 0.03),
    ],
)
def test_forward_scattering(name: str, radiation: str, expected: float, within: float) -> None:
    assert forward(name, Scattering(radiation)) == pytest.approx(expected, abs=within)  # type: ignore[arg-type]


def test_dispersion_of_iron_at_the_wavelength_of_molybdenum() -> None:
    # International Tables C, table 4.2.6.8: f' = 0.3463, f'' = 0.8444.
    found = dispersion_of("Fe", Scattering(wavelength_angstrom=0.71073))
    assert found.real == pytest.approx(0.346, abs=0.01) and found.imag == pytest.approx(0.844, abs=0.005)
    difference = forward("Fe", Scattering(wavelength_angstrom=0.71073)) - forward("Fe", Scattering())
    assert difference == pytest.approx(found, abs=1e-9)


def test_displacements_damp_each_atom_along_its_own_axes() -> None:
    plane = oblique_plane(3, (20, 14))
    q = plane.q_points()
    where = np.array([[0.3, -0.2, 0.5], [1.1, 0.4, -0.8]])
    tensors = np.array([0.03 * np.eye(3), [[0.05, 0.01, 0.0], [0.01, 0.02, -0.01], [0.0, -0.01, 0.04]]])
    found = molecular_form_factor(
        Molecule(("C", "O"), where, displacements_angstrom2=tensors, weights=np.array([1.0, 0.4])), plane
    )
    expected = np.zeros(plane.shape, complex)
    for name, point, tensor, weight in zip(("C", "O"), where, tensors, (1.0, 0.4), strict=True):
        at_rest = molecular_form_factor(Molecule((name,), point[None]), plane)
        expected += weight * at_rest * np.exp(-np.einsum("ijk,kl,ijl->ij", q, tensor, q) / 2)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_one_b_of_all_atoms_is_that_of_the_intensity() -> None:
    plane = oblique_plane(4, (20, 14))
    tensor = 1.7 / (8 * np.pi**2) * np.eye(3)[None]
    gold = Molecule(("Au",), np.zeros((1, 3)), displacements_angstrom2=tensor)
    copper = Molecule(("Cu",), np.zeros((1, 3)), displacements_angstrom2=tensor)
    bare = [Molecule((name,), np.zeros((1, 3))) for name in ("Au", "Cu")]
    np.testing.assert_allclose(
        form_factor_intensity(gold, copper, plane),
        form_factor_intensity(bare[0], bare[1], plane, debye_waller_b_angstrom2=1.7),
        rtol=1e-9,
    )


@pytest.mark.parametrize(("name", "expected"), [("Fe3+", ("Fe", 3)), ("O-", ("O", -1)), ("Cl", ("Cl", 0))])
def test_names_of_atoms_and_ions(name: str, expected: tuple[str, int]) -> None:
    assert parse_species(name) == expected


@pytest.mark.parametrize(
    ("radiation", "wavelength", "message"),
    [
        ("muon", None, "--radiation is 'muon'; expected one of xray, neutron, electron"),
        ("neutron", 1.5, "--wavelength 1.5: it enters f' and f'' of X-rays only"),
        ("xray", 40.0, r"--wavelength is 40; expected 0.1 to 5 \[Angstrom\]"),
    ],
)
def test_radiation_that_is_none_is_refused(radiation: str, wavelength: float | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Scattering(radiation, wavelength)  # type: ignore[arg-type]


def test_species_without_a_factor_are_refused() -> None:
    with pytest.raises(InputError, match=r"^ion 'Fe6\+': .*expected another charge, or Fe$"):
        Molecule(("Fe6+",), np.zeros((1, 3)))
    with pytest.raises(InputError, match=r"^element 'Po': its neutron scattering length is not known"):
        forward("Po", Scattering("neutron"))
