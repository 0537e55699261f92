"""Models fitted to a form factor: exact where the data are, ranked rightly and with honest uncertainty where not."""

import numpy as np
import pytest

from dsfunet.analysis.models.fit import compare_models, fit_model, resampled_misfits
from dsfunet.analysis.models.model_names import ModelPair
from dsfunet.analysis.models.molecules import VACANCY, LabelledMolecule, Torsion
from dsfunet.analysis.models.observation import Observation
from dsfunet.analysis.models.scan import angles_of_range, find_minima, rotation_turn, scan_model, torsion_turn
from dsfunet.errors import InputError
from dsfunet.io import PlaneGrid, Result
from dsfunet.planes.names import parse_plane
from tests.dsfunet.structural_models import amide, chain, grid, result_of

TORSION = Torsion(("C7", "N1", "C8", "C9"))
Z = np.array([0.0, 0.0, 1.0])


def flipped(molecule: LabelledMolecule) -> ModelPair:
    """Two orientations, half a turn apart."""
    return ModelPair("flipped", molecule, molecule.turned(Z, 180, np.zeros(3)))


def renamed(pair: ModelPair, name: str) -> ModelPair:
    return ModelPair(name, pair.first, pair.second)


TRUE = renamed(flipped(amide()), "true")


@pytest.mark.parametrize("b", [0.0, 2.5, 11.0])
@pytest.mark.parametrize("pair", [TRUE, ModelPair("vacancy", amide(), VACANCY)], ids=lambda pair: pair.name)
def test_scale_floor_and_b_are_recovered(pair: ModelPair, b: float) -> None:
    where = grid()
    clean = result_of(pair, where, b)
    # The fit against a direct sum of equations (1) and (2), atom by atom, in its own units.
    import gemmi

    q = where.plane.q_points()
    length = np.linalg.norm(q, axis=-1)
    total = np.zeros(q.shape[:2], dtype=np.complex128)
    for sign, molecule in ((1, pair.first), (-1, pair.second)):
        for element, position in zip(molecule.elements, molecule.positions_angstrom, strict=True):
            it92 = gemmi.Element(element).it92
            assert it92 is not None
            factor = np.vectorize(it92.calculate_sf)((length / (4 * np.pi)) ** 2)
            total += sign * factor * np.exp(1j * (q @ position))
    direct = 0.25 * np.abs(total) ** 2 * np.exp(-b * length**2 / (8 * np.pi**2))
    fit = fit_model(pair, Observation.of(clean))
    assert fit.scale == pytest.approx(1 / np.ptp(direct), rel=1e-4)
    assert fit.floor == pytest.approx(-direct.min() / np.ptp(direct), abs=1e-5)
    assert fit.debye_waller_b_angstrom2 == pytest.approx(b, abs=1e-4)
    np.testing.assert_allclose(fit.intensity, (direct - direct.min()) / np.ptp(direct), atol=3e-5)
    assert fit.misfit < 1e-7 and fit.wr2 < 1e-4
    assert np.isnan(fit.debye_waller_b_su) == (fit.debye_waller_b_angstrom2 == 0)


def test_sigma_of_the_file_is_the_weight_and_what_it_leaves_out_does_not_count() -> None:
    where = grid()
    sigma = np.full(where.shape, 0.01, dtype=np.float32)
    sigma[50:] = np.nan
    result = result_of(TRUE, where, 3.0, sigma=sigma)
    spoilt = np.where(np.isnan(sigma), 0.5, result.form_factor).astype(np.float32)
    planes = (result.input, spoilt, result.input, result.input, result.input, result.mask)
    observation = Observation.of(Result(*planes, where, sigma_form_factor=sigma))
    assert observation.sigma is not None and observation.used.sum() == 45 * 96
    assert fit_model(TRUE, observation).debye_waller_b_angstrom2 == pytest.approx(3.0, abs=1e-4)


def test_blocks_are_reciprocal_cells_and_friedel_mates_are_one() -> None:
    where = grid("hk1", 256, 8)
    observation = Observation.of(result_of(TRUE, where))
    assert observation.block_count == 17 * 17  # cells of 16 pixels, half ones at the ends
    same = observation.blocks[observation.used]
    assert (observation.block_sums(np.ones(len(same))) == np.bincount(same)).all()
    # A plane that two vectors span through 0 has such mates, too.
    spanned = Observation.of(
        result_of(TRUE, PlaneGrid(where.cell, parse_plane("hhl"), where.rows, where.columns))
    )
    assert spanned.block_count == (17 * 17 + 1) // 2
    central = Observation.of(result_of(TRUE, grid("hk0", 256, 8)))
    assert central.block_count == (17 * 17 + 1) // 2
    np.testing.assert_array_equal(central.blocks[10:246, 10:246], central.blocks[245:9:-1, 245:9:-1])


@pytest.mark.parametrize("plane", ["hk0", "h1l"])
def test_the_right_model_wins_and_close_ones_are_not_told_apart(plane: str) -> None:
    observation = Observation.of(result_of(TRUE, grid(plane), b=2.0, noise=0.25, seed=3))
    near, nearer = (renamed(flipped(TORSION.turned(amide(), angle)), f"{angle} deg") for angle in (20, -0.3))
    models = [ModelPair("vacancy", amide(), VACANCY), near, TRUE, nearer]
    comparison = compare_models(models, observation, resamples=500, seed=1)
    names = [fit.name for fit in comparison.fits]
    assert set(names[:2]) == {"true", "-0.3 deg"} and names[2:] == ["20 deg", "vacancy"]
    assert 0.5 <= comparison.better_than_next[0] < 0.995 and (comparison.better_than_next[1:] > 0.99).all()
    assert comparison.best.sum() == pytest.approx(1) and comparison.best[:2].sum() > 0.99
    misfits = np.array([fit.misfit for fit in comparison.fits])
    assert (np.diff(misfits) > 0).all()
    assert (comparison.intervals[:, 0] < misfits).all() and (misfits < comparison.intervals[:, 1]).all()
    again = compare_models(models[::-1], observation, resamples=500, seed=1)
    np.testing.assert_array_equal(again.intervals, comparison.intervals)


