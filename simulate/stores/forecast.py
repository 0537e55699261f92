"""Forecast the time and disk space of a recipe from a few of its planes, without writing anything."""

import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zarr.storage import MemoryStore

from dsfunet.data.layout import LAYOUT
from dsfunet.data.manifests import digest_arrays
from dsfunet.data.store import create_store, shard_count
from dsfunet.errors import InputError
from simulate.correlations.draw import draw_monte_carlo_set
from simulate.correlations.sets import CorrelationSet
from simulate.crystals.draw import build_population
from simulate.recipe import SPLITS, Recipe
from simulate.stores.shard_writer import draw_arrays, write_arrays

PLANES = 24
"""Number of planes of each split made for a forecast."""

SETS = 8
"""Number of Monte Carlo sets made for a forecast."""


@dataclass(frozen=True)
class Forecast:
    """Forecast of the time and disk space for one split.

    Attributes:
        split: name of the split.
        planes: number of planes.
        shard_count: number of shards.
        sets: number of Monte Carlo sets to make first; 0 for none.
        seconds_per_set: time of one process per Monte Carlo set [s].
        seconds_per_plane: time of one process per plane, compression included [s].
        bytes_per_plane: disk space per plane.
        workers: worker processes of one machine, or of one task of an array job.
        samples_per_shard: planes in one shard, the unit of work.
        tasks: number of tasks of the array job.
    """

    split: str
    planes: int
    shard_count: int
    sets: int
    seconds_per_set: float
    seconds_per_plane: float
    bytes_per_plane: float
    workers: int
    samples_per_shard: int
    tasks: int = 1

    @property
    def seconds(self) -> float:
        """Time for the whole split [s]: first the sets on one machine, then whole shards on all workers."""
        rounds = -(-self.shard_count // (self.workers * self.tasks))
        most = min(rounds * self.samples_per_shard, self.planes)
        return self.set_seconds + most * self.seconds_per_plane

    @property
    def set_seconds(self) -> float:
        """Time for the Monte Carlo sets [s], made by one process with as many threads as workers."""
        return self.sets * self.seconds_per_set / min(self.workers, max(self.sets, 1))

    @property
    def size_bytes(self) -> float:
        """Size of the store on disk [bytes]."""
        return self.planes * self.bytes_per_plane


def forecast(recipe: Recipe, workers: int, tasks: int = 1, planes: int = PLANES) -> list[Forecast]:
    """Forecast every split from a few planes made in this process; nothing is written."""
    return [
        _forecast_split(recipe, split, workers, tasks, planes)
        for split in SPLITS
        if getattr(recipe.samples, split)
    ]


def _forecast_split(recipe: Recipe, split: str, workers: int, tasks: int, planes: int) -> Forecast:
    samples = getattr(recipe.samples, split)
    number = min(planes, samples)
    sets: tuple[CorrelationSet, ...] = ()
    seconds_per_set = 0.0
    if recipe.monte_carlo_share > 0:
        # The first set is not timed, since numba may still have to compile.
        draw_monte_carlo_set(0, recipe.monte_carlo)
        start = time.perf_counter()
        made = [draw_monte_carlo_set(seed, recipe.monte_carlo) for seed in range(1, SETS + 1)]
        seconds_per_set = (time.perf_counter() - start) / SETS
        # The cost does not depend on the targets, so even sets that missed them may be used here.
        sets = tuple(replace(each, converged=True, kind="monte_carlo") for each in made)
    population = build_population(recipe, split, sets)
    draw_arrays(population, 0, 1)
    start = time.perf_counter()
    arrays = draw_arrays(population, 0, number)
    size = stored_bytes(arrays)
    digest_arrays(arrays)
    return Forecast(
        split=split,
        planes=samples,
        shard_count=shard_count(samples, recipe.samples_per_shard),
        sets=getattr(recipe.monte_carlo_sets, split) if sets else 0,
        seconds_per_set=seconds_per_set,
        seconds_per_plane=(time.perf_counter() - start) / number,
        bytes_per_plane=size / number,
        workers=workers,
        samples_per_shard=recipe.samples_per_shard,
        tasks=tasks,
    )


def stored_bytes(arrays: dict[str, Any]) -> int:
    """Return the compressed size of samples in a store [bytes], without the few kilobytes of metadata."""
    number = len(next(iter(arrays.values())))
    held: dict[str, Any] = {}
    group = create_store(MemoryStore(held), number, number, {}, set(arrays) - set(LAYOUT))
    write_arrays(group, 0, arrays)
    return sum(len(content) for key, content in held.items() if not key.endswith("zarr.json"))


def format_forecast(forecasts: list[Forecast], workers: int, out: Path) -> str:
    """Format the forecasts as a table, followed by the free disk space at `out`."""
    header = ("", "planes", "shards", "ms per plane", "sets", "time for sets", "total time", "on disk")
    rows = [header]
    for each in forecasts:
        rows.append(
            (
                each.split,
                str(each.planes),
                str(each.shard_count),
                f"{1000 * each.seconds_per_plane:.0f}",
                str(each.sets) if each.sets else "-",
                format_duration(each.set_seconds) if each.sets else "-",
                format_duration(each.seconds),
                format_size(each.size_bytes),
            )
        )
    total = sum(each.size_bytes for each in forecasts)
    together = format_duration(sum(each.seconds for each in forecasts)), format_size(total)
    rows.append(("total", str(sum(each.planes for each in forecasts)), "", "", "", "", *together))
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    free = _free_bytes(out)
    lines.append(
        f"with {workers} worker{'s' if workers > 1 else ''}, each as fast as this process;"
        f" {format_size(free)} free at {out}"
    )
    if free < total:
        lines.append(f"{out}: not enough disk space; {format_size(total)} needed, {format_size(free)} free")
    return "\n".join(lines)


def _free_bytes(out: Path) -> int:
    there = next(each for each in (out.absolute(), *out.absolute().parents) if each.exists())
    try:
        return shutil.disk_usage(there).free
    except OSError as error:
        raise InputError(f"{out}: cannot read the free disk space ({error.strerror})") from error


def format_duration(seconds: float) -> str:
    """Format a time in a suitable unit, such as `2.5 h`."""
    for unit, length in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 1 else "under 1 s"


def format_size(size_bytes: float) -> str:
    """Format a number of bytes in a suitable decimal unit, such as `1.2 GB`."""
    for unit, length in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size_bytes >= length:
            return f"{size_bytes / length:.1f} {unit}"
    return f"{size_bytes / 1e3:.0f} kB"
