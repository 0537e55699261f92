"""Planes from .npy files, and telling formats apart by content."""

from pathlib import Path

import numpy as np
import pytest

from dsfunet.errors import InputError
from dsfunet.io import read_plane
from dsfunet.io.formats.images import read_npy


def saved(folder: Path, array: np.ndarray, name: str = "plane.npy", allow_pickle: bool = False) -> Path:
    path = folder / name
    with path.open("wb") as stream:
        np.save(stream, array, allow_pickle=allow_pickle)
    return path


@pytest.mark.parametrize("dtype", ["f8", ">f4", "f2", "i4", "u2"])
def test_values_come_unchanged_as_float64(tmp_path: Path, dtype: str) -> None:
    plane = np.random.default_rng(1).integers(0, 500, (256, 256)).astype(dtype)
    measured = read_plane(saved(tmp_path, plane))
    assert measured.intensity.dtype == np.float64
    assert measured.grid is None and measured.cell is None
    np.testing.assert_array_equal(measured.intensity, plane.astype(np.float64))


def test_nan_and_negative_values_are_kept(tmp_path: Path) -> None:
    plane = np.ones((256, 256))
    plane[0, 0], plane[1, 1] = np.nan, -3.0
    intensity = read_plane(saved(tmp_path, plane)).intensity
    assert np.isnan(intensity[0, 0]) and intensity[1, 1] == -3.0


def test_content_decides_and_not_the_name(tmp_path: Path) -> None:
    path = saved(tmp_path, np.ones((256, 256)), "volume.h5")
    assert read_plane(path).intensity.sum() == 256**2


def test_fortran_order(tmp_path: Path) -> None:
    plane = np.asfortranarray(np.arange(65536.0).reshape(256, 256))
    np.testing.assert_array_equal(read_plane(saved(tmp_path, plane)).intensity, plane)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((100, 120)), r"the plane has shape \(100, 120\) and no axes; expected \(256, 256\)"),
        (np.zeros(65536), r"the array has shape \(65536,\); expected \(256, 256\)"),
        (
            np.zeros((3, 256, 256), np.uint8),
            r"the array has shape \(3, 256, 256\) and no axes; give them with --array-axes",
        ),
        (np.zeros((256, 256), np.complex64), "the numbers have type complex64; expected real"),
        (np.zeros((256, 256), bool), "the numbers have type bool; expected real"),
        (np.full((256, 256), "1"), "the numbers have type <U1; expected real"),
        (np.zeros((256, 256), [("a", "f4")]), "expected real"),
        (np.float64(3), r"the array has shape \(\); expected \(256, 256\)"),
        (np.zeros((0, 256)), "plane.npy: "),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, array: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_plane(saved(tmp_path, np.asarray(array)))


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    path = saved(tmp_path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"the .npy file cannot be read"):
        read_plane(path)


@pytest.mark.parametrize("length", [6, 7, 8, 9, 10, 40, 127, 128, 1000, 524_415])
def test_truncated_files_are_refused(tmp_path: Path, length: int) -> None:
    path = saved(tmp_path, np.ones((256, 256)))
    content = path.read_bytes()
    assert len(content) == 524_416
    path.write_bytes(content[:length])
    with pytest.raises(InputError, match="it is truncated, damaged"):
        read_plane(path)


def test_damaged_headers_are_refused_or_harmless(tmp_path: Path) -> None:
    content = bytearray(saved(tmp_path, np.ones((256, 256))).read_bytes())
    path = tmp_path / "damaged.npy"
    random = np.random.default_rng(7)
    for _ in range(150):
        damaged = content.copy()
        for place in random.integers(6, 128, 3):
            damaged[place] = random.integers(256)
        path.write_bytes(damaged)
        try:
            intensity = read_plane(path).intensity
        except InputError:
            continue
        assert intensity.shape == (256, 256)


def test_missing_empty_and_odd_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere.npy: no such file"):
        read_plane(tmp_path / "nowhere.npy")
    with pytest.raises(InputError, match="this is a directory; expected a file"):
        read_plane(tmp_path)
    empty = tmp_path / "empty.npy"
    empty.touch()
    with pytest.raises(InputError, match="the file is empty"):
        read_plane(empty)
    text = tmp_path / "plane.npy"
    text.write_text("1 2 3\n")
    with pytest.raises(InputError, match=r"begins with b'1 2 3\\n'; expected a .npy plane, an HDF5 volume"):
        read_plane(text)
    with pytest.raises(InputError, match=r"expected a .npy file"):
        read_npy(text)


def test_npy_files_have_no_named_planes(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"the .npy file has no axes, so it has no plane hk0; remove the plane"
    ):
        read_plane(saved(tmp_path, np.ones((256, 256))), "hk0")
