"""Watch a folder, and factorise each file when it is complete.

The folder is polled, because network file systems send no events.
"""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from threading import Event

from dsfunet.errors import InputError
from dsfunet.factorize.batch import SUMMARY_FILE, PlaneWorker, Work, make_folder, run_jobs, use_one_core_each
from dsfunet.factorize.jobs import Job, plan_file
from dsfunet.factorize.loading import load_factorizer
from dsfunet.factorize.settings import FactorizeRequest
from dsfunet.factorize.signals import catch_signals
from dsfunet.factorize.summary import Outcome, Summary, belongs_to_other
from dsfunet.files import HDF5_SIGNATURE, leading_bytes, make_printable
from dsfunet.io.hdf5 import open_hdf5, read_attribute_text
from dsfunet.locks import hold_lock

LOCK_FILE = ".watch.lock"
"""The file in the folder of results that keeps a second watcher out."""

_FIRST_PAUSE = 15.0  # s, before what failed for lack of room or of a linked file is tried again
_LONGEST_PAUSE = 300.0  # s
_TEMPORARY = (".part", ".tmp", ".partial", ".crdownload", "~")


@dataclass(frozen=True)
class WatchSettings:
    """Which files are expected, and how long to wait for them.

    Attributes:
        pattern: File name patterns as in a shell, separated by commas; files of any format that `read_plane` reads.
        once: Factorise the files that are there, including those that are still growing, then stop.
        interval: Time between two scans of the folder [s].
        settle: A file is complete when its size and modification time have not changed for this long [s].
        patience: How long after its last change a file that cannot be opened is retried [s].
    """

    pattern: str = "*.h5,*.hdf5,*.nxs"
    once: bool = False
    interval: float = 2.0
    settle: float = 10.0
    patience: float = 600.0


