"""Volumes averaged over a Laue class, voxel by voxel, and maps of a part of the zone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsfunet.analysis.pair_distribution import PairDistributionSettings, pair_distribution
from dsfunet.analysis.pair_distribution.grids import make_axes
from dsfunet.analysis.pair_distribution.symmetry import average_equivalents
from dsfunet.errors import InputError
from dsfunet.io import open_volume
from dsfunet.physics import Cell
from dsfunet.physics.symmetry import laue_rotations
from tests.dsfunet.analysis.pair_distribution.volumes import Array, Triple, write_yell

CUBIC, HEXAGONAL = (5.0, 5.0, 5.0, 90.0, 90.0, 90.0), (5.0, 5.0, 7.0, 90.0, 90.0, 120.0)


def average(path: Path, laue: str, cell: Any) -> tuple[Array, Any]:
    with open_volume(path) as volume:
        found = average_equivalents(volume, make_axes(volume, Cell(*cell)), laue, None, Cell(*cell))
        return found.read((slice(None), slice(None), slice(None))), found.axes


@pytest.mark.parametrize(
    ("laue", "cell", "lower", "counts", "steps"),
    [
        ("m-3m", CUBIC, (-0.8, -0.6, 0.0), (8, 6, 5), (0.2, 0.2, 0.2)),
        ("m-3", CUBIC, (-0.5, -0.5, -0.5), (6, 6, 6), (0.2, 0.2, 0.2)),  # 0 lies between voxels
        ("6/mmm", HEXAGONAL, (0.8, -0.4, -0.25), (7, 6, 3), (-0.2, 0.2, 0.25)),
        ("2/m", (5.0, 6.0, 7.0, 90.0, 101.0, 90.0), (-0.4, -0.2, 0.0), (5, 4, 3), (0.2, 0.2, 0.3)),
    ],
)
def test_mean_of_the_measured_equivalents(
    tmp_path: Path, laue: str, cell: Any, lower: Triple, counts: tuple[int, int, int], steps: Triple
) -> None:
    random = np.random.default_rng(4)
    values = random.gamma(2.0, 1.0, counts)
    values[random.random(counts) < 0.2] = np.nan
    found, axes = average(write_yell(tmp_path / "part.h5", values, lower, steps, cell), laue, cell)
    size = np.abs(steps)
    known = {}
    for place in np.ndindex(*counts):
        hkl = np.array(lower) + np.array(steps) * place
        if np.isfinite(values[place]):
            known[tuple(np.rint(2 * hkl / size).astype(int).tolist())] = values[place]
    rotations = [each for each in laue_rotations(laue) if np.linalg.det(each) > 0]
    for place in np.ndindex(*found.shape):
        hkl = np.array([axes.coordinates(i)[n] for i, n in enumerate(place)])
        keys = [tuple(np.rint(2 * (hkl @ r) / size).astype(int).tolist()) for r in rotations]
        expected = [np.float32(known[key]) for key in keys if key in known]
        if expected:
            assert found[place] == pytest.approx(np.mean(expected), rel=1e-5)
        else:
            assert np.isnan(found[place])
    assert np.isfinite(found).sum() > np.isfinite(values).sum()


def test_an_octant_gives_the_whole_map(tmp_path: Path) -> None:
    steps = (0.2, 0.2, 0.2)
    axis = np.arange(-6, 7) * 0.2
    h, k, l = np.meshgrid(axis, axis, axis, indexing="ij")  # noqa: E741
    whole = np.exp(-(h**2 + k**2 + l**2)) * (
        3 + np.cos(2 * np.pi * h) + np.cos(2 * np.pi * k) + np.cos(2 * np.pi * l)
    )
    all_of_it = write_yell(tmp_path / "whole.h5", whole, (-1.2,) * 3, steps, CUBIC)
    octant = write_yell(tmp_path / "octant.h5", whole[6:, 6:, 6:], (0.0,) * 3, steps, CUBIC)
    expected = pair_distribution(all_of_it)
    found = pair_distribution(octant, PairDistributionSettings(laue="m-3m"))
    np.testing.assert_allclose(found.values, expected.values, atol=1e-6 * expected.at_origin)
    assert found.missing[1] == pytest.approx(0, abs=1e-9)
    without = pair_distribution(octant)
    assert without.missing[1] > 0.5


def test_classes_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    values = np.ones((7, 7, 7))
    path = write_yell(tmp_path / "cubic.h5", values, (-0.6, -0.6, -0.9), (0.2, 0.2, 0.3), CUBIC)
    with pytest.raises(InputError, match="do not map the voxels onto each other"):
        pair_distribution(path, PairDistributionSettings(laue="m-3m"))
    with pytest.raises(InputError, match="does not obey Laue class 6/m"):
        pair_distribution(path, PairDistributionSettings(laue="6/m"))
    with pytest.raises(InputError, match="Laue class 'm-4'"):
        PairDistributionSettings(laue="m-4")
    with pytest.raises(InputError, match="found no --laue"):
        PairDistributionSettings(unique_axis="a")
