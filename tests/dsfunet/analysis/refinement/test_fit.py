"""Refinement of alphas: exact on exact planes of every Laue class, honest error bars, clear refusals."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import gaussian_filter

from dsfunet._typing import Integers
from dsfunet.analysis.formatting import with_uncertainty
from dsfunet.analysis.refinement.data import PlaneData
from dsfunet.analysis.refinement.fit import Refinement, refine
from dsfunet.analysis.refinement.least_squares import fit
from dsfunet.analysis.refinement.terms import orbit_series
from dsfunet.analysis.refinement.zones import Zones, fold, zones_of
from dsfunet.errors import InputError
from dsfunet.io import PlaneGrid, parse_plane_name
from dsfunet.physics import Cell
from dsfunet.physics.symmetry import (
    LAUE_CLASSES,
    Orbit,
    laue_rotations,
    nearest_shells,
    orbits_of,
    symmetric_metric,
)
from tests.dsfunet.physics.test_symmetry import CELLS

Array = npt.NDArray[np.float64]


def make_grid(
    cell: Cell, plane: str, half_width: float = 3.5, shape: tuple[int, int] = (50, 54)
) -> PlaneGrid:
    rows, columns = (np.linspace(-half_width, half_width, n) for n in shape)
    return PlaneGrid(cell, parse_plane_name(plane), rows, columns)


def shells_of(laue: str, grid: PlaneGrid, number: int) -> tuple[list[Orbit], Integers, Zones]:
    rotations, metric = laue_rotations(laue), symmetric_metric(grid.cell, laue)
    orbits = nearest_shells(number, rotations, metric, grid.name.fixed_axis)
    return orbits, rotations, zones_of(grid, rotations)


def series(alphas: Array, orbits: list[Orbit], grid: PlaneGrid, scale: float = 0.4) -> Array:
    total = np.ones(grid.shape)
    for alpha, orbit in zip(alphas, orbits, strict=True):
        total += alpha * orbit_series(orbit, grid)
    return scale * total


@pytest.mark.parametrize("plane", ["hk1", "h0l", "h k 0.3", "0kl"])
@pytest.mark.parametrize("laue", LAUE_CLASSES)
def test_exact_planes_give_exact_alphas(laue: str, plane: str) -> None:
    grid = make_grid(CELLS[laue], plane)
    orbits, _, zones = shells_of(laue, grid, 5)
    alphas = np.random.default_rng(3).normal(scale=0.1, size=len(orbits))
    weights = np.ones(grid.shape)
    weights[10:20, 30:44] = 0
    values = np.where(weights > 0, series(alphas, orbits, grid), np.nan)
    found = refine([PlaneData(grid, zones, values, weights)], orbits)
    np.testing.assert_allclose(found.alphas, alphas, atol=1e-12)
    assert found.planes[0].scale == pytest.approx(0.4, abs=1e-12)
    np.testing.assert_allclose(found.planes[0].calculated[weights > 0], values[weights > 0], atol=1e-12)
    assert (
        found.uncertainties.max() < 1e-12 and found.planes[0].r_factor < 1e-12 and np.isnan(found.chi_squared)
    )
    assert found.planes[0].pixels == weights.sum()


def test_series_is_the_sum_over_lattice_vectors() -> None:
    grid = make_grid(CELLS["-1"], "h -0.7 l", shape=(6, 7))
    (orbit,) = orbits_of([(2, -1, 1)], laue_rotations("-1"), np.eye(3))
    h, third = np.meshgrid(grid.rows, grid.columns, indexing="ij")
    np.testing.assert_allclose(
        orbit_series(orbit, grid), 2 * np.cos(2 * np.pi * (2 * h + 0.7 + third)), atol=1e-12
    )


def test_vectors_out_of_the_plane_between_integer_layers() -> None:
    grid = make_grid(CELLS["m-3m"], "h k 0.3")
    rotations, metric = laue_rotations("m-3m"), symmetric_metric(grid.cell, "m-3m")
    orbits = orbits_of([(1, 0, 0), (1, 1, 0)], rotations, metric)
    alphas = np.array([-0.1, 0.07])
    plane = PlaneData(grid, zones_of(grid, rotations), series(alphas, orbits, grid), np.ones(grid.shape))
    found = refine([plane], orbits)
    np.testing.assert_allclose(found.alphas, alphas, atol=1e-12)


def coverage(laue: str, noise: Callable[[np.random.Generator, tuple[int, int]], Array], errors: str) -> Array:
    """Share of 200 draws in which each alpha lies within one standard uncertainty of the truth."""
    grid = make_grid(CELLS[laue], "hk1", 4.5, (56, 60))
    orbits, _, zones = shells_of(laue, grid, 2)
    alphas = np.linspace(-0.2, 0.1, len(orbits))
    truth = series(alphas, orbits, grid)
    weights = np.ones(grid.shape)
    weights[:6] = weights[20:30, 20:26] = 0
    inside = []
    for seed in range(200):
        values = truth + 0.03 * noise(np.random.default_rng(seed), grid.shape)
        plane = PlaneData(grid, zones, values, weights)
        found = refine([plane], orbits, errors_from="zones" if errors == "zones" else "pixels")
        inside.append(np.abs(found.alphas - alphas) < found.uncertainties)
    return np.mean(inside, axis=0)


def independent(random: np.random.Generator, shape: tuple[int, int]) -> Array:
    draws: Array = random.normal(size=shape)
    return draws


def correlated(random: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Correlated over about half of a zone, and across the borders of zones (six pixels each)."""
    blurred: Array = gaussian_filter(random.normal(size=shape), 1.3) * 4
    return blurred


