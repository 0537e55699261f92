"""Several planes of one crystal, one set of alphas: exact, more than each plane sees alone, honest error bars."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import gaussian_filter

from dsfunet._typing import Integers
from dsfunet.analysis.refinement.bilinear import Term, fit_bilinear
from dsfunet.analysis.refinement.data import PlaneData
from dsfunet.analysis.refinement.fit import refine
from dsfunet.analysis.refinement.terms import orbit_series
from dsfunet.analysis.refinement.zones import zones_of
from dsfunet.cli.main import main
from dsfunet.errors import InputError
from dsfunet.io import PlaneGrid, Result, parse_plane_name, write_result
from dsfunet.physics import Cell
from dsfunet.physics.symmetry import (
    LAUE_CLASSES,
    Orbit,
    laue_rotations,
    nearest_shells,
    orbits_of,
    symmetric_metric,
)
from tests.dsfunet.physics.test_symmetry import CELLS

Array = npt.NDArray[np.float64]


def make_plane(cell: Cell, name: str, rotations: Integers, half_width: float = 2.5) -> PlaneData:
    """A plane of about ten pixels a zone whose corner was not measured; its values are to be filled in."""
    rows, columns = np.linspace(-half_width, half_width, 46), np.linspace(-half_width, half_width, 50)
    grid = PlaneGrid(cell, parse_plane_name(name), rows, columns)
    weights = np.ones(grid.shape)
    weights[:9, 20:40] = 0
    return PlaneData(grid, zones_of(grid, rotations), np.zeros(grid.shape), weights)


def with_values(
    plane: PlaneData, orbits: list[Orbit], alphas: Array, scale: float, noise: Array | float = 0.0
) -> PlaneData:
    series = sum(alpha * orbit_series(orbit, plane.grid) for alpha, orbit in zip(alphas, orbits, strict=True))
    values = np.where(plane.weights > 0, scale * (1 + series + noise), np.nan)
    return PlaneData(plane.grid, plane.zones, values, plane.weights)


@pytest.mark.parametrize("laue", LAUE_CLASSES)
def test_exact_planes_of_three_kinds_give_exact_alphas(laue: str) -> None:
    cell, rotations = CELLS[laue], laue_rotations(laue)
    orbits = nearest_shells(4, rotations, symmetric_metric(cell, laue))
    alphas = np.random.default_rng(4).normal(scale=0.05, size=len(orbits))
    scales = [0.4, 300.0, 2e-3]
    planes = [
        with_values(make_plane(cell, name, rotations), orbits, alphas, scale)
        for name, scale in zip(("hk0", "h k 0.3", "h0l"), scales, strict=True)
    ]
    found = refine(planes, orbits)
    np.testing.assert_allclose(found.alphas, alphas, atol=1e-11)
    np.testing.assert_allclose([plane.scale for plane in found.planes], scales, rtol=1e-11)
    assert found.uncertainties.max() < 1e-9 and max(plane.r_factor for plane in found.planes) < 1e-11


def test_a_vector_that_no_plane_sees_alone() -> None:
    cell, rotations = CELLS["4/mmm"], laue_rotations("4/mmm")
    orbits = orbits_of([(1, 0, 0), (1, 1, 0), (1, 0, 1)], rotations, symmetric_metric(cell, "4/mmm"))
    alphas = np.array([-0.1, 0.06, 0.03])
    whole, half = (
        with_values(make_plane(cell, name, rotations), orbits, alphas, scale)
        for name, scale in (("hk0", 1.0), ("h k 0.5", 2.0))
    )
    for plane in (whole, half):
        with pytest.raises(InputError, match="cannot distinguish 1 0 0 and 1 0 1"):
            refine([plane], orbits)
    np.testing.assert_allclose(refine([whole, half], orbits).alphas, alphas, atol=1e-11)
    # 0 0 1 shifts the constant terms: known by how 1 1 0, which has no partner out of the plane, compares to them, ...
    (third,) = orbits_of([(0, 0, 1)], rotations, symmetric_metric(cell, "4/mmm"))
    found = refine([whole, half], [*orbits, third])
    np.testing.assert_allclose(found.alphas, [*alphas, 0], atol=1e-10)
    # ... or by an upright plane; else the scales take it up.
    chosen, known = [orbits[0], orbits[2], third], np.array([-0.1, 0.03, 0.05])
    whole, half, upright = (
        with_values(make_plane(cell, name, rotations), chosen, known, 1.0)
        for name in ("hk0", "h k 0.5", "0kl")
    )
    with pytest.raises(InputError, match=r"data cannot distinguish the scale of hk0, .* and "):
        refine([whole, half], chosen)
    np.testing.assert_allclose(refine([whole, half, upright], chosen).alphas, known, atol=1e-11)


@pytest.mark.slow
def test_error_bars_cover_the_truth_as_often_as_they_should() -> None:
    cell, rotations = CELLS["4/mmm"], laue_rotations("4/mmm")
    orbits = orbits_of([(1, 0, 0), (1, 1, 0), (1, 0, 1)], rotations, symmetric_metric(cell, "4/mmm"))
    alphas = np.array([-0.15, 0.06, 0.04])
    empty = [make_plane(cell, name, rotations) for name in ("hk0", "h k 0.5", "h0l")]
    pulls = []
    for seed in range(100):
        random = np.random.default_rng(seed)
        # One plane is four times as noisy as the others, and the noise of each is correlated over half a zone.
        planes = [
            with_values(
                plane,
                orbits,
                alphas,
                scale,
                noise * 4 * gaussian_filter(random.normal(size=plane.grid.shape), 1.3),
            )
            for plane, scale, noise in zip(empty, (1.0, 5.0, 0.3), (0.02, 0.08, 0.02), strict=True)
        ]
        found = refine(planes, orbits)
        pulls.append((found.alphas - alphas) / found.uncertainties)
    inside = np.mean(np.abs(pulls) < 1, axis=0)
    # The standard deviation of a share of 100 draws is 4.7 %: bounds are three of them.
    assert (inside > 0.54).all() and (inside < 0.83).all(), inside
    assert np.all(np.abs(np.mean(pulls, axis=0)) < 0.35)


def test_a_noisy_plane_counts_less() -> None:
    cell, rotations = CELLS["4/mmm"], laue_rotations("4/mmm")
    orbits = orbits_of([(1, 0, 0), (1, 1, 0)], rotations, symmetric_metric(cell, "4/mmm"))
    alphas, random = np.array([-0.15, 0.06]), np.random.default_rng(2)
    good, bad = (
        with_values(plane, orbits, alphas, 1.0, noise * random.normal(size=plane.grid.shape))
        for plane, noise in (
            (make_plane(cell, "hk0", rotations), 0.01),
            (make_plane(cell, "hk1", rotations), 0.5),
        )
    )
    alone, together = refine([good], orbits), refine([good, bad], orbits)
    assert np.abs(together.alphas - alone.alphas).max() < 0.2 * alone.uncertainties.min()
    assert together.planes[1].r_factor > 10 * together.planes[0].r_factor


def test_bounds_hold_for_all_planes_together() -> None:
    cell, rotations = CELLS["4/mmm"], laue_rotations("4/mmm")
    orbits = orbits_of([(1, 0, 0), (1, 1, 0)], rotations, symmetric_metric(cell, "4/mmm"))
    planes = [
        with_values(make_plane(cell, name, rotations), orbits, np.array([-0.2, 0.1]), 1.0)
        for name in ("hk0", "h0l")
    ]
    found = refine(planes, orbits, alpha_bounds=(-0.15, 1.0))
    assert found.at_bound.tolist() == [-1, 0] and found.alphas[0] == -0.15
    assert np.isnan(found.uncertainties[0]) and found.uncertainties[1] > 0


def test_bilinear_fit_against_a_search_over_all_parameters() -> None:
    random = np.random.default_rng(6)
    terms = [
        Term(
            np.column_stack([np.ones(40), random.normal(size=(40, 2))]),
            3 + random.normal(size=40),
            np.ones(40),
        )
        for _ in range(2)
    ]
    found = fit_bilinear(terms)

    def misfit(scales: Array, alphas: Array) -> float:
        return sum(
            float(np.sum((term.values - scale * term.shape(alphas)) ** 2))
            for term, scale in zip(terms, scales, strict=True)
        )

    least = misfit(found.scales, found.alphas)
    for _ in range(100):
        moved = misfit(
            found.scales + 0.01 * random.normal(size=2), found.alphas + 0.01 * random.normal(size=2)
        )
        assert moved > least


ALPHAS = np.array([-0.15, 0.06, 0.04])
TETRAGONAL = Cell(8.0, 8.0, 6.0, 90, 90, 90)
VECTORS = [(1, 0, 0), (0, 0, 1), (1, 0, 1)]


def write_plane(path: Path, name: str, cell: Cell = TETRAGONAL) -> Path:
    """A result for a plane of a tetragonal crystal with three alphas, one per cent of noise."""
    grid = PlaneGrid(cell, parse_plane_name(name), np.linspace(-4, 4, 65), np.linspace(-4, 4, 65))
    orbits = orbits_of(VECTORS, laue_rotations("4/mmm"), symmetric_metric(TETRAGONAL, "4/mmm"))
    order = 1 + sum(alpha * orbit_series(orbit, grid) for alpha, orbit in zip(ALPHAS, orbits, strict=True))
    factor = 0.05 + 0.95 * np.exp(-grid.plane.q_squared() / 8)
    measured = 500 * factor * order
    noisy = measured * (1 + 0.01 * np.random.default_rng(len(name)).normal(size=grid.shape))
    result = Result(
        input=noisy,
        form_factor=factor - 0.05,
        short_range_order=(order - order.min()) / np.ptp(order),
        product=measured,
        residual=noisy - measured,
        mask=np.ones(grid.shape, bool),
        grid=grid,
        process={"scale": 500.0, "form_factor_floor": 0.05, "short_range_order_floor": 0.1},
    )
    write_result(path, result)
    return path


def test_several_files_are_refined_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [write_plane(tmp_path / f"{name}.nxs", name) for name in ("hk0", "h0l")]
    arguments = ["--laue", "4/mmm", "--vectors", "1 0 0, 0 0 1, 1 0 1"]
    assert main(["refine", *map(str, files), *arguments]) == 0
    printed = capsys.readouterr().out
    assert "pixels of hk0" in printed and "pixels of h0l" in printed and "(4/mmm" not in printed
    found = json.loads((tmp_path / "hk0.joint.refine.json").read_text(encoding="utf-8"))
    alphas, sigmas = (
        np.array([each[name] for each in found["alphas"]]) for name in ("value", "standard_uncertainty")
    )
    assert np.all(np.abs(alphas - ALPHAS) < 4 * sigmas) and 0 < sigmas.max() < 0.005
    assert found["parameters"] == ["scale hk0", "scale h0l", "1 0 0", "0 0 1", "1 0 1"]
    assert np.shape(found["correlations"]) == (5, 5)
    assert [(plane["source"], plane["plane"]) for plane in found["planes"]] == [
        ("hk0.nxs", "hk0"),
        ("h0l.nxs", "h0l"),
    ]
    for plane in found["planes"]:
        assert plane["scale"]["value"] == pytest.approx(1, abs=0.01)
        assert 0 < plane["quality"]["r_factor"] < 0.02 and plane["folded"]["observed"]
    assert found["quality"]["chi_squared"] == pytest.approx(
        sum(plane["quality"]["chi_squared"] for plane in found["planes"])
    )
    cif = (tmp_path / "hk0.joint.refine.cif").read_text(encoding="utf-8")
    assert "_dsfunet_plane_scale" in cif and "h0l.nxs" in cif
    assert (tmp_path / "hk0.joint.refine.png").stat().st_size > 10_000
    assert len((tmp_path / "hk0.joint.refine.csv").read_text(encoding="utf-8").splitlines()) == 4


@pytest.mark.parametrize(
    ("second", "cell", "message"),
    [
        ("hk1", Cell(8.1, 8.1, 6.0, 90, 90, 90), "found cells 8 8 6 90 90 90 and 8.1 8.1 6 90 90 90"),
        ("hk0", TETRAGONAL, "found plane hk0 twice"),
    ],
)
def test_planes_that_do_not_belong_together(
    second: str, cell: Cell, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [write_plane(tmp_path / "one.nxs", "hk0"), write_plane(tmp_path / "two.nxs", second, cell)]
    assert main(["refine", *map(str, files), "--laue", "4/mmm"]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and message in captured.err, captured.err
    assert "one.nxs" in captured.err and "two.nxs" in captured.err
    assert sorted(tmp_path.iterdir()) == files


def test_more_parameters_than_data() -> None:
    cell, rotations = CELLS["mmm"], laue_rotations("mmm")
    orbits = nearest_shells(20, rotations, symmetric_metric(cell, "mmm"))
    planes = [
        with_values(make_plane(cell, name, rotations), [], np.array([]), 1.0) for name in ("hk0", "h0l")
    ]
    for plane in planes:
        plane.weights[2:] = 0
        plane.weights[:, 5:] = 0
    with pytest.raises(
        InputError, match=r"parameters but only 20 pixels|cannot distinguish|does not depend on"
    ):
        refine(planes, orbits, errors_from="pixels")
