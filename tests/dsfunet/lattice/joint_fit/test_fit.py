"""Both factors of virtual crystals that another forward model made, from one plane and the lattice."""

import dataclasses
from functools import lru_cache

import numpy as np
import pytest

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.lattice.joint_fit import JointFit, fit_both_factors, fit_plane, list_harmonics
from dsfunet.physics import Cell
from dsfunet.planes.measured import PlaneGrid
from dsfunet.planes.names import PlaneName
from dsfunet.planes.preprocessing import spread
from tests.virtual_crystals import CRYSTALS, Plane, contrast, correlate, hide_a_third, measure

AXES = {"P alloy": (0, 1), "I alloy": (0, 1), "F alloy": (0, 1), "molecule": (0, 2)}
REACH = {"P alloy": 4.2, "I alloy": 4.2, "F alloy": 4.2, "molecule": 7.0}


def grid_of(name: str, plane: Plane) -> PlaneGrid:
    a, b, c, beta = CRYSTALS[name].cell
    return PlaneGrid(
        Cell(a, b, c, 90, beta, 90), PlaneName(plane.axes, plane.offset), plane.rows, plane.columns
    )


@lru_cache(maxsize=32)
def fitted(name: str, missing: bool = False, seed: int = 0, count: int = 100) -> tuple[Plane, JointFit]:
    plane = measure(name, seed, AXES[name], reach=REACH[name], missing=missing)
    fit = fit_plane(
        plane.counts, plane.mask, grid_of(name, plane), CRYSTALS[name].centring, most_harmonics=count
    )
    return plane, fit


def truths(name: str, fit: JointFit, count: int) -> Array:
    """Return counted correlations of the layer for the shortest harmonics."""
    vectors = np.round(2 * fit.harmonics.indices[:count]).astype(int).tolist()
    return np.array([correlate(name).layer_value((v[0], v[1]), AXES[name], 0.0) for v in vectors])


@pytest.mark.slow
@pytest.mark.parametrize("missing", [False, True], ids=["complete", "a third missing"])
@pytest.mark.parametrize("name", AXES)
def test_correlations_of_a_layer_are_right_within_their_errors(name: str, missing: bool) -> None:
    plane, fit = fitted(name, missing, count=400 if name == "F alloy" else 200)
    assert (not missing) == plane.mask.all()
    count = 12
    errors = fit.alphas[:count] - truths(name, fit, count)
    sigmas = fit.alpha_sigmas[:count]
    assert (np.abs(errors) <= np.maximum(3 * sigmas, 0.004)).all()
    assert sigmas.max() <= 0.02
    assert fit.chi_squared == pytest.approx(1, abs=0.1)
    assert fit.noise.ratio == pytest.approx(1, abs=0.1)


@pytest.mark.slow
def test_pulls_over_twenty_seeds_are_those_of_their_errors() -> None:
    for name, crystals in (("P alloy", 7), ("I alloy", 7), ("F alloy", 6)):
        pulls, covered = [], []
        for seed in range(crystals):
            plane = measure(name, seed, crystal_seed=seed, missing=seed % 2 == 1, step=1 / 14)
            grid = grid_of(name, plane)
            harmonics = list_harmonics(grid.cell, grid.name, CRYSTALS[name].centring, 7 * grid.cell.a)
            fit = fit_both_factors(plane.counts, plane.mask, plane.rows, plane.columns, harmonics)
            vectors = np.round(2 * fit.harmonics.indices[:8]).astype(int).tolist()
            truth = [correlate(name, seed).layer_value((v[0], v[1]), (0, 1), 0.0) for v in vectors]
            pulls.append((fit.alphas[:8] - truth) / fit.alpha_sigmas[:8])
            away = np.abs(fit.form_factor - plane.form_factor)[plane.mask] / fit.form_factor_sigma[plane.mask]
            covered.append([np.mean(away < 1), np.mean(away < 2)])
        assert 0.7 <= np.sqrt(np.mean(np.square(pulls))) <= 1.4, name
        one, two = np.mean(covered, axis=0)
        assert 0.6 <= one <= 0.82 and 0.9 <= two <= 1, name


@pytest.mark.slow
@pytest.mark.parametrize("name", AXES)
def test_both_factors_lie_within_their_errors(name: str) -> None:
    """Shares of pixels within one and two standard uncertainties, over complete, masked and weak planes."""
    shares, hidden = [], []
    for missing, brightest in ((False, 2000.0), (True, 2000.0), (False, 20.0)):
        for seed in (1, 2) if name != "F alloy" else (1,):
            plane = measure(
                name, seed, AXES[name], reach=REACH[name], step=1 / 18, missing=missing, brightest=brightest
            )
            fit = fit_plane(plane.counts, plane.mask, grid_of(name, plane), CRYSTALS[name].centring)
            pairs = (
                (fit.form_factor, plane.form_factor, fit.form_factor_sigma),
                (fit.short_range_order, plane.order, fit.short_range_order_sigma),
            )
            away = np.array([np.abs(found - truth) / sigma for found, truth, sigma in pairs])
            shares.append([np.mean(away[:, plane.mask] < limit, axis=1) for limit in (1, 2)])
            if missing:
                hidden.append(np.mean(away[:, ~plane.mask] < 1, axis=1))
            assert fit.form_factor.min() >= 0 and fit.short_range_order.min() >= 0
    one, two = np.mean(shares, axis=0)
    assert (one >= 0.6).all() and (one <= 0.8).all() and (two >= 0.9).all() and (two <= 0.995).all(), shares
    assert np.mean(hidden, axis=0).min() >= 0.5 and np.mean(hidden, axis=0).max() <= 0.9, hidden


