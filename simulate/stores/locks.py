"""The lock files of stores and shards, and one-line messages for failures of the file system."""

import resource
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from dsfunet.errors import InputError
from dsfunet.locks import hold_lock


def store_lock(path: Path) -> Path:
    """Return the lock file of a store, next to it; a process holds it while it creates or finalises the store."""
    return _beside(path, "lock")


def shard_lock(path: Path, shard: int) -> Path:
    """Return the lock file of one shard, next to the store; the process that writes the shard holds it."""
    return _beside(path, f"shard-{shard:06d}.lock")


def claim_lock(path: Path, shard: int) -> Path:
    """Return the lock file of a run's claim on a shard, next to the store; a run holds it from start to end."""
    return _beside(path, f"claim-{shard:06d}.lock")


def _beside(path: Path, ending: str) -> Path:
    path = path.resolve()  # a store has one lock, even if it is reached by a link
    return path.with_name(f".{path.name}.{ending}")


def discard_locks(path: Path) -> None:
    """Remove the lock files that killed processes left next to a store; files in use stay."""
    path = path.resolve()
    for kind in ("shard", "claim"):
        for file in path.parent.glob(f".{path.name}.{kind}-*.lock"):
            with suppress(InputError), hold_lock(file, refusal="held"):
                pass


@contextmanager
def claim_shards(path: Path, todo: Iterable[int]) -> Iterator[None]:
    """Claim shards of a store for this run before it starts work, so that a second run is refused.

    Raises:
        InputError: another run has claimed one of the shards.
    """
    todo = sorted(todo)
    _allow_open_files(_count_open_files() + len(todo) + 256)
    with ExitStack() as stack:
        # Claim in ascending order, so that one of several simultaneous runs gets all its shards.
        for shard in todo:
            stack.enter_context(hold_lock(claim_lock(path, shard), refusal=busy_message(path, shard)))
        yield


def busy_message(path: Path, shard: int) -> str:
    """Return the error message for a shard that another process is writing."""
    return (
        f"{path}: another process is writing shard {shard}; let it finish,"
        " or give each run its own shards with --task-index and --task-count"
    )


def _count_open_files() -> int:
    """Return how many files this process has open; 0 where the system does not say."""
    try:
        return sum(1 for _ in Path("/dev/fd").iterdir())
    except OSError:
        return 0


def _allow_open_files(count: int) -> None:
    """Raise the soft limit of open files as far as allowed, because every claim is an open file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        most = count if hard == resource.RLIM_INFINITY else min(count, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


@contextmanager
def report_os_errors(what: str, consequence: str = "") -> Iterator[None]:
    """Turn an OSError, such as a full disk or a missing permission, into a one-line error.

    Raises:
        InputError: "`what` (reason)`consequence`", for any OSError in the block.
    """
    try:
        yield
    except OSError as error:
        raise InputError(f"{what} ({error.strerror or error}){consequence}") from error
