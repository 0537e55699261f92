"""Fast reading of single samples from shard files.

zarr-python takes milliseconds per chunk with any codec. This reader reads and decodes the bytes of one chunk directly.
It knows only the layout that `dsfunet.data.store.create_store` writes; zarr reads all others.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_CHECKSUM_BYTES = 4
_ABSENT = 2**64 - 1


class ShardReader:
    """A reader of one array that has one sample per chunk; the checksum of every chunk is verified.

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

    def __getitem__(self, index: int) -> npt.NDArray[Any]:
        """Return sample `index`.

        Raises:
            IndexError: there is no such sample.
            ValueError: a checksum is wrong, or the chunk is missing or has another size.
            OSError: the shard cannot be read.
        """
        if not -self._samples <= index < self._samples:
            raise IndexError(f"the sample is {index}; expected one of {self._samples} samples")
        shard, place = divmod(index % self._samples, self._per_shard)
        with self._file(shard).open("rb") as stream:
            if shard not in self._indices:
                self._indices[shard] = self._read_index(stream)
            offset, size = map(int, self._indices[shard][place])
            if offset == _ABSENT:
                raise ValueError("the chunk was never written")
            stream.seek(offset)
            content = self._verified(stream.read(size), size)
        values = np.frombuffer(self._decode(content), self._dtype)
        if values.size != np.prod(self._shape):
            raise ValueError(f"the chunk has {values.size} values; expected {np.prod(self._shape)}")
        return values.reshape(self._shape)

    def _file(self, shard: int) -> Path:
        return self._folder.joinpath("c", str(shard), *("0" for _ in self._shape))

    def _read_index(self, stream: Any) -> npt.NDArray[np.uint64]:
        size = 16 * self._per_shard + _CHECKSUM_BYTES
        stream.seek(-size, 2)
        content = self._verified(stream.read(size), size)
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
