"""Centred crystals made site by site: their correlations come back, from one layer and from several."""

import csv
import json
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import pytest

from dsfunet.analysis.refinement import RefinementSettings, refine_alphas
from dsfunet.cli.main import main
from dsfunet.errors import InputError
from dsfunet.io import PlaneGrid, Result, parse_plane_name, write_result
from dsfunet.physics import Cell
from dsfunet.physics.centring import Centring, Component, is_lattice_vector
from tests.dsfunet.analysis.refinement.alloy import CELLS, Alloy, HalfEdges, make_alloy

alloy_of = cache(make_alloy)
EDGE_ANGSTROM = 3.7


def result_of(alloy: Alloy, plane: str, half_width: int = 4, noise: float = 0.0) -> Result:
    """A plane of an alloy as a result whose form factor is the truth."""
    axis = np.arange(-half_width * CELLS, half_width * CELLS + 1) / CELLS
    grid = PlaneGrid(Cell(*[EDGE_ANGSTROM] * 3), parse_plane_name(plane), axis, axis)
    order = alloy.plane(axis, axis, grid.name.layer.offset)
    form_factor = np.exp(-grid.plane.q_squared() / 60) + 0.1
    errors = 1 + noise * np.random.default_rng(3).normal(size=order.shape)
    floor = float(order.min())
    return Result(
        input=form_factor * order * errors,
        form_factor=form_factor,
        short_range_order=order - floor,
        product=form_factor * order,
        residual=form_factor * order * (errors - 1),
        mask=np.ones(order.shape, bool),
        grid=grid,
        process={"scale": 1.0, "form_factor_floor": 0.0, "short_range_order_floor": floor},
    )


def half_edges(vector: tuple[Component, ...]) -> HalfEdges:
    i, j, k = (int(2 * each) for each in vector)
    return i, j, k


def test_the_alloys_are_ordered_and_consistent() -> None:
    for centring, near in (("F", (1, 1, 0)), ("I", (1, 1, 1))):
        alloy = alloy_of(centring)
        assert alloy.alpha((0, 0, 0)) == pytest.approx(1) and alloy.alpha(near) < -0.05
        # Parseval: the mean intensity over a repeat is alpha_0, on the box's own points.
        assert alloy.intensities.mean() == pytest.approx(1)


@pytest.mark.parametrize(
    ("centring", "plane"),
    [("F", "hk0"), ("F", "h k 0.5"), ("F", "hk1"), ("I", "hk0"), ("I", "hk1"), ("I", "h k 0.25")],
)
def test_one_layer_gives_the_correlations_of_the_layer(centring: Centring, plane: str) -> None:
    alloy = alloy_of(centring)
    result = result_of(alloy, plane, noise=0.01)
    settings = RefinementSettings(laue="m-3m", shells=8, centring=centring, layer=True)
    refinement = refine_alphas(result, settings)
    assert result.grid is not None
    offset = result.grid.name.layer.offset
    halves = [alpha for alpha in refinement.alphas if any(isinstance(x, Fraction) for x in alpha.vector)]
    assert halves and max(abs(alpha.value) for alpha in refinement.alphas) > 0.1
    for alpha in refinement.alphas:
        i, j, _ = half_edges(alpha.vector)
        truth = alloy.layer_correlation((i, j), offset)
        # On hk1 a sum over odd half edges changes sign, the correlation of the layer does not.
        sense = -1 if offset == 1 and (i if centring == "I" else i + j) % 2 else 1
        assert alpha.summed_axis == 2 and not alpha.is_sine
        assert abs(alpha.value - sense * truth) < max(4 * alpha.standard_uncertainty, 0.002), alpha
        assert alpha.standard_uncertainty < 0.01


@pytest.mark.parametrize("centring", ["F", "I"])
def test_several_layers_give_the_correlations_of_lattice_vectors(centring: Centring) -> None:
    alloy = alloy_of(centring)
    results = [result_of(alloy, plane, noise=0.01) for plane in ("hk0", "h k 0.25", "h k 0.5")]
    settings = RefinementSettings(laue="m-3m", shells=6, centring=centring, out_of_plane=True)
    refinement = refine_alphas(results, settings)
    numbers = {"F": [12, 6, 24, 12, 24, 8], "I": [8, 6, 12, 24, 8, 6]}[centring]
    assert [len(alpha.equivalents) for alpha in refinement.alphas] == numbers
    for alpha in refinement.alphas:
        truth = alloy.alpha(half_edges(alpha.vector))
        assert abs(alpha.value - truth) < max(4 * alpha.standard_uncertainty, 0.002), alpha
    assert not any("one orientation" in note for note in refinement.notes)


