"""I_SRO against the direct sum over 1331 lattice vectors, its symmetry, its mean, and numbers by hand."""

import numpy as np
import pytest

from dsfunet.errors import InputError
from dsfunet.physics import ALPHA_SHAPE, MAX_INDEX, Cell, Plane, plane_through, short_range_order_intensity
from dsfunet.physics.short_range_order import check_alphas
from tests.reference import (
    Array,
    at,
    oblique_plane,
    random_alphas,
    reference_direct,
    reference_q,
    reference_short_range_order,
    some_pixels,
)

ORTHOGONAL = Cell(6.0, 7.5, 5.2)
HEXAGONAL = Cell(8.0, 4.0, 8.0, 90.0, 120.0, 90.0)
TRICLINIC = Cell(5.1, 6.2, 7.3, 81.0, 97.0, 112.0)

CASES = {
    "triclinic_oblique": (TRICLINIC, oblique_plane(0)),
    "triclinic_oblique_odd": (TRICLINIC, oblique_plane(1, (33, 20))),
    "triclinic_layer": (TRICLINIC, plane_through(TRICLINIC, (2, 1), 0.37, 8.0)),
    "orthogonal_hk0": (ORTHOGONAL, plane_through(ORTHOGONAL, (0, 1), 0.0, 8.0)),
    "orthogonal_h1.5l": (ORTHOGONAL, plane_through(ORTHOGONAL, (2, 0), 1.5, 7.0)),
    "orthogonal_oblique": (ORTHOGONAL, oblique_plane(2)),
    "hexagonal_h1l": (HEXAGONAL, plane_through(HEXAGONAL, (0, 2), 1.0, 8.0)),
    "hexagonal_hk0.3": (HEXAGONAL, plane_through(HEXAGONAL, (1, 0), 0.3, 8.0)),
}


def no_correlations() -> Array:
    """The alphas of a crystal without any order: 1 at the origin, else 0."""
    alphas = np.zeros(ALPHA_SHAPE)
    alphas[MAX_INDEX, MAX_INDEX, MAX_INDEX] = 1.0
    return alphas


def with_pair(i: int, j: int, k: int, alpha: float) -> Array:
    """A crystal with one correlated vector and its opposite."""
    alphas = no_correlations()
    alphas[5 + i, 5 + j, 5 + k] = alphas[5 - i, 5 - j, 5 - k] = alpha
    return alphas


def plane_at(indices: tuple[float, float, float], cell: Cell) -> Plane:
    """A small oblique plane with h k l [r.l.u.] on its central pixel."""
    return Plane(
        np.array(indices) @ cell.reciprocal, np.array([0.02, 0.01, 0]), np.array([0, 0.01, -0.03]), (9, 9)
    )


