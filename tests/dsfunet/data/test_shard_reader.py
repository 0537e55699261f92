"""Samples read directly from shard files equal those that zarr reads, and damage is noticed."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from dsfunet.data import shard_reader
from dsfunet.data.layout import LAYOUT
from dsfunet.data.shard_reader import ShardReader, open_shard_reader
from dsfunet.data.store import open_store
from dsfunet.errors import InputError

PICTURES = [name for name, layout in LAYOUT.items() if layout.picture]


def reader_of(path: Path, name: str) -> ShardReader | None:
    return open_shard_reader(path / name, LAYOUT[name].shape, LAYOUT[name].dtype, 12, 5)


@pytest.fixture
def store_copy(tiny_store: Path, tmp_path: Path) -> Path:
    """train.zarr: 12 samples in shards of 5, the last of 2."""
    return Path(shutil.copytree(tiny_store / "train.zarr", tmp_path / "train.zarr"))


@pytest.mark.parametrize("name", PICTURES)
def test_every_sample_is_what_zarr_reads(tiny_store: Path, name: str) -> None:
    path = tiny_store / "train.zarr"
    reader, stored = reader_of(path, name), open_store(path).metadata(name)
    assert reader is not None
    for index in (7, *range(12), -1):
        found = reader[index]
        assert found.dtype == stored.dtype
        assert np.array_equal(found, stored[index])
    for index in (12, -13):
        with pytest.raises(IndexError):
            reader[index]


@pytest.mark.parametrize("where", [100, -30])  # in the first chunk, in the index
def test_every_flipped_bit_is_noticed(store_copy: Path, where: int) -> None:
    shard = store_copy / "mask" / "c" / "0" / "0" / "0"
    content = bytearray(shard.read_bytes())
    content[where] ^= 4
    shard.write_bytes(content)
    store = open_store(store_copy)
    with pytest.raises(InputError, match=r"mask of sample 0 is damaged \(its checksum is wrong"):
        store.sample(0)
    assert store.sample(5).mask.any()  # another shard


def test_a_short_and_a_missing_shard_are_named(store_copy: Path) -> None:
    shard = store_copy / "form_factor" / "c" / "1" / "0" / "0"
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(InputError, match="form_factor of sample 6 is damaged"):
        open_store(store_copy).sample(6)
    shard.write_bytes(b"")
    with pytest.raises(InputError, match="form_factor of sample 6 is damaged"):
        open_store(store_copy).sample(6)
    shard.unlink()
    with pytest.raises(InputError, match="sample 6 is missing; its shard was deleted or never written"):
        open_store(store_copy).sample(6)


def test_a_missing_shard_is_not_taken_for_a_mask_that_hides_all(store_copy: Path) -> None:
    (store_copy / "mask" / "c" / "1" / "0" / "0").unlink()
    ours, zarrs = open_store(store_copy), open_store(store_copy)
    zarrs._readers["mask"] = zarrs.array("mask")  # which gives fill values
    for store in (ours, zarrs):
        assert store.mask(0).any()
        with pytest.raises(InputError, match="sample 6 is missing; its shard was deleted or never written"):
            store.mask(6)


@pytest.mark.parametrize("change", ["codec", "index", "separator", "nothing"])
def test_another_layout_is_left_to_zarr(store_copy: Path, change: str) -> None:
    file = store_copy / "form_factor" / "zarr.json"
    content = json.loads(file.read_text())
    settings = content["codecs"][0]["configuration"]
    if change == "codec":
        settings["codecs"].pop()
    elif change == "index":
        settings["index_location"] = "start"
    elif change == "separator":
        content["chunk_key_encoding"]["configuration"]["separator"] = "."
    file.write_text(json.dumps(content) if change != "nothing" else "{")
    assert reader_of(store_copy, "form_factor") is None


def test_a_shard_is_opened_once(tiny_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    original = os.open

    def count(path: object, *arguments: int) -> int:
        opened.append(str(path))
        return original(path, *arguments)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(os, "open", count)
    store = open_store(tiny_store / "train.zarr")
    for _ in range(3):
        for index in (0, 11, 6, 1):
            store.stored(index)
    assert len(opened) == len(set(opened)) == 9  # three shards of three arrays


def test_no_more_files_are_open_than_allowed(tiny_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_reader, "_allow_open_files", lambda: 20)
    reader = reader_of(tiny_store / "train.zarr", "mask")
    assert reader is not None
    expected = open_store(tiny_store / "train.zarr").metadata("mask")
    for index in (0, 6, 11, 0, 11):
        assert np.array_equal(reader[index], expected[index])
        assert len(reader._files) <= 2
    descriptors = [each.descriptor for each in reader._files.values()]
    del reader
    for each in descriptors:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(each)
