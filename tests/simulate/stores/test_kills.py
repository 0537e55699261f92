"""Runs that are killed and restarted, or stopped by a full disk, give the same bytes as an undisturbed run."""

import dataclasses
import errno
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import simulate.stores.correlation_cache
import simulate.stores.shard_writer
import simulate.stores.writer
from dsfunet.data.layout import LAYOUT
from dsfunet.data.manifests import MANIFEST_FOLDER
from dsfunet.errors import InputError
from simulate.__main__ import main
from simulate.correlations.monte_carlo import MonteCarloRecipe
from simulate.recipe import Counts, Recipe
from simulate.stores.writer import Task, finalise, missing_shards

Bytes = Callable[[Path], dict[str, bytes | None]]
ROOT = Path(__file__).parents[3]
# With Monte Carlo sets, so that their cache is a moment to be killed at as well.
OPTIONS = (
    *("--samples.train", "6", "--samples.validation", "2", "--samples_per_shard", "2", "--seed", "5"),
    *("--monte_carlo_sets", "{train: 2, validation: 2}", "--progress", "false"),
    *("--monte_carlo.lattice_sites", "11", "--monte_carlo.tolerance", "0.04"),
)
# Kills its process just before the n-th time that a file or folder of `out` is opened, made, renamed or removed.
KILLED = """
import os, signal, sys
out, left = sys.argv[1], int(sys.argv[2])
def hook(event, arguments):
    global left
    watched = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir")
    if event in watched and str(arguments[0]).startswith(out):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
from simulate.__main__ import main
sys.addaudithook(hook)
raise SystemExit(main(["--out", out, *sys.argv[3:]]))
"""


def make(recipe: Recipe, out: Path, **more: Any) -> Path:
    """Make the training store of a recipe, by default with one worker."""
    return simulate.stores.writer.simulate(recipe, out, **{"workers": 1, "progress": False, **more})["train"]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, every_byte: Bytes) -> dict[str, bytes | None]:
    """All files of an undisturbed run of OPTIONS."""
    out = tmp_path_factory.mktemp("expected")
    assert main(["--out", str(out), *OPTIONS, "--workers", "1"]) == 0
    return every_byte(out)


def start(*command: str) -> subprocess.Popen[str]:
    """Start a Python process in its own process group."""
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_killed_between_any_two_steps_it_goes_on(
    tmp_path: Path, expected: dict[str, bytes | None], every_byte: Bytes
) -> None:
    """The steps of one process are counted, so that every kind of file is incomplete in some run."""
    rng = np.random.default_rng(7)
    killed = 0
    for step in (*rng.integers(2, 165, size=2), *rng.integers(5, 250, size=6)):
        process = start("-c", KILLED, str(tmp_path), str(step), *OPTIONS, "--workers", "1")
        _, errors = process.communicate(timeout=240)
        assert process.returncode in (0, -signal.SIGKILL), errors
        killed += process.returncode != 0
    assert killed >= 5
    assert main(["--out", str(tmp_path), *OPTIONS, "--workers", "1"]) == 0
    assert every_byte(tmp_path) == expected


@pytest.mark.slow
def test_killed_with_all_its_workers_it_goes_on(
    tmp_path: Path, expected: dict[str, bytes | None], every_byte: Bytes
) -> None:
    """SIGKILL goes to the process group when a shard exists and at a random moment, and to the parent alone."""
    rng = np.random.default_rng(11)
    manifests = f"*.zarr/{MANIFEST_FOLDER}/0*.json"
    for moment in ("a shard", "any", "parent"):
        process = start("-m", "simulate", "--out", str(tmp_path), *OPTIONS, "--workers", "2")
        before = len(list(tmp_path.glob(manifests)))
        deadline = time.monotonic() + (rng.uniform(3, 8) if moment == "any" else 240)
        while process.poll() is None and time.monotonic() < deadline:
            if moment != "any" and len(list(tmp_path.glob(manifests))) > before:
                break
            time.sleep(0.002)
        if moment == "parent":
            process.kill()
            process.wait()
            _wait_for_end_of_group(process.pid)  # its workers end by themselves
        elif process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert main(["--out", str(tmp_path), *OPTIONS, "--workers", "1"]) == 0
    assert every_byte(tmp_path) == expected


