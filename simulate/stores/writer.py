"""Recipe in, Zarr store out: by one run or by the tasks of an array job, resumable, digest at the end."""

import json
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tqdm import tqdm

from dsfunet._version import __version__
from dsfunet.data.store import create_store, digest_shards, read_manifest, shard_count
from dsfunet.errors import InputError
from dsfunet.files import write_json
from simulate.crystals.draw import ORDER_KINDS, build_population
from simulate.crystals.planes import GENERATOR_VERSION
from simulate.recipe import SPLITS, Recipe
from simulate.stores.correlation_cache import load_correlation_sets
from simulate.stores.locks import claim_shards, discard_locks, hold_lock, report_os_errors, store_lock
from simulate.stores.shard_writer import write_shards


@dataclass(frozen=True)
class Task:
    """One task of an array job: of every store it makes the shards index, index + count, index + 2 count ...

    Raises:
        InputError: the index is not one of `count` tasks.
    """

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise InputError(
                f"task index {self.index} of {self.count} tasks: expected an index from 0 to below the count"
            )


def simulate(
    recipe: Recipe, out: Path, workers: int | None = None, progress: bool = True, task: Task | None = None
) -> dict[str, Path]:
    """Make the stores of a recipe, `out`/train.zarr and `out`/validation.zarr; returns them by split.

    Shards that are already there are kept, so a run that was stopped continues. The planes do not depend on
    `workers` (None: one for each core). With a task only its shards are made, and a store is finished by the task
    that finds all shards there; `missing_shards` says whether some are still to come.

    Raises:
        InputError: `out` cannot be written or holds a store of another recipe, another run is writing the same
            shards, or `workers` is below 1.
    """
    workers = resolve_workers(workers)
    _check_writable(out)
    stores = {}
    for split in SPLITS:
        if getattr(recipe.samples, split):
            with report_os_errors(f"{out / split}.zarr: cannot be written"):
                stores[split] = _simulate_split(recipe, split, out, workers, progress, task or Task())
    return stores


def resolve_workers(workers: int | None) -> int:
    """Number of worker processes, one for each core by default.

    Raises:
        InputError: it is below 1.
    """
    if workers is None:
        return os.cpu_count() or 1
    if workers < 1:
        raise InputError(f"workers is {workers}: expected at least 1")
    return workers


def missing_shards(path: Path) -> list[int]:
    """Numbers of the shards that are not finished.

    Raises:
        InputError: there is no store of simulated planes at the path.
    """
    attributes = _group(path)["attributes"]
    count = shard_count(attributes["samples"], attributes["samples_per_shard"])
    with report_os_errors(f"{path}: cannot be read"):
        return [shard for shard in range(count) if read_manifest(path, shard) is None]


def finalise(path: Path) -> None:
    """Write the digest of a store whose shards are all there, mark it complete, and clear away what killed runs left.

    A store that is complete is left as it is, so several processes may do this at once.

    Raises:
        InputError: it is no store, shards are missing, or its shards are not those it was finished with.
    """
    with report_os_errors(f"{path}: cannot be finalised"), hold_lock(_lock_of_store(path)):
        group = _group(path)
        attributes = group["attributes"]
        count = shard_count(attributes["samples"], attributes["samples_per_shard"])
        manifests = [read_manifest(path, shard) for shard in range(count)]
        missing = [shard for shard, manifest in enumerate(manifests) if manifest is None]
        if missing:
            raise InputError(
                f"{path}: {len(missing)} of {count} shards are missing ({format_numbers(missing)});"
                " run the same `python -m simulate` command again to make them"
            )
        _clear_remains(path)
        digest = digest_shards(manifest for manifest in manifests if manifest is not None)
        if attributes.get("complete"):
            if attributes.get("digest") != digest:
                raise InputError(
                    f"{path}: damaged, its manifest is not the one it was finished with;"
                    " `python -m simulate check` says which shards differ from it"
                )
            return
        attributes |= {"digest": digest, "complete": True}
        # By hand, because not every release of zarr replaces this file in one step.
        write_json(path / "zarr.json", group)


def format_numbers(numbers: list[int], most: int = 8) -> str:
    """Numbers in a sentence, at most so many of them."""
    shown = ", ".join(map(str, numbers[:most]))
    return shown if len(numbers) <= most else f"{shown} and {len(numbers) - most} more"


