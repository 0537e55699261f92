"""Reading one plane: the dispatch over the formats, the user's axes and cell, gaps and scales."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from dsfunet.errors import InputError
from dsfunet.files import leading_bytes, name_file_in_errors
from dsfunet.io.formats import simulated_stores
from dsfunet.io.formats.images import read_picture
from dsfunet.io.gap_marks import clear_gaps_of_plane, describe_negative_marks
from dsfunet.io.linked_files import allow_folders
from dsfunet.io.oblique_planes import read_from_volume
from dsfunet.io.open_volumes import check_cell, is_hdf5, open_volume
from dsfunet.io.read_options import ReadOptions
from dsfunet.io.results import is_result, read_result
from dsfunet.io.scales import read_on_scale
from dsfunet.io.side_files import complete_options
from dsfunet.io.space_groups import centring_of_record
from dsfunet.io.user_axes import UserAxes
from dsfunet.io.volume import CheckGrid, accept_any_grid
from dsfunet.io.volume_results import is_volume_result
from dsfunet.physics import Cell
from dsfunet.planes.measured import MeasuredPlane, PlaneGrid
from dsfunet.planes.names import AnyPlaneName, SpannedPlaneName, parse_plane


def read_plane(
    path: Path | str,
    plane: str | AnyPlaneName | None = None,
    axes: UserAxes | None = None,
    cell: Cell | None = None,
    options: ReadOptions | None = None,
    check: CheckGrid = accept_any_grid,
) -> MeasuredPlane:
    """Read the plane in a user's file, or one plane of a volume.

    Args:
        path: a volume or plane in HDF5 (Yell, Meerkat, DISCUS, RMCProfile, Mantid, rspace3d, NXdata, MATLAB 7.3), a
            result of dsfunet, .npy, .npz, MATLAB, text, nipl, VTK, CCP4, XPLOR, TIFF, PNG, CBF, EDF, or an unwarped
            .img of CrysAlisPro; or the folder of a store that `python -m simulate` wrote.
        plane: the plane to read, as text that `parse_plane` takes ("hk1", "h k 0.5", "hhl") or parsed; required for
            volumes with more than one layer.
        axes: where the pixels lie, for a file without axes, such as .npy or a picture. Without them the plane must be
            256 x 256.
        cell: unit cell, used when a volume has no valid one.
        options: what else the user says about the file, such as the scale of its numbers.
        check: function that is called with the place of a plane of a volume before its pixels are read, and may refuse
            it.

    Returns:
        the plane with its axes and unit cell where the file or the arguments give them.

    Raises:
        InputError: the file is missing, damaged or not understood; it does not hold the plane; the units of its cell
            are doubtful; or `axes` or `cell` is given although the file has its own.

    Examples:
        >>> from dsfunet.io import read_plane
        >>> plane = read_plane("examples/cresol_benzene.h5", "hk1")
        >>> plane.intensity.shape
        (257, 257)
        >>> print(plane.grid.describe())  # doctest: +ELLIPSIS
        plane hk1: rows h from -8 to 8 (257 pixels), columns k ...; Q = 2 pi (h a* + k b* + l c*)
    """
    path, options = Path(path), options or ReadOptions()
    name = parse_plane(plane) if isinstance(plane, str) else plane
    if simulated_stores.recognises(path):
        if name is not None or axes is not None or cell is not None:
            raise InputError(
                f"{path}: a store of simulated planes has axes and cells; choose one with --at plane=0"
            )
        return simulated_stores.read_plane_of_store(path, options.at)
    with allow_folders(options.allow_external):
        return _read_plane(path, name, axes, cell, options, check)


def _read_plane(
    path: Path,
    name: AnyPlaneName | None,
    axes: UserAxes | None,
    cell: Cell | None,
    options: ReadOptions,
    check: CheckGrid,
) -> MeasuredPlane:
    start = leading_bytes(path)
    options, completed = complete_options(path, options, cell)
    picture = None if options.array_axes is not None else read_picture(path, start, name, axes, cell)
    if picture is not None:
        if cell is not None and axes is None:
            _check_cell_of_plane(path, picture, cell)
        return _note_negative_marks(read_on_scale(clear_gaps_of_plane(picture), options.scale))
    if axes is not None:
        raise InputError(f"{path}: this file already defines its axes; remove the axis options")
    if is_hdf5(path, start) and is_result(path):
        measured = _read_result_on_spanned_plane(path, name)
        if measured is not None:
            if cell is not None:
                _check_cell_of_plane(path, measured, cell)
            return measured
    with open_volume(path, options, completed, name) as volume:
        measured = read_from_volume(volume, name, check)
        # Any other scale has been undone block by block.
        return _note_negative_marks(read_on_scale(measured, "auto") if options.scale == "auto" else measured)


class _PlaceKnownError(Exception):
    """Ends reading where the place of the plane is known and accepted."""


def check_place(
    path: Path,
    plane: AnyPlaneName | None,
    cell: Cell | None,
    options: ReadOptions,
    check: CheckGrid,
) -> None:
    """Check the place of a plane of an HDF5 volume without reading its pixels; do nothing for other files.

    Args:
        path: as for `read_plane`.
        plane: as for `read_plane`.
        cell: as for `read_plane`.
        options: as for `read_plane`.
        check: function that may refuse the place.

    Raises:
        InputError: as `read_plane` before it reads pixels.
    """

    def stop(grid: PlaneGrid) -> None:
        check(grid)
        raise _PlaceKnownError

    if simulated_stores.recognises(path) or not is_hdf5(path, leading_bytes(path)) or is_result(path):
        return
    with suppress(_PlaceKnownError):
        read_plane(path, plane, None, cell, options, stop)


def read_part(path: Path | str, part: str, plane: AnyPlaneName | None = None) -> MeasuredPlane:
    """Read a plane of one of the arrays of a result of dsfunet, such as its form factor.

    Args:
        path: the result of a plane or of a volume.
        part: `input`, `form_factor`, `short_range_order`, `product`, `residual` or another array of the result.
        plane: the plane of a volume; of a result of one plane, that plane or None.

    Raises:
        InputError: the file is no result of dsfunet, or does not hold that array or plane.
    """
    path = Path(path)
    if is_volume_result(path):
        with open_volume(path, part=part) as volume:
            return read_from_volume(volume, plane)
    if not is_result(path):
        raise InputError(f"{path}: --of {part} is for results of dsfunet; remove it")
    result = read_result(path)
    planes = result.planes()
    if part not in planes:
        raise InputError(f"{path}: the result has no part {part!r}; expected one of {', '.join(planes)}")
    if plane is not None and (result.grid is None or str(plane) != str(result.grid.name)):
        held = "a plane without axes" if result.grid is None else f"plane {result.grid.name}"
        raise InputError(f"{path}: the file holds {held}, not {plane}; request that plane or none")
    return MeasuredPlane(
        planes[part].astype(np.float64), result.grid, centring=centring_of_record(result.process)
    )


def _note_negative_marks(measured: MeasuredPlane) -> MeasuredPlane:
    marks = describe_negative_marks(measured.intensity)
    return replace(measured, notes=(*measured.notes, *marks)) if marks else measured


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


def _check_cell_of_plane(path: Path, plane: MeasuredPlane, cell: Cell) -> None:
    """Refuse a cell for a plane without axes, where it would have no effect, or one that contradicts the file's."""
    with name_file_in_errors(path):
        if plane.grid is None:
            raise InputError(
                "the file has no axes, and a cell alone does not place its pixels; also give the plane and either q_max"
                " or both ranges"
            )
        check_cell(plane.grid.cell, cell)
