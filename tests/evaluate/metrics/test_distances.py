"""Distances between distributions against closed forms, slow reference code, and properties of any distance."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from dsfunet.errors import InputError
from evaluate.metrics import distances
from evaluate.metrics.distances import Distance, distance, frechet_distance, kernel_distance

Features = npt.NDArray[np.float64]


def _plain_frechet(first: Features, second: Features) -> float:
    """Tr (S1 S2)^(1/2) as the sum of singular values of X Y^T, X and Y centred: exact for singular covariances."""
    x, y = first - first.mean(axis=0), second - second.mean(axis=0)
    n, m = len(first) - 1, len(second) - 1
    shift = np.sum((first.mean(axis=0) - second.mean(axis=0)) ** 2)
    product = np.linalg.svd(x @ y.T, compute_uv=False).sum() / np.sqrt(n * m)
    return float(shift + np.sum(x**2) / n + np.sum(y**2) / m - 2 * product)


def _plain_mmd2(first: Features, second: Features) -> float:
    """Unbiased MMD^2 under (x.y / d + 1)^3, summed over pairs one by one."""

    def kernel(x: Features, y: Features) -> float:
        return float((np.sum(x * y) / len(x) + 1) ** 3)

    n, m = len(first), len(second)
    own = sum(kernel(first[i], first[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    other = sum(kernel(second[i], second[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return own + other - 2 * sum(kernel(x, y) for x in first for y in second) / (n * m)


def test_equal_sets_are_at_no_frechet_distance() -> None:
    features = np.random.default_rng(0).standard_normal((400, 12)) * np.geomspace(1e-3, 1e3, 12)
    scale = np.trace(np.cov(features, rowvar=False))
    assert abs(frechet_distance(features, features)) < 1e-9 * scale


def test_frechet_distance_of_shifted_gaussians() -> None:
    # Equal covariances: |mu1 - mu2|^2 alone, here 9 + 16; its sampling error is about 2 |mu1 - mu2| sqrt(2 / n).
    rng, shift = np.random.default_rng(1), np.array([3.0, 0.0, -4.0, 0.0])
    first, second = rng.standard_normal((20_000, 4)), rng.standard_normal((20_000, 4)) + shift
    assert frechet_distance(first, second) == pytest.approx(25.0, abs=4 * 2 * 5 * np.sqrt(2 / 20_000))


def test_frechet_distance_of_other_variances() -> None:
    # Diagonal covariances: the sum over axes of (sigma1 - sigma2)^2, here 1 + 4 + 0 + 0.25.
    rng = np.random.default_rng(2)
    first = rng.standard_normal((20_000, 4)) * [1.0, 1.0, 2.0, 0.5]
    second = rng.standard_normal((20_000, 4)) * [2.0, 3.0, 2.0, 1.0]
    assert frechet_distance(first, second) == pytest.approx(5.25, rel=0.03)


@pytest.mark.parametrize(
    ("samples", "others", "dimensions"), [(2, 3, 5), (20, 30, 64), (300, 50, 40), (500, 500, 40)]
)
def test_frechet_distance_equals_a_plain_twin(samples: int, others: int, dimensions: int) -> None:
    rng = np.random.default_rng(3)
    first = rng.standard_normal((samples, dimensions)) @ rng.standard_normal((dimensions, dimensions))
    second = 1.3 * rng.standard_normal((others, dimensions)) + 0.2
    traces = np.trace(np.cov(first, rowvar=False)) + np.trace(np.cov(second, rowvar=False))
    result = frechet_distance(first, second)
    assert result == pytest.approx(_plain_frechet(first, second), abs=1e-6 * traces)
    assert result == frechet_distance(first, second)


def test_kernel_distance_of_two_samples_equals_a_plain_twin() -> None:
    # With two samples each, the only subset is the whole set, so every draw gives the same number.
    rng = np.random.default_rng(4)
    first, second = rng.standard_normal((2, 6)), rng.standard_normal((2, 6)) + 0.5
    mean, std, size = kernel_distance(first, second, 0)
    assert mean == pytest.approx(_plain_mmd2(first, second), rel=1e-12)
    assert std < 1e-12
    assert size == 2


def test_kernel_distance_of_one_subset_equals_a_plain_twin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distances, "KERNEL_SUBSETS", 1)
    monkeypatch.setattr(distances, "_subset_size", lambda samples: samples)
    rng = np.random.default_rng(5)
    first, second = rng.standard_normal((25, 7)), rng.exponential(size=(25, 7))
    mean, std, size = kernel_distance(first, second, 3)
    assert mean == pytest.approx(_plain_mmd2(first, second), rel=1e-10)
    assert (std, size) == (0.0, 25)


def test_kernel_distance_is_the_mean_over_subsets_of_half() -> None:
    # The mean over subsets is near the number of the whole sets, well within the subsets' scatter.
    rng = np.random.default_rng(6)
    first, second = rng.standard_normal((60, 5)), rng.standard_normal((80, 5)) + 0.7
    mean, std, size = kernel_distance(first, second, 0)
    assert size == 30
    assert std > 0
    assert mean == pytest.approx(_plain_mmd2(first, second), abs=std)


def test_kernel_distance_within_one_distribution_is_unbiased() -> None:
    halves = [np.split(np.random.default_rng(seed).standard_normal((120, 8)), 2) for seed in range(60)]
    means = np.array([kernel_distance(first, second, seed)[0] for seed, (first, second) in enumerate(halves)])
    assert abs(means.mean()) < 3 * means.std(ddof=1) / np.sqrt(len(means))
    assert means.min() < 0 < means.max()


def test_two_draws_of_one_distribution_are_nearer_than_a_shift() -> None:
    rng = np.random.default_rng(7)
    first, second = rng.standard_normal((2, 300, 8))
    same, shifted = distance(first, second, 0), distance(first, second + 1.0, 0)
    assert same.frechet < 0.1 * shifted.frechet
    assert same.kernel_mean < 0.1 * shifted.kernel_mean


@pytest.mark.slow
def test_more_noise_is_farther() -> None:
    rng = np.random.default_rng(8)
    first, second, noise = rng.standard_normal((3, 400, 10))
    results = [distance(first, second + level * noise, 0) for level in (0.0, 1.0, 2.0, 4.0)]
    for name in ("frechet", "kernel_mean"):
        values = [getattr(result, name) for result in results]
        assert values == sorted(values)
        assert len(set(values)) == len(values)


def test_distances_do_not_depend_on_the_order_of_sets_or_on_the_memory_layout() -> None:
    rng = np.random.default_rng(9)
    first, second = rng.standard_normal((40, 6)), rng.standard_normal((40, 6)) + 0.3
    assert frechet_distance(first, second) == pytest.approx(frechet_distance(second, first), rel=1e-9)
    assert distance(np.asfortranarray(first), second, 0) == distance(first, second, 0)


def test_single_precision_read_only_features_are_taken_in_double() -> None:
    rng = np.random.default_rng(10)
    first, second = rng.standard_normal((2, 30, 4)).astype(np.float32)
    first.flags.writeable = False
    assert distance(first, second, 0) == distance(first.astype(np.float64), second.astype(np.float64), 0)


def test_distance_holds_both_and_is_reproducible() -> None:
    rng = np.random.default_rng(11)
    first, second = rng.standard_normal((2, 50, 4))
    result = distance(first, second, 5)
    assert result == Distance(frechet_distance(first, second), *kernel_distance(first, second, 5))
    assert result.kernel_mean != distance(first, second, 6).kernel_mean


def test_subsets_are_half_of_the_smaller_set_and_a_thousand_at_most() -> None:
    assert [distances._subset_size(samples) for samples in (2, 3, 5, 100, 5000)] == [2, 2, 2, 50, 1000]


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (np.zeros((1, 4)), np.zeros((5, 4)), r"first set of features: its shape is \(1, 4\)"),
        (np.zeros((5, 4)), np.zeros((0, 4)), r"second set of features: its shape is \(0, 4\)"),
        (np.zeros((5, 4)), np.zeros(4), r"second set of features: its shape is \(4,\)"),
        (np.zeros((5, 1)), np.zeros((5, 1)), r"shape is \(5, 1\); expected \(n, d\) with n and d at least 2"),
        (np.zeros((5, 4)), np.zeros((5, 3)), "4 and 3 dimensions"),
        (np.zeros((5, 4)), np.diag([0, 0, np.nan, np.inf]), "not finite in 2 samples, the first is 2"),
        (
            np.array([[0.0, 0.0], [0.0, np.inf]]),
            np.zeros((5, 2)),
            "first set .* in 1 samples, the first is 1",
        ),
    ],
)
def test_features_that_have_no_distance(first: Any, second: Any, message: str) -> None:
    for function in (lambda: frechet_distance(first, second), lambda: kernel_distance(first, second, 0)):
        with pytest.raises(InputError, match=message):
            function()
