"""Symmetric sets: targets are met along equivalent vectors, the symmetry is exact, and frustration limits targets."""

from itertools import product

import numpy as np
import numpy.typing as npt
import pytest

from dsfunet.errors import InputError
from simulate.correlations.draw import draw_monte_carlo_set, draw_monte_carlo_sets
from simulate.correlations.monte_carlo import MonteCarloRecipe, lowest_alpha, order_lattice
from simulate.correlations.sets import CorrelationSet, full_alphas, measure_alphas
from simulate.correlations.symmetric_order import (
    SYMMETRIC_KINDS,
    Symmetry,
    draw_symmetric_set,
    lowest_shared_alpha,
    operations_of,
    sets_by_lattice,
    symmetric_targets,
)
from tests.reference_correlations import reference_alphas

RECIPE = MonteCarloRecipe(lattice_sites=16, tolerance=0.01)
CASES: list[tuple[Symmetry, int, int]] = [
    ("tetragonal", 0, 16),
    ("tetragonal", 1, 16),
    ("tetragonal", 2, 16),
    ("cubic", 1, 48),
    ("hexagonal", 1, 24),
]
every_case = pytest.mark.parametrize(("symmetry", "unique_axis", "operations"), CASES)


def ordered(symmetry: Symmetry, unique_axis: int, n: int = 16) -> npt.NDArray[np.int8]:
    """A configuration at m_A = 0.4 with 0.35 for equivalent neighbours and -0.2 along the unique axis."""
    vectors, targets = symmetric_targets(symmetry, unique_axis, 0.4, 0.35, -0.2)
    recipe = MonteCarloRecipe(lattice_sites=n, tolerance=0.01)
    occupation, met = order_lattice(0.4, targets, recipe, 3, vectors)
    assert met
    return occupation


# --- targets


def test_tied_targets_by_hand() -> None:
    vectors, targets = symmetric_targets("tetragonal", 0, 0.5, 0.3, -0.6)
    assert vectors.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert targets.tolist() == [-0.6, 0.3, 0.3]
    assert symmetric_targets("cubic", 1, 0.5, 0.3, -0.6)[1].tolist() == [0.3, 0.3, 0.3]
    vectors, targets = symmetric_targets("hexagonal", 1, 0.5, 0.3, -0.6)
    assert vectors.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1]]
    assert targets.tolist() == [0.3, -0.6, 0.3, 0.3]


def test_tied_vectors_are_the_shortest_of_their_lattice() -> None:
    """At 120 degrees a + c is as long as a and c; a - c is longer."""
    a, b, c = np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.3]), np.array([-0.5, np.sqrt(0.75), 0.0])
    vectors, targets = symmetric_targets("hexagonal", 1, 0.5, 0.1, 0.2)
    lengths = np.linalg.norm(vectors @ np.array([a, b, c]), axis=1)
    np.testing.assert_allclose(lengths, np.where(targets == 0.1, 1.0, 1.3))


@every_case
def test_every_equivalent_vector_meets_the_target(
    symmetry: Symmetry, unique_axis: int, operations: int
) -> None:
    """The parameters are counted on the configuration, before averaging."""
    alphas = reference_alphas(ordered(symmetry, unique_axis))
    vectors, targets = symmetric_targets(symmetry, unique_axis, 0.4, 0.35, -0.2)
    found = alphas[tuple(vectors.T + 5)]
    assert np.abs(found - targets).max() < 0.0101  # 0.4 of 4096 sites is not a whole number


# --- measured parameters


@every_case
def test_operations_keep_the_tied_vectors_together(
    symmetry: Symmetry, unique_axis: int, operations: int
) -> None:
    group = operations_of(symmetry, unique_axis)
    assert len(group) == operations
    vectors, targets = symmetric_targets(symmetry, unique_axis, 0.4, 0.35, -0.2)
    along = {tuple(sign * vector) for vector in vectors[targets == -0.2] for sign in (1, -1)}
    shared = {tuple(sign * vector) for vector in vectors[targets == 0.35] for sign in (1, -1)}
    for orbit in (shared, along):
        assert {tuple(operation @ vector) for operation in group for vector in orbit} == orbit


