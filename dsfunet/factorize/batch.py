"""Many planes one after another, several at a time: what fails is put on record, and the rest goes on."""

import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from dsfunet.errors import InputError
from dsfunet.factorize.factorizer import Factorizer
from dsfunet.factorize.jobs import Job, plan_jobs
from dsfunet.factorize.loading import load_factorizer
from dsfunet.factorize.pipeline import Separation, notes_on, separate
from dsfunet.factorize.settings import FactorizeSettings
from dsfunet.factorize.shared_factorizer import SharedFactorizer
from dsfunet.factorize.summary import Outcome, Provenance, Summary, finished_before
from dsfunet.io import MeasuredPlane, read_plane, write_result

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it: 128 + SIGINT."""

SUMMARY_FILE = "summary.json"

Work = Callable[[Job], Outcome]

# matplotlib's fonts and text caches are shared by all figures, and not made for threads.
_DRAWING = threading.Lock()


def factorize_batch(
    files: Sequence[Path],
    folder: Path,
    settings: FactorizeSettings,
    summary_path: Path | None = None,
    redo: bool = False,
) -> int:
    """Factorise the planes of many files into a folder, and sum up what became of them; returns the exit code.

    0: every plane has its result; 1: some failed, each with one line on standard error; 2: none has one; 130: stopped
    by Ctrl-C, and what was done by then is kept. Results that are there already, made from the same file, settings and
    weights, are skipped unless `redo` is set.

    Raises:
        InputError: the weights or the device cannot be used, results would collide, or the folder or the summary
            cannot be written: nothing was done then.
    """
    jobs = plan_jobs(files, folder, settings)
    for each in {folder, *(job.output.parent for job in jobs)}:
        make_folder(each)
    summary = Summary(jobs, summary_path or folder / SUMMARY_FILE, asdict(settings))
    summary.write()
    worker = PlaneWorker(load_factorizer(settings.weights, settings.device), settings, redo)
    stopped = run_batch(jobs, worker, worker.count, summary)
    counts = summary.counts
    print(", ".join(f"{count} {status}" for status, count in counts.items() if count or status == "done"))
    levels = Counter(each.verdict_level for each in summary.outcomes.values() if each.verdict_level)
    if levels:
        print("verdict    " + ", ".join(f"{count} {level}" for level, count in levels.most_common()))
    print(f"wrote      {folder} ({summary.path})")
    return INTERRUPTED if stopped else summary.exit_code


def make_folder(folder: Path) -> None:
    """A folder for results, made where it is not there.

    Raises:
        InputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise InputError(f"{folder}: found a file, expected a folder for the results") from error
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror})") from error


class PlaneWorker:
    """Does one job after another, in as many threads as call it: reads, factorises, writes.

    On a processor every thread has a plane of its own and one core, so nobody waits for anybody; on a GPU the threads
    share the networks, which see their planes in batches.

    Args:
        factorizer: the networks.
        settings: of the batch.
        redo: whether results that are there already are made again.
    """

    def __init__(self, factorizer: Factorizer, settings: FactorizeSettings, redo: bool = False) -> None:
        on_processor = factorizer.device.type == "cpu"
        self.count = settings.workers or (available_cores() if on_processor else settings.batch_size)
        self._factorizer = factorizer if on_processor else SharedFactorizer(factorizer, settings.batch_size)
        self._settings = settings
        self._redo = redo
        self._weights = str(factorizer.description["digest"])
        self._digest = settings.digest()

    def __call__(self, job: Job) -> Outcome:
        """Do a job, or find it done; what is the user's to fix becomes the outcome's error."""
        start = time.perf_counter()
        try:
            if job.refusal is not None:
                raise InputError(job.refusal)
            provenance = Provenance.of(job, self._digest, self._weights)
            before = None if self._redo else finished_before(job, provenance)
            if before is not None:
                return before
            settings = self._settings
            measured = read_plane(job.file, job.plane, settings.axes(), settings.given_cell())
            found = self._separated(measured, job)
            self._write(found, job, provenance)
        except Exception as error:  # nothing that is wrong with one plane is a reason to stop
            seconds = time.perf_counter() - start
            return Outcome("failed", seconds=round(seconds, 3), error=_one_line(job, error))
        return outcome_of(found, time.perf_counter() - start, (*measured.notes, *notes_on(found)))

    def _separated(self, measured: MeasuredPlane, job: Job) -> Separation:
        try:
            return separate(measured, self._factorizer, self._settings, job.file.name, job.plane or "")
        except InputError as error:
            raise InputError(f"{job.file}: {str(error).removeprefix('plane number 0: ')}") from error

    def _write(self, found: Separation, job: Job, provenance: Provenance) -> None:
        missing = float(1 - found.result.mask.mean())
        process = {**found.result.process, **provenance.record(missing)}
        if job.picture is not None:  # before the result, whose presence says that all is done
            with _DRAWING:
                from dsfunet.plotting.result import (  # a second, for those who want pictures
                    draw_components,
                    save_png,
                )

                save_png(draw_components(found.result), job.picture)
        write_result(job.output, replace(found.result, process=process))


