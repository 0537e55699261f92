"""Background: found from the plane's own floor or scaled from a file, and what is left below zero."""

from pathlib import Path

import numpy as np
import pytest

from dsfunet.cleanup.background import (
    estimate_radial_background,
    replace_below_background,
    scale_file_background,
    subtract_background,
)
from dsfunet.errors import InputError
from dsfunet.physics import Cell, Plane, plane_through
from dsfunet.planes.preprocessing import normalise, spread
from simulate.artefacts.degradation import smooth_background
from tests.dsfunet.cleanup_planes import TETRAGONAL, TRICLINIC, grid

PLANE = plane_through(TETRAGONAL, (0, 1), 0.0, 7.0)


def diffuse(plane: Plane, cell: Cell = TETRAGONAL) -> np.ndarray:
    """A molecule's transform times order that is zero in places: maximum about 1."""
    h, k, _ = np.moveaxis(plane.q_points() @ cell.direct.T / (2 * np.pi), -1, 0)
    order = (1 + np.cos(2 * np.pi * h) * np.cos(2 * np.pi * k)) / 2
    q = plane.q_points()
    form_factor = np.cos(1.1 * q[..., 0] + 0.3 * q[..., 1]) ** 2 * np.exp(-plane.q_squared() / 40)
    return order * form_factor


@pytest.mark.parametrize(
    "background",
    [(0.2, 0.0, 1.0, 1.0), (0.0, 0.3, 0.0, 1.5), (0.1, 0.3, 2.5, 0.7)],
    ids=["constant", "decaying", "ring"],
)
@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_a_smooth_background_is_found_within_a_tenth(
    background: tuple[float, float, float, float], noise: float
) -> None:
    truth = smooth_background(PLANE, *background)
    plane = diffuse(PLANE) + truth
    plane += np.random.default_rng(0).normal(0, noise, plane.shape)
    plane[:, 100:110] = np.nan
    found = estimate_radial_background(plane, PLANE, 0.02).evaluate(PLANE)
    assert np.abs(found - truth).mean() < 0.1 * truth.mean()
    # In the middle the few pixels of a shell may all scatter: there is no floor to see.
    outside = PLANE.q_squared() > 1
    assert np.abs(found - truth)[outside].max() < 0.17 * truth.max()


@pytest.mark.parametrize("seed", range(4))
def test_a_plane_comes_out_closer_to_the_clean_one_in_spread_space(seed: int) -> None:
    rng = np.random.default_rng(seed)
    clean = diffuse(PLANE)
    background = smooth_background(
        PLANE, rng.uniform(0.03, 0.2), rng.uniform(0.05, 0.3), rng.uniform(0, 3), rng.uniform(0.5, 2)
    )
    spoilt = rng.poisson(2000 * (clean + background)).astype(float)
    result, record = subtract_background(spoilt, "radial", PLANE, None, 0.02, None)
    result, settled = replace_below_background(result)
    mask = np.isfinite(result)
    assert mask.mean() > 0.98 and settled is not None and result[mask].min() == 0

    def distance(plane: np.ndarray) -> float:
        shown = normalise(np.nan_to_num(plane))[0]
        return float(np.mean((spread(shown) - spread(normalise(clean)[0]))[mask] ** 2))

    assert distance(result) < 0.35 * distance(spoilt)
    assert record.numbers["share_of_intensity"] == pytest.approx(
        background.sum() / (clean + background).sum(), rel=0.15
    )


def test_scattering_without_background_loses_little() -> None:
    result, _ = subtract_background(diffuse(PLANE), "radial", PLANE, None, 0.02, None)
    assert np.nansum(result) > 0.93 * diffuse(PLANE).sum()


def test_oblique_grids_have_their_own_lengths_of_q() -> None:
    where = grid(TRICLINIC, "hk1", 201, 181, 6.0)
    truth = smooth_background(where.plane, 0.1, 0.3, 2.0, 0.8)
    plane = diffuse(where.plane, TRICLINIC) + truth
    found = estimate_radial_background(plane, where.plane, 0.02).evaluate(where.plane)
    assert np.abs(found - truth).mean() < 0.1 * truth.mean()


def test_a_file_is_scaled_as_far_as_the_plane_allows_or_as_given(tmp_path: Path) -> None:
    truth = smooth_background(PLANE, 0.1, 0.3, 2.0, 0.8)
    rng = np.random.default_rng(1)
    np.save(tmp_path / "empty.npy", rng.poisson(5000 * truth).astype(float))
    spoilt = rng.poisson(1000 * (diffuse(PLANE) + truth)).astype(float)
    background, scale = scale_file_background(spoilt, tmp_path / "empty.npy", None, None, 0.05)
    assert scale == pytest.approx(0.2, rel=0.05)
    assert np.abs(background - 1000 * truth).mean() < 0.1 * 1000 * truth.mean()
    result, record = subtract_background(spoilt, tmp_path / "empty.npy", PLANE, None, 0.05, 0.15)
    assert record.numbers["scale"] == 0.15 and record.numbers["scale_fitted"] == 0
    assert "0.15 times empty.npy" in record.sentence
    assert result == pytest.approx(spoilt - 0.15 * np.load(tmp_path / "empty.npy"))


def test_a_constant_is_subtracted_and_recorded() -> None:
    result, record = subtract_background(np.array([[5.0, np.nan], [2.0, 1.0]]), 2.0, None, None, 0.05, None)
    assert np.array_equal(result, [[3, np.nan], [0, -1]], equal_nan=True)
    assert "a constant 2" in record.sentence and record.numbers["share_of_intensity"] == 0.75


def test_below_zero_noise_becomes_zero_and_the_rest_missing() -> None:
    rng = np.random.default_rng(0)
    truth = np.zeros((128, 128))
    truth[:, 64:] = 100.0
    plane = truth + rng.normal(0, 2.0, truth.shape)
    plane[10:20, 5:15] = -60.0
    result, record = replace_below_background(plane)
    assert record is not None
    assert np.isnan(result[10:20, 5:15]).all() and 100 <= int(record.numbers["pixels_missing"] or 0) < 105
    dark = np.isfinite(result[:, :60])
    # E max(0, x) of a Gaussian is 0.40 deviations; of its positive half alone it would be 0.80.
    assert result[:, :60][dark].mean() == pytest.approx(0.40 * 2.0, rel=0.05)
    assert 6.0 < float(record.numbers["limit"] or 0) < 10.0
    assert replace_below_background(np.ones((4, 4)))[1] is None


def test_backgrounds_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "flat.npy", np.zeros((256, 256)))
    plane = diffuse(PLANE)
    with pytest.raises(InputError, match="the background is nowhere positive on this plane"):
        subtract_background(plane, tmp_path / "flat.npy", PLANE, None, 0.05, None)
    with pytest.raises(InputError, match="radial: the plane has no axes"):
        subtract_background(plane, "radial", None, None, 0.05, None)
    with pytest.raises(InputError, match="measured pixels; expected 480 or more"):
        estimate_radial_background(
            np.where(np.arange(65536).reshape(256, 256) < 400, plane, np.nan), PLANE, 0.05
        )
