"""Files of a folder as they arrive: found by looking, since network file systems tell nobody; done once complete."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path

from dsfunet.errors import InputError
from dsfunet.factorize.batch import SUMMARY_FILE, PlaneWorker, Work, make_folder, one_core_each, run_jobs
from dsfunet.factorize.jobs import Job, jobs_of
from dsfunet.factorize.loading import load_factorizer
from dsfunet.factorize.settings import FactorizeSettings
from dsfunet.factorize.summary import Outcome, Summary
from dsfunet.files import HDF5_SIGNATURE, leading_bytes
from dsfunet.io.hdf5 import open_hdf5, read_attribute_text

_TEMPORARY = (".part", ".tmp", ".partial", ".crdownload", "~")


@dataclass(frozen=True)
class WatchSettings:
    """Which files are waited for, and for how long.

    Attributes:
        pattern: names of files, as a shell has it, several with commas.
        once: do what is there, those that still grow included, then stop.
        interval: between two looks [s].
        settle: a file is complete when neither size nor time of writing have changed for so long [s].
        patience: how long after its last change a file that does not open is tried again [s].
    """

    pattern: str = "*.h5,*.hdf5,*.nxs"
    once: bool = False
    interval: float = 2.0
    settle: float = 10.0
    patience: float = 600.0


def watch_folder(folder: Path, out: Path, settings: FactorizeSettings, waiting: WatchSettings) -> int:
    """Factorise the files of a folder as they arrive, until SIGINT or SIGTERM; returns the exit code.

    The plane in hand is finished then, the summary written, and 0 returned. With `once` the exit code is that of
    a batch: 0, 1 where some failed, 2 where none has a result.

    Raises:
        InputError: there is no such folder, it is that of the results, or weights or device cannot be used.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder, expected one to watch")
    make_folder(out)
    if out.samefile(folder):
        raise InputError(f"--out {out}: is the folder that is watched; expected another for the results")
    worker = PlaneWorker(load_factorizer(settings.weights, settings.device), settings)
    summary = Summary([], out / SUMMARY_FILE, {**asdict(settings), **asdict(waiting), "folder": str(folder)})
    watcher = Watcher(folder, out, settings, waiting, worker, worker.count, summary)
    print(f"watching   {folder} for {waiting.pattern}; results go to {out}; Ctrl-C ends it", flush=True)
    with _stopping() as stop, one_core_each(worker.count):
        while not stop.is_set():
            watcher.look(stop.is_set)
            if waiting.once and not watcher.pending:
                break
            stop.wait(waiting.interval)
    summary.write("finished" if waiting.once and not stop.is_set() else "stopped")
    print(", ".join(f"{count} {status}" for status, count in summary.counts.items() if status != "waiting"))
    return summary.exit_code if waiting.once and not stop.is_set() else 0


@dataclass
class _Seen:
    """A file as it was at the last look: size [bytes], time of writing [ns], since when that, whether it is done."""

    size: int
    modified_ns: int
    since: float
    done: bool = False


