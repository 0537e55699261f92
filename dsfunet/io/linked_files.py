"""Files that an HDF5 file leads to by external links: which of them may be opened, and a list of those that were.

A link may lead to a regular file in the folder of the file that holds it, or below. Named pipes and devices are never
opened: reading them can wait for ever. Other folders are allowed one by one, since a link in a stranger's file could
otherwise copy any file of the user's into a result.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

import h5py

from dsfunet.errors import InputError

Marks: TypeAlias = dict[str, tuple[int, int] | None]
"""Linked files by full path: size [bytes] and modification time [ns]; None for a file that is not there."""

_MOST_LINKS = 100_000
_DEEPEST = 16

_allowed: ContextVar[tuple[Path, ...]] = ContextVar("allowed", default=())
_noted: ContextVar[Marks | None] = ContextVar("noted", default=None)


@contextmanager
def allow_folders(folders: Sequence[Path]) -> Iterator[None]:
    """Allow links in files that are opened in the block to lead into some folders, beside those of the files."""
    token = _allowed.set((*_allowed.get(), *folders))
    try:
        yield
    finally:
        _allowed.reset(token)


@contextmanager
def record_linked_files() -> Iterator[Marks]:
    """Record, in the dictionary that is yielded, the files beside the main one that are looked for in the block."""
    marks: Marks = {}
    token = _noted.set(marks)
    try:
        yield marks
    finally:
        _noted.reset(token)


def note_linked_file(path: Path) -> None:
    """Note that what is read depends on a file, which may be absent."""
    marks = _noted.get()
    if marks is not None:
        full = str(path.absolute())
        marks[full] = mark_file(full)


def mark_file(path: str) -> tuple[int, int] | None:
    """Size [bytes] and modification time [ns] of a file; None if it is not there."""
    try:
        found = os.stat(path)  # noqa: PTH116 a path from a record may be no valid path
    except (OSError, ValueError):
        return None
    return found.st_size, found.st_mtime_ns


def find_linked_file(holder: Path, name: str) -> Path | None:
    """Find the file that a link names where HDF5 looks for it; None if there is none.

    Args:
        holder: the file with the link.
        name: the file name in the link.

    Raises:
        InputError: it is not a regular file, or is outside the folders in which it is allowed.
    """
    beside = holder.parent
    places = (beside / name, beside / Path(name).name, Path(name))
    found = next((place for place in places if _is_there(place)), None)
    note_linked_file(found or places[0])
    if found is None:
        return None
    if not found.is_file():
        raise InputError(
            f"a link leads to {name}, which is not a regular file; remove the link or put the file there"
        )
    target = found.resolve()
    folders = [each.resolve() for each in (beside, holder.resolve().parent, *_allowed.get())]
    if not any(target.is_relative_to(folder) for folder in folders):
        raise InputError(
            f"a link leads to {name}, outside the folder of the file; if you trust the file, add"
            f" --allow-external {target.parent}"
        )
    return found


def check_external_links(file: h5py.File, path: Path, depth: int = 0) -> None:
    """Check all external links of an open file, and those of the files they lead to, before HDF5 follows any.

    Raises:
        InputError: a link leads to something that must not be opened, or there are too many of them.
    """
    if depth > _DEEPEST:
        raise InputError(f"links lead from file to file more than {_DEEPEST} times; expected fewer")
    for name in _list_linked_names(file, path):
        try:
            target = find_linked_file(path, name)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        if target is None or target.resolve() == path.resolve():
            continue
        try:
            linked = h5py.File(target, "r")
        except Exception:  # whoever follows the link reports it
            continue
        with linked:
            check_external_links(linked, target, depth + 1)


def _is_there(place: Path) -> bool:
    try:
        return place.exists()
    except (OSError, ValueError):  # such as a name that is too long
        return False


def _list_linked_names(file: h5py.File, path: Path) -> tuple[str, ...]:
    """File names in the external links of a file; the answer for an unchanged file is remembered."""
    found = path.stat()
    key = (str(path), found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    known = _remembered(key)
    if not known:
        known.append(_visit_links(file))
    return known[0]


@lru_cache(maxsize=64)
def _remembered(key: tuple[str | int, ...]) -> list[tuple[str, ...]]:
    return []


def _visit_links(file: h5py.File) -> tuple[str, ...]:
    links, names, count = file.id.links, dict[str, None](), 0

    def note(name: bytes, link: h5py.h5l.LinkInfo) -> bool | None:
        nonlocal count
        count += 1
        if link.type == h5py.h5l.TYPE_EXTERNAL:
            names[os.fsdecode(links.get_val(name)[0])] = None
        return True if count > _MOST_LINKS else None

    with suppress(Exception):  # a damaged group, which whoever reads it reports
        links.visit(note, info=True)
    if count > _MOST_LINKS:
        raise InputError(f"{file.filename}: the file has more than {_MOST_LINKS:,} links; expected fewer")
    return tuple(names)
