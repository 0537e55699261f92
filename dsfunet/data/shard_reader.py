"""Fast reading of single samples from shard files.

zarr-python takes milliseconds per chunk with any codec. This reader reads and decodes the bytes of one chunk directly.
It knows only the layout that `dsfunet.data.store.create_store` writes; zarr reads all others.
"""

import json
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_CHECKSUM_BYTES = 4
_ABSENT = 2**64 - 1
_MOST_FILES = 65536
_SHARE_OF_FILES = 10  # of all files that a process may open, for each of four readers in each of two stores


def _allow_open_files() -> int:
    """Raise the limit of open files of this process as far as allowed, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    return _MOST_FILES if soft == resource.RLIM_INFINITY else soft


class _OpenFile:
    """A file that is open for reading as long as somebody refers to it."""

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


class ShardReader:
    """A reader of one array that has one sample per chunk; the checksum of every chunk is verified.

    Files of shards stay open, as many as the limits of the process allow, and are read without seeking, so that
    several threads may share a reader.

    Args:
        folder: folder of the array, with its zarr.json.
        shape: shape of one sample.
        dtype: data type as stored, little-endian.
        samples: number of samples in the array.
        samples_per_shard: number of samples in one shard.
    """

    def __init__(
        self, folder: Path, shape: tuple[int, ...], dtype: str, samples: int, samples_per_shard: int
    ) -> None:
        import google_crc32c
        from numcodecs.blosc import Blosc  # type: ignore[import-untyped]

        self._checksum = google_crc32c.value
        self._decode = Blosc().decode
        self._folder = folder
        self._shape = shape
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._samples = samples
        self._per_shard = samples_per_shard
        self._indices: dict[int, npt.NDArray[np.uint64]] = {}
        self.fetch: Callable[[Path], None] | None = None
        """Brings the file of a shard that is not there yet."""
        self._files: dict[int, _OpenFile] = {}
        self._most_files = _allow_open_files() // _SHARE_OF_FILES

    def __getitem__(self, index: int) -> npt.NDArray[Any]:
        """Return sample `index`; raises what `read_into` raises."""
        values = np.empty(self._shape, self._dtype)
        self.read_into(index, values)
        return values

    def read_into(self, index: int, out: npt.NDArray[Any]) -> None:
        """Decode sample `index` into a contiguous array of its size and type, of any shape.

        Raises:
            IndexError: there is no such sample.
            ValueError: a checksum is wrong, or the chunk is missing or has another size.
            OSError: the shard cannot be read.
        """
        if not -self._samples <= index < self._samples:
            raise IndexError(f"the sample is {index}; expected one of {self._samples} samples")
        shard, place = divmod(index % self._samples, self._per_shard)
        file = self._open(shard)
        if shard not in self._indices:
            self._indices[shard] = self._read_index(file)
        offset, size = map(int, self._indices[shard][place])
        if offset == _ABSENT:
            raise ValueError("the chunk was never written")
        content = self._verified(os.pread(file.descriptor, size, offset), size)
        held = int.from_bytes(content[4:8], "little")  # blosc's header: the size when decoded
        if held != out.nbytes:
            raise ValueError(f"the chunk has {held} bytes; expected {out.nbytes}")
        self._decode(content, out)

    def _file(self, shard: int) -> Path:
        return self._folder.joinpath("c", str(shard), *("0" for _ in self._shape))

    def _open(self, shard: int) -> _OpenFile:
        """Return the file of a shard, opened once: an open is a message to the metadata server of a cluster."""
        file = self._files.get(shard)
        if file is None:
            path = self._file(shard)
            if self.fetch is not None and not path.exists():
                self.fetch(path)
            file = _OpenFile(path)
            # Another thread may still read from the oldest file: it is closed when nobody refers to it any more.
            while len(self._files) >= self._most_files:
                self._files.pop(next(iter(self._files)), None)
            self._files[shard] = file
        return file

    def _read_index(self, file: _OpenFile) -> npt.NDArray[np.uint64]:
        size = 16 * self._per_shard + _CHECKSUM_BYTES
        end = os.fstat(file.descriptor).st_size
        if end < size:
            raise ValueError("it is shorter than its index")
        content = self._verified(os.pread(file.descriptor, size, end - size), size)
        return np.frombuffer(content, "<u8").reshape(self._per_shard, 2)

    def _verified(self, content: bytes, size: int) -> bytes:
        body, stored = content[:-_CHECKSUM_BYTES], content[-_CHECKSUM_BYTES:]
        if len(content) != size or self._checksum(body) != int.from_bytes(stored, "little"):
            raise ValueError("its checksum is wrong")
        return body


def open_shard_reader(
    folder: Path, shape: tuple[int, ...], dtype: str, samples: int, samples_per_shard: int
) -> ShardReader | None:
    """Return a reader for the array in a folder; None if its chunks or codecs are not those that we write."""
    try:
        description = json.loads((folder / "zarr.json").read_text(encoding="utf-8"))
        if not _is_ours(description, shape, samples_per_shard):
            return None
        return ShardReader(folder, shape, dtype, samples, samples_per_shard)
    except (OSError, ValueError, KeyError, TypeError, ImportError):
        return None  # zarr reports the error, or reads the array


def _is_ours(description: dict[str, Any], shape: tuple[int, ...], samples_per_shard: int) -> bool:
    [sharding] = description["codecs"]
    settings = sharding["configuration"]
    key = description["chunk_key_encoding"]
    return bool(
        sharding["name"] == "sharding_indexed"
        and settings["index_location"] == "end"
        and settings["chunk_shape"] == [1, *shape]
        and description["chunk_grid"]["configuration"]["chunk_shape"] == [samples_per_shard, *shape]
        and key["name"] == "default"
        and key["configuration"]["separator"] == "/"
        and [each["name"] for each in settings["codecs"]] == ["bytes", "blosc", "crc32c"]
        and [each["name"] for each in settings["index_codecs"]] == ["bytes", "crc32c"]
        and all(_is_little_endian(settings[name][0]) for name in ("codecs", "index_codecs"))
    )


def _is_little_endian(codec: dict[str, Any]) -> bool:
    # Single bytes have no byte order.
    return bool(codec.get("configuration", {}).get("endian", "little") == "little")
