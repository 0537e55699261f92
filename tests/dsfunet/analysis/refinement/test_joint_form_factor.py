"""Correlations of a layer with neither networks nor structure, on crystals that another forward model made."""

import json
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from dsfunet.analysis.refinement import RefinementSettings, refine_alphas
from dsfunet.cli.main import main
from dsfunet.errors import InputError
from dsfunet.io import write_result
from dsfunet.physics import Cell
from dsfunet.physics.centring import Component
from dsfunet.planes.measured import PlaneGrid
from dsfunet.planes.names import PlaneName
from dsfunet.planes.result import Result
from tests.virtual_crystals import CRYSTALS, correlate, measure

LAUE = {"P alloy": "m-3m", "I alloy": "m-3m", "molecule": "2/m"}
AXES = {"P alloy": (0, 1), "I alloy": (0, 1), "molecule": (0, 2)}


def result_of(name: str, missing: bool = False) -> Result:
    """A result whose counts are real and whose components are of no use."""
    plane = measure(name, 0, AXES[name], reach=4.2, missing=missing)
    a, b, c, beta = CRYSTALS[name].cell
    grid = PlaneGrid(
        Cell(a, b, c, 90, beta, 90), PlaneName(plane.axes, plane.offset), plane.rows, plane.columns
    )
    counts = np.where(plane.mask, plane.counts, np.nan).astype(np.float32)
    noise = np.random.default_rng(0).random(counts.shape, np.float32)
    return Result(counts, noise, noise, noise, noise, plane.mask, grid)


def settings(name: str, **others: object) -> RefinementSettings:
    centring = CRYSTALS[name].centring
    chosen: dict[str, object] = others if others else {"shells": 4}
    return RefinementSettings(laue=LAUE[name], centring=centring, layer=True, form_factor="data", **chosen)  # type: ignore[arg-type]


def count_in_layer(name: str, equivalents: Sequence[Sequence[Component]]) -> list[float]:
    """The layer's correlations by counted pairs.

    Symmetry makes the equivalents of an infinite crystal equal; this one is finite, so compare with their mean.
    """
    truths = []
    for vector in equivalents:
        first, second = (round(2 * float(vector[axis])) for axis in AXES[name])
        truths.append(correlate(name).layer_value((first, second), AXES[name], 0.0))
    return truths


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "missing"), [("P alloy", True), ("I alloy", False), ("molecule", False)], ids=str
)
def test_correlations_are_those_counted_in_the_crystal(name: str, missing: bool) -> None:
    refinement = refine_alphas(result_of(name, missing), settings(name))
    assert len(refinement.alphas) >= 4
    for alpha in refinement.alphas:
        truths = count_in_layer(name, alpha.equivalents)
        scatter = float(np.std(truths)) / np.sqrt(len(truths))
        allowed = max(3 * np.hypot(alpha.standard_uncertainty, scatter), 0.004)
        assert abs(alpha.value - np.mean(truths)) < allowed, (name, alpha.vector)
        assert 0 < alpha.standard_uncertainty < 0.02
    assert refinement.reduced_chi_squared == pytest.approx(1, abs=0.1)
    assert any("fitted jointly to the measured plane" in note for note in refinement.notes)


def recorded(result: Result, **record: object) -> Result:
    content = {"answer": "joint fit", "centring": None, "centring_from": "assumed"} | record
    return replace(result, process={**result.process, "lattice": json.dumps(content)})


def test_one_plane_is_refined_from_its_data_unless_something_else_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_result(tmp_path / "a.nxs", recorded(result_of("I alloy"), centring="I", centring_from="file"))
    assert main(["refine", str(tmp_path / "a.nxs"), "--laue", "m-3m", "--shells", "3"]) == 0
    printed = capsys.readouterr().out
    assert "layer correlation" in printed and "alpha\n" not in printed
    assert (
        "the values are correlations of the layer, not alphas of the crystal: sum_n alpha(u v n)" in printed
    )
    assert "verdict    The result records no verdict" in printed and "\nreach " in printed
    assert "centring I, as the measured file states it; --centring chooses another" in printed
    found = json.loads((tmp_path / "a.refine.json").read_text(encoding="utf-8"))
    used = {name: found["settings"][name] for name in ("centring", "centring_from", "layer", "form_factor")}
    assert used == {"centring": "I", "centring_from": "result", "layer": True, "form_factor": "data"}
    assert [each["vector"] for each in found["layer_correlations"]][:2] == [["1/2", "1/2", "1/2"], [1, 0, 0]]
    for each in found["layer_correlations"]:
        equivalents = [[Fraction(x) for x in vector] for vector in each["equivalents"]]
        truths = count_in_layer("I alloy", equivalents)
        assert each["value"] == pytest.approx(np.mean(truths), abs=0.004)
    # Chi-squared, R and the pixels are those of the joint fit, to all that was measured.
    quality = found["quality"]
    assert quality["pixels"] == quality["degrees_of_freedom"] == 169 * 169
    assert quality["chi_squared"] / quality["pixels"] == pytest.approx(1, abs=0.1)
    assert 0 < quality["weighted_r_factor"] < 0.1


