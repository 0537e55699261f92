"""A check for damaged HDF5 files on which the HDF5 library would loop for ever.

HDF5 stores texts of variable length in heaps of consecutive objects. The last object of a heap, number 0, is the free
space. If damage has set its size to 0, the library (version 2.0 among others) steps over it for ever and ignores
signals.
"""

import struct
import time
from functools import lru_cache
from pathlib import Path

from dsfunet.errors import InputError
from dsfunet.files import HDF5_SIGNATURE

_HEAP_SIGNATURE = b"GCOL\x01\0\0\0"
_OBJECT = struct.Struct("<HHIQ")  # number, references, unused, bytes
_CHECKED_BYTES = 8_000_000
"""Bytes checked at either end of a file: texts are mostly written first or last in files of gigabytes."""

_SETTLED_SECONDS = 3.0
"""A file changed more recently may change again without a new time stamp, so it is checked every time."""

_PLACE_OF_LENGTHS = {0: 14, 1: 14, 2: 10, 3: 10}
"""Position of the byte in the superblock, by its version, that gives the number of bytes of a length."""


def check_heaps(path: Path) -> None:
    """Check that no text heap of a file would make the HDF5 library loop for ever.

    The answer for an unchanged file is remembered, because a volume is opened once for each of its planes.

    Raises:
        InputError: the free space in a heap has size 0, or the file cannot be read.
    """
    try:
        found = path.stat()
        settled = time.time() - max(found.st_mtime, found.st_ctime) > _SETTLED_SECONDS
        identity = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns)
        look = _has_endless_heap if settled else _has_endless_heap.__wrapped__
        endless = look(path, found.st_size, *identity)
    except OSError as error:
        raise InputError(f"{path}: the file cannot be read ({error.strerror})") from error
    if endless:
        raise InputError(f"{path}: the HDF5 file is damaged (the free space in a text heap has size 0)")


@lru_cache(maxsize=64)
def _has_endless_heap(path: Path, size: int, *identity: int) -> bool:
    with path.open("rb") as stream:
        start = stream.read(_CHECKED_BYTES)
        stream.seek(max(size - _CHECKED_BYTES, 0))
        parts = [start] if size <= _CHECKED_BYTES else [start, stream.read(_CHECKED_BYTES)]
    # Files with shorter lengths are not checked.
    block = _find_superblock(start)
    if block is None or len(start) < block + 16:
        return False
    place = _PLACE_OF_LENGTHS.get(start[block + 8])
    if place is not None and start[block + place] != 8:
        return False
    return any(_is_endless(part) for part in parts)


def _find_superblock(start: bytes) -> int | None:
    """Where the HDF5 part of a file begins: at 0, or behind a user block of 512 bytes, 1024, 2048 and so on."""
    place = 0
    while place < len(start):
        if start.startswith(HDF5_SIGNATURE, place):
            return place
        place = max(512, 2 * place)
    return None


def _is_endless(content: bytes) -> bool:
    """Whether a heap in a part of a file has free space of size 0 with room for another object."""
    heap = content.find(_HEAP_SIGNATURE)
    while heap >= 0:
        if heap + 16 <= len(content):
            (length,) = struct.unpack_from("<Q", content, heap + 8)
            end, here = min(heap + length, len(content)), heap + 16
            while here + _OBJECT.size <= end:
                number, _, _, size = _OBJECT.unpack_from(content, here)
                if number == 0:
                    if size == 0:
                        return True
                    here += size
                else:
                    here += _OBJECT.size + (size + 7) // 8 * 8
        heap = content.find(_HEAP_SIGNATURE, heap + 1)
    return False
