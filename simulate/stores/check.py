"""A finished store read back: is every shard what was written?"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from tqdm import tqdm

from dsfunet.data.store import (
    digest_arrays,
    digest_shards,
    manifest_file,
    open_store,
    read_manifest,
    shard_count,
)
from dsfunet.errors import InputError
from simulate.stores.locks import report_os_errors
from simulate.stores.shard_writer import exit_with_parent

_MOST_NAMED = 8


def check_store(path: Path, workers: int = 1, progress: bool = True) -> str:
    """Digest every shard of a store from its arrays again, and compare with the manifest; returns a summary.

    Raises:
        InputError: there is no finished store, or shards are damaged: the sentence names them and what is wrong.
    """
    store = open_store(path)
    samples, per_shard = len(store), int(store.attributes["samples_per_shard"])
    count = shard_count(samples, per_shard)
    damage = {}
    with report_os_errors(f"{path}: cannot be read"), _parallel_map(min(workers, count)) as parallel_map:
        found = parallel_map(
            partial(_find_damage, path, tuple(store.layout), samples, per_shard), range(count)
        )
        bar = tqdm(found, total=count, desc=path.name, unit="shard", disable=not progress)
        try:
            damage = {shard: wrong for shard, wrong in enumerate(bar) if wrong is not None}
        except BrokenProcessPool as error:
            raise InputError(
                f"{path}: a worker process died, killed perhaps for want of memory; use fewer --workers"
            ) from error
    if damage:
        named = "; ".join(f"shard {shard}: {wrong}" for shard, wrong in list(damage.items())[:_MOST_NAMED])
        more = f"; and {len(damage) - _MOST_NAMED} more" if len(damage) > _MOST_NAMED else ""
        raise InputError(
            f"{path}: {len(damage)} of {count} shards damaged ({named}{more}); to make them again, delete their files"
            f" {manifest_file(Path(), min(damage))} and so on, and run the command that made the store"
        )
    if store.digest != digest_shards(_manifests(path, count)):
        raise InputError(
            f"{path}: every shard is as its manifest says, but the store's digest is not that of its manifest"
        )
    plural = "s" if count > 1 else ""
    return f"{path}: {samples} planes in {count} shard{plural}, all as written, digest {store.digest[:12]}"


@contextmanager
def _parallel_map(workers: int) -> Iterator[Any]:
    """`map` in this process or over several."""
    if workers <= 1:
        yield map
        return
    # Spawned, not forked: zarr holds threads that do not survive a fork.
    with ProcessPoolExecutor(workers, get_context("spawn"), exit_with_parent) as pool:
        yield pool.map


def _manifests(path: Path, count: int) -> Iterator[dict[str, Any]]:
    for shard in range(count):
        manifest = read_manifest(path, shard)
        assert manifest is not None
        yield manifest


def _find_damage(path: Path, names: Sequence[str], samples: int, per_shard: int, shard: int) -> str | None:
    """What is wrong with a shard, in a few words; None if nothing is."""
    manifest = read_manifest(path, shard)
    if manifest is None:
        return "its manifest entry cannot be read"
    group = zarr.open_group(path, mode="r", zarr_format=3)
    start, stop = shard * per_shard, min((shard + 1) * per_shard, samples)
    arrays = {}
    for name in names:
        array = group[name]
        assert isinstance(array, zarr.Array)
        try:
            arrays[name] = np.asarray(array[start:stop])
        except Exception as error:  # a checksum, a codec, a short file: each reader has its own errors
            return f"{name} cannot be read, {str(error).rstrip('.') or type(error).__name__}"
    if manifest["sha256"] == digest_arrays(arrays):
        return None
    # What a picture reads as whose file is gone is its fill value.
    gone = [name for name, values in arrays.items() if values.dtype.kind == "f" and np.isnan(values).any()]
    return f"{', '.join(gone)} missing" if gone else "not what was written"