@pytest.mark.parametrize(("cell", "plane"), CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("seed", [0, 1])
def test_intensity_agrees_with_the_direct_sum(cell: Cell, plane: Plane, seed: int) -> None:
    alphas = random_alphas(seed)
    pixels = some_pixels(plane.shape)
    q = reference_q(plane.origin, plane.step_u, plane.step_v, plane.shape, pixels)
    expected = reference_short_range_order(alphas, reference_direct(cell.parameters), q)
    found = short_range_order_intensity(alphas, cell, plane, clip=False)
    assert found.shape == plane.shape
    assert np.abs(at(found, pixels) - expected).max() < 1e-8 * np.abs(expected).max()


@pytest.mark.parametrize("indices", [(0, 0, 0), (1, 0, 0), (2, -1, 3)])
@pytest.mark.parametrize("cell", [ORTHOGONAL, HEXAGONAL, TRICLINIC])
def test_bragg_positions_carry_the_sum_of_all_alphas(cell: Cell, indices: tuple[int, int, int]) -> None:
    alphas = random_alphas(2)
    found = short_range_order_intensity(alphas, cell, plane_at(indices, cell), clip=False)[4, 4]
    assert found == pytest.approx(alphas.sum(), rel=1e-9)


@pytest.mark.parametrize("cell", [ORTHOGONAL, HEXAGONAL, TRICLINIC])
def test_intensity_is_periodic_in_the_reciprocal_lattice(cell: Cell) -> None:
    alphas, plane = random_alphas(3), oblique_plane(3, (32, 32))
    shifted = Plane(plane.origin + [2, -3, 1] @ cell.reciprocal, plane.step_u, plane.step_v, plane.shape)
    np.testing.assert_allclose(
        short_range_order_intensity(alphas, cell, shifted, clip=False),
        short_range_order_intensity(alphas, cell, plane, clip=False),
        atol=1e-9,
    )


def test_intensity_has_a_centre_of_inversion() -> None:
    plane = oblique_plane(4, (32, 32))
    opposite = Plane(-plane.origin, -plane.step_u, -plane.step_v, plane.shape)
    np.testing.assert_allclose(
        short_range_order_intensity(random_alphas(4), TRICLINIC, opposite, clip=False),
        short_range_order_intensity(random_alphas(4), TRICLINIC, plane, clip=False),
        atol=1e-9,
    )


@pytest.mark.parametrize("cell", [ORTHOGONAL, HEXAGONAL, TRICLINIC])
def test_mean_over_a_brillouin_zone_is_one(cell: Cell) -> None:
    # 12 points an axis sum every cosine of up to five periods to nothing.
    points = 12
    a, b, c = cell.reciprocal / points
    layers = [Plane(layer * c, a, b, (points, points)) for layer in range(points)]
    zone = [short_range_order_intensity(random_alphas(5), cell, layer, clip=False) for layer in layers]
    assert np.mean(zone) == pytest.approx(1.0, abs=1e-10)
    assert np.std(zone) > 0.1


def test_a_crystal_without_order_is_flat() -> None:
    plane = plane_through(HEXAGONAL, (0, 2), 1.0, 8.0)
    np.testing.assert_allclose(
        short_range_order_intensity(no_correlations(), HEXAGONAL, plane), 1.0, atol=1e-12
    )


def test_one_correlated_pair_by_hand() -> None:
    plane = oblique_plane(6, (24, 24))
    q_dot_v = plane.q_points() @ (2 * TRICLINIC.direct[0] - TRICLINIC.direct[2])
    found = short_range_order_intensity(with_pair(2, 0, -1, -0.3), TRICLINIC, plane)
    np.testing.assert_allclose(found, 1 - 0.6 * np.cos(q_dot_v), atol=1e-8)


@pytest.mark.parametrize(("half_way", "expected"), [((0.5, 0, 0), 1.6), ((0, 0, 0), 0.4), ((0, 0.5, 0), 0.4)])
def test_alternation_along_a_scatters_half_way(half_way: tuple[float, float, float], expected: float) -> None:
    found = short_range_order_intensity(with_pair(1, 0, 0, -0.3), ORTHOGONAL, plane_at(half_way, ORTHOGONAL))
    assert found[4, 4] == pytest.approx(expected)


def test_negative_dips_of_the_series_are_clipped() -> None:
    alphas, plane = with_pair(0, 1, 0, 0.8), plane_through(ORTHOGONAL, (0, 1), 0.0, 8.0)
    unclipped = short_range_order_intensity(alphas, ORTHOGONAL, plane, clip=False)
    assert unclipped.min() == pytest.approx(-0.6, abs=1e-2)
    np.testing.assert_array_equal(
        short_range_order_intensity(alphas, ORTHOGONAL, plane), np.where(unclipped > 0, unclipped, 0.0)
    )


def test_single_precision_alphas_will_do() -> None:
    plane = plane_through(ORTHOGONAL, (0, 1), 1.0, 8.0)
    found = short_range_order_intensity(random_alphas(7).astype(np.float32), ORTHOGONAL, plane)
    assert found.dtype == np.float64
    np.testing.assert_allclose(
        found, short_range_order_intensity(random_alphas(7), ORTHOGONAL, plane), atol=1e-5
    )


def test_alphas_of_another_shape_are_refused() -> None:
    with pytest.raises(InputError, match=r"^alphas: found shape \(9, 9, 9\); expected \(11, 11, 11\)$"):
        short_range_order_intensity(np.zeros((9, 9, 9)), ORTHOGONAL, oblique_plane(0, (4, 4)))


def test_alphas_without_their_one_are_refused() -> None:
    with pytest.raises(InputError, match=r"alpha_0 is 0\.0; expected 1$"):
        check_alphas(np.zeros(ALPHA_SHAPE))


@pytest.mark.parametrize("wrong", [np.inf, np.nan])
def test_alphas_that_are_no_numbers_are_refused(wrong: float) -> None:
    alphas = no_correlations()
    alphas[6, 5, 5] = alphas[4, 5, 5] = wrong
    with pytest.raises(InputError, match=r"found NaN or infinity; expected finite numbers$"):
        check_alphas(alphas)


def test_alphas_without_inversion_are_refused() -> None:
    alphas = no_correlations()
    alphas[6, 5, 5] = 0.1
    with pytest.raises(InputError, match=r"found alpha_v different from alpha_-v; expected equal values$"):
        check_alphas(alphas)
