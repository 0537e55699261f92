"""Loaders whose worker processes never keep a program from exiting."""

import atexit
from typing import Any, TypeVar
from weakref import WeakSet

from torch.utils.data import DataLoader

T = TypeVar("T")

_in_use: "WeakSet[Any]" = WeakSet()


class PlaneLoader(DataLoader[T]):
    """A loader that ends its worker processes when the program exits.

    At its exit Python sends one SIGTERM to each process that is left and waits for it. Workers ignore the first
    SIGTERM (`dsfunet.data.dataset.start_worker`), so a program that failed while it used a loader would wait forever.
    """

    def _get_iterator(self) -> Any:
        iterator = super()._get_iterator()
        _in_use.add(iterator)
        return iterator


@atexit.register
def stop_workers() -> None:
    """Ask the worker processes of all loaders to end, and wait until they have."""
    for iterator in list(_in_use):
        if hasattr(iterator, "_shutdown_workers"):
            iterator._shutdown_workers()
