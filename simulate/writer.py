"""Recipe in, Zarr store out: shards made by worker processes, one writer each, resumable, digest at the end."""

import hashlib
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from dsfunet import __version__, shards
from dsfunet.errors import InputError
from dsfunet.io.files import replacing
from simulate.correlations import CorrelationSet, monte_carlo_sets
from simulate.crystals import ORDER_KINDS, World, build_world
from simulate.planes import GENERATOR_VERSION, draw_samples
from simulate.recipe import SPLITS, Recipe

_world: World | None = None


def simulate(recipe: Recipe, out: Path, workers: int | None = None, progress: bool = True) -> dict[str, Path]:
    """Make the stores of a recipe, `out`/train.zarr and `out`/validation.zarr; returns them by split.

    Shards that are already there are kept, so a run that was stopped continues. The planes do not depend on
    `workers` (None: one for each core).

    Raises:
        InputError: `out` cannot be written or holds a store of another recipe, or `workers` is below 1.
    """
    _check_writable(out)
    if workers is None:
        workers = os.cpu_count() or 1
    if workers < 1:
        raise InputError(f"workers is {workers}: expected at least 1")
    stores = {}
    for split in SPLITS:
        if getattr(recipe.samples, split):
            stores[split] = _simulate_split(recipe, split, out, workers, progress)
    return stores


def _check_writable(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise InputError(
            f"{out}: cannot be written ({error.strerror}); expected a folder to put stores in"
        ) from error


def _simulate_split(recipe: Recipe, split: str, out: Path, workers: int, progress: bool) -> Path:
    path = out / f"{split}.zarr"
    samples = getattr(recipe.samples, split)
    count = shards.shard_count(samples, recipe.samples_per_shard)
    _create_or_resume(recipe, split, path, samples)
    todo = [shard for shard in range(count) if _manifest(path, shard) is None]
    if todo:
        sets = _correlation_sets(recipe, split, out, workers, progress)
        bar = tqdm(total=samples, desc=f"{split} planes", unit="plane", disable=not progress, smoothing=0.1)
        bar.update(samples - sum(_shard_samples(recipe, samples, shard) for shard in todo))
        with bar:
            for shard in _run(recipe, split, sets, path, todo, workers):
                bar.update(_shard_samples(recipe, samples, shard))
    _finalise(path, count)
    return path


def _create_or_resume(recipe: Recipe, split: str, path: Path, samples: int) -> None:
    world = build_world(recipe, split, ())
    identity: dict[str, Any] = {
        "recipe_digest": recipe.digest,
        "species_digest": _species_digest(world),
        "generator_version": GENERATOR_VERSION,
    }
    if path.exists():
        try:
            attributes = dict(zarr.open_group(path, mode="r", zarr_format=3).attrs)
        except (FileNotFoundError, ValueError) as error:
            raise InputError(f"{path}: exists and is not a store; move it away first") from error
        for what, ours in identity.items():
            if attributes.get(what) != ours:
                what = what.removesuffix("_digest").replace("_", " ")
                raise InputError(
                    f"{path}: holds a store of another {what}; choose another --out or move it away"
                )
        return
    attributes = {
        **identity,
        "split": split,
        "recipe": recipe.as_plain(),
        "code_version": __version__,
        "versions": {name: version(name) for name in ("numpy", "numba", "gemmi", "zarr")},
        "species_names": world.species_names,
        "species_groups": [species.group for species in world.catalogue],
        "order_kinds": list(ORDER_KINDS),
    }
    # Made under another name, so that a store is there with all its arrays and attributes or not at all.
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    try:
        shards.create(temporary / "new", samples, recipe.samples_per_shard, attributes)
        (temporary / "new").rename(path)
    finally:
        shutil.rmtree(temporary)


def _species_digest(world: World) -> str:
    """SHA-256 over the geometries and cells of the catalogue: data made from other molecules are other data."""
    arrays = {}
    for species in world.catalogue:
        arrays[f"{species.name} {species.split} {' '.join(species.elements)}"] = np.concatenate(
            [np.array(species.cell_edges_angstrom), species.positions_angstrom.reshape(-1)]
        )
    return shards.digest_arrays(arrays)


def _correlation_sets(
    recipe: Recipe, split: str, out: Path, workers: int, progress: bool
) -> tuple[CorrelationSet, ...]:
    """The Monte Carlo sets of a split, made once and cached beside the stores under the recipe's digest."""
    if recipe.monte_carlo_share == 0:
        return ()
    count = getattr(recipe.monte_carlo_sets, split)
    # Each split has a seed of its own, so that no validation plane shares its order with a training plane.
    seed = int(
        np.random.SeedSequence(recipe.seed, spawn_key=(len(SPLITS), SPLITS.index(split))).generate_state(1)[0]
    )
    key = json.dumps([recipe.as_plain()["monte_carlo"], count, seed, GENERATOR_VERSION], sort_keys=True)
    cache = out / f"correlations-{hashlib.sha256(key.encode()).hexdigest()[:16]}.npz"
    if cache.exists():
        try:
            with np.load(cache, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
        except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"{cache}: damaged ({error}); delete it, and it will be made again") from error
    else:
        arrays = monte_carlo_sets(count, seed, recipe.monte_carlo, workers=workers, progress=progress)
        with replacing(cache) as temporary, temporary.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **arrays)
    sets = tuple(
        CorrelationSet(
            alphas=arrays["alphas"][index],
            m_a=float(arrays["m_a"][index]),
            kind="monte_carlo",
            converged=bool(arrays["converged"][index]),
            targets=arrays["targets"][index],
            achieved=arrays["achieved"][index],
        )
        for index in range(count)
    )
    if not any(each.converged for each in sets):
        raise InputError(
            f"none of {count} Monte Carlo sets reached its targets: loosen monte_carlo in the recipe"
        )
    return sets


