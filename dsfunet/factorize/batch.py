"""Many planes, several at a time: a plane that fails is recorded, and the others go on."""

import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from dsfunet.errors import InputError, PassingError, may_pass
from dsfunet.factorize.factorizer import Factorizer
from dsfunet.factorize.jobs import Job, plan_jobs
from dsfunet.factorize.loading import load_factorizer
from dsfunet.factorize.pipeline import Factorization, factorize_plane
from dsfunet.factorize.settings import FactorizeRequest
from dsfunet.factorize.shared_factorizer import SharedFactorizer
from dsfunet.factorize.signals import catch_signals
from dsfunet.factorize.summary import (
    Outcome,
    Provenance,
    Summary,
    belongs_to_other,
    find_finished,
    find_owner,
)
from dsfunet.factorize.trained_range import check_extent
from dsfunet.files import make_printable
from dsfunet.io import read_plane, write_result
from dsfunet.io.linked_files import record_linked_files

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells use it: 128 + SIGINT."""

SUMMARY_FILE = "summary.json"

Work = Callable[[Job], Outcome]

# matplotlib's caches of fonts and text are shared by all figures, and are not safe with threads.
_DRAWING = threading.Lock()


def factorize_batch(
    files: Sequence[Path],
    folder: Path,
    request: FactorizeRequest,
    summary_path: Path | None = None,
    redo: bool = False,
) -> int:
    """Factorise the planes of many files into a folder, and write a summary.

    Results that exist already and were made from the same file, settings and weights are skipped, unless `redo` is set.

    Returns:
        The exit code: 0 when every plane has its result; 1 when some failed, each with a line on standard error; 2 when
        none has one; 130 when stopped by Ctrl-C, with everything done by then kept.

    Raises:
        InputError: The weights or the device cannot be used, results would overwrite each other, or the folder or the
            summary cannot be written. Nothing has been done then.
    """
    jobs = plan_jobs(files, folder, request)
    for each in {folder, *(job.output.parent for job in jobs)}:
        make_folder(each)
    summary = Summary(jobs, summary_path or folder / SUMMARY_FILE, request.as_plain())
    summary.write()
    worker = PlaneWorker(load_factorizer(request.weights, request.device), request, redo, in_batch=True)
    stopped = run_batch(jobs, worker, worker.count, summary)
    counts = summary.counts
    print(", ".join(f"{count} {status}" for status, count in counts.items() if count or status == "done"))
    levels = Counter(each.verdict_level for each in summary.outcomes.values() if each.verdict_level)
    if levels:
        print("verdict    " + ", ".join(f"{count} {level}" for level, count in levels.most_common()))
    print(f"wrote      {make_printable(folder)} ({make_printable(summary.path)})")
    if stopped:
        return INTERRUPTED
    return summary.exit_code if summary.trouble is None else max(summary.exit_code, 1)


def make_folder(folder: Path) -> None:
    """Make a folder for results, unless it exists.

    Raises:
        InputError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise InputError(f"{folder}: this is a file; expected a folder for the results") from error
    except OSError as error:
        raise InputError(f"{folder}: the folder cannot be made ({error.strerror})") from error


class PlaneWorker:
    """Reads, factorises and writes one plane after another, in as many threads as call it.

    On a CPU each thread has a plane and a core of its own, so that no thread waits for another. On a GPU the threads
    share the networks, which process their planes in batches.

    Args:
        factorizer: The networks.
        request: What is done with every file.
        redo: Whether results that exist already are made again.
        in_batch: Whether the names of the results were not chosen one by one: those that are links, or belong to
            another file, are refused.
    """

    def __init__(
        self, factorizer: Factorizer, request: FactorizeRequest, redo: bool = False, in_batch: bool = False
    ) -> None:
        on_cpu = factorizer.device.type == "cpu"
        self.count = request.workers or (available_cores() if on_cpu else request.batch_size)
        self._factorizer = factorizer if on_cpu else SharedFactorizer(factorizer, request.batch_size)
        self._request = request
        self._redo, self._in_batch = redo, in_batch
        self._weights = str(factorizer.description["digest"])
        self._digest = request.digest()

    def factorize(self, job: Job, provenance: Provenance | None = None) -> Factorization:
        """Do a job: read the plane, factorise it, draw the picture and write the result.

        Args:
            job: What to make.
            provenance: Origin of the result, if it was looked up already.

        Raises:
            InputError: The file, the plane or the output cannot be used.
        """
        if job.refusal is not None:
            raise (PassingError if job.refusal_may_pass else InputError)(job.refusal)
        provenance = provenance or self._look_up(job)
        request = self._request
        reading = request.reading if job.at is None else replace(request.reading, at=job.at)
        with record_linked_files() as linked:
            measured = read_plane(job.file, job.plane, request.axes, request.cell, reading, check_extent)
        try:
            name = make_printable(job.file.name)
            factorization = factorize_plane(
                measured, request.settings, self._factorizer, name, job.requested or ""
            )
        except InputError as error:
            raise InputError(f"{job.file}: {error}") from error
        missing = float(1 - factorization.result.mask.mean())
        process = {**factorization.result.process, **provenance.record(missing, linked)}
        result = replace(factorization.result, process=process)
        if job.picture is not None:  # before the result, whose presence means that the job is done
            with _DRAWING:
                from dsfunet.plotting.result import (  # matplotlib takes a second to import
                    draw_components,
                    save_png,
                )

                save_png(draw_components(result), job.picture)
        write_result(job.output, result)
        return replace(factorization, result=result)

    def __call__(self, job: Job) -> Outcome:
        """Do a job unless its result exists already; an error becomes the outcome of this job alone."""
        start = time.perf_counter()
        try:
            provenance = None if job.refusal is not None else self._look_up(job)
            finished = None if provenance is None or self._redo else find_finished(job, provenance)
            if finished is not None:
                return finished
            if self._in_batch:
                self._check_targets(job)
            factorization = self.factorize(job, provenance)
        except Exception as error:  # nothing that is wrong with one plane may stop the others
            seconds = time.perf_counter() - start
            sentence = _describe_failure(job, error)
            return Outcome("failed", seconds=round(seconds, 3), error=sentence, retry=may_pass(error))
        return summarise_plane(factorization, time.perf_counter() - start)

    def _check_targets(self, job: Job) -> None:
        """Refuse to write through a link, or over the result of another file unless that is asked for."""
        for target in filter(None, (job.output, job.picture)):
            if target.is_symlink():
                raise InputError(
                    f"{target}: this is a link; remove it, or choose another folder for the results"
                )
        if not self._redo and belongs_to_other(job.output, job.file):
            raise InputError(
                f"{job.output}: this is the result of {find_owner(job.output)}; choose another folder, or replace it"
                " with --redo"
            )

    def _look_up(self, job: Job) -> Provenance:
        return Provenance.of(job, self._digest, self._weights)


