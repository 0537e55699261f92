"""Checks and the reach of order: the lowest I_SRO, its mean over zones, and the correlation length."""

import numpy as np
import numpy.typing as npt
import pytest

from dsfunet.analysis.refinement.reach import find_reach
from dsfunet.analysis.volume_refinement import VolumeCorrelations, VolumeRefinementSettings, refine_volume
from dsfunet.analysis.volume_refinement.checks import mean_over_zones
from dsfunet.physics import Cell
from dsfunet.physics.symmetry import Orbit
from tests.dsfunet.analysis.volume_refinement.noisy import cubic_operations, symmetric_truth

Array = npt.NDArray[np.float64]


def _one_vector(alpha: float, sigma: float = 0.001) -> VolumeCorrelations:
    return VolumeCorrelations(
        Cell(4, 5, 6),
        "P",
        np.array([[1.0, 0, 0]]),
        np.array([alpha]),
        np.array([[sigma**2]]),
        np.zeros(1),
        {},
    )


def test_the_lowest_value_of_a_cosine() -> None:
    refinement = refine_volume(_one_vector(0.3), VolumeRefinementSettings(laue="mmm", shells=1, vectors=None))
    found = refinement.sum_rule
    assert (found.lowest, found.highest) == pytest.approx((0.4, 1.6))
    assert abs(found.place[0]) == pytest.approx(0.5)
    assert found.standard_uncertainty == pytest.approx(0.002)
    assert found.negative_share == 0 and not any("falls to" in each for each in refinement.notes)


def test_alphas_that_no_crystal_can_have_are_noted() -> None:
    refinement = refine_volume(_one_vector(0.6), VolumeRefinementSettings(laue="mmm", shells=1))
    assert refinement.sum_rule.lowest == pytest.approx(-0.2)
    # 1 + 1.2 cos x < 0 on a share of arccos(1 / 1.2) / pi
    assert refinement.sum_rule.negative_share == pytest.approx(np.arccos(1 / 1.2) / np.pi, abs=0.1)
    (note,) = [each for each in refinement.notes if "falls to -0.2 at -0.50 0.00 0.00" in each]
    assert "alphas are wrong" in note
    within_errors = refine_volume(_one_vector(0.51, 0.01), VolumeRefinementSettings(laue="mmm", shells=1))
    assert not any("falls to" in each for each in within_errors.notes)


def test_the_lowest_value_of_a_crystal_is_that_of_its_series_evaluated_directly() -> None:
    truth = symmetric_truth("F alloy", 8.0, cubic_operations())
    found = refine_volume(truth.measured(0), VolumeRefinementSettings(laue="m-3m")).sum_rule
    place = np.array(found.place)
    direct = 1 + 2 * truth.measured(0).alphas @ np.cos(np.pi * truth.vectors @ place)
    assert found.lowest == pytest.approx(direct, abs=4 * found.standard_uncertainty + 0.01)
    spread = []
    for seed in range(40):
        alphas = truth.measured(seed).alphas - truth.alphas
        spread.append(2 * alphas @ np.cos(np.pi * truth.vectors @ place))
    assert found.standard_uncertainty < 1.3 * np.std(spread)


@pytest.mark.parametrize("step", [1 / 6, 1 / 10, 0.13])
@pytest.mark.parametrize("denominator", [1, 2])
def test_the_mean_over_whole_zones_is_the_constant_term(step: float, denominator: int) -> None:
    axes = [np.arange(-round(reach / step), round(reach / step) + 1) * step for reach in (2.3, 1.7, 1.2)]
    h, k, l = np.meshgrid(*axes, indexing="ij")  # noqa: E741
    wave = 1 + 0.3 * np.cos(2 * np.pi * (h + k) / denominator) + 0.2 * np.cos(2 * np.pi * l / denominator)
    wave += 0.1 * np.cos(2 * np.pi * (h - l) / denominator)
    assert mean_over_zones(wave, axes, denominator) == pytest.approx(1, abs=1e-9 if step != 0.13 else 3e-3)


def test_a_volume_smaller_than_a_zone_has_no_mean() -> None:
    axes = [np.linspace(-1, 1, 21), np.linspace(-1, 1, 21), np.linspace(-0.4, 0.4, 9)]
    assert mean_over_zones(np.ones((21, 21, 9)), axes, 1) is None
    wide = [np.linspace(-1, 1, 21)] * 3
    assert mean_over_zones(np.ones((21, 21, 21)), wide, 1) == pytest.approx(1)
    missing = np.ones((21, 21, 21))
    missing[5, 5, 5] = np.nan
    assert mean_over_zones(missing, wide, 1) is None


def _orbits(lengths: Array) -> list[Orbit]:
    return [
        Orbit(np.array([[n + 1, 0, 0], [-n - 1, 0, 0]]), float(length)) for n, length in enumerate(lengths)
    ]


def test_the_correlation_length_and_its_error_are_right() -> None:
    pulls = []
    for seed in range(40):
        random = np.random.default_rng(seed)
        lengths = np.sort(random.uniform(3, 30, 80))
        sigmas = random.uniform(0.0005, 0.0015, 80)
        alphas = 0.4 * np.exp(-lengths / 5.0) * random.normal(size=80) + sigmas * random.normal(size=80)
        found = find_reach(_orbits(lengths), alphas, sigmas)
        assert found.correlation_length_angstrom is not None and found.standard_uncertainty is not None
        pulls.append((found.correlation_length_angstrom - 5.0) / found.standard_uncertainty)
        last = np.flatnonzero(np.abs(alphas) > 4 * sigmas)[-1]
        assert found.farthest == f"{last + 1} 0 0" and found.farthest_angstrom == lengths[last]
    assert 0.7 < np.sqrt(np.mean(np.square(pulls))) < 1.3


def test_a_length_is_given_only_where_the_data_settle_it() -> None:
    lengths = np.linspace(3, 30, 40)
    sigmas = np.full(40, 0.001)
    few = np.zeros(40)
    few[:3] = (0.1, -0.05, 0.02)
    assert find_reach(_orbits(lengths), few, sigmas).correlation_length_angstrom is None
    signs = np.where(np.arange(40) % 2, 1, -1)
    assert find_reach(_orbits(lengths), 0.1 * signs, sigmas).correlation_length_angstrom is None
    assert find_reach(_orbits(lengths), 0 * few, sigmas).farthest == ""