@every_case
def test_measured_parameters_are_averages_of_counted_pairs_over_orbits(
    symmetry: Symmetry, unique_axis: int, operations: int
) -> None:
    occupation = ordered(symmetry, unique_axis, n=13)
    group = operations_of(symmetry, unique_axis)
    alphas = measure_alphas(occupation, group)
    # 13 cells hold the vectors to 6; what a hexagonal operation takes further comes in again on the other side.
    counted = reference_alphas(occupation, reach=6)
    rng = np.random.default_rng(0)
    for vector in rng.integers(-5, 6, (60, 3)):
        images = group @ vector
        wrapped = (images + 6) % 13
        expected = counted[tuple(wrapped.T)].mean() if np.abs(images).max() <= 5 else 0.0
        assert alphas[tuple(vector + 5)] == pytest.approx(expected, abs=1e-12)


@every_case
@pytest.mark.parametrize("n", [11, 16])
def test_symmetry_is_exact(symmetry: Symmetry, unique_axis: int, operations: int, n: int) -> None:
    """Parameters are equal to the last bit, and 0 if an image is outside the box; also on the smallest lattice."""
    occupation = np.random.default_rng(n).permutation(np.arange(n**3) % 3 == 0).astype(np.int8)
    alphas = measure_alphas(occupation.reshape(n, n, n), operations_of(symmetry, unique_axis))
    vectors = np.indices((11, 11, 11)).reshape(3, -1).T - 5
    for operation in operations_of(symmetry, unique_axis):
        images = vectors @ operation.T
        inside = np.all(np.abs(images) <= 5, axis=1)
        np.testing.assert_array_equal(alphas[tuple(images[inside].T + 5)], alphas.reshape(-1)[inside])
        assert not alphas.reshape(-1)[~inside].any()
    assert alphas[5, 5, 5] == 1.0
    assert np.count_nonzero(alphas) > (1000 if symmetry == "hexagonal" else 1330) - 10
    np.testing.assert_array_equal(alphas, alphas[::-1, ::-1, ::-1])


@every_case
def test_parameters_of_the_whole_lattice_add_up_to_zero(
    symmetry: Symmetry, unique_axis: int, operations: int
) -> None:
    """At fixed composition the sum is zero, and averaging over the group, which permutes vectors, keeps it."""
    full = full_alphas(ordered(symmetry, unique_axis))
    assert abs(full.sum()) < 1e-9
    grid = np.indices(full.shape)
    group = operations_of(symmetry, unique_axis)
    averaged = np.mean(
        [full[tuple(np.einsum("ij,j...->i...", operation, grid) % 16)] for operation in group], axis=0
    )
    assert abs(averaged.sum()) < 1e-9
    steps = np.arange(-5, 6)
    measured = measure_alphas(ordered(symmetry, unique_axis), group)
    kept = measured != 0.0
    np.testing.assert_allclose(measured[kept], averaged[np.ix_(steps, steps, steps)][kept], atol=1e-12)


# --- what frustration allows


