"""NeXus files: NXRefine, CHESS, any NXdata that `default` leads to, results of dsfunet; axes in every spelling."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from dsfunet.errors import InputError
from dsfunet.io import (
    PlaneGrid,
    ReadOptions,
    Result,
    open_volume,
    parse_plane_name,
    read_plane,
    write_result,
)
from dsfunet.io.fourth_axis import Coordinates
from dsfunet.physics import Cell
from tests.dsfunet.marked_volume import CELL, H, K, L, check, edges, volume

REVERSED = volume().transpose(2, 1, 0)
NAMES = ("a", "b", "c", "alpha", "beta", "gamma")


def nxrefine(path: Path, group: str = "transform", link: str | None = None, default: bool = True) -> Path:
    """A file of NXRefine: [Ql, Qk, Qh], the array in another file when `link` names one, the cell in the sample."""
    with h5py.File(path, "w") as file:
        file.attrs["NX_class"] = "NXroot"
        entry = file.create_group("entry")
        entry.attrs["NX_class"] = "NXentry"
        if default:
            file.attrs["default"], entry.attrs["default"] = "entry", group
        data = entry.create_group(group)
        data.attrs.update({"NX_class": "NXdata", "signal": "data", "axes": ["Ql", "Qk", "Qh"]})
        data["Qh"], data["Qk"], data["Ql"] = H, K, L
        if link is None:
            data["data"] = REVERSED.astype(np.float32)
        else:
            data["data"] = h5py.ExternalLink(link, "/entry/data/v")
        sample = entry.create_group("sample")
        sample.attrs["NX_class"] = "NXsample"
        sample["name"] = "TiSe2"
        for name, value in zip(NAMES, CELL, strict=True):
            sample[f"unitcell_{name}"] = np.float32(value)
    return path


@pytest.mark.parametrize("group", ["transform", "symm_transform", "masked_transform"])
@pytest.mark.parametrize("default", [True, False])
def test_nxrefine(tmp_path: Path, group: str, default: bool) -> None:
    measured = check(nxrefine(tmp_path / "a.nxs", group, default=default))
    assert "array order in the file: [l, k, h]" in measured.notes and measured.sigma is None


def test_the_array_in_another_file(tmp_path: Path) -> None:
    path = nxrefine(tmp_path / "a.nxs", link="300/transform.nxs")
    (tmp_path / "300").mkdir()
    with h5py.File(tmp_path / "300" / "transform.nxs", "w") as file:
        file["entry/data/v"] = REVERSED
    check(path)
    with open_volume(path) as found:
        assert found.layout == "NXRefine, entry/transform/data" and found.details["sample"] == "TiSe2"


@pytest.mark.parametrize("default", [True, False])
def test_another_file_that_is_missing_is_named(tmp_path: Path, default: bool) -> None:
    path = nxrefine(tmp_path / "a.nxs", link="300/transform.nxs", default=default)
    with pytest.raises(InputError, match=r"data is a link to /entry/data/v in the file 300/transform.nxs"):
        read_plane(path, "hk0")
    with h5py.File(path, "a") as file:
        del file["entry/transform"]
        file["entry/transform"] = h5py.ExternalLink("t.nxs", "/entry/transform")
    with pytest.raises(InputError, match=r"transform is a link to /entry/transform in the file t.nxs"):
        read_plane(path, "hk0")


def test_the_default_wins_over_the_usual_names(tmp_path: Path) -> None:
    path = nxrefine(tmp_path / "a.nxs", "symm_transform")
    with h5py.File(path, "a") as file:
        other = file["entry"].create_group("transform")
        other.attrs.update({"NX_class": "NXdata", "signal": "data", "axes": ["Ql", "Qk", "Qh"]})
        other["data"] = np.zeros(REVERSED.shape)
        for name in ("Qh", "Qk", "Ql"):
            other[name] = file[f"entry/symm_transform/{name}"]
    check(path)
    with open_volume(path) as found:
        assert found.details["also in the file"] == "transform"


def test_a_default_that_is_no_volume_is_passed_over(tmp_path: Path) -> None:
    path = nxrefine(tmp_path / "a.nxs")
    with h5py.File(path, "a") as file:
        frames = file["entry"].create_group("peaks")
        frames.attrs.update({"NX_class": "NXdata", "signal": "data", "axes": ["frame", "y", "x"]})
        frames["data"] = np.zeros((3, 4, 5))
        file["entry"].attrs["default"] = "peaks"
    check(path)


def test_an_invalid_default_is_not_replaced(tmp_path: Path) -> None:
    path = nxrefine(tmp_path / "a.nxs", "symm_transform")
    with h5py.File(path, "a") as file:
        file.copy("entry/symm_transform", "entry/transform")
        file["entry/symm_transform/Qh"][0] = -7.0
    with pytest.raises(
        InputError, match="entry/symm_transform: axis Qh from -7 to 2 is not evenly spaced; expected equal"
    ):
        read_plane(path, "hk0")


def chess(path: Path, **attributes: Any) -> Path:
    with h5py.File(path, "w") as file:
        data = file.create_group("entry/data")
        data.attrs.update(attributes)
        data["counts"] = volume()
        data["H"], data["K"], data["L"] = H, K, L
        data["unit_cell"] = np.array(CELL)
    return path


def test_chess_with_and_without_attributes(tmp_path: Path) -> None:
    check(chess(tmp_path / "a.nxs", NX_class="NXdata", signal="counts", axes=["H", "K", "L"]))
    measured = check(chess(tmp_path / "b.nxs"))
    assert any("does not say which axis runs along" in note for note in measured.notes)


OLD_SPELLINGS = ("Ql:Qk:Qh", "[Ql,Qk,Qh]", "Ql,Qk,Qh", "Ql Qk Qh")


@pytest.mark.parametrize("spelling", [*OLD_SPELLINGS, None])
def test_old_nexus(tmp_path: Path, spelling: str | None) -> None:
    """signal=1 and axes on the array; before that, axis=1, 2, 3 on each axis."""
    with h5py.File(tmp_path / "a.nxs", "w") as file:
        data = file.create_group("scan/result")
        data.attrs["NX_class"] = "NXdata"
        data["values"] = REVERSED
        data["values"].attrs["signal"] = 1
        data["Qh"], data["Qk"], data["Ql"] = H, K, L
        if spelling is not None:
            data["values"].attrs["axes"] = spelling
        else:
            for number, name in enumerate(("Ql", "Qk", "Qh")):
                data[name].attrs["axis"] = np.int32(number + 1)
        sample = file.create_group("scan/crystal")
        sample.attrs["NX_class"] = "NXsample"
        sample["unit_cell_abc"], sample["unit_cell_alphabetagamma"] = CELL[:3], CELL[3:]
    check(tmp_path / "a.nxs")


def simple(path: Path, signal: np.ndarray, axes: dict[str, np.ndarray], **attributes: Any) -> h5py.File:
    file = h5py.File(path, "w")
    file.attrs["default"] = "e/d"
    data = file.create_group("e/d")
    data.attrs.update({"NX_class": "NXdata", "signal": "data", "axes": list(axes), **attributes})
    data["data"] = signal
    for name, values in axes.items():
        data[name] = values
    data["unit_cell"] = np.array(CELL)
    return file


def test_edges_of_bins_are_told_from_centres(tmp_path: Path) -> None:
    simple(tmp_path / "a.nxs", volume(), {"h": edges(H), "k": K, "l": edges(L)}).close()
    assert "the axes are bin edges, so voxel centres lie half-way between" in check(tmp_path / "a.nxs").notes


def test_axes_that_run_downwards(tmp_path: Path) -> None:
    simple(tmp_path / "a.nxs", volume()[::-1, :, ::-1], {"h": H[::-1], "k": K, "l": L[::-1]}).close()
    with h5py.File(tmp_path / "a.nxs") as file:
        assert file["e/d/h"][0] == 2.0
    for name, expected in (("hk1", volume()[::-1, :, 4]), ("h0l", volume()[::-1, 5, ::-1])):
        np.testing.assert_array_equal(read_plane(tmp_path / "a.nxs", name).intensity, expected)


def test_axes_called_by_their_long_names_and_indices(tmp_path: Path) -> None:
    with simple(
        tmp_path / "a.nxs", REVERSED, {"x": H, "y": K, "z": L}, x_indices=2, y_indices=1, z_indices=0
    ) as file:
        for name, long_name in (("x", "H (r.l.u.)"), ("y", "[0,K,0]"), ("z", "Ql")):
            file[f"e/d/{name}"].attrs["long_name"] = long_name
    check(tmp_path / "a.nxs")


@pytest.mark.parametrize("fixed", [1.5, None])
def test_a_single_plane(tmp_path: Path, fixed: float | None) -> None:
    with simple(tmp_path / "a.nxs", volume()[:, :, 4].T, {"k": K, "h": H}) as file:
        if fixed is not None:
            file["e/d/l"] = fixed
    measured = read_plane(tmp_path / "a.nxs")
    assert measured.grid is not None and measured.grid.name.offset == (fixed or 0.0)
    np.testing.assert_array_equal(measured.intensity, volume()[:, :, 4])
    assumed = any("does not give the l of the plane; l = 0 is assumed" in n for n in measured.notes)
    assert assumed == (fixed is None)


def test_errors_weights_and_masks(tmp_path: Path) -> None:
    weights, errors, mask = (
        np.full(REVERSED.shape, 2.0),
        np.full(REVERSED.shape, 6.0),
        np.zeros(REVERSED.shape),
    )
    weights[4, 0, 0], mask[4, 1, 1] = 0, 1
    with simple(tmp_path / "a.nxs", 2 * REVERSED, {"Ql": L, "Qk": K, "Qh": H}) as file:
        file["e/d/data_errors"], file["e/d/data_weights"] = errors, weights
        file["e/d/data_mask"] = mask.astype(np.int8)
    measured = read_plane(tmp_path / "a.nxs", "hk1")
    assert measured.sigma is not None
    expected = volume()[:, :, 4].copy()
    expected[0, 0] = expected[1, 1] = np.nan
    np.testing.assert_array_equal(measured.intensity, expected)
    np.testing.assert_array_equal(measured.sigma, np.where(np.isnan(expected), np.nan, 3.0))


def cell_in_data(group: h5py.Group) -> None:
    group["e/d/unit_cell"] = np.array(CELL)


def cell_in_attributes(group: h5py.Group) -> None:
    sample = group.create_group("e/sample")
    for name, value in zip(NAMES, CELL, strict=True):
        sample.attrs[f"unitcell_{name}"] = value


def cell_in_one_array(group: h5py.Group) -> None:
    group.create_group("e/s").attrs["NX_class"] = "NXsample"
    group["e/s/unit_cell"] = np.array([CELL, CELL])


def cell_in_another_entry(group: h5py.Group) -> None:
    for name, value in zip(NAMES, CELL, strict=True):
        group[f"f1/sample/unit_cell_{name}"] = value


@pytest.mark.parametrize(
    "place", [cell_in_data, cell_in_attributes, cell_in_one_array, cell_in_another_entry]
)
def test_where_a_unit_cell_may_be(tmp_path: Path, place: Callable[[h5py.Group], None]) -> None:
    with simple(tmp_path / "a.nxs", volume(), {"h": H, "k": K, "l": L}) as file:
        del file["e/d/unit_cell"]
        place(file)
    check(tmp_path / "a.nxs")


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"h": H**3, "k": K, "l": L}, "axis h from -8 to 8 is not evenly spaced; expected equal steps"),
        ({"h": H[:5], "k": K, "l": L}, "axis h has 5 values; expected 9 centres or 10 bin edges"),
        (
            {"h": H, "q": K, "l": L},
            "the data have an axis q with 11 values, -2.5, .*; choose one, such as --at q=-2.5",
        ),
        ({"h": H, "k": K * np.nan, "l": L}, "axis k is empty or not finite; expected finite numbers"),
        ({"h": H, "Qh": K, "l": L}, "the axes are h, h, l; expected each of h, k, l once"),
    ],
)
def test_invalid_axes_are_refused(tmp_path: Path, axes: dict[str, np.ndarray], message: str) -> None:
    simple(tmp_path / "a.nxs", volume(), axes).close()
    with pytest.raises(InputError, match=f"e/d: {message}"):
        read_plane(tmp_path / "a.nxs", "hk0")


def test_axes_in_other_units(tmp_path: Path) -> None:
    with simple(tmp_path / "a.nxs", volume(), {"Qh": H, "Qk": K, "Ql": L}) as file:
        file["e/d/Qh"].attrs["units"] = "1/angstrom"
    with pytest.raises(InputError, match="axis Qh is in 1/angstrom; expected reciprocal-lattice units"):
        read_plane(tmp_path / "a.nxs", "hk0")


def test_one_value_of_a_fourth_axis_is_chosen(tmp_path: Path) -> None:
    stack = np.stack([volume() + 1000, volume() + 2000, volume() + 3000])
    with simple(
        tmp_path / "a.nxs", stack, {"temperature": np.array([15.0, 100, 300]), "Qh": H, "Qk": K, "Ql": L}
    ) as file:
        file["e/d/temperature"].attrs["units"] = "K"
        file["e/sample/unit_cell"] = np.array(CELL)
    message = "the data have an axis temperature with 3 values, 15, 100, 300 K; choose one, such as --at temperature=15"
    with pytest.raises(InputError, match=message):
        read_plane(tmp_path / "a.nxs", "hk0")
    with pytest.raises(
        InputError, match=r"--at temperature=200: the file holds 15, 100, 300 K; choose one of these"
    ):
        read_plane(tmp_path / "a.nxs", "hk0", options=ReadOptions(at=Coordinates("temperature", (200.0,))))
    for index, value in enumerate((15.0, 100.0, 300.0)):
        plane = read_plane(
            tmp_path / "a.nxs", "hk1", options=ReadOptions(at=Coordinates("temperature", (value,)))
        )
        np.testing.assert_allclose(plane.intensity, volume()[:, :, 4] + 1000 * (index + 1))
        assert f"the data at temperature = {value:g} K are used" in plane.notes


def test_directions_of_nxdata_may_span_a_plane(tmp_path: Path) -> None:
    values = np.add.outer(np.arange(9.0), np.arange(5.0))
    with simple(tmp_path / "a.nxs", values, {"x": H, "l": L}) as file:
        file["e/d/x"].attrs["long_name"] = "[H,H,0] (r.l.u.)"
        file["e/sample/unit_cell"] = np.array(CELL)
    plane = read_plane(tmp_path / "a.nxs", "hhl")
    assert plane.grid is not None and str(plane.grid.name) == "hhl"
    np.testing.assert_array_equal(plane.intensity, values)
    np.testing.assert_allclose(plane.grid.rows, H)


def result(shape: tuple[int, int], grid: PlaneGrid | None) -> Result:
    random = np.random.default_rng(3)
    measured, factor, order = random.uniform(size=(3, *shape)).astype(np.float32)
    mask = random.uniform(size=shape) > 0.2
    product = factor * order
    return Result(measured, factor, order, product, measured - product, mask, grid)


def test_a_result_can_be_factorised_again(tmp_path: Path) -> None:
    """The default plot of a result is the form factor, but reading it gives the measured plane with its axes."""
    cell = Cell(*CELL)
    grid = PlaneGrid(cell, parse_plane_name("h 1.5 l"), np.linspace(-3, 3, 30), np.linspace(2, -2, 21))
    written = result((30, 21), grid)
    write_result(tmp_path / "r.nxs", written)
    measured = read_plane(tmp_path / "r.nxs")
    assert measured.grid is not None and measured.cell == cell and str(measured.grid.name) == "h 1.5 l"
    np.testing.assert_array_equal(measured.intensity, np.where(written.mask, written.input, np.nan))
    np.testing.assert_allclose(measured.grid.rows, grid.rows)
    np.testing.assert_allclose(measured.grid.columns, grid.columns)
    with open_volume(tmp_path / "r.nxs") as found:
        assert found.layout == "result of dsfunet, entry/input/data"


def test_a_result_without_axes(tmp_path: Path) -> None:
    written = dataclasses.replace(result((256, 256), None), mask=np.ones((256, 256), bool))
    write_result(tmp_path / "r.nxs", written)
    measured = read_plane(tmp_path / "r.nxs")
    assert measured.grid is None and any("without axes" in note for note in measured.notes)
    np.testing.assert_array_equal(measured.intensity, written.input)
