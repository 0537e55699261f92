"""Compression filters of HDF5 datasets: those of hdf5plugin are loaded where it is installed, and named where not."""

import importlib

import h5py

from dsfunet.errors import InputError

_NAMES = {
    4: "szip",
    305: "lzo",
    307: "bzip2",
    32000: "lzf",
    32001: "blosc",
    32004: "lz4",
    32008: "bitshuffle",
    32013: "zfp",
    32015: "zstd",
    32017: "sz",
    32018: "fcidecomp",
    32024: "sz3",
    32026: "blosc2",
    32028: "sperr",
}
"""Names of registered filters, by number."""


def load_filters(dataset: h5py.Dataset) -> None:
    """Make the filters of a dataset available, or refuse it before HDF5 fails with a message about plugins.

    Raises:
        InputError: a filter is missing.
    """
    numbers = _list_filters(dataset)
    if not dataset.is_virtual and all(map(_is_available, numbers)):
        return
    loaded = _load_plugins()  # the files behind a virtual dataset may have any filter
    for number in numbers:
        if not _is_available(number):
            name = f"{dataset.name.strip('/')} is compressed with filter {number} ({_NAMES.get(number, 'unknown')})"
            raise InputError(
                f"{name}, which hdf5plugin does not have; write the file without it"
                if loaded
                else f"{name}: pip install hdf5plugin"
            )


def is_about_filter(error: Exception) -> bool:
    """Whether HDF5 failed because the data behind a virtual dataset need a filter that is missing."""
    text = str(error).lower()
    return "plugin" in text or "required filter" in text


def _list_filters(dataset: h5py.Dataset) -> list[int]:
    created = dataset.id.get_create_plist()
    return [int(created.get_filter(place)[0]) for place in range(created.get_nfilters())]


def _is_available(number: int) -> bool:
    # Asking HDF5 about other filters would make it search its folder of plugins.
    return number in (1, 2, 3, 5, 6, 32000) or bool(h5py.h5z.filter_avail(number))


def _load_plugins() -> bool:
    try:
        importlib.import_module("hdf5plugin")
    except ImportError:
        return False
    return True
