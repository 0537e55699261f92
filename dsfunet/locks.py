"""File locks between processes.

A lock is an `flock` on a small file. The operating system releases it when the process that holds it ends, for
whatever reason. The file exists only while the lock is held; a file left by a killed process locks nothing.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dsfunet.errors import InputError

if sys.platform != "win32":
    import fcntl


@contextmanager
def hold_lock(file: Path, refusal: str | None = None, note: str | None = None) -> Iterator[None]:
    """Hold a lock file. If another process holds it, raise an error with the text `refusal`, or wait without one.

    `note` is printed to standard error before waiting.

    Raises:
        InputError: another process holds the lock and there is a `refusal`, or locks are not possible in this folder.
    """
    descriptor = _acquire(file, wait=False)
    if descriptor is None and refusal is not None:
        raise InputError(refusal)
    if descriptor is None:
        if note is not None:
            print(note, file=sys.stderr, flush=True)
        descriptor = _acquire(file, wait=True)
    assert descriptor is not None
    try:
        yield
    finally:
        # Remove the file while it is locked: a waiting process then notices and creates a new one.
        file.unlink(missing_ok=True)
        os.close(descriptor)


def _acquire(file: Path, wait: bool) -> int | None:
    if sys.platform == "win32":  # it has no such locks
        return os.open(os.devnull, os.O_RDWR)
    while True:
        try:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise InputError(f"{file}: the lock file cannot be created ({error.strerror})") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError as error:
            os.close(descriptor)
            raise InputError(
                f"{file}: this file system has no file locks ({error.strerror}); choose an --out on one that has"
            ) from error
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), file.stat()):
                return descriptor
        # The last holder removed the file between our opening and locking it.
        os.close(descriptor)
