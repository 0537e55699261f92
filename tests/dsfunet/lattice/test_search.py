"""Lattices found on exact planes: rotated, oblique, hexagonal; with missing pixels, noise, no axes, or none there."""

import numpy as np
import numpy.typing as npt
import pytest

from dsfunet.errors import InputError
from dsfunet.lattice.projected import lattice_plane
from dsfunet.lattice.search import FoundLattice, find_lattice
from dsfunet.physics import Plane

Vectors = npt.NDArray[np.float64]

# Direct vectors projected onto the plane [Angstrom], by length, length, angle between them and angle to the rows.
LATTICES = {
    "rectangular": (6.0, 7.5, 90.0, 0.0),
    "rotated": (5.0, 8.0, 90.0, 23.0),
    "hexagonal": (7.0, 7.0, 120.0, 0.0),
    "oblique": (6.3, 8.1, 104.0, 11.0),
}
ORDER = ((1, 0, -0.5), (0, 1, 0.4), (1, 1, 0.3), (2, 0, 0.3), (1, -2, -0.2))


def plane_of(step: float = 14 / 256) -> Plane:
    return Plane(np.zeros(3), np.array([0.0, step, 0]), np.array([0.0, 0, step]))


def made(
    name: str, counts: float | None = None
) -> tuple[Vectors, npt.NDArray[np.float64], npt.NDArray[np.bool_], npt.NDArray[np.float32]]:
    """True vectors [cycles a pixel], scattering, mask and I_FF."""
    first, second, between, to_rows = LATTICES[name]
    angles = np.radians([to_rows, to_rows + between])
    direct = np.array([first, second])[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    q = plane_of().q_points()[..., 1:]
    h, k = (q @ each / (2 * np.pi) for each in direct)
    order = 1.6 + sum(value * np.cos(2 * np.pi * (m * h + n * k)) for m, n, value in ORDER)
    form_factor = np.exp(-(q**2).sum(-1) / 20) + 0.02
    scattering = order * form_factor
    if counts is not None:
        scattering = np.random.default_rng(2).poisson(scattering / scattering.max() * counts).astype(float)
    mask = np.ones((256, 256), bool)
    mask[100:140, :120] = mask[:, 200:215] = False
    vectors = direct * (14 / 256) / (2 * np.pi)
    return vectors, np.where(mask, scattering, np.nan), mask, form_factor.astype(np.float32)


def found_on(name: str, counts: float | None = None, plane: Plane | None = None) -> FoundLattice:
    """With networks that blur I_SRO and are wrong about the form factor by a fifth."""
    _, scattering, mask, form_factor = made(name, counts)
    exact = made(name)
    order = np.nan_to_num(exact[1] / form_factor)
    rough = form_factor * (1 + 0.2 * np.sin(np.arange(256) / 30)).astype(np.float32)
    found = find_lattice(scattering, mask, rough, (order / order.max()).astype(np.float32), plane)
    assert found is not None
    return found


def off(found: FoundLattice, vectors: Vectors) -> float:
    """Largest error of the basis found, in units of the true one that spans the same."""
    mine = np.asarray(np.linalg.inv(found.reciprocal_pixels).T)
    whole = mine @ np.linalg.inv(vectors)
    assert round(abs(np.linalg.det(np.rint(whole)))) == 1
    return float(np.abs(whole - np.rint(whole)).max())


@pytest.mark.parametrize("name", LATTICES)
def test_a_lattice_is_found_to_a_thousandth(name: str) -> None:
    found = found_on(name, plane=plane_of())
    assert found.accepted
    assert off(found, made(name)[0]) < 1e-3
    first, second, between, _ = LATTICES[name]
    assert found.direct_lengths == pytest.approx((first, second), rel=2e-3)
    assert found.reciprocal_angle in (pytest.approx(180 - between, abs=0.2), pytest.approx(between, abs=0.2))
    rise = np.sin(np.radians(between))
    assert found.reciprocal_lengths == pytest.approx(
        (2 * np.pi / first / rise, 2 * np.pi / second / rise), rel=2e-3
    )


@pytest.mark.parametrize("name", ["rotated", "hexagonal"])
def test_at_a_hundred_counts_too(name: str) -> None:
    found = found_on(name, counts=100.0)
    assert found.accepted
    assert off(found, made(name)[0]) < 3e-3


def test_without_axes_nothing_is_said_in_angstrom_nor_about_the_origin() -> None:
    found, with_axes = found_on("oblique"), found_on("oblique", plane=plane_of())
    assert found.direct_lengths is None and found.reciprocal_lengths is None
    assert not found.lattice.inverts_onto_itself and with_axes.lattice.inverts_onto_itself
    np.testing.assert_array_equal(found.reciprocal_pixels, with_axes.reciprocal_pixels)


def test_the_lattice_plane_repeats_where_the_vectors_say() -> None:
    vectors = made("oblique")[0]
    lattice = lattice_plane(vectors, plane_of())
    h, k = lattice.fractional_indices()
    steps = np.array([[h[1, 0] - h[0, 0], h[0, 1] - h[0, 0]], [k[1, 0] - k[0, 0], k[0, 1] - k[0, 0]]])
    np.testing.assert_allclose(steps, vectors, atol=1e-12)


def test_the_same_every_time() -> None:
    first, second = found_on("hexagonal", counts=100.0), found_on("hexagonal", counts=100.0)
    np.testing.assert_array_equal(first.reciprocal_pixels, second.reciprocal_pixels)
    assert first.confidence == second.confidence


@pytest.mark.parametrize("kind", ["smooth", "white"])
def test_where_nothing_repeats_no_lattice_is_accepted(kind: str) -> None:
    random = np.random.default_rng(4)
    q_squared = plane_of().q_squared()
    order = np.exp(-q_squared / 30) if kind == "smooth" else random.random((256, 256))
    form_factor = (np.exp(-q_squared / 20) + 0.02).astype(np.float32)
    mask = np.ones((256, 256), bool)
    found = find_lattice(form_factor * order, mask, form_factor, order.astype(np.float32))
    assert found is None or not found.accepted


def test_a_plane_without_pixels_is_refused() -> None:
    empty = np.zeros((256, 256), np.float32)
    with pytest.raises(InputError, match="no measured pixel"):
        find_lattice(empty, empty > 0, empty, empty)
    with pytest.raises(InputError, match="expected the same"):
        find_lattice(empty[:5], empty > 0, empty, empty)
