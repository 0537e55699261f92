"""Planes in the memory of a device: batches equal those of a loader, and wrong planes are refused."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dsfunet.data.datamodule import PlaneDataModule
from dsfunet.data.dataset import PlaneDataset
from dsfunet.data.gpu_resident import ResidentPlanes
from dsfunet.data.sample import StoredPlane
from dsfunet.errors import InputError
from tests.dsfunet.data.test_datamodule import Rank

CPU = torch.device("cpu")


def stacked(dataset: PlaneDataset, visits: list[int]) -> dict[str, torch.Tensor]:
    samples = [dataset[visit] for visit in visits]
    return {name: torch.stack([each[name] for each in samples]) for name in samples[0]}


def assert_same(batch: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert batch.keys() == other.keys()
    for name, values in batch.items():
        assert values.dtype == torch.float32
        torch.testing.assert_close(values, other[name], atol=2e-6, rtol=0)


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize(("augment", "harder_masks"), [(False, 0.0), (True, 0.0), (True, 0.7)])
def test_batches_are_the_loaders(tiny_store: Path, split: str, augment: bool, harder_masks: float) -> None:
    dataset = PlaneDataset(tiny_store / f"{split}.zarr", augment, seed=4, harder_masks=harder_masks)
    resident = ResidentPlanes(dataset, CPU, progress=False)
    visits = [3, 0, 3 * len(dataset) + 1, 7 * len(dataset) + 2]
    assert_same(resident.__getitems__(visits), stacked(dataset, visits))
    one = resident[visits[2]]
    assert_same({name: each[None] for name, each in one.items()}, stacked(dataset, visits[2:3]))


def test_a_mask_that_hides_all_scattering_is_replaced_by_the_planes_own(tiny_store: Path) -> None:
    dataset = PlaneDataset(tiny_store / "train.zarr", augment=False, seed=4, harder_masks=1.0)
    resident = ResidentPlanes(dataset, CPU, progress=False)
    visit = next(
        each
        for each in range(len(dataset))
        if (drawn := dataset.augmentation(each)).other is not None
        and resident._measured[drawn.other] < resident._measured[drawn.index]
    )
    drawn = dataset.augmentation(visit)
    resident._masks[drawn.other] = 0
    own = PlaneDataset(tiny_store / "train.zarr", augment=False)
    assert_same({name: each[None] for name, each in resident[visit].items()}, stacked(own, [drawn.index]))


def test_only_the_first_planes_are_kept_on_request(tiny_store: Path) -> None:
    dataset = PlaneDataset(tiny_store / "validation.zarr", augment=False)
    assert len(ResidentPlanes(dataset, CPU, planes=3, progress=False)) == 3
    assert len(ResidentPlanes(dataset, CPU, planes=10**6, progress=False)) == len(dataset)


@pytest.mark.parametrize("harder_masks", [0.0, 0.7])
def test_a_share_of_the_planes_makes_the_same_batches(tiny_store: Path, harder_masks: float) -> None:
    dataset = PlaneDataset(tiny_store / "train.zarr", True, seed=4, harder_masks=harder_masks)
    share = [1, 4, 7, 10]
    resident = ResidentPlanes(dataset, CPU, share, progress=False)
    assert resident._pictures.shape[0] == 4
    visits = [epoch * 12 + index for epoch in (0, 3, 5) for index in (10, 1, 7, 4)]
    assert_same(resident.__getitems__(visits), stacked(dataset, visits))


def test_each_of_several_gpus_keeps_its_share_and_together_they_see_every_plane_once(
    tiny_store: Path,
) -> None:
    seen: dict[str, list[float]] = {"train": [], "validation": []}
    for rank in range(2):
        module = PlaneDataModule(str(tiny_store), 3, resident="sharded", validation_samples=7)
        module.trainer = Rank(rank, 2)  # type: ignore[assignment]
        module.setup("fit")
        assert isinstance(module.placed_train_planes, ResidentPlanes)
        assert len(module.placed_train_planes) == 6  # half of 12
        assert len(module.validation_planes) == (4, 3)[rank]  # type: ignore[arg-type]
        for split, loader in (("train", module.train_dataloader()), ("validation", module.val_dataloader())):
            for batch in loader:
                seen[split] += batch["clean"].double().sum(dim=(1, 2, 3)).tolist()
    for split, count in (("train", 12), ("validation", 7)):
        dataset = PlaneDataset(tiny_store / f"{split}.zarr", augment=False)
        expected = [float(dataset[index]["clean"].double().sum()) for index in range(count)]
        assert sorted(seen[split]) == pytest.approx(sorted(expected), rel=1e-5)


def test_a_plane_with_nothing_measured_is_refused_at_the_start(
    tiny_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = PlaneDataset(tiny_store / "validation.zarr", augment=False)
    stored = dataset.source.stored  # type: ignore[attr-defined]

    def flat(index: int) -> StoredPlane:
        plane: StoredPlane = stored(index)
        if index != 2:
            return plane
        ones = np.ones_like(plane.form_factor)
        ones[0, 0] = 0
        mask = np.zeros_like(plane.packed_mask)
        mask[1] = 255
        return plane._replace(form_factor=ones, short_range_order=ones, packed_mask=mask)

    monkeypatch.setattr(dataset.source, "stored", flat)
    monkeypatch.setattr(dataset.source, "packed_mask", lambda index: flat(index).packed_mask)
    with pytest.raises(InputError, match="in every measured pixel; expected intensities that vary"):
        ResidentPlanes(dataset, CPU, progress=False)


def test_planes_that_do_not_fit_the_memory_are_refused_with_both_sizes(
    tiny_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**20, 2**30))
    dataset = PlaneDataset(tiny_store / "validation.zarr", augment=False)
    with pytest.raises(InputError, match=r"planes need 0\.0 GiB and cuda has 0\.0 GiB of free memory"):
        ResidentPlanes(dataset, torch.device("cuda"), progress=False)


def test_a_source_that_makes_planes_anew_cannot_be_kept(tiny_store: Path) -> None:
    class Fresh:
        fresh = True
        digest = "fresh"

        def __len__(self) -> int:
            return 4

    with pytest.raises(InputError, match="the planes come from a Fresh; expected a store of planes"):
        ResidentPlanes(PlaneDataset(Fresh(), augment=False), CPU)  # type: ignore[arg-type]


def test_loaders_give_the_same_batches_with_and_without(tiny_store: Path) -> None:
    both = []
    for resident in (False, True):
        module = PlaneDataModule(
            str(tiny_store), batch_size=3, workers=0, augment=True, harder_masks=0.5, resident=resident
        )
        torch.manual_seed(11)
        module.setup("fit")
        both.append([*module.train_dataloader(), *module.val_dataloader()])
    assert len(both[0]) == len(both[1]) > 2
    for loaded, made in zip(*both, strict=True):
        assert_same(made, loaded)
