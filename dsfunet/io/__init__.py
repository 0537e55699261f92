"""Files of users and results: reads measured planes and volumes, writes results. Formats are recognised by content."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from dsfunet.errors import InputError
from dsfunet.files import HDF5_SIGNATURE, check_writable, leading_bytes, name_file_in_errors
from dsfunet.io.cell_parameters import cells_agree
from dsfunet.io.formats import disorder, images, mantid, nxdata, rspace3d, yell
from dsfunet.io.formats.images import read_picture
from dsfunet.io.hdf5 import list_members, open_hdf5
from dsfunet.io.oblique_planes import read_oblique_plane
from dsfunet.io.results import is_result, read_result, write_result
from dsfunet.io.space_groups import centring_of_record
from dsfunet.io.user_axes import UserAxes
from dsfunet.io.volume import Volume
from dsfunet.physics import Cell
from dsfunet.planes.measured import MeasuredPlane, PlaneGrid
from dsfunet.planes.names import AnyPlaneName, PlaneName, SpannedPlaneName, parse_plane, parse_plane_name
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

# The most specific reader comes first: an MDHisto workspace is NXdata too, and a Yell file may contain other datasets.
_HDF5_READERS = (mantid, disorder, yell, rspace3d, nxdata)


def read_plane(
    path: Path | str,
    plane: str | AnyPlaneName | None = None,
    axes: UserAxes | None = None,
    cell: Cell | None = None,
) -> MeasuredPlane:
    """Read the plane in a user's file, or one plane of a volume.

    Args:
        path: an HDF5 volume (Yell, Meerkat, DISCUS, RMCProfile, Mantid, rspace3d or NXdata), a result of dsfunet, or a
            plane in .npy, .npz, TIFF, PNG or an unwarped .img of CrysAlisPro.
        plane: the plane to read, as text that `parse_plane` takes ("hk1", "h k 0.5", "hhl") or parsed; required for
            volumes with more than one layer.
        axes: where the pixels lie, for a file without axes, such as .npy or a picture. Without them the plane must be
            256 x 256.
        cell: unit cell, used when a volume has no valid one.

    Returns:
        the plane with its axes and unit cell where the file or the arguments give them.

    Raises:
        InputError: the file is missing, damaged or not understood; it does not hold the plane; or `axes` or `cell` is
            given although the file has its own.

    Examples:
        >>> from dsfunet.io import read_plane
        >>> plane = read_plane("examples/cresol_benzene.h5", "hk1")
        >>> plane.intensity.shape
        (257, 257)
        >>> print(plane.grid.describe())  # doctest: +ELLIPSIS
        plane hk1: rows h from -8 to 8 (257 pixels), columns k ...; Q = 2 pi (h a* + k b* + l c*)
    """
    path = Path(path)
    name = parse_plane(plane) if isinstance(plane, str) else plane
    start = leading_bytes(path)
    picture = read_picture(path, start, name, axes)
    if picture is not None:
        if cell is not None and axes is None:
            _check_cell_of_plane(path, picture, cell)
        return picture
    # is_hdf5 also finds a signature behind a user block, but returns False for some truncated files.
    if not (start.startswith(HDF5_SIGNATURE) or h5py.is_hdf5(path)):
        raise InputError(
            f"{path}: the file begins with {start[:8]!r}; expected a .npy plane, an HDF5 volume, {images.EXPECTED}"
        )
    if axes is not None:
        raise InputError(f"{path}: this file already defines its axes; remove the axis options")
    if is_result(path):
        measured = _read_result_on_spanned_plane(path, name)
        if measured is not None:
            if cell is not None:
                _check_cell_of_plane(path, measured, cell)
            return measured
    with open_volume(path) as volume:
        if cell is not None:
            _check_cell(volume.cell, cell)
            volume = replace(volume, cell=volume.cell or cell, cell_trouble="")
        if isinstance(name, SpannedPlaneName):
            return read_oblique_plane(volume, name)
        return volume.read_plane(name)


def _read_result_on_spanned_plane(path: Path, name: AnyPlaneName | None) -> MeasuredPlane | None:
    """Read the measured plane of a result whose plane is spanned by two vectors, which the NXdata reader cannot read.

    Returns None for any other result and for a damaged one; these are read as NXdata.

    Raises:
        InputError: another plane is requested.
    """
    try:
        result = read_result(path)
    except InputError:
        return None
    if result.grid is None or not isinstance(result.grid.name, SpannedPlaneName):
        return None
    if name is not None and str(name) not in (str(result.grid.name), result.grid.name.title):
        raise InputError(
            f"{path}: the file holds plane {result.grid.name}, not {name}; request that plane or none"
        )
    return MeasuredPlane(
        result.input.astype(np.float64), result.grid, centring=centring_of_record(result.process)
    )


def _check_cell(own: Cell | None, given: Cell) -> None:
    if own is not None and not cells_agree(own, given):
        found = " ".join(f"{value:g}" for value in own.parameters)
        raise InputError(f"the file has the unit cell {found}; remove --cell, or give the same cell")


def _check_cell_of_plane(path: Path, plane: MeasuredPlane, cell: Cell) -> None:
    """Refuse a cell for a plane without axes, where it would have no effect, or one that contradicts the file's."""
    with name_file_in_errors(path):
        if plane.grid is None:
            raise InputError(
                "the file has no axes, and a cell alone does not place its pixels; also give the plane and either q_max"
                " or both ranges"
            )
        _check_cell(plane.grid.cell, cell)


@contextmanager
def open_volume(path: Path | str, part: str | None = None) -> Iterator[Volume]:
    """Open the volume in a user's HDF5 file; it can be read inside the `with` block.

    Every InputError that is raised in the block gets the name of the file in front of its message.

    Args:
        path: the file.
        part: of a result, the array to open instead of the measured one, such as `product`.

    Raises:
        InputError: the file is missing, damaged or not understood, or is no result with that part.

    Examples:
        >>> from dsfunet.io import open_volume
        >>> with open_volume("examples/cresol_benzene.h5") as volume:
        ...     print(volume.layout, volume.axes.counts)
        Yell 1.0 (257, 257, 3)
    """
    path = Path(path)
    with open_hdf5(path) as file, name_file_in_errors(path):
        try:
            with np.errstate(
                all="ignore"
            ):  # overflow gives numbers that are not finite, which are checked later
                volume = _recognise_volume(file) if part is None else nxdata.open_part(file, part)
        except InputError:
            raise
        except Exception as error:  # a damaged file fails in more ways than readers can foresee
            raise InputError(f"the HDF5 file is damaged or not understood ({error})") from error
        yield volume


def _recognise_volume(file: h5py.File) -> Volume:
    for reader in _HDF5_READERS:
        if reader.recognises(file):
            volume: Volume = reader.open_volume(file)
            return volume
    found = ", ".join(list_members(file)[:8]) or "nothing"
    expected = ", or ".join(reader.EXPECTED for reader in _HDF5_READERS)
    raise InputError(f"the HDF5 file has {found} at its root; expected {expected}")
