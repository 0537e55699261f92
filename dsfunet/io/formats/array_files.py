"""Files that hold an array, with or without axes, in formats other than HDF5: which reader takes which file."""

from pathlib import Path

from dsfunet.io.formats import detector_images, maps, matlab, numpy_arrays, text_tables, vtk, vtk_xml
from dsfunet.io.formats.arrays import ArrayFile
from dsfunet.io.hdf5 import open_hdf5

EXPECTED = "MATLAB (.mat), a table of numbers, nipl of DISCUS, VTK, a CCP4 or XPLOR map, CBF or EDF"
"""What these readers look for, in words, for messages."""

_LONGEST_START = 8192


def read_array_file(path: Path, start: bytes) -> ArrayFile | None:
    """Read the array in a file; None if the file has another format.

    Args:
        path: the file.
        start: its first bytes.

    Raises:
        InputError: the file has one of these formats and is damaged, or does not hold a plane or a volume.
    """
    if numpy_arrays.recognises(start):
        return numpy_arrays.read_arrays(path, start)
    with path.open("rb") as stream:
        start = stream.read(_LONGEST_START)
    if start.startswith(matlab.SIGNATURE_HDF5):
        with open_hdf5(path) as file:
            return matlab.read_open_file(file)
    if matlab.recognises_old(start):
        return matlab.read_arrays(path, start)
    for reader in (maps, vtk_xml, vtk, detector_images, text_tables):
        if reader.recognises(start):
            found: ArrayFile = reader.read_array(path)
            return found
    return None


def name_array_file(start: bytes) -> str:
    """Return what a file that begins with these bytes is called, in a word or two."""
    if numpy_arrays.recognises(start):
        return ".npz" if start.startswith(numpy_arrays.NPZ_SIGNATURE) else ".npy"
    if start.startswith(b"MATLAB 7") or matlab.recognises_old(start):
        return "MATLAB"
    return "CBF" if start.startswith(b"###CBF") else "EDF" if start.startswith(b"{") else "text"
