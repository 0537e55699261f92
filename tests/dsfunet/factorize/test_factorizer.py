"""Planes in, components out: the answer is of the plane alone, and bad input is told in a sentence."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from dsfunet.errors import InputError
from dsfunet.factorize.factorizer import Components, Factorizer
from dsfunet.networks import Pix2PixGenerator, SpectralUNet
from dsfunet.networks.weights import Generators
from dsfunet.physics import Cell, plane_through
from dsfunet.planes.geometry import Geometry
from dsfunet.planes.preprocessing import network_input, unspread
from dsfunet.planes.resampling import to_network_plane, to_user_grid

Array = npt.NDArray[Any]


def make_generators() -> Generators:
    torch.manual_seed(5)
    paper = Pix2PixGenerator(in_channels=1, channels=(4, 8, 8, 8))
    spectral = SpectralUNet(channels=(8, 16), blocks=(1, 1), fourier_channels=(4, 8))
    for network in (paper, spectral):
        for name, weights in network.named_parameters():
            if "expand" in name or "head" in name:
                weights.data += 0.05 * torch.randn_like(weights)
    return Generators(paper.eval(), spectral.eval(), "tiny", "d" * 64, {"title": "none"})


@pytest.fixture(scope="module")
def factorizer() -> Factorizer:
    return Factorizer(make_generators(), device="cpu", batch_size=2)


def random_planes(count: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).gamma(1.0, 100.0, (count, 256, 256))


def assert_close(first: Components, second: Components, tolerance: float = 1e-5) -> None:
    np.testing.assert_allclose(first.form_factor, second.form_factor, rtol=0, atol=tolerance)
    np.testing.assert_allclose(first.short_range_order, second.short_range_order, rtol=0, atol=tolerance)


def test_components_are_what_the_networks_answer(factorizer: Factorizer) -> None:
    plane = random_planes(1)[0]
    mask = plane > 20
    components = factorizer(plane, mask)
    shown = torch.from_numpy(network_input(plane, mask))[None]
    generators = make_generators()
    with torch.no_grad():
        form_factor = unspread(generators.form_factor(shown[:, :1]))[0, 0].numpy()
        short_range_order = unspread(generators.short_range_order(shown))[0, 0].numpy()
    np.testing.assert_allclose(components.form_factor, form_factor, rtol=0, atol=1e-5)
    np.testing.assert_allclose(components.short_range_order, short_range_order, rtol=0, atol=1e-5)
    assert components.form_factor.std() > 1e-3 and components.short_range_order.std() > 1e-3


@pytest.mark.parametrize("shape", [(256, 256), (1, 256, 256), (3, 256, 256)])
def test_shapes_and_range(factorizer: Factorizer, shape: tuple[int, ...]) -> None:
    components = factorizer(random_planes(3)[: shape[0] if len(shape) == 3 else 1].reshape(shape))
    for component in (components.form_factor, components.short_range_order):
        assert component.shape == shape and component.dtype == np.float32
        assert component.min() >= 0.0 and component.max() <= 1.0
    assert components.mask.shape == shape and components.mask.dtype == bool
    assert components.mask.all()


@pytest.mark.parametrize("unit", [1e6, 1e-6, 3.7e30, 1e-300])
def test_unit_does_not_matter(factorizer: Factorizer, unit: float) -> None:
    plane = random_planes(1)[0]
    assert_close(factorizer(plane * unit), factorizer(plane))


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int32, np.uint16, ">f8"])
def test_type_does_not_matter(factorizer: Factorizer, dtype: Any) -> None:
    plane = np.rint(random_planes(1)[0])
    assert_close(factorizer(plane.astype(dtype)), factorizer(plane))
    assert_close(factorizer(np.asfortranarray(plane.astype(dtype))), factorizer(plane))


def test_all_ways_of_saying_missing_are_one(factorizer: Factorizer) -> None:
    plane = random_planes(1)[0]
    mask = np.random.default_rng(1).random(plane.shape) > 0.3
    expected = factorizer(plane, mask)
    assert np.array_equal(expected.mask, mask)
    for missing in (np.nan, np.inf, -np.inf, -1.0, -1e-30):
        components = factorizer(np.where(mask, plane, missing))
        assert np.array_equal(components.mask, mask)
        assert_close(components, expected, 0.0)
    mixed = np.where(mask, plane, np.nan)
    half = mask.copy()
    half[:128] = True
    assert_close(factorizer(np.where(half, plane, np.nan), mask), factorizer(mixed), 0.0)
    # What lies under the mask is not seen.
    assert_close(factorizer(np.where(mask, plane, 1e9), mask), expected, 0.0)


def test_one_mask_for_all_planes_or_one_each(factorizer: Factorizer) -> None:
    planes = random_planes(2)
    mask = np.random.default_rng(1).random((256, 256)) > 0.3
    once = factorizer(planes, mask)
    assert_close(once, factorizer(planes, np.stack([mask, mask])), 0.0)
    assert once.mask.shape == planes.shape and np.array_equal(once.mask[1], mask)


def test_same_plane_same_answer(factorizer: Factorizer) -> None:
    plane = random_planes(1)[0]
    assert_close(factorizer(plane), factorizer(plane), 0.0)
    assert_close(Factorizer(make_generators(), "cpu")(plane), factorizer(plane), 0.0)


def test_answer_is_deterministic_for_networks_in_training_mode() -> None:
    generators = make_generators()
    generators.form_factor.train()
    factorizer, plane = Factorizer(generators, "cpu"), random_planes(1)[0]
    assert_close(factorizer(plane), factorizer(plane), 0.0)


def test_a_plane_does_not_depend_on_its_batch(factorizer: Factorizer) -> None:
    planes = random_planes(3)
    planes[0] *= 1e4
    planes[2, :100] = np.nan
    together = factorizer(planes)
    for index in range(3):
        alone = factorizer(planes[index])
        np.testing.assert_allclose(together.form_factor[index], alone.form_factor, rtol=0, atol=1e-5)
        np.testing.assert_allclose(
            together.short_range_order[index], alone.short_range_order, rtol=0, atol=1e-5
        )
    assert_close(Factorizer(make_generators(), "cpu", batch_size=8)(planes), together)


def test_input_is_left_as_it_was(factorizer: Factorizer) -> None:
    plane = random_planes(1)[0]
    plane[:10] = np.nan
    plane[10] = -1.0
    plane.flags.writeable = False
    before = plane.copy()
    factorizer(plane)
    np.testing.assert_array_equal(plane, before)


def test_masked_array_keeps_its_mask(factorizer: Factorizer) -> None:
    plane = random_planes(1)[0]
    mask = np.random.default_rng(1).random(plane.shape) > 0.3
    components = factorizer(np.ma.MaskedArray(plane, ~mask))
    assert np.array_equal(components.mask, mask)


def test_description(factorizer: Factorizer) -> None:
    assert factorizer.description == {"name": "tiny", "digest": "d" * 64, "card": {"title": "none"}}


@pytest.mark.parametrize(
    ("planes", "message"),
    [
        (np.ones((255, 256)), r"shape \(255, 256\); expected \(256, 256\) or \(n, 256, 256\)"),
        (np.ones(256), r"shape \(256,\)"),
        (np.ones((1, 1, 256, 256)), r"shape \(1, 1, 256, 256\)"),
        (np.ones((0, 256, 256)), r"shape \(0, 256, 256\)"),
        (np.full((256, 256), None), "type object; expected real numbers"),
        (np.ones((256, 256), complex), "type complex128; expected real numbers"),
        (np.full((256, 256), "1"), "expected real numbers"),
        (np.full((256, 256), np.nan), "plane number 0: the plane has no measured pixel"),
        (np.full((256, 256), -3.0), "plane number 0: the plane has no measured pixel"),
        (np.zeros((256, 256)), r"plane number 0: the plane is 0\.0 in every measured pixel"),
        (np.full((256, 256), 7), r"plane number 0: the plane is 7\.0 in every measured pixel"),
    ],
)
def test_bad_planes(factorizer: Factorizer, planes: Array, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        factorizer(planes)
    assert "\n" not in str(caught.value)


def test_bad_plane_is_named_by_its_number(factorizer: Factorizer) -> None:
    planes = random_planes(4)
    planes[3] = np.nan
    with pytest.raises(InputError, match="plane number 3: the plane has no measured pixel"):
        factorizer(planes)


@pytest.mark.parametrize(
    "mask",
    [
        np.ones((256, 256)),
        np.ones((256, 256), np.uint8),
        np.ones((255, 256), bool),
        np.ones((3, 256, 256), bool),
        np.ones(256, bool),
    ],
)
def test_bad_masks(factorizer: Factorizer, mask: Array) -> None:
    with pytest.raises(InputError, match=r"expected bool \(True = measured\) of shape \(2, 256, 256\)"):
        factorizer(random_planes(2), mask)


def test_mask_that_hides_everything(factorizer: Factorizer) -> None:
    with pytest.raises(InputError, match="no measured pixel"):
        factorizer(random_planes(1)[0], np.zeros((256, 256), bool))


def test_a_geometry_is_resampled_unless_its_pixels_are_those_of_the_networks(factorizer: Factorizer) -> None:
    cell = Cell(8.4, 8.4, 3.6, 90, 90, 120)
    plane = random_planes(1)[0]
    hk0 = plane_through(cell, (0, 1), 0.0, q_max_inv_angstrom=7.0)
    square = Geometry(cell, hk0.origin, hk0.step_u, hk0.step_v)
    own = factorizer(plane, geometry=square)
    assert_close(own, factorizer(plane, lattice=square.lattice_plane()), 0.0)
    assert own.of_networks is not None
    # Along a* and b*, at 60 degrees: as many pixels, but the networks know right angles alone.
    oblique = Geometry(cell, np.zeros(3), *(0.06 * cell.reciprocal[:2]))
    shown, place = to_network_plane(plane, oblique)
    expected = factorizer(shown, lattice=oblique.with_pixels(place).lattice_plane())
    components = factorizer(plane, geometry=oblique)
    for name in ("form_factor", "short_range_order"):
        there = to_user_grid(getattr(expected, name), place, oblique).astype(np.float32)
        np.testing.assert_array_equal(getattr(components, name), there)
