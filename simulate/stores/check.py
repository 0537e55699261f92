"""Check a finished store: compare every shard with its stored digest."""

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

from dsfunet.data.manifests import digest_arrays, digest_shards, manifest_file, read_manifest
from dsfunet.data.store import open_store, shard_count
from dsfunet.errors import InputError
from simulate.stores.locks import report_os_errors
from simulate.stores.shard_writer import exit_with_parent

_MOST_NAMED = 8


def check_store(path: Path, workers: int = 1, progress: bool = True) -> str:
    """Compute the digest of every shard again and compare it with the manifest; return a summary line.

    Raises:
        InputError: there is no finished store, or shards are damaged; the message names them and the damage.
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
                f"{path}: a worker process died, perhaps for lack of memory; use fewer --workers"
            ) from error
    if damage:
        named = "; ".join(f"shard {shard}: {wrong}" for shard, wrong in list(damage.items())[:_MOST_NAMED])
        more = f"; and {len(damage) - _MOST_NAMED} more" if len(damage) > _MOST_NAMED else ""
        raise InputError(
            f"{path}: {len(damage)} of {count} shards are damaged ({named}{more}); to remake a shard, delete its"
            f" manifest file (such as {manifest_file(Path(), min(damage))}) and make the store again"
        )
    if store.digest != digest_shards(_manifests(path, count)):
        raise InputError(
            f"{path}: every shard matches its manifest, but the store's digest does not; make the store again"
        )
    plural = "s" if count > 1 else ""
    return f"{path}: {samples} planes in {count} shard{plural}, no damage, digest {store.digest[:12]}"


@contextmanager
def _parallel_map(workers: int) -> Iterator[Any]:
    """Provide `map` in this process, or over several worker processes."""
    if workers <= 1:
        yield map
        return
    # Spawn, do not fork: zarr has threads that do not survive a fork.
    with ProcessPoolExecutor(workers, get_context("spawn"), exit_with_parent) as pool:
        yield pool.map


def _manifests(path: Path, count: int) -> Iterator[dict[str, Any]]:
    for shard in range(count):
        manifest = read_manifest(path, shard)
        assert manifest is not None
        yield manifest


def _find_damage(path: Path, names: Sequence[str], samples: int, per_shard: int, shard: int) -> str | None:
    """Return the damage of a shard in a few words, or None if there is none."""
    manifest = read_manifest(path, shard)
    if manifest is None:
        return "the manifest file cannot be read"
    group = zarr.open_group(path, mode="r", zarr_format=3)
    start, stop = shard * per_shard, min((shard + 1) * per_shard, samples)
    arrays = {}
    for name in names:
        array = group[name]
        assert isinstance(array, zarr.Array)
        try:
            arrays[name] = np.asarray(array[start:stop])
        except Exception as error:  # a wrong checksum, a codec error, a short file: each raises its own type
            return f"{name} cannot be read, {str(error).rstrip('.') or type(error).__name__}"
    if manifest["sha256"] == digest_arrays(arrays):
        return None
    # zarr reads a missing file as the fill value.
    gone = [name for name, values in arrays.items() if values.dtype.kind == "f" and np.isnan(values).any()]
    return f"{', '.join(gone)} missing" if gone else "the digest differs"
