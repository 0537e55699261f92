"""Uncertainty: what sigma means, that it follows seed and plane alone, and that it covers errors that are known."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from dsfunet.errors import InputError
from dsfunet.factorize.factorizer import Components, Factorizer
from dsfunet.factorize.uncertainty import describe_answer, linear_sigma, sqrt_sigma
from dsfunet.networks.calibration import CALIBRATED_PASSES, FEATURES, MODES, Calibration
from dsfunet.networks.weights import CALIBRATION_FILE, load_folder, load_release, save_folder
from dsfunet.planes.preprocessing import COMPONENTS, spread, unspread
from dsfunet.planes.turns import MOST_PASSES, choose_turns, rotate_and_flip, undo_rotation_and_flip
from simulate.live import SimulatedPlanes
from tests.dsfunet.factorize.test_factorizer import make_generators, random_planes
from tests.dsfunet.lattice.test_mode import made

Array = npt.NDArray[Any]

DIGEST = "d" * 64


def make_calibration(digest: str = DIGEST, **log_sigmas: float) -> Calibration:
    """Sigma 0.1 in spread space wherever nothing else is said, by mode."""
    rows = {mode: np.zeros(len(FEATURES), np.float32) for mode in MODES}
    for mode, row in rows.items():
        row[0] = log_sigmas.get(mode, np.log(0.1))
    return Calibration(
        digest,
        {(mode, name, n): rows[mode] for mode in MODES for name in COMPONENTS for n in CALIBRATED_PASSES},
    )


@pytest.fixture(scope="module")
def tiny() -> Factorizer:
    return Factorizer(make_generators(), device="cpu", batch_size=2)


def sigmas(components: Components) -> Array:
    assert components.sigma_form_factor is not None and components.sigma_short_range_order is not None
    return np.stack([components.sigma_form_factor, components.sigma_short_range_order])


def test_turns_are_the_plane_as_it_is_and_others_by_seed() -> None:
    assert choose_turns(1, 5) == (0,)
    assert set(choose_turns(MOST_PASSES, 3)) == set(range(8)) and choose_turns(MOST_PASSES, 3)[0] == 0
    assert choose_turns(4, 7) == choose_turns(8, 7)[:4] == choose_turns(4, 7)
    assert len({choose_turns(4, seed) for seed in range(20)}) > 10
    for passes, seed, said in (
        (9, 0, "passes is 9; expected 1 to 8"),
        (-1, 0, "expected 1"),
        (2, -1, "seed is -1; expected 0 or more"),
    ):
        with pytest.raises(InputError, match=said):
            choose_turns(passes, seed)


@pytest.mark.parametrize("root", [0.0, 0.02, 0.5])
def test_sigma_of_linear_intensity_is_the_deviation_of_a_squared_gaussian(root: float) -> None:
    """The square of r + t z has variance 4 r^2 t^2 + 2 t^4; a million draws give it to 0.3 %."""
    half = 0.04
    drawn = (root + half * np.random.default_rng(0).normal(size=1_000_000)) ** 2
    answer, sigma = np.float32([2 * root - 1]), np.float32([2 * half])
    found = linear_sigma(answer, sigma)
    assert found[0] == pytest.approx(drawn.std(), rel=0.01)
    np.testing.assert_allclose(sqrt_sigma(unspread(answer), found), half, rtol=1e-3)


def test_features_say_misfit_noise_and_distance() -> None:
    _, scattering, smooth, order, mask = made("hexagonal")
    # Nothing that `fit_product` cannot give back: minimum 0 and maximum 1.
    components = [(each - each.min()) / np.ptp(each) for each in (smooth, order)]
    noise = 0.05 * np.random.default_rng(2).normal(size=mask.shape) * scattering.max()
    answer = spread(np.stack(components))
    exact, noisy = (
        describe_answer(answer, None, np.where(mask, plane, np.nan), mask)
        for plane in (scattering, scattering + noise)
    )
    of = {name: place for place, name in enumerate(FEATURES)}
    whole = np.sqrt(np.sum(scattering[mask] ** 2))
    share = np.sqrt(np.sum(noise[mask] ** 2)) / whole
    assert exact[0, of["log_noise"], 0, 0] == pytest.approx(np.log(3e-3), abs=0.1)
    assert noisy[0, of["log_noise"], 0, 0] == pytest.approx(np.log(share), abs=0.1)
    assert exact[1, of["log_misfit"], 0, 0] < np.log(0.01)
    depth = noisy[0, of["log_depth"]]
    assert (depth[mask] == 0).all() and (depth[~mask] > 0).all()
    assert depth[:, 200:220].max() == pytest.approx(np.log1p(10), abs=0.05)
    np.testing.assert_array_equal(noisy[1, of["level"]], answer[1])
    assert not noisy[:, 1:3].any()


def test_deviation_is_smoothed_and_summed_up() -> None:
    deviation = np.full((2, 256, 256), 0.03, np.float32)
    deviation[1] = 0
    features = describe_answer(
        np.zeros_like(deviation), deviation, np.ones((256, 256)), np.ones((256, 256), bool)
    )
    np.testing.assert_allclose(np.exp(features[0, 1:3]), np.hypot(0.03, 1e-3), rtol=1e-4)
    np.testing.assert_allclose(np.exp(features[1, 1:3]), 1e-3, rtol=1e-4)


def test_calibration_goes_to_json_and_back() -> None:
    calibration = make_calibration(lattice=-4.123456)
    again = Calibration.from_plain(json.loads(json.dumps(calibration.to_plain())), "x")
    assert again.digest == DIGEST
    features = np.random.default_rng(0).normal(size=(2, len(FEATURES), 7)).astype(np.float32)
    for mode in MODES:
        # Three passes take the coefficients of two, eight those of four.
        np.testing.assert_allclose(
            again.sigma(mode, 3, features), calibration.sigma(mode, 2, features), rtol=1e-5
        )
    features[:, 0] = 1
    np.testing.assert_allclose(again.sigma("lattice", 8, features), np.exp(-4.12346), rtol=1e-5)


@pytest.mark.parametrize("change", ["coefficients", "weights_sha256", "nan"])
def test_a_damaged_calibration_is_refused(change: str, tmp_path: Path) -> None:
    plain = make_calibration().to_plain()
    if change == "nan":
        plain["coefficients"]["networks"]["form_factor"]["1"]["one"] = float("nan")
    else:
        del plain[change]
    save_folder(make_generators(), tmp_path)
    (tmp_path / CALIBRATION_FILE).write_text(json.dumps(plain), encoding="utf-8")
    with pytest.raises(InputError, match="calibration"):
        load_folder(tmp_path)


def test_new_weights_lose_the_calibration_of_the_old(tmp_path: Path) -> None:
    (tmp_path / CALIBRATION_FILE).write_text("{}", encoding="utf-8")
    save_folder(make_generators(), tmp_path)
    assert load_folder(tmp_path).calibration == {}


def test_weights_without_a_calibration_say_so(tiny: Factorizer) -> None:
    plane = random_planes(1)[0]
    once = tiny(plane)
    assert once.sigma_form_factor is None and "no calibration" in once.uncertainty
    several = tiny(plane, passes=3, seed=4)
    assert several.uncertainty.startswith("uncalibrated")
    outputs = []
    for turn in choose_turns(3, 4):
        answer = tiny(rotate_and_flip(plane, turn), passes=0)
        both = np.stack([answer.form_factor, answer.short_range_order])
        outputs.append(spread(undo_rotation_and_flip(both, turn)))
    mean, deviation = np.mean(outputs, axis=0), np.std(outputs, axis=0, ddof=1)
    np.testing.assert_allclose(several.form_factor, unspread(mean)[0], atol=1e-5)
    np.testing.assert_allclose(sigmas(several), linear_sigma(mean, deviation), atol=1e-5)
    assert deviation.mean() > 1e-3
    assert "0 passes were requested" in tiny(plane, passes=0).uncertainty


def test_a_calibration_of_other_weights_is_not_used() -> None:
    for digest, known in ((DIGEST, True), ("e" * 64, False)):
        generators = replace(make_generators(), calibration=make_calibration(digest).to_plain())
        assert (Factorizer(generators, "cpu").calibration is not None) is known


def test_a_calibrated_pass_has_the_sigma_of_the_calibration() -> None:
    generators = replace(make_generators(), calibration=make_calibration().to_plain())
    components = Factorizer(generators, "cpu")(random_planes(2))
    expected = linear_sigma(spread(components.form_factor), np.float32(0.1))
    assert components.sigma_form_factor is not None
    np.testing.assert_allclose(components.sigma_form_factor, expected, atol=1e-5)
    assert "calibrated on simulated planes" in components.uncertainty


@pytest.mark.slow
def test_seed_decides_and_nothing_else(release: Factorizer) -> None:
    planes = np.stack([made(layer)[1] for layer in ("orthogonal", "hexagonal", "triclinic")])
    planes[1, 30:60] = np.nan
    together = release(planes, passes=2, seed=1)
    again = Factorizer(load_release(), "cpu", batch_size=2)(planes, passes=2, seed=1)
    for index in range(3):
        alone = release(planes[index], passes=2, seed=1)
        for each, place in ((alone, ...), (again, index)):
            # One batch or another sums in another order: 1e-5 of intensities up to 1.
            np.testing.assert_allclose(sigmas(each)[:, place], sigmas(together)[:, index], atol=1e-5)
            np.testing.assert_allclose(each.form_factor[place], together.form_factor[index], atol=1e-5)
    repeated = release(planes, passes=2, seed=1)
    np.testing.assert_array_equal(sigmas(repeated), sigmas(together))
    other = next(seed for seed in range(2, 20) if choose_turns(2, seed) != choose_turns(2, 1))
    assert not np.array_equal(sigmas(release(planes[0], passes=2, seed=other)), sigmas(together)[:, 0])


@pytest.mark.slow
def test_sigma_is_larger_under_a_mask_and_for_noisy_planes(release: Factorizer) -> None:
    _, scattering, *_ = made("hexagonal")
    mask = np.ones((256, 256), bool)
    mask[80:170, 60:150] = False
    whole, holed = release(scattering, passes=2), release(scattering, mask, passes=2)
    deep = np.s_[110:140, 90:120]
    in_root = [
        np.stack([sqrt_sigma(getattr(of, name), getattr(of, f"sigma_{name}")) for name in COMPONENTS])
        for of in (whole, holed)
    ]
    # The network sees a smooth form factor go on across the hole, not what it does inside.
    assert in_root[1][0][deep].mean() > 1.5 * in_root[0][0][deep].mean()
    counts = np.random.default_rng(0).poisson(scattering * (10 / scattering.max())).astype(float)
    assert (sigmas(release(counts, passes=2)).mean(axis=(1, 2)) > sigmas(whole).mean(axis=(1, 2))).all()


@pytest.mark.slow
def test_lattice_mode_has_a_sigma_of_its_own(release: Factorizer) -> None:
    lattice, scattering, _, _, mask = made("hexagonal")
    alone, known = release(scattering, mask, passes=2), release(scattering, mask, lattice, passes=2)
    assert known.lattice_answers[0] is not None and known.lattice_answers[0].accepted
    assert known.sigma_of_networks is not None
    np.testing.assert_array_equal(np.stack(known.sigma_of_networks), sigmas(alone))
    # The lattice settles short-range order: it is known far better, and is.
    assert sigmas(known)[1].mean() < 0.3 * sigmas(alone)[1].mean()
    np.testing.assert_array_equal(known.lattice_answers[0].form_factor, known.form_factor)
    assert release(scattering, mask, lattice).sigma_form_factor is not None
    assert release(scattering, mask, lattice, passes=0).sigma_form_factor is None


@pytest.mark.slow
def test_sigma_covers_the_errors_of_simulated_planes(release: Factorizer, tmp_path: Path) -> None:
    """The errors of a plane go together, so that of 12 planes the share within one sigma is 0.68 to about 0.15."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "seed: 8\nmonte_carlo_share: 0.0\nsamples: {train: 12, validation: 12}\n", encoding="utf-8"
    )
    source = SimulatedPlanes(str(recipe), "validation", fresh=False, progress=False)
    samples = [source.sample(number) for number in range(12)]
    planes, masks = (np.stack([getattr(each, name) for each in samples]) for name in ("scattering", "mask"))
    for passes in (1, 2):
        components = release(planes, masks, passes=passes)
        for name, sigma in zip(COMPONENTS, sigmas(components), strict=True):
            error = np.abs(getattr(components, name) - np.stack([getattr(each, name) for each in samples]))
            assert 0.5 < (error < sigma).mean() < 0.86
            assert (error < 2 * sigma).mean() > 0.8
