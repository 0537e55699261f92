"""What readers ask of an HDF5 file, so that nothing it holds, however damaged, fails otherwise than as InputError."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.io.hdf5_heaps import check_heaps

REAL = "iuf"
"""Kinds of numpy types that are real numbers."""

_LONGEST_TEXT = 100_000  # bytes
_LONGEST_VECTOR = 100_000  # numbers
_MOST_MEMBERS = 1_000  # of a group that are looked at
_LARGEST_CHUNK = 2**31  # bytes; HDF5 decompresses whole chunks, however few of their numbers are asked for


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file to be read while the block lasts.

    Raises:
        InputError: it cannot be opened, is truncated or damaged.
    """
    check_heaps(path)
    try:
        file = h5py.File(path, "r")
    except Exception as error:  # mostly OSError, but not always
        raise InputError(f"{path}: HDF5 file that cannot be read, truncated or damaged ({error})") from error
    with file:
        yield file


@contextmanager
def convert_hdf5_errors() -> Iterator[None]:
    """Whatever HDF5 and h5py raise in the block, as an InputError that blames the file.

    They raise a dozen types, from KeyError for a link that leads nowhere to UnicodeDecodeError for a name.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"HDF5 file that cannot be read, truncated or damaged ({error})") from error


def find_member(group: h5py.Group, path: str) -> h5py.Group | h5py.Dataset | None:
    """The group or dataset at a path below a group; None where there is none, or links lead nowhere.

    Raises:
        InputError: an external link on the way leads to a file that is not there.
    """
    here: Any = group
    for name in path.strip("/").split("/"):
        if not isinstance(here, h5py.Group):
            return None
        try:
            link = here.get(name, getlink=True)
            linked = isinstance(link, h5py.ExternalLink)
            # Looked for first: HDF5 would wait for ever for a pipe to say something.
            found = None if linked and not _exists(here, link.filename) else here.get(name)
        except Exception:  # links that go in circles, objects that are damaged
            return None
        if linked and found is None:
            raise InputError(
                f"{name} is a link to {link.path} in the file {link.filename}, "
                "which is not there, cannot be opened or holds nothing of that name"
            )
        here = found
    return here if isinstance(here, (h5py.Group, h5py.Dataset)) else None


def find_group(group: h5py.Group, path: str) -> h5py.Group | None:
    """The group at a path, None where there is anything else or nothing."""
    found = find_member(group, path)
    return found if isinstance(found, h5py.Group) else None


def find_dataset(group: h5py.Group, path: str, kinds: str = REAL) -> h5py.Dataset | None:
    """The dataset at a path, None where there is anything else, nothing, or its type is not one of `kinds`."""
    found = find_member(group, path)
    if not isinstance(found, h5py.Dataset):
        return None
    return found if get_kind(found) in kinds and get_shape(found) is not None else None


def list_members(group: h5py.Group) -> list[str]:
    """Names of what a group holds, at most the first thousand."""
    with convert_hdf5_errors():
        return [name for name, _ in zip(group, range(_MOST_MEMBERS), strict=False)]


def get_kind(dataset: h5py.Dataset) -> str:
    """Kind of numpy type of a dataset: i, u, f for real numbers; ? where numpy has no such type."""
    try:
        return str(dataset.dtype.kind)
    except Exception:  # HDF5 knows types that numpy does not
        return "?"


def get_shape(dataset: h5py.Dataset) -> tuple[int, ...] | None:
    """Shape of a dataset, None where it has none."""
    with convert_hdf5_errors():
        return None if dataset.shape is None else tuple(map(int, dataset.shape))


def require_numbers(group: h5py.Group, path: str, expected: str, kinds: str = REAL) -> h5py.Dataset:
    """The dataset of real numbers at a path; none of them is read.

    Raises:
        InputError: there is none, and `expected` says what was looked for, or it holds something else.
    """
    found = find_member(group, path)
    if not isinstance(found, h5py.Dataset):
        raise InputError(f"dataset {path} is missing: expected {expected}")
    if get_kind(found) not in kinds or get_shape(found) is None:
        with convert_hdf5_errors():
            kind = str(found.dtype)
        raise InputError(f"dataset {path} is of type {kind}: expected real numbers")
    return found


def read_small(dataset: h5py.Dataset, name: str) -> Array:
    """All numbers of a small dataset, float64, in its shape.

    Raises:
        InputError: it holds more than 100,000 numbers.
    """
    shape = get_shape(dataset)
    if shape is None or np.prod([float(n) for n in shape]) > _LONGEST_VECTOR:
        raise InputError(f"dataset {name} of shape {shape}: expected a few numbers")
    check_storage(dataset)
    with convert_hdf5_errors(), np.errstate(all="ignore"):
        return np.asarray(dataset[()], dtype=np.float64)


def read_vector(
    group: h5py.Group, path: str, length: int, expected: str, finite: bool = True, kinds: str = REAL
) -> Array:
    """The numbers of a dataset, (length,), whatever its shape.

    Raises:
        InputError: the dataset is missing, holds other than `length` numbers or, unless `finite` is False, one
            that is not finite.
    """
    values = read_small(require_numbers(group, path, expected, kinds), path).ravel()
    if len(values) != length or (finite and not np.isfinite(values).all()):
        raise InputError(f"dataset {path} is {values[:8].tolist()}: expected {length} finite numbers")
    return values


def read_scalar(group: h5py.Group, path: str) -> float | None:
    """The one number of a dataset, None where there is none such."""
    found = find_dataset(group, path, REAL + "b")
    if found is None or found.size != 1:
        return None
    value = float(read_small(found, path).ravel()[0])
    return value if np.isfinite(value) else None


def read_text(group: h5py.Group, path: str) -> str:
    """The one text in a dataset, without blanks around it; empty where there is none."""
    try:
        found = find_member(group, path)
        if not isinstance(found, h5py.Dataset) or found.size != 1 or found.dtype.itemsize > _LONGEST_TEXT:
            return ""
        if h5py.check_string_dtype(found.dtype) is None:
            return ""
        return _decode(np.asarray(found[()]).ravel()[0])
    except Exception:  # a text is never needed: damage to it is damage to nothing
        return ""


def read_attribute(thing: h5py.Group | h5py.Dataset, name: str) -> Any:
    """Value of an attribute, None where there is none that can be read."""
    try:
        return thing.attrs.get(name)
    except Exception:  # as in text
        return None


def read_attribute_texts(thing: h5py.Group | h5py.Dataset, name: str) -> list[str]:
    """The texts of an attribute that is one text or a list of texts; none where it is neither."""
    value = read_attribute(thing, name)
    if value is None or isinstance(value, h5py.Empty):
        return []
    return [_decode(each) for each in np.atleast_1d(np.asarray(value, dtype=object)).ravel()[:100]]


def read_attribute_text(thing: h5py.Group | h5py.Dataset, name: str) -> str:
    """The text of an attribute, the first where it is a list, empty where there is none."""
    return next(iter(read_attribute_texts(thing, name)), "")


def read_attribute_number(thing: h5py.Group | h5py.Dataset, name: str) -> float | None:
    """The one finite number of an attribute, None where it is anything else."""
    try:
        value = float(np.asarray(read_attribute(thing, name), dtype=np.float64).ravel()[0])
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return value if np.isfinite(value) else None


def check_storage(dataset: h5py.Dataset) -> None:
    """Refuse a dataset that cannot be read in part, or that HDF5 would make up.

    Raises:
        InputError: a chunk takes more than 2 GiB, or the dataset is put together from files that are not there:
            HDF5 fills in zeros for them.
    """
    with convert_hdf5_errors():
        chunks, size = dataset.chunks, int(dataset.dtype.itemsize)
        sources = {source.file_name for source in dataset.virtual_sources()} if dataset.is_virtual else set()
        missing = sorted(name for name in sources if "%" not in name and not _exists(dataset, name))
    if missing:
        raise InputError(
            f"{dataset.name} is put together from other files, of which {missing[0]} is not there"
        )
    if chunks and np.prod([float(n) for n in chunks]) * size > _LARGEST_CHUNK:
        raise InputError(f"{dataset.name} is stored in chunks of {chunks} numbers: expected less than 2 GiB")


def read_block(dataset: h5py.Dataset, selection: Sequence[slice]) -> npt.NDArray[Any]:
    """A block of a dataset, one slice for each of its dimensions, and nothing else of it."""
    check_storage(dataset)
    with convert_hdf5_errors():
        return np.asarray(dataset[tuple(selection)])


def _exists(here: h5py.Group | h5py.Dataset, name: str) -> bool:
    """Whether a file that a link names is there, at its path or beside the file with the link, as HDF5 looks for it."""
    if name == ".":
        return True
    beside = Path(here.file.filename).parent
    return any(place.is_file() for place in (beside / name, beside / Path(name).name, Path(name)))


def _decode(value: Any) -> str:
    return (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)).strip("\0 \n\r\t")
