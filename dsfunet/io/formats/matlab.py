"""MATLAB files: version 4 to 7 through scipy, and version 7.3, which is HDF5 with reversed dimensions."""

from pathlib import Path

import h5py
import numpy as np

from dsfunet.errors import InputError
from dsfunet.io.formats.arrays import ArrayFile, Numbers
from dsfunet.io.formats.damage import MOST_VALUES
from dsfunet.io.formats.named_arrays import sort_arrays
from dsfunet.io.hdf5 import find_dataset, get_shape, list_members, read_attribute_text, read_block

_KINDS_OF_VERSION_4 = {order: range(begin, begin + 60, 10) for order, begin in (("<i4", 0), (">i4", 1000))}
"""Types of numbers of a full matrix of version 4, in either order of bytes."""

SIGNATURE_HDF5 = b"MATLAB 7.3 MAT-f"
"""The beginning of the block before the HDF5 part of a file of version 7.3."""


def recognises_old(start: bytes) -> bool:
    """Whether a file that begins with these bytes is a MATLAB file of version 5 to 7, or of version 4."""
    return start.startswith(b"MATLAB 5.0 MAT-file") or _recognises_version_4(start)


def _recognises_version_4(start: bytes) -> bool:
    """Whether the first bytes are the header of a matrix of version 4: five numbers and a name that ends in a zero."""
    if len(start) < 24:
        return False
    for order in ("<i4", ">i4"):
        kind, rows, columns, is_complex, length = np.frombuffer(start[:20], order).tolist()
        name = start[20 : 20 + max(min(length, 64), 0)]
        if (
            kind in _KINDS_OF_VERSION_4[order]
            and min(rows, columns) > 0
            and is_complex == 0
            and 1 < length <= 64
            and name.endswith(b"\0")
            and name[:-1].isascii()
            and name[:-1].decode().isidentifier()
        ):
            return True
    return False


def read_arrays(path: Path, start: bytes) -> ArrayFile:
    """Read the arrays of a file of version 4 to 7.

    Args:
        path: the file.
        start: its first bytes.

    Raises:
        InputError: the file is damaged, or holds no array of intensities.
    """
    from scipy.io import loadmat, whosmat  # takes time to import, and only these files need it

    version = "v5" if start.startswith(b"MATLAB") else "v4"
    try:
        held = whosmat(str(path))
        if sum(float(np.prod(shape)) for _, shape, _ in held) > MOST_VALUES:
            raise InputError(f"a MATLAB {version} file with more than {MOST_VALUES:,} values; expected fewer")
        arrays: dict[str, Numbers] = loadmat(str(path))
    except InputError:
        raise
    except Exception as error:  # damaged files fail in a dozen ways
        raise InputError(
            f"a MATLAB {version} file that cannot be read; it is truncated or damaged ({error})"
        ) from error
    plain = {name: array for name, array in arrays.items() if isinstance(array, np.ndarray)}
    if not any(array.dtype.kind in "iuf" for array in plain.values()):
        found = ", ".join(name for name in arrays if not name.startswith("__")) or "nothing"
        raise InputError(
            f"a MATLAB {version} file with {found}; expected an array of intensities (not in a struct)"
        )
    return sort_arrays(plain, f"MATLAB {version}")


def recognises(file: h5py.File) -> bool:
    """Whether an open HDF5 file is a MATLAB file of version 7.3: each of its variables names its class."""
    for name in list_members(file)[:50]:
        found = find_dataset(file, name, "iufb")
        if found is not None and read_attribute_text(found, "MATLAB_class"):
            return True
    return False


def read_open_file(file: h5py.File) -> ArrayFile:
    """Read the arrays of an open file of version 7.3.

    Raises:
        InputError: an array is damaged or too large, or none is an array of intensities.
    """
    arrays: dict[str, Numbers] = {}
    for name in list_members(file)[:200]:
        found = find_dataset(file, name, "iufb")
        shape = None if found is None else get_shape(found)
        if found is None or shape is None or not read_attribute_text(found, "MATLAB_class"):
            continue
        if np.prod([float(count) for count in shape]) > MOST_VALUES:
            raise InputError(f"array {name} has shape {shape}; expected at most {MOST_VALUES:,} values")
        # MATLAB counts dimensions from the fastest.
        arrays[name] = read_block(found, [slice(None)] * len(shape)).T
    return sort_arrays(arrays, "MATLAB v7.3")