def summarise_plane(factorization: Factorization, seconds: float) -> Outcome:
    """The outcome of a plane that was factorised in a time [s], reading and writing included."""
    return Outcome(
        "done",
        factorization.r_factor,
        float(1 - factorization.result.mask.mean()),
        factorization.lattice,
        factorization.verdict.sentence,
        factorization.verdict.level,
        factorization.verdict.numbers,
        round(seconds, 3),
        factorization.notes,
    )


def run_batch(jobs: Sequence[Job], work: Work, workers: int, summary: Summary) -> bool:
    """Do jobs, several at a time, and record each when it ends; return whether Ctrl-C stopped the batch.

    Planes in progress are finished after Ctrl-C, and at once after a second one. The summary is written in any case;
    if it cannot be, a sentence on standard error says so.
    """
    ended = "stopped by an error"
    try:
        with catch_signals() as stop, use_one_core_each(workers), _progress(len(jobs)) as bar:

            def record(job: Job, outcome: Outcome) -> None:
                summary.record(job, outcome)
                bar.update()
                if outcome.error is not None:
                    with bar.external_write_mode(file=sys.stderr):
                        print(f"dsfunet: {outcome.error}", file=sys.stderr)

            run_jobs(jobs, work, workers, record, stop.is_set)
        ended = "interrupted" if stop.is_set() else "finished"
    except KeyboardInterrupt:
        ended = "interrupted"
    finally:
        if not summary.try_to_write(ended):
            print(f"dsfunet: {make_printable(summary.trouble)}", file=sys.stderr)
    return ended == "interrupted"


def run_jobs(
    jobs: Iterable[Job],
    work: Work,
    workers: int,
    record: Callable[[Job, Outcome], None],
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Do jobs in threads, and call `record` in this thread with each outcome, in the order in which they end.

    When `stopped` returns True, or after Ctrl-C, no new job is started, and the jobs in progress are finished.
    """
    waiting = iter(jobs)
    running: dict[Future[Outcome], Job] = {}
    with ThreadPoolExecutor(workers, initializer=_use_one_core if workers > 1 else None) as pool:
        try:
            while True:
                # No job waits in the pool: after Ctrl-C there is nothing to cancel.
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
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def use_one_core_each(workers: int) -> Iterator[None]:
    """Give torch one core per thread inside the block, if there are several threads: their pools would compete."""
    threads = torch.get_num_threads()
    try:
        if workers > 1:
            _use_one_core()
        yield
    finally:
        torch.set_num_threads(threads)


def _use_one_core() -> None:
    torch.set_num_threads(1)


def _progress(total: int) -> "tqdm[Any]":
    """A progress bar on standard error, if that is a terminal."""
    return tqdm(total=total, unit="plane", disable=None, file=sys.stderr, dynamic_ncols=True)


def _describe_failure(job: Job, error: Exception) -> str:
    sentence = make_printable(" ".join(str(error).split())) or type(error).__name__
    if not isinstance(error, InputError | OSError | MemoryError):
        sentence = f"unexpected {type(error).__name__} ({sentence}); please report this as a bug"
    file = make_printable(" ".join(str(job.file).split()))
    named = sentence if file in sentence or str(job.output) in sentence else f"{file}: {sentence}"
    return named if job.requested is None or job.requested in named else f"{named} (plane {job.requested})"
