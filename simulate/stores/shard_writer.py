"""Write the shards of a store, in this process or in several: each as a whole, then its manifest file."""

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from threadpoolctl import threadpool_limits

from dsfunet.data.layout import layout_with
from dsfunet.data.manifests import MANIFEST_FOLDER, digest_arrays, manifest_file, read_manifest
from dsfunet.errors import InputError
from dsfunet.files import flush_to_disk, write_json
from dsfunet.locks import hold_lock
from simulate.correlations.sets import CorrelationSet
from simulate.crystals.draw import Population, build_population
from simulate.crystals.planes import draw_samples
from simulate.recipe import Recipe
from simulate.stores.locks import busy_message, report_os_errors, shard_lock

KEPT = "; finished shards are kept, and the same command continues from there"

_population: Population | None = None


def write_shards(
    recipe: Recipe, split: str, sets: tuple[CorrelationSet, ...], path: Path, todo: list[int], workers: int
) -> Iterator[int]:
    """Write shards, and yield the number of each as soon as it is finished.

    Raises:
        InputError: a shard cannot be written, another process is writing it, or a worker process died.
    """
    workers = min(workers, len(todo))
    if workers <= 1:
        _start_worker(recipe, split, sets)
        for shard in todo:
            yield _write_shard(path, shard)
        return
    try:
        # Spawn, do not fork: numba and BLAS have threads that do not survive a fork.
        with (
            report_os_errors(f"{path}: no worker processes can be started", KEPT),
            ProcessPoolExecutor(
                workers, get_context("spawn"), _start_pool_worker, (recipe, split, sets)
            ) as pool,
        ):
            waiting = iter(todo)
            # Queue no more shards than workers, so that after an error only running shards delay the end.
            running = {pool.submit(_write_shard, path, shard) for shard in islice(waiting, workers)}
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    finished = future.result()
                    running |= {pool.submit(_write_shard, path, shard) for shard in islice(waiting, 1)}
                    yield finished
    except BrokenProcessPool as error:
        raise InputError(
            f"{path}: a worker process died, perhaps for lack of memory{KEPT};"
            " if it happens again, use fewer --workers"
        ) from error


def exit_with_parent() -> None:
    """Make this worker process end when its parent is killed; otherwise it would wait forever."""
    Thread(target=_exit_with_parent, daemon=True).start()


def _start_pool_worker(recipe: Recipe, split: str, sets: tuple[CorrelationSet, ...]) -> None:
    exit_with_parent()
    _start_worker(recipe, split, sets)


def _exit_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


def _start_worker(recipe: Recipe, split: str, sets: tuple[CorrelationSet, ...]) -> None:
    global _population
    _population = build_population(recipe, split, sets)


def _write_shard(path: Path, shard: int) -> int:
    """Make and write one shard, then its manifest file; a lock keeps other writers out."""
    assert _population is not None
    with (
        report_os_errors(f"{path}: shard {shard} cannot be written", KEPT),
        hold_lock(shard_lock(path, shard), refusal=busy_message(path, shard)),
    ):
        if read_manifest(path, shard) is not None:
            return shard
        samples = getattr(_population.recipe.samples, _population.split)
        per_shard = _population.recipe.samples_per_shard
        start, stop = shard * per_shard, min((shard + 1) * per_shard, samples)
        arrays = draw_arrays(_population, start, stop)
        remove_remains(path, shard, arrays)
        write_arrays(zarr.open_group(path, mode="r+", zarr_format=3), start, arrays)
        flush_shard(path, shard, arrays)  # before the manifest, which says that it is whole
        manifest = {"samples": stop - start, "sha256": digest_arrays(arrays)}
        write_json(manifest_file(path, shard), manifest)
    return shard


def draw_arrays(population: Population, start: int, stop: int) -> dict[str, npt.NDArray[Any]]:
    """Draw samples `start` to `stop - 1` of one split and stack them, one entry for every array of the store."""
    # With several BLAS threads sums round differently, and the planes would depend on the number of cores.
    with threadpool_limits(1):
        drawn = list(draw_samples(population, start, stop))
    return {
        name: np.stack([sample[name] for sample in drawn]).astype(layout.dtype, copy=False)
        for name, layout in layout_with(population.recipe.optional_arrays).items()
    }


def write_arrays(group: zarr.Group, start: int, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write stacked samples into the arrays of a store, starting at sample `start`."""
    # No chunk is empty, and comparing each with the fill value would take a third of the time.
    with zarr.config.set({"array.write_empty_chunks": True}):
        for name, values in arrays.items():
            array = group[name]
            assert isinstance(array, zarr.Array)
            array[start : start + len(values)] = values


def flush_shard(path: Path, shard: int, names: Iterable[str]) -> None:
    """Force the files of a shard, and their names, to the disk."""
    for name in names:
        chunks = path / name / "c"
        place = chunks / str(shard)
        for each in (*place.rglob("*"), place, chunks):
            flush_to_disk(each)


def remove_remains(path: Path, shard: int, names: Iterable[str]) -> None:
    """Remove the files that a killed run left of a shard; zarr cannot overwrite truncated files in place."""
    remains = list((path / MANIFEST_FOLDER).glob(f".{shard:06d}.json.*"))
    for name in names:
        chunks = path / name / "c"
        # The shard itself, which may be a folder or a file, and the temporary files that zarr writes and renames.
        remains += [chunks / str(shard), *chunks.glob(f"{shard}.*")]
    for each in remains:
        if each.is_dir():
            shutil.rmtree(each)
        else:
            each.unlink(missing_ok=True)
