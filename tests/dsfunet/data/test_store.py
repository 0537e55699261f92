"""The store of planes: its layout, its checks, and that samples agree with the physics of their metadata."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import numpy.typing as npt
import pytest
import zarr

from dsfunet.data.layout import LAYOUT
from dsfunet.data.manifests import digest_arrays, manifest_file
from dsfunet.data.sample import scattering_plane
from dsfunet.data.store import LAYOUT_VERSION, Store, create_store, open_store, shard_count
from dsfunet.errors import InputError
from dsfunet.files import write_json
from dsfunet.physics import Cell
from simulate.species import load_catalogue
from tests.reference import (
    reference_direct,
    reference_form_factor_intensity,
    reference_q,
    reference_short_range_order,
    some_pixels,
)

SPLITS = {"train": 12, "validation": 8}
every_split = pytest.mark.parametrize("split", SPLITS)

# Half floats below 1 are rounded by up to 2^-12, and the pixel taken for the highest may be as much below it.
# Scattering is made of two such numbers.
HALF_FLOAT = 2**-11 + 1e-5
PRODUCT = 2e-3


@pytest.fixture
def store_copy(tiny_store: Path, tmp_path: Path) -> Path:
    """A copy of a store that a test may damage."""
    return Path(shutil.copytree(tiny_store / "validation.zarr", tmp_path / "validation.zarr"))


def unit(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Values brought to [0, 1]."""
    return (values - values.min()) / np.ptp(values)


def extremes(picture: npt.NDArray[np.float32]) -> list[tuple[int, int]]:
    """Pixels where a picture is lowest and highest."""
    return [divmod(int(which), picture.shape[1]) for which in (picture.argmin(), picture.argmax())]


# --- the whole path of the data


@every_split
def test_a_sample_is_the_physics_its_metadata_name(tiny_store: Path, split: str) -> None:
    """Direct sums over species, rotations, cell, plane, m_A and alphas give the stored planes."""
    store = open_store(tiny_store / f"{split}.zarr")
    catalogue = {species.name: species for species in load_catalogue()}
    names = store.attributes["species_names"]
    meta = {name: store.metadata(name) for name, layout in LAYOUT.items() if not layout.picture}
    for index in range(len(store)):
        sample = store.sample(index)
        planes = (sample.form_factor, sample.short_range_order, sample.scattering)
        # The stored extremes are among the pixels, so these few are normalised as the whole plane is.
        pixels = some_pixels((256, 256), 400, seed=index) + [
            each for plane in planes for each in extremes(plane)
        ]
        q = reference_q(*meta["plane"][index], (256, 256), pixels)
        molecules = []
        for number, rotation in zip(meta["species"][index], meta["rotations"][index], strict=True):
            species = catalogue[names[number]]
            molecules.append((species.elements, species.positions_angstrom @ rotation.T.astype(np.float64)))
        form_factor = reference_form_factor_intensity(*molecules, q, float(meta["concentration"][index]))
        direct = reference_direct(meta["cell"][index])
        order = np.maximum(reference_short_range_order(meta["alphas"][index], direct, q), 0.0)
        expected = (unit(form_factor), unit(order), unit(form_factor * order))
        for plane, truth, tolerance in zip(planes, expected, (HALF_FLOAT, HALF_FLOAT, PRODUCT), strict=True):
            found = np.array([plane[pixel] for pixel in pixels])
            assert np.abs(found - truth).max() < tolerance, f"{split} {index}"


@every_split
def test_the_floors_are_minimum_over_range(tiny_store: Path, split: str) -> None:
    """Floors are checked separately: where one is 0, as for clipped order, the product does not show the other."""
    store = open_store(tiny_store / f"{split}.zarr")
    for index in range(len(store)):
        sample = store.sample(index)
        pixels = some_pixels((256, 256), 10) + extremes(sample.short_range_order)
        q = reference_q(*store.metadata("plane")[index], (256, 256), pixels)
        direct = reference_direct(store.metadata("cell")[index])
        order = np.maximum(reference_short_range_order(store.metadata("alphas")[index], direct, q), 0.0)
        floor = float(store.metadata("short_range_order_floor")[index])
        assert floor == pytest.approx(order.min() / np.ptp(order), abs=1e-3, rel=1e-3)


@every_split
def test_samples_are_what_the_docstring_promises(tiny_store: Path, split: str) -> None:
    store = open_store(tiny_store / f"{split}.zarr")
    assert len(store) == SPLITS[split]
    for index in range(len(store)):
        sample = store.sample(index)
        for plane in (sample.form_factor, sample.short_range_order, sample.scattering):
            assert plane.shape == (256, 256)
            assert plane.dtype == np.float32
            assert plane.min() == 0.0
            assert plane.max() == 1.0
        assert sample.mask.dtype == bool
        assert 0.4 < sample.mask.mean() <= 1.0


