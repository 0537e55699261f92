"""One Monte Carlo run: swaps agree with the reference, targets are feasible, and a run meets them or says so."""

import numpy as np
import pytest

from dsfunet.errors import InputError
from simulate.correlations.monte_carlo import (
    NEAREST,
    MonteCarloRecipe,
    draw_targets,
    lowest_alpha,
    order_lattice,
)
from simulate.correlations.monte_carlo_kernel import order_sites
from simulate.correlations.sets import measure_alphas, nearest_alphas
from tests.reference_correlations import reference_alphas, reference_order

# The axes alone; those and the diagonal of the plane; and vectors that go backwards and more than one step.
VECTORS = [[], [[1, 0, 1]], [[-1, 1, 0], [1, -2, 1]]]


@pytest.mark.parametrize("n", [3, 4, 5])
@pytest.mark.parametrize("share", [0.3, 0.6])
@pytest.mark.parametrize("more", VECTORS, ids=len)
def test_swaps_agree_with_the_reference(n: int, share: float, more: list[list[int]]) -> None:
    """The same random numbers and a count of all pairs give the same result. Small lattices often swap neighbours."""
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
    """No crystal has a parameter below -min / max of the concentrations, or one species alone."""
    recipe = MonteCarloRecipe(lattice_sites=11)
    with pytest.raises(InputError, match=r"expected -0\.2"):
        order_lattice(0.2, np.array([0.0, -0.4, 0.0]), recipe, seed=0)
    with pytest.raises(InputError, match="both species"):
        order_lattice(1e-6, np.zeros(3), recipe, seed=0)


def test_missed_targets_are_flagged() -> None:
    """A run that is too short reports its parameters and that they miss the targets."""
    recipe = MonteCarloRecipe(lattice_sites=16, max_sweeps=1, tolerance=1e-3)
    occupation, converged = order_lattice(0.5, np.array([0.9, 0.9, 0.9]), recipe, seed=1)
    assert not converged
    assert np.abs(nearest_alphas(measure_alphas(occupation)) - 0.9).max() > recipe.tolerance


@pytest.mark.parametrize(("m_a", "bound"), [(0.5, -1.0), (0.2, -0.25), (0.8, -0.25), (0.1, -1.0 / 9.0)])
def test_targets_are_feasible_and_cover_their_range(m_a: float, bound: float) -> None:
    """The bound is computed by hand, for either species in the minority."""
    assert lowest_alpha(m_a) == pytest.approx(bound, abs=1e-12)
    recipe = MonteCarloRecipe()
    rng = np.random.default_rng(0)
    targets = np.array([draw_targets(rng, m_a, recipe) for _ in range(2000)])
    assert targets.shape == (2000, 3)
    assert targets.min() >= 0.95 * bound
    assert targets.max() <= recipe.target_max
    span = recipe.target_max - 0.95 * bound
    np.testing.assert_allclose(targets.mean(axis=0), 0.95 * bound + span / 2.0, atol=0.03 * span)


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
