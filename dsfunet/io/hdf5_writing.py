"""HDF5 files that are written whole or not at all, also on a disk that becomes full."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import h5py

from dsfunet.files import name_full_disk, replacing


@contextmanager
def create_hdf5(path: Path | str) -> Iterator[h5py.File]:
    """Create an HDF5 file; it appears under its name when the block ends without an error.

    Raises:
        InputError: the file cannot be written.
        PassingError: the disk is full.
    """
    with replacing(path) as temporary, temporary.open("w+b", buffering=0) as stream:
        forgiving = ForgivingFile(stream)
        try:
            with h5py.File(forgiving, "w") as file:
                yield file
        finally:
            if forgiving.error is not None:  # it explains every other error
                with name_full_disk(Path(path)):
                    raise forgiving.error


class ForgivingFile:
    """A binary file whose writes never fail: the first error is kept, for whoever closes it.

    The HDF5 library crashes the process if it cannot write out a file that it closes. What does not fit on the disk
    any more is held in memory if it is small, since HDF5 reads its own tables again.

    Args:
        stream: The file, open for reading and writing.
    """

    _LARGEST_HELD = 1_000_000  # bytes

    def __init__(self, stream: IO[bytes]) -> None:
        self.error: OSError | None = None
        self._stream, self._place = stream, 0
        self._held: list[tuple[int, bytes]] = []

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place, as `io.RawIOBase.seek`."""
        if whence == os.SEEK_END:
            offset += max([self._stream.seek(0, os.SEEK_END), *(at + len(part) for at, part in self._held)])
        elif whence == os.SEEK_CUR:
            offset += self._place
        self._place = offset
        return offset

    def tell(self) -> int:
        """The place where the next byte is read or written."""
        return self._place

    def write(self, content: Any) -> int:
        """Write bytes at this place, or keep the error."""
        part = bytes(content)
        try:
            if self.error is not None:
                raise self.error
            self._stream.seek(self._place)
            rest = memoryview(part)
            while rest:  # the system writes at most 2 GiB at once
                rest = rest[self._stream.write(rest) :]
        except OSError as error:
            self.error = self.error or error
            if len(part) <= self._LARGEST_HELD:
                self._held.append((self._place, part))
        self._place += len(part)
        return len(part)

    def read(self, count: int) -> bytes:
        """The next bytes; h5py takes only what has this method for a file."""
        target = bytearray(count)
        self.readinto(target)
        return bytes(target)

    def readinto(self, target: Any) -> int:
        """Fill a buffer from this place on."""
        view = memoryview(target).cast("B")
        self._stream.seek(self._place)
        content = bytearray(self._stream.read(len(view)).ljust(len(view), b"\0"))
        for at, part in self._held:
            first, last = max(at, self._place), min(at + len(part), self._place + len(view))
            if first < last:
                content[first - self._place : last - self._place] = part[first - at : last - at]
        view[:] = content
        self._place += len(view)
        return len(view)

    def truncate(self, size: int) -> int:
        """Set the size of the file, or keep the error."""
        try:
            self._stream.truncate(size)
        except OSError as error:
            self.error = self.error or error
        return size

    def flush(self) -> None:
        """Do nothing: every write is passed on at once."""
