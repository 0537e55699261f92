"""Planes that come alone, without axes: NumPy .npy files."""

from pathlib import Path

import numpy as np

from dsfunet.errors import InputError
from dsfunet.io.files import NPY_SIGNATURE, leading_bytes
from dsfunet.io.measured import MeasuredPlane
from dsfunet.preprocessing import PIXELS


def read_npy(path: Path | str) -> MeasuredPlane:
    """A 256 x 256 plane of real numbers from a .npy file, which has no axes: its pixels stay as they are.

    Raises:
        InputError: the file is missing, not .npy, damaged, or holds anything but one such plane.
    """
    path = Path(path)
    start = leading_bytes(path)
    if not start.startswith(NPY_SIGNATURE):
        raise InputError(f"{path}: begins with {start[:8]!r}, expected a .npy file")
    try:
        # Mapped, so that shape and type are judged before gigabytes are read, and a short file is noticed.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a damaged header fails in any of half a dozen ways
        raise InputError(
            f"{path}: cannot be read as .npy, truncated, damaged or not numbers ({error})"
        ) from error
    if array.dtype.kind not in "iuf":
        raise InputError(f"{path}: found numbers of type {array.dtype}, expected real intensities")
    if array.ndim == 3 and array.shape[1:] == (PIXELS, PIXELS):
        planes = array.shape[0]
        raise InputError(
            f"{path}: found a stack of {planes} planes, expected one: give stacks to Python's API"
        )
    if array.shape != (PIXELS, PIXELS):
        raise InputError(
            f"{path}: found shape {array.shape}, expected {(PIXELS, PIXELS)} as there are no axes"
        )
    return MeasuredPlane(np.array(array, dtype=np.float64))