def _wait_for_end_of_group(group: int) -> None:
    for _ in range(600):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    raise AssertionError("workers outlive their parent")


@pytest.mark.slow
def test_tasks_at_once_make_one_store(
    tmp_path: Path, expected: dict[str, bytes | None], every_byte: Bytes
) -> None:
    """Processes race for creation, Monte Carlo sets and finishing; none fails, and the result is the same."""
    tasks = [
        start("-m", "simulate", "--out", str(tmp_path), *OPTIONS, "--workers", "1", *task)
        for task in (("--task-index", str(index), "--task-count", "3") for index in range(3))
    ]
    for task in tasks:
        _, errors = task.communicate(timeout=240)
        assert task.returncode == 0, errors
    assert every_byte(tmp_path) == expected


@pytest.mark.slow
def test_of_two_runs_at_once_one_is_refused(
    tmp_path: Path, expected: dict[str, bytes | None], every_byte: Bytes
) -> None:
    first = start("-m", "simulate", "--out", str(tmp_path), *OPTIONS, "--workers", "1")
    while first.poll() is None and not list(tmp_path.glob(".train.zarr.claim-000002.lock")):
        time.sleep(0.001)
    first.send_signal(signal.SIGSTOP)
    second = start("-m", "simulate", "--out", str(tmp_path), *OPTIONS, "--workers", "1")
    output, errors = second.communicate(timeout=240)
    first.send_signal(signal.SIGCONT)
    assert (second.returncode, output) == (2, "")
    (line,) = errors.splitlines()
    assert line.startswith(f"simulate: {tmp_path / 'train.zarr'}: another process is writing shard 0; let it")
    _, errors = first.communicate(timeout=240)
    assert first.returncode == 0, errors
    assert every_byte(tmp_path) == expected


def test_all_that_killed_runs_can_leave_is_cleared_away(
    oscillators: Recipe, undisturbed: Path, tmp_path: Path, every_byte: Bytes
) -> None:
    path = make(oscillators, tmp_path, task=Task(0, 3))
    other = make(dataclasses.replace(oscillators, seed=4), tmp_path / "other")
    for name in LAYOUT:  # half of another plane's shard, under its name and a temporary one
        chunks = other / name / "c"
        for file in [each for each in (*chunks.glob("1"), *chunks.glob("1/**/*")) if each.is_file()]:
            half = path / file.relative_to(other)
            half.parent.mkdir(parents=True, exist_ok=True)
            half.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
            half.with_suffix(".0123456789abcdef.partial").write_bytes(b"half")
    for left in (
        tmp_path / ".train.zarr.lock",
        tmp_path / ".train.zarr.shard-000000.lock",
        tmp_path / ".train.zarr.claim-000002.lock",
        tmp_path / ".train.zarr.abcdefgh.tmp" / "new" / "zarr.json",
        path / ".zarr.json.0123456789ab.part",
        path / MANIFEST_FOLDER / ".000001.json.0123456789ab.part",
    ):
        left.parent.mkdir(parents=True, exist_ok=True)
        left.write_text("{")
    make(oscillators, tmp_path)
    assert every_byte(path) == every_byte(undisturbed / "train.zarr")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["other", "train.zarr"]


# --- what the file system refuses


