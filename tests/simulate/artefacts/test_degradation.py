"""Degraded planes: Poisson counts, background, spots at Bragg positions, and no change when all are off."""

import dataclasses
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from dsfunet.errors import InputError
from dsfunet.physics import Cell, plane_through
from simulate.artefacts.degradation import (
    SignalRecipe,
    add_counting_noise,
    add_spots,
    bragg_pixels,
    degrade,
    smooth_background,
)

OFF = SignalRecipe()
TRICLINIC = Cell(6.0, 7.5, 9.0, 80.0, 101.0, 97.0)
PLANE = plane_through(TRICLINIC, (0, 2), 1.0, 6.0)


def some_scattering() -> npt.NDArray[np.float32]:
    """Smooth, with a minimum of 0 and a maximum of 1."""
    x, y = np.meshgrid(np.arange(256), np.arange(256), indexing="ij")
    wave = np.cos(x / 11.0) * np.cos(y / 17.0 + x / 40.0)
    return ((wave - wave.min()) / np.ptp(wave)).astype(np.float32)


def reference_spots(
    intensity: npt.NDArray[np.float64],
    pixels: npt.NDArray[np.float64],
    strengths: npt.NDArray[np.float64],
    width: float,
) -> npt.NDArray[np.float64]:
    """Evaluate every Gaussian at every pixel."""
    rows, columns = np.indices(intensity.shape)
    for (row, column), strength in zip(pixels, strengths, strict=True):
        spot = strength * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * width**2))
        intensity = intensity * (1 + spot) if strength < 0 else intensity + spot
    return intensity


# --- off


def test_off_is_the_default_and_changes_nothing_and_draws_nothing() -> None:
    rng = np.random.default_rng(0)
    scattering = some_scattering()
    assert not OFF.is_on
    degraded = degrade(scattering, PLANE, TRICLINIC, rng, OFF)
    assert degraded.tobytes() == scattering.tobytes()
    assert rng.bit_generator.state == np.random.default_rng(0).bit_generator.state


@pytest.mark.slow
@pytest.mark.parametrize("name", ["share_background", "share_bragg", "share_counts"])
def test_a_share_is_how_often_it_happens(name: str) -> None:
    recipe = SignalRecipe(**{name: 0.4})
    assert recipe.is_on
    scattering = some_scattering()
    rng = np.random.default_rng(1)
    changed = [
        not np.array_equal(degrade(scattering, PLANE, TRICLINIC, rng, recipe), scattering) for _ in range(60)
    ]
    assert 12 < sum(changed) < 36


@pytest.mark.slow
def test_the_same_stream_gives_the_same_plane_and_all_of_it_stays_in_range() -> None:
    recipe = SignalRecipe(share_background=1.0, share_bragg=1.0, share_counts=1.0)
    scattering = some_scattering()
    before = scattering.copy()
    for seed in range(8):
        first, second = (
            degrade(scattering, PLANE, TRICLINIC, np.random.default_rng(seed), recipe) for _ in range(2)
        )
        assert first.tobytes() == second.tobytes()
        assert first.dtype == np.float32
        assert (first.min(), first.max()) == (0.0, 1.0)
    np.testing.assert_array_equal(scattering, before)


# --- counts


def test_counts_obey_poissons_law() -> None:
    """At each of four intensities mean and variance are the expected counts, and counts are whole numbers."""
    intensity = np.repeat([[0.0, 0.05, 0.3, 1.0]], 256, axis=0).repeat(64, axis=1)
    counts = add_counting_noise(intensity, 200.0, np.random.default_rng(2))
    np.testing.assert_array_equal(counts, np.rint(counts))
    size = 256 * 64
    for number, expected in enumerate((0.0, 10.0, 60.0, 200.0)):
        region = counts[:, 64 * number : 64 * number + 64]
        assert region.mean() == pytest.approx(expected, abs=5 * np.sqrt(expected / size))
        # The variance of a sample variance is mu / n + 2 mu^2 / n.
        assert region.var() == pytest.approx(expected, abs=5 * np.sqrt((expected + 2 * expected**2) / size))


def test_neighbouring_counts_are_independent() -> None:
    noise = add_counting_noise(np.ones((256, 256)), 50.0, np.random.default_rng(3)) - 50.0
    for axis in range(2):
        assert abs(np.mean(noise * np.roll(noise, 1, axis=axis))) < 5 * 50 / 256


def test_counts_are_drawn_uniformly_in_their_logarithm() -> None:
    recipe = SignalRecipe(share_counts=1.0, brightest_counts=(20.0, 2000.0))
    scattering = some_scattering()
    rng = np.random.default_rng(4)
    logarithms = []
    for _ in range(60):
        degraded = degrade(scattering, PLANE, TRICLINIC, rng, recipe)
        # Steps are single counts, so their number is how many the brightest pixel got.
        highest = 1 / np.diff(np.unique(degraded)).min()
        logarithms.append(np.log10(highest))
    assert np.mean(logarithms) == pytest.approx(np.log10(200), abs=0.35)
    assert min(logarithms) < 1.8
    assert max(logarithms) > 2.8


