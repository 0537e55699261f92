"""Detector layouts, the scan kernel compared with its reference and with formulas, and random masks."""

from dataclasses import replace

import numpy as np
import pytest

from dsfunet._typing import Array
from simulate.artefacts.detectors import DETECTORS, Detector
from simulate.artefacts.masks import MaskRecipe, draw_geometry, draw_mask
from simulate.artefacts.rotation_scan import ScanGeometry, measured_mask
from tests import reference_artefacts

X, Y, Z = np.eye(3)
# One seamless detector so large that it sees all that is scattered forwards.
HUGE = Detector(1, 1, 10**6, 10**6, 0, 0, 1.0)


def plane(
    q_max_inv_angstrom: float, pixels: int, offset: float = 0.0
) -> tuple[Array, Array, Array, tuple[int, int]]:
    """A square plane normal to z: arguments of `measured_mask`."""
    step = 2 * q_max_inv_angstrom / pixels
    return offset * Z, step * X, step * Y, (pixels, pixels)


def q_points(origin: Array, step_u: Array, step_v: Array, shape: tuple[int, int]) -> Array:
    """Q of every pixel, shape (n, m, 3)."""
    i, j = np.indices(shape)
    return origin + (i - shape[0] // 2)[..., None] * step_u + (j - shape[1] // 2)[..., None] * step_v


@pytest.mark.parametrize(
    ("name", "pixels"),
    [("pilatus_2m", (1475, 1679)), ("pilatus_6m", (2463, 2527)), ("eiger2_4m", (2068, 2162))],
)
def test_modules_and_gaps_add_up_to_the_published_image(name: str, pixels: tuple[int, int]) -> None:
    detector = DETECTORS[name]
    assert detector.pixels == pixels
    assert detector.size_mm == pytest.approx((pixels[0] * detector.pixel_mm, pixels[1] * detector.pixel_mm))


@pytest.mark.parametrize("seed", range(8))
def test_kernel_agrees_with_the_reference(seed: int) -> None:
    rng = np.random.default_rng(seed)
    recipe = MaskRecipe(
        laue_symmetries=("none", "-1", "2/m"),
        share_swung=0.5,
        share_arm=0.5,
        share_sector=0.5,
        share_dead_modules=0.5,
    )
    where = plane(7.0, 32, offset=0.6)
    geometry = draw_geometry(rng, 7.0, recipe)
    fast = measured_mask(*where, geometry)
    slow = reference_artefacts.measured_mask(*where, geometry)
    # Only a crossing at the very edge of the blind region, which the steps of the reference miss, may differ.
    assert np.mean(fast != slow) < 0.01
    assert 0.05 < fast.mean() < 1.0


def test_full_sweep_without_gaps_misses_only_the_blind_region() -> None:
    where = plane(8.0, 128, offset=0.5)
    geometry = ScanGeometry(HUGE, 0.7, 1.0, np.eye(3))
    q = q_points(*where)
    length = np.linalg.norm(q, axis=-1)
    wave_number = 2 * np.pi / 0.7
    # The spindle is x: a point is blind when it lies nearer to the spindle than theta, |Q| = 2 k sin(theta).
    angle_to_spindle = np.arccos(np.clip(np.abs(q[..., 0]) / length, 0, 1))
    seen = angle_to_spindle >= np.arcsin(length / (2 * wave_number))
    assert 0.02 < 1 - seen.mean() < 0.3
    np.testing.assert_array_equal(measured_mask(*where, geometry), seen)


def test_detector_edge_limits_the_angle_of_scattering() -> None:
    where = plane(8.0, 128)
    wavelength, distance = 0.6, 200.0
    geometry = ScanGeometry(DETECTORS["square_panel"], wavelength, distance, np.array([Z, X, Y]))
    length = np.linalg.norm(q_points(*where), axis=-1)
    two_theta = 2 * np.arcsin(length * wavelength / (4 * np.pi))
    measured = measured_mask(*where, geometry)
    half_side = DETECTORS["square_panel"].size_mm[0] / 2
    # The plane is normal to the spindle, so every beam leaves in the vertical plane through the primary beam.
    np.testing.assert_array_equal(measured, distance * np.tan(two_theta) < half_side)
    assert 0.2 < measured.mean() < 0.9


def test_half_turn_and_inversion_see_what_a_full_turn_sees() -> None:
    where = plane(8.0, 64)
    setting = draw_geometry(np.random.default_rng(0), 8.0, MaskRecipe()).setting
    full = ScanGeometry(HUGE, 0.7, 1.0, setting)
    half_with_mates = replace(full, sweep_degrees=180.0, laue_symmetry="-1")
    np.testing.assert_array_equal(measured_mask(*where, half_with_mates), measured_mask(*where, full))


def test_a_short_sweep_leaves_wedges() -> None:
    geometry = ScanGeometry(HUGE, 0.7, 1.0, np.array([Z, X, Y]), sweep_degrees=70.0)
    where = plane(8.0, 256)
    disc = np.linalg.norm(q_points(*where), axis=-1) < 8.0
    # Turned about its own normal, every point of the plane crosses the sphere at two angles more than 70
    # degrees apart, so on every circle the sweep catches 2 x 70 of 360 degrees.
    assert measured_mask(*where, geometry)[disc].mean() == pytest.approx(140 / 360, abs=0.001)


def test_beam_stop_hides_small_q_and_the_cutoff_large() -> None:
    where = plane(8.0, 128)
    wave_number, setting = 2 * np.pi / 0.7, np.array([Z, X, Y])
    geometry = ScanGeometry(HUGE, 0.7, 1.0, setting, beam_stop_degrees=5.0, q_limit_inv_angstrom=7.0)
    length = np.linalg.norm(q_points(*where), axis=-1)
    expected = (length >= 2 * wave_number * np.sin(np.radians(2.5))) & (length <= 7.0)
    np.testing.assert_array_equal(measured_mask(*where, geometry), expected)


def test_a_dead_module_only_takes_away() -> None:
    where = plane(7.0, 128)
    setting = draw_geometry(np.random.default_rng(3), 7.0, MaskRecipe()).setting
    whole = ScanGeometry(DETECTORS["pilatus_2m"], 0.6, 120.0, setting, 150.0)
    before = measured_mask(*where, whole)
    after = measured_mask(*where, replace(whole, dead_modules=((0, 2), (0, 5))))
    assert (before & ~after).sum() > 50
    assert not (after & ~before).any()


def test_masks_keep_to_the_bounds_differ_and_repeat() -> None:
    where = plane(7.0, 256)
    recipe = MaskRecipe(share_unmasked=0.0)
    masks = [draw_mask(np.random.default_rng(seed), *where, recipe) for seed in range(40)]
    missing = np.array([1 - mask.mean() for mask in masks])
    assert ((missing >= 0.07) & (missing <= 0.55)).all()
    assert missing.std() > 0.08
    assert len({mask.tobytes() for mask in masks}) == 40
    np.testing.assert_array_equal(masks[5], draw_mask(np.random.default_rng(5), *where, recipe))


def test_share_of_unmasked_planes() -> None:
    rng = np.random.default_rng(0)
    recipe = MaskRecipe(share_unmasked=0.3)
    whole = sum(bool(draw_mask(rng, *plane(7.0, 32), recipe).all()) for _ in range(400))
    assert whole == pytest.approx(120, abs=4 * np.sqrt(400 * 0.3 * 0.7))


def test_unreachable_bounds_give_the_nearest_attempt() -> None:
    where = plane(7.0, 32)
    narrow = MaskRecipe(share_unmasked=0.0, missing_fraction=(0.9999, 1.0), max_attempts=20)
    nearest = draw_mask(np.random.default_rng(1), *where, narrow)
    first = draw_mask(np.random.default_rng(1), *where, replace(narrow, max_attempts=1))
    assert 0 < nearest.mean() < first.mean()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"detectors": ("pilatus_9m",)}, "detectors is .*pilatus_9m.*expected at least one of"),
        ({"laue_symmetries": ()}, "laue_symmetries is"),
        ({"wavelength_angstrom": (0.0, 0.8)}, "wavelength_angstrom is"),
        ({"sweep_degrees": (90.0, 400.0)}, "sweep_degrees is .*400"),
        ({"missing_fraction": (0.5, 0.1)}, "missing_fraction is"),
        ({"share_unmasked": 1.5}, "share_unmasked is 1.5; expected a share"),
        ({"max_attempts": 0}, "max_attempts is 0"),
    ],
)
def test_bad_recipes_are_refused_in_one_sentence(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MaskRecipe(**settings)  # type: ignore[arg-type]


def test_bad_detectors_and_scans_are_refused() -> None:
    with pytest.raises(ValueError, match="gap_width is -1; expected an integer of at least 0"):
        Detector(1, 1, 10, 10, -1, 0, 0.1)
    with pytest.raises(ValueError, match="pixel_mm is 0"):
        Detector(1, 1, 10, 10, 0, 0, 0.0)
    scan = ScanGeometry(DETECTORS["eiger2_4m"], 0.7, 100.0, np.eye(3))
    with pytest.raises(ValueError, match="distance_mm is -5"):
        replace(scan, distance_mm=-5.0)
    with pytest.raises(ValueError, match="laue_symmetry is '4/m'"):
        replace(scan, laue_symmetry="4/m")
    with pytest.raises(ValueError, match=r"dead module is \(2, 0\)"):
        replace(scan, dead_modules=((2, 0),))
