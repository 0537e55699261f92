"""MDHisto workspaces in the layout of Mantid's SaveMD: edges, reversed dimensions, masks, UB without 2 pi."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from dsfunet.errors import InputError
from dsfunet.io import open_volume, read_plane
from dsfunet.physics import Cell
from tests.dsfunet.marked_volume import AXES, CELL, H, K, L, check, edges, volume

NAMES = ("[H,0,0]", "[0,K,0]", "[0,0,L]")


def ub_matrix() -> np.ndarray:
    """UB of the cell in some orientation, columns a*, b*, c* in 1/Angstrom without 2 pi."""
    cosine, sine = np.cos(0.7), np.sin(0.7)
    turn = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1.0]])
    return np.asarray(turn @ Cell(*CELL).reciprocal.T / (2 * np.pi))


def write(
    path: Path, order: tuple[int, ...] = (0, 1, 2), change: Callable[[h5py.Group], None] | None = None
) -> Path:
    """A workspace whose D0, D1, D2 run along the given ones of h, k, l; the array is [D2, D1, D0]."""
    with h5py.File(path, "w") as file:
        workspace = file.create_group("MDHistoWorkspace")
        workspace.attrs.update({"NX_class": "NXentry", "SaveMDVersion": np.int32(2)})
        workspace["coordinate_system"] = np.array([3], np.uint32)
        data = workspace.create_group("data")
        data.attrs["NX_class"] = "NXdata"
        signal = volume().transpose(order[::-1])
        data["signal"] = signal
        data["signal"].attrs.update({"axes": "D2:D1:D0", "signal": 1})
        data["errors_squared"] = np.full(signal.shape, 9.0)
        data["num_events"] = np.ones(signal.shape)
        data["mask"] = np.zeros(signal.shape, np.int8)
        for number, axis in enumerate(order):
            data[f"D{number}"] = edges(AXES[axis])
            data[f"D{number}"].attrs.update({"long_name": NAMES[axis], "frame": "HKL", "units": "r.l.u."})
        lattice = workspace.create_group("experiment0/sample/oriented_lattice")
        lattice["orientation_matrix"] = ub_matrix()
        matrix = np.eye(3)[:, list(order)]
        workspace["experiment0/logs/W_MATRIX/value"] = matrix.ravel()
        if change is not None:
            change(workspace)
    return path


def in_data(name: str, values: Any, **attributes: Any) -> Callable[[h5py.Group], None]:
    def change(workspace: h5py.Group) -> None:
        data = workspace["data"]
        kept = dict(data[name].attrs)
        del data[name]
        data[name] = values
        data[name].attrs.update({**kept, **attributes})

    return change


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_planes_lie_where_their_names_say(tmp_path: Path, order: tuple[int, ...]) -> None:
    measured = check(write(tmp_path / "w.nxs", order))
    assert measured.sigma is not None and (measured.sigma == 3.0).all()
    assert "UB matrix, which has no factor 2 pi" in " ".join(measured.notes)
    stored = ", ".join("hkl"[axis] for axis in order[::-1])
    assert f"array order in the file: [{stored}]" in measured.notes
    assert "the axes are bin edges, so voxel centres lie half-way between" in measured.notes


def test_axes_named_by_what_they_run_along(tmp_path: Path) -> None:
    def rename(workspace: h5py.Group) -> None:
        data = workspace["data"]
        for number, name in enumerate(NAMES):
            data.move(f"D{number}", name)
        data["signal"].attrs["axes"] = ":".join(NAMES[::-1])

    check(write(tmp_path / "w.nxs", change=rename))

    def forget(workspace: h5py.Group) -> None:
        rename(workspace)
        del workspace["data/signal"].attrs["axes"]

    check(write(tmp_path / "v.nxs", change=forget))


def test_a_scaled_and_turned_projection(tmp_path: Path) -> None:
    """[0,-2K,0] counts k in units of -2: bins at K / -2 are at K."""
    name = in_data("D1", edges(K / -2.0), long_name="[0,-2K,0]")
    measured = check(write(tmp_path / "w.nxs", change=name))
    assert "D1 is k in units of -2" in measured.notes


@pytest.mark.parametrize(
    "names", [("H", "K", "L"), ("[H00]", "[0K0]", "[00L]"), ("h", "(0k0)", "L (r.l.u.)")]
)
def test_short_names_in_the_frame_hkl(tmp_path: Path, names: tuple[str, str, str]) -> None:
    def change(workspace: h5py.Group) -> None:
        del workspace["experiment0/logs"]
        for number, name in enumerate(names):
            workspace[f"data/D{number}"].attrs["long_name"] = name

    check(write(tmp_path / "w.nxs", change=change))


def test_w_matrix_is_used_if_names_give_no_direction(tmp_path: Path) -> None:
    def change(workspace: h5py.Group) -> None:
        for number in range(3):
            workspace[f"data/D{number}"].attrs["long_name"] = f"axis {number}"

    check(write(tmp_path / "w.nxs", (1, 0, 2), change))


def test_integrated_energy_is_left_out(tmp_path: Path) -> None:
    def change(workspace: h5py.Group) -> None:
        data = workspace["data"]
        for name in ("signal", "errors_squared", "num_events", "mask"):
            values = data[name][()][None]
            del data[name]
            data[name] = values
        data["signal"].attrs["axes"] = "D3:D2:D1:D0"
        data["D3"] = np.array([-1.0, 1.0])
        data["D3"].attrs["long_name"] = "DeltaE"

    check(write(tmp_path / "w.nxs", change=change))


def test_missing_bins(tmp_path: Path) -> None:
    """Arrays are [l, k, h]; l = 1 is the last layer."""

    def change(workspace: h5py.Group) -> None:
        data = workspace["data"]
        data["mask"][4, 0, 0] = 1
        data["signal"][4, 1, 2] = np.nan
        data["signal"][4, 2, 3] = np.inf
        data["signal"][4, 5, 5] = 0.0
        data["num_events"][4, 5, 5] = 0

    measured = read_plane(write(tmp_path / "w.nxs", change=change), "hk1")
    assert measured.sigma is not None
    missing = {(0, 0), (2, 1), (3, 2)}
    assert set(zip(*np.nonzero(np.isnan(measured.intensity)), strict=True)) == missing
    assert set(zip(*np.nonzero(np.isnan(measured.sigma)), strict=True)) == missing
    assert measured.intensity[5, 5] == 0.0  # normalised data: no event where there could have been some


def test_bins_without_events_in_unnormalised_data(tmp_path: Path) -> None:
    def change(workspace: h5py.Group) -> None:
        workspace["data/signal"][4, 1, 2] = 0.0
        workspace["data/num_events"][4, 1, 2] = 0
        workspace["data/num_events"][4, 1, 3] = 0  # filled in by symmetry: a value without events of its own

    intensity = read_plane(write(tmp_path / "w.nxs", change=change), "hk1").intensity
    assert np.isnan(intensity[2, 1]) and np.isnan(intensity).sum() == 1


def test_unit_cell_by_numbers_when_the_matrix_has_the_two_pi(tmp_path: Path) -> None:
    def change(workspace: h5py.Group) -> None:
        lattice = workspace["experiment0/sample/oriented_lattice"]
        lattice["orientation_matrix"][...] = 2 * np.pi * ub_matrix()
        for name, value in zip(("a", "b", "c", "alpha", "beta", "gamma"), CELL, strict=True):
            lattice[f"unit_cell_{name}"] = np.array([value])

    measured = check(write(tmp_path / "w.nxs", change=change))
    assert any("UB matrix disagrees" in note for note in measured.notes)


def test_details_for_inspect(tmp_path: Path) -> None:
    with open_volume(write(tmp_path / "w.nxs")) as found:
        assert found.layout == "Mantid MDHisto workspace" and found.details["SaveMD version"] == "2"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (in_data("D0", edges(H)[:-2]), r"axis D0 \[H,0,0\] has 8 values; expected 9 centres or 10 bin edges"),
        (
            in_data("D2", edges(L) ** 3),
            r"axis D2 \[0,0,L\] from .* is not evenly spaced; expected equal steps",
        ),
        (
            in_data("D1", edges(K), frame="QSample"),
            "the workspace is in the frame HKL, QSample; expected HKL",
        ),
        (in_data("D1", edges(K), long_name="[H,0,0]"), "the axes are l, h, h; expected each of h, k, l once"),
        (in_data("mask", np.zeros(3, np.int8)), r"mask has shape \(3,\); expected \(5, 11, 9\)"),
        (
            in_data("signal", np.zeros(7)),
            r"signal has shape \(7,\); expected a volume \(SaveMD version 1 wrote flat arrays: save",
        ),
        (in_data("signal", np.zeros((5, 11, 9), complex)), "dataset signal has type complex128"),
        (in_data("D0", "edges"), r"MDHistoWorkspace/data lacks the axes D2, D1, D0"),
    ],
)
def test_contradictions_are_refused(
    tmp_path: Path, change: Callable[[h5py.Group], None], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read_plane(write(tmp_path / "w.nxs", change=change), "hk0")


def test_a_plane_without_a_unit_cell_is_refused(tmp_path: Path) -> None:
    def change(workspace: h5py.Group) -> None:
        del workspace["experiment0"]

    with pytest.raises(InputError, match='the file has no unit cell; give one with --cell "a b c'):
        read_plane(write(tmp_path / "w.nxs", change=change), "hk0")