def outcome_of(found: Separation, seconds: float, notes: Sequence[str] = ()) -> Outcome:
    """The outcome of a plane that was factorised."""
    missing = float(1 - found.result.mask.mean())
    return Outcome(
        "done",
        found.r_factor,
        missing,
        found.lattice,
        found.verdict.sentence,
        found.verdict.level,
        found.verdict.numbers,
        round(seconds, 3),
        tuple(notes),
    )


def run_batch(jobs: Sequence[Job], work: Work, workers: int, summary: Summary) -> bool:
    """Do jobs, several at a time, and record each as it ends; returns whether Ctrl-C stopped it.

    Planes that are being worked on then are finished; the summary is written whatever happens.
    """
    ended = "stopped by an error"
    try:
        with one_core_each(workers), _progress(len(jobs)) as bar:

            def record(job: Job, outcome: Outcome) -> None:
                summary.record(job, outcome)
                bar.update()
                if outcome.error is not None:
                    with bar.external_write_mode(file=sys.stderr):
                        print(f"dsfunet: {outcome.error}", file=sys.stderr)

            run_jobs(jobs, work, workers, record)
        ended = "finished"
    except KeyboardInterrupt:
        ended = "interrupted"
    finally:
        summary.write(ended)
    return ended == "interrupted"


def run_jobs(
    jobs: Iterable[Job],
    work: Work,
    workers: int,
    record: Callable[[Job, Outcome], None],
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Do jobs in threads and hand on their outcomes, in this thread, in the order in which they end.

    When `stopped` says so, or Ctrl-C comes, no new one is begun, and those begun are finished.
    """
    waiting = iter(jobs)
    running: dict[Future[Outcome], Job] = {}
    with ThreadPoolExecutor(workers, initializer=_one_core if workers > 1 else None) as pool:
        try:
            while True:
                # No more in hand than is worked on: Ctrl-C then has nothing to take back.
                while len(running) < workers and not stopped() and (job := next(waiting, None)) is not None:
                    running[pool.submit(work, job)] = job
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    record(running[future], future.result())
                    del running[future]
        except KeyboardInterrupt:
            for future, job in running.items():
                record(job, future.result())
            raise


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def one_core_each(workers: int) -> Iterator[None]:
    """Torch on one core a thread while the block lasts, where there are several threads: two pools would fight."""
    threads = torch.get_num_threads()
    try:
        if workers > 1:
            _one_core()
        yield
    finally:
        torch.set_num_threads(threads)


def _one_core() -> None:
    torch.set_num_threads(1)


def _progress(total: int) -> "tqdm[Any]":
    """A bar on standard error where that is a terminal."""
    return tqdm(total=total, unit="plane", disable=None, file=sys.stderr, dynamic_ncols=True)


def _one_line(job: Job, error: Exception) -> str:
    sentence = " ".join(str(error).split()) or type(error).__name__
    if not isinstance(error, InputError | OSError | MemoryError):
        sentence = f"failed unexpectedly, please report this: {type(error).__name__}, {sentence}"
    named = sentence if str(job.file) in sentence else f"{job.file}: {sentence}"
    return named if job.plane is None or job.plane in named else f"{named} (plane {job.plane})"
