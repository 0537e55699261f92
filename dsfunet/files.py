"""Paths and files: checks before reading, errors that name their file, and output that appears whole or not at all."""

import errno
import json
import os
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from dsfunet.errors import InputError, PassingError

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
NPY_SIGNATURE = b"\x93NUMPY"

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def name_file_in_errors(path: Path | str) -> Iterator[None]:
    """Put the name of a file in front of the message of every InputError that the block raises."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def leading_bytes(path: Path, count: int = 16) -> bytes:
    """Return the first bytes of a file: at least one, at most `count`.

    Raises:
        InputError: the file does not exist, is not a regular file, cannot be read, or is empty.
    """
    try:
        if not path.exists():
            raise InputError(f"{path}: no such file")
        if not path.is_file():
            found = "a directory" if path.is_dir() else "not a regular file"
            raise InputError(f"{path}: this is {found}; expected a file")
        with path.open("rb") as stream:
            start = stream.read(count)
    except OSError as error:
        raise InputError(f"{path}: the file cannot be read ({error.strerror})") from error
    if not start:
        raise InputError(f"{path}: the file is empty")
    return start


def make_printable(text: object, keep: str = "") -> str:
    r"""Escape what a terminal would obey or could not print: control characters and bytes that are not UTF-8.

    Args:
        text: for instance a file name.
        keep: control characters that stay.

    Examples:
        >>> make_printable("scan\x1b[2J\n.h5")
        'scan\\x1b[2J\\n.h5'
    """
    return "".join(
        each if each in keep or not _is_harmful(each) else each.encode("unicode_escape").decode()
        for each in str(text)
    )


def _is_harmful(character: str) -> bool:
    # Control characters, the marks that turn the direction of text, line separators, and half surrogates.
    return (
        unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        and character != "\N{ZERO WIDTH JOINER}"
    )


def check_writable(path: Path | str) -> None:
    """Check, before any work is done, that a file can be written at a path. Nothing is left behind.

    Raises:
        InputError: the path is a directory or a device, its directory does not exist, or no file can be created
            there.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise InputError(f"{path}: this is a directory; expected the name of a file to write")
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: this is not a regular file; expected the name of a file to write")
        if not path.parent.is_dir():
            raise InputError(f"{path}: the directory {path.parent} does not exist; create it first")
        trial = _temporary_beside(path)
        trial.touch(exist_ok=False)
        trial.unlink()
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise PassingError(f"{path}: the file cannot be written ({error.strerror})") from error
        raise InputError(f"{path}: the file cannot be written ({error.strerror})") from error


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path in the same directory; when the block succeeds, that file replaces `path`.

    The order is: write, force the file to the disk, rename, force the folder to the disk. After a loss of power there
    is the old file or the new one, and both are whole. When the block fails, the temporary file is removed and
    whatever was at `path` stays as it was.

    Raises:
        InputError: as `check_writable`.
        PassingError: the disk is full.
    """
    path = Path(path)
    with name_full_disk(path):
        check_writable(path)
        temporary = _temporary_beside(path)
        try:
            yield temporary
            flush_to_disk(temporary)
            temporary.replace(path.resolve())
            flush_to_disk(temporary.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def name_full_disk(path: Path) -> Iterator[None]:
    """Say in one sentence that a file cannot be written because the disk is full.

    Raises:
        PassingError: the block raised an OSError about a lack of room.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise PassingError(
            f"{path}: the file cannot be written ({error.strerror}); make room on the disk, and run it again"
        ) from error


def flush_to_disk(path: Path) -> None:
    """Force a file, or the names in a folder, to the disk, where the system can do that."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno in _NO_ROOM:  # some network file systems only notice now
            raise
    finally:
        os.close(descriptor)


def _temporary_beside(path: Path) -> Path:
    # Resolved, because replacing a symbolic link would leave its target unchanged.
    path = path.resolve()
    return path.with_name(f".{path.name}.{uuid4().hex[:12]}.part")


def write_json(
    path: Path, content: Any, *, indent: int = 1, sort_keys: bool = True, ensure_ascii: bool = True
) -> None:
    """Write JSON to a temporary name in the same folder, then rename it: the file is complete or absent.

    Args:
        path: of the file; its folder is made if needed.
        content: what `json.dumps` accepts.
        indent: spaces for each level.
        sort_keys: whether the keys of each object are sorted.
        ensure_ascii: whether characters outside ASCII are escaped.

    Raises:
        InputError: nothing can be written at the path.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=indent, sort_keys=sort_keys, ensure_ascii=ensure_ascii)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
