"""What training is shown: the store's own planes, spread, turned without losing the product, and nothing else."""

import pickle
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from dsfunet import shards
from dsfunet.data import EpochSampler, PlaneDataModule, PlaneDataset, _turned
from dsfunet.errors import InputError
from dsfunet.preprocessing import unspread
from dsfunet.shards import Sample, open_store, scattering_plane

Plane = npt.NDArray[np.float32]


@pytest.fixture
def dataset(tiny_store: Path) -> PlaneDataset:
    return PlaneDataset(tiny_store / "validation.zarr", augment=False)


def turns_of(seed: int, epoch: int, index: int) -> list[int]:
    """Which symmetries planes and mask are given."""
    turns: list[int] = np.random.default_rng([seed, epoch, index]).integers(8, size=2).tolist()
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
        assert set(shown) == {"input", "clean", "form_factor", "short_range_order"}
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
        # The root magnifies the rounding of the subtracted minimum near zero intensity.
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
    turned = [_turned(square, which) for which in range(8)]
    assert np.array_equal(turned[0], square)
    assert len({plane.tobytes() for plane in map(np.ascontiguousarray, turned)}) == 8

    def neighbours(plane: npt.NDArray[np.int_]) -> set[frozenset[int]]:
        return {frozenset(pair) for line in (*plane, *plane.T) for pair in pairwise(line.tolist())}

    # Neighbours stay neighbours: nothing but the eight does that.
    assert all(neighbours(plane) == neighbours(square) for plane in turned)
    stack = np.stack([square, square + 9])
    assert all(np.array_equal(_turned(stack, which)[1], turned[which] + 9) for which in range(8))


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
    np.testing.assert_allclose(linear["form_factor"], _turned(stored.form_factor, which), rtol=0, atol=1e-6)
    # The planes still belong together: their product with the stored floors is the scattering.
    floors = [float(store.metadata(f"{name}_floor")[index]) for name in ("form_factor", "short_range_order")]
    product = scattering_plane(linear["form_factor"], linear["short_range_order"], *floors)
    np.testing.assert_allclose(linear["clean"], product, rtol=0, atol=1e-5)
    mask = _turned(stored.mask, mask_turn)
    assert np.array_equal(shown["input"][1].numpy() > 0, mask)
    expected = expected_input(_turned(stored.scattering, which), mask)
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


class OneSample:
    """A store of one plane that scatters in a single corner, and what of it was measured."""

    def __init__(self, mask: npt.NDArray[np.bool_]) -> None:
        self.mask = mask

    def sample(self, index: int) -> Sample:
        component = np.linspace(0, 1, 256 * 256, dtype=np.float32).reshape(256, 256)
        scattering = np.zeros((256, 256), np.float32)
        scattering[:8, :8] = component[-8:, -8:]
        return Sample(component, component, scattering, scattering, self.mask)


def test_a_turned_mask_that_hides_all_that_scatters_is_turned_with_the_plane(tiny_store: Path) -> None:
    mask = np.zeros((256, 256), bool)
    mask[:8, :16] = True
    dataset = PlaneDataset(tiny_store / "train.zarr", augment=True)
    dataset.store = OneSample(mask)  # type: ignore[assignment]
    for epoch in range(30):
        shown = dataset[epoch * len(dataset)]["input"]
        assert shown[0].max() == 1.0 and torch.isfinite(shown).all()
        assert int(shown[1].sum()) == 8 * 16


def test_a_plane_with_nothing_measured_is_an_error_where_nothing_is_turned(dataset: PlaneDataset) -> None:
    dataset.store = OneSample(np.zeros((256, 256), bool))  # type: ignore[assignment]
    with pytest.raises(InputError, match="no measured pixel"):
        dataset[0]


def test_dataset_travels_without_its_open_store(dataset: PlaneDataset) -> None:
    expected = dataset[2]
    copy = pickle.loads(pickle.dumps(dataset))
    assert copy.store is None and len(copy) == len(dataset) and copy.digest == dataset.digest
    assert all(torch.equal(value, expected[name]) for name, value in copy[2].items())
    assert dataset.store is not None


def data_module(folder: Path, stage: str = "fit", **settings: Any) -> PlaneDataModule:
    module = PlaneDataModule(str(folder), **{"batch_size": 5, "workers": 0, **settings})
    module.setup(stage)
    return module


