"""The device, the number of processes and the threads of an evaluation."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits

from dsfunet.errors import InputError


def resolve_device(device: str) -> str:
    """Return `cpu` or `cuda` for a device that may be `auto`.

    Raises:
        InputError: if a GPU is requested and there is none.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: torch finds no GPU; use --device cpu")
    return device


def default_processes(device: str) -> int:
    """Return the default number of processes: one per core that this program may use, or one per GPU."""
    if device == "cuda":
        return torch.cuda.device_count()
    # A job may be given fewer cores than the machine has; only Linux reports this.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread inside the block, so that sums are always taken in the same order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)
