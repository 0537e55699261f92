"""Signals that end a run in good order: what is in progress is finished or kept, and files are closed."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def catch_signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set inside the block; a second signal acts as usual."""
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


@contextmanager
def exit_on_termination() -> Iterator[None]:
    """Make SIGTERM, by which a queue ends its jobs, raise SystemExit inside the block, so that files are closed."""
    if threading.current_thread() is not threading.main_thread():  # Python allows handlers there only
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        print("dsfunet: terminated", file=sys.stderr)
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