@contextmanager
def largest_file(size_bytes: int) -> Iterator[None]:
    """Make the system refuse writes beyond a size, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size_bytes", [100, 10_000, 100_000])
def test_a_disk_that_takes_no_more_is_one_sentence(
    oscillators: Recipe,
    undisturbed: Path,
    tmp_path: Path,
    every_byte: Bytes,
    size_bytes: int,
    capfd: pytest.CaptureFixture[str],
) -> None:
    path = make(oscillators, tmp_path, task=Task(0, 3))
    with (
        largest_file(size_bytes),
        pytest.raises(
            InputError,
            match=r"^.*train\.zarr: shard 1 cannot be written \(File too large\); finished shards are kept,"
            " and the same command continues from there$",
        ),
    ):
        make(oscillators, tmp_path)
    assert missing_shards(path) == [1, 2]
    make(oscillators, tmp_path)
    assert every_byte(tmp_path) == every_byte(undisturbed)
    assert capfd.readouterr().err == ""


def test_a_disk_too_full_for_a_store_is_one_sentence(oscillators: Recipe, tmp_path: Path) -> None:
    with (
        largest_file(100),
        pytest.raises(InputError, match=r"train\.zarr: cannot be made \(File too large\)$"),
    ):
        make(oscillators, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_too_full_for_the_sets_is_one_sentence(tmp_path: Path) -> None:
    recipe = Recipe(
        samples=Counts(2, 0),
        monte_carlo_sets=Counts(2, 0),
        monte_carlo=MonteCarloRecipe(lattice_sites=11, tolerance=0.04),
    )
    with (
        largest_file(12_000),
        pytest.raises(InputError, match=r"correlations-\w+\.npz: .*cannot be written \(File too large\)"),
    ):
        make(recipe, tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["train.zarr"]


@pytest.mark.parametrize(
    ("number", "reason"),
    [(errno.ENOSPC, "No space left on device"), (errno.EDQUOT, "Disk quota exceeded"), (errno.EIO, "Input/")],
)
def test_a_manifest_that_cannot_be_written_is_one_sentence(
    oscillators: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, reason: str
) -> None:
    def refused(*arguments: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(simulate.stores.shard_writer, "write_json", refused)
    with pytest.raises(InputError, match=rf"train\.zarr: shard 0 cannot be written \({reason}"):
        make(oscillators, tmp_path)


def test_a_store_that_cannot_be_finalised_is_one_sentence(
    oscillators: Recipe, tmp_path: Path, undisturbed: Path, every_byte: Bytes
) -> None:
    path = make(oscillators, tmp_path, task=Task(0, 3))
    for index in (1, 2):
        make(oscillators, tmp_path, task=Task(index, 3))
    (path / "zarr.json").write_bytes(
        (path / "zarr.json").read_bytes().replace(b'"complete": true', b'"complete": false')
    )
    with (
        largest_file(100),
        pytest.raises(InputError, match=r"zarr\.json: the file cannot be written \(File too large\)"),
    ):
        finalise(path)
    finalise(path)
    assert every_byte(tmp_path) == every_byte(undisturbed)


def test_a_manifest_folder_that_is_none_is_one_sentence(oscillators: Recipe, tmp_path: Path) -> None:
    path = make(oscillators, tmp_path, task=Task(0, 3))
    (path / MANIFEST_FOLDER / "000000.json").unlink()
    (path / MANIFEST_FOLDER).rmdir()
    (path / MANIFEST_FOLDER).touch()
    with pytest.raises(InputError, match=r"train\.zarr: cannot be (written|read) \(Not a directory\)"):
        make(oscillators, tmp_path)


def end_at_once(*arguments: Any) -> None:
    """A worker dies as if the system had killed it for lack of memory."""
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_dead_worker_is_one_sentence(
    oscillators: Recipe, undisturbed: Path, tmp_path: Path, every_byte: Bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(oscillators, tmp_path, task=Task(0, 3))
    with monkeypatch.context() as patched:
        patched.setattr(simulate.stores.shard_writer, "_start_pool_worker", end_at_once)
        with pytest.raises(
            InputError,
            match=r"train\.zarr: a worker process died, perhaps for lack of memory; finished shards are kept",
        ):
            make(oscillators, tmp_path, workers=2)
    make(oscillators, tmp_path)
    assert every_byte(tmp_path) == every_byte(undisturbed)
