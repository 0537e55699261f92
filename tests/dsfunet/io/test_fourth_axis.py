"""A fourth axis of the data: one value of it is read, or all are factorised one after another."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from dsfunet.cli.main import main
from dsfunet.errors import InputError
from dsfunet.factorize.jobs import plan_jobs
from dsfunet.factorize.options import parse_options
from dsfunet.inspection.describe import inspect
from dsfunet.io import ReadOptions, read_plane
from dsfunet.io.fourth_axis import Coordinates, parse_coordinates

TEMPERATURES = (15.0, 150.0, 300.0)
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
