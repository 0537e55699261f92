"""Estimates of the noise of a plane from the plane itself."""

import numpy as np
import pytest

from dsfunet.planes.noise import estimate_noise, smooth_measured
from tests.dsfunet.cleanup_planes import TETRAGONAL, grid, scattering


def test_counts_and_constant_noise_are_found_at_every_level_and_peaks_are_not_noise() -> None:
    rng = np.random.default_rng(0)
    truth = 400 * scattering(grid(TETRAGONAL, n=256, m=256))
    levels = np.array([150.0, 300.0, 1000.0])
    assert estimate_noise(rng.poisson(truth).astype(float))(levels) == pytest.approx(
        np.sqrt(levels), rel=0.12
    )
    constant = estimate_noise(truth + rng.normal(0, 15, truth.shape))
    assert constant(levels) == pytest.approx(15, rel=0.1)
    spiky = rng.poisson(truth).astype(float)
    spiky[5::12, 7::12] += 1e5
    assert estimate_noise(spiky)(np.array([1000.0])) < 1.3 * np.sqrt(1000)


def test_missing_pixels_are_ignored_and_too_few_give_zero() -> None:
    plane = np.full((40, 40), 5.0)
    plane[:, 20:] = np.nan
    assert smooth_measured(plane, 2.0)[:, :20] == pytest.approx(5)
    assert np.isnan(smooth_measured(plane, 2.0)[:, 20:]).all()
    assert estimate_noise(plane)(np.array([5.0])) == 0
    assert estimate_noise(np.full((6, 6), 2.0))(np.array([2.0])) == 0
