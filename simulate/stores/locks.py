"""Locks between processes, and failures of the file system, each as one sentence.

A lock is `flock` on a small file, which the system lets go of when its holder dies, however it dies. The file is
there only as long as somebody holds it; one that a killed process left behind locks nothing.
"""

import fcntl
import os
import resource
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from dsfunet.errors import InputError


def store_lock(path: Path) -> Path:
    """The lock file of a store as such, beside it: held while it is created or finalised."""
    return _beside(path, "lock")


def shard_lock(path: Path, shard: int) -> Path:
    """The lock file of one shard, beside the store: held by the process that writes it."""
    return _beside(path, f"shard-{shard:06d}.lock")


def claim_lock(path: Path, shard: int) -> Path:
    """The lock file of a run's claim on a shard, beside the store: held from the run's start to its end."""
    return _beside(path, f"claim-{shard:06d}.lock")


def _beside(path: Path, ending: str) -> Path:
    path = path.resolve()  # one lock for one store, by whatever link it was found
    return path.with_name(f".{path.name}.{ending}")


@contextmanager
def hold_lock(file: Path, refusal: str | None = None, note: str | None = None) -> Iterator[None]:
    """Hold a lock file. Where another process holds it, refuse with one sentence, or wait if there is none.

    `note` is printed to standard error when there is something to wait for.

    Raises:
        InputError: the lock is held and there is a `refusal`, or no lock can be had at this place at all.
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
        # Removed while it is held: whoever waits for this file sees that it is gone, and makes another.
        file.unlink(missing_ok=True)
        os.close(descriptor)


def _acquire(file: Path, wait: bool) -> int | None:
    while True:
        try:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise InputError(f"{file}: no lock file can be made there ({error.strerror})") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError as error:
            os.close(descriptor)
            raise InputError(
                f"{file}: this file system has no locks ({error.strerror}); choose an --out on one that has"
            ) from error
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), file.stat()):
                return descriptor
        # The last holder removed the file between our opening and locking it.
        os.close(descriptor)


def discard_locks(path: Path) -> None:
    """Remove the lock files that killed processes left beside a store; one that somebody holds stays."""
    path = path.resolve()
    for kind in ("shard", "claim"):
        for file in path.parent.glob(f".{path.name}.{kind}-*.lock"):
            with suppress(InputError), hold_lock(file, refusal="held"):
                pass


@contextmanager
def claim_shards(path: Path, todo: Iterable[int]) -> Iterator[None]:
    """Claim shards of a store for this run, before any work is done, so that of two runs the second is refused.

    Raises:
        InputError: another run has claimed one of them.
    """
    todo = sorted(todo)
    _allow_open_files(len(todo) + 256)
    with ExitStack() as stack:
        # In ascending order: of runs that start at once, one gets all that it asks for.
        for shard in todo:
            stack.enter_context(hold_lock(claim_lock(path, shard), refusal=busy_message(path, shard)))
        yield


def busy_message(path: Path, shard: int) -> str:
    """What a second writer is told."""
    return (
        f"{path}: another process is writing shard {shard}; let it finish,"
        " or give every run shards of its own with --task-index and --task-count"
    )


def _allow_open_files(count: int) -> None:
    """Raise the soft limit of open files as far as it goes: a claim is an open file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        most = count if hard == resource.RLIM_INFINITY else min(count, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


@contextmanager
def report_os_errors(what: str, consequence: str = "") -> Iterator[None]:
    """Say in one sentence what the operating system refused: a full disk, a quota, no permission.

    Raises:
        InputError: "`what` (reason)`consequence`", for any OSError of the block.
    """
    try:
        yield
    except OSError as error:
        raise InputError(f"{what} ({error.strerror or error}){consequence}") from error