def _check_writable(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise InputError(
            f"{out}: cannot be written ({error.strerror}); expected a folder to put stores in"
        ) from error


def _simulate_split(recipe: Recipe, split: str, out: Path, workers: int, progress: bool, task: Task) -> Path:
    path = out / f"{split}.zarr"
    samples = getattr(recipe.samples, split)
    ours = range(task.index, shard_count(samples, recipe.samples_per_shard), task.count)
    _create_or_resume(recipe, split, path, samples)

    def missing() -> list[int]:
        return [shard for shard in ours if read_manifest(path, shard) is None]

    def planes(numbers: list[int] | range) -> int:
        return sum(
            min(recipe.samples_per_shard, samples - shard * recipe.samples_per_shard) for shard in numbers
        )

    if missing():
        with claim_shards(path, missing()):
            todo = missing()  # another run may have finished some before we had the claim
            sets = load_correlation_sets(recipe, split, out, workers, progress)
            bar = tqdm(
                total=planes(ours), desc=f"{split} planes", unit="plane", disable=not progress, smoothing=0.1
            )
            bar.update(planes(ours) - planes(todo))
            with bar:
                for shard in write_shards(recipe, split, sets, path, todo, workers):
                    bar.update(planes([shard]))
    if task.count == 1 or not missing_shards(path):
        finalise(path)
    return path


def _create_or_resume(recipe: Recipe, split: str, path: Path, samples: int) -> None:
    population = build_population(recipe, split, ())
    identity: dict[str, Any] = {
        "recipe_digest": recipe.digest,
        "species_digest": population.species_digest,
        "generator_version": GENERATOR_VERSION,
    }
    attributes = {
        **identity,
        "split": split,
        "recipe": recipe.as_plain(),
        "code_version": __version__,
        "versions": {name: version(name) for name in ("numpy", "numba", "gemmi", "zarr")},
        "species_names": population.species_names,
        "species_groups": [species.group for species in population.catalogue],
        "order_kinds": list(ORDER_KINDS),
    }
    with report_os_errors(f"{path}: cannot be made"), hold_lock(store_lock(path)):
        for left_by_a_killed_run in path.parent.glob(f".{path.name}.*.tmp"):
            shutil.rmtree(left_by_a_killed_run)
        if not path.exists():
            _create(recipe, path, samples, attributes)
        try:
            found = _group(path)["attributes"]
        except InputError as error:
            raise InputError(f"{path}: exists and is not a store; move it away first") from error
    for what, ours in identity.items():
        if found.get(what) != ours:
            what = what.removesuffix("_digest").replace("_", " ")
            raise InputError(f"{path}: holds a store of another {what}; choose another --out or move it away")


def _create(recipe: Recipe, path: Path, samples: int, attributes: dict[str, Any]) -> None:
    # Made under another name, so that a store is there with all its arrays and attributes or not at all.
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    try:
        create_store(temporary / "new", samples, recipe.samples_per_shard, attributes, recipe.optional_arrays)
        (temporary / "new").rename(path)
    except OSError:
        if not path.is_dir():  # else another process was first, on a file system whose locks do not hold
            raise
    finally:
        _remove(temporary)


def _remove(folder: Path) -> None:
    """Take a folder away in which zarr's threads may still be clearing up what they could not write."""
    for _ in range(20):
        try:
            shutil.rmtree(folder)
        except OSError:
            # Something in it went, or came, meanwhile: no reason to hide why the store was not made.
            if folder.exists():
                time.sleep(0.05)
                continue
        return
    shutil.rmtree(folder, ignore_errors=True)


def _group(path: Path) -> dict[str, Any]:
    """The zarr.json of a store's group, its attributes included.

    Raises:
        InputError: there is no store of simulated planes at the path.
    """
    try:
        group = json.loads((path / "zarr.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        reason = "not a store of simulated planes" if path.exists() else "no such store"
        raise InputError(f"{path}: {reason}; make one with `python -m simulate`") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a Zarr v3 store of simulated planes") from error
    if not isinstance(group, dict) or group.get("node_type") != "group":
        raise InputError(f"{path}: not a Zarr v3 store of simulated planes")
    if not {"samples", "samples_per_shard"} <= set(group.get("attributes", {})):
        raise InputError(f"{path}: not a store of simulated planes, or its attributes are damaged")
    return group


def _lock_of_store(path: Path) -> Path:
    _group(path)  # no lock file beside what is no store
    return store_lock(path)


def _clear_remains(path: Path) -> None:
    for each in path.glob(".zarr.json.*.part"):
        each.unlink()
    discard_locks(path)
