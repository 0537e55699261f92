"""Paths and files: checks before reading, errors that name their file, and output that appears whole or not at all."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from dsfunet.errors import InputError

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
NPY_SIGNATURE = b"\x93NUMPY"


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
        raise InputError(f"{path}: the file cannot be written ({error.strerror})") from error


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path in the same directory; when the block succeeds, that file replaces `path`.

    When the block fails, the temporary file is removed and whatever was at `path` stays as it was.

    Raises:
        InputError: as `check_writable`.
    """
    check_writable(path)
    temporary = _temporary_beside(Path(path))
    try:
        yield temporary
        temporary.replace(Path(path).resolve())
    finally:
        temporary.unlink(missing_ok=True)


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
