"""A fourth axis of the data: one value of it is read, or all are factorised one after another."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from dsfunet.cli.main import main
from dsfunet.errors import InputError
from dsfunet.factorize.jobs import plan_jobs
from dsfunet.factorize.options import parse_options
from dsfunet.inspection.describe import inspect
from dsfunet.io import ReadOptions, read_plane
from dsfunet.io.fourth_axis import Coordinates, parse_coordinates
from dsfunet.io.read_options import parse_read_options
from dsfunet.physics import Cell

TEMPERATURES = (15.0, 150.0, 300.0)
CELL = (5.0, 5.0, 7.0, 90.0, 90.0, 90.0)
H = np.linspace(-3, 3, 49)


def plane(temperature: float) -> np.ndarray:
    order = 1 + 0.5 * np.cos(2 * np.pi * H)[:, None] * np.cos(2 * np.pi * H)
    return np.asarray((1000 + temperature) * np.exp(-0.1 * (H[:, None] ** 2 + H**2)) * order)


def nxdata(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file.attrs["default"] = "e/d"
        data = file.create_group("e/d")
        data.attrs.update({"NX_class": "NXdata", "signal": "v", "axes": ["T", "h", "k"]})
        data["v"] = np.stack([plane(temperature) for temperature in TEMPERATURES])
        data["T"], data["h"], data["k"], data["l"] = TEMPERATURES, H, H, 1.0
        data["T"].attrs["units"] = "K"
        data["unit_cell"] = [5.0, 5, 7, 90, 90, 90]
    return path


def workspace(path: Path) -> Path:
    """Mantid's, with the transfer of energy as its fourth dimension, in another frame."""
    step = H[1] - H[0]
    with h5py.File(path, "w") as file:
        data = file.create_group("MDHistoWorkspace/data")
        data["signal"] = np.stack([plane(temperature) for temperature in TEMPERATURES])[:, None].transpose(
            0, 1, 3, 2
        )
        for number, name in enumerate(("[H,0,0]", "[0,K,0]", "[0,0,L]", "DeltaE")):
            edges = (np.append(H, H[-1] + step) - step / 2, [0.5, 1.5], [-1.0, 1, 3, 5])
            data[f"D{number}"] = edges[max(number - 1, 0)]
            data[f"D{number}"].attrs.update(
                {"long_name": name, "frame": "General Frame" if number == 3 else "HKL", "units": "DeltaE"}
            )
        for name, value in zip(("a", "b", "c", "alpha", "beta", "gamma"), (5, 5, 7, 90, 90, 90), strict=True):
            file[f"MDHistoWorkspace/experiment0/sample/oriented_lattice/unit_cell_{name}"] = float(value)
    return path


def test_one_value_is_chosen(tmp_path: Path) -> None:
    for path, name, values in (
        (nxdata(tmp_path / "a.nxs"), "T", (15.0, 150.0, 300.0)),
        (workspace(tmp_path / "b.nxs"), "DeltaE", (0.0, 2.0, 4.0)),
    ):
        with pytest.raises(
            InputError, match=f"the data have an axis {name} with 3 values.*--at {name}=all and --out"
        ):
            read_plane(path)
        for value, temperature in zip(values, TEMPERATURES, strict=True):
            found = read_plane(path, options=ReadOptions(at=Coordinates(name.lower(), (value,))))
            np.testing.assert_allclose(found.intensity, plane(temperature))
            assert found.grid is not None and str(found.grid.name) == "hk1"
            assert any(note.startswith(f"the data at {name} = {value:g}") for note in found.notes)
        with pytest.raises(InputError, match="several values are chosen; expected one of"):
            read_plane(path, options=ReadOptions(at=Coordinates(name, values[:2])))


def scans(folder: Path) -> list[tuple[Path, list[str]]]:
    """The same data as arrays with names, temperature first or last, and as a bare array with the options it needs."""
    values = np.stack([plane(temperature) for temperature in TEMPERATURES])
    axes = {"h": H, "k": H, "l": 1.0, "T": np.array(TEMPERATURES), "cell": np.array(CELL)}
    np.savez(folder / "first.npz", intensity=values, **axes)
    np.savez(folder / "last.npz", intensity=values.transpose(1, 2, 0), **axes)
    savemat(folder / "last.mat", {"intensity": values.transpose(1, 2, 0), **axes})
    np.save(folder / "bare.npy", values[:, :, None])
    words = ["--array-axes", "T 15 150 300, h -3 3, k -3 3, l 1", "--cell", " ".join(map(str, CELL))]
    return [
        (folder / "first.npz", []), (folder / "last.npz", []), (folder / "last.mat", []), (folder / "bare.npy", words)
    ]  # fmt: skip


