"""Monte Carlo short-range order: swaps, measured parameters, and sets that depend on their seed alone."""

import numpy as np
import numpy.typing as npt
import pytest

from dsfunet.errors import InputError
from simulate.correlations.draw import monte_carlo_set, monte_carlo_sets
from simulate.correlations.monte_carlo_kernel import order_sites
from simulate.correlations.sets import (
    NEAREST,
    MonteCarloRecipe,
    draw_targets,
    full_alphas,
    lowest_alpha,
    measure_alphas,
    nearest_alphas,
    order_lattice,
)
from tests.reference_correlations import reference_alphas, reference_order


def random_occupation(seed: int, shape: tuple[int, int, int], share: float) -> npt.NDArray[np.int8]:
    """Uncorrelated configuration with the concentration exact by count."""
    occupation = np.zeros(shape, dtype=np.int8).reshape(-1)
    occupation[: round(share * occupation.size)] = 1
    return np.random.default_rng(seed).permutation(occupation).reshape(shape)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.77])
def test_measured_alphas_agree_with_counted_pairs(share: float) -> None:
    """The FFT gives what counting gives, also on edges of unequal and odd length."""
    occupation = random_occupation(1, (12, 11, 14), share)
    np.testing.assert_allclose(measure_alphas(occupation), reference_alphas(occupation), rtol=0, atol=1e-12)


def test_alphas_are_inversion_symmetric_and_one_at_the_origin_exactly() -> None:
    """No rounding is left in the symmetry, nor at the origin."""
    alphas = measure_alphas(random_occupation(2, (16, 16, 16), 0.3))
    assert alphas.shape == (11, 11, 11)
    assert alphas.dtype == np.float64
    assert alphas[5, 5, 5] == 1.0
    np.testing.assert_array_equal(alphas, alphas[::-1, ::-1, ::-1])


def test_alphas_of_known_configurations() -> None:
    """Alternating layers: +1 within a layer, -1 between neighbours. Stripes of two: 0, then -1."""
    alternating = np.zeros((12, 12, 12), dtype=np.int8)
    alternating[::2] = 1
    alphas = measure_alphas(alternating)
    signs = (-1.0) ** np.abs(np.arange(-5, 6))
    np.testing.assert_array_equal(alphas, np.broadcast_to(signs[:, None, None], alphas.shape))

    stripes = np.zeros((12, 12, 12), dtype=np.int8)
    stripes[:, :, [0, 1, 4, 5, 8, 9]] = 1
    np.testing.assert_array_equal(measure_alphas(stripes)[5, 5, 5:], [1.0, 0.0, -1.0, 0.0, 1.0, 0.0])


def test_alphas_of_the_whole_lattice_add_up_to_zero() -> None:
    """The AA pairs of all vectors are count_a^2, whatever the order: at fixed composition alphas cancel."""
    recipe = MonteCarloRecipe(lattice_sites=16, tolerance=0.02)
    ordered, converged = order_lattice(0.4, np.array([0.5, -0.3, 0.1]), recipe, seed=4)
    assert converged
    for occupation in (ordered, random_occupation(3, (12, 13, 11), 0.4)):
        assert abs(full_alphas(occupation).sum()) < 1e-9


def test_alphas_of_a_random_configuration_are_sampling_noise() -> None:
    """At fixed composition they average -1 / (sites - 1), with a spread of sites^-1/2."""
    occupation = random_occupation(5, (32, 32, 32), 0.35)
    alphas = np.delete(measure_alphas(occupation), 665)
    sigma = occupation.size**-0.5
    assert np.abs(alphas).max() < 5.0 * sigma
    assert abs(alphas.mean()) < 5.0 * sigma / np.sqrt(665)
    assert alphas.std() == pytest.approx(sigma, rel=0.1)


@pytest.mark.parametrize(
    ("occupation", "expected"),
    [
        (np.ones((12, 12, 12), dtype=np.int8), "both species"),
        (np.zeros((12, 12, 12), dtype=np.int8), "both species"),
        (np.ones((12, 10, 12), dtype=np.int8), "three edges of 11"),
        (np.ones((12, 12), dtype=np.int8), "three edges of 11"),
    ],
)
def test_configurations_that_have_no_alphas(occupation: npt.NDArray[np.int8], expected: str) -> None:
    """One species alone has no order, and a small lattice no vectors of equation 6."""
    with pytest.raises(InputError, match=expected):
        measure_alphas(occupation)


