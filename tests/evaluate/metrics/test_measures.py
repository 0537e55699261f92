"""Every measure against numbers worked out by hand or by a plain formula."""

import numpy as np
import pytest

from dsfunet.errors import InputError
from dsfunet.physics import Cell, plane_through
from dsfunet.physics.short_range_order import ALPHA_SHAPE, short_range_order_intensity
from dsfunet.planes.preprocessing import normalise, spread, unspread
from evaluate.metrics.measures import (
    DEVIATION_EDGES,
    measure_answer,
    measure_component,
    measure_correlations,
    measure_deviation,
    measure_product,
    structural_similarity,
)
from evaluate.predictors.cases import Case, Truth

CELL = Cell(6.0, 7.0, 8.0)
PLANE = plane_through(CELL, (0, 2), 0.0, 7.0)


def alphas_with(**in_plane: float) -> np.ndarray:
    alphas = np.zeros(ALPHA_SHAPE)
    alphas[5, 5, 5] = 1.0
    for name, value in in_plane.items():
        first, second = {"a": (1, 0), "c": (0, 1), "two_a": (2, 0)}[name]
        alphas[5 + first, 5, 5 + second] = alphas[5 - first, 5, 5 - second] = value
    return alphas


def case_and_truth(alphas: np.ndarray) -> tuple[Case, Truth]:
    order = short_range_order_intensity(alphas, CELL, PLANE)
    form_factor = np.exp(-PLANE.q_squared() / 12)
    mask = np.ones((256, 256), bool)
    mask[:64] = False
    scattering = normalise(order * form_factor)[0] * mask
    case = Case(3, scattering, mask, CELL, PLANE, (0, 2))
    truth = Truth(normalise(form_factor)[0], normalise(order)[0], float(order.min() / np.ptp(order)))
    return case, truth


def test_the_conventions_of_the_error_of_one_component() -> None:
    rng = np.random.default_rng(0)
    output, truth = rng.random((2, 256, 256))
    mask = rng.random((256, 256)) > 0.3
    found = measure_component(output, truth, mask)
    squared = (spread(output) - spread(truth)) ** 2
    assert found["mse"] == pytest.approx(squared.mean())
    assert found["mse_unit"] == pytest.approx(np.mean((np.sqrt(output) - np.sqrt(truth)) ** 2))
    assert found["mse_linear"] == pytest.approx(np.mean((output - truth) ** 2))
    assert found["mse_measured"] == pytest.approx(squared[mask].mean())
    assert found["mse_missing"] == pytest.approx(squared[~mask].mean())
    assert found["r1"] == pytest.approx(np.abs(np.sqrt(output) - np.sqrt(truth)).sum() / np.sqrt(truth).sum())
    assert found["psnr"] == pytest.approx(10 * np.log10(4 / squared.mean()))


def test_measured_and_missing_make_up_the_whole() -> None:
    rng = np.random.default_rng(1)
    output, truth = rng.random((2, 256, 256))
    mask = rng.random((256, 256)) > 0.4
    found = measure_component(output, truth, mask)
    share = mask.mean()
    assert found["mse"] == pytest.approx(share * found["mse_measured"] + (1 - share) * found["mse_missing"])


def test_a_perfect_answer() -> None:
    case, truth = case_and_truth(alphas_with(a=0.2))
    found = measure_answer(truth.form_factor, truth.short_range_order, case, truth, full=True)
    assert found["form_factor/mse"] == 0 and found["short_range_order/r1"] == 0
    assert found["form_factor/psnr"] == pytest.approx(10 * np.log10(4e12))
    assert found["short_range_order/correlation_rms"] == pytest.approx(0, abs=1e-9)
    assert found["product/r1"] < 1e-3 and found["product/wr2"] < 1e-3


