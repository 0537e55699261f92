"""Files as such: what lies at a path before it is read, and results that appear whole or not at all."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from dsfunet.errors import InputError

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
NPY_SIGNATURE = b"\x93NUMPY"


def leading_bytes(path: Path, count: int = 16) -> bytes:
    """The first bytes of a file, at most `count` and at least one.

    Raises:
        InputError: there is no such file, it is not a regular file, it cannot be read, or it is empty.
    """
    try:
        if not path.exists():
            raise InputError(f"{path}: no such file")
        if not path.is_file():
            found = "a directory" if path.is_dir() else "no regular file"
            raise InputError(f"{path}: found {found}, expected a file")
        with path.open("rb") as stream:
            start = stream.read(count)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if not start:
        raise InputError(f"{path}: empty file")
    return start


def check_writable(path: Path | str) -> None:
    """Make sure, before any work is done, that a result can be put at a path; nothing is left behind.

    Raises:
        InputError: the path is a directory or a device, its directory is missing, or nothing can be made
            there.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise InputError(f"{path}: found a directory, expected the name of a file to write")
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: found no regular file, expected the name of a file to write")
        if not path.parent.is_dir():
            raise InputError(f"{path}: its directory {path.parent} does not exist")
        trial = _temporary_beside(path)
        trial.touch(exist_ok=False)
        trial.unlink()
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """A temporary name in the same directory, which takes the place of `path` when the block succeeds.

    When the block fails, whatever was at `path` is untouched and the temporary file is gone.

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
    # Resolved, because replacing a symbolic link would leave its target as it was.
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