def watch_folder(folder: Path, out: Path, request: FactorizeRequest, waiting: WatchSettings) -> int:
    """Factorise the files of a folder as they arrive, until SIGINT or SIGTERM.

    After a signal the planes in progress are finished and the summary is written.

    Returns:
        The exit code: 0 after a signal; with `once` that of a batch: 0, 1 when some planes failed, 2 when none has a
        result.

    Raises:
        InputError: The folder does not exist or is also the folder of the results, or the weights or the device cannot
            be used.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected the folder to watch")
    make_folder(out)
    if out.samefile(folder):
        raise InputError(f"--out {out}: this is the watched folder; choose another one for the results")
    busy = f"{out}: another `dsfunet watch` writes its results here; stop it, or choose another --out"
    with hold_lock(out / LOCK_FILE, refusal=busy), catch_signals() as stop:
        return _watch_folder(folder, out, request, waiting, stop)


def _watch_folder(
    folder: Path, out: Path, request: FactorizeRequest, waiting: WatchSettings, stop: Event
) -> int:
    worker = PlaneWorker(load_factorizer(request.weights, request.device), request, in_batch=True)
    summary = Summary(
        [], out / SUMMARY_FILE, {**request.as_plain(), **asdict(waiting), "folder": str(folder)}
    )
    watcher = Watcher(folder, out, request, waiting, worker, worker.count, summary)
    where, to = make_printable(folder), make_printable(out)
    print(f"watching   {where} for {waiting.pattern}; results go to {to}; press Ctrl-C to stop", flush=True)
    with use_one_core_each(worker.count):
        while not stop.is_set():
            watcher.scan(stop.is_set)
            if waiting.once and not watcher.pending:
                break
            stop.wait(waiting.interval)
    written = summary.try_to_write("finished" if waiting.once and not stop.is_set() else "stopped")
    if not written:
        print(f"dsfunet: {make_printable(summary.trouble)}", file=sys.stderr)
    print(", ".join(f"{count} {status}" for status, count in summary.counts.items() if status != "waiting"))
    code = summary.exit_code if waiting.once and not stop.is_set() else 0
    return code if written else max(code, 1)


@dataclass
class _FileState:
    """A file at the last scan.

    Attributes:
        mark: Size [bytes], modification time [ns] and number of the file.
        since: When these last changed [s].
        done: Whether nothing is left to do, unless the file changes.
        tries: How often it was begun and could not be done yet.
        next_try: When it is begun again [s].
        said: The sentences about it that were printed.
    """

    mark: tuple[int, int, int]
    since: float
    done: bool = False
    tries: int = 0
    next_try: float = 0.0
    said: set[str] = field(default_factory=set)


class Watcher:
    """Keeps track of the files in a folder from scan to scan.

    Args:
        folder: The folder to watch; its subfolders are not scanned.
        out: Folder for the results.
        request: What is done with every file.
        waiting: When a file counts as complete.
        work: Does a job.
        workers: Number of jobs done at once.
        summary: Records the outcomes.
        clock: A monotonic clock [s].
    """

    def __init__(
        self,
        folder: Path,
        out: Path,
        request: FactorizeRequest,
        waiting: WatchSettings,
        work: Work,
        workers: int,
        summary: Summary,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder, self.out, self.waiting, self.summary = folder, out, waiting, summary
        self._request, self._work, self._workers, self._clock = request, work, workers, clock
        self._states: dict[Path, _FileState] = {}
        self._owners: dict[Path, Path] = {}
        self._underway: dict[Path, set[Path]] = {}
        self._trouble = ""
        self._unreachable = False

    @property
    def pending(self) -> bool:
        """Whether a file is not done yet, or the folder could not be read."""
        return self._unreachable or any(not each.done for each in self._states.values())

    def scan(self, stopped: Callable[[], bool] = lambda: False) -> None:
        """Scan the folder once: note new and changed files, and factorise those that are complete."""
        try:
            found = self._find_files()
            make_folder(self.out)
        except (OSError, InputError) as error:  # such as a network mount that is down for a while
            if not self._unreachable:
                where = make_printable(self.folder)
                print(
                    f"dsfunet: {where}: the folder cannot be read; waiting for it ({make_printable(error)})",
                    file=sys.stderr,
                )
            self._unreachable = True
            return
        self._unreachable = False
        self._note_changes(found)
        before = self.summary.recorded
        jobs = (job for path in self._find_complete() for job in self._plan(path))  # each when its turn comes
        try:
            run_jobs(jobs, self._work, self._workers, self._record, stopped)
        finally:
            for path in self._underway:  # begun and not ended
                if path in self._states:
                    self._states[path].done = False
            self._underway.clear()
        if self.summary.recorded != before or self.summary.trouble is not None:
            self.summary.try_to_write()
        trouble = make_printable(self.summary.trouble or "")
        if trouble not in ("", self._trouble):
            print(f"dsfunet: {trouble}; the results are kept", file=sys.stderr, flush=True)
        self._trouble = trouble

    def _find_files(self) -> dict[Path, tuple[int, int, int]]:
        """Size, modification time and number of the files that match."""
        found = {}
        for path in sorted(self.folder.iterdir()):
            name = path.name
            if name.startswith(".") or name.endswith(_TEMPORARY) or not self._matches(name):
                continue
            try:
                if path.is_file():
                    state = path.stat()
                    found[path] = state.st_size, state.st_mtime_ns, state.st_ino
            except OSError:  # removed in between
                continue
        return found

    def _matches(self, name: str) -> bool:
        return any(fnmatch(name, each.strip()) for each in self.waiting.pattern.split(","))

    def _note_changes(self, found: dict[Path, tuple[int, int, int]]) -> None:
        now = self._clock()
        for path, mark in found.items():
            state = self._states.get(path)
            if state is None or state.mark != mark:
                self._states[path] = _FileState(mark, now)
        for path in set(self._states) - set(found):
            del self._states[path]

    def _find_complete(self) -> Iterator[Path]:
        """Files that no longer change and can be opened; those that cannot fail when patience ends."""
        now = self._clock()
        for path, state in list(self._states.items()):
            quiet = now - state.since
            if state.done or quiet < self.waiting.settle or now < state.next_try:
                continue
            trouble = self._find_trouble(path)
            if trouble is None:
                yield path
            elif trouble == "":
                state.done = True
            elif quiet >= max(self.waiting.patience, self.waiting.settle):
                state.done = True
                sentence = f"{trouble}; gave up {quiet:.0f} s after the last change and will retry if the file changes"
                for job in plan_file(path, path.stem, self.out, self._request):
                    self._record(job, Outcome("failed", error=sentence))

    def _find_trouble(self, path: Path) -> str | None:
        """Why a file cannot be opened; None if it can, "" if it is a result of dsfunet and no measurement."""
        try:
            if not leading_bytes(path).startswith(HDF5_SIGNATURE):
                return None
            with open_hdf5(path) as file:
                return "" if read_attribute_text(file, "creator") == "dsfunet" else None
        except InputError as error:  # perhaps it is still being written
            return make_printable(error)

    def _plan(self, path: Path) -> list[Job]:
        self._states[path].done = True
        self.summary.forget_failures(path)
        jobs = plan_file(path, path.stem, self.out, self._request)
        # If another file owns these names, use the full file name: otherwise its results would be overwritten.
        if any(
            self._owners.get(job.output, path) != path or belongs_to_other(job.output, path) for job in jobs
        ):
            jobs = plan_file(path, path.name, self.out, self._request)
        self._owners.update((job.output, path) for job in jobs)
        self._underway[path] = {job.output for job in jobs}
        return jobs

    def _record(self, job: Job, outcome: Outcome) -> None:
        underway = self._underway.get(job.file, set())
        underway.discard(job.output)
        if not underway:
            self._underway.pop(job.file, None)
        state = self._states.get(job.file)
        if outcome.status == "failed" and state is not None and not job.file.exists():
            self._underway.pop(job.file, None)
            del self._states[job.file]  # it was removed in the meantime; if it comes back, it is a new file
        elif outcome.retry and state is not None:
            self._try_again(state)
        if outcome.error is not None:
            if state is None or outcome.error not in state.said:
                print(f"dsfunet: {outcome.error}", file=sys.stderr, flush=True)
            if state is not None:
                state.said.add(outcome.error)
        elif outcome.status == "done":
            share, output = f"R = {100 * (outcome.r_factor or 0):.1f} %", make_printable(job.output)
            print(f"{job.name}: {share}, lattice {outcome.lattice}, wrote {output}", flush=True)
        self.summary.record(job, outcome)

    def _try_again(self, state: _FileState) -> None:
        """Begin a file again later, less and less often; with `once` only as long as patience lasts."""
        now = self._clock()
        if self.waiting.once and now - state.since >= self.waiting.patience:
            return
        if state.next_try <= now:
            state.next_try = now + min(_FIRST_PAUSE * 2**state.tries, _LONGEST_PAUSE)
            state.tries = min(state.tries + 1, 30)
        state.done = False
