"""Volumes of rspace3d: straight ones, and the sheared rasters that oblique layers of CrysAlisPro make."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from dsfunet.errors import InputError
from dsfunet.io import open_volume, read_plane
from dsfunet.physics import Cell
from tests.dsfunet.marked_volume import AXES, CELL, H, K, L, check, volume

WAVELENGTH = 0.7
HEXAGONAL = (6.0, 6.0, 8.0, 90.0, 90.0, 120.0)


def ub_matrix(cell: tuple[float, ...]) -> np.ndarray:
    """CrysAlisPro's UB: wavelength times the reciprocal vectors, without 2 pi, as columns."""
    return np.asarray(WAVELENGTH * Cell(*cell).reciprocal.T / (2 * np.pi))


def write(path: Path, data: np.ndarray, cell: tuple[float, ...] = CELL, **changes: Any) -> Path:
    content: dict[str, Any] = {
        "data": data.astype(np.float32), "H": H, "K": K, "L": L, "UB": ub_matrix(cell), **changes,
    }  # fmt: skip
    with h5py.File(path, "w") as file:
        for name, value in content.items():
            if value is not None:
                file.create_dataset(name, data=value, compression="gzip")
        file.attrs.update({"plane_type": "HK", "wavelength": WAVELENGTH, "grid_kind": "unwarp_raster"})
        for name, value in zip(("a", "b", "c", "alpha", "beta", "gamma"), cell, strict=True):
            file.attrs[f"cell_{name}"] = value
    return path


def test_a_straight_volume(tmp_path: Path) -> None:
    """a* and b* of a monoclinic cell, b unique, are at right angles, so HK rasters are not sheared."""
    path = write(tmp_path / "v.h5", volume())
    measured = check(path)
    assert measured.notes == ("array order in the file: [h, k, l]",)
    with open_volume(path) as found:
        assert found.layout == "rspace3d" and found.details["wavelength"] == "0.7 Angstrom"


def test_the_cell_from_the_matrix_and_the_wavelength(tmp_path: Path) -> None:
    path = write(tmp_path / "v.h5", volume())
    with h5py.File(path, "a") as file:
        del file.attrs["cell_gamma"]
    check(path)


def test_voxels_without_counts(tmp_path: Path) -> None:
    counts = np.ones((9, 11, 5), np.int32)
    counts[2, 3, 4] = 0
    intensity = read_plane(write(tmp_path / "v.h5", volume(), counts=counts), "hk1").intensity
    assert np.isnan(intensity[2, 3]) and np.isnan(intensity).sum() == 1


@pytest.mark.parametrize("by", ["UB", "M_inv"])
def test_a_sheared_raster_of_a_hexagonal_cell(tmp_path: Path, by: str) -> None:
    """h = H[i] - K[j] / 2, because a* and b* are at 60 degrees; a value linear in h is interpolated exactly."""
    h, k, l = np.meshgrid(*AXES, indexing="ij")  # noqa: E741
    sheared = 100 * (h - 0.5 * k) + 10 * k + l
    # Pixel to index for unit steps along a* and across it: -1/2 is -tan(30 degrees) cos(30 degrees).
    changes: dict[str, Any] = {}
    if by == "M_inv":
        changes = {"M_inv": np.array([[6.0, -3.0], [0.0, 6.0]]), "UB": None}
    path = write(tmp_path / "v.h5", sheared, HEXAGONAL, **changes)
    measured = read_plane(path, "hk1")
    grid = measured.grid
    assert grid is not None and any(
        "h = H -0.5 k, so intensities are interpolated along h" in n for n in measured.notes
    )
    # K from -2.5 to 2.5 moves rows by 1.25 at the most, 2.5 steps: 3 more rows on either side.
    np.testing.assert_allclose(grid.rows, -3.5 + 0.5 * np.arange(15))
    expected = 100 * grid.rows[:, None] + 10 * grid.columns + 1
    known = np.isfinite(measured.intensity)
    # Half a pixel beyond the last voxel centre belongs to the last voxel, and so takes its value.
    inside = np.abs(grid.rows[:, None] + 0.5 * grid.columns) <= 2 + 1e-9
    np.testing.assert_allclose(measured.intensity[inside], expected[inside], rtol=1e-5)
    assert not known[np.abs(grid.rows[:, None] + 0.5 * grid.columns) > 2.25 + 1e-9].any()
    with open_volume(path) as found:
        box = found.read((slice(4, 9), slice(2, 7), slice(4, 5)))
    np.testing.assert_allclose(box[:, :, 0], measured.intensity[4:9, 2:7])


def test_other_planes_of_a_sheared_raster(tmp_path: Path) -> None:
    h, k, l = np.meshgrid(*AXES, indexing="ij")  # noqa: E741
    sheared = 100 * (h - 0.5 * k) + 10 * k + l
    path = write(tmp_path / "v.h5", sheared, HEXAGONAL)
    kl = read_plane(path, "1kl")
    assert kl.grid is not None
    inside = np.abs(1 + 0.5 * kl.grid.rows) <= 2
    expected = 100 + 10 * kl.grid.rows[:, None] + kl.grid.columns
    np.testing.assert_allclose(kl.intensity[inside], expected[inside], rtol=1e-5)


def test_a_hole_in_a_sheared_raster_stays_a_hole(tmp_path: Path) -> None:
    """Where two voxels weigh alike and one is missing, the other one is taken; a missing voxel itself is missing."""
    data = np.ones((9, 11, 5))
    data[4, 5] = np.nan  # k = 0, where nothing moves
    data[4, 6] = np.nan  # k = 0.5, moved by -0.25, half a step
    intensity = read_plane(write(tmp_path / "v.h5", data, HEXAGONAL), "hk1").intensity
    assert np.isnan(intensity[4 + 3, 5]) and np.isfinite(intensity[3 + 3, 5])
    assert (intensity[np.isfinite(intensity)] == 1.0).all()


def test_a_regular_grid_is_not_sheared(tmp_path: Path) -> None:
    path = write(tmp_path / "v.h5", volume(), HEXAGONAL)
    with h5py.File(path, "a") as file:
        file.attrs["grid_kind"] = "hkl_regular"
    check(path, HEXAGONAL)


def test_coordinates_of_every_voxel(tmp_path: Path) -> None:
    h, k, l = np.meshgrid(*AXES, indexing="ij")  # noqa: E741
    check(write(tmp_path / "v.h5", volume(), H=h, K=k, L=l))
    with pytest.raises(InputError, match="H changes along dimension 1; expected a grid of h, k, l"):
        read_plane(write(tmp_path / "w.h5", volume(), H=h + 0.1 * k, K=k, L=l), "hk0")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"H": H[:4]}, "axis H has 4 values; expected 9 centres or 10 bin edges"),
        ({"K": K**3}, "axis K from .* is not evenly spaced; expected equal steps"),
        ({"counts": np.ones(3)}, r"counts has shape \(3,\); expected \(9, 11, 5\)"),
        (
            {"M_inv": np.array([[1.0, 1e9], [0, 1]])},
            "M_inv or UB gives a shear of 1000000000.0; expected a finite shear",
        ),
        ({"M_inv": np.zeros((2, 2))}, "M_inv or UB gives a shear of nan; expected a finite shear"),
    ],
)
def test_contradictions_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_plane(write(tmp_path / "v.h5", volume(), **changes), "hk0")
