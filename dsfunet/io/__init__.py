"""Users' files: planes in, results out. Formats are told apart by content, never by name."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from dsfunet.errors import InputError
from dsfunet.files import HDF5_SIGNATURE, check_writable, leading_bytes
from dsfunet.io.cell_parameters import cells_agree
from dsfunet.io.formats import disorder, images, mantid, nxdata, rspace3d, yell
from dsfunet.io.formats.images import read_picture
from dsfunet.io.hdf5 import list_members, open_hdf5
from dsfunet.io.oblique_planes import read_oblique_plane
from dsfunet.io.results import is_result, read_result, write_result
from dsfunet.io.user_axes import UserAxes
from dsfunet.io.volume import Volume
from dsfunet.physics import Cell
from dsfunet.planes.measured import MeasuredPlane, PlaneGrid
from dsfunet.planes.names import PlaneName, SpannedPlaneName, parse_plane, parse_plane_name
from dsfunet.planes.result import Result

__all__ = [
    "MeasuredPlane",
    "PlaneGrid",
    "PlaneName",
    "Result",
    "UserAxes",
    "Volume",
    "check_writable",
    "open_volume",
    "parse_plane",
    "parse_plane_name",
    "read_plane",
    "read_result",
    "write_result",
]

# The most specific first: an MDHisto workspace is NXdata too, and a Yell file may hold anything besides.
_HDF5_READERS = (mantid, disorder, yell, rspace3d, nxdata)


def read_plane(
    path: Path | str,
    plane_name: str | None = None,
    axes: UserAxes | None = None,
    cell: Cell | None = None,
) -> MeasuredPlane:
    """The plane in a user's file, or the plane of that name out of a volume.

    `plane_name` is what `parse_plane` takes, and is needed for volumes of more than one layer. `axes` say where
    the pixels of a picture lie that has none; without them it must be 256 x 256. `cell` stands for that of a volume
    which has none that makes sense.

    Raises:
        InputError: the file is missing, damaged or not understood, or holds no such plane; or it has axes or a cell of
            its own and is given others.
    """
    path = Path(path)
    start = leading_bytes(path)
    picture = read_picture(path, start, plane_name, axes)
    if picture is not None:
        if cell is not None and axes is None:
            _check_cell_of_picture(path, picture, cell)
        return picture
    # is_hdf5 also finds a signature behind a user block, but says no to some truncated files.
    if not (start.startswith(HDF5_SIGNATURE) or h5py.is_hdf5(path)):
        raise InputError(
            f"{path}: begins with {start[:8]!r}, expected a .npy plane or an HDF5 volume, or {images.EXPECTED}"
        )
    if axes is not None:
        raise InputError(f"{path}: a volume has axes of its own, expected none from options")
    if is_result(path):
        measured = _spanned_result(path, plane_name)
        if measured is not None:
            if cell is not None:
                _check_cell_of_picture(path, measured, cell)
            return measured
    with open_volume(path) as volume:
        if cell is not None:
            _check_same(volume.cell, cell)
            volume = replace(volume, cell=volume.cell or cell, cell_trouble="")
        name = None if plane_name is None else parse_plane(plane_name)
        if isinstance(name, SpannedPlaneName):
            return read_oblique_plane(volume, name)
        return volume.plane(plane_name)


def _spanned_result(path: Path, plane_name: str | None) -> MeasuredPlane | None:
    """What was measured of a result on a plane that two vectors span, which is NXdata of no other program's kind.

    None for any other result, or what is left of one, which is read as all NXdata.

    Raises:
        InputError: another plane is asked for.
    """
    try:
        result = read_result(path)
    except InputError:
        return None
    if result.grid is None or not isinstance(result.grid.name, SpannedPlaneName):
        return None
    if plane_name is not None and str(parse_plane(plane_name)) not in (
        str(result.grid.name),
        result.grid.name.title,
    ):
        raise InputError(f"{path}: plane {plane_name!r}: found the plane {result.grid.name} alone")
    return MeasuredPlane(result.input.astype(np.float64), result.grid)


def _check_same(own: Cell | None, given: Cell) -> None:
    if own is not None and not cells_agree(own, given):
        found = " ".join(f"{value:g}" for value in own.parameters)
        raise InputError(f"the file has the cell {found}, expected none from options, or the same")


def _check_cell_of_picture(path: Path, picture: MeasuredPlane, cell: Cell) -> None:
    """A cell alone says nothing of where the pixels of a picture lie, and would be left out in silence."""
    if picture.grid is None:
        raise InputError(
            f"{path}: a plane without axes is given a cell and no axes, expected its name and q_max or both ranges"
        )
    try:
        _check_same(picture.grid.cell, cell)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


@contextmanager
def open_volume(path: Path | str) -> Iterator[Volume]:
    """The volume in a user's HDF5 file, to be read while the block lasts; errors in it are told with the file's name.

    Raises:
        InputError: the file is missing, damaged or not understood.
    """
    path = Path(path)
    with open_hdf5(path) as file:
        try:
            with np.errstate(all="ignore"):  # numbers that overflow are judged by what comes of them
                volume = _volume(file)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        except Exception as error:  # a damaged file fails in more ways than readers can foresee
            raise InputError(f"{path}: HDF5 file that is not understood ({error})") from error
        try:
            yield volume
        except InputError as error:
            raise InputError(f"{path}: {error}") from error


def _volume(file: h5py.File) -> Volume:
    for reader in _HDF5_READERS:
        if reader.recognises(file):
            volume: Volume = reader.open_volume(file)
            return volume
    found = ", ".join(list_members(file)[:8]) or "nothing"
    expected = ", or ".join(reader.EXPECTED for reader in _HDF5_READERS)
    raise InputError(f"HDF5 file with {found} at its root, expected {expected}")