def test_a_model_against_itself_is_a_tie() -> None:
    observation = Observation.of(result_of(TRUE, noise=0.2))
    comparison = compare_models([TRUE, renamed(TRUE, "again")], observation, resamples=50)
    assert comparison.better_than_next[0] == 0.5 and comparison.best.tolist() == [0.5, 0.5]


def test_resampled_misfits_scatter_about_the_misfit() -> None:
    observation = Observation.of(result_of(TRUE, noise=0.2))
    fit = fit_model(TRUE, observation)
    assert fit.block_errors.sum() / observation.used.sum() == pytest.approx(fit.misfit)
    assert resampled_misfits([fit], observation, observation.draws(400, 0)).mean() == pytest.approx(
        fit.misfit, rel=0.02
    )
    with pytest.raises(InputError, match="expected 10 or more"):
        observation.draws(9, 0)


@pytest.mark.parametrize("seed", range(4))
def test_scan_finds_the_torsion_put_in(seed: int) -> None:
    observation = Observation.of(result_of(TRUE, b=1.0, noise=0.2, seed=seed))
    model = flipped(TORSION.turned(amide(), -12.3))
    scan = scan_model(model, torsion_turn([TORSION], model), angles_of_range(-30, 60, 6), observation, 200)
    deepest = scan.minima[0]
    assert abs(deepest.angle_deg - 12.3) < 3 * deepest.su_deg + 0.1 and 0.05 < deepest.su_deg < 2
    assert deepest.lowest == 1.0 and scan.best is scan.fits[7]


def test_scan_of_a_rotation_of_one_species() -> None:
    observation = Observation.of(result_of(TRUE, b=1.0, noise=0.1))
    first = TRUE.first
    model = ModelPair("turned", first, TRUE.second.turned(Z, 7.0, TRUE.second.centroid))
    scan = scan_model(model, rotation_turn(Z, "B"), angles_of_range(-20, 8, 4), observation, 200)
    assert scan.minima[0].angle_deg == pytest.approx(-7.0, abs=0.5)
    turned = rotation_turn(Z)(model, 30.0)
    assert not np.allclose(turned.first.positions_angstrom, first.positions_angstrom)
    np.testing.assert_allclose(turned.first.centroid, first.centroid, atol=1e-12)


def test_minima_of_a_curve_come_deepest_first() -> None:
    angles = np.arange(0.0, 70.0, 10.0)
    curve = np.array([3.0, 1.0, 2.0, 4.0, 0.5, 0.5, 2.0])
    curves = np.stack([curve, curve - 0.8 * (angles == 10)])
    first, second = find_minima(angles, curve, curves)
    assert first.angle_deg == pytest.approx(45.0) and first.lowest == 0.5 and first.misfit < 0.5
    assert second.angle_deg == pytest.approx(10 + 10 / 6) and second.lowest == 0.5
    circle = np.arange(-180.0, 181.0, 20.0)
    wave = -np.cos(np.radians(2 * (circle - 3)))
    at = [minimum.angle_deg for minimum in find_minima(circle, wave, np.stack([wave, wave]))]
    assert sorted(at) == pytest.approx([-177, 3], abs=0.2)
    assert find_minima(angles, angles, np.stack([angles, angles])) == ()


def test_what_cannot_be_judged() -> None:
    plain = result_of(TRUE)
    planes = (plain.input, plain.form_factor, plain.input, plain.input, plain.input)
    with pytest.raises(InputError, match="the result has no unit cell and axes"):
        Observation.of(Result(*planes, plain.mask))
    with pytest.raises(InputError, match="found 0 measured pixels; expected 100"):
        Observation.of(Result(*planes, np.zeros_like(plain.mask), plain.grid))
    flat = np.ones_like(plain.input)
    with pytest.raises(InputError, match="same value in every pixel"):
        Observation.of(Result(plain.input, flat, flat, flat, flat, plain.mask, plain.grid))
    with pytest.raises(InputError, match="scatter identically"):
        fit_model(ModelPair("same", amide(), amide()), Observation.of(plain))
    for numbers in ((0, 10, 0), (10, 0, 1), (0, 10, 9), (0, 1e9, 1), (0, np.nan, 1)):
        with pytest.raises(InputError, match="expected FIRST LAST STEP"):
            angles_of_range(*numbers)
    different = ModelPair("two", chain("C1", "C2", "C3", "C4"), amide())
    shared = Torsion(("C1", "C2", "C3", "C4"))  # a chain's in the first species, a ring's in the second
    with pytest.raises(InputError, match="label 'F1': no atom has it"):
        torsion_turn([Torsion(("C7", "N1", "C8", "F1"))], different)
    with pytest.raises(InputError, match="it is in a ring"):
        torsion_turn([shared], different)
    turned = torsion_turn([shared], different, "A")(different, 30.0)
    assert shared.angle_deg(turned.first) == pytest.approx(shared.angle_deg(different.first) + 30)
    assert turned.second is different.second


def test_a_model_against_the_data_gets_no_scale() -> None:
    where = grid()
    plain = result_of(TRUE, where)
    upside_down = (1 - plain.form_factor).astype(np.float32)
    fit = fit_model(TRUE, Observation.of(Result(*(upside_down,) * 5, plain.mask, where)))
    assert fit.scale == 0 and np.isnan(fit.scale_su) and np.ptp(fit.intensity) == 0