def equivalent(random: np.random.Generator, shape: tuple[int, int]) -> Array:
    """The same at Q and -Q, as in a reconstruction that was averaged."""
    noise = correlated(random, shape)
    both: Array = (noise + noise[::-1, ::-1]) / np.sqrt(2)
    return both


# The standard deviation of a share of 200 draws is 3.3 %: bounds are three of them, and a little below for few zones.
@pytest.mark.slow
@pytest.mark.parametrize("laue", ["-1", "4/mmm"])
@pytest.mark.parametrize("noise", [independent, correlated])
def test_error_bars_cover_the_truth_as_often_as_they_should(
    laue: str, noise: Callable[[np.random.Generator, tuple[int, int]], Array]
) -> None:
    found = coverage(laue, noise, "zones")
    assert (found > 0.55).all() and (found < 0.80).all(), found
    assert 0.60 < found.mean() < 0.74


@pytest.mark.slow
def test_error_bars_of_averaged_planes_and_of_pixels_taken_for_independent() -> None:
    found = coverage("4/mmm", equivalent, "zones")
    assert (found > 0.55).all() and (found < 0.80).all(), found
    # What the default is there to avoid: pixels of one zone are not independent.
    assert coverage("4/mmm", equivalent, "pixels").min() < 0.5
    independent_found = coverage("4/mmm", independent, "pixels")
    assert (independent_found > 0.58).all() and (independent_found < 0.78).all()


@pytest.mark.slow
def test_error_bars_hold_what_is_wrong_alike_in_every_zone() -> None:
    grid = PlaneGrid(CELLS["mmm"], parse_plane_name("hk1"), np.arange(-36, 37) / 9, np.arange(-36, 37) / 9)
    orbits, _, zones = shells_of("mmm", grid, 3)
    alphas = np.array([-0.2, 0.1, 0.05])
    truth, weights = series(alphas, orbits, grid), np.ones(grid.shape)
    inside = []
    for seed in range(200):
        random = np.random.default_rng(seed)
        everywhere = np.tile(random.normal(size=(9, 9)), (9, 9))[:73, :73]
        values = truth + 0.03 * everywhere + 0.01 * random.normal(size=grid.shape)
        found = refine([PlaneData(grid, zones, values, weights)], orbits)
        inside.append(np.abs(found.alphas - alphas) < found.uncertainties)
        assert found.chi_squared > 10 * found.degrees_of_freedom
    shares = np.mean(inside, axis=0)
    assert (shares > 0.58).all() and (shares < 0.8).all(), shares


