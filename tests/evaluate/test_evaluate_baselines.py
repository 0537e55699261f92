"""Baselines against their expected values."""

import numpy as np
import numpy.typing as npt
import pytest

from dsfunet.preprocessing import PIXELS, spread
from dsfunet.sample import Sample
from dsfunet.shards import Store
from evaluate.baselines import (
    COMPONENTS,
    Baseline,
    MeanPlane,
    input_as_is,
    noise_against_noise,
    noise_against_truth,
)
from evaluate.metrics import spread_mse


def _sample(value: float) -> Sample:
    plane = np.full((PIXELS, PIXELS), value, np.float32)
    return Sample(plane, plane, plane, plane, np.ones(plane.shape, bool))


def _score(baseline: Baseline, sample: Sample, component: str = "form_factor", seed: int = 0) -> float:
    answer, reference = baseline(sample, component, np.random.default_rng(seed))
    return float(spread_mse(answer[None], reference[None])[0])


def test_noise_against_noise_is_twice_its_variance() -> None:
    # Uniform on [-1, 1] has variance 1/3. Over 65536 pixels the mean scatters by about 0.003.
    assert _score(noise_against_noise, _sample(0.5)) == pytest.approx(2 / 3, abs=0.012)


@pytest.mark.parametrize(("intensity", "expected"), [(0.0, 4 / 3), (1.0, 4 / 3), (0.25, 1 / 3)])
def test_noise_against_a_constant(intensity: float, expected: float) -> None:
    # E (u - s)^2 = 1/3 + s^2, with s = -1, 1 and 0.
    assert _score(noise_against_truth, _sample(intensity)) == pytest.approx(expected, abs=0.025)


@pytest.mark.parametrize("baseline", [noise_against_noise, noise_against_truth])
def test_noise_follows_its_seed(baseline: Baseline) -> None:
    assert _score(baseline, _sample(0.5), seed=3) == _score(baseline, _sample(0.5), seed=3)
    assert _score(baseline, _sample(0.5), seed=3) != _score(baseline, _sample(0.5), seed=4)


def test_input_as_is_shows_nothing_of_what_is_missing() -> None:
    # Measured: the first half, 0 to 1. The bright missing half must come out as 0, s = -1 against 1.
    scattering = np.full((PIXELS, PIXELS), 1.0, np.float32)
    scattering[:128] = np.linspace(0, 1, 256, dtype=np.float32)
    mask = np.zeros((PIXELS, PIXELS), bool)
    mask[:128] = True
    sample = Sample(scattering, scattering, scattering, scattering, mask)
    assert _score(input_as_is, sample) == pytest.approx(0.5 * 4)


@pytest.mark.parametrize("component", COMPONENTS)
def test_mean_plane_leaves_the_variance_over_planes(store: Store, component: str) -> None:
    count = 5
    truths: npt.NDArray[np.float64] = spread(
        np.stack([getattr(store.sample(index), component) for index in range(count)]).astype(np.float64)
    )
    baseline = MeanPlane(store, count)
    scores = [_score(baseline, store.sample(index), component) for index in range(count)]
    assert np.mean(scores) == pytest.approx(truths.var(axis=0).mean(), rel=1e-9)
