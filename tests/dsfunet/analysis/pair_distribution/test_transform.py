"""Transforms of volumes against direct sums, on oblique cells, with holes, and from any order of voxels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsfunet.analysis.pair_distribution import PairDistributionSettings, pair_distribution
from dsfunet.analysis.pair_distribution.windows import peak_shape
from dsfunet.errors import InputError
from tests.dsfunet.analysis.pair_distribution.volumes import (
    OBLIQUE,
    Array,
    Triple,
    direct_vectors,
    sum_directly,
    write_nxdata,
    write_yell,
)

# First voxel, numbers and steps: 0 between voxels along h; only l >= 0; descending h; uneven steps.
GRIDS: list[tuple[Triple, tuple[int, int, int], Triple]] = [
    ((-1.5, -1.2, -1.0), (16, 13, 11), (0.2, 0.2, 0.2)),
    ((-1.5, -1.2, 0.0), (13, 13, 8), (0.25, 0.2, 0.2)),
    ((1.5, -1.2, -1.0), (16, 13, 9), (-0.2, 0.2, 0.25)),
]
OPTIONS: list[dict[str, Any]] = [
    {},
    {"resolution": "0.9"},
    {"resolution": "0.06 cells", "extent": "5 4 3"},
    {"resolution": "2.4"},
]


def random_volume(counts: tuple[int, int, int], seed: int = 3) -> Array:
    random = np.random.default_rng(seed)
    values = random.gamma(2.0, 1.0, counts)
    values[random.random(counts) < 0.1] = np.nan
    return values


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize(("lower", "counts", "steps"), GRIDS, ids=str)
def test_map_is_the_direct_sum(
    tmp_path: Path, lower: Triple, counts: tuple[int, int, int], steps: Triple, options: dict[str, Any]
) -> None:
    values = random_volume(counts)
    path = write_yell(tmp_path / "volume.h5", values, lower, steps)
    found = pair_distribution(path, PairDistributionSettings(**options))
    axes = [first + step * np.arange(n) for first, step, n in zip(lower, steps, counts, strict=True)]
    for number, axis in enumerate(found.axes):
        outside = np.abs(axes[number]) > axis.limit + 1e-9  # left out by a coarse resolution
        np.moveaxis(values, number, 0)[outside] = np.nan
    random = np.random.default_rng(0)
    picks = tuple(random.integers(0, n, 30) for n in found.values.shape)
    places = np.stack([found.coordinates(i)[pick] for i, pick in enumerate(picks)], axis=-1)
    expected = sum_directly(values, lower, steps, places, found.window.radius_inv_angstrom)
    np.testing.assert_allclose(found.values[picks], expected, atol=1e-6 * found.at_origin)
    assert all(n % 2 == 1 for n in found.values.shape)
    assert found.values.argmax() == found.values.size // 2


def test_voxels_and_extent_are_at_most_what_was_asked(tmp_path: Path) -> None:
    lower, counts, steps = GRIDS[1]
    path = write_yell(tmp_path / "volume.h5", random_volume(counts), lower, steps)
    found = pair_distribution(path, PairDistributionSettings(resolution="0.3", extent="1.5 cells"))
    sizes = np.array([axis.real_step for axis in found.axes]) * OBLIQUE[:3]
    assert np.all(sizes <= 0.3 + 1e-9) and np.all(sizes > 0.25)
    for number in range(3):
        assert 1.5 - found.axes[number].real_step < found.coordinates(number)[-1] <= 1.5 + 1e-9


def test_half_of_a_volume_gives_the_whole_map(tmp_path: Path) -> None:
    half = random_volume((13, 13, 7))
    half[~np.isfinite(half)] = 1.0
    half[..., 0] = (half[..., 0] + half[::-1, ::-1, 0]) / 2  # the plane l = 0 has its own mates
    whole = np.concatenate([half[::-1, ::-1, :0:-1], half], axis=2)
    steps = (0.2, 0.2, 0.2)
    first = pair_distribution(write_yell(tmp_path / "half.h5", half, (-1.2, -1.2, 0.0), steps))
    second = pair_distribution(write_yell(tmp_path / "whole.h5", whole, (-1.2, -1.2, -1.2), steps))
    np.testing.assert_allclose(first.values, second.values, atol=1e-6 * second.at_origin)
    assert 0.3 < first.missing[0] < 0.5 and first.missing[1] == pytest.approx(0, abs=1e-9)
    assert second.missing[0] == pytest.approx(0, abs=1e-9)


def test_order_on_disk_does_not_matter(tmp_path: Path) -> None:
    lower, counts, steps = GRIDS[1]
    values = random_volume(counts)
    first = pair_distribution(write_yell(tmp_path / "volume.h5", values, lower, steps))
    second = pair_distribution(write_nxdata(tmp_path / "volume.nxs", values, lower, steps))
    np.testing.assert_allclose(first.values, second.values, atol=1e-6 * first.at_origin)


def test_missing_voxels_scatter_nothing_and_are_counted(tmp_path: Path) -> None:
    values = random_volume((13, 13, 13))
    hole = ~np.isfinite(values)
    steps, lower = (0.2, 0.2, 0.2), (-1.2, -1.2, -1.2)
    settings = PairDistributionSettings(window="none")
    found = pair_distribution(write_yell(tmp_path / "holes.h5", values, lower, steps), settings)
    lost = hole & hole[::-1, ::-1, ::-1]
    assert found.missing == pytest.approx((hole.mean(), lost.mean()))
    mates = np.where(hole, values[::-1, ::-1, ::-1], values)
    complete = np.nan_to_num(mates)
    same = pair_distribution(write_yell(tmp_path / "zeros.h5", complete, lower, steps), settings)
    np.testing.assert_allclose(found.values, same.values, atol=1e-6 * same.at_origin)


def test_many_empty_voxels_are_noted(tmp_path: Path) -> None:
    values = np.ones((13, 13, 13))
    values[3:, 3:, 3:] = np.nan
    path = write_yell(tmp_path / "octants.h5", values, (-1.2,) * 3, (0.2,) * 3)
    found = pair_distribution(path)
    assert any("of the window is empty" in note for note in found.notes)


@pytest.mark.parametrize(
    ("window", "shape"), [("hann", "ellipsoid"), ("blackman", "sphere"), ("sphere", "sphere")]
)
def test_windows_have_their_values(tmp_path: Path, window: Any, shape: Any) -> None:
    """The map of an intensity of 1 in one voxel and its mate is a cosine as high as the window there."""
    formulas = {
        "hann": lambda s: np.cos(np.pi * s / 2) ** 2,
        "blackman": lambda s: 0.42 + 0.5 * np.cos(np.pi * s) + 0.08 * np.cos(2 * np.pi * s),
        "sphere": lambda s: 1.0,
    }
    steps = (0.2, 0.2, 0.2)
    limits = np.array([1.2, 1.2, 1.2])
    direct = direct_vectors(OBLIQUE)
    for voxel in ((7, 6, 6), (4, 8, 7), (6, 6, 12)):
        values = np.zeros((13, 13, 13))
        values[voxel] = 1.0
        path = write_yell(tmp_path / "voxel.h5", values, (-1.2,) * 3, steps)
        found = pair_distribution(path, PairDistributionSettings(window=window, shape=shape))
        hkl = (np.array(voxel) - 6) * 0.2
        if shape == "ellipsoid":
            s = float(np.linalg.norm(hkl / limits))
        else:
            q = 2 * np.pi * float(np.linalg.norm(hkl @ np.linalg.inv(direct).T))
            s = q / float((2 * np.pi * limits / np.linalg.norm(direct, axis=1)).min())
        height = formulas[window](s) if s <= 1 else 0.0
        expected = height * 0.2**3 / np.linalg.det(direct)
        assert found.at_origin == pytest.approx(expected, rel=1e-5, abs=1e-12)


def test_peak_of_a_sharp_sphere_is_known() -> None:
    # 3 j1(x) / x is 1/2 at x = 2.498 and has its minimum, -0.0862, at x = 5.763.
    width, ripple = peak_shape("sphere")
    assert width == pytest.approx(2 * 2.498, abs=0.01) and ripple == pytest.approx(0.0862, abs=0.001)
    assert peak_shape("gauss")[1] < 0.002 < peak_shape("hann")[1]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"radius_inv_angstrom": 2.0, "window": "none"}, "--radius and --window none: found both"),
        ({"radius_inv_angstrom": -1.0}, "--radius is -1; expected"),
        ({"window": "square"}, "--window is square; expected gauss"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        PairDistributionSettings(**settings)
