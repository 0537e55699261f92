"""Samples for training: the planes of the store, spread, and turned so that their product stays."""

import pickle
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from dsfunet.data.dataset import PlaneDataset
from dsfunet.data.sample import Sample, scattering_plane
from dsfunet.data.store import Store, open_store
from dsfunet.errors import InputError
from dsfunet.planes.preprocessing import unspread
from dsfunet.planes.turns import rotate_and_flip

Plane = npt.NDArray[np.float32]


@pytest.fixture
def dataset(tiny_store: Path) -> PlaneDataset:
    return PlaneDataset(tiny_store / "validation.zarr", augment=False)


def turns_of(seed: int, epoch: int, index: int, planes: int = 12) -> list[int]:
    """Return the symmetries drawn for a plane of the tiny training store and for its mask."""
    turns: list[int] = np.random.default_rng([seed, epoch]).integers(8, size=(2, planes))[:, index].tolist()
    return turns


def expected_input(scattering: Plane, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    measured = scattering.astype(np.float64)[mask]
    normalised = np.zeros(mask.shape)
    normalised[mask] = (measured - measured.min()) / (measured.max() - measured.min())
    return np.stack([2 * np.sqrt(normalised) - 1, mask])


def test_samples_are_the_stores(dataset: PlaneDataset, tiny_store: Path) -> None:
    store = open_store(tiny_store / "validation.zarr")
    assert len(dataset) == len(store) == 8
    assert dataset.digest == store.digest
    shares = set()
    for index in range(len(dataset)):
        stored, shown = store.sample(index), dataset[index]
        assert set(shown) == {"input", "clean", "form_factor", "short_range_order", "short_range_order_floor"}
        floor = store.metadata("short_range_order_floor")[index]
        assert shown["short_range_order_floor"].shape == (1, 1, 1)
        assert shown["short_range_order_floor"].item() == pytest.approx(floor)
        for name, plane in (
            ("clean", stored.clean),
            ("form_factor", stored.form_factor),
            ("short_range_order", stored.short_range_order),
        ):
            assert shown[name].shape == (1, 256, 256) and shown[name].dtype == torch.float32
            spread = 2 * np.sqrt(plane.astype(np.float64)) - 1
            np.testing.assert_allclose(shown[name][0].numpy(), spread, rtol=0, atol=1e-6)
        assert shown["input"].shape == (2, 256, 256) and shown["input"].dtype == torch.float32
        expected = expected_input(stored.scattering, stored.mask)
        # Near zero intensity, the square root magnifies the rounding of the subtracted minimum.
        np.testing.assert_allclose(shown["input"].numpy(), expected, rtol=0, atol=2e-3)
        assert np.array_equal(shown["input"][1].numpy() > 0, stored.mask)
        assert (shown["input"][0].numpy()[~stored.mask] == -1).all()
        shares.add(round(float(stored.mask.mean()), 3))
    assert len(shares) > 1  # or the masks would not have been tried


def test_no_augmentation_means_the_same_every_time(dataset: PlaneDataset) -> None:
    first, second = dataset[3], dataset[3]
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_turns_are_the_eight_symmetries_of_the_square() -> None:
    square = np.arange(9).reshape(3, 3)
    squares = [rotate_and_flip(square, which) for which in range(8)]
    assert np.array_equal(squares[0], square)
    assert len({plane.tobytes() for plane in map(np.ascontiguousarray, squares)}) == 8

    def neighbours(plane: npt.NDArray[np.int_]) -> set[frozenset[int]]:
        return {frozenset(pair) for line in (*plane, *plane.T) for pair in pairwise(line.tolist())}

    # Neighbours stay neighbours: nothing but the eight does that.
    assert all(neighbours(plane) == neighbours(square) for plane in squares)
    stack = np.stack([square, square + 9])
    assert all(np.array_equal(rotate_and_flip(stack, which)[1], squares[which] + 9) for which in range(8))


@pytest.mark.parametrize("epoch", range(8))
def test_augmentation_turns_all_planes_alike_and_the_mask_by_itself(tiny_store: Path, epoch: int) -> None:
    path = tiny_store / "train.zarr"
    store = open_store(path)
    index = int(np.argmin([store.sample(i).mask.mean() for i in range(4)]))
    stored = store.sample(index)
    assert not stored.mask.all()
    which, mask_turn = turns_of(5, epoch, index)
    dataset = PlaneDataset(path, augment=True, seed=5)
    shown = dataset[epoch * len(dataset) + index]
    linear = {
        name: unspread(shown[name][0].numpy()) for name in ("form_factor", "short_range_order", "clean")
    }
    np.testing.assert_allclose(
        linear["form_factor"], rotate_and_flip(stored.form_factor, which), rtol=0, atol=1e-6
    )
    # The planes still belong together: their product with the stored floors is the scattering.
    floors = [float(store.metadata(f"{name}_floor")[index]) for name in ("form_factor", "short_range_order")]
    product = scattering_plane(linear["form_factor"], linear["short_range_order"], *floors)
    np.testing.assert_allclose(linear["clean"], product, rtol=0, atol=1e-5)
    mask = rotate_and_flip(stored.mask, mask_turn)
    assert np.array_equal(shown["input"][1].numpy() > 0, mask)
    expected = expected_input(rotate_and_flip(stored.scattering, which), mask)
    np.testing.assert_allclose(shown["input"].numpy(), expected, rtol=0, atol=2e-3)


def test_augmentation_follows_seed_and_epoch_and_draws_all_symmetries(tiny_store: Path) -> None:
    def corners(seed: int, epochs: int) -> list[tuple[float, ...]]:
        dataset = PlaneDataset(tiny_store / "train.zarr", augment=True, seed=seed)
        planes = [dataset[epoch * len(dataset)]["clean"][0] for epoch in range(epochs)]
        return [(float(plane[40, 90]), float(plane[90, 40]), float(plane[215, 90])) for plane in planes]

    drawn = corners(1, 40)
    # Some planes look the same in several of their eight positions.
    assert 1 < len(set(drawn)) <= 8
    assert corners(1, 4) == drawn[:4]
    assert corners(2, 8) != drawn[:8]
    assert {tuple(turns_of(1, epoch, 0)) for epoch in range(400)} == {
        (i, j) for i in range(8) for j in range(8)
    }


@pytest.mark.parametrize("epoch", [0, 3])
def test_harder_masks_are_those_of_the_store_that_hide_more(tiny_store: Path, epoch: int) -> None:
    path = tiny_store / "train.zarr"
    store = open_store(path)
    masks = [store.sample(index).mask for index in range(len(store))]
    assert all(np.array_equal(store.mask(index), mask) for index, mask in enumerate(masks))
    plain, some, always = (
        PlaneDataset(path, augment=True, seed=5, harder_masks=share) for share in (0, 0.5, 1)
    )
    changed = 0
    for index, own in enumerate(masks):
        shown = [dataset[epoch * len(store) + index] for dataset in (plain, some, always)]
        assert all(torch.equal(each["form_factor"], shown[0]["form_factor"]) for each in shown)
        _, mask_turn = turns_of(5, epoch, index)
        mask = shown[2]["input"][1].numpy() > 0
        assert any(np.array_equal(mask, rotate_and_flip(other, mask_turn)) for other in masks)
        assert mask.sum() <= own.sum()
        changed += mask.sum() < own.sum()
        # With a share of 0.5, each plane equals that with a share of 0 or that with a share of 1.
        assert any(torch.equal(shown[1]["input"], shown[which]["input"]) for which in (0, 2))
    assert 0 < changed < len(masks)
    unturned = [
        PlaneDataset(path, augment=False, harder_masks=1.0)[index]["input"][1] > 0 for index in range(4)
    ]
    assert all(any(np.array_equal(mask, each) for each in masks) for mask in unturned)
    assert all(mask.sum() <= own.sum() for mask, own in zip(unturned, masks, strict=False))


class OneSample:
    """A source of one plane that scatters in a single corner, with a given mask."""

    digest = "0"

    def __init__(self, mask: npt.NDArray[np.bool_]) -> None:
        self.mask = mask

    def __len__(self) -> int:
        return 1

    def sample(self, index: int) -> Sample:
        component = np.linspace(0, 1, 256 * 256, dtype=np.float32).reshape(256, 256)
        scattering = np.zeros((256, 256), np.float32)
        scattering[:8, :8] = component[-8:, -8:]
        return Sample(component, component, scattering, scattering, self.mask, 0.0)


def test_a_turned_mask_that_hides_all_scattering_is_turned_with_the_plane(tiny_store: Path) -> None:
    mask = np.zeros((256, 256), bool)
    mask[:8, :16] = True
    dataset = PlaneDataset(tiny_store / "train.zarr", augment=True)
    dataset.source = OneSample(mask)
    for epoch in range(30):
        shown = dataset[epoch * len(dataset)]["input"]
        assert shown[0].max() == 1.0 and torch.isfinite(shown).all()
        assert int(shown[1].sum()) == 8 * 16


def test_a_plane_with_nothing_measured_is_an_error_where_nothing_is_turned(dataset: PlaneDataset) -> None:
    dataset.source = OneSample(np.zeros((256, 256), bool))
    with pytest.raises(InputError, match="no measured pixel"):
        dataset[0]


def test_a_pickled_dataset_opens_the_store_again(dataset: PlaneDataset) -> None:
    expected = dataset[2]
    content = pickle.dumps(dataset)
    assert len(content) < 2000  # no planes, no open files
    copy = pickle.loads(content)
    assert copy.source is not dataset.source
    assert len(copy) == len(dataset) and copy.digest == dataset.digest
    assert all(torch.equal(value, expected[name]) for name, value in copy[2].items())


class Numbered:
    """A source that records the numbers of the requested planes."""

    digest = "0"

    def __init__(self, store: Store, fresh: bool) -> None:
        self.store = store
        self.fresh = fresh
        self.asked: list[int] = []

    def __len__(self) -> int:
        return len(self.store)

    def sample(self, index: int) -> Sample:
        self.asked.append(index)
        return self.store.sample(index % len(self.store))


@pytest.mark.parametrize(("fresh", "asked"), [(False, [3, 3, 7]), (True, [3, 11, 23])])
def test_only_a_fresh_source_gets_numbers_beyond_its_length(
    tiny_store: Path, fresh: bool, asked: list[int]
) -> None:
    source = Numbered(open_store(tiny_store / "validation.zarr"), fresh)
    dataset = PlaneDataset(source, augment=False)
    for visit in (3, 11, 23):
        dataset[visit]
    assert source.asked == asked


@pytest.mark.slow
def test_a_worker_imports_no_lightning() -> None:
    code = "import sys, dsfunet.data.dataset; print('lightning' in sys.modules, 'torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "False True\n"
