"""What is known and found on the lattice of a plane: whose centring counts, and what the plane contradicts."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dsfunet.errors import InputError
from dsfunet.factorize.factorizer import Factorizer
from dsfunet.factorize.lattice_model import LatticeModel, fit_lattice, usable_sigma
from dsfunet.factorize.network_answer import answer_by_networks
from dsfunet.factorize.pipeline import factorize_plane
from dsfunet.factorize.settings import FactorizeSettings
from dsfunet.io import MeasuredPlane, PlaneGrid
from dsfunet.lattice.joint_fit.resolution import Resolution
from dsfunet.physics import Cell
from dsfunet.physics.lattice import Centring
from dsfunet.planes.names import PlaneName
from tests.virtual_crystals import correlate, measure
from tests.virtual_faults import SITE_CRYSTALS, measure_sites


def plane_of(name: str, edge: float, centring: Centring = "P", **options: float) -> MeasuredPlane:
    found = measure(name, step=1 / 14, **options)  # type: ignore[arg-type]
    cell = Cell(edge, edge, edge, centring=centring)
    return MeasuredPlane(
        found.counts.astype(np.float64), PlaneGrid(cell, PlaneName((0, 1), 0.0), found.rows, found.columns)
    )


def fitted(measured: MeasuredPlane, settings: FactorizeSettings | None = None) -> LatticeModel:
    assert measured.grid is not None
    mask = np.isfinite(measured.intensity)
    return fit_lattice(measured.intensity, mask, measured.grid, measured, settings or FactorizeSettings())


def test_the_option_then_the_cell_then_the_file_then_the_plane_give_the_centring() -> None:
    plane = plane_of("I alloy", 2.9)
    found = fitted(plane)
    assert (found.centring, found.centring_from) == ("I", "data")
    assert any("centring I was found from the data" in note for note in found.notes)
    stated = fitted(replace(plane, centring="I"))
    assert (stated.centring, stated.centring_from) == ("I", "file")
    of_cell = fitted(plane_of("I alloy", 2.9, "I"))
    assert (of_cell.centring, of_cell.centring_from) == ("I", "option")
    given = fitted(replace(plane, centring="F"), FactorizeSettings(centring="I"))
    assert (given.centring, given.centring_from, given.describe()) == ("I", "option", "centring I as given")
    truth = correlate("I alloy").layer_value((1, 1), (0, 1), 0.0)
    place, _ = given.fit.harmonics.find((0.5, 0.5, 0.5), PlaneName((0, 1), 0.0))
    assert abs(given.fit.alphas[place] - truth) < max(3 * given.fit.alpha_sigmas[place], 0.004)


def test_a_primitive_crystal_is_left_primitive() -> None:
    found = fitted(plane_of("P alloy", 4.0))
    assert (found.centring, found.centring_from) == ("P", "assumed")


def test_a_centring_that_the_plane_contradicts_is_refused(release: Factorizer) -> None:
    plane = plane_of("I alloy", 2.9)
    with pytest.raises(
        InputError, match="--centring P: the plane does not repeat that way; centring I explains"
    ):
        factorize_plane(plane, FactorizeSettings(centring="P"), release)
    insisted = fitted(plane, FactorizeSettings(centring="P", lattice="insist"))
    assert insisted.centring == "P" and any("does not repeat that way" in note for note in insisted.notes)
    in_file = fitted(replace(plane, centring="P"))
    assert in_file.centring == "P" and any("does not repeat that way" in note for note in in_file.notes)


def test_a_resolution_is_undone_and_recorded() -> None:
    blurred = plane_of("P alloy", 4.0, resolution=(0.06, 0.06))  # type: ignore[arg-type]
    settings = FactorizeSettings(centring="P", resolution=Resolution((0.06, 0.06)))
    found = fitted(blurred, settings)
    assert blurred.grid is not None and found.widths(blurred.grid) == pytest.approx((0.06, 0.06))
    place, _ = found.fit.harmonics.find((1, 0, 0), blurred.grid.name)
    truth = correlate("P alloy").layer_value((2, 0), (0, 1), 0.0)
    assert abs(found.fit.alphas[place] - truth) < max(3 * found.fit.alpha_sigmas[place], 0.004)
    sharp = fitted(blurred)
    assert sharp.widths(blurred.grid) is None and any("--resolution" in note for note in sharp.notes)
    with pytest.raises(InputError, match="resolution: found standard deviations of"):
        fitted(blurred, FactorizeSettings(centring="P", resolution=Resolution((0.9, 0.9))))


def test_uncertainties_of_the_file_are_used_where_most_pixels_have_one() -> None:
    plane = plane_of("P alloy", 4.0)
    mask = np.isfinite(plane.intensity)
    sigma = np.sqrt(np.maximum(plane.intensity, 1))
    assert usable_sigma(plane, mask) is None
    assert usable_sigma(replace(plane, sigma=sigma), mask) is not None
    assert usable_sigma(replace(plane, sigma=np.zeros_like(sigma)), mask) is None
    few = np.where(np.random.default_rng(0).random(sigma.shape) < 0.5, sigma, np.nan)
    assert usable_sigma(replace(plane, sigma=few), mask) is None
    found = fitted(replace(plane, sigma=sigma), FactorizeSettings(centring="P"))
    assert found.fit.noise.given is not None and found.fit.chi_squared == pytest.approx(1, abs=0.1)


def test_insisting_on_a_lattice_uses_it(release: Factorizer) -> None:
    """On a cell that is a third too long, the lattice explains nothing and is rejected otherwise."""
    right = plane_of("P alloy", 4.0)
    assert right.grid is not None
    wrong = replace(
        right, grid=replace(right.grid, rows=right.grid.rows * 1.3, columns=right.grid.columns * 1.3)
    )
    left = factorize_plane(wrong, FactorizeSettings(centring="P"), release)
    insisted = factorize_plane(wrong, FactorizeSettings(centring="P", lattice="insist"), release)
    assert not left.lattice.startswith("used (chi") and insisted.lattice.startswith("used (chi-squared ")
    assert not insisted.verdict.trustworthy


def test_a_rejected_joint_fit_does_not_run_the_networks_again(
    release: Factorizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = plane_of("P alloy", 4.0)
    assert right.grid is not None
    wrong = replace(
        right, grid=replace(right.grid, rows=right.grid.rows * 1.3, columns=right.grid.columns * 1.3)
    )
    runs = []
    run = Factorizer.network_passes

    def count(self: Factorizer, *given: Any, **options: Any) -> Any:
        runs.append(given)
        return run(self, *given, **options)

    monkeypatch.setattr(Factorizer, "network_passes", count)
    settings = FactorizeSettings(centring="P")
    once = factorize_plane(wrong, settings, release)
    assert not once.lattice.startswith("used (chi-squared") and len(runs) == 1
    monkeypatch.setattr(
        "dsfunet.factorize.lattice_answer.answer_by_networks",
        lambda plane, lattice, settings, factorizer, alone: answer_by_networks(
            plane, lattice, settings, factorizer
        ),
    )
    twice = factorize_plane(wrong, settings, release)
    assert len(runs) == 3 and once.lattice == twice.lattice
    for name in ("form_factor", "short_range_order", "sigma_form_factor", "sigma_short_range_order"):
        assert np.array_equal(getattr(once.result, name), getattr(twice.result, name))


def test_the_verdict_names_several_sites(release: Factorizer) -> None:
    counts, _, axis = measure_sites("oblique", crystal_seed=1, seed=1)
    crystal = SITE_CRYSTALS["oblique"]
    grid = PlaneGrid(Cell(*crystal.lengths, 90, 90, crystal.gamma), PlaneName((0, 1), 0.0), axis, axis)
    found = factorize_plane(MeasuredPlane(counts, grid), FactorizeSettings(), release)
    assert found.verdict.reasons[0] == "several sites" and found.verdict.level == "not explained"
    assert any("holds several disordered sites" in note for note in found.notes)


def test_the_verdict_on_one_layer_says_that_it_could_be_close_packed(release: Factorizer) -> None:
    counts, _, axis = measure_sites("hcp", reach=3.2, step=1 / 16)
    crystal = SITE_CRYSTALS["hcp"]
    grid = PlaneGrid(Cell(*crystal.lengths, 90, 90, crystal.gamma), PlaneName((0, 1), 0.0), axis, axis)
    found = factorize_plane(MeasuredPlane(counts, grid), FactorizeSettings(), release)
    assert "it could as well be hexagonal close packing, with two sites" in found.verdict.sentence
