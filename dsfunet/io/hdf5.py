"""Access to HDF5 files that raises nothing but InputError, however damaged the file is."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array
from dsfunet.errors import InputError, PassingError
from dsfunet.files import leading_bytes, make_printable
from dsfunet.io.hdf5_filters import is_about_filter, load_filters
from dsfunet.io.hdf5_heaps import check_heaps
from dsfunet.io.linked_files import check_external_links, find_linked_file
from dsfunet.io.written_parts import read_written_parts, refuse_raw_storage

REAL = "iuf"
"""Kinds of numpy types that hold real numbers."""

_LONGEST_TEXT = 100_000  # bytes
_LONGEST_VECTOR = 100_000  # numbers
_MOST_TEXTS = 256  # in one attribute
_MOST_MEMBERS = 1_000  # members of a group that are listed
_LARGEST_CHUNK = 2**31  # bytes; HDF5 decompresses whole chunks, however few of their numbers are read


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading inside the `with` block.

    Raises:
        InputError: the file cannot be opened, is truncated or is damaged, or has links that must not be followed; the
            message starts with its name.
    """
    path = Path(path)
    leading_bytes(path)  # which opens neither pipes nor devices
    check_heaps(path)
    try:
        file = h5py.File(path, "r")
    except Exception as error:  # mostly OSError, but not always
        raise InputError(
            f"{path}: the HDF5 file cannot be read; it is truncated or damaged ({error})"
        ) from error
    with file:
        check_external_links(file, path)
        yield file


