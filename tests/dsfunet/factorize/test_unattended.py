"""A watch and a batch that nobody looks after: nothing is lost, and nothing stale is taken for current."""

import errno
import json
import os
import signal
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from dsfunet.cli.main import main
from dsfunet.errors import InputError, PassingError
from dsfunet.factorize.batch import run_batch
from dsfunet.factorize.jobs import Job, plan_jobs
from dsfunet.factorize.settings import FactorizeRequest
from dsfunet.factorize.summary import Outcome, Summary, find_owner
from dsfunet.factorize.watch import LOCK_FILE, WatchSettings, watch_folder
from dsfunet.files import make_printable
from dsfunet.io import read_result
from dsfunet.locks import hold_lock
from tests.dsfunet.batches import save_tiny_weights, write_volume
from tests.dsfunet.factorize.test_watch import Bench


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny_weights(tmp_path_factory.mktemp("weights")))


def factorize(weights: str, out: Path, *files: Path, more: tuple[str, ...] = ()) -> int:
    words = ["factorize", *map(str, files), "--out", str(out), "--plane", "hk1", "--no-lattice"]
    return main([*words, "--weights", weights, "--device", "cpu", "--passes", "0", *more])


def statuses(out: Path) -> list[str]:
    content = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    return [each["status"] for each in content["planes"]]


def test_a_summary_that_cannot_be_written_loses_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = Bench(tmp_path)
    for number in range(20):
        write_volume(bench.folder / f"p{number:02d}.h5")
    (tmp_path / "summary.json").mkdir()
    bench.look()
    assert len(bench.look(after=5.0)) == 20 and not bench.watcher.pending
    bench.look(after=5.0)
    assert capsys.readouterr().err.count("this is a directory") == 1
    (tmp_path / "summary.json").rmdir()
    assert bench.look(after=5.0) == []
    assert statuses(tmp_path) == ["done"] * 20


def test_a_full_disk_is_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench = Bench(tmp_path)
    for name in ("a.h5", "b.h5"):
        write_volume(bench.folder / name)
    full = Outcome("failed", error="a.h5: no room", retry=True)
    bench.outcomes = {"a.h5": full}
    bench.look()
    assert bench.look(after=5.0) == ["a.h5", "b.h5"] and bench.watcher.pending
    assert bench.look(after=14.0) == [] and bench.look(after=2.0) == ["a.h5"]
    assert bench.look(after=16.0) == [] and bench.look(after=300.0) == ["a.h5"]
    assert capsys.readouterr().err.count("no room") == 1
    bench.outcomes = {}
    assert bench.look(after=300.0) == ["a.h5"] and not bench.watcher.pending
    assert bench.summary.counts == {"done": 2, "skipped": 0, "failed": 0, "waiting": 0}


def test_with_once_patience_ends(tmp_path: Path) -> None:
    bench = Bench(tmp_path, once=True)
    write_volume(bench.folder / "a.h5")
    bench.outcomes = {"a.h5": Outcome("failed", error="a.h5: no room", retry=True)}
    bench.look()
    for _ in range(10):
        bench.look(after=30.0)
    assert not bench.watcher.pending and bench.summary.counts["failed"] == 1


def test_an_error_in_the_watcher_forgets_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    write_volume(bench.folder / "a.h5")
    bench.look()

    def fails(job: Job) -> Outcome:
        raise KeyboardInterrupt

    work, bench.watcher._work = bench.watcher._work, fails
    with pytest.raises(KeyboardInterrupt):
        bench.look(after=5.0)
    bench.watcher._work = work
    assert bench.look(after=5.0) == ["a.h5"]


def test_a_linked_file_that_comes_later_and_changes(tmp_path: Path, weights: str) -> None:
    path, out = tmp_path / "scan.h5", tmp_path / "out"
    write_volume(path)
    with h5py.File(path, "a") as file:
        values = file["data"][()]
        del file["data"]
        file["data"] = h5py.ExternalLink("linked.h5", "/d")

    def link(scale: float) -> None:
        with h5py.File(tmp_path / "linked.h5", "w") as file:
            file["d"] = values * scale

    assert factorize(weights, out, path) == 2
    planes = json.loads((out / "summary.json").read_text(encoding="utf-8"))["planes"]
    assert planes[0]["retry"] and "linked.h5, which cannot be read" in planes[0]["error"]
    for scale in (1.0, 100.0):
        link(scale)
        assert factorize(weights, out, path) == 0 and statuses(out) == ["done"]
        found = np.nanmax(read_result(out / "scan_hk1.nxs").input)
        assert found == pytest.approx(values[..., 1].max() * scale)
    assert factorize(weights, out, path) == 0 and statuses(out) == ["skipped"]