def test_training_batches_are_shuffled_and_of_one_size(tiny_store: Path) -> None:
    module = data_module(tiny_store)
    stored = open_store(tiny_store / "train.zarr")
    totals = [float((2 * np.sqrt(stored.sample(i).form_factor) - 1).sum()) for i in range(12)]

    def order(number: int) -> list[list[int]]:
        loader = module.train_dataloader()
        loader.sampler.set_epoch(number)  # type: ignore[attr-defined]  # as Lightning does
        sums = [batch["form_factor"].sum(dim=(1, 2, 3)).tolist() for batch in loader]
        return [[int(np.argmin(np.abs(np.array(totals) - each))) for each in batch] for batch in sums]

    first, second = order(0), order(1)
    assert [len(batch) for batch in first] == [5, 5]
    assert first != second
    for each in ([*first[0], *first[1]], [*second[0], *second[1]]):
        assert len(set(each)) == 10 and each != sorted(each)
    assert order(0) == first
    assert order(1) == second
    module.seed += 1
    assert order(0) != first


def test_two_processes_share_an_epoch(tiny_store: Path) -> None:
    planes = PlaneDataset(tiny_store / "train.zarr", augment=False)
    parts = [EpochSampler(planes, num_replicas=2, rank=rank, seed=3) for rank in range(2)]
    for part in parts:
        part.set_epoch(2)
    visits = [list(part) for part in parts]
    assert [len(each) for each in visits] == [6, 6]
    assert sorted(visits[0] + visits[1]) == list(range(24, 36))


@pytest.mark.parametrize("setting", [{"batch_size": 0}, {"workers": -1}, {"validation_samples": 0}])
def test_numbers_out_of_range_are_refused(tmp_path: Path, setting: dict[str, int]) -> None:
    [(name, value)] = setting.items()
    with pytest.raises(InputError, match=f"{name} is {value}: expected at least"):
        PlaneDataModule(str(tmp_path), **setting)  # type: ignore[arg-type]


def test_a_batch_larger_than_the_store_is_the_whole_store(tiny_store: Path) -> None:
    batches = list(data_module(tiny_store, batch_size=64).train_dataloader())
    assert [len(batch["input"]) for batch in batches] == [12]


def test_validation_batches_are_all_planes_in_order(tiny_store: Path) -> None:
    module = data_module(tiny_store, "validate", augment=True)
    dataset = PlaneDataset(tiny_store / "validation.zarr", augment=False)
    for loader in (module.val_dataloader(), module.test_dataloader()):
        batches = list(loader)
        assert [len(batch["input"]) for batch in batches] == [5, 3]
        for name in dataset[0]:
            joined = torch.cat([batch[name] for batch in batches])
            assert torch.equal(joined, torch.stack([dataset[index][name] for index in range(8)]))


@pytest.mark.parametrize(("asked", "given"), [(3, 3), (8, 8), (1000, 8)])
def test_part_of_the_validation_planes(tiny_store: Path, asked: int, given: int) -> None:
    module = data_module(tiny_store, "validate", validation_samples=asked)
    assert sum(len(batch["input"]) for batch in module.val_dataloader()) == given


@pytest.mark.slow
def test_worker_processes_load_the_same_planes(tiny_store: Path) -> None:
    here = next(iter(data_module(tiny_store).val_dataloader()))
    there = next(iter(data_module(tiny_store, workers=1).val_dataloader()))
    assert all(torch.equal(there[name], here[name]) for name in here)


def test_validation_needs_no_training_store(tiny_store: Path, tmp_path: Path) -> None:
    (tmp_path / "validation.zarr").symlink_to(tiny_store / "validation.zarr")
    assert len(data_module(tmp_path, "validate").val_dataloader()) == 2
    with pytest.raises(InputError, match=r"train\.zarr: no such store; make one with `python -m simulate`"):
        data_module(tmp_path, "fit")


def test_missing_and_incomplete_stores(tiny_store: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train\.zarr: no such store"):
        data_module(tmp_path)
    (tmp_path / "train.zarr").mkdir()
    with pytest.raises(InputError, match=r"train\.zarr: not a Zarr v3 store"):
        data_module(tmp_path)
    (tmp_path / "train.zarr").rmdir()
    (tmp_path / "train.zarr").symlink_to(tiny_store / "train.zarr")
    shards.create(tmp_path / "validation.zarr", 4, 2, {"digest": "0"})
    with pytest.raises(InputError, match=r"validation\.zarr: incomplete, 0 of 2 shards written"):
        data_module(tmp_path)