class Watcher:
    """What is known of the files in a folder, from look to look.

    Args:
        folder: to look in.
        out: folder for the results.
        settings: of the factorisation.
        waiting: when a file is complete.
        work: does a job.
        workers: jobs that are worked on at once.
        summary: where outcomes are recorded.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        folder: Path,
        out: Path,
        settings: FactorizeSettings,
        waiting: WatchSettings,
        work: Work,
        workers: int,
        summary: Summary,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder, self.out, self.waiting, self.summary = folder, out, waiting, summary
        self._settings, self._work, self._workers, self._clock = settings, work, workers, clock
        self._seen: dict[Path, _Seen] = {}
        self._owners: dict[Path, Path] = {}
        self._away = False

    @property
    def pending(self) -> bool:
        """Whether a file was seen that is not done yet, or the folder could not be looked into."""
        return self._away or any(not each.done for each in self._seen.values())

    def look(self, stopped: Callable[[], bool] = lambda: False) -> None:
        """One look: files that are new or have changed are noted, those that are complete are factorised."""
        try:
            found = self._found()
            make_folder(self.out)
        except (OSError, InputError) as error:  # a mount that is away for a while
            if not self._away:
                print(f"dsfunet: {self.folder}: cannot be looked into, waiting ({error})", file=sys.stderr)
            self._away = True
            return
        self._away = False
        self._note(found)
        jobs = [job for path in self._complete() for job in self._jobs(path)]
        try:
            run_jobs(jobs, self._work, self._workers, self._record, stopped)
            if jobs:
                self.summary.write()
        except InputError as error:  # the summary's: the next look tries again
            print(f"dsfunet: {error}", file=sys.stderr)

    def _found(self) -> dict[Path, tuple[int, int]]:
        """Size and time of writing of the files that are meant."""
        found = {}
        for path in sorted(self.folder.iterdir()):
            name = path.name
            if name.startswith(".") or name.endswith(_TEMPORARY) or not self._is_meant(name):
                continue
            try:
                if path.is_file():
                    state = path.stat()
                    found[path] = state.st_size, state.st_mtime_ns
            except OSError:  # gone between the two
                continue
        return found

    def _is_meant(self, name: str) -> bool:
        return any(fnmatch(name, each.strip()) for each in self.waiting.pattern.split(","))

    def _note(self, found: dict[Path, tuple[int, int]]) -> None:
        now = self._clock()
        for path, (size, modified_ns) in found.items():
            seen = self._seen.get(path)
            if seen is None or (seen.size, seen.modified_ns) != (size, modified_ns):
                self._seen[path] = _Seen(size, modified_ns, now)
        for path in set(self._seen) - set(found):
            del self._seen[path]

    def _complete(self) -> Iterator[Path]:
        """Files that have settled and open; what never opens is put on record when patience ends."""
        now = self._clock()
        for path, seen in list(self._seen.items()):
            quiet = now - seen.since
            if seen.done or quiet < self.waiting.settle:
                continue
            trouble = self._trouble(path)
            if trouble is None:
                yield path
            elif trouble == "":
                seen.done = True
            elif quiet >= max(self.waiting.patience, self.waiting.settle):
                seen.done = True
                sentence = f"{trouble}; given up {quiet:.0f} s after its last change, until it changes again"
                for job in jobs_of(path, path.stem, self.out, self._settings):
                    self._record(job, Outcome("failed", error=sentence))

    def _trouble(self, path: Path) -> str | None:
        """Why a file does not open, None where it does, "" for a result of ours, which is no measurement."""
        try:
            if not leading_bytes(path).startswith(HDF5_SIGNATURE):
                return None
            with open_hdf5(path) as file:
                return "" if read_attribute_text(file, "creator") == "dsfunet" else None
        except InputError as error:  # still being written, it may be
            return str(error)

    def _jobs(self, path: Path) -> Iterator[Job]:
        self._seen[path].done = True
        jobs = jobs_of(path, path.stem, self.out, self._settings)
        # Where another file has these names, under its full name, or the results of the first would be lost.
        taken = any(self._owners.get(job.output, path) != path for job in jobs)
        for job in jobs_of(path, path.name, self.out, self._settings) if taken else jobs:
            self._owners[job.output] = path
            yield job

    def _record(self, job: Job, outcome: Outcome) -> None:
        seen = self._seen.get(job.file)
        if outcome.status == "failed" and seen is not None and not job.file.exists():
            del self._seen[job.file]  # it was taken away under our hands: if it comes back, it is new
        if outcome.error is not None:
            print(f"dsfunet: {outcome.error}", file=sys.stderr, flush=True)
        elif outcome.status == "done":
            share = f"R = {100 * (outcome.r_factor or 0):.1f} %"
            print(f"{job.name}: {share}, lattice {outcome.lattice}, wrote {job.output}", flush=True)
        self.summary.record(job, outcome)


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set while the block lasts; a second one acts as it always does."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for each, handler in before.items():
            signal.signal(each, handler)

    def note(_signal: int, _frame: object) -> None:
        stop.set()
        restore()

    for each in before:
        signal.signal(each, note)
    try:
        yield stop
    finally:
        restore()
