"""Values that mark gaps: the largest ones of integer types, held by many pixels."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from dsfunet.inspection.describe import inspect
from dsfunet.io import read_plane


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
        ("f4", 9.969209968386869e36),
        ("f4", float(np.finfo("f4").max)),
    ],
)
def test_marks_of_gaps_are_missing_with_a_note(tmp_path: Path, kind: str, mark: float) -> None:
    truth = counts()
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