@pytest.mark.slow
@pytest.mark.parametrize("missing", [False, True], ids=["complete", "a third missing"])
@pytest.mark.parametrize(("reach", "limit"), [(1, 0.0003), (2, 0.0005), (4, 0.0032)])
def test_any_range_of_order_is_found(reach: float, limit: float, missing: bool) -> None:
    """Mean squared error of I_SRO in spread space, alpha = exp(-r / reach) cos pi (m + n), 3,000 counts."""
    axis = np.arange(-112, 113) / 28
    most = int(12 * reach) + 8
    m = np.arange(-most, most + 1.0)
    alphas = np.exp(-np.hypot(m[:, None], m[None]) / reach) * np.cos(np.pi * (m[:, None] + m[None]))
    phases = np.exp(2j * np.pi * np.outer(axis, m))
    order = (phases @ alphas @ phases.T).real
    indices = np.zeros((len(axis), len(axis), 3))
    indices[..., 0], indices[..., 2] = axis[:, None], axis[None]
    crystal = dataclasses.replace(CRYSTALS["molecule"], cell=(6.0, 6.0, 6.0, 90.0))
    form_factor = contrast(crystal, indices)
    form_factor *= 3000 / (form_factor * order).max()
    counts = np.random.default_rng(5).poisson(form_factor * order).astype(np.float64)
    mask = hide_a_third(axis, axis) if missing else np.full(counts.shape, True)
    fit = fit_plane(counts, mask, PlaneGrid(Cell(6, 6, 6), PlaneName((0, 2), 0.0), axis, axis))
    spreads = [spread(each / each.max()) for each in (fit.short_range_order, order)]
    assert np.mean((spreads[0] - spreads[1]) ** 2) <= limit


@pytest.mark.slow
def test_counts_on_another_scale_and_given_sigmas_give_the_same() -> None:
    plane, fit = fitted("I alloy", count=200)
    grid = grid_of("I alloy", plane)
    scaled = fit_plane(0.002 * plane.counts, plane.mask, grid, "I", most_harmonics=200)
    np.testing.assert_allclose(scaled.alphas, fit.alphas, atol=1e-6)
    np.testing.assert_allclose(scaled.form_factor, 0.002 * fit.form_factor, rtol=1e-4)
    assert scaled.noise.ratio == pytest.approx(0.002 * fit.noise.ratio, rel=1e-3)
    sigma = np.sqrt(np.maximum(plane.counts, 1))
    given = fit_plane(plane.counts, plane.mask, grid, "I", sigma=sigma, most_harmonics=200)
    assert given.noise.given is not None and given.chi_squared == pytest.approx(1, abs=0.1)
    assert (np.abs(given.alphas - fit.alphas)[:12] < 2 * fit.alpha_sigmas[:12]).all()


@pytest.mark.slow
def test_a_grid_that_does_not_repeat_after_whole_pixels() -> None:
    plane = measure("P alloy", step=0.0471)
    fit = fit_plane(plane.counts, plane.mask, grid_of("P alloy", plane))
    errors = fit.alphas[:8] - truths("P alloy", fit, 8)
    assert (np.abs(errors) <= np.maximum(3 * fit.alpha_sigmas[:8], 0.002)).all()


@pytest.mark.slow
def test_few_counts() -> None:
    plane = measure("molecule", axes=(0, 2), reach=7.0, brightest=20)
    fit = fit_plane(plane.counts, plane.mask, grid_of("molecule", plane))
    errors = fit.alphas[:8] - truths("molecule", fit, 8)
    assert (np.abs(errors) <= 3.5 * fit.alpha_sigmas[:8]).all() and fit.alpha_sigmas[:8].max() < 0.02


@pytest.mark.slow
def test_a_prior_form_factor_decides_where_nothing_was_measured() -> None:
    plane = measure("molecule", axes=(0, 2), reach=7.0, brightest=500)
    h, _ = np.meshgrid(plane.rows, plane.columns, indexing="ij")
    mask = h < 3
    grid = grid_of("molecule", plane)
    weight = np.full(mask.shape, 4.0)
    alone = fit_plane(plane.counts, mask, grid)
    helped = fit_plane(
        plane.counts, mask, grid, prior_form_factor=plane.form_factor * 1.02, prior_weight=weight
    )
    hidden = h > 4
    errors = [np.mean((fit.form_factor - plane.form_factor)[hidden] ** 2) for fit in (alone, helped)]
    assert errors[1] < 0.05 * errors[0]
    assert np.median(helped.form_factor_sigma[hidden]) < np.median(alone.form_factor_sigma[hidden])
    assert abs(helped.alphas[0] - truths("molecule", helped, 1)[0]) < 0.004