def test_structural_similarity_of_planes_one_by_one_and_together() -> None:
    rng = np.random.default_rng(6)
    truths = rng.random((10, 256, 256))
    outputs = np.clip(truths + rng.normal(0, 0.1, truths.shape) * np.arange(10)[:, None, None], 0, 1)
    found = structural_similarity(outputs, truths)
    assert found[0] == pytest.approx(1) and (np.diff(found) < 0).all() and found[-1] < 0.3
    alone = [structural_similarity(outputs[n : n + 1], truths[n : n + 1])[0] for n in range(10)]
    np.testing.assert_allclose(found, alone, atol=1e-5)


def test_nothing_is_missing_where_all_was_measured() -> None:
    rng = np.random.default_rng(2)
    output, truth = rng.random((2, 256, 256))
    found = measure_component(output, truth, np.ones((256, 256), bool))
    assert np.isnan(found["mse_missing"]) and found["mse_measured"] == pytest.approx(found["mse"])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -0.01, 1.01])
def test_what_is_not_intensity_is_never_scored(bad: float) -> None:
    case, truth = case_and_truth(alphas_with(a=0.2))
    output = truth.short_range_order.copy()
    output[5, 7] = bad
    with pytest.raises(InputError, match=r"short_range_order of plane 3: 1 pixels are outside \[0, 1\]"):
        measure_answer(truth.form_factor, output, case, truth, full=False)


def test_the_error_of_the_correlations_is_the_difference_of_alphas() -> None:
    """An answer with one correlation off by 0.05: two coefficients of 121, and two of the nearest eight."""
    case, truth = case_and_truth(alphas_with(a=0.2, c=-0.1))
    other = short_range_order_intensity(alphas_with(a=0.25, c=-0.1), CELL, PLANE)
    true = short_range_order_intensity(alphas_with(a=0.2, c=-0.1), CELL, PLANE)
    # With the scale and floor of the truth, so that only the correlation differs.
    output = (other - true.min()) / np.ptp(true)
    found = measure_correlations(output, truth, case)
    assert found["correlation_rms"] == pytest.approx(0.05 * np.sqrt(2 / 120), rel=2e-3)
    assert found["correlation_nearest"] == pytest.approx(0.05 * np.sqrt(2 / 8), rel=2e-3)


def test_the_product_of_wrong_components_has_the_r_factors_of_its_residual() -> None:
    case, truth = case_and_truth(alphas_with(a=0.2))
    flat = np.ones((256, 256), np.float32)
    found = measure_product(truth.form_factor, flat, case)
    observed = case.scattering[case.mask].astype(np.float64)
    smooth = truth.form_factor[case.mask].astype(np.float64)
    columns = np.stack([smooth, np.ones_like(smooth)], axis=1)
    residual = observed - columns @ np.linalg.lstsq(columns, observed, rcond=None)[0]
    assert found["wr2"] == pytest.approx(np.sqrt(np.sum(residual**2) / np.sum(observed**2)), rel=0.02)
    assert 0.02 < found["r1"] < 0.5


def test_honest_deviations_are_found_honest() -> None:
    rng = np.random.default_rng(4)
    deviation = rng.uniform(0.01, 0.1, (256, 256))
    truth = np.full((256, 256), 0.5)
    output = unspread(spread(truth) + deviation * rng.standard_normal((256, 256)))
    found = measure_deviation(output, deviation, truth)
    assert found["pixels"].sum() == 256**2 and len(found["pixels"]) == len(DEVIATION_EDGES) - 1
    assert float(found["within_1"]) == pytest.approx(0.683, abs=0.01)
    assert float(found["within_2"]) == pytest.approx(0.954, abs=0.005)
    filled = found["pixels"] > 500
    np.testing.assert_allclose(
        found["squared_error"][filled] / found["squared_deviation"][filled], 1, atol=0.2
    )
    assert found["squared_deviation"].sum() == pytest.approx(np.sum(deviation**2))


@pytest.mark.parametrize("bad", [np.nan, -0.1])
def test_a_deviation_that_is_none_is_an_error(bad: float) -> None:
    plane = np.full((256, 256), 0.5)
    with pytest.raises(InputError, match="standard deviation"):
        measure_deviation(plane, np.full((256, 256), bad), plane)
