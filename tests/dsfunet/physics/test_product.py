"""Two normalised components put back together, against planes made with known scale and floors."""

import numpy as np
import pytest

from dsfunet.physics.product import explained_by_order, fit_product


def test_scale_and_floors_are_those_that_normalisation_took_away() -> None:
    rng = np.random.default_rng(3)
    form_factor, short_range_order = rng.random((2, 40, 50))
    intensity = 700.0 * (form_factor + 0.1) * (short_range_order + 0.3)
    mask = rng.random((40, 50)) > 0.2
    product = fit_product(np.where(mask, intensity, np.nan), form_factor, short_range_order, mask)
    assert product.scale == pytest.approx(700.0, rel=1e-3)
    assert product.form_factor_floor == pytest.approx(0.1, rel=1e-3)
    assert product.short_range_order_floor == pytest.approx(0.3, rel=1e-3)
    np.testing.assert_allclose(product.intensity, intensity, rtol=1e-3)  # also where nothing was measured


def test_floors_that_are_zero_are_found_zero() -> None:
    rng = np.random.default_rng(4)
    form_factor, short_range_order = rng.random((2, 30, 30))
    product = fit_product(
        1e-6 * form_factor * short_range_order, form_factor, short_range_order, np.ones((30, 30), bool)
    )
    assert product.scale == pytest.approx(1e-6, rel=1e-6)
    assert product.form_factor_floor == pytest.approx(0.0, abs=1e-6)
    assert product.short_range_order_floor == pytest.approx(0.0, abs=1e-6)


def test_missing_components_stay_missing_and_are_not_fitted() -> None:
    rng = np.random.default_rng(5)
    form_factor, short_range_order = rng.random((2, 30, 30))
    intensity = 5.0 * (form_factor + 0.2) * (short_range_order + 0.4)
    form_factor[:3] = np.nan
    product = fit_product(intensity, form_factor, short_range_order, np.ones((30, 30), bool))
    assert np.isnan(product.intensity[:3]).all()
    np.testing.assert_allclose(product.intensity[3:], intensity[3:], rtol=1e-3)


def test_a_plane_that_both_components_contradict_is_explained_by_nothing_negative() -> None:
    rng = np.random.default_rng(6)
    form_factor, short_range_order = rng.random((2, 40, 50))
    intensity = 1.0 - 0.3 * (form_factor + 0.1) * (short_range_order + 0.3)
    against = fit_product(intensity, form_factor, short_range_order, np.ones((40, 50), bool))
    assert against.scale >= 0 and against.intensity.min() >= 0
    dark = fit_product(np.zeros((40, 50)), form_factor, short_range_order, np.ones((40, 50), bool))
    assert dark.scale == 0 and (dark.intensity == 0).all()


def test_order_explains_what_it_adds_to_the_form_factor() -> None:
    random = np.random.default_rng(1)
    form_factor, order = random.random((2, 40, 40))
    mask = random.random((40, 40)) < 0.8
    plane = 7.0 * (form_factor + 0.2) * (order + 0.1)
    assert explained_by_order(np.where(mask, plane, np.nan), form_factor, order, mask) == pytest.approx(1.0)
    assert explained_by_order(3 * form_factor + 1, form_factor, order, mask) == pytest.approx(0.0, abs=1e-3)
    assert explained_by_order(plane, form_factor, random.random((40, 40)), mask) < 0.02
