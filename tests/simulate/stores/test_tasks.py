"""Array jobs, and several processes on one store: each shard has one writer, and the bytes are the same."""

import re
import resource
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dsfunet.locks
import simulate.stores.correlation_cache
import simulate.stores.locks
import simulate.stores.shard_writer
import simulate.stores.writer
from dsfunet.data.store import open_store
from dsfunet.errors import InputError
from dsfunet.locks import hold_lock
from simulate.__main__ import build_parser, main
from simulate.correlations.monte_carlo import MonteCarloRecipe
from simulate.recipe import Counts, Recipe
from simulate.stores.locks import claim_lock, claim_shards, shard_lock, store_lock
from simulate.stores.writer import Task, finalise, missing_shards

Bytes = Callable[[Path], dict[str, bytes | None]]
ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "configs" / "slurm" / "simulate.sbatch"


def make(recipe: Recipe, out: Path, task: Task | None = None) -> Path:
    """Make the training store of a recipe, or a task's share of it."""
    return simulate.stores.writer.simulate(recipe, out, workers=1, progress=False, task=task)["train"]


def test_tasks_make_the_shards_of_an_undisturbed_run(
    oscillators: Recipe, undisturbed: Path, tmp_path: Path, every_byte: Bytes
) -> None:
    path = make(oscillators, tmp_path, Task(1, 2))
    assert missing_shards(path) == [0, 2]
    with pytest.raises(InputError, match="incomplete, 1 of 3 shards written"):
        open_store(path)
    with pytest.raises(
        InputError,
        match=r"train\.zarr: 2 of 3 shards are missing \(0, 2\); run the same `python -m simulate`",
    ):
        finalise(path)
    make(oscillators, tmp_path, Task(0, 2))
    assert every_byte(tmp_path) == every_byte(undisturbed)


@pytest.mark.parametrize("count", [3, 5])
def test_the_last_task_finishes_the_store_whatever_the_order(
    oscillators: Recipe, undisturbed: Path, tmp_path: Path, every_byte: Bytes, count: int
) -> None:
    for index in reversed(range(count)):
        make(oscillators, tmp_path, Task(index, count))
    assert every_byte(tmp_path) == every_byte(undisturbed)


