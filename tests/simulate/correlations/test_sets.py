"""Warren-Cowley parameters measured on a configuration agree with counted pairs and keep the symmetry."""

import numpy as np
import numpy.typing as npt
import pytest

from dsfunet.errors import InputError
from simulate.correlations.monte_carlo import MonteCarloRecipe, order_lattice
from simulate.correlations.sets import full_alphas, measure_alphas
from tests.reference_correlations import reference_alphas


def random_occupation(seed: int, shape: tuple[int, int, int], share: float) -> npt.NDArray[np.int8]:
    """Return an uncorrelated configuration with the exact concentration."""
    occupation = np.zeros(shape, dtype=np.int8).reshape(-1)
    occupation[: round(share * occupation.size)] = 1
    return np.random.default_rng(seed).permutation(occupation).reshape(shape)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.77])
def test_measured_alphas_agree_with_counted_pairs(share: float) -> None:
    """The FFT agrees with counting, also for edges of unequal and odd length."""
    occupation = random_occupation(1, (12, 11, 14), share)
    np.testing.assert_allclose(measure_alphas(occupation), reference_alphas(occupation), rtol=0, atol=1e-12)


def test_alphas_are_inversion_symmetric_and_one_at_the_origin_exactly() -> None:
    """Symmetry and origin are exact, without rounding errors."""
    alphas = measure_alphas(random_occupation(2, (16, 16, 16), 0.3))
    assert alphas.shape == (11, 11, 11)
    assert alphas.dtype == np.float64
    assert alphas[5, 5, 5] == 1.0
    np.testing.assert_array_equal(alphas, alphas[::-1, ::-1, ::-1])


def test_alphas_of_known_configurations() -> None:
    """Alternating layers give +1 within a layer and -1 between neighbours; stripes of two give 0, then -1."""
    alternating = np.zeros((12, 12, 12), dtype=np.int8)
    alternating[::2] = 1
    alphas = measure_alphas(alternating)
    signs = (-1.0) ** np.abs(np.arange(-5, 6))
    np.testing.assert_array_equal(alphas, np.broadcast_to(signs[:, None, None], alphas.shape))

    stripes = np.zeros((12, 12, 12), dtype=np.int8)
    stripes[:, :, [0, 1, 4, 5, 8, 9]] = 1
    np.testing.assert_array_equal(measure_alphas(stripes)[5, 5, 5:], [1.0, 0.0, -1.0, 0.0, 1.0, 0.0])


def test_alphas_of_the_whole_lattice_add_up_to_zero() -> None:
    """The AA pairs of all vectors are count_a^2, whatever the order: at fixed composition alphas cancel."""
    recipe = MonteCarloRecipe(lattice_sites=16, tolerance=0.02)
    ordered, converged = order_lattice(0.4, np.array([0.5, -0.3, 0.1]), recipe, seed=4)
    assert converged
    for occupation in (ordered, random_occupation(3, (12, 13, 11), 0.4)):
        assert abs(full_alphas(occupation).sum()) < 1e-9


def test_alphas_of_a_random_configuration_are_sampling_noise() -> None:
    """At fixed composition they average -1 / (sites - 1), with a spread of sites^-1/2."""
    occupation = random_occupation(5, (32, 32, 32), 0.35)
    alphas = np.delete(measure_alphas(occupation), 665)
    sigma = occupation.size**-0.5
    assert np.abs(alphas).max() < 5.0 * sigma
    assert abs(alphas.mean()) < 5.0 * sigma / np.sqrt(665)
    assert alphas.std() == pytest.approx(sigma, rel=0.1)


@pytest.mark.parametrize(
    ("occupation", "expected"),
    [
        (np.ones((12, 12, 12), dtype=np.int8), "both species"),
        (np.zeros((12, 12, 12), dtype=np.int8), "both species"),
        (np.ones((12, 10, 12), dtype=np.int8), "three edges of 11"),
        (np.ones((12, 12), dtype=np.int8), "three edges of 11"),
    ],
)
def test_configurations_that_have_no_alphas(occupation: npt.NDArray[np.int8], expected: str) -> None:
    """One species alone has no order, and a small lattice lacks vectors of equation 6."""
    with pytest.raises(InputError, match=expected):
        measure_alphas(occupation)