def test_names_of_results_never_change_owner(
    tmp_path: Path, weights: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out, first, second = tmp_path / "out", tmp_path / "a" / "scan.h5", tmp_path / "b" / "scan.h5"
    for file in (first, second):
        file.parent.mkdir()
        write_volume(file)
        os.utime(file, ns=(7, 7))
    assert factorize(weights, out, first) == 0
    assert factorize(weights, out, second) == 2
    assert f"scan_hk1.nxs: this is the result of {first}; choose another folder" in capsys.readouterr().err
    assert find_owner(out / "scan_hk1.nxs") == str(first)
    assert factorize(weights, out, second, more=("--redo",)) == 0
    assert find_owner(out / "scan_hk1.nxs") == str(second)
    second.rename(tmp_path / "scan.h5")  # the owner has moved
    assert factorize(weights, out, tmp_path / "scan.h5") == 0
    # A watcher that starts anew finds in the results whose they are.
    bench = Bench(tmp_path / "a", pattern="*.h5,*.hdf5")
    write_volume(bench.folder / "scan.hdf5")
    (bench.folder / "scan.h5").write_bytes((bench.folder / "scan.hdf5").read_bytes())
    bench.out.mkdir()
    with h5py.File(bench.out / "scan.nxs", "w") as file:
        file["entry/process/batch_source"] = str(bench.folder / "scan.hdf5")
    bench.look()
    bench.look(after=5.0)
    assert {job.file.name: job.output.name for job in bench.done} == {
        "scan.h5": "scan.h5.nxs",
        "scan.hdf5": "scan.nxs",
    }


def test_names_that_are_not_names(tmp_path: Path, weights: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    names = [b"a\xff\xfe.h5", b"b$\\foo{$.h5", b"c\nd.h5", b"e\x1b[2J.h5", "f\u202etxt.h5".encode()]
    files = [tmp_path / os.fsdecode(name) for name in names]
    for file in files:
        write_volume(file)
    assert factorize(weights, out, *files) == 0
    assert statuses(out) == ["done"] * 5 and len(list(out.glob("*.nxs"))) == 5
    assert factorize(weights, out, *files) == 0 and statuses(out) == ["skipped"] * 5
    assert factorize(weights, out, *files[:2], more=("--png",)) == 0 and len(list(out.glob("*.png"))) == 2
    for file in files:
        file.write_bytes(b"\x89HDF\r\n\x1a\n and no more")
    assert factorize(weights, out, *files) == 2
    said = capsys.readouterr()
    assert all(make_printable(line) == line for line in (said.out + said.err).splitlines())
    assert len([line for line in said.err.splitlines() if line.startswith("dsfunet: ")]) == 5


def test_odd_targets(tmp_path: Path, weights: str, capsys: pytest.CaptureFixture[str]) -> None:
    out, files = tmp_path / "out", [tmp_path / f"{name}.h5" for name in "abc"]
    out.mkdir()
    for file in files:
        write_volume(file)
    (tmp_path / "precious").write_text("kept")
    (out / "a_hk1.nxs").symlink_to(tmp_path / "precious")
    (out / "b_hk1.nxs").mkdir()
    assert factorize(weights, out, *files) == 1 and statuses(out) == ["failed", "failed", "done"]
    said = capsys.readouterr().err
    assert "a_hk1.nxs: this is a link" in said and "b_hk1.nxs: this is a directory" in said
    assert (tmp_path / "precious").read_text() == "kept"


def test_one_watcher_for_a_folder_of_results(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    with (
        hold_lock(tmp_path / "out" / LOCK_FILE),
        pytest.raises(InputError, match="another `dsfunet watch` writes its results here"),
    ):
        watch_folder(tmp_path / "in", tmp_path / "out", FactorizeRequest(), WatchSettings(once=True))


def test_ten_thousand_files_are_planned_and_recorded_quickly(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}" / "scan.h5" for number in range(10_000)]
    start = time.process_time()
    jobs = plan_jobs(files, tmp_path / "out", FactorizeRequest())
    assert len({job.output for job in jobs}) == 10_000
    summary = Summary(jobs, tmp_path / "summary.json", {})
    for job in jobs:
        summary.record(job, Outcome("done"))
    assert time.process_time() - start < 30.0  # quadratic work takes minutes


def test_a_single_ctrl_c_ends_a_batch_in_good_order(tmp_path: Path) -> None:
    jobs = [Job(Path(f"{number}.h5"), None, tmp_path / f"{number}.nxs") for number in range(50)]
    summary, begun = Summary(jobs, tmp_path / "summary.json", {}), threading.Event()

    def work(job: Job) -> Outcome:
        begun.set()
        time.sleep(0.02)
        return Outcome("done")

    def interrupt() -> None:
        begun.wait()
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    assert run_batch(jobs, work, 2, summary)
    thread.join()
    assert 1 <= summary.counts["done"] < 50 and statuses(tmp_path).count("done") == summary.counts["done"]


def test_errors_that_may_pass_are_recognised_behind_others(tmp_path: Path) -> None:
    inner = PassingError("inner")
    inner.__cause__ = OSError(errno.ENOSPC, "full")
    outer = InputError("outer")
    outer.__cause__ = inner
    from dsfunet.errors import may_pass

    assert may_pass(outer) and not may_pass(InputError("outer"))