@contextmanager
def convert_hdf5_errors() -> Iterator[None]:
    """Convert every error that HDF5 and h5py raise in the block to an InputError.

    They raise a dozen types, from KeyError for a broken link to UnicodeDecodeError for a name.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if is_about_filter(error):
            raise InputError(
                f"the data are compressed with a filter that is not installed: pip install hdf5plugin ({error})"
            ) from error
        raise InputError(f"the HDF5 file cannot be read; it is truncated or damaged ({error})") from error


def find_member(group: h5py.Group, path: str) -> h5py.Group | h5py.Dataset | None:
    """Find the group or dataset at a path below a group; None if there is none, or a link is broken.

    Raises:
        InputError: an external link on the path leads to a file or dataset that does not exist.
    """
    here: Any = group
    for name in path.strip("/").split("/"):
        if not isinstance(here, h5py.Group):
            return None
        try:
            link = here.get(name, getlink=True)
            linked = isinstance(link, h5py.ExternalLink)
            absent = linked and find_linked_file(Path(here.file.filename), link.filename) is None
            found = None if absent else here.get(name)
        except InputError:
            raise
        except Exception:  # circular links, damaged objects
            return None
        if linked and found is None:
            raise PassingError(
                f"{name} is a link to {link.path} in the file {link.filename}, which cannot be read; put that file"
                " beside this one, or check the link"
            )
        here = found
    if isinstance(here, h5py.Dataset):
        with convert_hdf5_errors():
            refuse_raw_storage(here)
    return here if isinstance(here, (h5py.Group, h5py.Dataset)) else None


def find_group(group: h5py.Group, path: str) -> h5py.Group | None:
    """Find the group at a path; None if there is nothing or something else."""
    found = find_member(group, path)
    return found if isinstance(found, h5py.Group) else None


def find_dataset(group: h5py.Group, path: str, kinds: str = REAL) -> h5py.Dataset | None:
    """Find the dataset at a path; None if there is nothing, something else, or its type is not one of `kinds`."""
    found = find_member(group, path)
    if not isinstance(found, h5py.Dataset):
        return None
    return found if get_kind(found) in kinds and get_shape(found) is not None else None


def list_members(group: h5py.Group) -> list[str]:
    """List the names of the members of a group, at most the first thousand."""
    with convert_hdf5_errors():
        return [name for name, _ in zip(group, range(_MOST_MEMBERS), strict=False)]


def get_kind(dataset: h5py.Dataset) -> str:
    """Return the kind of numpy type of a dataset: i, u, f for real numbers; ? if numpy has no such type."""
    try:
        return str(dataset.dtype.kind)
    except Exception:  # HDF5 has types that numpy lacks
        return "?"


def get_shape(dataset: h5py.Dataset) -> tuple[int, ...] | None:
    """Return the shape of a dataset; None if it has none."""
    with convert_hdf5_errors():
        return None if dataset.shape is None else tuple(map(int, dataset.shape))


def require_numbers(group: h5py.Group, path: str, expected: str, kinds: str = REAL) -> h5py.Dataset:
    """Return the dataset of real numbers at a path, without reading any of them.

    Args:
        group: group to search.
        path: path of the dataset below the group.
        expected: what the reader looks for, in words, for the message.
        kinds: kinds of numpy types to accept.

    Raises:
        InputError: there is no such dataset, or it does not hold real numbers.
    """
    found = find_member(group, path)
    if not isinstance(found, h5py.Dataset):
        raise InputError(f"dataset {path} is missing; expected {expected}")
    if get_kind(found) not in kinds or get_shape(found) is None:
        with convert_hdf5_errors():
            kind = str(found.dtype)
        raise InputError(f"dataset {path} has type {kind}; expected real numbers")
    return found


def read_small(dataset: h5py.Dataset, name: str) -> Array:
    """Read all numbers of a small dataset as float64, in its shape.

    Raises:
        InputError: the dataset holds more than 100,000 numbers, or is damaged.
    """
    shape = get_shape(dataset)
    if shape is None or np.prod([float(n) for n in shape]) > _LONGEST_VECTOR:
        raise InputError(f"dataset {name} has shape {shape}; expected at most {_LONGEST_VECTOR:,} numbers")
    check_storage(dataset)
    with convert_hdf5_errors(), np.errstate(all="ignore"):
        return read_written_parts(dataset, [slice(None)] * len(shape)).astype(np.float64)


def read_vector(
    group: h5py.Group, path: str, length: int, expected: str, finite: bool = True, kinds: str = REAL
) -> Array:
    """Read `length` numbers of a dataset of any shape, as shape (length,).

    Raises:
        InputError: the dataset is missing, does not hold `length` numbers or, unless `finite` is False, holds one
            that is not finite.
    """
    values = read_small(require_numbers(group, path, expected, kinds), path).ravel()
    if len(values) != length or (finite and not np.isfinite(values).all()):
        raise InputError(f"dataset {path} is {values[:8].tolist()}; expected {length} finite numbers")
    return values


def read_scalar(group: h5py.Group, path: str) -> float | None:
    """Read the single number of a dataset; None if there is no such dataset or its number is not finite."""
    found = find_dataset(group, path, REAL + "b")
    if found is None or found.size != 1:
        return None
    value = float(read_small(found, path).ravel()[0])
    return value if np.isfinite(value) else None


def read_text(group: h5py.Group, path: str) -> str:
    """Read the single text of a dataset, stripped of blanks; empty if there is none."""
    try:
        found = find_member(group, path)
        if not isinstance(found, h5py.Dataset) or found.size != 1 or found.dtype.itemsize > _LONGEST_TEXT:
            return ""
        if h5py.check_string_dtype(found.dtype) is None:
            return ""
        return _decode(np.asarray(found[()]).ravel()[0])
    except Exception:  # no reader depends on a text, so damage to one is ignored
        return ""


def read_attribute(thing: h5py.Group | h5py.Dataset, name: str) -> Any:
    """Read the value of an attribute; None if there is none or it cannot be read."""
    try:
        if name not in thing.attrs:
            return None
        held = thing.attrs.get_id(name)
        ragged = held.get_type().get_class() in (h5py.h5t.VLEN, h5py.h5t.STRING) and held.dtype.kind == "O"
        # Texts of variable length may all be the same one: 4 MB of them can unpack to 11 GB.
        if np.prod([float(n) for n in held.shape or ()]) > (_MOST_TEXTS if ragged else _LONGEST_VECTOR):
            return None
        return thing.attrs.get(name)
    except Exception:  # as in read_text
        return None


def read_attribute_texts(thing: h5py.Group | h5py.Dataset, name: str) -> list[str]:
    """Read an attribute that is a text or a list of texts; an empty list if it is neither."""
    value = read_attribute(thing, name)
    if value is None or isinstance(value, h5py.Empty):
        return []
    return [_decode(each) for each in np.atleast_1d(np.asarray(value, dtype=object)).ravel()[:100]]


def read_attribute_text(thing: h5py.Group | h5py.Dataset, name: str) -> str:
    """Read the text of an attribute, or the first text of a list; empty if there is none."""
    return next(iter(read_attribute_texts(thing, name)), "")


def read_attribute_number(thing: h5py.Group | h5py.Dataset, name: str) -> float | None:
    """Read the first number of an attribute; None if it is not a finite number."""
    try:
        value = float(np.asarray(read_attribute(thing, name), dtype=np.float64).ravel()[0])
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return value if np.isfinite(value) else None


def check_storage(dataset: h5py.Dataset) -> None:
    """Check that a dataset can be read in part.

    Raises:
        InputError: a chunk is larger than 2 GiB, the data are compressed with a filter that is not installed, or they
            are stored as external raw data.
    """
    with convert_hdf5_errors():
        refuse_raw_storage(dataset)
        chunks, size = dataset.chunks, int(dataset.dtype.itemsize)
        load_filters(dataset)
    if chunks and np.prod([float(n) for n in chunks]) * size > _LARGEST_CHUNK:
        raise InputError(
            f"{dataset.name} is stored in chunks of {chunks} numbers; expected chunks of at most 2 GiB"
        )


def read_block(dataset: h5py.Dataset, selection: Sequence[slice]) -> npt.NDArray[Any]:
    """Read one block of a dataset, given by one slice for each dimension, and nothing else.

    Numbers that were never written become NaN, and whole numbers float64 with them.

    Raises:
        InputError: the dataset is damaged, or assembled from files that must not be opened; or as `check_storage`.
        PassingError: it is assembled from files that are not there, for which HDF5 would silently fill in zeros.
    """
    check_storage(dataset)
    with convert_hdf5_errors():
        return read_written_parts(dataset, selection)


def _decode(value: Any) -> str:
    text = (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)).strip("\0 \n\r\t")
    return make_printable(text, keep="\n\t")