# The axes alone; those and the diagonal of the plane; and vectors that go backwards and more than one step.
VECTORS = [[], [[1, 0, 1]], [[-1, 1, 0], [1, -2, 1]]]


@pytest.mark.parametrize("n", [3, 4, 5])
@pytest.mark.parametrize("share", [0.3, 0.6])
@pytest.mark.parametrize("more", VECTORS, ids=len)
def test_swaps_agree_with_the_twin(n: int, share: float, more: list[list[int]]) -> None:
    """Same random numbers, every pair counted again: same result. Small lattices swap neighbours often."""
    rng = np.random.default_rng(n)
    vectors = np.array([*NEAREST.tolist(), *more])
    count_a = round(share * n**3)
    for seed in (0, 7, 2**63 + 5):
        wanted = n**3 * share**2 + rng.uniform(-0.3, 0.6, len(vectors)) * n**3 * share * (1.0 - share)
        occupation, met = order_sites(n, count_a, vectors, wanted, 0.9, 400, np.uint64(seed))
        expected, expected_met = reference_order(n, count_a, vectors, wanted, 0.9, 400, seed)
        np.testing.assert_array_equal(occupation, expected)
        assert met is expected_met


@pytest.mark.parametrize(
    ("m_a", "targets"),
    [
        (0.5, (0.6, -0.2, 0.1)),
        (0.5, (-0.7, -0.7, -0.7)),
        (0.25, (-0.3, 0.7, 0.0)),
        (0.8, (0.75, 0.75, -0.2)),
    ],
)
def test_ordered_lattice_meets_targets_and_keeps_its_composition(
    m_a: float, targets: tuple[float, float, float]
) -> None:
    """The parameters counted on the configuration are within the tolerance, and no molecule is lost."""
    recipe = MonteCarloRecipe()
    occupation, converged = order_lattice(m_a, np.array(targets), recipe, seed=11)
    assert converged
    assert occupation.shape == (32, 32, 32)
    assert occupation.sum() == round(m_a * 32**3)
    assert set(np.unique(occupation)) == {0, 1}
    counted = nearest_alphas(reference_alphas(occupation, reach=5))
    assert np.abs(counted - targets).max() < recipe.tolerance


def test_infeasible_requests_are_refused() -> None:
    """A parameter below -min / max of the concentrations is no crystal; nor is one species alone."""
    recipe = MonteCarloRecipe(lattice_sites=11)
    with pytest.raises(InputError, match=r"expected -0\.2"):
        order_lattice(0.2, np.array([0.0, -0.4, 0.0]), recipe, seed=0)
    with pytest.raises(InputError, match="both species"):
        order_lattice(1e-6, np.zeros(3), recipe, seed=0)


def test_missed_targets_are_flagged() -> None:
    """A run that is too short reports what it reached and that it is not what was asked for."""
    recipe = MonteCarloRecipe(lattice_sites=16, max_sweeps=1, tolerance=1e-3)
    occupation, converged = order_lattice(0.5, np.array([0.9, 0.9, 0.9]), recipe, seed=1)
    assert not converged
    assert np.abs(nearest_alphas(measure_alphas(occupation)) - 0.9).max() > recipe.tolerance


@pytest.mark.parametrize(("m_a", "bound"), [(0.5, -1.0), (0.2, -0.25), (0.8, -0.25), (0.1, -1.0 / 9.0)])
def test_targets_are_feasible_and_cover_their_range(m_a: float, bound: float) -> None:
    """Bound worked out by hand for either species in the minority."""
    assert lowest_alpha(m_a) == pytest.approx(bound, abs=1e-12)
    recipe = MonteCarloRecipe()
    rng = np.random.default_rng(0)
    targets = np.array([draw_targets(rng, m_a, recipe) for _ in range(2000)])
    assert targets.shape == (2000, 3)
    assert targets.min() >= 0.95 * bound
    assert targets.max() <= recipe.target_max
    span = recipe.target_max - 0.95 * bound
    np.testing.assert_allclose(targets.mean(axis=0), 0.95 * bound + span / 2.0, atol=0.03 * span)


