"""The execution of a plan in one or several processes; an interrupted run continues where it stopped."""

import json
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import current_process, get_context
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from dsfunet.errors import InputError
from dsfunet.files import write_json
from evaluate.runs.devices import one_thread
from evaluate.runs.plan import Plan, WorkUnit
from evaluate.runs.work_units import SECONDS, Arrays, UnitWorker, read_arrays

KEY_FILE = "key.json"


def run_plan(
    plan: Plan, folder: Path, processes: int, progress: bool, key: str, prepare: Callable[[], None]
) -> int:
    """Measure all work units of a plan that are not done yet; returns how many were done before.

    Each process computes with one thread, so that the order of sums does not depend on the number of processes.

    Args:
        plan: the plan of the evaluation.
        folder: folder for the results of work units.
        processes: number of parallel processes; 1 works in this process.
        progress: show a progress bar.
        key: digest of everything that determines the numbers.
        prepare: called when the folder exists; makes the files that work units need besides the plan.

    Raises:
        InputError: if a work unit fails, a process was killed, or the folder holds anything but results of the same
            key. Finished work units are kept.
    """
    _open_folder(folder, key)
    prepare()
    units = plan.units()
    waiting = [unit for unit in units if not plan.file(folder, unit).exists()]
    total, left = (sum(unit.stop - unit.start for unit in each) for each in (units, waiting))
    with tqdm(
        total=total, initial=total - left, desc="evaluating", unit="plane", disable=not progress
    ) as bar:
        for planes in _measure_units(plan, folder, waiting, processes):
            bar.update(planes)
    return len(units) - len(waiting)


def _open_folder(folder: Path, key: str) -> None:
    kept = folder / KEY_FILE
    try:
        fits = json.loads(kept.read_text(encoding="utf-8")) == key
    except (OSError, ValueError):
        fits = False
    if folder.exists() and not fits and not (folder.is_dir() and not any(folder.iterdir())):
        raise InputError(
            f"{folder}: this folder was not written by this evaluation (same weights, planes, options and code);"
            " remove it or choose another --out"
        )
    folder.mkdir(parents=True, exist_ok=True)
    if not fits:
        write_json(kept, key)


def _measure_units(plan: Plan, folder: Path, waiting: list[WorkUnit], processes: int) -> Iterator[int]:
    """Measure work units and yield the number of planes of each when it is done."""
    if processes == 1 or len(waiting) < 2:
        with one_thread():
            worker = UnitWorker(plan, _own_device(plan.settings.device, 0), folder)
            yield from map(worker.measure, waiting)
        return
    context = get_context("spawn")  # threads of torch and numba do not survive a fork
    with ProcessPoolExecutor(processes, context, _start_process, (plan, folder)) as pool:
        with _no_interrupts():  # the processes start here; only this process handles Ctrl-C
            futures = [pool.submit(_measure_unit, unit) for unit in waiting]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            raise InputError(
                "a process of the evaluation was killed, perhaps because memory ran out; run the same command again"
                " to continue (--processes 1 needs least memory)"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _no_interrupts() -> Iterator[None]:
    """Make processes that start inside the block ignore Ctrl-C from the beginning."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


_worker: UnitWorker | None = None


def _start_process(plan: Plan, folder: Path) -> None:
    global _worker
    torch.set_num_threads(1)
    threadpool_limits(1)
    # Processes of a pool are numbered from 1; a second pool in the same program continues the numbers.
    number = (current_process()._identity or (1,))[-1] - 1
    _worker = UnitWorker(plan, _own_device(plan.settings.device, number), folder)


def _measure_unit(unit: WorkUnit) -> int:
    assert _worker is not None
    return _worker.measure(unit)


def _own_device(device: str, number: int) -> str:
    """Return the device of process `number`: GPUs are assigned in turn, any other device is shared."""
    return f"cuda:{number % torch.cuda.device_count()}" if device == "cuda" else device


def gather_stage(plan: Plan, folder: Path, stage: int) -> tuple[Arrays, dict[str, float]]:
    """Read and join all results of a stage.

    Returns:
        The arrays, with planes along the first axis in order, and the running time of each predictor [s].

    Raises:
        InputError: if a file of a work unit cannot be read.
    """
    parts: list[Arrays] = []
    for unit in plan.units():
        if unit.stage == stage:
            path = plan.file(folder, unit)
            try:
                parts.append(read_arrays(path))
            except (OSError, ValueError) as error:
                raise InputError(f"{path}: the file is damaged ({error}); remove it and run again") from error
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    seconds = {
        name.removeprefix(SECONDS): float(values.sum())
        for name, values in joined.items()
        if name.startswith(SECONDS)
    }
    return {name: values for name, values in joined.items() if not name.startswith(SECONDS)}, seconds
