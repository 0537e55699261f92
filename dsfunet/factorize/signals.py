"""Signals that end a run in good order: planes in progress are finished, and the summary is written."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


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
