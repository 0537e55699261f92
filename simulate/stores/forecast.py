"""What a recipe will cost, from a few planes of it: hours and bytes, before anything is written."""

import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zarr.storage import MemoryStore

from dsfunet.data.store import LAYOUT, create_store, digest_arrays, shard_count
from dsfunet.errors import InputError
from simulate.correlations.draw import draw_monte_carlo_set
from simulate.correlations.sets import CorrelationSet
from simulate.crystals.draw import build_population
from simulate.recipe import SPLITS, Recipe
from simulate.stores.shard_writer import draw_arrays, write_arrays

PLANES = 24
"""Planes of each split that are made for a forecast."""

SETS = 8
"""Monte Carlo sets that are made for a forecast."""


@dataclass(frozen=True)
class Forecast:
    """What one split will take.

    Attributes:
        split: which one.
        planes: how many planes it has.
        shard_count: in how many 
        sets: Monte Carlo sets that are made first; 0 if there are none.
        seconds_per_set: of one process.
        seconds_per_plane: of one process, compression included.
        bytes_per_plane: on disk.
        workers: processes at work on one machine, or for one task of an array job.
        tasks: how many such.
        samples_per_shard: planes in one shard, the unit of work.
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
        """Of the whole split: sets first, one machine's threads; then planes, whole shards a worker."""
        rounds = -(-self.shard_count // (self.workers * self.tasks))
        most = min(rounds * self.samples_per_shard, self.planes)
        return self.set_seconds + most * self.seconds_per_plane

    @property
    def set_seconds(self) -> float:
        """Of the Monte Carlo sets, which one process makes with as many threads as workers."""
        return self.sets * self.seconds_per_set / min(self.workers, max(self.sets, 1))

    @property
    def size_bytes(self) -> float:
        """Of the store on disk."""
        return self.planes * self.bytes_per_plane


def forecast(recipe: Recipe, workers: int, tasks: int = 1, planes: int = PLANES) -> list[Forecast]:
    """Make a few planes of each split in this process, writing nothing, and scale up what they took."""
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
        # The first also compiles what numba has not compiled yet, and does not count.
        draw_monte_carlo_set(0, recipe.monte_carlo)
        start = time.perf_counter()
        made = [draw_monte_carlo_set(seed, recipe.monte_carlo) for seed in range(1, SETS + 1)]
        seconds_per_set = (time.perf_counter() - start) / SETS
        # What a set costs and what is done with it does not hang on its targets, met or tied.
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
    """Bytes that samples take in a store, compressed as they are there; its few kilobytes of metadata not counted."""
    number = len(next(iter(arrays.values())))
    held: dict[str, Any] = {}
    group = create_store(MemoryStore(held), number, number, {}, set(arrays) - set(LAYOUT))
    write_arrays(group, 0, arrays)
    return sum(len(content) for key, content in held.items() if not key.endswith("zarr.json"))


def format_forecast(forecasts: list[Forecast], workers: int, out: Path) -> str:
    """The forecast as a small table, with what is free at `out`."""
    header = ("", "planes", "shards", "ms a plane", "sets", "time for sets", "time in all", "on disk")
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
    rows.append(("together", str(sum(each.planes for each in forecasts)), "", "", "", "", *together))
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    free = _free_bytes(out)
    lines.append(
        f"with {workers} worker{'s' if workers > 1 else ''}, each as fast as this process was;"
        f" {format_size(free)} free at {out}"
    )
    if free < total:
        lines.append(
            f"{out} has too little room: {format_size(total)} are needed, {format_size(free)} are free"
        )
    return "\n".join(lines)


def _free_bytes(out: Path) -> int:
    there = next(each for each in (out.absolute(), *out.absolute().parents) if each.exists())
    try:
        return shutil.disk_usage(there).free
    except OSError as error:
        raise InputError(f"{out}: cannot be looked at ({error.strerror})") from error


def format_duration(seconds: float) -> str:
    """A length of time in the unit that suits it."""
    for unit, length in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 1 else "under 1 s"


def format_size(size_bytes: float) -> str:
    """A number of bytes in the unit that suits it, powers of ten."""
    for unit, length in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size_bytes >= length:
            return f"{size_bytes / length:.1f} {unit}"
    return f"{size_bytes / 1e3:.0f} kB"
