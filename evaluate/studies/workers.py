"""Planes measured one by one with networks that stay loaded: here, or in a process for each core, with one result."""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, Protocol, TypeVar

from tqdm import tqdm

from evaluate.runs.running import default_processes

Job = TypeVar("Job", contravariant=True)
Record = TypeVar("Record", covariant=True)


class Bench(Protocol[Job, Record]):
    """What a process keeps from plane to plane, made from the request alone: networks, stores."""

    def __init__(self, request: Any) -> None: ...

    def measure(self, job: Job) -> Record:
        """What is measured of one plane, computed with one thread, so that it is the same in any process."""
        ...


class Asked(Protocol):
    """What a request has to say."""

    @property
    def device(self) -> str:
        """cpu, or cuda, which one process has for itself."""
        ...

    @property
    def progress(self) -> bool:
        """Whether a bar is shown."""
        ...


def measured(bench: Bench[Job, Record], request: Asked, jobs: Sequence[Job], title: str) -> list[Record]:
    """Records of jobs, in their order."""
    processes = 1 if request.device == "cuda" else default_processes(request.device)
    progress = tqdm(total=len(jobs), desc=title, unit="plane", disable=not request.progress)
    records = []
    with progress:
        if processes < 2:
            for job in jobs:
                records.append(bench.measure(job))
                progress.update()
            return records
        # torch keeps threads, which do not survive a fork.
        context = get_context("spawn")
        with ProcessPoolExecutor(processes, context, _start_process, (type(bench), request)) as pool:
            for record in pool.map(_measure, jobs):
                records.append(record)
                progress.update()
    return records


_bench: Bench[Any, Any] | None = None


def _start_process(kind: type[Bench[Any, Any]], request: Any) -> None:
    global _bench
    _bench = kind(request)


def _measure(job: Any) -> Any:
    assert _bench is not None
    return _bench.measure(job)
