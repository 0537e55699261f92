"""The crystals have possible orders, and without errors the refinement gives their exact parameters."""

from dataclasses import replace

import numpy as np
import pytest

from dsfunet.analysis.refinement.data import PlaneData
from dsfunet.analysis.refinement.fit import refine
from dsfunet.analysis.refinement.zones import zones_of
from dsfunet.errors import InputError
from dsfunet.io import PlaneName
from dsfunet.physics.symmetry import orbits_of, symmetric_metric
from examples.worked.crystals import (
    UNDETERMINED_IN_COPPER_GOLD,
    Crystal,
    all_crystals,
    copper_gold,
    perovskite,
    tricarboxamide,
)

CRYSTALS = {crystal.name: crystal for crystal in all_crystals()}


@pytest.mark.slow
@pytest.mark.parametrize("crystal", CRYSTALS.values(), ids=CRYSTALS)
def test_exact_order_gives_back_what_was_put_in(crystal: Crystal) -> None:
    zones = zones_of(crystal.grid, crystal.rotations)
    weights = crystal.mask.astype(np.float64)
    found = refine([PlaneData(crystal.grid, zones, crystal.short_range_order, weights)], crystal.orbits)
    np.testing.assert_allclose(found.alphas, crystal.refined_truth, atol=1e-9)


@pytest.mark.parametrize("crystal", CRYSTALS.values(), ids=CRYSTALS)
def test_orders_can_exist(crystal: Crystal) -> None:
    first = crystal.concentration_first
    lowest = max(-first / (1 - first), -(1 - first) / first)
    alphas = np.array(list(crystal.alphas_put_in.values()))
    assert (alphas > lowest).all() and (alphas < 1).all()
    assert crystal.short_range_order.min() > 0
    np.testing.assert_array_equal(crystal.alphas, crystal.alphas[::-1, ::-1, ::-1])


def test_alphas_sit_on_the_sites_of_each_lattice() -> None:
    i, j, k = np.indices((11, 11, 11)) - 5
    assert not copper_gold().alphas[(i + j + k) % 2 == 1].any()
    alphas = copper_gold().alphas
    assert alphas[6, 6, 5] == alphas[5, 4, 6] == -0.13
    columns = tricarboxamide().alphas
    assert (columns[5, 5] == 1).all() and (columns[6, 5] == -0.17).all()
    assert np.isclose(columns[:, :, 5], -0.17).sum() == 6


def test_in_the_plane_alone_a_perovskite_gives_sums_along_the_normal() -> None:
    # On h k 1/2 a step along c changes the sign: (a_100 - 2 a_110) / (1 - 2 a_100 + 2 a_200), by hand.
    constant = 1 + 2 * 0.24 + 2 * 0.05
    truth = perovskite().refined_truth
    assert truth[0] == pytest.approx((-0.24 - 2 * 0.12) / constant)
    assert truth[1] == pytest.approx((0.12 + 2 * 0.07) / constant)
    assert truth[2] == pytest.approx(0.05 / constant)
    assert truth[3] == 0


def test_one_plane_does_not_settle_everything() -> None:
    alloy = copper_gold()
    vectors = [*alloy.alphas_put_in, UNDETERMINED_IN_COPPER_GOLD]
    orbits = orbits_of(vectors, alloy.rotations, symmetric_metric(alloy.cell, alloy.laue))
    zones = zones_of(alloy.grid, alloy.rotations)
    with pytest.raises(InputError, match="2 2 0 and 2 2 2; use fewer vectors"):
        refine([PlaneData(alloy.grid, zones, alloy.short_range_order, np.ones(alloy.grid.shape))], orbits)


@pytest.mark.slow
@pytest.mark.parametrize("crystal", [copper_gold(), perovskite()], ids=lambda crystal: crystal.name)
def test_two_planes_settle_what_one_does_not(crystal: Crystal) -> None:
    other = replace(crystal, plane=PlaneName((0, 1), 0.25))
    vectors = [*crystal.alphas_put_in]
    if crystal.name == "copper_gold":
        vectors.append(UNDETERMINED_IN_COPPER_GOLD)
    orbits = orbits_of(vectors, crystal.rotations, symmetric_metric(crystal.cell, crystal.laue))
    planes = [
        PlaneData(
            one.grid,
            zones_of(one.grid, one.rotations),
            scale * one.short_range_order,
            np.ones(one.grid.shape),
        )
        for one, scale in ((crystal, 1.0), (other, 3.0))
    ]
    found = refine(planes, orbits)
    truth = [crystal.alphas_put_in.get(vector, 0.0) for vector in vectors]
    np.testing.assert_allclose(found.alphas, truth, atol=1e-9)


def test_hk0_does_not_see_whether_columns_point_up_or_down() -> None:
    zero = replace(tricarboxamide(), plane=PlaneName((0, 1), 0.0))
    assert zero.form_factor.max() < 1e-9 * tricarboxamide().form_factor.max()


def test_form_factors_have_the_symmetry_of_the_columns() -> None:
    # |F_up - F_down|^2 is six-fold about c: h k l and k' = (h + k, -h, l) scatter alike.
    crystal = tricarboxamide()
    count = len(crystal.grid.rows)
    i, j = np.meshgrid(np.arange(100, 140), np.arange(150, 180), indexing="ij")
    half = count // 2
    h, k = i - half, j - half
    turned = crystal.form_factor[-k + half, h + k + half]
    np.testing.assert_allclose(crystal.form_factor[i, j], turned, rtol=1e-6, atol=1e-6 * turned.max())


def test_measured_planes_are_counts_with_gaps_and_follow_their_seed() -> None:
    crystal = perovskite()
    one, again, other = (crystal.measured(seed).intensity for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other, equal_nan=True)
    np.testing.assert_array_equal(np.isnan(one), ~crystal.mask)
    assert 0.1 < np.isnan(one).mean() < 0.5
    pulls = (one - crystal.expected_counts)[crystal.mask] / np.sqrt(crystal.expected_counts[crystal.mask])
    assert np.std(pulls) == pytest.approx(1, abs=0.02)
