"""`dsfunet factorize --volume` from a file to a result, and what it refuses."""

from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from dsfunet.cli.main import main
from dsfunet.errors import InputError
from dsfunet.factorize.volume import VolumeSettings, factorize_volume
from dsfunet.io.volume_results import is_volume_result, open_volume_result, read_correlations
from tests.virtual_volumes import measure_volume


def _write_yell(path: Path, data: np.ndarray, lower: float = -2.0, step: float = 0.1) -> Path:
    with h5py.File(path, "w") as file:
        file["format"] = "Yell 1.0"
        file["data"] = data
        file["lower_limits"], file["step_sizes"] = np.full(3, lower), np.full(3, step)
        file["unit_cell"] = [4.0, 4.0, 4.0, 90.0, 90.0, 90.0]
        file["is_direct"] = 0
    return path


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("volume")
    volume = measure_volume("P alloy", 0, (2.0, 2.0, 2.0), (1 / 14, 1 / 14, 1 / 14), 2000.0, missing=True)
    data = np.where(volume.mask, volume.counts, np.nan)
    factorize_volume(
        _write_yell(folder / "alloy.h5", data, step=1 / 14),
        folder / "alloy.nxs",
        VolumeSettings(centring="P"),
    )
    return folder / "alloy.nxs"


def test_the_result_holds_both_factors_on_the_grid_of_the_file(result: Path) -> None:
    volume = measure_volume("P alloy", 0, (2.0, 2.0, 2.0), (1 / 14, 1 / 14, 1 / 14), 2000.0, missing=True)
    assert is_volume_result(result)
    with open_volume_result(result) as found:
        read = {name: dataset[()] for name, dataset in found.datasets.items()}
        assert np.allclose(found.axes[0], volume.axes[0])
    assert np.array_equal(read["mask"].astype(bool), volume.mask)
    assert np.allclose(read["product"], read["form_factor"] * read["short_range_order"], rtol=1e-5)
    assert np.allclose(read["form_factor"], read["form_factor"][::-1, ::-1, ::-1])
    assert np.corrcoef(read["form_factor"].reshape(-1), volume.form_factor.reshape(-1))[0, 1] > 0.995
    away = (read["short_range_order"] - volume.order) / read["sigma_short_range_order"]
    assert np.mean(np.abs(away) < 2) > 0.75


def test_the_correlations_are_in_the_result(result: Path) -> None:
    volume = measure_volume("P alloy", 0, (2.0, 2.0, 2.0), (1 / 14, 1 / 14, 1 / 14), 2000.0, missing=True)
    found = read_correlations(result)
    truth = [
        volume.correlations.count_pairs(tuple(2 * int(each) for each in vector))
        for vector in found.vectors[:9]
    ]
    assert found.centring == "P"
    assert np.abs(found.alphas[:9] - truth).max() < 0.003
    assert found.covariance.shape == (len(found.alphas),) * 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--volume"], "--volume splits one file; use it with one file and --output FILE"),
        (
            ["--volume", "-o", "x.nxs", "--plane", "hk0"],
            "--plane hk0: it does not apply to --volume; leave it out",
        ),
        (["--volume", "-o", "x.nxs", "--seed", "-1"], "--seed -1: expected 0 or more"),
    ],
)
def test_options_that_do_not_apply_are_refused(
    options: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    file = _write_yell(tmp_path / "alloy.h5", np.ones((41, 41, 41)))
    assert main(["factorize", str(file), *options]) != 0
    assert message in capsys.readouterr().err
    assert not (tmp_path / "x.nxs").exists()


def test_a_single_layer_is_no_volume(tmp_path: Path) -> None:
    file = _write_yell(tmp_path / "layer.h5", np.ones((41, 41, 1)))
    with pytest.raises(
        InputError, match="one voxel thick along l; expected a volume, or a plane without --volume"
    ):
        factorize_volume(file, tmp_path / "layer.nxs")
    assert not (tmp_path / "layer.nxs").exists()


def test_a_disk_without_room_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = _write_yell(tmp_path / "alloy.h5", np.ones((41, 41, 41)))
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(InputError, match=r"the disk has 0\.0 GB free; expected at least"):
        factorize_volume(file, tmp_path / "alloy.nxs")
    assert [path.name for path in tmp_path.iterdir()] == ["alloy.h5"]


def test_the_input_is_not_overwritten(tmp_path: Path) -> None:
    file = _write_yell(tmp_path / "alloy.h5", np.ones((41, 41, 41)))
    with pytest.raises(InputError, match="this is the input; expected another file for the result"):
        factorize_volume(file, file)


@pytest.mark.parametrize("axis", [0, 2])
def test_layers_with_scales_of_their_own_are_noted(axis: int, tmp_path: Path) -> None:
    volume = measure_volume("P alloy", 2, (1.5, 1.5, 1.5), (1 / 10, 1 / 10, 1 / 10), 2000.0)
    settings = VolumeSettings(centring="P")
    good = _write_yell(tmp_path / "good.h5", volume.counts, lower=-1.5, step=1 / 10)
    notes = factorize_volume(good, tmp_path / "good.nxs", settings).notes
    assert not any("not on one scale" in note for note in notes)
    shape = [1, 1, 1]
    shape[axis] = -1
    factors = np.random.default_rng(0).normal(1.0, 0.08, 31).reshape(shape)
    bad = _write_yell(tmp_path / "bad.h5", volume.counts * factors, lower=-1.5, step=1 / 10)
    notes = factorize_volume(bad, tmp_path / "bad.nxs", settings).notes
    (note,) = (note for note in notes if "not on one scale" in note)
    assert note.startswith(f"layers of constant {'hkl'[axis]} are not on one scale: ")


@pytest.mark.parametrize(
    ("data", "step", "message"),
    [
        (np.ones((33, 33, 33)), 1 / 64, "spans 0.5 r.l.u. along h, 0.5 of the zones"),  # less than one cell
        (np.ones((17, 17, 17)), 1 / 16, "found 4913 measured voxels for "),  # fewer voxels than parameters
        (np.full((21, 21, 21), np.nan), 1 / 10, "found 0 measured voxels; expected 2000 or more"),
    ],
)
def test_too_little_is_one_sentence(
    data: np.ndarray,
    step: float,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = _write_yell(tmp_path / "a.h5", data, lower=-step * (len(data) // 2), step=step)
    assert main(["factorize", str(file), "--volume", "--centring", "P", "-o", str(tmp_path / "a.nxs")]) == 2
    printed = capsys.readouterr().err.strip()
    assert message in printed and printed.count("\n") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]
