"""Form factors of two sources: each decides where it knows more, and Friedel mates are averaged."""

import numpy as np
import pytest

from dsfunet.lattice.form_factors import FormFactor, combine_form_factors, combine_friedel_mates
from dsfunet.physics import Cell
from dsfunet.planes.measured import PlaneGrid
from dsfunet.planes.names import parse_plane

AXIS = np.linspace(-3, 3, 61)
TRUTH = np.exp(-(AXIS[:, None] ** 2 + AXIS[None, :] ** 2) / 6) * (1.2 + np.cos(2 * AXIS)[:, None])


def grid_of(name: str) -> PlaneGrid:
    return PlaneGrid(Cell(5, 5, 5), parse_plane(name), AXIS, AXIS)


def test_data_decide_where_measured_and_networks_where_not() -> None:
    rng = np.random.default_rng(0)
    mask = np.full(TRUTH.shape, True)
    mask[:20] = False
    data_sigma = np.where(mask, 0.01, 2.0)
    data = FormFactor(TRUTH + rng.normal(0, data_sigma), data_sigma)
    # The networks have a scale and a floor of their own.
    networks = FormFactor(0.3 * TRUTH + 0.05 + rng.normal(0, 0.01, TRUTH.shape), np.full(TRUTH.shape, 0.01))
    found = combine_form_factors(data, networks, mask)
    error = np.abs(found.values - TRUTH)
    assert np.sqrt(np.mean(error[mask] ** 2)) < 0.0105
    assert np.sqrt(np.mean(error[~mask] ** 2)) == pytest.approx(0.01 / 0.3, rel=0.15)
    for part in (mask, ~mask):
        assert 0.6 < np.mean(error[part] < found.sigma[part]) < 0.76


def test_networks_that_are_wrong_where_they_can_be_checked_count_for_little() -> None:
    mask = np.full(TRUTH.shape, True)
    data = FormFactor(TRUTH.copy(), np.full(TRUTH.shape, 0.01))
    wrong = FormFactor(TRUTH + 0.3 * np.sin(9 * AXIS)[None, :], np.full(TRUTH.shape, 0.01))
    found = combine_form_factors(data, wrong, mask)
    assert np.abs(found.values - TRUTH).max() < 0.02
    constant = FormFactor(np.ones(TRUTH.shape), np.full(TRUTH.shape, 0.01))
    flat = combine_form_factors(data, constant, mask)
    assert np.abs(flat.values - TRUTH).max() < 0.05


def test_networks_without_uncertainty_or_without_an_answer() -> None:
    mask = np.full(TRUTH.shape, True)
    mask[40:] = False
    sigma = np.where(mask, 0.01, 5.0)
    data = FormFactor(np.where(mask, TRUTH, 3.0), sigma)
    unknown = np.full(TRUTH.shape, np.nan)
    found = combine_form_factors(data, FormFactor(TRUTH.copy(), unknown), mask)
    assert np.abs(found.values - TRUTH).max() < 0.02
    nothing = combine_form_factors(data, FormFactor(unknown, unknown), mask)
    np.testing.assert_array_equal(nothing.values, data.values)


def test_friedel_mates_share_their_data() -> None:
    rng = np.random.default_rng(1)
    sigma = np.full((61, 61), 0.02)
    sigma[:25] = np.inf  # not measured, but their mates are
    noisy = FormFactor(TRUTH + rng.normal(0, 0.02, (61, 61)), sigma)
    found = combine_friedel_mates(noisy, grid_of("hk0"))
    np.testing.assert_allclose(found.values, found.values[::-1, ::-1])
    assert found.sigma[10, 10] == 0.02 and found.sigma[28, 3] == pytest.approx(0.02 / np.sqrt(2))
    assert found.sigma[30, 30] == 0.02  # Q = 0 is its own mate
    assert np.sqrt(np.mean((found.values - TRUTH)[26:35] ** 2)) == pytest.approx(0.02 / np.sqrt(2), rel=0.1)
    elsewhere = combine_friedel_mates(noisy, grid_of("hk1"))
    assert elsewhere is noisy


def test_pixels_without_a_mate_stay() -> None:
    axis = np.linspace(-2, 3, 51)
    grid = PlaneGrid(Cell(5, 5, 5), parse_plane("hk0"), axis, axis)
    values = np.arange(51.0 * 51).reshape(51, 51)
    found = combine_friedel_mates(FormFactor(values, np.ones((51, 51))), grid)
    np.testing.assert_array_equal(found.values[41:], values[41:])
    assert found.values[0, 0] == (values[0, 0] + values[40, 40]) / 2
