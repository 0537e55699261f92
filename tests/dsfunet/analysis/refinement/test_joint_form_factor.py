"""Correlations of a layer with neither networks nor structure, on crystals that another forward model made."""

import numpy as np
import pytest

from dsfunet.analysis.refinement import RefinementSettings, refine_alphas
from dsfunet.errors import InputError
from dsfunet.physics import Cell
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "missing"), [("P alloy", True), ("I alloy", False), ("molecule", False)], ids=str
)
def test_correlations_are_those_counted_in_the_crystal(name: str, missing: bool) -> None:
    refinement = refine_alphas(result_of(name, missing), settings(name))
    assert len(refinement.alphas) >= 4
    axes = AXES[name]
    for alpha in refinement.alphas:
        # Symmetry makes the equivalents of an infinite crystal equal; this one is finite, so compare with their mean.
        truths = []
        for vector in alpha.equivalents:
            first, second = (round(2 * float(vector[axis])) for axis in axes)
            truths.append(correlate(name).layer_value((first, second), axes, 0.0))
        scatter = float(np.std(truths)) / np.sqrt(len(truths))
        allowed = max(3 * np.hypot(alpha.standard_uncertainty, scatter), 0.004)
        assert abs(alpha.value - np.mean(truths)) < allowed, (name, alpha.vector)
        assert 0 < alpha.standard_uncertainty < 0.02
    assert refinement.reduced_chi_squared == pytest.approx(1, abs=0.1)
    assert any("fitted jointly to the measured plane" in note for note in refinement.notes)


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
    with pytest.raises(
        InputError, match="--form-factor data: it gives the correlations of one layer; add --layer true"
    ):
        RefinementSettings(laue="m-3m", form_factor="data")
    with pytest.raises(InputError, match="--form-factor data: it fits the measured plane without a model"):
        RefinementSettings(laue="m-3m", form_factor="data", layer=True, fit_to="short-range-order")
    with pytest.raises(
        InputError, match=r"the data settle harmonics up to .* Angstrom only; choose fewer shells"
    ):
        refine_alphas(result_of("P alloy"), settings("P alloy", vectors=((30, 0),)))
