"""Parts of results, of planes and of volumes, described and converted."""

from pathlib import Path

import numpy as np
import pytest

from dsfunet.cli.main import main
from dsfunet.inspection.describe import inspect
from dsfunet.io import PlaneGrid, Result, parse_plane, read_plane, write_result
from dsfunet.io.volume_results import VOLUMES, VolumeCorrelations, create_volume_result
from dsfunet.physics import Cell

H, K, L = np.linspace(-2, 2, 9), np.linspace(-2, 2, 17), np.linspace(-1, 1, 5)
CELL = Cell(5, 6, 7, 90, 100, 90)


def part(name: str) -> np.ndarray:
    values = H[:, None, None] + 10 * K[:, None] + 100 * L + 1000 * (1 + VOLUMES.index(name))
    return np.asarray(np.ones(values.shape) if name == "mask" else values)


def of_volume(path: Path) -> Path:
    correlations = VolumeCorrelations(
        CELL, "P", np.eye(3), np.array([0.2, -0.1, 0.05]), np.eye(3), np.zeros(3), {"centring": "P"}
    )
    with create_volume_result(
        path, (H, K, L), correlations, {"source": "crystal.h5", "r_factor": 0.02}
    ) as writer:
        writer.write(slice(0, len(H)), {name: part(name) for name in VOLUMES})
    return path


def of_plane(path: Path, name: str = "hk1") -> Path:
    grid = PlaneGrid(CELL, parse_plane(name), H, K)
    planes = [
        part(each)[:, :, 4] for each in ("form_factor", "short_range_order", "input", "product", "residual")
    ]
    form_factor, order, measured, product, residual = planes
    write_result(path, Result(measured, form_factor, order, product, residual, measured > 0, grid))
    return path


def test_the_result_of_a_volume_is_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = of_volume(tmp_path / "a.nxs")
    lines = dict(inspect(path).lines)
    assert lines["made from"].startswith("crystal.h5 20") and lines["axis l"].startswith("from -1 to 1")
    assert lines["alphas"].startswith("3 Warren-Cowley parameters of the crystal, up to 0.2, for P")
    assert lines["brightest"].startswith(f"{part('input')[:, :, 2].max():.6g}")
    for options in ({"part": "product"}, {"plane": "product"}):
        assert dict(inspect(path, **options).lines)["brightest"].startswith(
            f"{part('product')[:, :, 2].max():.6g}"
        )
    picture = tmp_path / "a.png"
    assert main(["inspect", str(path), "--of", "form_factor", "--plane", "hk1", "--png", str(picture)]) == 0
    assert picture.stat().st_size > 1000
    assert main(["inspect", str(path), "--of", "nothing"]) == 2
    assert "the result has no nothing; expected one of form_factor, input, " in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".h5", ".nxs", ".npz"])
@pytest.mark.parametrize("name", [None, "short_range_order", "sigma_form_factor"])
def test_parts_of_a_volume_are_converted(tmp_path: Path, suffix: str, name: str | None) -> None:
    path, target = of_volume(tmp_path / "a.nxs"), tmp_path / f"b{suffix}"
    options = [] if name is None else ["--of", name]
    assert main(["convert", str(path), str(target), *options]) == 0
    expected = part(name or "input")
    for plane, values in (("hk1", expected[:, :, 4]), ("h0l", expected[:, 8]), ("1kl", expected[6])):
        found = read_plane(target, plane)
        np.testing.assert_allclose(found.intensity, values, rtol=1e-6)
        assert found.grid is not None and found.grid.cell.parameters == CELL.parameters
    assert main(["convert", str(path), str(target), "--plane", "hk-1", *options]) == 0
    np.testing.assert_allclose(read_plane(target).intensity, expected[:, :, 0], rtol=1e-6)


@pytest.mark.parametrize("name", ["hk1", "hhl"])
def test_parts_of_a_plane_are_converted(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path, target = of_plane(tmp_path / "a.nxs", name), tmp_path / "b.npz"
    assert main(["convert", str(path), str(target), "--of", "form_factor"]) == 0
    found = read_plane(target)
    np.testing.assert_allclose(found.intensity, part("form_factor")[:, :, 4], rtol=1e-6)
    assert found.grid is not None and str(found.grid.name) == name
    assert main(["convert", str(path), str(target), "--of", "nothing"]) == 2
    assert "the result has no part 'nothing'; expected one of input, form_factor" in capsys.readouterr().err
    assert main(["convert", str(path), str(target), "--of", "product", "--plane", "h1l"]) == 2
    assert f"the file holds plane {name}, not h1l; request that plane or none" in capsys.readouterr().err
    assert main(["convert", "examples/cresol_benzene.h5", str(target), "--of", "product"]) == 2
    assert "--of product is for results of dsfunet" in capsys.readouterr().err
