"""Files that arrive while they are watched for: each done once it is complete, none before, and never results."""

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import h5py
import pytest

from dsfunet.cli.main import main
from dsfunet.errors import InputError
from dsfunet.factorize.jobs import Job
from dsfunet.factorize.settings import FactorizeRequest
from dsfunet.factorize.summary import Outcome, Summary
from dsfunet.factorize.watch import Watcher, WatchSettings, watch_folder
from tests.dsfunet.batches import save_tiny_weights, write_volume


class Bench:
    """A watcher whose clock is turned by hand, and which notes what it would have factorised."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder, self.now, self.done = folder / "in", 0.0, list[Job]()
        self.outcomes: dict[str, Outcome] = {}
        self.folder.mkdir()
        self.out = folder / "out"
        self.summary = Summary([], folder / "summary.json", {})
        waiting = WatchSettings(**{"settle": 5.0, "patience": 60.0, **settings})
        self.watcher = Watcher(
            self.folder, self.out, FactorizeRequest(), waiting, self._work, 1, self.summary, lambda: self.now
        )

    def _work(self, job: Job) -> Outcome:
        self.done.append(job)
        return self.outcomes.get(job.file.name, Outcome("done", 0.05, 0.0, "used"))

    def look(self, after: float = 0.0) -> list[str]:
        """What a look does so many seconds later, by name."""
        self.now += after
        before = len(self.done)
        self.watcher.scan()
        return [job.file.name for job in self.done[before:]]


def test_a_file_is_done_once_it_has_stopped_growing(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    write_volume(tmp_path / "whole.h5")
    content = (tmp_path / "whole.h5").read_bytes()
    path = bench.folder / "scan.h5"
    for share in (3, 2, 1):  # grows every four seconds: never quiet for five
        path.write_bytes(content[: len(content) // share])
        assert bench.look(after=4.0) == []
    assert bench.watcher.pending
    assert bench.look(after=4.9) == []
    assert bench.look(after=0.2) == ["scan.h5"]
    assert not bench.watcher.pending
    assert bench.look(after=100.0) == []
    assert json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))["counts"]["done"] == 1
    write_volume(path, scale=2.0)  # measured again under the same name
    os.utime(path, ns=(7, 7))
    assert bench.look() == [] and bench.look(after=5.0) == ["scan.h5"]


def test_a_file_that_does_not_open_is_tried_again_and_then_given_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = Bench(tmp_path)
    path = bench.folder / "scan.h5"
    write_volume(path)
    content = path.read_bytes()
    path.write_bytes(content[:2500])
    (bench.folder / "empty.h5").touch()
    assert bench.look() == [] and bench.look(after=30.0) == [] and bench.watcher.pending
    assert capsys.readouterr().err == ""
    assert bench.look(after=30.0) == [] and not bench.watcher.pending
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert "the file is empty; gave up 60 s after the last change" in said[0]
    assert "scan.h5: the HDF5 file cannot be read; it is truncated or damaged" in said[1]
    assert bench.summary.counts["failed"] == 2
    assert bench.look(after=30.0) == []
    path.write_bytes(content)  # the rest came after all
    assert bench.look() == [] and bench.look(after=5.0) == ["scan.h5"]
    assert bench.summary.counts == {"done": 1, "skipped": 0, "failed": 1, "waiting": 0}


def test_temporary_names_other_names_and_results_are_left_alone(tmp_path: Path) -> None:
    bench = Bench(tmp_path, pattern="*")
    for name in (".scan.h5", "scan.h5.part", "scan.h5.tmp", "scan.h5~", "scan.h5"):
        write_volume(bench.folder / name)
    with h5py.File(bench.folder / "result.nxs", "w") as file:
        file.attrs["creator"] = "dsfunet"
    (bench.folder / "below.h5").mkdir()
    assert bench.look() == [] and bench.look(after=5.0) == ["scan.h5"]
    assert not bench.watcher.pending
    (tmp_path / "other").mkdir()
    only = Bench(tmp_path / "other", pattern="scan_*.h5")
    for name in ("scan_1.h5", "dark_1.h5"):
        write_volume(only.folder / name)
    assert only.look() == [] and only.look(after=5.0) == ["scan_1.h5"]


def test_two_files_of_one_stem_get_results_of_their_own(tmp_path: Path) -> None:
    bench = Bench(tmp_path, pattern="*")
    for name in ("scan.h5", "scan.hdf"):
        write_volume(bench.folder / name)
    bench.look()
    assert bench.look(after=5.0) == ["scan.h5", "scan.hdf"]
    assert [job.output.name for job in bench.done] == ["scan.nxs", "scan.hdf.nxs"]


def test_a_folder_that_goes_away_and_comes_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench = Bench(tmp_path)
    away = tmp_path / "away"
    write_volume(bench.folder / "scan.h5")
    bench.look()
    bench.folder.rename(away)
    assert bench.look(after=5.0) == [] and bench.look(after=5.0) == []
    assert bench.watcher.pending
    assert capsys.readouterr().err.count("the folder cannot be read") == 1
    away.rename(bench.folder)
    assert bench.look(after=5.0) == ["scan.h5"]


@pytest.mark.slow
def test_once_with_real_networks_and_clock(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights, folder = save_tiny_weights(tmp_path / "weights"), tmp_path / "in"
    folder.mkdir()
    write_volume(folder / "scan.h5")
    words = ["watch", str(folder), "--weights", str(weights), "--plane", "hk1", "--once", "--device", "cpu"]
    words += ["--settle", "0.05", "--interval", "0.05", "--patience", "0.1"]
    assert main(words) == 0
    assert sorted(path.name for path in (folder / "factorized").iterdir()) == ["scan_hk1.nxs", "summary.json"]
    assert "1 done" in capsys.readouterr().out
    (folder / "bad.h5").write_bytes(b"\x89HDF\r\n\x1a\n and no more")
    assert main(words) == 1  # the first is there already
    content = json.loads((folder / "factorized" / "summary.json").read_text(encoding="utf-8"))
    assert content["counts"] == {"done": 0, "skipped": 1, "failed": 1, "waiting": 0}
    assert content["ended"] == "finished"
    (folder / "scan.h5").unlink()
    assert main(words) == 2


def test_a_signal_ends_it_with_a_summary(tmp_path: Path) -> None:
    weights, folder, out = save_tiny_weights(tmp_path / "weights"), tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    settings = FactorizeRequest(weights=str(weights), device="cpu")
    timer = threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGTERM])
    timer.start()
    assert watch_folder(folder, out, settings, WatchSettings(interval=0.05)) == 0
    timer.join()
    assert json.loads((out / "summary.json").read_text(encoding="utf-8"))["ended"] == "stopped"
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_folders_that_cannot_be_watched(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        watch_folder(tmp_path / "nowhere", tmp_path / "out", FactorizeRequest(), WatchSettings())
    with pytest.raises(InputError, match="this is the watched folder"):
        watch_folder(tmp_path, tmp_path, FactorizeRequest(), WatchSettings())
