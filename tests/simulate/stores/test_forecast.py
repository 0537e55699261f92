"""`--dry-run` writes nothing, and predicts the size of the store."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from simulate.__main__ import main
from simulate.crystals.draw import build_population
from simulate.recipe import Counts, Recipe
from simulate.stores.forecast import (
    Forecast,
    forecast,
    format_duration,
    format_forecast,
    format_size,
    stored_bytes,
)
from simulate.stores.shard_writer import draw_arrays

FORECAST = Forecast(
    split="train",
    planes=1000,
    shard_count=10,
    sets=80,
    seconds_per_set=2.0,
    seconds_per_plane=0.5,
    bytes_per_plane=150_000.0,
    workers=4,
    samples_per_shard=100,
)


def disk_bytes(path: Path) -> int:
    """Bytes of a store's arrays."""
    return sum(
        each.stat().st_size for each in path.rglob("*") if each.is_file() and each.suffix not in {".json"}
    )


def test_the_size_is_the_size_of_the_store(oscillators: Recipe, undisturbed: Path) -> None:
    """The forecast for six planes uses the same six, in one shard instead of three."""
    (found,) = forecast(oscillators, 1)
    assert found.size_bytes == pytest.approx(disk_bytes(undisturbed / "train.zarr"), rel=0.02)
    arrays = draw_arrays(build_population(oscillators, "train", ()), 0, 2)
    assert stored_bytes(arrays) < found.size_bytes


def test_a_forecast_names_every_split_and_scales_up(tiny_recipe: Recipe) -> None:
    recipe = dataclasses.replace(tiny_recipe, samples=Counts(1000, 7))
    train, validation = forecast(recipe, 3, planes=2)
    assert (train.split, train.planes, train.shard_count, train.sets) == ("train", 1000, 200, 4)
    assert (validation.split, validation.planes, validation.shard_count) == ("validation", 7, 2)
    assert train.size_bytes == 1000 * train.bytes_per_plane > 0
    assert train.seconds_per_plane > 0 < train.seconds_per_set


def test_time_goes_by_whole_shards() -> None:
    # Ten shards for four workers are three rounds of 100 planes; eighty sets in four threads are twenty rounds.
    assert FORECAST.set_seconds == 40
    assert FORECAST.seconds == 40 + 3 * 100 * 0.5
    # Three tasks of as many workers have a worker a shard; one of them makes the sets.
    assert dataclasses.replace(FORECAST, tasks=3).seconds == 40 + 100 * 0.5
    # No worker makes more planes than there are, and no set needs more than one thread.
    few = dataclasses.replace(FORECAST, planes=30, shard_count=1, sets=1, workers=64)
    assert few.seconds == 2 + 30 * 0.5
    none = dataclasses.replace(FORECAST, sets=0)
    assert none.set_seconds == 0


def test_the_table(tmp_path: Path) -> None:
    forecasts = [FORECAST, dataclasses.replace(FORECAST, split="validation", sets=0)]
    lines = format_forecast(forecasts, 4, tmp_path).splitlines()
    assert [" ".join(line.split()) for line in lines[:4]] == [
        "planes shards ms per plane sets time for sets total time on disk",
        "train 1000 10 500 80 40 s 3.2 min 150.0 MB",
        "validation 1000 10 500 - - 2.5 min 150.0 MB",
        "total 2000 5.7 min 300.0 MB",
    ]
    assert lines[4].startswith("with 4 workers, each as fast as this process; ")
    assert len({len(line) for line in lines[:4]}) == 1
    assert len(lines) == 5


def test_too_small_a_disk_is_said(tmp_path: Path) -> None:
    huge = dataclasses.replace(FORECAST, planes=10**15)
    below = tmp_path / "not" / "yet"
    table = format_forecast([huge], 4, below)
    assert f"{below}: not enough disk space; 150000000.0 TB needed" in table


def test_units() -> None:
    assert [format_duration(each) for each in (0.2, 5, 119, 150, 7200, 4e5)] == [
        *("under 1 s", "5 s", "119 s", "2.5 min", "2.0 h", "4.6 days")
    ]
    assert [format_size(each) for each in (2e3, 2.5e6, 3e9, 4e12)] == ["2 kB", "2.5 MB", "3.0 GB", "4.0 TB"]


def test_a_dry_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    options = ("--samples", "{train: 100, validation: 0}", "--samples_per_shard", "10")
    sets = ("--monte_carlo_share", "0", "--monte_carlo_sets", "{train: 0, validation: 0}")
    task = ("--task-index", "0", "--task-count", "5")
    assert main([*options, *sets, *task, "--out", str(out), "--dry-run", "--workers", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:3] == ["train", "100", "10"]
    assert lines[3].startswith("with 10 workers, ")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_cannot_be_asked_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(shutil, "disk_usage", refused)
    with pytest.raises(ValueError, match=r"cannot read the free disk space \(Input/output error\)"):
        format_forecast([FORECAST], 1, tmp_path)
