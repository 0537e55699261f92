"""The verdict on planes whose components are known, as they are and with one assumption broken."""

import doctest
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest

import dsfunet.verdict.judge
from dsfunet.errors import InputError
from dsfunet.lattice.mode import split_on_lattice
from dsfunet.physics import Cell, plane_through
from dsfunet.physics.cosine_series import plane_harmonics
from dsfunet.physics.lattice_plane import LatticePlane
from dsfunet.planes.noise import estimate_noise_variance_by_level
from dsfunet.planes.preprocessing import normalise
from dsfunet.verdict.judge import TESTS, Verdict, judge, judge_numbers, read_limits, score_numbers
from dsfunet.verdict.measures import measure
from dsfunet.verdict.reasons import REASONS

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
CELL = Cell(6.0, 7.5, 5.2)
AXES = (0, 1)
REACH = 7.0


def lattice(cell: Cell = CELL) -> LatticePlane:
    return LatticePlane(cell, plane_through(CELL, AXES, 0.0, REACH), AXES)


@cache
def components() -> tuple[Array, Array]:
    """I_FF of a small molecule, and I_SRO, both as they are in I."""
    alphas = np.zeros((11, 11, 11))
    alphas[5, 5, 5] = 1
    for step, value in (((1, 0, 0), -0.12), ((0, 1, 0), 0.1), ((1, 1, 0), 0.06), ((2, 0, 0), 0.05)):
        for sign in (1, -1):
            alphas[tuple(5 + sign * each for each in step)] = value
    order = np.maximum(plane_harmonics(alphas, CELL, AXES, 0.0).evaluate(lattice().plane), 0)
    q = lattice().plane.q_points()
    atoms = np.array([[0.9, 0.4, 0.0], [-0.7, 0.9, 0.0], [0.3, -1.2, 0.0]])
    amplitude = np.exp(1j * q @ atoms.T) @ np.array([1.0, -0.8, 0.9])
    return np.abs(amplitude) ** 2 * np.exp(-(q**2).sum(-1) / 25), order


def gaps() -> Mask:
    mask = np.ones((256, 256), np.bool_)
    mask[100:112], mask[:, 180:186] = False, False
    rows, columns = np.indices(mask.shape) - 128
    mask[np.hypot(rows, columns) < 8] = False
    return mask


def verdict(
    plane: Array,
    mask: Mask | None = None,
    cell: Cell = CELL,
    on_lattice: bool = True,
    counts: float | None = None,
) -> Verdict:
    """With the true components of the unspoilt plane in place of the networks', or what lattice mode makes of them."""
    mask = gaps() if mask is None else mask
    if counts is not None:
        plane = np.random.default_rng(3).poisson(plane * (counts / plane[mask].max())).astype(np.float64)
    form_factor, order = (normalise(each)[0] for each in components())
    if not on_lattice:
        return judge(plane, mask, form_factor, order)
    where = lattice(cell)
    answer = split_on_lattice(plane, mask, where, form_factor, order)
    shown = (answer.form_factor, answer.short_range_order) if answer.accepted else (form_factor, order)
    return judge(plane, mask, *shown, answer, where)


def good() -> Array:
    form_factor, order = components()
    return form_factor * order


def bragg(times_brightest: float = 3.0) -> Array:
    plane = good()
    height = times_brightest * float(plane.max())
    for i in range(-5, 6):
        for j in range(-6, 7):
            centre = 128 + np.array([i, j]) / np.array([6.0, 7.5]) * 2 * np.pi / (2 * REACH / 256)
            rows, columns = np.indices(plane.shape)
            distance = np.square(rows - centre[0]) + np.square(columns - centre[1])
            plane += height * (0.5 + 0.5 * np.cos(i + 2 * j)) * np.exp(-distance / 2) if i or j else 0
    return plane


def background() -> Array:
    return np.asarray(0.1 + np.exp(-lattice().plane.q_squared() / 8))


def size_effect() -> Array:
    form_factor, order = components()
    q = lattice().plane.q_points()
    term = sum(2 * 0.2 * q[..., axis] * np.sin(q[..., axis] * edge) for axis, edge in ((0, 6.0), (1, 7.5)))
    return np.asarray(form_factor * np.maximum(order - term, 0))


def hot_pixels() -> Array:
    plane = good()
    plane[np.random.default_rng(1).random(plane.shape) < 1e-3] = 1.5 * plane.max()
    return plane


@pytest.mark.parametrize("on_lattice", [True, False])
@pytest.mark.parametrize("counts", [None, 1000.0])
def test_a_product_is_explained(on_lattice: bool, counts: float | None) -> None:
    found = verdict(good(), on_lattice=on_lattice, counts=counts)
    assert found.trustworthy and found.level == "explained" and not found.reasons
    assert found.sentence.startswith("Explained") and found.numbers["score"] < 1
    assert found.numbers["unexplained"] < 0.03


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        (bragg, "Bragg"),
        (background, "nothing but |Q|"),
        (size_effect, "displacement"),
        (hot_pixels, "single pixels"),
    ],
)
def test_a_broken_assumption_is_named(spoilt: Callable[[], Array], reason: str) -> None:
    found = verdict(spoilt())
    assert found.level == "not explained" and reason in found.reasons
    assert found.numbers["score"] >= 2


