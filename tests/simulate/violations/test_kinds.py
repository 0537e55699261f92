"""Planes that break an assumption: each kind does what its name says, and a store of them is reproducible."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from dsfunet.data.store import open_store
from dsfunet.errors import InputError
from simulate.artefacts.degradation import bragg_pixels
from simulate.crystals.draw import Population, build_population
from simulate.recipe import Counts, Recipe
from simulate.violations.kinds import (
    KINDS,
    IdealPlane,
    add_bragg_peaks,
    add_second_site,
    add_size_effect,
    add_thermal_diffuse,
    change_cell_edge,
    fill_gaps_with_zeros,
)
from simulate.violations.planes import _draw_ideal_plane, draw_violation, plan_planes
from simulate.violations.store import write_violations


@cache
def population() -> Population:
    return build_population(Recipe(samples=Counts(1, 1), monte_carlo_share=0.0), "validation", ())


def ideal(seed: int = 0, with_peaks: bool = False) -> IdealPlane:
    """Return the first ideal plane of a stream; with peaks, one whose layer has Bragg positions."""
    rng = np.random.default_rng(seed)
    for _ in range(50):
        found = _draw_ideal_plane(population(), rng)
        if found is None:
            continue
        if not with_peaks or len(bragg_pixels(found.plane, found.crystal.cell, 0.02)) > 10:
            return found
    raise AssertionError("none of fifty crystals gave an ideal plane")


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def test_bragg_peaks_stand_at_bragg_positions_alone() -> None:
    of = ideal(with_peaks=True)
    violating = add_bragg_peaks(population(), rng(), of, 100.0)
    assert violating is not None
    added = violating.scattering - of.scattering
    rows, columns = np.nonzero(added > 1e-6 * added.max())
    pixels = bragg_pixels(of.plane, of.crystal.cell, 0.02)
    away = np.abs(np.stack([rows, columns], 1)[:, None] - pixels).max(-1).min(1)
    assert away.max() <= 8.5  # four widths of at most two pixels
    assert violating.scattering[of.mask].max() > 20 * of.scattering[of.mask].max()


def test_the_size_effect_is_odd_about_bragg_positions_and_grows_with_q() -> None:
    of = ideal(with_peaks=True)
    violating = add_size_effect(
        population(), rng(), of, 0.01
    )  # so weak that nothing is clipped where order is strong
    term = (violating.scattering - of.scattering) / np.maximum(of.form_factor, 1e-9)
    kept = (violating.scattering > 0) & (of.order > 0)
    middle = 128
    near = np.abs(term[middle - 20 : middle + 21, middle - 20 : middle + 21])[
        kept[middle - 20 : middle + 21, middle - 20 : middle + 21]
    ]
    far = np.abs(term)[kept & (of.plane.q_squared() > 0.5 * of.plane.q_squared().max())]
    assert far.mean() > 2 * near.mean()


def test_thermal_diffuse_scattering_has_the_mean_asked_for_and_peaks_at_bragg_positions() -> None:
    of = ideal(with_peaks=True)
    violating = add_thermal_diffuse(population(), rng(), of, 0.5)
    assert violating.scattering[of.mask].mean() == pytest.approx(
        1.5 * of.scattering[of.mask].mean(), rel=1e-6
    )
    added = violating.scattering - of.scattering
    rows, columns = np.unravel_index(np.argmax(added), added.shape)
    pixels = bragg_pixels(of.plane, of.crystal.cell, 0.02)
    assert np.linalg.norm(pixels - [rows, columns], axis=1).min() < 2


def test_two_sites_add_up_to_no_negative_intensity() -> None:
    of = ideal()
    violating = add_second_site(population(), rng(), of, 1.0)
    assert violating is not None and violating.scattering.min() >= 0
    # Beats of both sites average out over the plane.
    assert violating.scattering[of.mask].mean() == pytest.approx(2 * of.scattering[of.mask].mean(), rel=0.3)


def test_a_wrong_cell_changes_one_edge_in_the_plane_and_nothing_measured() -> None:
    of = ideal()
    violating = change_cell_edge(population(), rng(), of, 1.03)
    ratios = np.array(violating.cell.parameters) / np.array(of.crystal.cell.parameters)
    assert sorted(ratios.round(9)) == [1, 1, 1, 1, 1, 1.03]
    assert ratios[list(of.axes)].max() == pytest.approx(1.03)
    np.testing.assert_array_equal(violating.scattering, of.scattering)


def test_zeros_for_gaps_hide_the_mask() -> None:
    of = next(each for each in map(ideal, range(20)) if each.mask.mean() < 0.8)
    violating = fill_gaps_with_zeros(population(), rng(), of, 0.2)
    assert violating is not None and violating.mask.all()
    assert (violating.scattering[~of.mask] == 0).all()
    assert fill_gaps_with_zeros(population(), rng(), of, 1.0) is None


def test_levels_and_noise_take_turns() -> None:
    entries = plan_planes(9)
    assert len(entries) == 9 * len(KINDS)
    for kind in KINDS:
        of_kind = [(each["level"], each["counts"]) for each in entries if each["kind"] == kind]
        assert len(set(of_kind)) == 9
    with pytest.raises(InputError, match=r"^--planes-per-kind is 0; expected at least 1$"):
        plan_planes(0)


def test_a_plane_follows_from_its_number_alone() -> None:
    first = draw_violation(population(), 5, "two sites", 0.3, 100.0)
    again = draw_violation(population(), 5, "two sites", 0.3, 100.0)
    for name, values in first.items():
        np.testing.assert_array_equal(values, again[name])
    other = draw_violation(population(), 6, "two sites", 0.3, 100.0)
    assert not np.array_equal(first["scattering"], other["scattering"])


@pytest.mark.slow
def test_a_store_is_the_same_for_any_number_of_workers(tmp_path: Path) -> None:
    recipe = Recipe(samples=Counts(1, 1), monte_carlo_share=0.0)
    one, two = (
        open_store(write_violations(recipe, tmp_path / str(workers), 1, workers, progress=False))
        for workers in (1, 2)
    )
    assert one.digest == two.digest and len(one) == len(KINDS)
    assert [each["kind"] for each in one.attributes["violations"]] == [*KINDS]
    sample = one.sample(0)
    assert sample.scattering[sample.mask].max() == pytest.approx(1, abs=1e-3)


def test_nothing_else_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "violations.zarr").mkdir()
    recipe = Recipe(samples=Counts(1, 1), monte_carlo_share=0.0)
    with pytest.raises(InputError, match="not a store"):
        write_violations(recipe, tmp_path, 1, 1, progress=False)
