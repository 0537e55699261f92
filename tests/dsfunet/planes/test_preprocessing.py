"""Missing pixels, normalisation, spread and its inverse, worked out by hand."""

import numpy as np
import numpy.typing as npt
import pytest
import torch

from dsfunet.errors import InputError
from dsfunet.planes.preprocessing import measured_pixels, network_input, normalise, spread, unspread

EVERYWHERE = np.ones((2, 3), dtype=bool)


def test_spread_by_hand() -> None:
    np.testing.assert_array_equal(spread(np.array([0.0, 0.25, 1.0])), [-1.0, 0.0, 1.0])
    np.testing.assert_array_equal(unspread(np.array([-1.0, 0.0, 1.0])), [0.0, 0.25, 1.0])


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 4e-16), (np.float32, 2e-7)])
def test_spread_and_unspread_undo_each_other(dtype: npt.DTypeLike, tolerance: float) -> None:
    intensity = np.linspace(0, 1, 1001, dtype=dtype)
    value = np.linspace(-1, 1, 1001, dtype=dtype)
    assert spread(intensity).dtype == unspread(value).dtype == dtype
    assert np.abs(unspread(spread(intensity)) - intensity).max() <= tolerance
    # Near -1 the root magnifies rounding: (s + 1) / 2 keeps its absolute, not its relative, precision.
    assert np.abs(spread(unspread(value)) - value).max() <= 2 * tolerance


def test_spread_takes_tensors() -> None:
    intensity = np.linspace(0, 1, 50)
    np.testing.assert_allclose(spread(torch.from_numpy(intensity)).numpy(), spread(intensity), atol=1e-15)
    np.testing.assert_array_equal(unspread(torch.from_numpy(intensity)).numpy(), unspread(intensity))


def test_mean_squared_error_in_spread_space_is_four_times_that_of_the_root() -> None:
    first, second = np.random.default_rng(0).random((2, 64, 64))
    spread_error = np.mean((spread(first) - spread(second)) ** 2)
    assert spread_error == pytest.approx(4 * np.mean((np.sqrt(first) - np.sqrt(second)) ** 2))


def test_normalise_by_hand() -> None:
    normalised, low, extent = normalise(np.array([[2.0, 4.0], [10.0, 3.0]]))
    np.testing.assert_array_equal(normalised, [[0.0, 0.25], [1.0, 0.125]])
    assert normalised.dtype == np.float32
    assert (low, extent) == (2.0, 8.0)


def test_normalise_uses_measured_pixels_only() -> None:
    plane = np.array([[2.0, 4.0, 1e6], [10.0, np.nan, -50.0]])
    mask = np.array([[True, True, False], [True, False, False]])
    normalised, low, extent = normalise(plane, mask)
    np.testing.assert_array_equal(normalised, [[0.0, 0.25, 0.0], [1.0, 0.0, 0.0]])
    np.testing.assert_array_equal(low + extent * normalised[mask], plane[mask])
    assert plane[0, 2] == 1e6  # the caller's plane is left as it was


def test_normalise_takes_counts() -> None:
    normalised, low, extent = normalise(np.array([[1, 2], [3, 5]], dtype=np.uint16))
    np.testing.assert_array_equal(normalised, [[0.0, 0.25], [0.5, 1.0]])
    assert (low, extent) == (1.0, 4.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_normalise_never_leaves_the_unit_interval(dtype: npt.DTypeLike) -> None:
    rng = np.random.default_rng(1)
    for scale in (1e-20, 1e-3, 1.0, 1e7, 1e20):
        plane = (scale * rng.random((64, 64))).astype(dtype)
        normalised = normalise(plane)[0]
        assert normalised.min() == 0.0
        assert normalised.max() == 1.0


def test_normalise_refuses_a_plane_without_measured_pixels() -> None:
    with pytest.raises(InputError, match=r"^the plane has no measured pixel"):
        normalise(np.ones((2, 2)), np.zeros((2, 2), dtype=bool))


@pytest.mark.parametrize("mask", [None, np.array([[True, True], [True, False]])])
def test_normalise_refuses_a_plane_that_does_not_vary(mask: npt.NDArray[np.bool_] | None) -> None:
    plane = np.array([[3.0, 3.0], [3.0, 3.0 if mask is None else 9.0]])
    with pytest.raises(
        InputError, match=r"^the plane is 3\.0 in every measured pixel; expected intensities that vary$"
    ):
        normalise(plane, mask)


def test_measured_means_finite_not_negative_and_not_masked() -> None:
    plane = np.array([[1.0, 0.0, -0.0], [np.nan, np.inf, -1e-9]])
    np.testing.assert_array_equal(measured_pixels(plane), [[True, True, True], [False, False, False]])
    mask = np.array([[False, True, True], [True, True, True]])
    np.testing.assert_array_equal(measured_pixels(plane, mask), [[False, True, True], [False, False, False]])


def test_zero_is_measured_and_missing_is_not_zero() -> None:
    plane = np.array([[0.0, 1.0, 4.0], [np.nan, -1.0, 2.0]])
    shown = network_input(plane, measured_pixels(plane))
    # Both enter channel 0 as -1; channel 1 tells them apart.
    np.testing.assert_allclose(shown[0], [[-1.0, 0.0, 1.0], [-1.0, -1.0, np.sqrt(2) - 1]], rtol=1e-6)
    np.testing.assert_array_equal(shown[1], [[1.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
    assert shown.dtype == np.float32


def test_missing_pixels_do_not_reach_the_network() -> None:
    rng = np.random.default_rng(2)
    plane, mask = rng.random((16, 16)), rng.random((16, 16)) < 0.7
    changed = np.where(mask, plane, np.nan)
    np.testing.assert_array_equal(network_input(plane, mask), network_input(changed, mask))


def test_the_network_input_does_not_depend_on_scale() -> None:
    plane = np.random.default_rng(3).random((16, 16))
    mask = np.ones((16, 16), dtype=bool)
    np.testing.assert_allclose(network_input(1000 * plane + 7, mask), network_input(plane, mask), atol=2e-6)


@pytest.mark.parametrize(("plane", "mask"), [(np.ones((2, 3)), EVERYWHERE), (np.eye(2, 3), ~EVERYWHERE)])
def test_network_input_refuses_what_cannot_be_normalised(
    plane: npt.NDArray[np.float64], mask: npt.NDArray[np.bool_]
) -> None:
    with pytest.raises(InputError, match=r"^the plane (is|has) "):
        network_input(plane, mask)