def test_nothing_cannot_be_counted() -> None:
    with pytest.raises(InputError, match=r"^the brightest pixel is 0\.0; expected a positive intensity$"):
        add_counting_noise(np.zeros((4, 4)), 100.0, np.random.default_rng(0))


# --- background


def test_the_background_is_what_was_asked_for() -> None:
    """With ranges of zero width, plane minus scattering equals the constant plus the bump, computed by hand."""
    recipe = SignalRecipe(
        share_background=1.0,
        background_constant=(0.1, 0.1),
        background_height=(0.5, 0.5),
        background_q_inv_angstrom=(1.5, 1.5),
        background_width_inv_angstrom=(0.8, 0.8),
    )
    scattering = some_scattering()
    degraded = degrade(scattering, PLANE, TRICLINIC, np.random.default_rng(0), recipe)
    length = np.linalg.norm(PLANE.q_points(), axis=-1)
    background = 0.1 + 0.5 * np.exp(-((length - 1.5) ** 2) / (2 * 0.8**2))
    np.testing.assert_allclose(
        smooth_background(PLANE, 0.1, 0.5, 1.5, 0.8), background, rtol=1e-9, atol=1e-12
    )
    raw = scattering + background
    np.testing.assert_allclose(raw.min() + degraded * np.ptp(raw), raw, rtol=0, atol=1e-6)


def test_a_constant_background_without_noise_is_normalised_away() -> None:
    recipe = SignalRecipe(share_background=1.0, background_height=(0.0, 0.0))
    degraded = degrade(some_scattering(), PLANE, TRICLINIC, np.random.default_rng(0), recipe)
    np.testing.assert_allclose(degraded, some_scattering(), rtol=0, atol=1e-6)


# --- Bragg residue


@pytest.mark.parametrize(("axes", "offset"), [((0, 2), 1.0), ((1, 0), 0.0), ((2, 1), -3.0)])
def test_bragg_positions_of_an_oblique_cell(axes: tuple[int, int], offset: float) -> None:
    """Every position has integer indices, no two are equal, and none in the plane is missing."""
    plane = plane_through(TRICLINIC, axes, offset, 6.0)
    pixels = bragg_pixels(plane, TRICLINIC, 0.0)
    at = plane.origin + (pixels[:, :1] - 128) * plane.step_u + (pixels[:, 1:] - 128) * plane.step_v
    found = at @ TRICLINIC.direct.T / (2 * np.pi)
    np.testing.assert_allclose(found, np.rint(found), atol=1e-9)
    third = 3 - sum(axes)
    assert set(np.rint(found[:, third])) == {offset}
    expected = set()
    for index in product(range(-20, 21), repeat=2):
        hkl = np.insert(np.array(index), third, int(offset))
        q = hkl @ TRICLINIC.reciprocal - plane.origin
        row, column = (128 + q @ step / (step @ step) for step in (plane.step_u, plane.step_v))
        if 0 <= row <= 255 and 0 <= column <= 255:
            expected.add(tuple(hkl.tolist()))
    assert len(found) == len(expected)
    assert {tuple(np.rint(hkl).astype(int).tolist()) for hkl in found} == expected


def test_rows_of_an_orthogonal_cell_by_hand() -> None:
    """Peaks are 2 pi / 8 1/Angstrom apart and pixels 1/32 of that, so peaks lie at every 32nd pixel from the middle."""
    cell = Cell(8.0, 8.0, 8.0)
    pixels = bragg_pixels(plane_through(cell, (0, 1), 2.0, np.pi), cell, 0.02)
    grid = np.arange(0, 256, 32)
    np.testing.assert_allclose(sorted(pixels.tolist()), list(product(grid, grid)), atol=1e-9)


@pytest.mark.parametrize(
    ("offset", "tolerance", "any_peaks"),
    [(0.5, 0.02, False), (1.03, 0.02, False), (1.01, 0.02, True), (2.0, 0.0, True)],
)
def test_only_integer_layers_have_bragg_peaks(offset: float, tolerance: float, any_peaks: bool) -> None:
    plane = plane_through(TRICLINIC, (0, 1), offset, 6.0)
    assert (len(bragg_pixels(plane, TRICLINIC, tolerance)) > 0) is any_peaks
    recipe = SignalRecipe(share_bragg=1.0, layer_tolerance=tolerance)
    degraded = degrade(some_scattering(), plane, TRICLINIC, np.random.default_rng(0), recipe)
    assert np.array_equal(degraded, some_scattering()) is not any_peaks


def test_a_plane_across_all_axes_is_refused() -> None:
    other = Cell(6.0, 7.5, 9.0)
    with pytest.raises(
        InputError, match=r"^the plane cuts all three axes of the cell; expected one spanned by"
    ):
        bragg_pixels(PLANE, other, 0.02)


