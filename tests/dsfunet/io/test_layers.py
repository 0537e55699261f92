"""Layers between two of a grid, and the numbers in their names."""

from pathlib import Path

import h5py
import numpy as np

from dsfunet.inspection.describe import inspect
from dsfunet.io import read_plane


def test_a_layer_between_two_of_the_grid_is_interpolated(tmp_path: Path) -> None:
    """A grid of 0.08 has no layer at l = 1; values linear in l are interpolated exactly."""
    l = -2 + 0.08 * np.arange(51)  # noqa: E741
    values = 100 + 10 * l + np.arange(9.0)[:, None, None] + np.zeros((9, 11, 1))
    values[2, 3, 37], values[4, 5, 37:39] = -1.0, np.nan
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["format"], file["is_direct"], file["data"] = "Yell 1.0", False, values
        file["lower_limits"], file["step_sizes"] = [-2.0, -2.5, -2], [0.5, 0.5, 0.08]
        file["unit_cell"] = [5.0, 6, 7, 90, 90, 90]
    plane = read_plane(tmp_path / "v.h5", "hk1")
    assert plane.grid is not None and str(plane.grid.name) == "hk1" and plane.interpolated
    expected = np.repeat(110 + np.arange(9.0)[:, None], 11, axis=1)
    expected[2, 3], expected[4, 5] = 110.4 + 2, np.nan
    np.testing.assert_allclose(plane.intensity, expected)
    note = "plane hk1: it lies between the layers l = 0.96 and 1.04, so intensities are interpolated"
    assert note in plane.notes
    exact = read_plane(tmp_path / "v.h5", "h k 1.04")
    assert not exact.interpolated and str(exact.grid.name) == "h k 1.04"  # type: ignore[union-attr]
    with h5py.File(tmp_path / "v.h5", "a") as file:
        file["lower_limits"][...], file["step_sizes"][...] = [-2, -2.5, -2.0000001], [0.5, 0.5, 0.07999999]
    title = read_plane(tmp_path / "v.h5", "h k 1.0399").grid.name.title  # type: ignore[union-attr]
    assert title in ("h k 1.0399", "h k 1.04")


def test_numbers_in_names_are_rounded(tmp_path: Path) -> None:
    """A coarse grid whose float32 limits give 1.0399998873472214 for a layer."""
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["format"], file["is_direct"], file["data"] = "Yell 1.0", False, np.ones((9, 11, 3))
        file["lower_limits"], file["step_sizes"] = [-2.0, -2.5, 0.5399998873472214], [0.5, 0.5, 0.5]
        file["unit_cell"] = [5.0, 6, 7, 90, 90, 90]
    grid = read_plane(tmp_path / "v.h5", "hk1").grid
    assert grid is not None and grid.name.title == "h k 1.04" and str(grid.name) == "h k 1.04"
    assert dict(inspect(tmp_path / "v.h5", "hk1").lines)["plane"].startswith("plane h k 1.04:")