def test_a_plain_run_finishes_what_tasks_began(
    oscillators: Recipe, undisturbed: Path, tmp_path: Path, every_byte: Bytes
) -> None:
    make(oscillators, tmp_path, Task(2, 3))
    make(oscillators, tmp_path)
    assert every_byte(tmp_path) == every_byte(undisturbed)
    # Finishing what is finished changes nothing, not even the time of a file.
    before = (tmp_path / "train.zarr" / "zarr.json").stat().st_mtime_ns
    finalise(tmp_path / "train.zarr")
    assert (tmp_path / "train.zarr" / "zarr.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(("index", "count"), [(2, 2), (-1, 2), (0, 0)])
def test_a_task_is_one_of_its_count(index: int, count: int) -> None:
    with pytest.raises(
        InputError, match=f"^--task-index is {index} of {count} tasks; expected 0 to {count - 1}$"
    ):
        Task(index, count)


# --- two at once


@pytest.mark.parametrize("lock", [claim_lock, shard_lock])
def test_a_second_writer_is_refused_and_harms_nothing(
    oscillators: Recipe,
    undisturbed: Path,
    tmp_path: Path,
    every_byte: Bytes,
    lock: Callable[[Path, int], Path],
) -> None:
    path = make(oscillators, tmp_path, Task(0, 3))
    with (
        hold_lock(lock(path, 1)),
        pytest.raises(InputError, match=r"train\.zarr: another process is writing shard 1; let it finish"),
    ):
        make(oscillators, tmp_path)
    make(oscillators, tmp_path)
    assert every_byte(tmp_path) == every_byte(undisturbed)


def test_a_run_claims_all_its_shards_before_it_makes_one(
    oscillators: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second of two runs is refused, however far the first one is."""
    seen = []

    def second_run(*arguments: Any) -> Any:
        for shard in range(3):
            with (
                pytest.raises(InputError, match=f"another process is writing shard {shard};"),
                claim_shards(path, [shard]),
            ):
                pass
            seen.append(shard)
        return iter(())

    path = tmp_path / "train.zarr"
    monkeypatch.setattr(simulate.stores.writer, "write_shards", second_run)
    with pytest.raises(InputError, match="3 of 3 shards are missing"):
        make(oscillators, tmp_path)
    assert seen == [0, 1, 2]
    assert [each.name for each in tmp_path.iterdir()] == ["train.zarr"]


def test_more_shards_can_be_claimed_than_files_may_be_open(tmp_path: Path) -> None:
    """The soft limit is raised; beyond the hard limit there is an error, and every claim is released."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    now = max(int(each.name) for each in Path("/proc/self/fd").iterdir()) + 10
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (now, hard))
        with claim_shards(tmp_path / "train.zarr", range(300)):
            assert len(list(tmp_path.iterdir())) == 300
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_claims_beyond_every_limit_are_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulate.stores.locks, "_allow_open_files", lambda count: None)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    now = max(int(each.name) for each in Path("/proc/self/fd").iterdir()) + 10
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (now, hard))
        with (
            pytest.raises(InputError, match=r"the lock file cannot be created \(Too many open files\)$"),
            claim_shards(tmp_path / "train.zarr", range(300)),
        ):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_shard_that_another_process_finished_meanwhile_is_left(
    oscillators: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_again(*arguments: Any) -> Any:
        raise AssertionError("this shard is there")

    make(oscillators, tmp_path)
    monkeypatch.setattr(simulate.stores.shard_writer, "draw_arrays", not_again)
    path = tmp_path / "train.zarr"
    assert list(simulate.stores.shard_writer.write_shards(oscillators, "train", (), path, [0, 1], 1)) == [
        0,
        1,
    ]


def test_a_store_that_another_task_created_first_is_used_or_refused(
    oscillators: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even without reliable locks, the second of two processes finds the store that the first has created."""
    path = make(oscillators, tmp_path, Task(0, 3))
    simulate.stores.writer._create(oscillators, path, 6, {})
    assert missing_shards(path) == [1, 2]
    assert [each.name for each in tmp_path.iterdir()] == ["train.zarr"]


def test_monte_carlo_sets_are_made_by_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second process waits, and reads the file that the first one made."""
    recipe = Recipe(
        samples=Counts(2, 0),
        samples_per_shard=2,
        monte_carlo_sets=Counts(2, 0),
        monte_carlo=MonteCarloRecipe(lattice_sites=11, tolerance=0.04),
    )
    simulate.stores.correlation_cache.load_correlation_sets(recipe, "train", tmp_path, 1, False)
    (cache,) = tmp_path.iterdir()
    made = cache.read_bytes()
    cache.unlink()
    lock = cache.with_name(f".{cache.name}.lock")
    acquire = dsfunet.locks._acquire

    def first_process_ends(file: Path, wait: bool) -> int | None:
        if file == lock and wait:
            cache.write_bytes(made)
            first.__exit__(None, None, None)
        return acquire(file, wait)

    def not_again(*arguments: Any, **named: Any) -> None:
        raise AssertionError("another process made them")

    first = hold_lock(lock)
    first.__enter__()
    (tmp_path / f".{cache.name}.0123456789ab.part").write_text("of a killed run")
    monkeypatch.setattr(dsfunet.locks, "_acquire", first_process_ends)
    monkeypatch.setattr(simulate.stores.correlation_cache, "draw_monte_carlo_sets", not_again)
    simulate.stores.correlation_cache.load_correlation_sets(recipe, "train", tmp_path, 1, False)
    assert capsys.readouterr().err == (
        f"{cache}: waiting for another process that is making these Monte Carlo sets\n"
    )
    assert list(tmp_path.iterdir()) == [cache]


def test_a_lock_is_a_file_only_while_it_is_held(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    file.touch()  # as a killed process leaves it
    with hold_lock(file, refusal="held"):
        with pytest.raises(InputError, match=r"^held$"), hold_lock(file, refusal="held"):
            pass
        assert file.exists()
    assert not file.exists()


def test_a_place_without_locks_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the lock file cannot be created"), hold_lock(tmp_path / "a" / "b"):
        pass


# --- the command line


OPTIONS = ("--samples.train", "6", "--samples.validation", "0", "--seed", "3", "--samples_per_shard", "2")
MORE = ("--monte_carlo_share", "0", "--monte_carlo_sets", "{train: 0, validation: 0}")
QUIET = ("--workers", "1", "--progress", "false")


def run(out: Path, *more: str) -> int:
    """Run the command line in this process, without progress bars."""
    return main([*OPTIONS, *MORE, *QUIET, "--out", str(out), *more])


def test_tasks_and_finalise_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "train.zarr"
    assert run(tmp_path, "--task-index", "0", "--task-count", "2") == 0
    assert capsys.readouterr().out == (
        f"{path}: waiting for 1 shard of other tasks (1); the task that writes the last shard finishes the store\n"
    )
    assert main(["finalise", str(path)]) == 2
    assert capsys.readouterr().err.startswith(
        f"simulate: {path}: 1 of 3 shards are missing (1); run the same"
    )
    assert run(tmp_path, "--task-index", "1", "--task-count", "2") == 0
    digest = open_store(path).digest[:12]
    assert capsys.readouterr().out == f"{path}: 6 train planes, digest {digest}\n"
    assert main(["finalise", str(path), str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: 6 train planes, digest {digest}\n" * 2


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ("--task-index", "0"),
            "--task-index is given without --task-count; give both for an array job",
        ),
        (
            ("--task-count", "2"),
            "--task-count is given without --task-index; give both for an array job",
        ),
        (
            ("--task-index", "2", "--task-count", "2"),
            "--task-index is 2 of 2 tasks; expected 0 to 1",
        ),
    ],
)
def test_half_a_task_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], sentence: str
) -> None:
    assert run(tmp_path / "out", *options) == 2
    assert capsys.readouterr().err.startswith(f"simulate: {sentence}")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("what", ["nothing", "folder", "file"])
