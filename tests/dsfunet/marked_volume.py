"""A small volume in which every value encodes the place of its voxel, and a check of files of it."""

from pathlib import Path

import numpy as np

from dsfunet.io import MeasuredPlane, open_volume, read_plane

H = -2.0 + 0.5 * np.arange(9)
K = -2.5 + 0.5 * np.arange(11)
L = -1.0 + 0.5 * np.arange(5)
AXES = (H, K, L)
CELL = (6.0, 7.0, 8.0, 90.0, 100.0, 90.0)


def volume(h: np.ndarray = H, k: np.ndarray = K, l: np.ndarray = L) -> np.ndarray:  # noqa: E741
    """data[h, k, l] = 100 h + 10 k + l."""
    return np.asarray(100 * h[:, None, None] + 10 * k[:, None] + l)


def edges(centres: np.ndarray) -> np.ndarray:
    """Return the bin edges around evenly spaced centres."""
    step = centres[1] - centres[0]
    return np.append(centres, centres[-1] + step) - step / 2


def check(path: Path, cell: tuple[float, ...] | None = CELL) -> MeasuredPlane:
    """Check three planes and a box of a file of `volume`, and return the plane hk1."""
    for name, fixed, value in (("hk1", 2, 1.0), ("h0l", 1, 0.0), ("-1kl", 0, -1.0)):
        measured = read_plane(path, name)
        grid = measured.grid
        assert grid is not None and str(grid.name) == name
        first, second = (axis for axis in range(3) if axis != fixed)
        hkl = [np.float64(value)] * 3
        hkl[first], hkl[second] = grid.rows[:, None], grid.columns
        np.testing.assert_allclose(measured.intensity, 100 * hkl[0] + 10 * hkl[1] + hkl[2], atol=1e-9)
        for found, expected in ((grid.rows, AXES[first]), (grid.columns, AXES[second])):
            np.testing.assert_allclose(np.sort(found), expected, atol=1e-9)
        if cell is not None:
            np.testing.assert_allclose(grid.cell.parameters, cell, rtol=1e-6)
    with open_volume(path) as found_volume:
        box = (slice(1, 4), slice(0, 2), slice(2, 5))
        h, k, l = (found_volume.axes.coordinates(n)[part] for n, part in enumerate(box))  # noqa: E741
        np.testing.assert_allclose(found_volume.read(box), volume(h, k, l), atol=1e-9)
    return read_plane(path, "hk1")