def triangular_alphas(n: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return m_A and the mean parameter of the three neighbours for every crystal of n x n triangular sites."""
    crystals = np.array(list(product((0, 1), repeat=n * n)), dtype=np.int8).reshape(-1, n, n)[1:-1]
    m_a = crystals.mean(axis=(1, 2))
    pairs = [
        (crystals * np.roll(crystals, vector, axis=(1, 2))).mean(axis=(1, 2))
        for vector in ((1, 0), (0, 1), (1, 1))
    ]
    alphas: npt.NDArray[np.float64] = (np.mean(pairs, axis=0) - m_a**2) / (m_a * (1 - m_a))
    return m_a, alphas


def test_no_crystal_on_a_triangular_lattice_is_below_the_bound_and_some_reach_it() -> None:
    """The bound holds for all crystals of 4 x 4 sites and of 3 x 3, where the sqrt(3) x sqrt(3) order fits."""
    for n, reached in ((4, (0.25, 0.5, 0.75)), (3, (1 / 9, 1 / 3, 2 / 3))):
        m_a, alphas = triangular_alphas(n)
        for share in np.unique(m_a):
            lowest = float(alphas[m_a == share].min())
            bound = lowest_shared_alpha("hexagonal", float(share))
            assert lowest > bound - 1e-12
            if any(abs(share - each) < 1e-9 for each in reached):
                assert lowest == pytest.approx(bound, abs=1e-12), (n, share)


@pytest.mark.parametrize(
    ("m_a", "bound"), [(0.5, -1 / 3), (1 / 3, -1 / 2), (2 / 3, -1 / 2), (0.4, -0.388889), (0.2, -0.25)]
)
def test_bounds_by_hand(m_a: float, bound: float) -> None:
    assert lowest_shared_alpha("hexagonal", m_a) == pytest.approx(bound, abs=1e-6)
    for symmetry in ("tetragonal", "cubic"):
        assert lowest_shared_alpha(symmetry, m_a) == lowest_alpha(m_a)


def test_swaps_come_near_the_bound_and_not_below() -> None:
    vectors, targets = symmetric_targets("hexagonal", 1, 0.5, -0.32, 0.2)
    assert order_lattice(0.5, targets, RECIPE, 1, vectors)[1]
    occupation, met = order_lattice(0.5, targets - np.array([0.1, 0.0, 0.1, 0.1]), RECIPE, 1, vectors)
    assert not met
    found = reference_alphas(occupation)[tuple(vectors[[0, 2, 3]].T + 5)]
    assert found.mean() > -1 / 3


def test_infeasible_requests_are_refused() -> None:
    with pytest.raises(InputError, match=r"shared target is -0\.4; expected -0\.3333 to 1 for hexagonal"):
        symmetric_targets("hexagonal", 1, 0.5, -0.4, 0.0)
    symmetric_targets("cubic", 1, 0.5, -0.4, 0.0)
    with pytest.raises(InputError, match=r"unique axis is 2 .* expected 1, that is b"):
        symmetric_targets("hexagonal", 2, 0.5, 0.0, 0.0)


# --- sets


def test_sets_are_of_all_kinds_and_have_what_they_say() -> None:
    rng = np.random.default_rng(1)
    sets = [draw_symmetric_set(rng, 1000 / 4096, RECIPE) for _ in range(30)]
    assert {each.kind for each in sets} == set(SYMMETRIC_KINDS)
    again = np.random.default_rng(1)
    for each in sets[:3]:
        np.testing.assert_array_equal(each.alphas, draw_symmetric_set(again, 1000 / 4096, RECIPE).alphas)
    axes = set()
    for each in sets:
        assert each.m_a == 1000 / 4096
        np.testing.assert_array_equal(each.achieved, each.alphas[[6, 5, 5], [5, 6, 5], [5, 5, 6]])
        equal = [axis for axis in range(3) if each.targets[axis - 1] == each.targets[axis - 2]]
        if each.kind == "monte_carlo_cubic":
            assert equal == [0, 1, 2]
        elif each.kind == "monte_carlo_hexagonal":
            assert equal == [1]
            assert each.achieved[0] == each.achieved[2] == each.alphas[6, 5, 6]
        else:
            axes.update(equal)
        if each.converged:
            assert np.abs(each.achieved - each.targets).max() < RECIPE.tolerance
    assert axes == {0, 1, 2}
    assert sum(each.converged for each in sets) > 20


def test_sets_are_tied_as_often_as_asked_and_do_not_depend_on_the_workers() -> None:
    recipe = MonteCarloRecipe(lattice_sites=11, tolerance=0.03, max_sweeps=10, symmetric_share=0.5)
    sets = draw_monte_carlo_sets(60, 4, recipe, workers=2, progress=False)
    shared = sets["kind"] != "monte_carlo"
    assert 18 < shared.sum() < 42
    assert set(sets["kind"].tolist()) == {"monte_carlo", *SYMMETRIC_KINDS}
    alone = draw_monte_carlo_set(np.random.SeedSequence(4, spawn_key=(int(np.argmax(shared)),)), recipe)
    assert alone.kind == sets["kind"][np.argmax(shared)]
    np.testing.assert_array_equal(alone.alphas, sets["alphas"][np.argmax(shared)])


def a_set(kind: str) -> CorrelationSet:
    nothing = np.zeros(3)
    return CorrelationSet(np.zeros((11, 11, 11)), 0.5, kind, True, nothing, nothing)


def test_sets_are_sorted_by_the_lattices_they_go_with() -> None:
    plain, cubic, tetragonal, hexagonal = (
        a_set(kind)
        for kind in ("monte_carlo", "monte_carlo_cubic", "monte_carlo_tetragonal", SYMMETRIC_KINDS[2])
    )
    assert sets_by_lattice([hexagonal, plain, cubic, tetragonal]) == {
        "orthogonal": (plain, cubic, tetragonal),
        "hexagonal": (hexagonal, plain),
    }
    assert sets_by_lattice([plain, plain]) == {"orthogonal": (plain, plain), "hexagonal": (plain, plain)}
    assert sets_by_lattice([]) == {"orthogonal": (), "hexagonal": ()}
    with pytest.raises(InputError, match=r"^none of the 2 .* lattice that is hexagonal; make more sets"):
        sets_by_lattice([cubic, tetragonal])
    assert a_set("hexagonal_planar").lattices == ("hexagonal",)
    assert a_set("orthogonal_layered").lattices == ("orthogonal",)
