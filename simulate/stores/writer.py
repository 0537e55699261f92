"""Make the Zarr stores of a recipe, in one run or in the tasks of an array job; a stopped run can be resumed."""

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
from dsfunet.data.manifests import digest_shards, read_manifest
from dsfunet.data.store import create_store, shard_count
from dsfunet.errors import InputError
from dsfunet.files import write_json
from dsfunet.locks import hold_lock
from simulate.crystals.draw import ORDER_KINDS, build_population
from simulate.crystals.planes import GENERATOR_VERSION
from simulate.recipe import SPLITS, Recipe
from simulate.stores.correlation_cache import load_correlation_sets
from simulate.stores.locks import claim_shards, discard_locks, report_os_errors, store_lock
from simulate.stores.shard_writer import write_shards


@dataclass(frozen=True)
class Task:
    """One task of an array job: it makes the shards index, index + count, index + 2 count ... of every store.

    Attributes:
        index: number of the task, from 0.
        count: number of tasks.

    Raises:
        InputError: the index is not from 0 to `count` - 1.
    """

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise InputError(
                f"--task-index is {self.index} of {self.count} tasks; expected 0 to {self.count - 1}"
            )


def simulate(
    recipe: Recipe, out: Path, workers: int | None = None, progress: bool = True, task: Task | None = None
) -> dict[str, Path]:
    """Make the stores of a recipe, `out`/train.zarr and `out`/validation.zarr; return their paths by split.

    Existing shards are kept, so a stopped run can be continued. The planes do not depend on `workers` (None: one for
    each core). With a task, only the task's shards are made; the task that writes the last shard finishes the store.
    `missing_shards` tells whether a store still lacks shards.

    Raises:
        InputError: `out` cannot be written or has a store of another recipe, another run is writing the same
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
    """Return the number of worker processes, by default one for each core.

    Raises:
        InputError: the number is below 1.
    """
    if workers is None:
        return os.cpu_count() or 1
    if workers < 1:
        raise InputError(f"workers is {workers}; expected at least 1")
    return workers


def missing_shards(path: Path) -> list[int]:
    """Return the numbers of the unfinished shards.

    Raises:
        InputError: there is no store of simulated planes at the path.
    """
    attributes = _group(path)["attributes"]
    count = shard_count(attributes["samples"], attributes["samples_per_shard"])
    with report_os_errors(f"{path}: cannot be read"):
        return [shard for shard in range(count) if read_manifest(path, shard) is None]


def finalise(path: Path) -> None:
    """Finish a store that has all its shards: write its digest, mark it complete and remove left-over files.

    A complete store is left unchanged, so several processes may do this at the same time.

    Raises:
        InputError: there is no store, shards are missing, or shards have changed since the store was finished.
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
                    f"{path}: the manifest has changed since the store was finished;"
                    " find the damaged shards with `python -m simulate check`"
                )
            return
        attributes |= {"digest": digest, "complete": True}
        # Written here because not every release of zarr replaces this file atomically.
        write_json(path / "zarr.json", group)


def format_numbers(numbers: list[int], most: int = 8) -> str:
    """Format a list of numbers for a message, showing at most `most` of them."""
    shown = ", ".join(map(str, numbers[:most]))
    return shown if len(numbers) <= most else f"{shown} and {len(numbers) - most} more"


def _check_writable(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise InputError(
            f"{out}: cannot be written ({error.strerror}); expected a folder for the stores"
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
            todo = missing()  # another run may have finished some shards before we claimed them
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
            raise InputError(f"{path}: exists but is not a store; move it away first") from error
    for what, ours in identity.items():
        if found.get(what) != ours:
            difference = {
                "recipe_digest": "was made with another recipe",
                "species_digest": "was made with other species",
                "generator_version": "was made with another version of the generator",
            }[what]
            raise InputError(f"{path}: this store {difference}; choose another --out or move the store away")


def _create(recipe: Recipe, path: Path, samples: int, attributes: dict[str, Any]) -> None:
    # Create the store under another name and rename it, so that it never appears without all arrays and attributes.
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    try:
        create_store(temporary / "new", samples, recipe.samples_per_shard, attributes, recipe.optional_arrays)
        (temporary / "new").rename(path)
    except OSError:
        if not path.is_dir():  # otherwise another process was faster, on a file system with unreliable locks
            raise
    finally:
        _remove(temporary)


def _remove(folder: Path) -> None:
    """Remove a folder in which zarr's threads may still be deleting files after a failed write."""
    for _ in range(20):
        try:
            shutil.rmtree(folder)
        except OSError:
            # Files appeared or vanished meanwhile. Try again, so that the original error is the one reported.
            if folder.exists():
                time.sleep(0.05)
                continue
        return
    shutil.rmtree(folder, ignore_errors=True)


def _group(path: Path) -> dict[str, Any]:
    """Read the zarr.json of a store's group, including the attributes.

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
        raise InputError(
            f"{path}: not a store of simulated planes, or its attributes are damaged; check the path"
        )
    return group


def _lock_of_store(path: Path) -> Path:
    _group(path)  # raises an error if there is no store, so that no lock file is created next to it
    return store_lock(path)


def _clear_remains(path: Path) -> None:
    for each in path.glob(".zarr.json.*.part"):
        each.unlink()
    discard_locks(path)
