"""Does the units of a plan in one process or several, keeps what is done, and goes on where a run was stopped."""

import hashlib
import json
import os
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
from evaluate.runs.units import SECONDS, Arrays, Plan, Unit, Workshop, read_arrays

KEY_FILE = "key.json"


def run(
    plan: Plan, folder: Path, processes: int, progress: bool, key: str, prepare: Callable[[], None]
) -> int:
    """Do every unit of a plan that is not done yet; returns how many were done before.

    Each process computes with one thread, so that sums are taken in one order whatever the number of processes.

    Args:
        plan: what to measure.
        folder: where units are kept.
        processes: how many work at once; with one, that is this process.
        progress: show a progress bar.
        key: of all that decides the numbers.
        prepare: makes what units need beside the plan, once the folder is there.

    Raises:
        InputError: a unit cannot be done, a process was killed, or the folder holds anything but units of the same key.
            What is done is kept.
    """
    _open_folder(folder, key)
    prepare()
    units = plan.units()
    waiting = [unit for unit in units if not plan.file(folder, unit).exists()]
    total, left = (sum(unit.stop - unit.start for unit in each) for each in (units, waiting))
    with tqdm(
        total=total, initial=total - left, desc="evaluating", unit="plane", disable=not progress
    ) as bar:
        for planes in _done(plan, folder, waiting, processes):
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
            f"{folder}: found something else than the parts of this very evaluation (same weights, planes, options and"
            " code); remove it, or choose another --out"
        )
    folder.mkdir(parents=True, exist_ok=True)
    if not fits:
        write_json(kept, key)


def _done(plan: Plan, folder: Path, waiting: list[Unit], processes: int) -> Iterator[int]:
    """The number of planes of each unit, when it is done."""
    if processes == 1 or len(waiting) < 2:
        with one_thread():
            workshop = Workshop(plan, _own_device(plan.settings.device, 0), folder)
            yield from map(workshop.do, waiting)
        return
    context = get_context("spawn")  # torch and numba keep threads, which do not survive a fork
    with ProcessPoolExecutor(processes, context, _start_process, (plan, folder)) as pool:
        with _no_interrupts():  # the processes begin now, and leave Ctrl-C to this one
            futures = [pool.submit(_do_unit, unit) for unit in waiting]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            raise InputError(
                "a process of the evaluation was killed, for want of memory perhaps: expected it to end by itself;"
                " the same command goes on from here, and --processes 1 takes least memory"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _no_interrupts() -> Iterator[None]:
    """Processes started inside ignore Ctrl-C, from their first moment on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


_workshop: Workshop | None = None


def _start_process(plan: Plan, folder: Path) -> None:
    global _workshop
    torch.set_num_threads(1)
    threadpool_limits(1)
    # Processes of a pool count from 1; those of a second pool in one program go on counting.
    number = (current_process()._identity or (1,))[-1] - 1
    _workshop = Workshop(plan, _own_device(plan.settings.device, number), folder)


def _do_unit(unit: Unit) -> int:
    assert _workshop is not None
    return _workshop.do(unit)


def _own_device(device: str, number: int) -> str:
    """The GPU of process `number`, in turn; any other device is shared."""
    return f"cuda:{number % torch.cuda.device_count()}" if device == "cuda" else device


@contextmanager
def one_thread() -> Iterator[None]:
    """Computes with one thread inside: sums are taken in one order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


def default_processes(device: str) -> int:
    """One process a core that this program may use, or one a GPU."""
    if device == "cuda":
        return torch.cuda.device_count()
    # Where a job is given fewer cores than there are; other systems than Linux do not say.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gather(plan: Plan, folder: Path, stage: int) -> tuple[Arrays, dict[str, float]]:
    """All arrays of a stage, its planes along the first axis in order, and the seconds that each predictor took.

    Raises:
        InputError: a file of a unit cannot be read.
    """
    parts: list[Arrays] = []
    for unit in plan.units():
        if unit.stage == stage:
            path = plan.file(folder, unit)
            try:
                parts.append(read_arrays(path))
            except (OSError, ValueError) as error:
                raise InputError(f"{path}: damaged ({error}); remove it and run again") from error
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    seconds = {
        name.removeprefix(SECONDS): float(values.sum())
        for name, values in joined.items()
        if name.startswith(SECONDS)
    }
    return {name: values for name, values in joined.items() if not name.startswith(SECONDS)}, seconds


def digest_of(content: object) -> str:
    """SHA-256 of plain values."""
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of_code() -> str:
    """SHA-256 of the sources of the library and of this package: parts of other code are not mixed with ours."""
    digest = hashlib.sha256()
    root = Path(__file__).parents[2]
    for package in ("dsfunet", "evaluate"):
        for path in sorted((root / package).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def checked_device(device: str) -> str:
    """`cpu` or `cuda`, of those and `auto`.

    Raises:
        InputError: a GPU is asked for and there is none.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device 'cuda' cannot be used: torch finds no GPU, expected --device cpu")
    return device