def test_arrays_without_hdf5_have_a_fourth_axis_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path, words in scans(tmp_path):
        assert main(["convert", str(path), str(tmp_path / "x.npz"), *words]) == 2
        assert "the data have an axis T with 3 values, 15, 150, 300; choose one" in capsys.readouterr().err
        for temperature in TEMPERATURES:
            target = tmp_path / f"{path.name}_{temperature:g}.npz"
            assert main(["convert", str(path), str(target), "--at", f"T={temperature:g}", *words]) == 0
            np.testing.assert_allclose(read_plane(target).intensity, plane(temperature))
        assert main(["inspect", str(path), *words]) == 0
        assert "T: 15, 150, 300; choose one with --at T=15" in capsys.readouterr().out


def test_a_volume_at_each_temperature(tmp_path: Path) -> None:
    values = np.random.default_rng(0).uniform(1, 2, (2, 5, 6, 7))
    path = tmp_path / "v.npy"
    np.save(path, values)
    options = {"array_axes": "temperature 100 300, h -1 1, k -1 1, l 0 3"}
    for number, text in enumerate(("temperature=100", "temperature=300")):
        found = read_plane(path, "hk1", cell=Cell(*CELL), options=parse_read_options(**options, at=text))
        np.testing.assert_array_equal(found.intensity, values[number, :, :, 2])
    with pytest.raises(
        InputError, match=r'no axes; give them with --array-axes, such as "temperature 100 300, h'
    ):
        read_plane(path, "hk1", cell=Cell(*CELL))
    wrong = parse_read_options(array_axes="temperature 1 2 3 4, h -1 1, k -1 1, l 0 3", at="temperature=1")
    with pytest.raises(InputError, match=r"v.npy: axis temperature has 4 values; expected 2 finite numbers"):
        read_plane(path, "hk1", cell=Cell(*CELL), options=wrong)


def test_an_axis_whose_place_is_not_certain_is_not_guessed(tmp_path: Path) -> None:
    x = np.arange(5.0)
    np.savez(tmp_path / "a.npz", intensity=np.ones((5, 5, 5)), h=x, k=x, T=x, cell=np.array(CELL))
    with pytest.raises(InputError, match=r"the array has shape \(5, 5, 5\) and no axes; give them with"):
        read_plane(tmp_path / "a.npz", options=ReadOptions(at=Coordinates("T", (1.0,))))


def test_inspect_shows_the_first_and_lists_them_all(tmp_path: Path) -> None:
    lines = inspect(nxdata(tmp_path / "a.nxs")).lines
    assert ("axis", "T: 15, 150, 300; choose one with --at T=15") in lines
    assert ("note", "the data at T = 15 K are used") in lines
    lines = inspect(tmp_path / "a.nxs", options=ReadOptions(at=Coordinates("T", (300.0,)))).lines
    assert ("note", "the data at T = 300 K are used") in lines


def test_all_values_are_factorised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = nxdata(tmp_path / "scan.nxs"), tmp_path / "out"
    words = ["factorize", str(path), "--at", "T=all", "--passes", "0"]
    assert main([*words, "-o", str(tmp_path / "x.nxs")]) == 2
    assert "the request covers several planes; use --out FOLDER" in capsys.readouterr().err
    assert main([*words, "--out", str(out)]) == 0
    for temperature in TEMPERATURES:
        with h5py.File(out / f"scan_T{temperature:g}.nxs") as file:
            np.testing.assert_allclose(file["entry/input/data"][()], plane(temperature), rtol=1e-6)
    planes = json.loads((out / "summary.json").read_text())["planes"]
    assert [each["at"] for each in planes] == ["T=15", "T=150", "T=300"]
    assert main([*words, "--out", str(out)]) == 0
    assert "3 skipped" in capsys.readouterr().out


def test_results_of_several_values_and_planes(tmp_path: Path) -> None:
    path = nxdata(tmp_path / "scan.nxs")
    request = parse_options({"at": "T=15, 300", "planes": "hk1, hhl"})
    names = [job.output.name for job in plan_jobs([path], tmp_path / "out", request)]
    assert names == ["scan_T15_hk1.nxs", "scan_T15_hhl.nxs", "scan_T300_hk1.nxs", "scan_T300_hhl.nxs"]
    (job,) = plan_jobs([path], tmp_path / "out", parse_options({"at": "pressure=all"}))
    assert job.refusal is not None and job.refusal.endswith("the file has T; expected an axis pressure")


@pytest.mark.parametrize("text", ["", "T", "T=", "=5", "T=warm", "T=nan", "T=all 5"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="expected the name of an axis and a number"):
        parse_coordinates(text)
