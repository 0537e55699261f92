"""Answers that need no network: what a score has to beat to mean anything.

A baseline is called with one sample, the name of a component and a random stream, and returns (answer,
reference), two linear planes in [0, 1] that are scored like a network's output against the truth.
"""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dsfunet.preprocessing import COMPONENTS, PIXELS, normalise, spread, unspread
from dsfunet.sample import Sample
from dsfunet.shards import Store

Plane = npt.NDArray[np.floating[Any]]


class Baseline(Protocol):
    """One sample, a component, a random stream -> (answer, reference), linear planes in [0, 1]."""

    def __call__(self, sample: Sample, component: str, rng: np.random.Generator) -> tuple[Plane, Plane]:
        """The answer and what it is measured against."""
        ...


def truth_of(sample: Sample, component: str) -> npt.NDArray[np.float32]:
    """The true plane of a component."""
    truth: npt.NDArray[np.float32] = getattr(sample, component)
    return truth


def uniform_noise(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """A plane that is uniform noise on [-1, 1] in spread space, given as linear intensity."""
    noise: npt.NDArray[np.float64] = unspread(rng.uniform(-1, 1, (PIXELS, PIXELS)))
    return noise


def noise_against_truth(sample: Sample, component: str, rng: np.random.Generator) -> tuple[Plane, Plane]:
    """The paper's first baseline: uniform noise as the answer.

    Expected MSE 1/3 + the mean of s^2 over the truth.
    """
    return uniform_noise(rng), truth_of(sample, component)


def noise_against_noise(sample: Sample, component: str, rng: np.random.Generator) -> tuple[Plane, Plane]:
    """The paper's second baseline: two planes of uniform noise. Expected MSE 2/3, twice the variance."""
    return uniform_noise(rng), uniform_noise(rng)


def input_as_is(sample: Sample, component: str, rng: np.random.Generator) -> tuple[Plane, Plane]:
    """The input itself as the answer, missing pixels at 0 as the networks see it: no factorisation at all."""
    return normalise(sample.scattering, sample.mask)[0], truth_of(sample, component)


class MeanPlane:
    """The mean plane, in spread space, of the very truths that are scored.

    No answer that ignores its input has a smaller mean MSE.

    Args:
        store: where the truths are; they are read once.
        samples: how many of them, from the first.
    """

    def __init__(self, store: Store, samples: int) -> None:
        self._mean = {component: _mean_plane(store, component, samples) for component in COMPONENTS}

    def __call__(self, sample: Sample, component: str, rng: np.random.Generator) -> tuple[Plane, Plane]:
        """The mean plane of a component against the truth."""
        return self._mean[component], truth_of(sample, component)


def _mean_plane(store: Store, component: str, samples: int) -> npt.NDArray[np.float64]:
    total = np.zeros((PIXELS, PIXELS))
    planes = store.array(component)
    for index in range(samples):
        total += spread(np.asarray(planes[index]).astype(np.float64))
    mean: npt.NDArray[np.float64] = unspread(total / samples)
    return mean


def standard_baselines(store: Store, samples: int) -> dict[str, Baseline]:
    """The baselines of a report by name, the paper's two first."""
    return {
        "noise_against_truth": noise_against_truth,
        "noise_against_noise": noise_against_noise,
        "input_as_is": input_as_is,
        "mean_plane": MeanPlane(store, samples),
    }