def test_a_primitive_cell_misses_what_lies_between() -> None:
    result = result_of(alloy_of("I"), "hk0", noise=0.01)
    primitive = refine_alphas(result, RefinementSettings(laue="m-3m", shells=4))
    centred = refine_alphas(result, RefinementSettings(laue="m-3m", shells=4, centring="I", layer=True))
    assert centred.r_factors[0] < 0.3 * primitive.r_factors[0]
    # Zones of an I lattice are twice as large, so there are about half as many.
    whole, twice = primitive.fit.planes[0], centred.fit.planes[0]
    assert whole.zones == 81 and 41 <= twice.zones <= 50


def test_on_the_statement_of_no_order_along_c_values_are_alphas() -> None:
    result = result_of(alloy_of("F"), "hk0", noise=0.01)
    settings = RefinementSettings(laue="m-3m", shells=3, centring="F", no_order_along_axis=True)
    refinement = refine_alphas(result, settings)
    assert refinement.quantity == "alpha"
    assert [alpha.vector for alpha in refinement.alphas] == [
        (Fraction(1, 2), Fraction(1, 2), 0),
        (1, 0, 0),
        (1, 1, 0),
    ]
    (note,) = [note for note in refinement.notes if "correlations of the layer" in note]
    assert note.startswith("the values are alphas only if correlations along c vanish")
    assert " 1/2  1/2    0" in refinement.report()


def run(path: Path, *arguments: str) -> Any:
    assert main(["refine", str(path), "--laue", "m-3m", *arguments]) == 0
    return json.loads(path.with_name("a.refine.json").read_text(encoding="utf-8"))


