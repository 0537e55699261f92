"""`dsfunet pdf`, in process: volumes and results in, a file that Yell and NeXus viewers read out."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from dsfunet.cli.main import main
from tests.dsfunet.analysis.pair_distribution.volumes import (
    OBLIQUE,
    Array,
    write_nxdata,
    write_result,
    write_yell,
)

LOWER, STEPS = (-1.2, -1.2, -1.2), (0.2, 0.2, 0.2)


def pdf(*arguments: object) -> int:
    return main(["pdf", *map(str, arguments)])


def random_volume() -> Array:
    return np.random.default_rng(2).gamma(2.0, 1.0, (13, 13, 13))


def read_map(path: Path) -> Array:
    with h5py.File(path) as file:
        return np.asarray(file["data"][()], float)


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    return write_yell(tmp_path / "volume.h5", random_volume(), LOWER, STEPS)


def test_file_is_yell_and_nexus(volume: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "pdf.h5"
    assert pdf(volume, "-o", target, "--picture", tmp_path / "pdf.png") == 0
    with h5py.File(target) as file:
        assert file["format"][()] == b"Yell 1.0" and file["is_direct"][()] == 1
        np.testing.assert_allclose(file["unit_cell"][()], OBLIQUE)
        lower, steps = file["lower_limits"][()], file["step_sizes"][()]
        np.testing.assert_allclose(steps, 1 / (13 * 0.2))
        np.testing.assert_allclose(lower, -6 * steps)
        data = file["data"]
        assert data.dtype == np.float32 and data.shape == (13, 13, 13)
        assert np.unravel_index(np.argmax(data[()]), data.shape) == (6, 6, 6)
        np.testing.assert_allclose(data[()], data[::, ::, ::][::-1, ::-1, ::-1], atol=1e-6 * data[6, 6, 6])
        group = file[f"{file.attrs['default']}/{file['entry'].attrs['default']}"]
        assert group[group.attrs["signal"]] == data
        assert list(group.attrs["axes"]) == ["u", "v", "w"]
        np.testing.assert_allclose(group["u"][()], lower[0] + steps[0] * np.arange(13))
    printed = capsys.readouterr().out
    assert "u: 13 of 0.384615 cells (1.923 Å)" in printed and "missing    0.00 %" in printed
    assert (tmp_path / "pdf.png").read_bytes().startswith(b"\x89PNG")
    assert main(["inspect", str(target)]) == 2
    assert "real space (3D-PDF)" in capsys.readouterr().err


def test_every_part_of_a_result_is_transformed(tmp_path: Path) -> None:
    parts = {
        name: np.random.default_rng(number).gamma(2.0, 1.0, (13, 13, 13))
        for number, name in enumerate(("input", "form_factor", "short_range_order", "product", "residual"))
    }
    result = write_result(tmp_path / "result.nxs", {**parts, "mask": np.ones((13, 13, 13))}, STEPS)
    assert pdf(result, "-o", tmp_path / "map.h5", "--of", "all") == 0
    for name, values in parts.items():
        alone = write_yell(tmp_path / "alone.h5", values, LOWER, STEPS)
        assert pdf(alone, "-o", tmp_path / "alone_map.h5") == 0
        expected = read_map(tmp_path / "alone_map.h5")
        np.testing.assert_allclose(
            read_map(tmp_path / f"map.{name}.h5"), expected, atol=1e-6 * expected.max()
        )
    assert pdf(result, "-o", tmp_path / "one.h5", "--of", "short-range-order") == 0
    np.testing.assert_array_equal(
        read_map(tmp_path / "one.h5"), read_map(tmp_path / "map.short_range_order.h5")
    )


def test_nothing_is_written_if_a_part_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = write_result(
        tmp_path / "result.nxs", {"input": random_volume(), "mask": np.ones((13, 13, 13))}, STEPS
    )
    assert pdf(result, "-o", tmp_path / "map.h5", "--of", "all") == 2
    assert "the result has no form_factor" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["result.nxs"]


def test_product_fills_holes_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = random_volume()
    values = (values + values[::-1, ::-1, ::-1]) / 2
    mask = np.ones(values.shape)
    mask[2:5, 3:8], mask[8:11, 5:10] = 0, 0
    parts = {"input": np.where(mask, values, 99.0), "mask": mask, "product": values}
    result = write_result(tmp_path / "result.nxs", parts, STEPS)
    complete = write_yell(tmp_path / "complete.h5", values, LOWER, STEPS)
    for path, name, more in (
        (result, "filled", ["--fill", "product"]),
        (complete, "whole", []),
        (result, "holes", []),
    ):
        assert pdf(path, "-o", tmp_path / f"{name}.h5", *more) == 0
    filled, whole, holes = (read_map(tmp_path / f"{name}.h5") for name in ("filled", "whole", "holes"))
    np.testing.assert_allclose(filled, whole, atol=1e-6 * whole.max())
    assert holes.max() < 0.95 * whole.max()
    printed = capsys.readouterr().out
    assert "% filled by the product" in printed and "of the window is empty" in printed


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--resolution", "small"], "--resolution small: this is not one or three positive lengths"),
        (["--extent", "0.1 cells"], "along u that is less than one voxel"),
        (["--resolution", "30"], "leaves no voxels of the volume"),
        (["--radius", "2", "--window", "none"], "--radius and --window none: found both"),
        (["--of", "product"], "not a result of dsfunet, so it has no product"),
        (["--of", "everything"], "--of is everything; expected input, form_factor"),
        (["--fill", "product"], "not a result of dsfunet, so it has no product"),
        (["--window", "round"], "--window is 'round'; expected"),
        (["--picture", "nowhere/pdf.png"], "the directory nowhere does not exist"),
    ],
)
def test_bad_requests_are_one_sentence(
    volume: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    try:
        code: Any = pdf(volume, "-o", tmp_path / "pdf.h5", *arguments)
    except SystemExit as exit:
        code = exit.code
    assert code == 2
    error = capsys.readouterr().err.strip()
    assert sentence in error and "\n" not in error
    assert [path.name for path in tmp_path.iterdir()] == ["volume.h5"]


def test_a_cell_can_be_given_where_there_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_yell(tmp_path / "cell.h5", random_volume(), LOWER, STEPS, (1, 1, 1, 90, 90, 90))
    same = write_yell(tmp_path / "same.h5", random_volume(), LOWER, STEPS)
    cell = " ".join(map(str, OBLIQUE))
    assert pdf(path, "-o", tmp_path / "given.h5", "--cell", cell) == 0
    assert pdf(same, "-o", tmp_path / "own.h5") == 0
    np.testing.assert_array_equal(read_map(tmp_path / "given.h5"), read_map(tmp_path / "own.h5"))
    assert pdf(same, "-o", tmp_path / "both.h5", "--cell", cell) == 2
    assert "the file has a unit cell; remove --cell" in capsys.readouterr().err


def test_bad_files_are_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = random_volume()
    files = {
        "one voxel along l": write_yell(tmp_path / "layer.h5", values[:, :, :1], LOWER, STEPS),
        "expected h = 0 on a voxel or half-way": write_yell(
            tmp_path / "shifted.h5", values, (-1.23, -1.2, -1.2), STEPS
        ),
        "placeholder and not a cell": write_yell(
            tmp_path / "cell.h5", values, LOWER, STEPS, (1, 1, 1, 90, 90, 90)
        ),
        "no voxel in the window was measured": write_yell(
            tmp_path / "empty.h5", values * np.nan, LOWER, STEPS
        ),
        "no such file": tmp_path / "missing.h5",
        "has no product": write_nxdata(tmp_path / "plain.nxs", values, LOWER, STEPS),
    }
    for sentence, path in files.items():
        more = ["--of", "product"] if "product" in sentence else []
        assert pdf(path, "-o", tmp_path / "out.h5", *more) == 2
        error = capsys.readouterr().err.strip()
        assert sentence in error and str(path) in error and "\n" not in error
        assert not (tmp_path / "out.h5").exists()
    whole = write_yell(tmp_path / "whole.h5", values, LOWER, STEPS)
    before = whole.read_bytes()
    assert pdf(whole, "-o", whole) == 2 and whole.read_bytes() == before
    assert "this is the volume" in capsys.readouterr().err
