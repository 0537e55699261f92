"""`dsfunet refine`, in process: a result with known alphas in, table and files out; bad requests are one line."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import numpy.typing as npt
import pytest

from dsfunet.analysis.refinement.terms import orbit_series
from dsfunet.cli.main import main
from dsfunet.io import PlaneGrid, Result, parse_plane_name, write_result
from dsfunet.physics import Cell
from dsfunet.physics.product import fit_product
from dsfunet.physics.symmetry import laue_rotations, nearest_shells, symmetric_metric
from dsfunet.planes.names import parse_plane

Array = npt.NDArray[np.float64]

CELL = Cell(14.12, 14.12, 6.934, 90, 90, 120)
CELL_TEXT = "14.12 14.12 6.934 90 90 120"
SPANNED = PlaneGrid(CELL, parse_plane("hhl"), np.linspace(-4, 4, 73), np.linspace(-4, 4, 73))
ALPHAS = np.array([-0.15, 0.06, 0.04])


def make_result(noise: float = 0.0, **changes: Any) -> Result:
    """hk1 of a hexagonal crystal: three shells in the plane, a form factor that falls off, a corner not measured."""
    grid = PlaneGrid(CELL, parse_plane_name("hk1"), np.linspace(-4, 4, 73), np.linspace(-4, 4, 73))
    orbits = nearest_shells(3, laue_rotations("6/m"), symmetric_metric(CELL, "6/m"), 2)
    order = 1 + sum(alpha * orbit_series(orbit, grid) for alpha, orbit in zip(ALPHAS, orbits, strict=True))
    factor = 0.05 + np.exp(-grid.plane.q_squared() / 4)
    random = np.random.default_rng(5)
    measured = 800 * factor * order + noise * 800 * random.normal(size=grid.shape)
    measured[:10, :20] = np.nan
    mask = np.isfinite(measured)
    periodic, smooth = ((each - each.min()) / np.ptp(each) for each in (order, factor))
    periodic = periodic + noise * random.normal(size=grid.shape)
    product = fit_product(measured, smooth, periodic, mask)
    process: dict[str, str | int | float] = {
        "scale": product.scale,
        "form_factor_floor": product.form_factor_floor,
        "short_range_order_floor": product.short_range_order_floor,
    }
    planes: dict[str, Any] = {
        "input": measured,
        "form_factor": smooth,
        "short_range_order": periodic,
        "product": product.intensity,
        "residual": measured - product.intensity,
        "mask": mask,
        "grid": grid,
        "process": process,
    }
    return Result(**(planes | changes))


@pytest.fixture
def result_file(tmp_path: Path) -> Path:
    path = tmp_path / "OUT.nxs"
    write_result(path, make_result(noise=0.01))
    return path


def refine(*arguments: object) -> int:
    """Refine alphas: the crystal of `make_result` has no order along c."""
    words = list(map(str, arguments))
    stated = [] if "--out-of-plane" in words else ["--no-order-along-axis", "true"]
    return main(["refine", *words, *stated])


def test_known_alphas_come_out_in_all_files(
    tmp_path: Path, result_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refine(result_file, "--cell", CELL_TEXT, "--laue", "6/m", "--shells", 5) == 0
    files = {path.suffix: path for path in tmp_path.iterdir() if path != result_file}
    assert sorted(path.name for path in files.values()) == [
        f"OUT.refine.{s}" for s in ("cif", "csv", "json", "png")
    ]

    found = json.loads(files[".json"].read_text(encoding="utf-8"))
    alphas = np.array([each["value"] for each in found["alphas"]])
    sigmas = np.array([each["standard_uncertainty"] for each in found["alphas"]])
    assert found["parameters"] == ["scale", "1 0 0", "2 1 0", "2 0 0", "3 1 0", "1 3 0", "3 0 0"]
    assert np.all(np.abs(alphas - [*ALPHAS, 0, 0, 0]) < 4 * sigmas) and 0 < sigmas.max() < 0.01
    assert np.shape(found["correlations"]) == (7, 7)
    # Nine by nine zones less two under the mask; of the groups of six some are cut by the edge of the plane.
    assert found["quality"]["zones"] == 79 and found["quality"]["independent_zones"] == 21
    assert found["quality"]["r_factor"] < 0.05
    assert found["quality"]["chi_squared"] / found["quality"]["degrees_of_freedom"] < 2
    assert len(found["folded"]["observed"]) == len(found["folded"]["centres"])

    rows = list(csv.DictReader(files[".csv"].read_text(encoding="utf-8").splitlines()))
    np.testing.assert_allclose([float(row["alpha"]) for row in rows], alphas, rtol=1e-6)
    assert [row["equivalents"] for row in rows] == ["6"] * 6
    block = gemmi.cif.read(str(files[".cif"])).sole_block()
    assert block.find_value("_cell_length_a") == "14.12"
    np.testing.assert_allclose(
        [gemmi.cif.as_number(text) for text in block.find_values("_dsfunet_sro_alpha")],
        alphas,
        atol=sigmas.max(),
    )
    assert files[".png"].read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    printed = capsys.readouterr().out
    first = next(line for line in printed.splitlines() if line.startswith("  1  0  0"))
    assert first.split()[-1] == next(iter(block.find_values("_dsfunet_sro_alpha")))
    assert "R = " in printed and "independent under 6/m" in printed and str(files[".cif"]) in printed


@pytest.mark.slow
def test_without_noise_alphas_are_exact_and_the_zones_say_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "exact.nxs"
    write_result(path, make_result())
    for fit_to in ("short-range-order", "measured"):
        prefix = tmp_path / fit_to
        assert refine(path, "--laue", "6/m", "--shells", 3, "--fit-to", fit_to, "-o", prefix) == 0
        assert "all zones agree to rounding, so their scatter" in capsys.readouterr().out
        found = json.loads(prefix.with_name(f"{fit_to}.refine.json").read_text(encoding="utf-8"))
        np.testing.assert_allclose([each["value"] for each in found["alphas"]], ALPHAS, atol=1e-4)
        assert found["quality"]["chi_squared"] is None


@pytest.mark.slow
def test_chosen_vectors_bounds_and_other_options(tmp_path: Path, result_file: Path) -> None:
    def refined(*options: object) -> Any:
        assert refine(result_file, "-o", tmp_path / "x", *options) == 0
        return json.loads((tmp_path / "x.refine.json").read_text(encoding="utf-8"))

    chosen = ["--vectors", "2 1 0, 1 0 0", "--laue"]
    assert refined(*chosen, "-3m1")["parameters"] == ["scale", "2 1 0", "1 0 0"]
    bounded = refined("--laue", "6/m", "--shells", 3, "--bounds", "true", "--concentration", 0.1)
    assert bounded["alphas"][0]["value"] == pytest.approx(-1 / 9)
    assert bounded["alphas"][0]["at_bound"] == "at lower bound"
    assert bounded["alphas"][0]["standard_uncertainty"] is None and bounded["correlations"][1][2] is None
    assert "at lower bound" in (tmp_path / "x.refine.csv").read_text(encoding="utf-8")
    order = ["--fit-to", "short-range-order", "--laue", "6/m"]
    recorded = refined(*order)["settings"]
    assert recorded["floor"] > 0.1 and recorded["floor_uncertainty"] > 0
    fixed = refined(*order, "--floor", 0.5)
    assert (fixed["settings"]["floor"], fixed["settings"]["floor_uncertainty"]) == (0.5, 0)
    fewer = refined(*order, "--exclude-below", 0.3, "--errors-from", "pixels")
    assert fewer["quality"]["pixels"] < 0.6 * fixed["quality"]["pixels"]


@pytest.mark.slow
def test_uncertainties_of_pixels_are_used(tmp_path: Path) -> None:
    sigma = np.full((73, 73), 0.01)
    sigma[40:] = np.inf
    write_result(tmp_path / "a.nxs", make_result(noise=0.01, sigma_short_range_order=sigma))
    assert refine(tmp_path / "a.nxs", "--laue", "6/m", "--fit-to", "short-range-order") == 0
    found = json.loads((tmp_path / "a.refine.json").read_text(encoding="utf-8"))
    pixels = found["quality"]["pixels"]
    assert found["settings"]["weights"] == "1/sigma^2" and pixels <= 40 * 73
    assert found["quality"]["pixel_chi_squared"] / pixels == pytest.approx(1, abs=0.15)


def test_floors_that_were_not_recorded_are_fitted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_result(tmp_path / "a.nxs", make_result(process={}))
    assert refine(tmp_path / "a.nxs", "--laue", "6/m", "--shells", 3) == 0
    assert "does not record its scale and floors" in capsys.readouterr().out
    found = json.loads((tmp_path / "a.refine.json").read_text(encoding="utf-8"))
    np.testing.assert_allclose([each["value"] for each in found["alphas"]], ALPHAS, atol=1e-4)


BAD_REQUESTS: dict[str, tuple[list[str], str]] = {
    "no class": ([], "--laue: found none; expected the Laue class of the crystal, one of -1, 2/m"),
    "no such class": (["--laue", "7/m"], "Laue class '7/m': expected one of"),
    "class of another cell": (["--laue", "4/m"], "it does not obey Laue class 4/m; expected a cell such as"),
    "cell of one number": (["--laue", "6/m", "--cell", "14"], "this is not six numbers; expected"),
    "cell of words": (["--laue", "6/m", "--cell", "a b c d e f"], "this is not six numbers; expected"),
    "cell that does not close": (
        ["--laue", "6/m", "--cell", "5 5 5 150 150 150"],
        "angles do not form a cell",
    ),
    "another cell": (["--laue", "6/m", "--cell", "5 5 7 90 90 120"], "expected agreement within 5 %"),
    "more parameters than data": (
        ["--laue", "-1", "--shells", "100", "--exclude-below", "0.99"],
        "pixels to fit",
    ),
    "out of the plane": (["--laue", "6/m", "--vectors", "0 0 1"], "component along c"),
    "not distinguishable": (
        ["--laue", "6/m", "--vectors", "1 0 0, 0 0 1", "--out-of-plane", "true"],
        "Laue class 6/m maps c onto itself, so layers on scales of their own leave open any order along c",
    ),
    "no vector": (
        ["--laue", "6/m", "--vectors", "1 0"],
        "vector 1 0: expected three integers; two components are",
    ),
    "huge vector": (["--laue", "6/m", "--vectors", "1 0 999"], "indices from -50 to 50"),
    "both": (["--laue", "6/m", "--vectors", "1 0 0", "--shells", "3"], "found both; use one of them"),
    "no shells": (["--laue", "6/m", "--shells", "0"], "--shells is 0; expected 1 to 100"),
    "bounds of what": (["--laue", "6/m", "--bounds", "true"], "found no concentration; give"),
    "no share": (
        ["--laue", "6/m", "--bounds", "true", "--concentration", "1.5"],
        "--concentration is 1.5; expected",
    ),
    "share without bounds": (
        ["--laue", "6/m", "--concentration", "0.5"],
        "used only with bounds; add --bounds true",
    ),
    "all excluded": (
        ["--laue", "6/m", "--exclude-below", "1.5"],
        "--exclude-below is 1.5; expected a fraction",
    ),
    "negative floor": (
        ["--laue", "6/m", "--fit-to", "short-range-order", "--floor=-1"],
        "--floor is -1; expected 0 or more",
    ),
    "floor of I": (["--laue", "6/m", "--floor", "0.1"], "applies only to I_SRO; add --fit-to"),
    "no axis": (["--laue", "6/m", "--unique-axis", "a"], "or --unique-axis c, which fits"),
    "no folder": (["--laue", "6/m", "-o", "nowhere/x"], "does not exist"),
}


@pytest.mark.parametrize("case", BAD_REQUESTS)
def test_bad_requests(
    case: str,
    tmp_path: Path,
    result_file: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, message = BAD_REQUESTS[case]
    assert refine(result_file, *arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and message in captured.err, captured.err
    assert list(tmp_path.iterdir()) == [result_file]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid": None}, "the result has no unit cell and axes; expected"),
        (
            {"grid": SPANNED},
            "plane hhl: this plane is spanned by [h h 0] and [0 0 l]; expected a plane along two axes of the cell",
        ),
        ({"short_range_order": np.full((73, 73), 0.25)}, "I_SRO is 0.25 in every measured pixel"),
        ({"mask": np.zeros((73, 73), bool)}, "found no measured pixel above 0"),
        ({"form_factor": np.zeros((73, 73)), "process": {}}, "the form factor is 0 in every measured pixel"),
    ],
)
def test_results_that_cannot_be_refined(
    changes: dict[str, Any], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.nxs"
    write_result(path, make_result(**changes))
    assert refine(path, "--laue", "6/m") == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and message in captured.err, captured.err
    assert list(tmp_path.iterdir()) == [path]


def test_no_result_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert refine(tmp_path / "nothing.nxs", "--laue", "6/m") == 2
    (tmp_path / "text.nxs").write_text("no HDF5", encoding="utf-8")
    assert refine(tmp_path / "text.nxs", "--laue", "6/m") == 2
    first, second = capsys.readouterr().err.splitlines()
    assert "no such file" in first and "not a result of dsfunet" in second


def test_a_form_factor_that_the_plane_corrected_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = make_result(noise=0.01)
    process = {**result.process, "lattice_mode": "used (wR2 0.1 on the lattice, 0.2 by the networks alone)"}
    write_result(tmp_path / "a.nxs", make_result(noise=0.01, process=process))
    assert refine(tmp_path / "a.nxs", "--laue", "6/m", "--shells", 3) == 0
    assert "two to four times too small" in capsys.readouterr().out


@pytest.mark.slow
def test_the_plane_is_fitted_with_the_form_factor_of_the_networks_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What lattice mode made of it, here something else, is left aside, whatever its scale and floors."""
    result = make_result(noise=0.01)
    other = np.sqrt(result.form_factor)
    process = {**result.process, "scale": 1e9, "lattice_mode": "used"}
    both = replace(result, form_factor=other, form_factor_of_networks=result.form_factor, process=process)
    for name, each in (("alone", result), ("both", both)):
        write_result(tmp_path / f"{name}.nxs", each)
        assert refine(tmp_path / f"{name}.nxs", "--laue", "6/m", "--shells", 3) == 0
    assert "too small" not in capsys.readouterr().out
    alone, of_both = (
        json.loads((tmp_path / f"{name}.refine.json").read_text(encoding="utf-8"))["alphas"]
        for name in ("alone", "both")
    )
    for one, other_one in zip(alone, of_both, strict=True):
        assert other_one["value"] == pytest.approx(one["value"], abs=1e-6)
        assert other_one["standard_uncertainty"] == pytest.approx(one["standard_uncertainty"], rel=1e-3)


@pytest.mark.slow
def test_what_is_dark_in_the_plane_counts_unless_its_form_factor_is(tmp_path: Path) -> None:
    """Leaving out dark pixels of what is fitted would leave out low values of I_SRO and take noise for order."""
    write_result(tmp_path / "a.nxs", make_result(noise=0.05))

    def refined(share: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], int]:
        assert refine(tmp_path / "a.nxs", "--laue", "6/m", "--shells", 3, "--exclude-below", share) == 0
        found = json.loads((tmp_path / "a.refine.json").read_text(encoding="utf-8"))
        values, sigmas = (
            np.array([each[name] for each in found["alphas"]]) for name in ("value", "standard_uncertainty")
        )
        return values, sigmas, found["quality"]["pixels"]

    all_values, all_sigmas, all_pixels = refined(0)
    values, sigmas, pixels = refined(0.6)
    assert pixels < 0.7 * all_pixels and all_pixels > 0.96 * 73**2
    for found, sigma in ((all_values, all_sigmas), (values, sigmas)):
        assert np.all(np.abs(found - [*ALPHAS, *[0] * (len(found) - 3)]) < 4 * sigma)
