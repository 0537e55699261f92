"""Write the store of planes that break the method's assumptions, violations.zarr."""

import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from dsfunet._version import __version__
from dsfunet.data.layout import layout_with
from dsfunet.data.manifests import digest_arrays, digest_shards, manifest_file
from dsfunet.data.store import create_store
from dsfunet.errors import InputError
from dsfunet.files import write_json
from simulate.correlations.sets import CorrelationSet
from simulate.crystals.draw import ORDER_KINDS, Population, build_population
from simulate.crystals.planes import GENERATOR_VERSION
from simulate.recipe import Recipe
from simulate.stores.correlation_cache import load_correlation_sets
from simulate.stores.locks import report_os_errors
from simulate.stores.shard_writer import exit_with_parent, write_arrays
from simulate.stores.writer import resolve_workers
from simulate.violations.planes import draw_violation, plan_planes

SPLIT = "validation"
"""Violations use species that no network was trained on."""

_PER_SHARD = 64
_STORE = "violations.zarr"

_Job = tuple[int, str, float, float | None]
_population: Population | None = None


def write_violations(
    recipe: Recipe, out: Path, planes_per_kind: int, workers: int | None = None, progress: bool = True
) -> Path:
    """Make `out`/violations.zarr with `planes_per_kind` planes of each kind; return its path.

    An earlier store is replaced, and only by a complete one. The recipe determines the planes before the violation;
    its `signal` and `samples` have no effect. The bytes of the store do not depend on `workers`.

    Raises:
        InputError: `out` cannot be written or has something else of that name, `workers` or `planes_per_kind` is
            below 1, or the recipe gives no plane for one of the kinds.
    """
    workers = resolve_workers(workers)
    entries = plan_planes(planes_per_kind)
    path = out / _STORE
    if path.exists() and not (path / "zarr.json").exists():
        raise InputError(f"{path}: exists but is not a store; move it away first")
    with report_os_errors(f"{path}: cannot be written"):
        out.mkdir(parents=True, exist_ok=True)
        sets = load_correlation_sets(recipe, SPLIT, out, workers, progress)
        population = build_population(recipe, SPLIT, sets)
        attributes = {
            "recipe_digest": recipe.digest,
            "species_digest": population.species_digest,
            "generator_version": GENERATOR_VERSION,
            "split": SPLIT,
            "recipe": recipe.as_plain(),
            "code_version": __version__,
            "versions": {name: version(name) for name in ("numpy", "numba", "gemmi", "zarr")},
            "species_names": population.species_names,
            "species_groups": [species.group for species in population.catalogue],
            "order_kinds": list(ORDER_KINDS),
            "violations": entries,
        }
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=out))
        try:
            _write(temporary / "new", attributes, recipe, sets, workers, progress)
            if path.exists():
                path.rename(temporary / "old")
            (temporary / "new").rename(path)
        finally:
            shutil.rmtree(temporary)
    return path


def _write(
    path: Path,
    attributes: dict[str, Any],
    recipe: Recipe,
    sets: tuple[CorrelationSet, ...],
    workers: int,
    progress: bool,
) -> None:
    jobs: list[_Job] = [
        (index, entry["kind"], entry["strength"], entry["counts"])
        for index, entry in enumerate(attributes["violations"])
    ]
    group = create_store(path, len(jobs), _PER_SHARD, attributes, ("scattering",))
    layout = layout_with(("scattering",))
    manifests = []
    planes = _draw_planes(recipe, sets, jobs, workers)
    drawn = iter(tqdm(planes, total=len(jobs), desc="violations", unit="plane", disable=not progress))
    for shard, start in enumerate(range(0, len(jobs), _PER_SHARD)):
        samples = list(islice(drawn, _PER_SHARD))
        arrays: dict[str, npt.NDArray[Any]] = {
            name: np.stack([sample[name] for sample in samples]).astype(each.dtype, copy=False)
            for name, each in layout.items()
        }
        write_arrays(group, start, arrays)
        manifests.append({"samples": len(samples), "sha256": digest_arrays(arrays)})
        write_json(manifest_file(path, shard), manifests[-1])
    zarr.open_group(path, mode="r+").attrs.update({"digest": digest_shards(manifests), "complete": True})


def _draw_planes(
    recipe: Recipe, sets: tuple[CorrelationSet, ...], jobs: list[_Job], workers: int
) -> Iterator[dict[str, npt.ArrayLike]]:
    """Yield the planes in order, made in this process or in several."""
    if workers == 1:
        _start(recipe, sets)
        yield from map(_draw, jobs)
        return
    # Spawn, do not fork: numba and BLAS have threads that do not survive a fork.
    with ProcessPoolExecutor(workers, get_context("spawn"), _start_process, (recipe, sets)) as pool:
        yield from pool.map(_draw, jobs, chunksize=4)


def _start(recipe: Recipe, sets: tuple[CorrelationSet, ...]) -> None:
    global _population
    _population = build_population(recipe, SPLIT, sets)


def _start_process(recipe: Recipe, sets: tuple[CorrelationSet, ...]) -> None:
    exit_with_parent()
    _start(recipe, sets)


def _draw(job: _Job) -> dict[str, npt.ArrayLike]:
    assert _population is not None
    # With several BLAS threads sums round differently, and the planes would depend on the number of cores.
    with threadpool_limits(1):
        return draw_violation(_population, *job)
