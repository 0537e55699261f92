"""Arrays of NumPy: .npy, a plane or a volume without axes, and .npz, whose arrays h, k, l are its axes."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from dsfunet.errors import InputError
from dsfunet.files import NPY_SIGNATURE
from dsfunet.io.formats.arrays import ArrayFile, Numbers
from dsfunet.io.formats.damage import MOST_COMPRESSED, MOST_VALUES, convert_errors
from dsfunet.io.formats.named_arrays import sort_arrays
from dsfunet.io.volume import MOST_PIXELS
from dsfunet.planes.preprocessing import PIXELS

NPZ_SIGNATURE = b"PK\x03\x04"

_TROUBLE = "cannot be read; it is truncated, damaged or does not hold numbers"


def recognises(start: bytes) -> bool:
    """Whether a file that begins with these bytes is .npy or .npz."""
    return start.startswith((NPY_SIGNATURE, NPZ_SIGNATURE))


def read_arrays(path: Path, start: bytes) -> ArrayFile:
    """Read the array of a .npy file, which stays on disk, or the arrays of a .npz file.

    Raises:
        InputError: the file is damaged, or does not hold real numbers of two to four dimensions.
    """
    if start.startswith(NPZ_SIGNATURE):
        return _read_npz(path)
    with convert_errors(None, f"the .npy file {_TROUBLE}"):
        # Mapped, so that shape and type are checked before gigabytes are read, and a short file is noticed.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        _check_array(array.shape, array.dtype)
        return ArrayFile(".npy", array)


def _read_npz(path: Path) -> ArrayFile:
    with convert_errors(None, f"the .npz file {_TROUBLE}"), zipfile.ZipFile(path) as archive:
        shapes = {
            name: _read_npy_header(archive, name) for name in archive.namelist() if name.endswith(".npy")
        }
        arrays: dict[str, Numbers] = {}
        for name, (shape, dtype) in shapes.items():
            if len(shape) >= 2:
                _check_array(shape, dtype, MOST_VALUES)
            if not dtype.hasobject:
                with archive.open(name) as stream:
                    arrays[name.removesuffix(".npy")] = np.lib.format.read_array(stream, allow_pickle=False)
        return sort_arrays(arrays, ".npz")


def _read_npy_header(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Read the shape and type of an array in an archive, and check them against the size of the archive's entry."""
    entry = archive.getinfo(name)
    with archive.open(name) as stream:
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in read:
            raise InputError(f"array {name} has the .npy version {version}; expected 1.0 or 2.0")
        shape, _, dtype = read[version](stream)
    size = int(np.prod([int(count) for count in shape], dtype=object)) * dtype.itemsize
    if not dtype.hasobject and not 0 < entry.file_size - size < 2**16:
        raise InputError(
            f"array {name} has shape {shape} and {entry.file_size} bytes; expected {size} bytes (the file is damaged)"
        )
    if entry.file_size > MOST_COMPRESSED * max(entry.compress_size, 1):
        raise InputError(
            f"array {name} has {entry.file_size} bytes packed into {entry.compress_size}; expected a compression of at"
            f" most {MOST_COMPRESSED} (the file is damaged)"
        )
    return shape, dtype


def _check_array(shape: tuple[int, ...], dtype: np.dtype[Any], most_values: int | None = None) -> None:
    if dtype.kind not in "iuf":
        raise InputError(f"the numbers have type {dtype}; expected real intensities")
    thick = [count for count in shape if count != 1]
    if len(shape) < 2 or len(thick) not in (2, 3, 4) or min(thick) < 2:
        raise InputError(
            f"the array has shape {shape}; expected {(PIXELS, PIXELS)}, or another plane or volume with axes"
        )
    values = int(np.prod([int(count) for count in shape], dtype=object))
    if len(thick) == 2 and values > MOST_PIXELS:
        raise InputError(f"the plane has shape {shape}; expected at most {MOST_PIXELS} pixels")
    if most_values is not None and values > most_values:
        raise InputError(f"the array has shape {shape}; expected at most {most_values:,} values")
