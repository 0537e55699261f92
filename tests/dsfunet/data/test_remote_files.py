"""Stores at addresses: in memory, which fsspec brings along, and in a local object store with the protocol of S3."""

import pickle
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest

from dsfunet.cli.main import main
from dsfunet.data import remote_files
from dsfunet.data.layout import LAYOUT
from dsfunet.data.store import Store, open_store
from dsfunet.errors import InputError
from tests.dsfunet.cli.test_lightning_cli import write_config

pytestmark = [
    pytest.mark.filterwarnings("ignore:The .*_dataloader. does not have many workers"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
    pytest.mark.filterwarnings("ignore:LightningCLI's args parameter is intended"),
]


@pytest.fixture
def address(tiny_store: Path) -> Iterator[str]:
    """Both stores in the memory of this process."""
    files = fsspec.filesystem("memory")
    files.put(str(tiny_store), "/stores", recursive=True)
    yield "memory://stores"
    files.rm("/stores", recursive=True)


def copies(cache: Path) -> list[str]:
    """Shards of pictures on the local disk."""
    names = (path.parts[-5] for path in cache.rglob("c/*/0/0") if path.is_file())
    return sorted(name for name in names if LAYOUT[name].picture)


def assert_same_planes(remote: Store, local: Path) -> None:
    expected = open_store(local)
    assert remote.digest == expected.digest and len(remote) == len(expected)
    for index in range(len(expected)):
        ours, theirs = remote.sample(index), expected.sample(index)
        assert np.array_equal(ours.scattering, theirs.scattering) and np.array_equal(ours.mask, theirs.mask)
    assert (remote.metadata("species") == expected.metadata("species")).all()


def test_planes_are_those_of_the_store_and_shards_are_copied_once(
    address: str, tiny_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(f"{address}/train.zarr", tmp_path)
    assert store.remote is not None and copies(tmp_path) == []
    store.sample(7)
    assert copies(tmp_path) == ["form_factor", "mask", "short_range_order"]  # of one shard
    assert_same_planes(store, tiny_store / "train.zarr")
    again = pickle.loads(pickle.dumps(store))  # as in a worker process
    assert again.remote is not None
    monkeypatch.setattr(again.remote._files, "get_file", None)  # all shards are here
    assert_same_planes(again, tiny_store / "train.zarr")


def test_a_run_trains_from_an_address(address: str, tmp_path: Path) -> None:
    config = write_config(tmp_path, tmp_path / "nowhere")
    here = ["--data.folder", address, "--data.cache_folder", str(tmp_path / "cache")]
    assert main(["fit", "--config", str(config), *here]) == 0
    assert (tmp_path / "run" / "last.ckpt").exists() and copies(tmp_path / "cache")


def test_wrong_addresses_are_one_sentence(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"^memory://stores/other\.zarr: no such store"):
        open_store(f"{address}/other.zarr", tmp_path)
    with pytest.raises(
        InputError, match=r"^nonsense://x: .*; expected an address such as s3://bucket/folder"
    ):
        open_store("nonsense://x", tmp_path)

    def missing(url: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    expected = r"^s3://b/train\.zarr: Install s3fs to access S3; install it with pip install -e '\.\[s3\]'"
    with pytest.raises(InputError, match=expected):
        open_store("s3://b/train.zarr", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_copies_are_kept_for_each_user_by_default() -> None:
    assert remote_files.default_cache().name.startswith("dsfunet-shards-")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_object_store_with_the_protocol_of_s3(
    tiny_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("s3fs", reason="needs the extra s3")
    server_file = pytest.importorskip("moto.server", reason="needs moto[server], a local object store")
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "x"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("AWS_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    server = server_file.ThreadedMotoServer(port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        files = fsspec.filesystem("s3")
        files.mkdir("planes")
        files.put(str(tiny_store), "planes/tiny", recursive=True)
        store = open_store("s3://planes/tiny/validation.zarr", tmp_path)
        assert store.remote is not None
        assert_same_planes(store, tiny_store / "validation.zarr")
        with pytest.raises(InputError, match=r"s3://planes/tiny/test\.zarr: no such store"):
            open_store("s3://planes/tiny/test.zarr", tmp_path)
    finally:
        server.stop()
