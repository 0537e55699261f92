"""Which numbers of an HDF5 dataset were ever written: for all others the library returns zeros, or any other number.

Parts are never written while a measurement goes on, after a crash, and where a virtual dataset has no source.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import h5py
import numpy as np
import numpy.typing as npt

from dsfunet.errors import InputError, PassingError
from dsfunet.io.linked_files import check_external_links, find_linked_file

Missing: TypeAlias = npt.NDArray[np.bool_] | None
"""Where a block was never written; None if all of it was."""

_DEEPEST = 8
_MOST_NUMBERED_FILES = 100_000


def read_written_parts(dataset: h5py.Dataset, selection: Sequence[slice]) -> npt.NDArray[Any]:
    """Read a block of a dataset; real numbers that were never written become NaN, whole numbers float64 with them.

    Raises:
        InputError: the data come from files that must not be opened.
        PassingError: the data come from files that are not there.
    """
    missing: Missing = None
    if dataset.dtype.kind in "iufb" and dataset.shape is not None:
        ranges = [range(*each.indices(n)) for each, n in zip(selection, dataset.shape, strict=True)]
        missing = _find_missing(dataset, ranges)
    block = np.asarray(dataset[tuple(selection)])
    if missing is None or not missing.any():
        return block
    values = block.copy() if block.dtype.kind == "f" else block.astype(np.float64)
    values[missing] = np.nan
    return values


def refuse_raw_storage(dataset: h5py.Dataset) -> None:
    """Refuse data that stand in another file of any format: that could be each file that the user may read.

    Raises:
        InputError: the dataset has external raw storage.
    """
    if dataset.id.get_create_plist().get_external_count():
        raise InputError(
            f"{dataset.name} is stored outside the file, as external raw data; write it into an HDF5 file"
        )


def _find_missing(dataset: h5py.Dataset, ranges: Sequence[range], depth: int = 0) -> Missing:
    refuse_raw_storage(dataset)
    if not all(map(len, ranges)):
        return None
    if dataset.is_virtual:
        return _find_missing_of_virtual(dataset, ranges, depth)
    if dataset.chunks is not None:
        return _find_missing_chunks(dataset, ranges)
    # A compact dataset lies in the header of its object and has no place of its own.
    contiguous = dataset.id.get_create_plist().get_layout() == h5py.h5d.CONTIGUOUS
    return np.ones(tuple(map(len, ranges)), bool) if contiguous and dataset.id.get_offset() is None else None


def _find_missing_chunks(dataset: h5py.Dataset, ranges: Sequence[range]) -> Missing:
    sides = dataset.chunks
    total = math.prod(-(-n // side) for n, side in zip(dataset.shape, sides, strict=True))
    if dataset.id.get_num_chunks() >= total:
        return None
    missing = np.ones(tuple(map(len, ranges)), bool)

    def note(chunk: Any) -> None:
        missing[
            tuple(
                _places(each, first, first + side)
                for each, first, side in zip(ranges, chunk.chunk_offset, sides, strict=True)
            )
        ] = False

    dataset.id.chunk_iter(note)
    return missing


def _places(coordinates: range, first: int, end: int) -> slice:
    """Which members of an increasing range lie from `first` up to `end`, that one excluded."""
    begin = max(-(-(first - coordinates.start) // coordinates.step), 0)
    return slice(begin, max(-(-(end - coordinates.start) // coordinates.step), 0))


def _find_missing_of_virtual(dataset: h5py.Dataset, ranges: Sequence[range], depth: int) -> Missing:
    if depth > _DEEPEST:
        raise InputError(f"{dataset.name} is assembled from virtual datasets more than {_DEEPEST} deep")
    missing = np.ones(tuple(map(len, ranges)), bool)
    for source in dataset.virtual_sources():
        inside = _select(source.vspace, ranges)
        if not all(each.any() for each in inside):
            continue
        parts = [
            _find_missing_of_source(dataset, name, source, inside, ranges, depth)
            for name in _list_file_names(dataset, source.file_name)
        ]
        unwritten = [each for each in parts if each is not None]
        missing[np.ix_(*inside)] &= np.any(unwritten, axis=0) if unwritten else False
    return missing if missing.any() else None


def _find_missing_of_source(
    dataset: h5py.Dataset,
    name: str,
    source: Any,
    inside: Sequence[npt.NDArray[np.bool_]],
    ranges: Sequence[range],
    depth: int,
) -> Missing:
    with _open_source(dataset, name) as file:
        try:
            found = file[source.dset_name]
        except KeyError as error:
            raise PassingError(
                f"{dataset.name} is assembled from other files, and {name} has no dataset {source.dset_name}"
            ) from error
        if not isinstance(found, h5py.Dataset):
            raise InputError(f"{source.dset_name} in {name} is not a dataset; expected one")
        begin, outer = (_first_corner(each, found.ndim) for each in (source.src_space, source.vspace))
        if begin is not None and outer is not None and len(begin) == len(outer) == found.ndim:
            # The same box in both: the numbers of the source that belong to those that are read.
            moved = []
            for coordinates, mask, first, other in zip(ranges, inside, begin, outer, strict=True):
                places = np.flatnonzero(mask)
                start, stop = coordinates[int(places[0])], coordinates[int(places[-1])]
                moved.append(range(start - other + first, stop - other + first + 1, coordinates.step))
            return _find_missing(found, moved, depth + 1)
        everything = [range(n) for n in found.shape]
        unwritten = _find_missing(found, everything, depth + 1)
        return None if unwritten is None else np.ones(tuple(int(each.sum()) for each in inside), bool)


@contextmanager
def _open_source(dataset: h5py.Dataset, name: str) -> Iterator[h5py.File]:
    if name == ".":
        yield dataset.file
        return
    path = find_linked_file(Path(dataset.file.filename), name)
    if path is None:
        raise PassingError(
            f"{dataset.name} is assembled from other files, and {name} is missing; put it beside this file"
        )
    with h5py.File(path, "r") as file:
        check_external_links(file, path)
        yield file


def _list_file_names(dataset: h5py.Dataset, name: str) -> Iterator[str]:
    """The files that the name of a source means; %b in it counts from 0, as far as there are files."""
    if "%" not in name:
        yield name
    elif "%b" not in name.replace("%%", ""):
        yield name.replace("%%", "%")
    else:
        beside = Path(dataset.file.filename).parent
        for number in itertools.islice(itertools.count(), _MOST_NUMBERED_FILES):
            each = name.replace("%%", "\0").replace("%b", str(number)).replace("\0", "%")
            if number and not (beside / each).exists():
                return
            yield each


def _select(space: h5py.h5s.SpaceID, ranges: Sequence[range]) -> list[npt.NDArray[np.bool_]]:
    """For each dimension, which coordinates a selection holds; its bounding box where it is irregular."""
    coordinates = [np.arange(each.start, each.stop, each.step) for each in ranges]
    if space.get_select_type() == h5py.h5s.SEL_ALL:
        return [np.ones(len(each), bool) for each in coordinates]
    if not space.is_regular_hyperslab():
        lowest, highest = space.get_select_bounds()
        return [(each >= a) & (each <= b) for each, a, b in zip(coordinates, lowest, highest, strict=True)]
    return [
        (each >= start)
        & ((each - start) % max(stride, block) < block)
        & ((each - start) // max(stride, block) < (np.inf if count == h5py.h5s.UNLIMITED else count))
        for each, start, stride, count, block in zip(coordinates, *space.get_regular_hyperslab(), strict=True)
    ]  # the stride of a single block may be anything


def _first_corner(space: h5py.h5s.SpaceID, dimensions: int) -> tuple[int, ...] | None:
    """The first coordinates of a selection that is a box without holes; None for any other."""
    if space.get_select_type() == h5py.h5s.SEL_ALL:
        return (0,) * dimensions
    if not space.is_regular_hyperslab():
        return None
    start, stride, count, block = space.get_regular_hyperslab()
    solid = all(n == 1 or step == size for step, n, size in zip(stride, count, block, strict=True))
    return tuple(map(int, start)) if solid else None