def test_shells_beyond_what_the_data_settle_are_left_out_with_a_note() -> None:
    plane = measure("P alloy", 0, (0, 1), reach=1.2, step=1 / 8)
    cell = CRYSTALS["P alloy"].cell[0]
    grid = PlaneGrid(Cell(cell, cell, cell), PlaneName(plane.axes, 0.0), plane.rows, plane.columns)
    junk = np.random.default_rng(0).random(plane.counts.shape)
    small = recorded(Result(plane.counts, junk, junk, junk, junk, plane.mask, grid))
    refinement = refine_alphas(small, RefinementSettings(laue="m-3m", shells=12))
    [note] = [note for note in refinement.notes if "left out" in note]
    assert 3 <= len(refinement.alphas) < 12 and "4 0 (all l)" in note
    # The default number of shells.
    assert refine_alphas(small, RefinementSettings(laue="m-3m")).alphas
    with pytest.raises(InputError, match="choose shorter vectors"):
        refine_alphas(small, RefinementSettings(laue="m-3m", vectors=((4, 0),)))


@pytest.mark.slow
def test_a_recorded_resolution_brings_far_correlations_back() -> None:
    width = 1 / 16
    plane = measure("P alloy", 0, (0, 1), reach=4.2, resolution=(width, width))
    edge = CRYSTALS["P alloy"].cell[0]
    grid = PlaneGrid(Cell(edge, edge, edge), PlaneName(plane.axes, 0.0), plane.rows, plane.columns)
    junk = np.random.default_rng(0).random(plane.counts.shape)
    blurred = Result(plane.counts, junk, junk, junk, junk, plane.mask, grid)
    sharp, known = (
        refine_alphas(recorded(blurred, **record), RefinementSettings(laue="m-3m", vectors=((1, 0), (2, 0))))
        for record in ({}, {"resolution_rlu": [width, width]})
    )
    for number, alpha in enumerate(known.alphas):
        truth = np.mean(count_in_layer("P alloy", alpha.equivalents))
        assert abs(alpha.value - truth) < max(4 * alpha.standard_uncertainty, 0.004)
        # The harmonic at p is damped by exp(-2 pi^2 (width p)^2).
        damping = np.exp(-2 * (np.pi * width * (number + 1)) ** 2)
        assert sharp.alphas[number].value == pytest.approx(truth * damping, abs=0.004)
    assert any("resolution 0.0625 by 0.0625 r.l.u." in note for note in known.notes)
    assert any("pixels are taken as sharp" in note for note in sharp.notes)
    assert known.as_record()["settings"]["resolution_rlu"] == [width, width]


def test_data_that_were_averaged_over_their_symmetry_count_once() -> None:
    result = result_of("I alloy")
    steps = {"steps": [{"step": "mask"}, {"step": "symmetry", "mean_redundancy": 4.0}]}
    averaged = replace(result, process={"clean_up": json.dumps(steps)})
    once, repeated = (refine_alphas(each, settings("I alloy", shells=1)) for each in (result, averaged))
    assert repeated.alphas[0].value == once.alphas[0].value
    assert repeated.alphas[0].standard_uncertainty == pytest.approx(2 * once.alphas[0].standard_uncertainty)
    damaged = replace(result, process={"clean_up": "["})
    with pytest.raises(InputError, match=r"^result: the record of the clean-up is damaged"):
        refine_alphas(damaged, settings("I alloy", shells=1))


@pytest.mark.slow
def test_a_plane_that_is_no_product_on_this_lattice_is_reported() -> None:
    result = result_of("P alloy")
    # Sharp spots off the lattice that no smooth form factor times a periodic function can hold.
    spoilt = result.input.copy()
    spoilt[11::17, 7::23] += 40 * float(np.nanmean(spoilt))
    wrong = Result(
        spoilt,
        result.form_factor,
        result.short_range_order,
        result.product,
        result.residual,
        result.mask,
        result.grid,
    )
    refinement = refine_alphas(wrong, settings("P alloy"))
    assert any("do not trust these values" in note for note in refinement.notes)


def test_contradictory_settings_and_too_many_results() -> None:
    with pytest.raises(InputError, match="--form-factor data: it gives the correlations of one layer; omit"):
        RefinementSettings(laue="m-3m", form_factor="data", layer=False, out_of_plane=True)
    with pytest.raises(InputError, match="--form-factor data: it fits the measured plane without a model"):
        RefinementSettings(laue="m-3m", form_factor="data", layer=True, fit_to="short-range-order")
    with pytest.raises(
        InputError, match=r"the data settle harmonics up to .* Angstrom only; choose shorter vectors"
    ):
        refine_alphas(result_of("P alloy"), settings("P alloy", vectors=((30, 0),)))
