"""Damped-oscillator short-range order: shells, symmetry, equation 7, and the test for physical sets."""

from math import cos, exp

import numpy as np
import pytest

from dsfunet.errors import InputError
from simulate.correlations.oscillators import (
    ARRANGEMENTS,
    Arrangement,
    DampedOscillator,
    Lattice,
    OscillatorRecipe,
    draw_oscillator_set,
    integer_metric,
    is_physical,
    negative_share,
    neighbour_shells,
    oscillator_alphas,
    point_group,
)
from tests.reference_correlations import reference_intensity

OSCILLATOR = DampedOscillator(amplitude=1.1, damping=0.4, frequency=1.3)
ALONG = DampedOscillator(amplitude=0.8, damping=0.9, frequency=0.5)
CASES: list[tuple[Lattice, Arrangement, int, int]] = [
    ("orthogonal", "planar", 0, 16),
    ("orthogonal", "planar", 1, 16),
    ("orthogonal", "layered", 2, 16),
    ("orthogonal", "cubic", 2, 48),
    ("hexagonal", "planar", 1, 24),
    ("hexagonal", "layered", 1, 24),
]


def along(arrangement: Arrangement) -> DampedOscillator | None:
    """Return the second oscillator for layered order, None otherwise."""
    return ALONG if arrangement == "layered" else None


def eq7(shell: int) -> float:
    """Equation 7 for OSCILLATOR, written out."""
    return 1.1 * exp(-0.4 * shell) * cos(1.3 * shell)


@pytest.mark.parametrize(("lattice", "arrangement", "unique_axis", "order"), CASES)
def test_point_groups_have_their_order_and_are_closed(
    lattice: Lattice, arrangement: Arrangement, unique_axis: int, order: int
) -> None:
    """4/mmm, 6/mmm and m-3m; every product of two operations is an operation."""
    operations = point_group(integer_metric(lattice, arrangement, unique_axis))
    known = {operation.tobytes() for operation in operations}
    assert len(known) == len(operations) == order
    products = np.einsum("mij,njk->mnik", operations, operations).reshape(-1, 3, 3)
    assert {np.ascontiguousarray(one).tobytes() for one in products} == known


@pytest.mark.parametrize(("lattice", "arrangement", "unique_axis", "order"), CASES)
def test_symmetry_is_exact_under_every_operation(
    lattice: Lattice, arrangement: Arrangement, unique_axis: int, order: int
) -> None:
    """Every image of a vector has the same parameter, and the parameter is 0 if an image is outside the box."""
    alphas = oscillator_alphas(lattice, arrangement, unique_axis, OSCILLATOR, along(arrangement))
    operations = point_group(integer_metric(lattice, arrangement, unique_axis))
    vectors = np.argwhere(np.ones((11, 11, 11), dtype=bool)) - 5
    values = alphas.reshape(-1)
    for operation in operations:
        images = vectors @ operation.T
        inside = np.all(np.abs(images) <= 5, axis=1)
        np.testing.assert_array_equal(alphas[tuple(images[inside].T + 5)], values[inside])
        assert np.all(values[~inside] == 0.0)
    assert alphas[5, 5, 5] == 1.0
    np.testing.assert_array_equal(alphas, alphas[::-1, ::-1, ::-1])


def test_square_shells_by_hand() -> None:
    """Squared lengths 1, 2, 4, 5, 8, 9 are shells 1 to 6; 25 is the 13th, shared by (5, 0) and (4, 3)."""
    alphas = oscillator_alphas("orthogonal", "planar", 2, OSCILLATOR)
    shells = {(1, 0): 1, (1, 1): 2, (2, 0): 3, (2, 1): 4, (2, 2): 5, (0, 3): 6, (5, 0): 13, (-4, 3): 13}
    for (i, j), shell in shells.items():
        assert alphas[i + 5, j + 5, 5] == pytest.approx(eq7(shell), abs=1e-15)
    assert alphas[6, 5, 5] == pytest.approx(1.1 * 0.67032 * 0.267499, abs=1e-5)
    assert not alphas[:, :, [0, 1, 2, 3, 4, 6, 7, 8, 9, 10]].any()
    assert np.count_nonzero(alphas) == 121


