"""Stores of simulated planes in Zarr v3: their layout, their checks, and reading of samples.

A store holds N planes of one split. Planes have one sample per chunk, so that training can read single samples, and
`samples_per_shard` samples per shard, so that there are few files. Per-sample metadata has one chunk per shard. The
attributes hold the recipe, the code version and a digest; `complete` is set last.

The clean scattering is not stored. Each component is normalised by its own minimum and maximum, and its `floor` is the
minimum divided by the range, so the product is exact: I ~ (form_factor + form_factor_floor) * (short_range_order +
short_range_order_floor), again normalised to [0, 1]. If noise, background or Bragg residue were added, the measured
plane is stored too, as the optional array `scattering`.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dsfunet.data.layout import layout_with
from dsfunet.data.manifests import manifest_file
from dsfunet.data.remote_files import RemoteFiles
from dsfunet.data.sample import Sample, StoredPlane, rebuild_sample, unpack_mask
from dsfunet.data.shard_reader import ShardReader, open_shard_reader
from dsfunet.errors import InputError

if TYPE_CHECKING:
    import zarr
    from zarr.storage import MemoryStore

LAYOUT_VERSION = 2
_EXPONENT = np.uint16(0x7C00)


def create_store(
    path: "Path | MemoryStore",
    samples: int,
    samples_per_shard: int,
    attributes: dict[str, Any],
    optional: Iterable[str] = (),
) -> "zarr.Group":
    """Create an empty store, marked incomplete, with all arrays of LAYOUT and the named `optional` ones.

    `path` is a folder, or a store in memory.

    Byte shuffle compresses half floats better than bit shuffle. LZ4 takes a fifth of the time of Zstandard (1.3 ms per
    plane at level 3) for a fifth more space. Without the checksum, a flipped bit would go unnoticed. The fill value of
    floats is NaN, so that an unwritten shard is not taken for data.
    """
    import zarr
    from zarr.codecs import BloscCodec

    optional = sorted(optional)
    group = zarr.create_group(store=path, zarr_format=3, overwrite=False)
    for name, layout in layout_with(optional).items():
        chunk = 1 if layout.picture else min(samples_per_shard, samples)
        group.create_array(
            name,
            shape=(samples, *layout.shape),
            dtype=layout.dtype,
            chunks=(chunk, *layout.shape),
            shards=(samples_per_shard, *layout.shape) if layout.picture else None,
            compressors=[BloscCodec(cname="lz4", clevel=5, shuffle="shuffle"), zarr.codecs.Crc32cCodec()],
            fill_value=np.nan if layout.dtype.startswith("float") else 0,
            attributes={"meaning": layout.meaning},
        )
    group.attrs.update(
        {
            "layout_version": LAYOUT_VERSION,
            "samples": samples,
            "samples_per_shard": samples_per_shard,
            "optional_arrays": optional,
            **attributes,
            "complete": False,
        }
    )
    return group


def shard_count(samples: int, samples_per_shard: int) -> int:
    """Return the number of shards for a number of samples."""
    return -(-samples // samples_per_shard)


def open_store(path: str | Path, cache_folder: str | Path | None = None) -> "Store":
    """Open a finished store for reading.

    Args:
        path: folder of the store, or its address in an object store, such as `s3://bucket/train.zarr`.
        cache_folder: folder for copies of the shards of a store with an address; see
            `dsfunet.data.remote_files.RemoteFiles`.

    Raises:
        InputError: there is no such store, it has another layout or version, or it is incomplete.
    """
    if "://" in str(path):
        remote = RemoteFiles(str(path), cache_folder)
        return Store(remote.folder, remote)
    return Store(Path(path))


def join_store(folder: str | Path, split: str) -> str | Path:
    """Return the path or the address of the store of one split in a folder."""
    return (
        f"{str(folder).rstrip('/')}/{split}.zarr" if "://" in str(folder) else Path(folder) / f"{split}.zarr"
    )


def _is_finite(values: npt.NDArray[np.float16]) -> bool:
    """Return whether half floats are all finite, by their exponents: in a fifth of the time of `np.isfinite`."""
    return bool((values.view(np.uint16) & _EXPONENT).max() < _EXPONENT)


class Store:
    """A finished store of simulated planes, read one sample at a time.

    Args:
        path: folder of the store.
        remote: files of a store with an address, of which `path` is the local folder; None for a store on a disk.

    Raises:
        InputError: there is no such store, it has another layout or version, or it is incomplete.
    """

    def __init__(self, path: Path, remote: RemoteFiles | None = None) -> None:
        import zarr
        from zarr.errors import GroupNotFoundError

        if not path.exists():
            raise InputError(f"{path}: no such store; make one with `python -m simulate`")
        try:
            self._group = zarr.open_group(path, mode="r", zarr_format=3)
        except (GroupNotFoundError, FileNotFoundError, NotADirectoryError, ValueError) as error:
            raise InputError(f"{path}: not a Zarr v3 store of simulated planes") from error
        self.path, self.remote = path, remote
        self.name = str(path) if remote is None else remote.url
        self.attributes: dict[str, Any] = dict(self._group.attrs)
        version = self.attributes.get("layout_version")
        if version is None:
            raise InputError(
                f"{path}: not a store of simulated planes (its attributes have no layout version); expected one that"
                " `python -m simulate` wrote"
            )
        if version != LAYOUT_VERSION:
            raise InputError(
                f"{path}: the store has layout version {version}; expected version {LAYOUT_VERSION}"
            )
        if not {"samples", "samples_per_shard"} <= set(self.attributes):
            raise InputError(f"{path}: the store is damaged; its attributes have no number of samples")
        self.layout = layout_with(self.attributes.get("optional_arrays", ()))
        self._check_complete()
        self._arrays: dict[str, Any] = {}
        self._readers: dict[str, Any] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        # Each worker process opens the store itself.
        return open_store, (self.name, None if self.remote is None else self.remote.cache_folder)

    def _check_complete(self) -> None:
        samples, per_shard = self.attributes["samples"], self.attributes["samples_per_shard"]
        expected = shard_count(samples, per_shard)
        written = sum(manifest_file(self.path, shard).exists() for shard in range(expected))
        if written < expected or not self.attributes.get("complete") or "digest" not in self.attributes:
            raise InputError(
                f"{self.name}: incomplete, {written} of {expected} shards written; run the same `python -m simulate`"
                " command again to finish it"
            )
        for name, layout in self.layout.items():
            array = self._group.get(name)
            shape, dtype = getattr(array, "shape", None), str(getattr(array, "dtype", None))
            if shape != (samples, *layout.shape) or dtype != layout.dtype:
                raise InputError(
                    f"{self.name}: array {name} is {shape} {dtype}; expected {(samples, *layout.shape)} {layout.dtype}"
                )

    def __len__(self) -> int:
        return int(self.attributes["samples"])

    @property
    def block(self) -> int:
        """Number of samples in one file, a shard."""
        return int(self.attributes["samples_per_shard"])

    @property
    def digest(self) -> str:
        """SHA-256 of the digests of all shards."""
        return str(self.attributes["digest"])

    def species(self, planes: int | None = None) -> list[str]:
        """Return the sorted names of the species in the first `planes` planes; None counts all planes."""
        names = self.attributes["species_names"]
        return sorted({names[index] for index in set(self.metadata("species")[:planes].reshape(-1).tolist())})

    def description(self) -> dict[str, Any]:
        """Return plain values that describe the planes in a checkpoint or a model card."""
        kept = ("split", "recipe", "recipe_digest", "species_digest", "code_version")
        given = {name: self.attributes.get(name) for name in kept}
        return {**given, "planes": len(self), "digest": self.digest, "species": self.species()}

    def array(self, name: str) -> Any:
        """Return one array of the store, opened once."""
        if name not in self._arrays:
            self._arrays[name] = self._group[name]
        return self._arrays[name]

    def sample(self, index: int) -> Sample:
        """Return plane number `index`, with its clean scattering computed from the components and their floors.

        Raises:
            InputError: the stored plane is damaged or missing.
        """
        return rebuild_sample(self.stored(index))

    def stored(self, index: int) -> StoredPlane:
        """Return plane number `index` as it is stored, in half floats and packed bits.

        Raises:
            InputError: the stored plane is damaged or missing.
        """
        form_factor, short_range_order = (
            self._picture(name, index) for name in ("form_factor", "short_range_order")
        )
        scattering = self._picture("scattering", index) if "scattering" in self.layout else None
        mask = self._picture("mask", index)
        pictures = (form_factor, short_range_order, *(() if scattering is None else (scattering,)))
        # If the file of a shard is missing, zarr gives the fill values.
        if not (all(_is_finite(each) for each in pictures) and mask.any()):
            raise self._missing(index)
        return StoredPlane(form_factor, short_range_order, mask, self.floors(index), scattering)

    def read_into(self, index: int, pictures: npt.NDArray[np.float16], mask: npt.NDArray[np.uint8]) -> None:
        """Decode plane number `index` into given arrays, without copies.

        Args:
            index: number of the plane.
            pictures: (2 or 3, 65536), contiguous: both components and, if it is stored, the scattering.
            mask: (8192,), contiguous, eight pixels of a row per byte.

        Raises:
            InputError: the stored plane is damaged or missing.
        """
        names = ("form_factor", "short_range_order", "scattering")[: len(pictures)]
        for name, out in zip((*names, "mask"), (*pictures, mask), strict=True):
            self._read_into(name, index, out)
        if not (_is_finite(pictures) and mask.any()):
            raise self._missing(index)

    def floors(self, index: int) -> tuple[float, float]:
        """Return the minima of I_FF and I_SRO of plane number `index`, divided by their ranges."""
        form_factor, short_range_order = self._floors()[:, index].tolist()
        return form_factor, short_range_order

    def mask(self, index: int) -> npt.NDArray[np.bool_]:
        """Return the mask (256, 256) of plane number `index`, True = measured, without the rest of the plane.

        Raises:
            InputError: the stored mask is damaged or missing.
        """
        return unpack_mask(self.packed_mask(index))

    def packed_mask(self, index: int) -> npt.NDArray[np.uint8]:
        """Return the mask of plane number `index` as it is stored, (256, 32), eight pixels of a row per byte.

        Raises:
            InputError: the stored mask is damaged or missing.
        """
        mask = self._picture("mask", index)
        if not mask.any():  # the fill values, as in `sample`
            raise self._missing(index)
        return mask

    def _missing(self, index: int) -> InputError:
        return InputError(f"{self.name}: sample {index} is missing; its shard was deleted or never written")

    def _picture(self, name: str, index: int) -> npt.NDArray[Any]:
        layout = self.layout[name]
        values = np.empty(layout.shape, layout.dtype)
        self._read_into(name, index, values)
        return values

    def _read_into(self, name: str, index: int, out: npt.NDArray[Any]) -> None:
        if name not in self._readers:
            self._readers[name] = self._reader(name)
        reader = self._readers[name]
        try:
            if isinstance(reader, ShardReader):
                reader.read_into(index, out)
            else:
                out[:] = np.asarray(reader[index]).reshape(out.shape)
        except FileNotFoundError as error:
            raise self._missing(index) from error
        except (ValueError, RuntimeError, OSError) as error:  # a checksum, a codec, a short file
            raise InputError(f"{self.name}: {name} of sample {index} is damaged ({error})") from error

    def _reader(self, name: str) -> Any:
        layout = self.layout[name]
        per_shard = self.attributes["samples_per_shard"]
        reader = open_shard_reader(self.path / name, layout.shape, layout.dtype, len(self), per_shard)
        if reader is None:
            return self.array(name)
        reader.fetch = None if self.remote is None else self.remote.fetch
        return reader

    def _floors(self) -> npt.NDArray[np.float32]:
        if "floors" not in self._arrays:
            names = ("form_factor_floor", "short_range_order_floor")
            self._arrays["floors"] = np.stack([np.asarray(self._group[name]) for name in names])
        floors: npt.NDArray[np.float32] = self._arrays["floors"]
        return floors

    def metadata(self, name: str) -> npt.NDArray[Any]:
        """Return a whole metadata array, such as species, cell or order_kind, with one entry per sample.

        Raises:
            InputError: the array is damaged.
        """
        try:
            return np.asarray(self.array(name)[:])
        except (ValueError, RuntimeError, OSError) as error:  # a checksum, a codec, a short file
            raise InputError(f"{self.name}: {name} is damaged ({error})") from error
