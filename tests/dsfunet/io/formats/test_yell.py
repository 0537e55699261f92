"""Volumes in the layout of Yell, as Yell, Meerkat and DISCUS write them."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from dsfunet.errors import InputError
from dsfunet.io import open_volume, parse_plane, read_plane
from dsfunet.physics import Cell

SHAPE = (9, 11, 5)
LOWER = np.array([-2.0, -2.5, -1.0])
STEPS = np.array([0.5, 0.5, 0.5])
CELL = (6.0, 7.0, 8.0, 90.0, 100.0, 90.0)


def volume() -> np.ndarray:
    """data[h, k, l] = 100 h + 10 k + l, a value that encodes the place of every voxel."""
    h, k, l = (low + step * np.arange(n) for low, step, n in zip(LOWER, STEPS, SHAPE, strict=True))  # noqa: E741
    return 100 * h[:, None, None] + 10 * k[:, None] + l


def write(path: Path, drop: tuple[str, ...] = (), **changes: Any) -> Path:
    content = {
        "format": "Yell 1.0",
        "data": volume(),
        "lower_limits": LOWER,
        "step_sizes": STEPS,
        "unit_cell": np.array(CELL),
        "is_direct": False,
    }
    content.update(changes)
    with h5py.File(path, "w") as file:
        for name, value in content.items():
            if name not in drop:
                file[name] = value
    return path


@pytest.mark.parametrize(
    ("name", "value", "rows", "columns"),
    [
        ("hk1", lambda h, k: 100 * h + 10 * k + 1, 0, 1),
        ("h0l", lambda h, m: 100 * h + m, 0, 2),
        ("-1kl", lambda k, m: -100 + 10 * k + m, 1, 2),
        ("h k -0.5", lambda h, k: 100 * h + 10 * k - 0.5, 0, 1),
    ],
)
def test_planes_lie_where_their_names_say(
    tmp_path: Path, name: str, value: Any, rows: int, columns: int
) -> None:
    measured = read_plane(write(tmp_path / "v.h5"), name)
    grid = measured.grid
    assert grid is not None and str(grid.name) == name and measured.notes == ()
    np.testing.assert_allclose(grid.rows, LOWER[rows] + 0.5 * np.arange(SHAPE[rows]))
    np.testing.assert_allclose(grid.columns, LOWER[columns] + 0.5 * np.arange(SHAPE[columns]))
    np.testing.assert_allclose(measured.intensity, value(grid.rows[:, None], grid.columns))
    assert measured.cell == Cell(*CELL)


def test_cartesian_plane_of_an_oblique_grid(tmp_path: Path) -> None:
    grid = read_plane(write(tmp_path / "v.h5"), "h1l").grid
    assert grid is not None
    q = grid.plane.q_points()
    for i, j in ((0, 0), (8, 4), (3, 2), (0, 4)):
        hkl = np.array([grid.rows[i], 1.0, grid.columns[j]])
        np.testing.assert_allclose(q[i, j], hkl @ Cell(*CELL).reciprocal, atol=1e-12)
    assert "rows h from -2 to 2 (9 pixels)" in grid.describe() and "2 pi" in grid.describe()


def test_the_nearest_layer_is_used_with_a_note(tmp_path: Path) -> None:
    measured = read_plane(write(tmp_path / "v.h5"), "h k 0.96")
    assert measured.grid is not None and measured.grid.name.offset == 1.0
    assert measured.intensity[4, 5] == 1.0
    assert measured.notes == ("plane h k 0.96: the nearest layer, l = 1, is used",)


def test_float32_limits_do_not_blur_the_name(tmp_path: Path) -> None:
    path = write(
        tmp_path / "v.h5",
        data=np.zeros((9, 11, 21)),
        lower_limits=np.array([-2, -2.5, -1], np.float32),
        step_sizes=np.array([0.5, 0.5, 0.1], np.float32),
    )
    measured = read_plane(path, "h k 0.7")
    assert measured.grid is not None and measured.grid.name.offset == 0.7 and not measured.notes


@pytest.mark.parametrize("name", ["hk2", "hk-1.3", "hk100", "h k 0.94"])
def test_planes_outside_are_refused_with_the_layers_there_are(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        InputError,
        match=r"v.h5: plane .*: the volume has no such layer; choose one with l = -1 to 1 in steps of 0.5",
    ):
        read_plane(write(tmp_path / "v.h5"), name)


def test_planes_may_be_given_as_names(tmp_path: Path) -> None:
    path = write(tmp_path / "v.h5")
    for text in ("hk1", "hhl"):
        by_text, by_name = read_plane(path, text), read_plane(path, parse_plane(text))
        np.testing.assert_array_equal(by_text.intensity, by_name.intensity)
        assert (
            by_text.grid is not None and by_name.grid is not None and by_text.grid.name == by_name.grid.name
        )
    with pytest.raises(InputError, match=r"^plane 'kh1': this is not the name of a plane"):
        read_plane(path, "kh1")


def test_without_a_name_examples_are_given(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"9 x 11 x 5 voxels .* such as hk0, hk1, h0l, h1l, 0kl, 1kl"):
        read_plane(write(tmp_path / "v.h5"))


@pytest.mark.parametrize("data", [volume()[:, :, 3], volume()[:, :, 3:4]])
def test_a_single_layer_needs_no_name(tmp_path: Path, data: np.ndarray) -> None:
    path = write(tmp_path / "v.h5", data=data, lower_limits=np.array([-2, -2.5, 0.5]))
    measured = read_plane(path)
    assert measured.grid is not None and str(measured.grid.name) == "h k 0.5"
    np.testing.assert_array_equal(measured.intensity, volume()[:, :, 3])
    with pytest.raises(InputError, match=r"one voxel thick along l; expected a plane such as 'h k 0.5'"):
        read_plane(path, "h0l")
    with pytest.raises(InputError, match=r"the volume has no such layer; choose one with l = 0.5$"):
        read_plane(path, "hk2")


def test_meerkat_raw_divides_by_counts(tmp_path: Path) -> None:
    counts = np.full(SHAPE, 4)
    counts[0, 0] = 0
    path = write(
        tmp_path / "raw.h5",
        drop=("data",),
        format=np.bytes_(b"Yell 0.9"),
        rebinned_data=4 * volume(),
        number_of_pixels_rebinned=counts,
    )
    intensity = read_plane(path, "hk0").intensity
    assert np.isnan(intensity[0, 0]) and np.isnan(intensity).sum() == 1
    np.testing.assert_allclose(intensity[1:], volume()[1:, :, 2])


def test_meerkat_before_it_named_its_format(tmp_path: Path) -> None:
    path = write(
        tmp_path / "old.h5",
        drop=("data", "format", "lower_limits", "step_sizes"),
        rebinned_data=volume(),
        number_of_pixels_rebinned=np.ones(SHAPE, int),
        maxind=-LOWER,
        step_size=STEPS,
    )
    measured = read_plane(path, "hk1")
    assert measured.grid is not None and measured.grid.rows[0] == -2.0
    np.testing.assert_array_equal(measured.intensity, volume()[:, :, 4])


def test_raw_counts_of_another_shape(tmp_path: Path) -> None:
    path = write(
        tmp_path / "raw.h5", ("data",), rebinned_data=volume(), number_of_pixels_rebinned=np.ones((2, 2, 2))
    )
    with pytest.raises(
        InputError, match=r"number_of_pixels_rebinned has shape \(2, 2, 2\); expected \(9, 11, 5\)"
    ):
        read_plane(path, "hk1")


def discus_section(path: Path, **changes: Any) -> Path:
    """An h, l section as DISCUS writes it: dimensions are abscissa, ordinate, top; doubles are big-endian."""
    steps = {
        "step_sizes_abs": np.array([0.5, 0, 0]),
        "step_sizes_ord": np.array([0, 0, 0.5]),
        "step_sizes_top": np.zeros(3),
    }
    section = volume()[:, 5, :, None].astype(">f8")
    lower = np.array([-2.0, 0.0, -1.0], ">f8")
    content: dict[str, Any] = {"data": section, "lower_limits": lower, "step_sizes": np.array([0.5, 0.5, 0])}
    return write(path, **{**content, "PROGRAM": "DISCUS60", "is_direct": np.int16(256), **steps, **changes})


def test_discus_section(tmp_path: Path) -> None:
    measured = read_plane(discus_section(tmp_path / "d.h5"))
    assert measured.grid is not None and str(measured.grid.name) == "h0l"
    np.testing.assert_array_equal(measured.intensity, volume()[:, 5])
    assert measured.grid.columns[0] == -1.0 and measured.intensity.dtype == np.dtype("f8")


def test_discus_transposed_section(tmp_path: Path) -> None:
    path = discus_section(
        tmp_path / "d.h5",
        data=volume()[:, 5].T[:, :, None],
        step_sizes_abs=np.array([0, 0, 0.5]),
        step_sizes_ord=np.array([0.5, 0, 0]),
    )
    np.testing.assert_array_equal(read_plane(path, "h0l").intensity, volume()[:, 5])


def test_discus_oblique_section_is_refused(tmp_path: Path) -> None:
    path = discus_section(tmp_path / "d.h5", step_sizes_abs=np.array([0.5, 0.5, 0]))
    with pytest.raises(
        InputError, match=r"step_sizes_abs is \[0.5, 0.5, 0.0\]; expected a step along one of h, k and l"
    ):
        read_plane(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"is_direct": True}, "is_direct is true, so the file is a map in real space"),
        ({"is_direct": np.int32(257)}, "is_direct is true"),
        ({"data": np.zeros((2, 3, 4, 5))}, r"data has shape \(2, 3, 4, 5\); expected a volume"),
        ({"data": np.zeros(7)}, r"data has shape \(7,\); expected a volume"),
        ({"data": np.zeros(SHAPE, complex)}, "dataset data has type complex128; expected real numbers"),
        ({"data": np.zeros((0, 3, 4))}, "no voxels along h"),
        ({"data": h5py.Empty("f8")}, "dataset data has type float64"),
        ({"lower_limits": np.zeros(2)}, r"dataset lower_limits is \[0.0, 0.0\]; expected 3 finite numbers"),
        ({"lower_limits": np.array([0, 0, np.nan])}, "lower_limits .*expected 3 finite numbers"),
        ({"step_sizes": np.zeros(3)}, "axis h of the volume begins at -2.0 with step 0.0"),
        ({"step_sizes": "fine"}, "dataset step_sizes has type object; expected real numbers"),
        ({"unit_cell": np.ones(5)}, "dataset unit_cell is .*; expected 6"),
        ({"drop": ("step_sizes",)}, "dataset step_sizes is missing; expected a Yell 1.0 volume"),
        ({"drop": ("lower_limits",)}, "dataset lower_limits is missing"),
        ({"drop": ("unit_cell",)}, "the file has no unit cell; give one with --cell"),
        ({"drop": ("data",)}, "dataset rebinned_data is missing"),
    ],
)
def test_contradictions_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_plane(write(tmp_path / "v.h5", **changes), "hk0")


def test_a_missing_flag_means_reciprocal_space(tmp_path: Path) -> None:
    assert read_plane(write(tmp_path / "v.h5", drop=("is_direct",)), "hk0").intensity[4, 5] == 0.0


def test_other_hdf5_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["entry/data"] = 1.0
        file["notes"] = "x"
    with pytest.raises(
        InputError,
        match=r"the HDF5 file has entry, notes at its root; expected a .*, or a Yell 1.0 volume .*NXdata",
    ):
        read_plane(path, "hk0")


def test_group_in_the_place_of_a_dataset(tmp_path: Path) -> None:
    path = write(tmp_path / "v.h5", drop=("data",))
    with h5py.File(path, "a") as file:
        file.create_group("data")
    with pytest.raises(InputError, match="dataset data is missing"):
        read_plane(path, "hk0")


def test_user_block_before_the_signature(tmp_path: Path) -> None:
    path = tmp_path / "block.h5"
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in (
            ("data", volume()),
            ("lower_limits", LOWER),
            ("step_sizes", STEPS),
            ("unit_cell", CELL),
        ):
            file[name] = value
    assert read_plane(path, "hk1").intensity[4, 5] == 1.0


@pytest.mark.parametrize("fraction", [0.001, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.9999])
def test_truncated_files_are_refused(tmp_path: Path, fraction: float) -> None:
    path = write(tmp_path / "v.h5", data=np.zeros((40, 40, 40)))
    content = path.read_bytes()
    path.write_bytes(content[: max(8, int(len(content) * fraction))])
    with pytest.raises(InputError, match=r"v.h5: the HDF5 file cannot be read; it is truncated or damaged"):
        read_plane(path, "hk0")


def test_damaged_compressed_layer(tmp_path: Path) -> None:
    path = write(tmp_path / "v.h5", drop=("data",))
    with h5py.File(path, "a") as file:
        data = file.create_dataset("data", data=volume(), chunks=(9, 11, 1), compression="gzip")
        chunk = data.id.get_chunk_info(2)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = b"\xff" * chunk.size
    path.write_bytes(content)
    with pytest.raises(InputError, match="truncated or damaged"):
        read_plane(path, "hk0")
    # Only the plane asked for is read, so the damage elsewhere does not matter.
    np.testing.assert_array_equal(read_plane(path, "hk1").intensity, volume()[:, :, 4])


def test_meerkat_raw_uncertainties(tmp_path: Path) -> None:
    """Counting statistics of the sum, over the pixels in it: 400 counts in 4 pixels are 100(5)."""
    counts, total = np.full(SHAPE, 4), np.full(SHAPE, 400.0)
    counts[1, 1], total[2, 2] = 0, 0
    path = write(
        tmp_path / "raw.h5",
        drop=("data",),
        format="Yell 0.9",
        rebinned_data=total,
        number_of_pixels_rebinned=counts,
    )
    measured = read_plane(path, "hk0")
    assert measured.sigma is not None and measured.sigma[0, 0] == 5.0 and measured.intensity[0, 0] == 100.0
    assert np.isnan(measured.sigma[1, 1]) and np.isnan(measured.sigma).sum() == 1
    assert measured.sigma[2, 2] == 0.25  # no photon in 4 pixels: less than about one
    assert len(measured.notes) == 1 and "counting statistics" in measured.notes[0]


def test_infinite_intensities_are_missing(tmp_path: Path) -> None:
    data = volume()
    data[0, 0], data[1, 1] = np.inf, -np.inf
    intensity = read_plane(write(tmp_path / "v.h5", data=data), "hk0").intensity
    assert np.isnan(intensity[0, 0]) and np.isnan(intensity[1, 1]) and np.isnan(intensity).sum() == 2


def test_details_for_inspect(tmp_path: Path) -> None:
    path = write(tmp_path / "v.h5", space_group_nr=14, **{"meerkat_provenance/config": "# Meerkat\nMAXIND 4"})
    with open_volume(path) as found:
        assert found.layout == "Yell 1.0 by Meerkat"
        assert found.details == {"space group number": "14", "provenance: config": "# Meerkat"}
    with open_volume(discus_section(tmp_path / "d.h5")) as found:
        assert found.layout == "Yell 1.0 by DISCUS60"