def odd_planes() -> dict[str, Array]:
    """Return planes on 61 x 61 pixels that have little or no noise, no structure, or a wide range."""
    h, k = np.meshgrid(np.linspace(-3, 3, 61), np.linspace(-3, 3, 61), indexing="ij")
    exact = 900 * np.exp(-(h**2 + k**2) / 9) * (1 - 0.3 * np.cos(2 * np.pi * h) * np.cos(2 * np.pi * k))
    wide = 4000 * np.exp(-1.5 * (h**2 + k**2)) * exact / exact.max()
    random = np.random.default_rng(0)
    single = np.zeros(h.shape)
    single[20, 30] = 5.0
    return {
        "exact": exact,
        "equal": np.full(h.shape, 7.0),
        "wide range": random.poisson(wide).astype(np.float64),
        "no order": random.poisson(3.0, h.shape).astype(np.float64),
        "only noise": random.normal(0.2, 3.0, h.shape),
        "one bright pixel": single,
    }


@pytest.mark.parametrize("name", odd_planes())
@pytest.mark.parametrize("missing", [False, True], ids=["complete", "nine tenths missing"])
def test_odd_planes_give_finite_factors(name: str, missing: bool) -> None:
    axis = np.linspace(-3, 3, 61)
    grid = PlaneGrid(Cell(4, 4, 4), PlaneName((0, 1), 0.0), axis, axis)
    plane = odd_planes()[name].copy()
    mask = np.random.default_rng(1).uniform(size=plane.shape) < (0.1 if missing else 2)
    mask[20, 30], mask[0, :2] = True, False
    plane[0, 0], plane[0, 1] = np.nan, np.inf  # not measured
    fit = fit_plane(plane, mask, grid, most_harmonics=40)
    for field in (fit.form_factor, fit.form_factor_sigma, fit.short_range_order, fit.short_range_order_sigma):
        assert np.isfinite(field).all() and (field >= 0).all()
    if name in ("no order", "equal"):
        assert (np.abs(fit.alphas) < 4 * fit.alpha_sigmas + 1e-9).all()
    if name == "exact":
        place, _ = fit.harmonics.find((1, 1, 0), grid.name)
        assert fit.alphas[place] == pytest.approx(-0.075, abs=1e-3)


def test_a_prior_is_not_used_where_it_is_unknown() -> None:
    plane = measure("P alloy", step=1 / 10)
    h, _ = np.meshgrid(plane.rows, plane.columns, indexing="ij")
    alone = fit_plane(plane.counts, plane.mask, grid_of("P alloy", plane), most_harmonics=60)
    prior = np.where(h > 0, plane.form_factor, np.nan)
    fit = fit_plane(
        plane.counts,
        plane.mask,
        grid_of("P alloy", plane),
        most_harmonics=60,
        prior_form_factor=prior,
        prior_weight=np.where(h > 0, 1.0, 0.0),
        sigma=np.zeros(plane.counts.shape),
    )
    assert fit.chi_squared == pytest.approx(alone.chi_squared, abs=0.02)
    assert (np.abs(fit.alphas - alone.alphas) < alone.alpha_sigmas).all()


def test_bad_input_is_one_sentence() -> None:
    axis = np.linspace(-3, 3, 61)
    grid = PlaneGrid(Cell(4, 4, 4), PlaneName((0, 1), 0.0), axis, axis)
    plane, mask = np.ones((61, 61)), np.full((61, 61), True)
    with pytest.raises(InputError, match=r"found shapes \(3, 3\) and \(61, 61\); expected \(61, 61\)"):
        fit_plane(np.ones((3, 3)), mask, grid)
    with pytest.raises(InputError, match="found 0 measured pixels; expected 100 or more"):
        fit_plane(plane, ~mask, grid)
    with pytest.raises(InputError, match="found NaN or infinity in measured pixels"):
        fit_plane(plane * np.nan, mask, grid)
    with pytest.raises(InputError, match="the mean of the intensity is -1; expected a positive number"):
        fit_plane(-plane, mask, grid)
    small = PlaneGrid(Cell(4, 4, 4), PlaneName((0, 1), 0.0), axis / 6, axis / 6)
    with pytest.raises(InputError, match=r"plane hk0: it shows 1\.0 zones in which .* expected two or more"):
        fit_plane(plane, mask, small)
    coarse = PlaneGrid(Cell(4, 4, 4), PlaneName((0, 1), 0.0), 9 * axis, 9 * axis)
    with pytest.raises(InputError, match=r"plane hk0: its pixels are 0\.9 by 0\.9 r\.l\.u\."):
        fit_plane(plane, mask, coarse)
