"""Methods without a network on planes made from the physics: nearly exact where they should be, and always finite."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from dsfunet.data.store import Store
from dsfunet.errors import InputError
from dsfunet.lattice.smoothing import unit_range
from dsfunet.physics import Cell, plane_through, short_range_order_intensity
from dsfunet.planes.preprocessing import normalise, spread
from evaluate.metrics.errors import spread_mse
from evaluate.predictors.cases import Case, Predictor
from evaluate.predictors.classical import (
    AlternatingLeastSquares,
    InputAsIs,
    LowPassHighPass,
    MeanPlane,
    SeriesOnRawPlane,
    ShellAverageAndFolding,
    UniformNoise,
    compute_mean_planes,
)
from evaluate.predictors.folding import Zone
from tests.reference import random_alphas

Plane = npt.NDArray[np.float32]

LAYERS = {
    "orthogonal": (Cell(6.0, 7.5, 5.2), (0, 1), 0.0),
    "hexagonal": (Cell(8.0, 4.0, 8.0, 90.0, 120.0, 90.0), (0, 2), 1.0),
    "triclinic": (Cell(7.1, 6.2, 7.3, 81.0, 97.0, 112.0), (2, 1), 0.37),
}
every_layer = pytest.mark.parametrize("layer", LAYERS)

MEAN = MeanPlane(*np.random.default_rng(0).random((2, 256, 256), np.float32))
PREDICTORS: dict[str, Predictor] = {
    "shells": ShellAverageAndFolding(),
    "raw": SeriesOnRawPlane(),
    "levelled": SeriesOnRawPlane(levelled=True),
    "alternating": AlternatingLeastSquares(),
    "low_pass": LowPassHighPass(),
    "mean": MEAN,
    "noise": UniformNoise(3),
    "input": InputAsIs(),
}
every_predictor = pytest.mark.parametrize("predictor", PREDICTORS.values(), ids=PREDICTORS.keys())


def gap_mask() -> npt.NDArray[np.bool_]:
    """A quarter of the plane missing: bars narrower than a cell, and a beam stop."""
    mask = np.ones((256, 256), bool)
    mask[::32] = mask[:, 5::24] = mask[:, 6::24] = False
    for row in range(1, 5):
        mask[row::32] = False
    mask[118:138, 118:138] = False
    return mask


def made(layer: str, mask: npt.NDArray[np.bool_] | None = None, seed: int = 0) -> tuple[Case, Plane, Plane]:
    """A case with its true I_FF, a smooth function of Q well above 0, and its true I_SRO."""
    cell, axes, offset = LAYERS[layer]
    plane = plane_through(cell, axes, offset, 8.0)
    x, y = np.meshgrid(np.linspace(-1, 1, 256), np.linspace(-1, 1, 256), indexing="ij")
    form_factor = np.exp(-(x**2) - y**2 + 0.2 * x * y)
    # Correlations so weak that the series stays positive, so that clipping changes nothing.
    series = short_range_order_intensity(random_alphas(seed), cell, plane, clip=False)
    order = 1 + 0.9 * (series - 1) / (1 - series.min())
    mask = np.ones((256, 256), bool) if mask is None else mask
    scattering = np.where(mask, form_factor * order / (form_factor * order).max(), 0).astype(np.float32)
    return Case(seed, scattering, mask, cell, plane, axes), normalise(form_factor)[0], normalise(order)[0]


def same(first: tuple[Plane, Plane], second: tuple[Plane, Plane]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def answer(predictor: Predictor, case: Case) -> tuple[Plane, Plane]:
    prediction = predictor([case])
    return prediction.form_factor[0], prediction.short_range_order[0]


@every_layer
@pytest.mark.parametrize("mask", [None, gap_mask], ids=["whole", "gaps"])
@pytest.mark.parametrize(
    ("name", "mark_form_factor", "mark_order"),
    [
        ("levelled", 0.0002, 0.0001),
        ("raw", 0.004, 0.003),
        ("alternating", 0.012, 0.008),  # bins blur
        ("shells", 0.012, 0.008),
    ],
)
def test_lattice_methods_find_smooth_form_factors_and_periodic_order(
    layer: str,
    mask: Callable[[], npt.NDArray[np.bool_]] | None,
    name: str,
    mark_form_factor: float,
    mark_order: float,
) -> None:
    case, form_factor, order = made(layer, mask() if mask else None)
    prediction = PREDICTORS[name]([case])
    assert spread_mse(prediction.form_factor, form_factor[None])[0] < mark_form_factor
    assert spread_mse(prediction.short_range_order, order[None])[0] < mark_order


@every_layer
def test_a_form_factor_that_varies_over_the_plane_alone_comes_out_of_the_low_pass(layer: str) -> None:
    case, form_factor, _ = made(layer, gap_mask())
    found, _ = answer(PREDICTORS["low_pass"], case)
    assert spread_mse(found[None], form_factor[None])[0] < 0.03


@every_predictor
def test_answers_do_not_depend_on_the_other_cases_and_are_the_same_every_time(predictor: Predictor) -> None:
    cases = [made("orthogonal", seed=1)[0], made("hexagonal", gap_mask(), 2)[0], made("triclinic", seed=3)[0]]
    together = predictor(cases)
    assert together.form_factor.dtype == together.short_range_order.dtype == np.float32
    for index in (2, 0, 1):
        alone = answer(predictor, cases[index])
        assert same(alone, (together.form_factor[index], together.short_range_order[index]))


@every_predictor
def test_what_stands_under_the_mask_is_not_used(predictor: Predictor) -> None:
    mask = gap_mask()
    case = made("hexagonal", mask)[0]
    filled = np.where(mask, case.scattering, np.float32(0.7))
    assert same(answer(predictor, case), answer(predictor, replace(case, scattering=filled)))


def extreme_cases() -> dict[str, Case]:
    """Few pixels, far away or alone; planes that are nearly constant, nearly empty, or dark except for one pixel."""
    case = made("hexagonal")[0]
    scattering = case.scattering
    block, corner, two, half = (np.zeros((256, 256), bool) for _ in range(4))
    block[100:106, 30:35] = corner[:2, :2] = two[0, 0] = two[255, 200] = half[:128] = True
    spike, flat = np.zeros_like(scattering), np.full_like(scattering, 0.5)
    spike[40, 50] = flat[3, 3] = 1
    faint = (1e-6 * scattering).astype(np.float32)
    checker = np.indices((256, 256)).sum(0) % 2
    shown = {"block": block, "corner": corner, "two": two, "half": half}
    cases = {name: replace(case, mask=mask, scattering=scattering * mask) for name, mask in shown.items()}
    whole = {"spike": spike, "flat": flat, "faint": faint, "checker": checker.astype(np.float32)}
    return cases | {name: replace(case, scattering=values) for name, values in whole.items()}


EXTREME = extreme_cases()


@every_predictor
@pytest.mark.parametrize("name", EXTREME)
def test_answers_are_finite_whatever_was_measured(predictor: Predictor, name: str) -> None:
    case = EXTREME[name]
    assert np.unique(case.scattering[case.mask]).size > 1
    for component in answer(predictor, case):
        assert component.shape == (256, 256)
        assert np.isfinite(component).all() and component.min() >= 0 and component.max() <= 1
        normalised = predictor not in (MEAN, PREDICTORS["noise"])
        assert not normalised or component.max() == 1


def test_the_mean_plane_is_the_mean_of_the_first_truths_in_spread_space(store: Store) -> None:
    truths = [store.sample(index).short_range_order.astype(np.float64) for index in range(5)]
    found = answer(MeanPlane(*compute_mean_planes(store, 5)), made("orthogonal")[0])[1]
    assert spread(found.astype(np.float64)) == pytest.approx(np.mean(spread(np.stack(truths)), 0), abs=1e-3)


def test_noise_is_uniform_in_spread_space_and_goes_by_seed_number_and_component() -> None:
    case = made("orthogonal")[0]
    first, second = answer(UniformNoise(1), case)
    expected = np.random.default_rng([1, case.number, 0]).uniform(-1, 1, (256, 256))
    assert spread(first.astype(np.float64)) == pytest.approx(expected, abs=1e-3)
    others = [answer(UniformNoise(2), case)[0], answer(UniformNoise(1), replace(case, number=9))[0], second]
    for other in others:
        assert abs(np.corrcoef(first.reshape(-1), other.reshape(-1))[0, 1]) < 0.02


def test_the_input_as_it_is_and_what_cannot_be_split() -> None:
    case = made("triclinic", gap_mask())[0]
    first, second = answer(InputAsIs(), case)
    assert np.array_equal(first, normalise(case.scattering, case.mask)[0]) and np.array_equal(first, second)
    nothing = replace(case, mask=np.zeros_like(case.mask))
    for predictor in (InputAsIs(), SeriesOnRawPlane()):
        with pytest.raises(InputError, match="no measured pixel"):
            predictor([nothing])


def test_folding_conserves_sums_and_unfolds_a_periodic_plane() -> None:
    case, _, order = made("orthogonal")
    zone, ones = Zone(case), np.ones((256, 256), np.float32)
    assert zone.fold(ones).sum() == 65536
    found = zone.order(order, ones)
    assert found.max() == 1 and spread_mse(unit_range(found)[None], order[None])[0] < 0.01
