"""The execution of a study: planes are measured in this process or in one process per core, with equal results."""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, Protocol, TypeVar

from tqdm import tqdm

from evaluate.runs.devices import default_processes

Job = TypeVar("Job", contravariant=True)
Record = TypeVar("Record", covariant=True)


class Worker(Protocol[Job, Record]):
    """A worker that measures planes and keeps networks and stores from one plane to the next."""

    def __init__(self, request: Any) -> None: ...

    def measure(self, job: Job) -> Record:
        """Measure one plane, with one thread, so that the result is the same in any process."""
        ...


class WorkerRequest(Protocol):
    """The settings of a study that its execution needs."""

    @property
    def device(self) -> str:
        """Device of the networks: cpu, or cuda, which is used by one process only."""
        ...

    @property
    def progress(self) -> bool:
        """Whether to show a progress bar."""
        ...


def run_in_processes(
    worker: Worker[Job, Record], request: WorkerRequest, jobs: Sequence[Job], title: str
) -> list[Record]:
    """Measure all jobs and return their records in the order of the jobs.

    Args:
        worker: worker of this process; other processes make their own from its class and the request.
        request: the settings of the study.
        jobs: arguments of `Worker.measure`.
        title: label of the progress bar.
    """
    processes = 1 if request.device == "cuda" else default_processes(request.device)
    progress = tqdm(total=len(jobs), desc=title, unit="plane", disable=not request.progress)
    records = []
    with progress:
        if processes < 2:
            for job in jobs:
                records.append(worker.measure(job))
                progress.update()
            return records
        # Threads of torch do not survive a fork.
        context = get_context("spawn")
        with ProcessPoolExecutor(processes, context, _start_process, (type(worker), request)) as pool:
            for record in pool.map(_measure, jobs):
                records.append(record)
                progress.update()
    return records


_worker: Worker[Any, Any] | None = None


def _start_process(kind: type[Worker[Any, Any]], request: Any) -> None:
    global _worker
    _worker = kind(request)


def _measure(job: Any) -> Any:
    assert _worker is not None
    return _worker.measure(job)
