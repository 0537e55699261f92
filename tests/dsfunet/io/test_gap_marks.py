"""Values that mark gaps: the largest ones of integer types, held by many pixels."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from dsfunet.inspection.describe import inspect
from dsfunet.io import read_plane
from dsfunet.physics import Cell


def counts(shape: tuple[int, ...] = (41, 51)) -> np.ndarray:
    return np.asarray(np.random.default_rng(3).poisson(300, shape))


def yell(path: Path, values: np.ndarray) -> Path:
    shape = np.array(values.shape)
    with h5py.File(path, "w") as file:
        file["format"], file["is_direct"], file["data"] = "Yell 1.0", False, values
        file["lower_limits"], file["step_sizes"] = -0.05 * (shape // 2), np.full(3, 0.05)
        file["unit_cell"] = [5.0, 6, 7, 90, 90, 90]
    return path


@pytest.mark.parametrize(
    ("kind", "mark"),
    [
        ("u4", 2**32 - 1),
        ("u4", 2**32 - 2),
        ("i4", 2**31 - 1),
        ("u8", 2**64 - 1),
        ("i8", 2**63 - 1),
        ("u2", 65535),
        ("u2", 65534),
        ("i2", 32767),
        ("f4", 2.0**32 - 1),
        ("f4", 65535.0),
        ("f8", 2.0**32 - 1),
        ("u1", 255),
        ("i1", 127),
        ("f4", 1e20),
        ("f8", 999999999.0),
        ("f4", 9.969209968386869e36),
        ("f4", float(np.finfo("f4").max)),
    ],
)
def test_marks_of_gaps_are_missing_with_a_note(tmp_path: Path, kind: str, mark: float) -> None:
    truth = counts() // (4 if kind[1] == "1" else 1)
    values = truth.astype(kind)
    values[10:14] = mark
    path = yell(tmp_path / "a.h5", values[:, :, None])
    plane = read_plane(path)
    assert np.isnan(plane.intensity[10:14]).all()
    np.testing.assert_array_equal(
        np.delete(plane.intensity, np.s_[10:14], 0), np.delete(truth, np.s_[10:14], 0)
    )
    assert any("204 pixels hold" in note and "count as missing" in note for note in plane.notes)
    lines = inspect(path).lines
    assert any(label == "note" and "marks gaps" in text for label, text in lines)
    assert dict(lines)["missing"].startswith("9.8 %")


def test_two_marks_of_dectris(tmp_path: Path) -> None:
    values = counts().astype("u4")
    values[5], values[7, 3] = 2**32 - 1, 2**32 - 2
    plane = read_plane(yell(tmp_path / "a.h5", values[:, :, None]))
    assert np.isnan(plane.intensity).sum() == 52
    assert [note.split(",")[0] for note in plane.notes][-2:] == [
        "1 pixel holds 4294967294",
        "51 pixels hold 4294967295",
    ]


def test_marks_are_not_mixed_into_interpolated_planes(tmp_path: Path) -> None:
    values = np.full((41, 41, 41), 300, "u4")
    values[::2, 5] = 2**32 - 1
    values[0, 0, 0] = 299
    path = yell(tmp_path / "a.h5", values)
    for name in ("hhl", "[1 0 0] [0 1 0.3]", "h k 0.523"):
        plane = read_plane(path, name)
        assert np.nanmax(plane.intensity) <= 300 + 1e-9
        assert any("marks gaps" in note for note in plane.notes)


def test_bright_pixels_are_kept(tmp_path: Path) -> None:
    """A plane that was scaled to 16 bits has one pixel at 65535; a mask has two values."""
    scaled = (counts() / counts().max() * 65535).astype("u2")
    plane = read_plane(yell(tmp_path / "a.h5", scaled[:, :, None]))
    assert np.isfinite(plane.intensity).all()
    mask = np.where(counts() > 300, 65535, 0).astype("u2")
    assert np.isfinite(read_plane(yell(tmp_path / "b.h5", mask[:, :, None])).intensity).all()


def test_marks_in_pictures(tmp_path: Path) -> None:
    values = counts((256, 256)).astype("u2")
    values[:, 100:104] = 65535
    Image.fromarray(values).save(tmp_path / "a.tif")
    np.save(tmp_path / "a.npy", values)
    for name in ("a.tif", "a.npy"):
        plane = read_plane(tmp_path / name)
        assert np.isnan(plane.intensity[:, 100:104]).all() and np.isnan(plane.intensity).sum() == 1024
        assert any("1024 pixels hold 65535" in note for note in plane.notes)
        assert dict(inspect(tmp_path / name).lines)["missing"].startswith("1.6 %")


def test_the_largest_value_of_eight_bits_may_be_the_brightest_pixel(tmp_path: Path) -> None:
    """A broad maximum that was scaled to 255 has pixels at 254 and 253 too."""
    x = np.linspace(-1, 1, 256)
    broad = np.round(255 * np.exp(-(x[:, None] ** 2 + x**2) / 4)).astype("u1")
    assert np.count_nonzero(broad == 255) > 20
    assert np.isfinite(read_plane(yell(tmp_path / "a.h5", broad[:, :, None])).intensity).all()


@pytest.mark.parametrize(("kind", "mark"), [("i4", -1), ("i2", -2), ("f4", -999.0), ("f8", -1e10)])
def test_negative_marks_are_described(tmp_path: Path, kind: str, mark: float) -> None:
    values = counts().astype(kind)
    values[10:14] = mark
    path = yell(tmp_path / "a.h5", values[:, :, None])
    expected = f"204 pixels hold {mark:.0f}, which marks gaps or saturation, and count as missing"
    assert expected in read_plane(path).notes
    assert expected in [text for _, text in inspect(path).lines]


def test_negative_noise_is_no_mark(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(0, 5, (60, 60, 1)).round()
    assert not any("marks gaps" in note for note in read_plane(yell(tmp_path / "a.h5", values)).notes)


def test_marks_in_arrays_that_are_interpolated(tmp_path: Path) -> None:
    """The axes of a Mantid workspace along [H,H,0] and [H,-H,0], and a sheared raster of rspace3d."""
    values = np.random.default_rng(0).integers(200, 300, (16, 24, 24)).astype(float)
    values[:, 3:5] = 65535
    with h5py.File(tmp_path / "mantid.nxs", "w") as file:
        data = file.create_group("MDHistoWorkspace/data")
        data["signal"] = values
        for name, long_name, count in (("D0", "[H,H,0]", 24), ("D1", "[H,-H,0]", 24), ("D2", "[0,0,L]", 16)):
            data[name] = 0.1 * np.arange(count + 1) - 0.8
            data[name].attrs["long_name"] = long_name
        for name, number in zip(
            ("a", "b", "c", "alpha", "beta", "gamma"), (5, 6, 7, 90, 90, 90), strict=True
        ):
            file[f"MDHistoWorkspace/experiment0/sample/oriented_lattice/unit_cell_{name}"] = float(number)
    with h5py.File(tmp_path / "sheared.h5", "w") as file:
        file["data"] = values.transpose(2, 1, 0)
        for name, count in (("H", 24), ("K", 24), ("L", 16)):
            file[name] = 0.1 * np.arange(count) - 0.8
        file["UB"] = Cell(5, 5, 7, 90, 90, 120).reciprocal.T / (2 * np.pi)
        file.attrs["wavelength"] = 1.0
    for name in ("mantid.nxs", "sheared.h5"):
        plane = read_plane(tmp_path / name, "h k 0")
        assert np.nanmax(plane.intensity) <= 300 + 1e-9 and any(
            "interpolated" in note for note in plane.notes
        )
        assert "voxels hold 65535, which marks gaps or saturation, and count as missing" in plane.notes