@every_split
def test_mask_bits_run_along_the_rows(tiny_store: Path, split: str) -> None:
    store = open_store(tiny_store / f"{split}.zarr")
    packed = store.metadata("mask")
    mask = store.sample(0).mask
    for row, column in some_pixels((256, 256), 100):
        assert mask[row, column] == bool(packed[0, row, column // 8] >> (7 - column % 8) & 1)


@every_split
def test_planes_lie_where_axes_and_offset_say(tiny_store: Path, split: str) -> None:
    store = open_store(tiny_store / f"{split}.zarr")
    for index in range(len(store)):
        first, second = store.metadata("plane_axes")[index].tolist()
        direct = Cell(*store.metadata("cell")[index].tolist()).direct
        origin, step_u, step_v = store.metadata("plane")[index] @ direct.T / (2 * np.pi)
        expected = np.zeros(3)
        expected[3 - first - second] = store.metadata("plane_offset")[index]
        np.testing.assert_allclose(origin, expected, atol=1e-12)
        np.testing.assert_allclose(np.delete(step_u, first), 0.0, atol=1e-12)
        assert step_v[3 - first - second] == pytest.approx(0.0, abs=1e-12)


@every_split
def test_digests_are_those_of_what_is_stored(tiny_store: Path, split: str) -> None:
    store = open_store(tiny_store / f"{split}.zarr")
    whole = hashlib.sha256()
    for shard in range(shard_count(len(store), 5)):
        manifest = json.loads(manifest_file(store.path, shard).read_text())
        stored = {name: store.metadata(name)[5 * shard : 5 * shard + 5] for name in LAYOUT}
        assert manifest == {"samples": len(stored["cell"]), "sha256": digest_arrays(stored)}
        whole.update(manifest["sha256"].encode())
    assert store.digest == whole.hexdigest()


def test_an_array_is_opened_once(tiny_store: Path) -> None:
    store = open_store(tiny_store / "train.zarr")
    assert store.array("mask") is store.array("mask")


def test_a_sample_beyond_the_end_is_an_index_error(tiny_store: Path) -> None:
    with pytest.raises(IndexError):
        open_store(tiny_store / "train.zarr").sample(12)


# --- what is written


def test_a_new_store_has_every_array_and_is_not_complete(tmp_path: Path) -> None:
    group = create_store(tmp_path / "new.zarr", 7, 4, {"split": "train"})
    assert group.attrs["complete"] is False
    assert group.attrs["samples"] == 7
    assert group.attrs["split"] == "train"
    assert sorted(name for name, _ in group.arrays()) == sorted(LAYOUT)
    for name, layout in LAYOUT.items():
        array: Any = group[name]
        assert array.shape == (7, *layout.shape)
        assert str(array.dtype) == layout.dtype
        assert array.attrs["meaning"] == layout.meaning
        assert array.chunks[0] == (1 if layout.picture else 4)
        if layout.dtype.startswith("float"):
            assert np.isnan(array[5]).all(), "an unwritten shard must not pass for data"


def test_creating_over_a_store_is_an_error(tiny_store: Path) -> None:
    before = open_store(tiny_store / "train.zarr").digest
    with pytest.raises(ValueError, match="A group exists"):
        create_store(tiny_store / "train.zarr", 7, 4, {})
    assert open_store(tiny_store / "train.zarr").digest == before


@pytest.mark.parametrize(
    ("samples", "per_shard", "count"), [(1, 256, 1), (256, 256, 1), (257, 256, 2), (12, 5, 3)]
)
def test_shard_count(samples: int, per_shard: int, count: int) -> None:
    assert shard_count(samples, per_shard) == count


def test_scattering_by_hand() -> None:
    form_factor = np.array([[0.0, 1.0], [0.5, 0.0]], np.float32)
    order = np.array([[0.0, 1.0], [0.5, 1.0]], np.float32)
    # (f + 1) (s + 0.5): 0.5, 3, 1.5, 1.5
    np.testing.assert_allclose(
        scattering_plane(form_factor, order, 1.0, 0.5), [[0.0, 1.0], [0.4, 0.4]], rtol=1e-6
    )


def test_digest_by_hand() -> None:
    arrays = {"b": np.array([1, 2], np.uint8), "a": np.array([[0.5]], np.float16)}
    by_hand = hashlib.sha256(b"a <f2 (1, 1)\n" + arrays["a"].tobytes() + b"b |u1 (2,)\n" + bytes([1, 2]))
    assert digest_arrays(arrays) == by_hand.hexdigest()


def test_digest_sees_name_type_shape_and_content_and_nothing_else() -> None:
    array = np.arange(6.0).reshape(2, 3)
    same = [{"a": array}, {"a": np.asfortranarray(array)}, {"a": np.repeat(array, 2, axis=1)[:, ::2]}]
    other = [
        {"b": array},
        {"a": array.astype(np.float32)},
        {"a": array.reshape(3, 2)},
        {"a": np.where(array == 5, 5 + 1e-15, array)},
        {"a": array, "b": array},
    ]
    assert len({digest_arrays(each) for each in same}) == 1
    assert len({digest_arrays(each) for each in [same[0], *other]}) == 6
    forwards, backwards = {"a": array, "b": array + 1}, {"b": array + 1, "a": array}
    assert digest_arrays(forwards) == digest_arrays(backwards)


def test_json_appears_whole_and_alone(tmp_path: Path) -> None:
    target = tmp_path / "manifest" / "000000.json"
    write_json(target, {"b": 1, "a": 2})
    write_json(target, {"b": 3, "a": 4})
    assert json.loads(target.read_text()) == {"a": 4, "b": 3}
    assert [path.name for path in target.parent.iterdir()] == ["000000.json"]


# --- what is refused, in one sentence


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.zarr: no such store; make one with `python -m simulate`$"):
        open_store(tmp_path / "none.zarr")


def test_a_file_a_folder_an_array_an_old_group_or_half_a_group_is_no_store(tmp_path: Path) -> None:
    for name in ("empty", "torn"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").write_text("not a store")
    (tmp_path / "torn" / "zarr.json").write_text('{"zarr_format": 3, "node_')
    zarr.create_array(tmp_path / "array", shape=(3,), dtype="f4")
    zarr.create_group(tmp_path / "version_2", zarr_format=2)
    for name in ("empty", "torn", "file", "array", "version_2"):
        with pytest.raises(InputError, match=f"{name}: not a Zarr v3 store of simulated planes$"):
            open_store(tmp_path / name)


def test_a_zarr_group_of_something_else_is_no_store(tmp_path: Path) -> None:
    zarr.create_group(tmp_path / "other.zarr", zarr_format=3)
    with pytest.raises(InputError, match=r"not a store of simulated planes \(its attributes have no layout"):
        open_store(tmp_path / "other.zarr")


@pytest.mark.parametrize("version", [LAYOUT_VERSION + 1, "1"])
def test_another_layout_is_named(tmp_path: Path, version: int | str) -> None:
    group = zarr.create_group(tmp_path / "other.zarr", zarr_format=3)
    group.attrs.update({"layout_version": version})
    message = f"the store has layout version {version}; expected version {LAYOUT_VERSION}$"
    with pytest.raises(InputError, match=message):
        open_store(tmp_path / "other.zarr")


def test_a_missing_shard_makes_a_store_incomplete(store_copy: Path) -> None:
    manifest_file(store_copy, 1).unlink()
    with pytest.raises(
        InputError, match="incomplete, 1 of 2 shards written; run the same `python -m simulate`"
    ):
        open_store(store_copy)


def test_a_store_is_incomplete_until_it_says_so(store_copy: Path) -> None:
    zarr.open_group(store_copy, mode="r+").attrs["complete"] = False
    with pytest.raises(InputError, match="incomplete, 2 of 2 shards written"):
        open_store(store_copy)


@pytest.mark.parametrize(
    ("shape", "dtype", "found"),
    [
        ((8, 256, 256), "float32", r"\(8, 256, 256\) float32"),
        ((8, 64, 64), "float16", r"\(8, 64, 64\) float16"),
        (None, "", "None None"),
    ],
)
def test_an_array_of_another_kind_is_named(
    store_copy: Path, shape: tuple[int, ...] | None, dtype: str, found: str
) -> None:
    shutil.rmtree(store_copy / "form_factor")
    if shape is not None:
        zarr.open_group(store_copy, mode="r+").create_array("form_factor", shape=shape, dtype=dtype)
    with pytest.raises(InputError, match=rf"array form_factor is {found}; expected \(8, 256, 256\) float16$"):
        open_store(store_copy)


def test_a_flipped_bit_is_noticed(store_copy: Path) -> None:
    shard = store_copy / "form_factor" / "c" / "0" / "0" / "0"
    content = bytearray(shard.read_bytes())
    content[1000] ^= 1  # well inside the first sample, away from the index at the end
    shard.write_bytes(content)
    store: Store = open_store(store_copy)
    with pytest.raises(ValueError, match="checksum"):
        store.sample(0)


def test_electrons_are_those_of_the_elements_in_the_catalogue() -> None:
    """The elements of the species in the metadata must be known to the physics by the same names."""
    elements = {element for species in load_catalogue() for element in species.elements}
    assert all(gemmi.Element(element).name == element for element in elements)