def noisy(
    inverse_variances: bool = False, floor_influence: Array | None = None, **options: Any
) -> tuple[Refinement, Array, PlaneGrid, Integers]:
    grid = make_grid(CELLS["4/m"], "hk0", 3.49)
    orbits, rotations, zones = shells_of("4/m", grid, 3)
    alphas = np.array([-0.2, 0.1, 0.05])
    values = series(alphas, orbits, grid) + 0.02 * np.random.default_rng(8).normal(size=grid.shape)
    weights = np.full(grid.shape, 0.02**-2)
    plane = PlaneData(grid, zones, values, weights, inverse_variances, floor_influence=floor_influence)
    found = refine([plane], orbits, **options)
    return found, values, grid, rotations


def test_quality_and_correlations() -> None:
    found, values, _, _ = noisy(inverse_variances=True)
    (plane,) = found.planes
    assert plane.pixel_chi_squared is not None
    assert plane.pixel_chi_squared / (plane.pixels - 4) == pytest.approx(1, abs=0.1)
    assert found.chi_squared / found.degrees_of_freedom == pytest.approx(1, abs=0.4)
    residual = values - plane.calculated
    assert plane.r_factor == pytest.approx(np.abs(residual).sum() / np.abs(values).sum())
    assert plane.weighted_r_factor == pytest.approx(np.sqrt((residual**2).sum() / (values**2).sum()))
    correlations = found.correlations
    np.testing.assert_allclose(correlations, correlations.T)
    np.testing.assert_allclose(np.diag(correlations), 1)
    assert np.linalg.eigvalsh(correlations).min() > 0
    np.testing.assert_allclose(found.uncertainties**2, np.diag(found.covariance)[1:])
    # Seven by seven zones: the one in the middle, and twelve times four that the fourfold axis relates.
    assert (plane.zones, plane.groups) == (49, 13)


def test_the_folded_map_is_symmetric_and_holds_the_mean() -> None:
    found, values, grid, rotations = noisy()
    folded = fold(values, found.planes[0].calculated, np.ones(grid.shape), grid, rotations)
    assert len(folded.centres) % 2 == 1 and abs(folded.centres).max() < 0.5
    np.testing.assert_allclose(folded.observed, folded.observed[::-1, ::-1], atol=0.01)
    assert np.nanmax(np.abs(folded.observed - folded.calculated)) < 0.02


def test_an_uncertain_floor_moves_all_alphas_together() -> None:
    sharp, _, _, _ = noisy(errors_from="pixels")
    blurred, _, _, _ = noisy(errors_from="pixels", floor_influence=np.array([0.01]))
    expected = np.sqrt(sharp.uncertainties**2 + (sharp.alphas * 0.01 / sharp.planes[0].scale) ** 2)
    np.testing.assert_allclose(blurred.uncertainties, expected, rtol=1e-6)
    np.testing.assert_allclose(blurred.alphas, sharp.alphas)


def test_bounds_hold_and_say_so() -> None:
    free, _, _, _ = noisy()
    loose, _, _, _ = noisy(alpha_bounds=(-0.25, 1.0))
    np.testing.assert_allclose(loose.alphas, free.alphas, atol=1e-12)
    assert not loose.at_bound.any()
    tight, values, grid, _ = noisy(alpha_bounds=(-0.15, 0.09))
    assert tight.at_bound.tolist() == [-1, 1, 0]
    assert tight.alphas[:2].tolist() == [-0.15, 0.09]
    assert np.isnan(tight.uncertainties[:2]).all() and tight.uncertainties[2] > 0
    misfit = np.sum((values - tight.planes[0].calculated) ** 2)
    for scale in (0.99, 1.01):
        moved = series(tight.alphas, list(tight.orbits), grid, tight.planes[0].scale * scale)
        assert np.sum((values - moved) ** 2) > misfit