def test_sets_depend_on_seed_and_index_alone() -> None:
    """One worker or three, few sets or many: set j is the same, and equal to the set made on its own."""
    recipe = MonteCarloRecipe(lattice_sites=12, tolerance=0.02, max_sweeps=20)
    one = monte_carlo_sets(5, 42, recipe, workers=1, progress=False)
    three = monte_carlo_sets(9, 42, recipe, workers=3, progress=False)
    for name, values in one.items():
        np.testing.assert_array_equal(values, three[name][:5])
    alone = monte_carlo_set(np.random.SeedSequence(42, spawn_key=(3,)), recipe)
    np.testing.assert_array_equal(one["alphas"][3], alone.alphas)
    assert one["m_a"][3] == alone.m_a
    assert not np.array_equal(one["alphas"], monte_carlo_sets(5, 43, recipe, progress=False)["alphas"])


def test_sets_are_the_ones_they_have_always_been() -> None:
    """Numbers noted before targets could be tied: without symmetric sets no draw and no swap has changed."""
    recipe = MonteCarloRecipe(lattice_sites=12, tolerance=0.02, max_sweeps=20)
    sets = monte_carlo_sets(3, 42, recipe, progress=False)
    sites = 12**3
    assert (sets["m_a"] * sites).round().tolist() == [1440, 819, 271]
    shares = sets["m_a"][:, None]
    # [120], [4-33] and [005] in AA pairs.
    some = sets["alphas"][:, [6, 9, 5], [7, 2, 5], [5, 8, 10]]
    pairs = sites * (shares**2 + some * shares * (1 - shares))
    assert pairs.round(6).tolist() == [[1292, 1212, 1222], [381, 390, 417], [38, 35, 39]]
    drawn = monte_carlo_set(np.random.SeedSequence(42, spawn_key=(3,)), recipe)
    assert drawn.lattices == ("orthogonal", "hexagonal")


def test_sets_say_what_they_asked_for_and_got() -> None:
    """`converged` is nothing but the comparison of the two, and m_A is a whole number of molecules."""
    recipe = MonteCarloRecipe(lattice_sites=16, tolerance=0.01, max_sweeps=5)
    sets = monte_carlo_sets(40, 1, recipe, workers=2, progress=False)
    assert {name: values.shape for name, values in sets.items()} == {
        "alphas": (40, 11, 11, 11),
        "m_a": (40,),
        "kind": (40,),
        "converged": (40,),
        "targets": (40, 3),
        "achieved": (40, 3),
    }
    assert set(sets["kind"].tolist()) == {"monte_carlo"}
    misfit = np.abs(sets["achieved"] - sets["targets"]).max(axis=1)
    np.testing.assert_array_equal(sets["converged"], misfit < recipe.tolerance)
    assert 0 < sets["converged"].sum() < 40
    np.testing.assert_array_equal(sets["achieved"][:, 1], sets["alphas"][:, 5, 6, 5])
    np.testing.assert_allclose(sets["m_a"] * 16**3, np.rint(sets["m_a"] * 16**3), rtol=0, atol=1e-9)
    assert sets["m_a"].min() >= 0.1 - 16**-3
    assert sets["m_a"].max() <= 0.9 + 16**-3


@pytest.mark.parametrize(
    "wrong",
    [
        {"lattice_sites": 10},
        {"concentration_range": (0.0, 0.5)},
        {"concentration_range": (0.6, 0.4)},
        {"target_max": 1.0},
        {"lower_bound_share": 1.2},
        {"tolerance": 0.0},
        {"max_sweeps": 0},
        {"symmetric_share": 1.5},
        {"symmetric_share": float("nan")},
    ],
)
def test_recipe_checks_itself(wrong: dict[str, object]) -> None:
    """The message names the field."""
    with pytest.raises(InputError, match=next(iter(wrong))):
        MonteCarloRecipe(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(("count", "workers"), [(0, 1), (1, 0)])
def test_sets_need_a_count_and_a_worker(count: int, workers: int) -> None:
    """Neither is silently raised to one."""
    with pytest.raises(InputError, match="at least 1"):
        monte_carlo_sets(count, 0, MonteCarloRecipe(), workers, progress=False)