def test_spots_agree_with_the_reference() -> None:
    """They agree up to the cut at four widths, at the edge of the plane, and where holes and spots overlap."""
    rng = np.random.default_rng(5)
    pixels = np.concatenate([rng.uniform(0, 63, (30, 2)), [[0.0, 0.0], [63.0, 63.0], [20.2, 63.0]]])
    strengths = rng.uniform(-1, 2, len(pixels))
    intensity = rng.random((64, 64))
    expected = reference_spots(intensity, pixels, strengths, 1.7)
    add_spots(intensity, pixels, strengths, 1.7)
    np.testing.assert_allclose(intensity, expected, rtol=0, atol=5e-3)
    assert (intensity >= 0).all()


def closed(**ranges: tuple[float, float]) -> SignalRecipe:
    """A residue on every position of every plane."""
    settings: dict[str, Any] = {"bragg_spot_share": (1.0, 1.0), "bragg_width_pixels": (1.0, 1.0), **ranges}
    return SignalRecipe(share_bragg=1.0, **settings)


def nearest(pixels: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.intp], ...]:
    rounded = np.rint(pixels).astype(np.intp)
    return rounded[:, 0], rounded[:, 1]


def test_left_over_intensity_is_at_bragg_positions_alone() -> None:
    recipe = closed(bragg_hole_share=(0.0, 0.0), bragg_height=(3.0, 3.0))
    scattering = some_scattering()
    degraded = degrade(scattering, PLANE, TRICLINIC, np.random.default_rng(6), recipe)
    pixels = bragg_pixels(PLANE, TRICLINIC, 0.02)
    rows, columns = np.indices(scattering.shape)
    distance = np.full(scattering.shape, np.inf)
    for row, column in pixels:
        distance = np.minimum(distance, np.hypot(rows - row, columns - column))
    away = distance > 6
    scale = degraded[away].max() / scattering[away].max()
    np.testing.assert_allclose(degraded[away], scale * scattering[away], rtol=0, atol=1e-5)
    added = degraded[nearest(pixels)] / scale - scattering[nearest(pixels)]
    # Uniform to 3, seen up to 0.71 pixels beside the top: between 0.78 and 1 of it.
    assert 0 < added.min() < 0.2
    assert 2.2 < added.max() <= 3.0
    assert added.mean() == pytest.approx(1.5 * 0.92, abs=0.25)


def test_holes_take_away_and_leave_no_negative_intensity() -> None:
    recipe = closed(bragg_hole_share=(1.0, 1.0), bragg_depth=(1.0, 1.0))
    scattering = np.full((256, 256), 0.8, np.float32)
    scattering[0, 0] = 1.0
    degraded = degrade(scattering, PLANE, TRICLINIC, np.random.default_rng(7), recipe)
    assert degraded.min() == 0.0
    assert np.median(degraded) == pytest.approx(0.8, abs=0.03)
    left = degraded[nearest(bragg_pixels(PLANE, TRICLINIC, 0.02))]
    assert left.mean() == pytest.approx(0.8 * (1 - 0.5 * 0.92), abs=0.08)
    assert (degraded <= 1.0).all()


def test_half_the_positions_show_a_residue() -> None:
    recipe = dataclasses.replace(closed(bragg_hole_share=(0.5, 0.5)), bragg_spot_share=(0.5, 0.5))
    flat = np.full((256, 256), 0.5, np.float32)
    flat[0, 0], flat[0, 1] = 0.0, 1.0
    degraded = degrade(flat, PLANE, TRICLINIC, np.random.default_rng(8), recipe)
    pixels = bragg_pixels(PLANE, TRICLINIC, 0.02)
    at = degraded[nearest(pixels)]
    middle = float(np.median(degraded))
    assert np.mean(at > middle + 1e-3) == pytest.approx(0.25, abs=0.08)
    assert np.mean(at < middle - 1e-3) == pytest.approx(0.25, abs=0.08)


# --- what is refused


def test_a_plane_of_another_shape_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"^scattering has shape \(4, 4\); expected that of its plane, \(256"
    ):
        degrade(np.ones((4, 4)), PLANE, TRICLINIC, np.random.default_rng(0), OFF)


@pytest.mark.parametrize(
    "wrong",
    [
        {"share_background": -0.1},
        {"share_bragg": 1.1},
        {"share_counts": float("nan")},
        {"background_constant": (0.2, 0.1)},
        {"background_height": (-0.1, 0.1)},
        {"background_q_inv_angstrom": (0.0, float("inf"))},
        {"background_width_inv_angstrom": (0.0, 1.0)},
        {"bragg_spot_share": (0.0, 1.5)},
        {"bragg_hole_share": (0.5, 0.1)},
        {"bragg_height": (0.0,)},
        {"bragg_depth": (0.0, 1.1)},
        {"bragg_width_pixels": (0.0, 1.0)},
        {"layer_tolerance": 0.5},
        {"brightest_counts": (1.0, 100.0)},
        {"brightest_counts": (100.0, 1e16)},
    ],
)
def test_recipe_checks_itself(wrong: dict[str, Any]) -> None:
    """The message names the field."""
    with pytest.raises(InputError, match=f"^signal recipe {next(iter(wrong))} is"):
        SignalRecipe(**wrong)
