"""Stores of degraded planes: the input is the stored scattering, and `clean` is the product of the components."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr

from dsfunet.data.dataset import PlaneDataset
from dsfunet.data.gpu_resident import ResidentPlanes
from dsfunet.data.layout import LAYOUT, layout_with
from dsfunet.data.manifests import manifest_file
from dsfunet.data.sample import scattering_plane
from dsfunet.data.store import create_store, open_store
from dsfunet.errors import InputError
from dsfunet.files import write_json
from dsfunet.planes.preprocessing import network_input, normalise, spread

SAMPLES = 8


@pytest.fixture(scope="module")
def degraded_store(tiny_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The planes of the tiny validation store, with a background in the stored scattering."""
    plain = open_store(tiny_store / "validation.zarr")
    path = tmp_path_factory.mktemp("degraded") / "validation.zarr"
    group = create_store(path, SAMPLES, SAMPLES, {"digest": "0"}, ["scattering"])
    for name in LAYOUT:
        group[name][:] = plain.metadata(name)  # type: ignore[index]
    background = np.linspace(0, 0.5, 256)[:, None]
    for index in range(SAMPLES):
        group["scattering"][index] = normalise(plain.sample(index).clean + background)[0]  # type: ignore[index]
    write_json(manifest_file(path, 0), {"samples": SAMPLES})
    group.attrs["complete"] = True
    return path


def test_layout_with_names_what_is_added() -> None:
    assert layout_with([]) == LAYOUT
    assert set(layout_with(["scattering"])) - set(LAYOUT) == {"scattering"}
    with pytest.raises(KeyError):
        layout_with(["intensity"])


def test_a_degraded_store_has_the_array_and_others_do_not(degraded_store: Path, tiny_store: Path) -> None:
    degraded, plain = open_store(degraded_store), open_store(tiny_store / "validation.zarr")
    assert degraded.attributes["optional_arrays"] == ["scattering"]
    assert plain.attributes["optional_arrays"] == []
    array = degraded.array("scattering")
    assert array.shape == (SAMPLES, 256, 256)
    assert str(array.dtype) == "float16"
    assert array.chunks == (1, 256, 256)
    assert not (plain.path / "scattering").exists()


def test_what_is_shown_is_stored_and_what_is_clean_is_the_product(
    degraded_store: Path, tiny_store: Path
) -> None:
    degraded, plain = open_store(degraded_store), open_store(tiny_store / "validation.zarr")
    for index in range(SAMPLES):
        sample, before = degraded.sample(index), plain.sample(index)
        np.testing.assert_array_equal(before.scattering, before.clean)
        np.testing.assert_array_equal(sample.clean, before.clean)
        floors = [
            float(degraded.metadata(f"{name}_floor")[index]) for name in ("form_factor", "short_range_order")
        ]
        product = scattering_plane(sample.form_factor, sample.short_range_order, *floors)
        np.testing.assert_array_equal(sample.clean, product)
        expected = before.clean + np.linspace(0, 0.5, 256)[:, None]
        expected = (expected - expected.min()) / np.ptp(expected)
        np.testing.assert_allclose(sample.scattering, expected, rtol=0, atol=5e-4)
        assert sample.scattering.dtype == np.float32


@pytest.mark.parametrize("augment", [False, True])
def test_generators_see_what_was_measured_and_discriminators_the_product(
    degraded_store: Path, augment: bool
) -> None:
    dataset = PlaneDataset(degraded_store, augment=augment, seed=1)
    store = open_store(degraded_store)
    for index in range(SAMPLES):
        shown, sample = dataset[index], store.sample(index)
        planes = {"scattering": sample.scattering, "clean": sample.clean}
        mask = sample.mask
        if augment:
            turns = dataset.augmentation(index).turn, dataset.augmentation(index).mask_turn
            planes = {name: turned(plane, turns[0]) for name, plane in planes.items()}
            mask = turned(mask, turns[1])
        expected = network_input(planes["scattering"], mask)
        assert torch.equal(shown["input"], torch.from_numpy(expected))
        np.testing.assert_allclose(shown["clean"][0].numpy(), spread(planes["clean"]), rtol=0, atol=1e-6)


def test_planes_on_a_device_show_what_was_measured_as_well(degraded_store: Path) -> None:
    dataset = PlaneDataset(degraded_store, augment=True, seed=1)
    batch = ResidentPlanes(dataset, torch.device("cpu"), progress=False).__getitems__([0, 1, 2])
    for place, sample in enumerate(dataset[index] for index in range(3)):
        for name, values in sample.items():
            torch.testing.assert_close(batch[name][place], values, atol=2e-6, rtol=0)
    measured = batch["input"][:, 1] == 1
    assert (batch["input"][:, 0] - batch["clean"][:, 0])[measured].abs().max() > 0.01


def turned(plane: np.ndarray, which: int) -> np.ndarray:  # type: ignore[type-arg]
    """The symmetries of the square, as the dataset numbers them."""
    plane = np.rot90(plane, which % 4)
    return np.ascontiguousarray(plane.T if which >= 4 else plane)


def test_a_store_that_lost_its_scattering_is_refused(degraded_store: Path, tmp_path: Path) -> None:
    """Otherwise the clean plane would be taken for the measured one."""
    lost = Path(shutil.copytree(degraded_store, tmp_path / "lost.zarr"))
    shutil.rmtree(lost / "scattering")
    with pytest.raises(InputError, match=r"array scattering is None None; expected \(8, 256, 256\) float16$"):
        open_store(lost)
    torn = Path(shutil.copytree(degraded_store, tmp_path / "torn.zarr"))
    shutil.rmtree(torn / "scattering" / "c")
    with pytest.raises(InputError, match="sample 3 is missing; its shard was deleted or never written"):
        open_store(torn).sample(3)


def test_stores_of_the_first_layout_are_refused(degraded_store: Path, tmp_path: Path) -> None:
    old = Path(shutil.copytree(degraded_store, tmp_path / "old.zarr"))
    zarr.open_group(old, mode="r+").attrs["layout_version"] = 1
    with pytest.raises(InputError, match=r"the store has layout version 1; expected version 2$"):
        open_store(old)
