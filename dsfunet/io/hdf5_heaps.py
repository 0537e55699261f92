"""Damage to an HDF5 file on which the library never comes back, looked for before it is asked.

HDF5 keeps texts of any length in heaps, objects one behind the other, the last of which is number 0: the free
space. Where damage has made that of no size, the library (2.0 among others) steps over it for ever, deaf to signals.
"""

import struct
import time
from functools import lru_cache
from pathlib import Path

from dsfunet.errors import InputError
from dsfunet.files import HDF5_SIGNATURE

_HEAP_SIGNATURE = b"GCOL\x01\0\0\0"
_OBJECT = struct.Struct("<HHIQ")  # number, references, nothing, bytes
_LOOKED_AT = 8_000_000
"""Bytes at either end of a file that are looked at: texts are mostly written first, or last, beside gigabytes."""

_SETTLED_SECONDS = 3.0
"""A file changed less long ago may change again within the tick of its time stamp: it is looked at each time."""

_PLACE_OF_LENGTHS = {0: 14, 1: 14, 2: 10, 3: 10}
"""Byte of the superblock, by its version, that says how many bytes a length has."""


def check_heaps(path: Path) -> None:
    """Refuse a file of which reading a text would take for ever.

    A file that is as it was is not looked through again: a volume is opened for each of its planes.

    Raises:
        InputError: free space in a heap of texts has no size; or the file cannot be read.
    """
    try:
        found = path.stat()
        settled = time.time() - max(found.st_mtime, found.st_ctime) > _SETTLED_SECONDS
        identity = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns)
        look = _has_endless_heap if settled else _has_endless_heap.__wrapped__
        endless = look(path, found.st_size, *identity)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if endless:
        raise InputError(f"{path}: HDF5 file that is damaged (free space of no size in a heap of texts)")


@lru_cache(maxsize=64)
def _has_endless_heap(path: Path, size: int, *identity: int) -> bool:
    with path.open("rb") as stream:
        start = stream.read(_LOOKED_AT)
        stream.seek(max(size - _LOOKED_AT, 0))
        parts = [start] if size <= _LOOKED_AT else [start, stream.read(_LOOKED_AT)]
    # Other files keep lengths in fewer bytes, or begin with a block of somebody else's: they are believed.
    if not start.startswith(HDF5_SIGNATURE) or len(start) < 16:
        return False
    place = _PLACE_OF_LENGTHS.get(start[8])
    if place is not None and start[place] != 8:
        return False
    return any(_is_endless(part) for part in parts)


def _is_endless(content: bytes) -> bool:
    """Whether a heap in a piece of a file has free space of size 0, and room for an object there."""
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
