"""Masks by value, limits and file, and negative values: always missing, never zero unless asked for."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from dsfunet.cleanup import CleanUp, clean
from dsfunet.cleanup.masks import apply_mask_file, mask_values, read_mask, replace_negative
from dsfunet.errors import InputError
from dsfunet.io import MeasuredPlane, UserAxes, parse_plane_name
from dsfunet.io.user_axes import put_on_axes
from tests.dsfunet.cleanup_planes import TETRAGONAL, grid


def test_values_and_limits_become_missing_and_are_counted() -> None:
    plane = np.array([[-1.0, 0.0, 65535.0], [np.nan, 5.0, 7.0], [2.0, 9.0, 1e9]])
    result, record = mask_values(plane, (-1.0, 65535.0), 1.0, 1e6)
    assert np.array_equal(result, [[np.nan] * 3, [np.nan, 5, 7], [2, 9, np.nan]], equal_nan=True)
    assert record.numbers == {"pixels_of_value": 2, "pixels_beyond_limits": 2}
    assert "4 pixels (44 %)" in record.sentence and "-1 or 65535, below 1, above 1e+06" in record.sentence


def test_a_flag_is_found_after_single_precision_and_zero_matches_zero_alone() -> None:
    plane = np.array([[np.float64(np.float32(4294967295.0)), 1e-12], [0.0, -0.0]])
    result, _ = mask_values(plane, (4294967295.0,), None, None)
    assert np.isnan(result).sum() == 1
    result, _ = mask_values(plane, (0.0,), None, None)
    assert np.isnan(result).tolist() == [[False, False], [True, True]]
    _, record = mask_values(plane, (3.0,), None, None)
    assert record.notes == ("mask: no pixel has such a value; check the mask options",)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float32])
def test_both_conventions_of_a_file(tmp_path: Path, dtype: type) -> None:
    measured = np.random.default_rng(0).random((40, 30)) < 0.7
    np.save(tmp_path / "mask.npy", measured.astype(dtype))
    plane = np.ones((40, 30))
    for marks, expected in (("measured", measured), ("missing", ~measured)):
        result, record = apply_mask_file(plane, tmp_path / "mask.npy", marks, None)  # type: ignore[arg-type]
        assert np.array_equal(np.isfinite(result), expected)
        assert f"non-zero values mark {marks} pixels" in record.sentence
        assert record.numbers["pixels_masked"] == (~expected).sum()
        # Three pixels in ten left: the other convention is likely.
        assert bool(record.notes) == (marks == "missing")


def test_nan_in_a_mask_is_missing_by_either_convention(tmp_path: Path) -> None:
    np.save(tmp_path / "mask.npy", np.array([[np.nan, 1.0], [0.0, 2.0]]))
    assert read_mask(tmp_path / "mask.npy", (2, 2), "measured", None).tolist() == [
        [False, True],
        [False, True],
    ]
    assert read_mask(tmp_path / "mask.npy", (2, 2), "missing", None).tolist() == [
        [False, False],
        [True, False],
    ]


def test_the_layer_of_the_planes_name_is_read_out_of_a_volume(tmp_path: Path) -> None:
    where = grid(TETRAGONAL, "hk1", 21, 11, 2.0)
    data = np.zeros((21, 11, 3))
    data[:, :, 2] = 1
    data[3:5, 2, 2] = 0
    for name, limits in (("mask.h5", [-2, -2, -1]), ("elsewhere.h5", [-1.5, -2, -1])):
        with h5py.File(tmp_path / name, "w") as file:
            file["format"] = "Yell 1.0"
            file["data"] = data
            file["lower_limits"] = np.array(limits, float)
            file["step_sizes"] = np.array([0.2, 0.4, 1.0])
            file["unit_cell"] = np.array(TETRAGONAL.parameters)
            file["is_direct"] = False
    found = read_mask(tmp_path / "mask.h5", where.shape, "measured", where)
    assert np.array_equal(found, data[:, :, 2] != 0)
    with pytest.raises(InputError, match="lie elsewhere in reciprocal space"):
        read_mask(tmp_path / "elsewhere.h5", where.shape, "measured", where)


def test_masks_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "small.npy", np.ones((3, 3)))
    np.save(tmp_path / "none.npy", np.zeros((4, 4), bool))
    np.save(tmp_path / "words.npy", np.array([["a"]]))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "none.npy").read_bytes()[:-3])
    for name, words in (
        ("small.npy", r"the mask has shape \(3, 3\); expected that of the plane, \(4, 4\)"),
        ("none.npy", "the mask leaves no pixel"),
        ("words.npy", "expected bool or real numbers"),
        ("cut.npy", "the .npy file cannot be read; it is truncated"),
        ("absent.npy", "no such file"),
    ):
        with pytest.raises(InputError, match=words):
            read_mask(tmp_path / name, (4, 4), "measured", None)


def test_negative_values_are_missing_or_zero_as_asked() -> None:
    plane = np.array([[-3.0, 1.0], [np.nan, -0.5]])
    missing, record = replace_negative(plane, "missing")
    assert np.array_equal(missing, [[np.nan, 1], [np.nan, np.nan]], equal_nan=True)
    assert record is not None and record.numbers == {"pixels": 2, "lowest": -3.0, "taken_as": "missing"}
    zero, _ = replace_negative(plane, "zero")
    assert np.array_equal(zero, [[0, 1], [np.nan, 0]], equal_nan=True)
    assert replace_negative(np.ones((2, 2)), "missing")[1] is None


def test_the_mask_of_a_picture_is_turned_with_it(tmp_path: Path) -> None:
    picture = np.arange(12.0).reshape(3, 4) + 1
    mask = np.ones((3, 4))
    mask[0, 3] = 0  # the upper right corner: highest of both coordinates
    axes = UserAxes(TETRAGONAL, parse_plane_name("hk0"), (-2, 1), (-1, 1), orientation="picture")
    measured = put_on_axes(MeasuredPlane(picture), axes)
    np.save(tmp_path / "mask.npy", mask)
    Image.fromarray(mask.astype(np.uint8)).save(tmp_path / "mask.png")
    for name in ("mask.npy", "mask.png"):
        cleaned, _ = clean(measured, CleanUp(mask_file=tmp_path / name))
        assert np.argwhere(np.isnan(cleaned.intensity)).tolist() == [[3, 2]]
    np.save(tmp_path / "empty.npy", picture / 2)  # read as 4 x 3 it would be refused
    cleaned, _ = clean(measured, CleanUp(background=tmp_path / "empty.npy", background_scale=1.0))
    assert np.allclose(cleaned.intensity, measured.intensity / 2)