def test_what_is_no_store_cannot_be_finalised(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    path = tmp_path / "other"
    if what == "folder":
        path.mkdir()
    elif what == "file":
        path.touch()
    before = list(tmp_path.iterdir())
    assert main(["finalise", str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(r"simulate: .*other: (no such store|not a (Zarr v3 )?store of simulated planes)", line)
    assert list(tmp_path.iterdir()) == before


def test_a_manifest_changed_afterwards_is_damage(oscillators: Recipe, tmp_path: Path) -> None:
    path = make(oscillators, tmp_path)
    entry = path / "manifest" / "000001.json"
    entry.write_text(entry.read_text().replace('"sha256": "', '"sha256": "0'))
    with pytest.raises(
        InputError, match=r"train\.zarr: the manifest has changed since the store was finished"
    ):
        finalise(path)
    assert not store_lock(path).exists()


def test_the_slurm_script_parses_and_names_what_there_is() -> None:
    subprocess.run(["bash", "-n", str(SCRIPT)], check=True)
    text = SCRIPT.read_text(encoding="utf-8")
    for config in re.findall(r"configs/[\w/.]+", text):
        assert (ROOT / config).is_file(), config
    options = set(
        re.findall(r"(--[\w-]+)", " ".join(re.findall(r"python -m simulate --(?:.*\\\n)*.*", text)))
    )
    assert {"--config", "--task-index", "--task-count", "--workers"} <= options
    known = build_parser().format_help()
    assert all(option in known for option in options)
    (last,) = re.findall(r"^#SBATCH --array=0-(\d+)$", text, re.MULTILINE)
    (tasks,) = re.findall(r"^TASKS=(\d+)", text, re.MULTILINE)
    assert int(last) + 1 == int(tasks)