def test_windows_share_out_every_pixel_once() -> None:
    grid = make_grid(CELLS["6/m"], "hk0", 2.3, (31, 40))
    zones = zones_of(grid, laue_rotations("6/m"))
    np.testing.assert_allclose(zones.windows.power(2).sum(axis=0), 1)
    one = fit(
        np.ones((31 * 40, 1)), np.random.default_rng(1).normal(size=31 * 40), np.ones(31 * 40), zones.windows
    )
    assert one.influence.shape == (zones.windows.shape[0], 1)


CUBIC, TETRAGONAL = CELLS["m-3m"], CELLS["4/mmm"]


@pytest.mark.parametrize(
    ("plane", "vectors", "message"),
    [
        ("hk0", [(1, 0, 0), (1, 0, 1)], "cannot distinguish 1 0 0 and 1 0 1"),
        ("hk0", [(0, 0, 1)], "cannot distinguish the scale and 0 0 1"),
        ("h k 0.25", [(1, 0, 1)], "does not depend on 1 0 1"),
        ("hk0", [(1, 0, 0), (11, 0, 0)], "cannot distinguish"),  # nine pixels a zone cannot see harmonic 11
    ],
)
def test_vectors_that_the_plane_cannot_see(
    plane: str, vectors: list[tuple[int, int, int]], message: str
) -> None:
    grid = PlaneGrid(TETRAGONAL, parse_plane_name(plane), np.arange(-20, 21) / 10, np.arange(-20, 21) / 10)
    rotations = laue_rotations("4/mmm")
    orbits = orbits_of(vectors, rotations, symmetric_metric(TETRAGONAL, "4/mmm"))
    with pytest.raises(InputError, match=message):
        refine([PlaneData(grid, zones_of(grid, rotations), np.ones(grid.shape), np.ones(grid.shape))], orbits)


def test_more_parameters_than_pixels_too_few_zones_and_no_constant_term() -> None:
    grid = make_grid(CUBIC, "hk0")
    orbits, _, zones = shells_of("m-3m", grid, 12)
    values, weights = np.ones(grid.shape), np.zeros(grid.shape)
    weights[25, :10] = 1
    with pytest.raises(InputError, match="13 parameters but only 10 pixels"):
        refine([PlaneData(grid, zones, values, weights)], orbits)
    weights[25, :10], weights[22:28, 24:30] = 0, 1
    with pytest.raises(
        InputError, match=r"found \d independent zones; expected 3 or more.*--errors-from pixels"
    ):
        refine([PlaneData(grid, zones, values, weights)], orbits[:2])
    with pytest.raises(InputError, match="constant term of the series is"):
        negative = orbit_series(orbits[0], grid) - 1
        refine([PlaneData(grid, zones, negative, np.ones(grid.shape))], orbits[:2])
    with pytest.raises(InputError, match="plane hk0: found NaN"):
        refine([PlaneData(grid, zones, np.full(grid.shape, np.nan), weights)], orbits[:2])


@pytest.mark.parametrize(
    ("value", "uncertainty", "text"),
    [
        (-0.1234, 0.0041, "-0.123(4)"),
        (0.12345, 0.0012, "0.1235(12)"),
        (0.5, 0.0195, "0.50(2)"),
        (0.5, 0.0194, "0.500(19)"),
        (12.3, 0.96, "12.3(10)"),
        (1234.5, 15.2, "1234(15)"),
        (12345.0, 230.0, "12300(200)"),
        (-0.0001, 0.02, "0.00(2)"),
        (-0.15, float("nan"), "-0.1500"),
        (0.0, 0.0, "0.0000"),
        (float("nan"), 0.1, "nan"),
    ],
)
def test_numbers_as_crystallographers_write_them(value: float, uncertainty: float, text: str) -> None:
    assert with_uncertainty(value, uncertainty) == text
