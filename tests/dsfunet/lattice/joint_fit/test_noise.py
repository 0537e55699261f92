"""The noise model: scaled counts, constant noise, given sigmas."""

import numpy as np
import pytest

from dsfunet.lattice.joint_fit.noise import Variance, estimate_variance, variance_of_sigma


def smooth_plane() -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    h, k = np.meshgrid(np.linspace(-3, 3, 160), np.linspace(-3, 3, 150), indexing="ij")
    return np.asarray(1500 * np.exp(-(h**2 + k**2)) + 0.3)


@pytest.mark.parametrize("scale", [1.0, 0.01, 250.0])
@pytest.mark.parametrize("brightest", [1.0, 0.02])
def test_the_scale_of_counts_is_found(scale: float, brightest: float) -> None:
    expected = smooth_plane() * brightest
    counts = np.random.default_rng(0).poisson(expected) * scale
    mask = np.random.default_rng(1).uniform(size=counts.shape) > 0.02
    found = estimate_variance(counts, expected * scale, mask)
    assert found.given is None
    assert found.ratio == pytest.approx(scale, rel=0.08)
    assert found.offset < 0.05 * scale**2 * expected.max() * 0.1


def test_constant_noise_is_found_as_an_offset() -> None:
    expected = smooth_plane()
    random = np.random.default_rng(2)
    noisy = random.poisson(expected) + random.normal(0, 6, expected.shape)
    found = estimate_variance(noisy, expected, np.full(expected.shape, True))
    assert found.offset == pytest.approx(36, rel=0.1) and found.ratio == pytest.approx(1, rel=0.2)
    constant = expected + random.normal(0, 20, expected.shape)
    found = estimate_variance(constant, expected, np.full(expected.shape, True))
    np.testing.assert_allclose(found(expected), 400, rtol=0.35)


def test_a_plane_without_noise_has_a_tiny_variance() -> None:
    expected = smooth_plane()
    found = estimate_variance(expected, expected, np.full(expected.shape, True))
    assert 0 < found.ratio < 1e-3 and found.offset == 0


def test_sigmas_of_counts_do_not_favour_low_counts() -> None:
    expected = np.full((80, 80), 9.0)
    counts = np.random.default_rng(3).poisson(expected).astype(np.float64)
    variances = variance_of_sigma(np.sqrt(counts), np.full(counts.shape, True))
    naive = np.sum(counts / np.maximum(counts, 1)) / np.sum(1 / np.maximum(counts, 1))
    weighted = np.sum(counts / variances) / np.sum(1 / variances)
    assert abs(weighted - 9) < 0.15 < abs(naive - 9)
    hidden = np.full(counts.shape, False)
    assert (variance_of_sigma(np.sqrt(counts), hidden) == 1).all()


def test_the_likelihood_has_the_slope_of_the_score() -> None:
    random = np.random.default_rng(4)
    y, m = random.poisson(5, (6, 6)).astype(np.float64), random.normal(2, 3, (6, 6))
    floor, mask = np.full((6, 6), 1.0), np.full((6, 6), True)
    for variance in (Variance(None, 0.7, 1.3), Variance(np.full((6, 6), 2.0))):
        step = 1e-5
        for place in ((0, 0), (2, 3), (5, 1)):
            moved = m.copy()
            moved[place] += step
            change = variance.log_likelihood(y, moved, floor, mask) - variance.log_likelihood(
                y, m, floor, mask
            )
            score = (y - m)[place] / variance(np.maximum(m, floor))[place]
            assert change / step == pytest.approx(score, abs=1e-3)