def test_bragg_positions_that_differ_from_the_others_are_counted() -> None:
    """Maxima that are alike at all positions are short-range order, however sharp."""
    assert verdict(good()).numbers["bragg_outstanding"] < 0.02
    for times_brightest in (0.3, 3.0):  # beside peaks 100 times as bright, all else is their own tails
        assert 0.25 < verdict(bragg(times_brightest)).numbers["bragg_outstanding"] < 1


def test_a_cell_three_percent_off_is_noticed_and_only_on_the_lattice() -> None:
    wrong = replace(CELL, a=1.03 * CELL.a)
    found = verdict(good(), cell=wrong)
    assert not found.trustworthy and {"lattice", "displacement"} & {*found.reasons}
    assert verdict(good(), on_lattice=False).trustworthy


def test_gaps_given_as_zeros_are_noticed() -> None:
    found = verdict(np.where(gaps(), good(), 0.0), np.ones_like(gaps()))
    assert not found.trustworthy and found.reasons[0] == "gaps"


def test_the_unit_of_intensity_and_what_is_not_measured_change_nothing() -> None:
    plane, mask = good(), gaps()
    first = verdict(plane, mask, on_lattice=False)
    again = verdict(np.where(mask, 4096 * plane, np.nan), mask, on_lattice=False)
    assert first.numbers == pytest.approx(again.numbers, rel=1e-9, abs=1e-9)
    assert first.sentence == again.sentence


def test_missing_rows_and_corners_do_no_harm() -> None:
    mask = gaps()
    mask[:90], mask[:, :60] = False, False
    assert np.isfinite([*verdict(good(), mask).numbers.values()]).all()


def test_few_pixels_are_not_judged() -> None:
    mask = np.zeros((256, 256), np.bool_)
    mask[100:120, 100:120] = True
    found = judge(good(), mask, *components())
    assert (found.level, found.reasons) == ("doubtful", ["few pixels"])


def test_bad_input_is_refused() -> None:
    plane, mask = good(), gaps()
    with pytest.raises(InputError, match="one shape"):
        judge(plane, mask[:100], *components())
    with pytest.raises(InputError, match="above zero"):
        judge(np.zeros_like(plane), mask, *components())
    with pytest.raises(InputError, match="lattice is that of a plane of shape"):
        judge(plane[:200], mask[:200], *(each[:200] for each in components()), lattice=lattice())


def test_noise_is_estimated_by_how_bright_a_pixel_is() -> None:
    plane, mask = good(), gaps()
    expected = plane / plane[mask].max() * 500 + 20
    counts = np.random.default_rng(5).poisson(expected).astype(np.float64)
    found = estimate_noise_variance_by_level(counts, mask, expected)
    bright, dim = expected > np.quantile(expected, 0.9), expected < np.quantile(expected, 0.2)
    for where in (bright & mask, dim & mask):
        assert found[where].mean() == pytest.approx(expected[where].mean(), rel=0.15)


def test_given_noise_replaces_the_estimate() -> None:
    plane, mask = good(), gaps()
    sigma = np.full(plane.shape, 0.1 * plane[mask].max())
    numbers = measure(plane, mask, *(normalise(each)[0] for each in components()), sigma=sigma)
    assert numbers["noise"] == pytest.approx(
        0.1 / np.sqrt(np.mean((plane[mask] / plane[mask].max()) ** 2)), rel=1e-6
    )


def test_limits_cover_every_test_and_have_their_provenance() -> None:
    fitted = read_limits()
    assert {each.reason for each in TESTS.values()} <= {*REASONS}
    for tables in fitted["limits"].values():
        assert len(tables) == 3
        for table in tables:
            assert {*table} <= {*TESTS} and all(np.all(np.diff(each) > 0) for each in table.values())
    assert {*fitted["limits"]["lattice"][0]} == {*TESTS}
    assert fitted["provenance"]["training"]["recipe_digest"]


def test_a_verdict_is_doubtful_from_the_limit_and_not_explained_from_twice_it() -> None:
    numbers = measure(good(), gaps(), *(normalise(each)[0] for each in components()))
    fitted = read_limits()
    quantiles = fitted["limits"]["none"][0]["unexplained"]
    # Scores go from 0.15 at the median on, those beyond the last quantile in a straight line.
    line = np.linspace(quantiles[0], 20 * quantiles[-1] - 19 * quantiles[0], 20_000)
    found = [
        score_numbers({**numbers, "unexplained": np.exp(each) - 1e-4}, "none", fitted)["unexplained"]
        for each in line
    ]
    assert np.all(np.diff(found) >= 0)
    for times, level in ((0.9, "explained"), (1.2, "doubtful"), (2.2, "not explained")):
        wanted = line[np.searchsorted(found, times * fitted["threshold"]["none"])]
        value = np.exp(wanted) - 1e-4
        assert judge_numbers({**numbers, "unexplained": value}, "none", fitted).level == level


def test_the_example_of_the_docstring() -> None:
    found = doctest.testmod(dsfunet.verdict.judge)
    assert found.attempted > 0 and found.failed == 0


def test_a_score_is_how_rare_a_number_is() -> None:
    table = {"unexplained": [1.0, 2.0, 3.0, 4.0]}
    fitted = {"limits": {"none": [table] * 3}}
    rare = [0.1, 0.01, 0.003]
    for value, share in zip((2.0, 3.0, 4.0), rare, strict=True):
        numbers = {"noise": 0.0, "unexplained": np.exp(value) - 1e-4}
        assert score_numbers(numbers, "none", fitted)["unexplained"] == pytest.approx(-0.5 * np.log10(share))
