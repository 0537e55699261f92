"""Lattice mode on planes whose components are known, with a network that is roughly right about the form factor."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from dsfunet.errors import InputError
from dsfunet.factorize.factorizer import Factorizer
from dsfunet.lattice.mode import (
    LatticeAnswer,
    average_friedel_mates,
    invert_plane,
    smooth_over_cells,
    split_on_lattice,
)
from dsfunet.physics import Cell, plane_through
from dsfunet.physics.cosine_series import plane_harmonics
from dsfunet.physics.lattice_plane import LatticePlane
from dsfunet.planes.noise import estimate_mean_noise_variance
from dsfunet.planes.preprocessing import normalise, spread

Plane = npt.NDArray[np.float32]

LAYERS: dict[str, tuple[Cell, tuple[int, int], float]] = {
    "orthogonal": (Cell(6.0, 7.5, 5.2), (0, 1), 0.0),
    "hexagonal": (Cell(8.0, 4.0, 8.0, 90.0, 120.0, 90.0), (0, 2), 1.0),
    "triclinic": (Cell(7.1, 6.2, 7.3, 81.0, 97.0, 112.0), (2, 1), 0.37),
}
STRONG = {"orthogonal": 0.6, "hexagonal": 2.0, "triclinic": 2.0}
every_layer = pytest.mark.parametrize("layer", LAYERS)


def lattice_of(layer: str) -> LatticePlane:
    cell, axes, offset = LAYERS[layer]
    return LatticePlane(cell, plane_through(cell, axes, offset, 7.0), axes)


def made(
    layer: str, strength: float = 0.25
) -> tuple[LatticePlane, Plane, Plane, Plane, npt.NDArray[np.bool_]]:
    """Lattice, scattering, I_FF, I_SRO (0 or more, as it is in I) and a mask with a fifth missing."""
    lattice = lattice_of(layer)
    alphas = np.zeros((11, 11, 11))
    alphas[5, 5, 5] = 1
    for step, value in (
        ((1, 0, 0), -1.0),
        ((0, 1, 0), 0.8),
        ((0, 0, 1), -0.9),
        ((1, 1, 0), 0.5),
        ((2, 0, 0), 0.6),
    ):
        for sign in (1, -1):
            alphas[tuple(5 + sign * each for each in step)] = strength * value
    series = plane_harmonics(alphas, lattice.cell, lattice.axes, lattice.third_index)
    order = np.maximum(series.evaluate(lattice.plane), 0)
    q = lattice.plane.q_points()
    smooth = (1 + 0.7 * np.cos(q @ [1.1, 0.3, -0.4])) * np.exp(-(q**2).sum(-1) / 14)
    mask = np.random.default_rng(1).random((256, 256)) > 0.05
    mask[100:140, :120] = False
    mask[:, 200:220] = False
    return lattice, *(np.asarray(each, np.float32) for each in (smooth * order, smooth, order)), mask


def split(layer: str, strength: float = 0.25, **changes: Any) -> tuple[LatticeAnswer, Plane, Plane]:
    lattice, scattering, smooth, order, mask = made(layer, strength)
    rough = normalise(smooth * (1 + 0.2 * np.sin(lattice.plane.q_points() @ [0.3, 0.2, 0.1])))[0]
    blurred = np.full_like(rough, 0.5)
    answer = split_on_lattice(
        changes.get("scattering", np.where(mask, scattering, np.nan)),
        changes.get("mask", mask),
        changes.get("lattice", lattice),
        changes.get("rough", rough),
        blurred,
    )
    return answer, normalise(smooth)[0], normalise(order)[0]


def error(found: Plane, true: Plane) -> float:
    return float(np.mean((spread(found.astype(np.float64)) - spread(true.astype(np.float64))) ** 2))


@every_layer
def test_both_components_come_out_where_the_network_is_roughly_right(layer: str) -> None:
    answer, form_factor, order = split(layer)
    rough = split(layer)[0]
    assert answer.accepted and answer.residual < 0.3 * answer.residual_of_networks
    assert error(answer.short_range_order, order) < 2e-3
    lattice, _, smooth, _, _ = made(layer)
    prior = normalise(smooth * (1 + 0.2 * np.sin(lattice.plane.q_points() @ [0.3, 0.2, 0.1])))[0]
    assert error(answer.form_factor, form_factor) < 0.5 * error(prior, form_factor)
    np.testing.assert_array_equal(answer.form_factor, rough.form_factor)
    for plane in (answer.form_factor, answer.short_range_order):
        assert plane.dtype == np.float32 and plane.min() >= 0 and plane.max() <= 1
    assert (answer.short_range_order.min(), answer.short_range_order.max()) == (0, 1)


@every_layer
def test_clipping_at_zero_does_not_bend_the_series(layer: str) -> None:
    """So strong an order that much of its series is below zero, where the plane is zero."""
    lattice, scattering, smooth, order, mask = made(layer, strength=STRONG[layer])
    assert (order == 0).mean() > 0.1
    answer = split_on_lattice(scattering, mask, lattice, normalise(smooth)[0], normalise(order)[0])
    assert error(answer.short_range_order, normalise(order)[0]) < 1e-3


def test_what_lies_under_the_mask_is_not_looked_at() -> None:
    _, scattering, *_, mask = made("hexagonal")
    expected = split("hexagonal")[0]
    for value in (np.nan, 0.0, 1e9, -5.0):
        answer = split("hexagonal", scattering=np.where(mask, scattering, value))[0]
        np.testing.assert_array_equal(answer.short_range_order, expected.short_range_order)
        np.testing.assert_array_equal(answer.form_factor, expected.form_factor)


def test_the_unit_of_the_plane_does_not_matter() -> None:
    scattering = made("triclinic")[1]
    first, second = (split("triclinic", scattering=unit * scattering)[0] for unit in (1.0, 1e6))
    np.testing.assert_allclose(first.short_range_order, second.short_range_order, atol=1e-4)
    np.testing.assert_allclose(first.form_factor, second.form_factor, atol=1e-4)


@pytest.mark.parametrize("change", [1.06, 1.3])
def test_a_lattice_that_does_not_fit_is_not_accepted(change: float) -> None:
    lattice, scattering, smooth, order, mask = made("orthogonal")
    wrong = LatticePlane(Cell(6.0 * change, 7.5, 5.2), lattice.plane, lattice.axes)
    components = normalise(smooth)[0], normalise(order)[0]
    assert split_on_lattice(scattering, mask, lattice, *components).accepted
    assert not split_on_lattice(scattering, mask, wrong, *components).accepted


def test_a_plane_through_the_origin_comes_out_centrosymmetric() -> None:
    answer = split("orthogonal")[0]
    for plane in (answer.form_factor, answer.short_range_order):
        np.testing.assert_allclose(plane, invert_plane(plane), atol=2e-3)
    assert not np.allclose(
        split("hexagonal")[0].form_factor, invert_plane(split("hexagonal")[0].form_factor), atol=1e-2
    )


def test_inversion_is_about_the_centre_pixel() -> None:
    q = lattice_of("orthogonal").plane.q_points()
    for axis in range(3):
        plane = q[..., axis].astype(np.float32)
        np.testing.assert_allclose(invert_plane(plane)[1:, 1:], -plane[1:, 1:], atol=1e-5)


def test_friedel_mates_fill_gaps_of_a_plane_through_the_origin_and_average_noise() -> None:
    lattice, scattering, _, _, mask = made("orthogonal")
    noisy = scattering + np.random.default_rng(2).normal(0, 0.01, scattering.shape)
    noisy[~mask] = np.nan
    filled, known = average_friedel_mates(noisy, mask, lattice)
    assert np.array_equal(known, mask | invert_plane(mask)) and known.sum() > 1.1 * mask.sum()
    np.testing.assert_array_equal(filled, invert_plane(filled))
    np.testing.assert_allclose(filled[known], scattering[known], atol=0.05)
    assert not filled[~known].any()
    both, one = mask & invert_plane(mask), known & ~(mask & invert_plane(mask))
    both[0], both[:, 0] = False, False
    errors = [np.std((filled - scattering)[where]) for where in (both, one)]
    np.testing.assert_allclose(errors, [0.01 / np.sqrt(2), 0.01], rtol=0.05)


def test_a_plane_off_the_origin_has_no_friedel_mates() -> None:
    lattice, scattering, _, _, mask = made("hexagonal")
    filled, known = average_friedel_mates(scattering, mask, lattice)
    assert filled is scattering and known is mask


def test_levelling_is_positive_and_follows_the_form_factor() -> None:
    lattice, scattering, smooth, _, mask = made("orthogonal")
    level = smooth_over_cells(np.where(mask, scattering, 0), mask, lattice)
    assert level.min() > 0
    assert np.corrcoef(level[mask], smooth[mask])[0, 1] > 0.7


def test_nothing_measured() -> None:
    with pytest.raises(InputError, match="no measured pixel"):
        split("orthogonal", mask=np.zeros((256, 256), bool))


def test_the_factorizer_uses_the_lattice_it_is_given() -> None:
    lattice, scattering, _, order, mask = made("hexagonal")
    factorizer = Factorizer.from_pretrained(device="cpu")
    alone, known = factorizer(scattering, mask), factorizer(scattering, mask, lattice)
    [answer] = known.lattice_answers
    assert answer.accepted and alone.lattice_answers == () and known.of_networks is not None
    np.testing.assert_array_equal(known.short_range_order, answer.short_range_order)
    np.testing.assert_array_equal(known.of_networks[1], alone.short_range_order)
    true = normalise(order)[0]
    assert error(known.short_range_order, true) < 0.3 * error(alone.short_range_order, true)
    both = factorizer(np.stack([scattering, scattering]), mask, lattice)
    assert both.form_factor.shape == (2, 256, 256) and len(both.lattice_answers) == 2
    np.testing.assert_allclose(both.form_factor[1], known.form_factor, atol=1e-4)


def test_a_lattice_of_other_pixels_is_refused() -> None:
    cell = Cell(6.0, 7.5, 5.2)
    lattice = LatticePlane(cell, plane_through(cell, (0, 1), 0.0, 7.0, pixels=64), (0, 1))
    with pytest.raises(
        InputError, match=r"the lattice is of planes of \(64, 64\) pixels; expected \(256, 256\)"
    ):
        Factorizer.from_pretrained(device="cpu")(np.random.default_rng(0).random((256, 256)), lattice=lattice)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3])
def test_noise_is_told_from_what_the_model_misses(share: float) -> None:
    """Second differences of waves of 40 pixels are a 1,600th of them."""
    rows, columns = np.indices((256, 256))
    missed = 0.1 * np.cos(2 * np.pi * rows / 40) * np.cos(2 * np.pi * columns / 40)
    noisy = missed + share * np.random.default_rng(3).normal(size=missed.shape)
    mask = columns % 50 > 5
    found = estimate_mean_noise_variance(noisy.astype(np.float32), mask, np.ones((256, 256), np.float32))
    assert found == pytest.approx(share**2, rel=0.03, abs=1e-6)


@every_layer
def test_few_counts_do_not_spoil_the_form_factor(layer: str) -> None:
    lattice, scattering, smooth, _, mask = made(layer)
    rough = normalise(smooth * (1 + 0.2 * np.sin(lattice.plane.q_points() @ [0.3, 0.2, 0.1])))[0]
    errors = []
    for counts in (30, 3000):
        noisy = np.random.default_rng(4).poisson(scattering * (counts / scattering.max()))
        answer = split_on_lattice(noisy.astype(np.float32), mask, lattice, rough, np.full_like(rough, 0.5))
        errors.append(error(answer.form_factor, normalise(smooth)[0]))
    before = error(rough, normalise(smooth)[0])
    assert errors[0] < 1.1 * before and errors[1] < 0.6 * before