def test_files_and_report_name_vectors_with_fractions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.nxs"
    write_result(path, result_of(alloy_of("F"), "hk0", noise=0.01))
    found = run(path, "--centring", "F", "--vectors", "1/2 1/2 0, 1 0 0", "--no-order-along-axis", "true")
    assert [each["vector"] for each in found["alphas"]] == [["1/2", "1/2", 0], [1, 0, 0]]
    assert ["-1/2", "1/2", 0] in found["alphas"][0]["equivalents"]
    assert found["parameters"] == ["scale", "1/2 1/2 0", "1 0 0"] and found["settings"]["centring"] == "F"

    found = run(path, "--centring", "F", "--layer", "true", "--vectors", "1/2 0, 1/2 1/2, 1 0 1")
    # The vector with the smallest component out of the layer stands for all with this projection.
    vectors = [["1/2", 0, "1/2"], ["1/2", "1/2", 0], [1, 0, 0]]
    projections = [["1/2", 0, "all"], ["1/2", "1/2", "all"], [1, 0, "all"]]
    values = found["layer_correlations"]
    assert "alphas" not in found and found["formula"].startswith("sum_n alpha(u v n) exp(2 pi i l n) / sum_n")
    assert [each["vector"] for each in values] == vectors
    assert [each["projection"] for each in values] == projections
    for each in values:
        assert each["vector"] in each["equivalents"] and each["standard_uncertainty"] > 0
        assert all(is_lattice_vector([Fraction(x) for x in vector], "F") for vector in each["equivalents"])
    assert found["quantity"] == "layer correlation" and found["settings"]["centring_from"] == "option"
    assert found["settings"]["layer"] is True and found["folded"]["repeat"] == [[2, 0, 0], [0, 2, 0]]
    assert len(found["folded"]["centres"]) == len(found["folded"]["observed"]) == 17
    truth = alloy_of("F").layer_correlation((1, 0), 0)
    assert values[0]["value"] == pytest.approx(truth, abs=0.01)
    rows = list(csv.DictReader((tmp_path / "a.refine.csv").read_text(encoding="utf-8").splitlines()))
    assert [(row["i"], row["j"], row["k"]) for row in rows][:2] == [
        ("1/2", "0", "all"),
        ("1/2", "1/2", "all"),
    ]
    block = gemmi.cif.read(str(tmp_path / "a.refine.cif")).sole_block()
    assert list(block.find_values("_dsfunet_layer_correlation_vector_i")) == ["1/2", "1/2", "1"]
    assert block.find_value("_space_group_centring_type") == "F"
    assert block.find_value("_dsfunet_centring") == "F"
    printed = capsys.readouterr().out
    assert (
        "1/2 0 (all l)" in printed
        and "the values are correlations of the layer, not alphas of the crystal" in printed
    )
    assert (tmp_path / "a.refine.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_pictures_of_oblique_zones(tmp_path: Path) -> None:
    path = tmp_path / "a.nxs"
    write_result(path, result_of(alloy_of("I"), "hk0", noise=0.01))
    found = run(path, "--centring", "I", "--layer", "true", "--shells", "3")
    assert found["folded"]["repeat"] == [[1, 1, 0], [1, -1, 0]]
    assert (tmp_path / "a.refine.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--centring", "C"],
            "Laue class m-3m: its operations do not keep lattice vector 1/2 1/2 0 of centring C",
        ),
        (["--centring", "R"], "do not keep lattice vector 2/3 1/3 1/3 of centring R"),
        (
            ["--vectors", "1/2 1/2 0"],
            "vector 1/2 1/2 0: expected three integers in a primitive lattice; give another",
        ),
        (
            ["--centring", "F", "--vectors", "1/2 0 0", "--no-order-along-axis", "true"],
            "vector 1/2 0 0: it does not connect two points of a lattice with centring F",
        ),
        (
            ["--centring", "I", "--vectors", "1/2 1/2 1/2", "--no-order-along-axis", "true"],
            "have a component along c, out of the plane",
        ),
        (
            ["--centring", "F", "--vectors", "1/2 0", "--no-order-along-axis", "true"],
            "vector 1/2 0: expected three integers or fractions such as 1/2; two components are for --layer true",
        ),
        (["--centring", "F", "--vectors", "1/2 x 0"], "found '1/2 x 0'; expected three integers"),
        (
            ["--centring", "I", "--layer", "true", "--vectors", "1/2 0"],
            "vector 1/2 0: no lattice vector of centring I has these components",
        ),
        (["--layer", "true", "--out-of-plane", "true"], "--layer true and --out-of-plane true: found both"),
        (
            ["--layer", "true", "--bounds", "true", "--concentration", "0.5"],
            "--layer true and --bounds true: found both",
        ),
    ],
)
def test_bad_requests(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.nxs"
    write_result(path, result_of(alloy_of("F"), "hk0", half_width=2))
    assert main(["refine", str(path), "--laue", "m-3m", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and message in captured.err, captured.err


def test_layers_cannot_share_their_correlations_and_few_zones_are_refused() -> None:
    alloy = alloy_of("F")
    settings = RefinementSettings(laue="m-3m", shells=3, centring="F", layer=True)
    with pytest.raises(InputError, match="--layer true: found 2 planes, result 1, result 2; expected one"):
        refine_alphas([result_of(alloy, "hk0"), result_of(alloy, "hk1")], settings)
    # Parts of nine zones of the cell, but of one of the F lattice.
    small = result_of(alloy, "hk0", half_width=1)
    with pytest.raises(InputError, match="found 1 independent zones; expected 3 or more"):
        cut = np.zeros(small.mask.shape, bool)
        cut[1:-1, 1:-1] = True
        refine_alphas(Result(**{**small.__dict__, "mask": cut}), settings)


def test_settings_take_numbers_and_fractions() -> None:
    settings = RefinementSettings(laue="-3m1", centring="R", vectors=((2 / 3, 1 / 3, 1 / 3), (1, 0, 0)))  # type: ignore[arg-type]
    assert settings.vectors == ((Fraction(2, 3), Fraction(1, 3), Fraction(1, 3)), (1, 0, 0))
    with pytest.raises(
        InputError, match=r"vector 1 0: expected three integers; two components are for --layer"
    ):
        RefinementSettings(laue="m-3m", vectors=((1, 0),), centring="P", layer=False, out_of_plane=True)
    with pytest.raises(
        InputError, match=r"vector 0\.3 0 0: expected three integers or fractions such as 1/2"
    ):
        RefinementSettings(laue="m-3m", centring="F", vectors=((0.3, 0, 0),))  # type: ignore[arg-type]
    wrong: Any = "S"
    with pytest.raises(InputError, match="centring is 'S'; expected one of P, A, B, C, I, F, R, H"):
        RefinementSettings(laue="m-3m", centring=wrong)