def test_unique_axis_turns_the_plane() -> None:
    """Planar order normal to a equals that normal to c with the axes exchanged."""
    normal_to_a = oscillator_alphas("orthogonal", "planar", 0, OSCILLATOR)
    normal_to_c = oscillator_alphas("orthogonal", "planar", 2, OSCILLATOR)
    np.testing.assert_array_equal(normal_to_a, normal_to_c.transpose(2, 0, 1))
    assert normal_to_a[6, 5, 5] == 0.0
    assert normal_to_a[5, 6, 5] != 0.0


def test_cubic_shells_by_hand() -> None:
    """Squared lengths are 1 to 6, 8 and 9, so (2, 2, 0) is in shell 7."""
    alphas = oscillator_alphas("orthogonal", "cubic", 0, OSCILLATOR)
    shells = {(1, 0, 0): 1, (0, -1, 1): 2, (1, 1, 1): 3, (0, 2, 0): 4, (2, 2, 0): 7, (2, 1, 2): 8}
    for vector, shell in shells.items():
        assert alphas[tuple(np.add(vector, 5))] == pytest.approx(eq7(shell), abs=1e-15)


def test_hexagonal_shells_by_hand() -> None:
    """With 120 degrees between a and c, a + c is as long as a, and a - c is sqrt(3) times longer."""
    alphas = oscillator_alphas("hexagonal", "planar", 1, OSCILLATOR)
    shells = {(1, 0): 1, (1, 1): 1, (0, -1): 1, (1, -1): 2, (2, 1): 2, (2, 2): 3, (3, 1): 4, (3, 0): 5}
    for (i, k), shell in shells.items():
        assert alphas[i + 5, 5, k + 5] == pytest.approx(eq7(shell), abs=1e-15)
    assert alphas[10, 5, 0] == 0.0
    # The hexagon of vectors no more than five steps away holds 1 + 3 * 5 * 6 points.
    assert np.count_nonzero(alphas) == 91


def test_hexagonal_shells_follow_real_lengths() -> None:
    """Sorted by Cartesian length, shells never go down, and go up exactly where the length does."""
    shells, _, _ = neighbour_shells("hexagonal", "planar", 1)
    steps = np.arange(-5, 6)
    i, k = (grid.reshape(-1) for grid in np.meshgrid(steps, steps, indexing="ij"))
    lengths = np.hypot(i - 0.5 * k, np.sqrt(0.75) * k)
    order = np.argsort(lengths, kind="stable")
    longer = np.diff(lengths[order]) > 1e-9
    np.testing.assert_array_equal(np.diff(shells[:, 5, :].reshape(-1)[order]) > 0, longer)


def test_layered_order_is_a_product() -> None:
    """The first oscillator applies in the plane, the second along the axis, and their product elsewhere."""
    alphas = oscillator_alphas("hexagonal", "layered", 1, OSCILLATOR, ALONG)
    layer_2 = 0.8 * exp(-0.9 * 2) * cos(0.5 * 2)
    assert alphas[6, 5, 5] == pytest.approx(eq7(1), abs=1e-15)
    assert alphas[5, 3, 5] == pytest.approx(layer_2, abs=1e-15)
    assert alphas[6, 7, 4] == pytest.approx(eq7(2) * layer_2, abs=1e-15)


def test_negative_share_agrees_with_the_series() -> None:
    """The FFT evaluates equation 3 on a grid over the zone; the reference sums it term by term on a coarser grid."""
    alphas = oscillator_alphas("orthogonal", "planar", 2, DampedOscillator(1.4, 0.15, 1.0))
    steps = np.arange(32) / 32.0
    grid = np.stack(np.meshgrid(steps, steps, [0.0], indexing="ij"), axis=-1).reshape(-1, 3)
    intensity = reference_intensity(alphas, grid)
    expected = np.maximum(-intensity, 0.0).sum() / np.maximum(intensity, 0.0).sum()
    assert negative_share(alphas) == pytest.approx(expected, rel=1e-9)
    assert expected > 0.05


