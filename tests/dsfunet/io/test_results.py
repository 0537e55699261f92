"""Results as NeXus files: opened as a viewer would, read back, written whole or not at all."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import dsfunet
from dsfunet.errors import InputError
from dsfunet.files import replacing
from dsfunet.io import (
    MeasuredPlane,
    PlaneGrid,
    Result,
    check_writable,
    parse_plane_name,
    read_result,
    write_result,
)
from dsfunet.physics import Cell
from dsfunet.planes.names import parse_plane

CELL = Cell(14.12, 14.12, 6.934, 90, 90, 120)
PROCESS: dict[str, str | int | float] = {
    "seed": 7,
    "scale": 123.25,
    "weights_digest": "sha256:abc",
    "recipe": json.dumps({"lattice_mode": True}),
}


def make_result(grid: bool = True, sigma: bool = True) -> Result:
    random = np.random.default_rng(4)
    measured, factor, order, sigma_factor = random.uniform(size=(4, 30, 20))
    measured[3:5] = np.nan
    product = 5 * factor * order
    name = parse_plane_name("h k 1.5")
    return Result(
        input=measured,
        form_factor=factor,
        short_range_order=order,
        product=product,
        residual=measured - product,
        mask=np.isfinite(measured),
        grid=PlaneGrid(CELL, name, np.linspace(-3, 3, 30), np.linspace(-2, 2, 20)) if grid else None,
        process=PROCESS,
        sigma_form_factor=sigma_factor if sigma else None,
    )


def test_a_viewer_finds_the_default_plot(tmp_path: Path) -> None:
    result = make_result()
    write_result(tmp_path / "r.nxs", result)
    with h5py.File(tmp_path / "r.nxs") as file:
        entry = file[file.attrs["default"]]
        assert (file.attrs["NX_class"], entry.attrs["NX_class"]) == ("NXroot", "NXentry")
        group = entry[entry.attrs["default"]]
        assert group.attrs["NX_class"] == "NXdata"
        signal = group[group.attrs["signal"]]
        np.testing.assert_array_equal(signal[()], result.form_factor)
        assert list(group.attrs["axes"]) == ["h", "k"]
        for dimension, label in enumerate(group.attrs["axes"]):
            assert group[label].shape == (signal.shape[dimension],)
            assert group[label].attrs["units"] == "r.l.u."
            assert group.attrs[f"{label}_indices"] == dimension
        np.testing.assert_array_equal(group["h"][()], np.linspace(-3, 3, 30))


def check_nxdata(group: h5py.Group, shape: tuple[int, int], units: str) -> dict[str, np.ndarray]:
    """A group is data that can be drawn by the rules of NXdata alone: signal, axes along it and their units."""
    assert group.attrs["NX_class"] == "NXdata"
    signal = group[group.attrs["signal"]]
    assert signal.shape == shape and signal.attrs["long_name"] == group["title"].asstr()[()]
    names = list(group.attrs["axes"])
    assert len(names) == signal.ndim == len(set(names))
    for dimension, name in enumerate(names):
        axis = group[name]
        assert axis.shape == (shape[dimension],) and group.attrs[f"{name}_indices"] == dimension
        assert axis.attrs["units"] == units and axis.attrs["long_name"].endswith(f"({units})")
        steps = np.diff(axis[()])
        np.testing.assert_allclose(steps, steps[0], rtol=1e-6)
    return {name: group[name][()] for name in names}


def walk_as_a_viewer(path: Path, grid: PlaneGrid | None, shape: tuple[int, int]) -> list[str]:
    """Follow @default from the root, check everything in the file, and return the names of the planes."""
    units = "pixel" if grid is None else "r.l.u."
    with h5py.File(path) as file:
        here, classes = file, []
        while "default" in here.attrs:
            here = here[here.attrs["default"]]
            classes.append(here.attrs["NX_class"])
        assert classes == ["NXentry", "NXdata"] and here.name == "/entry/form_factor"
        planes = [name for name, group in file["entry"].items() if group.attrs.get("NX_class") == "NXdata"]
        for name in planes:
            group = file["entry"][name]
            axes = check_nxdata(group, shape, units)
            sigma = f"sigma_{name}"
            assert ("data_errors" in group) == (sigma in planes)
            if sigma in planes:
                np.testing.assert_array_equal(group["data_errors"], file["entry"][sigma]["data"])
                assert group["data_errors"].shape == group["data"].shape
            if grid is None:
                assert "unit_cell" not in group and list(axes) == ["y", "x"]
                continue
            np.testing.assert_array_equal(group["unit_cell"], grid.cell.parameters)
            assert group["unit_cell"].attrs["units"] == "angstrom, degree"
            for values, expected in zip(axes.values(), (grid.rows, grid.columns), strict=True):
                np.testing.assert_array_equal(values, expected)
            if list(axes) == ["u", "v"]:  # from what stands beside them every pixel has its h, k, l
                u, v = axes["u"][:, None, None], axes["v"][:, None]
                hkl = group["origin_hkl"] + u * group["u_vector"][()] + v * group["v_vector"][()]
                np.testing.assert_allclose(hkl, grid.hkl(), atol=1e-12)
            else:
                assert group[grid.name.fixed_label][()] == grid.name.offset
        process = file["entry/process"]
        assert process.attrs["NX_class"] == "NXprocess" and process["program"][()] == b"dsfunet"
        assert process["version"].asstr()[()] == dsfunet.__version__
        assert len(process["weights_sha256"][()]) == 64 and "seed" in process
        json.loads(process["recipe"][()]), json.loads(process["clean_up"][()])
    return planes


@pytest.mark.parametrize("kind", ["layer", "hhl", "Cartesian picture", "no axes"])
def test_results_open_as_a_viewer_opens_them(tmp_path: Path, kind: str) -> None:
    """The file of a complete run with two untrained networks: this checks its layout, not its numbers."""
    from dsfunet.factorize.factorizer import Factorizer
    from dsfunet.factorize.pipeline import factorize_plane
    from dsfunet.factorize.settings import FactorizeSettings
    from dsfunet.io.user_axes import make_cartesian_grid
    from tests.dsfunet.batches import save_tiny_weights

    x = np.linspace(-4, 4, 256)
    plane = np.exp(-np.add.outer(x**2, x**2) / 9) * (1.5 + np.cos(2 * np.pi * x))
    plane[:20] = np.nan
    grid = {
        "layer": PlaneGrid(CELL, parse_plane("h 1.5 l"), x, x[::-1]),
        "hhl": PlaneGrid(CELL, parse_plane("hhl"), x / 2, x),
        "Cartesian picture": make_cartesian_grid(CELL, parse_plane_name("hk1"), 0.02, plane.shape),
        "no axes": None,
    }[kind]
    factorizer = Factorizer.from_checkpoint(save_tiny_weights(tmp_path / "weights"), "cpu")
    found = factorize_plane(MeasuredPlane(plane, grid), FactorizeSettings(passes=1), factorizer, "plane.npy")
    # These networks are not calibrated, so arbitrary uncertainties are used.
    sigmas = {f"sigma_{name}": found.result.form_factor + 1 for name in ("form_factor", "short_range_order")}
    result = dataclasses.replace(found.result, **sigmas)
    write_result(tmp_path / "r.nxs", result)
    planes = walk_as_a_viewer(tmp_path / "r.nxs", grid, (256, 256))
    assert set(planes) == set(result.planes())
    assert {"input", "form_factor", "short_range_order", "product", "residual", "mask", *sigmas} <= set(
        planes
    )


def test_every_plane_is_data_with_axes_cell_and_layer(tmp_path: Path) -> None:
    write_result(tmp_path / "r.nxs", make_result())
    with h5py.File(tmp_path / "r.nxs") as file:
        entry = file["entry"]
        planes = [name for name in entry if entry[name].attrs.get("NX_class") == "NXdata"]
        assert set(planes) == {
            "input", "form_factor", "short_range_order", "product", "residual", "mask", "sigma_form_factor"
        }  # fmt: skip
        for name in planes:
            np.testing.assert_array_equal(entry[name]["unit_cell"][()], CELL.parameters)
            assert entry[name]["unit_cell"].attrs["units"] == "angstrom, degree"
            assert entry[name]["l"][()] == 1.5
        assert entry["mask/data"].dtype == np.uint8
        assert entry["input/data"].dtype == np.float32
        np.testing.assert_array_equal(entry["form_factor/data_errors"], entry["sigma_form_factor/data"])
        assert entry["sample"].attrs["NX_class"] == "NXsample"


def test_the_process_is_on_record(tmp_path: Path) -> None:
    write_result(tmp_path / "r.nxs", make_result(), date="2026-01-02T03:04:05+00:00")
    with h5py.File(tmp_path / "r.nxs") as file:
        process = file["entry/process"]
        assert process.attrs["NX_class"] == "NXprocess"
        assert process["program"][()] == b"dsfunet" and process["date"][()] == b"2026-01-02T03:04:05+00:00"
        assert process["seed"][()] == 7 and process["scale"][()] == 123.25
        assert json.loads(process["recipe"][()]) == {"lattice_mode": True}
        assert process["version"].asstr()[()]


@pytest.mark.parametrize("grid", [True, False])
@pytest.mark.parametrize("sigma", [True, False])
def test_results_come_back(tmp_path: Path, grid: bool, sigma: bool) -> None:
    result = make_result(grid, sigma)
    write_result(tmp_path / "r.nxs", result)
    back = read_result(tmp_path / "r.nxs")
    assert list(back.planes()) == list(result.planes())
    for name, plane in result.planes().items():
        assert back.planes()[name].dtype == plane.dtype
        np.testing.assert_array_equal(back.planes()[name], plane)
    assert {name: back.process[name] for name in PROCESS} == PROCESS
    if grid:
        assert back.grid is not None and result.grid is not None
        assert (back.grid.cell, back.grid.name) == (CELL, result.grid.name)
        np.testing.assert_array_equal(back.grid.columns, result.grid.columns)
    else:
        assert back.grid is None


def test_a_spanned_plane_keeps_its_vectors(tmp_path: Path) -> None:
    name = parse_plane("[1 1 0] [1 -1 0] + [0 0 0.5]")
    grid = PlaneGrid(CELL, name, np.linspace(-3, 3, 30), np.linspace(-2, 2, 20))
    result = dataclasses.replace(make_result(), grid=grid)
    write_result(tmp_path / "r.nxs", result)
    with h5py.File(tmp_path / "r.nxs") as file:
        group = file["entry/form_factor"]
        assert list(group.attrs["axes"]) == ["u", "v"] and group.attrs["v_indices"] == 1
        np.testing.assert_array_equal(group["u"][()], grid.rows)
        # The labels that a viewer writes on the axes.
        assert group["u"].attrs["long_name"] == "[h h 0] (r.l.u.)"
        assert group["v"].attrs["long_name"] == "[k -k 0] (r.l.u.)"
        np.testing.assert_array_equal(group["u_vector"][()], [1, 1, 0])
        np.testing.assert_array_equal(group["v_vector"][()], [1, -1, 0])
        np.testing.assert_array_equal(group["origin_hkl"][()], [0, 0, 0.5])
    back = read_result(tmp_path / "r.nxs").grid
    assert back is not None and (back.cell, back.name) == (CELL, name)
    np.testing.assert_array_equal(back.rows, grid.rows)
    np.testing.assert_array_equal(back.columns, grid.columns)


def test_without_a_grid_axes_are_pixels(tmp_path: Path) -> None:
    write_result(tmp_path / "r.nxs", make_result(grid=False))
    with h5py.File(tmp_path / "r.nxs") as file:
        group = file["entry/residual"]
        assert list(group.attrs["axes"]) == ["y", "x"] and "unit_cell" not in group
        np.testing.assert_array_equal(group["x"][()], np.arange(20))
        assert group["y"].attrs["units"] == "pixel"


def test_same_result_and_date_make_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_result(tmp_path / name, make_result(), date="2026-01-02T03:04:05+00:00")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_planes_of_different_shape_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"mask of the result has shape \(3, 3\); expected a plane of shape \(30, 20\)"
    ):
        dataclasses.replace(make_result(), mask=np.ones((3, 3), bool))
    flat: Any = np.ones(5)
    with pytest.raises(InputError, match=r"input of the result has shape \(5,\)"):
        Result(flat, flat, flat, flat, flat, flat)


def test_failure_leaves_nothing_and_keeps_what_was(tmp_path: Path) -> None:
    path = tmp_path / "r.nxs"
    path.write_text("precious")
    unwritable: Any = {"recipe": object()}
    with pytest.raises(TypeError):
        write_result(path, dataclasses.replace(make_result(), process=unwritable))
    assert path.read_text() == "precious" and os.listdir(tmp_path) == ["r.nxs"]  # noqa: PTH208


def test_success_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "r.nxs"
    path.write_text("old")
    write_result(path, make_result())
    assert [each.name for each in tmp_path.iterdir()] == ["r.nxs"]
    assert read_result(path).input.shape == (30, 20)


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with replacing(tmp_path / "link") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "target").read_text() == "new" and (tmp_path / "link").is_symlink()


def test_paths_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="this is a directory; expected the name of a file"):
        check_writable(tmp_path)
    with pytest.raises(InputError, match=r"the directory .*nowhere does not exist; create it first"):
        check_writable(tmp_path / "nowhere" / "r.nxs")
    with pytest.raises(InputError, match="this is not a regular file"):
        check_writable(os.devnull)
    with pytest.raises(InputError, match="cannot be written"):
        check_writable(tmp_path / ("r" * 300))
    with pytest.raises(InputError, match="does not exist"):
        write_result(tmp_path / "nowhere" / "r.nxs", make_result())
    check_writable(tmp_path / "r.nxs")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_closed_directory(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="cannot be written"):
        check_writable(tmp_path / "r.nxs")


@pytest.mark.parametrize("fraction", [0.01, 0.3, 0.6, 0.9, 0.999])
def test_truncated_results_are_refused(tmp_path: Path, fraction: float) -> None:
    path = tmp_path / "r.nxs"
    write_result(path, make_result())
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])
    with pytest.raises(
        InputError,
        match=r"the HDF5 file cannot be read; it is truncated or damaged|not a result of dsfunet, or it is damaged",
    ):
        read_result(path)


def test_a_number_that_was_damaged_is_noticed(tmp_path: Path) -> None:
    result = make_result()
    write_result(tmp_path / "r.nxs", result)
    content = bytearray((tmp_path / "r.nxs").read_bytes())
    place = content.index(result.form_factor.tobytes())
    content[place + 100] ^= 1
    (tmp_path / "r.nxs").write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        read_result(tmp_path / "r.nxs")


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_result(tmp_path / "r.nxs")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["entry"] = 1.0
    with pytest.raises(InputError, match="the file is not a result of dsfunet, or it is damaged"):
        read_result(tmp_path / "other.h5")
