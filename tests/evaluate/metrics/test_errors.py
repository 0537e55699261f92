"""Scores and summaries against numbers worked out by hand."""

import numpy as np
import pytest

from dsfunet.errors import InputError
from evaluate.metrics.errors import spread_mse, summarise


def test_spread_mse_of_constant_planes() -> None:
    # x = 1/4 is s = 0, x = 1 is s = 1, x = 0 is s = -1: squared differences 1, 4 and 1.
    output = np.stack([np.full((4, 4), value) for value in (0.25, 1.0, 0.25)])
    target = np.stack([np.full((4, 4), value) for value in (1.0, 0.0, 0.0)])
    assert spread_mse(output, target).tolist() == [1.0, 4.0, 1.0]


def test_spread_mse_is_the_mean_over_pixels() -> None:
    # One pixel of four is off by 2 in s: 4 / 4.
    output = np.zeros((1, 2, 2))
    output[0, 0, 1] = 1.0
    assert spread_mse(output, np.zeros((1, 2, 2))).tolist() == [1.0]


def test_spread_mse_is_four_times_the_mse_of_square_roots() -> None:
    output, target = np.random.default_rng(0).random((2, 3, 16, 16))
    expected = 4 * np.mean((np.sqrt(output) - np.sqrt(target)) ** 2, axis=(1, 2))
    np.testing.assert_allclose(spread_mse(output, target), expected, rtol=1e-12)


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.001, 1.001])
def test_spread_mse_refuses_what_is_not_an_intensity(value: float) -> None:
    output = np.zeros((3, 4, 4))
    output[2, 1, 1] = value
    with pytest.raises(InputError, match=r"output plane 2: 1 pixels are outside \[0, 1\]"):
        spread_mse(output, np.zeros((3, 4, 4)))
    with pytest.raises(InputError, match="target plane 2"):
        spread_mse(np.zeros((3, 4, 4)), output)


def test_spread_mse_refuses_other_shapes() -> None:
    with pytest.raises(InputError, match="expected two equal shapes"):
        spread_mse(np.zeros((1, 4, 4)), np.zeros((4, 4)))


def test_summary_of_eleven_scores() -> None:
    # 0.00, 0.01, ..., 0.10 in any order: nine tenths of the way from first to last is exactly 0.09.
    summary = summarise(np.random.default_rng(1).permutation(np.arange(11) / 100))
    assert summary.mean == pytest.approx(0.05)
    assert summary.median == pytest.approx(0.05)
    assert summary.percentile_90 == pytest.approx(0.09)
    assert summary.share_under(0.04) == pytest.approx(4 / 11)


def test_summary_of_two_scores_lies_between_them() -> None:
    summary = summarise(np.array([0.0, 1.0]))
    assert (summary.mean, summary.median, summary.percentile_90) == pytest.approx((0.5, 0.5, 0.9))


def test_a_score_at_the_threshold_is_not_under_it() -> None:
    assert summarise(np.array([0.014, 0.013])).share_under(0.014) == 0.5


def test_summary_refuses_nan_and_nothing() -> None:
    with pytest.raises(InputError, match="1 scores are not finite, the first is that of plane 1"):
        summarise(np.array([0.1, np.nan]))
    with pytest.raises(InputError, match="one or more planes"):
        summarise(np.array([]))