def test_negative_share_by_hand() -> None:
    """Without order the share is 0. With one pair of neighbours, 1 + 2 alpha cos is negative for large alpha only."""
    alphas = np.zeros((11, 11, 11))
    alphas[5, 5, 5] = 1.0
    assert negative_share(alphas) == 0.0
    alphas[4, 5, 5] = alphas[6, 5, 5] = -0.5
    assert negative_share(alphas) == pytest.approx(0.0, abs=1e-12)
    # On 32 points the sums of 1 + 2 cos over cos < -1/2 and over the rest; their difference is the mean, 1.
    alphas[4, 5, 5] = alphas[6, 5, 5] = 1.0
    wave = 1.0 + 2.0 * np.cos(2.0 * np.pi * np.arange(32) / 32.0)
    assert negative_share(alphas) == pytest.approx(-wave[wave < 0].sum() / wave[wave > 0].sum(), abs=1e-12)


def test_parameters_above_one_are_not_physical() -> None:
    """A = 1.5 with little damping leaves the first shell above 1."""
    recipe = OscillatorRecipe(max_negative_share=1.0)
    for amplitude, physical in ((1.5, False), (0.9, True)):
        alphas = oscillator_alphas("orthogonal", "planar", 2, DampedOscillator(amplitude, 0.1, 0.1))
        assert is_physical(alphas, recipe) is physical


@pytest.mark.parametrize("lattice", list(ARRANGEMENTS))
def test_drawn_sets_are_physical_varied_and_reproducible(lattice: Lattice) -> None:
    """Every arrangement occurs, and the same generator gives the same sets."""
    recipe = OscillatorRecipe()
    rng = np.random.default_rng(3)
    sets = [draw_oscillator_set(rng, lattice, recipe) for _ in range(40)]
    assert {one.kind for one in sets} == {f"{lattice}_{name}" for name in ARRANGEMENTS[lattice]}
    for one in sets:
        assert one.converged
        assert one.m_a == 0.5
        assert one.alphas[5, 5, 5] == 1.0
        assert np.abs(one.alphas).max() <= 1.0
        assert negative_share(one.alphas) <= recipe.max_negative_share
        np.testing.assert_array_equal(one.achieved, one.alphas[[6, 5, 5], [5, 6, 5], [5, 5, 6]])
    assert np.unique([one.alphas.sum() for one in sets]).size == 40
    again = np.random.default_rng(3)
    for one in sets[:5]:
        np.testing.assert_array_equal(one.alphas, draw_oscillator_set(again, lattice, recipe).alphas)


def test_impossible_requests_are_refused() -> None:
    """Unknown lattices and arrangements, and a second oscillator that is missing or not allowed."""
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="monoclinic"):
        draw_oscillator_set(rng, "monoclinic", OscillatorRecipe())  # type: ignore[arg-type]
    with pytest.raises(InputError, match="cubic on hexagonal"):
        oscillator_alphas("hexagonal", "cubic", 1, OSCILLATOR)
    with pytest.raises(InputError, match="along_axis"):
        oscillator_alphas("orthogonal", "planar", 2, OSCILLATOR, ALONG)
    with pytest.raises(InputError, match="along_axis"):
        oscillator_alphas("orthogonal", "layered", 2, OSCILLATOR)


def test_hopeless_recipe_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranges without a physical set give an error, not an endless loop."""
    monkeypatch.setattr("simulate.correlations.oscillators._MAX_DRAWS", 20)
    recipe = OscillatorRecipe(amplitude_range=(3.0, 4.0), damping_range=(0.0, 0.1), frequency_range=(0, 0.1))
    with pytest.raises(InputError, match=r"^no physical set in 20 draws"):
        draw_oscillator_set(np.random.default_rng(0), "orthogonal", recipe)


@pytest.mark.parametrize(
    "wrong",
    [
        {"amplitude_range": (1.0, 0.5)},
        {"damping_range": (-0.1, 0.5)},
        {"frequency_range": (0.0, float("inf"))},
        {"max_negative_share": 1.5},
    ],
)
def test_recipe_checks_itself(wrong: dict[str, object]) -> None:
    """The message names the field."""
    with pytest.raises(InputError, match=next(iter(wrong))):
        OscillatorRecipe(**wrong)  # type: ignore[arg-type]