def _manifest(path: Path, shard: int) -> dict[str, Any] | None:
    """What is on record of a finished shard; None where it is not finished, or the record is damaged."""
    try:
        manifest = json.loads(shards.manifest_file(path, shard).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) and "sha256" in manifest else None


def _shard_samples(recipe: Recipe, samples: int, shard: int) -> int:
    return min(recipe.samples_per_shard, samples - shard * recipe.samples_per_shard)


def _run(
    recipe: Recipe, split: str, sets: tuple[CorrelationSet, ...], path: Path, todo: list[int], workers: int
) -> Iterator[int]:
    """Yield the number of each shard as it is finished."""
    workers = min(workers, len(todo))
    if workers == 1:
        _start_worker(recipe, split, sets)
        for shard in todo:
            yield _write_shard(path, shard)
        return
    # Spawned, not forked: numba and BLAS hold threads that do not survive a fork.
    with ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, (recipe, split, sets)) as pool:
        futures = [pool.submit(_write_shard, path, shard) for shard in todo]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            # Or the error would show only after every other shard is made.
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _start_worker(recipe: Recipe, split: str, sets: tuple[CorrelationSet, ...]) -> None:
    global _world
    _world = build_world(recipe, split, sets)


def _write_shard(path: Path, shard: int) -> int:
    """Make and write one whole shard, then its manifest entry; the only writer of its files."""
    assert _world is not None
    samples = getattr(_world.recipe.samples, _world.split)
    per_shard = _world.recipe.samples_per_shard
    start, stop = shard * per_shard, min((shard + 1) * per_shard, samples)
    # With several BLAS threads the sums round differently, and the planes would depend on the machine's cores.
    with threadpool_limits(1):
        drawn = list(draw_samples(_world, start, stop))
    arrays = {name: np.stack([sample[name] for sample in drawn]) for name in shards.LAYOUT}
    group = zarr.open_group(path, mode="r+", zarr_format=3)
    for name, values in arrays.items():
        # A truncated shard of a killed run cannot be overwritten in place: its file goes first.
        chunk_folder = path / name / "c" / str(shard)
        if chunk_folder.is_dir():
            shutil.rmtree(chunk_folder)
        elif chunk_folder.exists():
            chunk_folder.unlink()
        array = group[name]
        assert isinstance(array, zarr.Array)
        array[start:stop] = values
    manifest = {"samples": stop - start, "sha256": shards.digest_arrays(arrays)}
    shards.write_json(shards.manifest_file(path, shard), manifest)
    return shard


def _finalise(path: Path, count: int) -> None:
    digest = hashlib.sha256()
    for shard in range(count):
        manifest = _manifest(path, shard)
        assert manifest is not None
        digest.update(manifest["sha256"].encode())
    group = zarr.open_group(path, mode="r+", zarr_format=3)
    group.attrs.update({"digest": digest.hexdigest(), "complete": True})
