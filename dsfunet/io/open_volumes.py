"""Opening a volume: the first reader that recognises a file describes it, and the user's options complete it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.files import HDF5_SIGNATURE, leading_bytes, name_file_in_errors
from dsfunet.io.cell_parameters import NO_CELL, cell_from_ub, cells_agree, convert_cell
from dsfunet.io.formats import (
    array_files,
    disorder,
    images,
    mantid,
    matlab,
    nxdata,
    rspace3d,
    simulated_stores,
    yell,
)
from dsfunet.io.formats.array_files import read_array_file
from dsfunet.io.formats.arrays import ArrayFile
from dsfunet.io.formats.further_axes import open_array_at_value
from dsfunet.io.formats.other_formats import name_other_format, name_other_hdf5
from dsfunet.io.fourth_axis import ANY
from dsfunet.io.gap_marks import clear_gaps_of_volume
from dsfunet.io.hdf5 import list_members, open_hdf5
from dsfunet.io.linked_files import allow_folders
from dsfunet.io.read_options import ReadOptions
from dsfunet.io.scales import undo_scale, undo_scale_of_sigma
from dsfunet.io.side_files import complete_options
from dsfunet.io.volume import Box, Volume
from dsfunet.physics import Cell
from dsfunet.planes.names import AnyPlaneName, PlaneName
from dsfunet.planes.scale_names import Scale

_LONGEST_START = 512

# The most specific reader comes first: an MDHisto workspace is NXdata too, and a Yell file may contain other datasets.
_HDF5_READERS = (disorder, yell, rspace3d)


def is_hdf5(path: Path, start: bytes) -> bool:
    """Whether a file is HDF5, by its first bytes or by a signature behind a user block."""
    # h5py returns False for some truncated files.
    return start.startswith(HDF5_SIGNATURE) or bool(h5py.is_hdf5(path))


@contextmanager
def open_volume(
    path: Path | str,
    options: ReadOptions | None = None,
    cell: Cell | None = None,
    plane: AnyPlaneName | None = None,
    part: str | None = None,
) -> Iterator[Volume]:
    """Open the volume in a user's file; it can be read inside the `with` block.

    Every InputError that is raised in the block gets the name of the file in front of its message.

    Args:
        path: the file.
        options: what the user says about the file.
        cell: unit cell, used when the file has no valid one.
        plane: the plane that will be read; it names the axes of a plane whose file does not.
        part: of a result, the array to open instead of the measured one, such as `product`.

    Raises:
        InputError: the file is missing, damaged or not understood, it has no axes and is given none, or `cell`
            contradicts its own.

    Examples:
        >>> from dsfunet.io import open_volume
        >>> with open_volume("examples/cresol_benzene.h5") as volume:
        ...     print(volume.layout, volume.axes.counts)
        Yell 1.0 (257, 257, 3)
    """
    path = Path(path)
    start = leading_bytes(path)
    options, cell = complete_options(path, options or ReadOptions(), cell)
    if not is_hdf5(path, start):
        with allow_folders(options.allow_external), name_file_in_errors(path):
            yield complete_volume(_open_array_file(path, start, options, cell, plane), options, cell)
        return
    with allow_folders(options.allow_external), open_hdf5(path) as file, name_file_in_errors(path):
        try:
            with np.errstate(
                all="ignore"
            ):  # overflow gives numbers that are not finite, which are checked later
                volume = (
                    _recognise_volume(file, options, cell) if part is None else nxdata.open_part(file, part)
                )
        except InputError:
            raise
        except Exception as error:  # a damaged file fails in more ways than readers can foresee
            raise InputError(f"the HDF5 file is damaged or not understood ({error})") from error
        yield complete_volume(volume, options, cell)


def _open_array_file(
    path: Path, start: bytes, options: ReadOptions, cell: Cell | None, plane: AnyPlaneName | None
) -> Volume:
    """Describe the volume in a file of another format than HDF5."""
    found = read_array_file(path, start)
    if found is None and options.array_axes is not None:
        pixels = images.read_pixels(path, start)
        if pixels is not None and pixels.grid is None:
            layout = images.describe_layout(start)
            found = ArrayFile(layout, pixels.intensity, sigma=pixels.sigma, notes=pixels.notes)
    if found is None:
        with path.open("rb") as stream:
            other = name_other_format(stream.read(_LONGEST_START))
        if other is not None:
            raise InputError(other)
        raise InputError(
            f"the file begins with {start[:8]!r}; expected a .npy plane, an HDF5 volume, {images.EXPECTED},"
            f" {array_files.EXPECTED}"
        )
    return open_array_at_value(found, options, cell, plane if isinstance(plane, PlaneName) else None)


def complete_volume(volume: Volume, options: ReadOptions, cell: Cell | None = None) -> Volume:
    """Complete a volume by what the user says: the units of its cell, another cell, and the scale of its numbers.

    Values that mark gaps become NaN first.

    Raises:
        InputError: the file has another cell.
    """
    own, trouble = convert_cell(volume.cell, volume.cell_trouble, options.cell_units)
    if trouble == NO_CELL and cell is None and options.ub_matrix is not None:
        own, trouble = cell_from_ub(options.ub_matrix, "--ub")
    if cell is not None:
        check_cell(own, cell)
        own, trouble = own or cell, ""
    volume = clear_gaps_of_volume(replace(volume, cell=own, cell_trouble=trouble))
    return volume if options.scale in ("auto", "linear") else _undo_scale(volume, options.scale)


def check_cell(own: Cell | None, given: Cell) -> None:
    """Check that a user's cell does not contradict that of the file.

    Raises:
        InputError: it does.
    """
    if own is not None and not cells_agree(own, given):
        found = " ".join(f"{value:g}" for value in own.parameters)
        raise InputError(f"the file has the unit cell {found}; remove --cell, or give the same cell")


def _undo_scale(volume: Volume, scale: Scale) -> Volume:
    """Undo the scale of each block as it is read, so that intensities are interpolated and not their logarithms."""
    read, read_sigma = volume.read, volume.read_sigma

    def read_uncertainties(box: Box) -> Array:
        assert read_sigma is not None
        return undo_scale_of_sigma(read_sigma(box), read(box), scale)

    return replace(
        volume,
        read=lambda box: undo_scale(read(box), scale),
        read_sigma=None if read_sigma is None else read_uncertainties,
    )


def _recognise_volume(file: h5py.File, options: ReadOptions, cell: Cell | None) -> Volume:
    other = name_other_hdf5(file)
    if other is not None:
        raise InputError(other)
    if matlab.recognises(file):
        return open_array_at_value(matlab.read_open_file(file), options, cell)
    if mantid.recognises(file):
        return mantid.open_volume(file, options)
    for reader in _HDF5_READERS:
        if reader.recognises(file):
            volume: Volume = reader.open_volume(file)
            return volume
    if nxdata.recognises(file):
        return nxdata.open_volume(file, options, cell)
    found = ", ".join(list_members(file)[:8]) or "nothing"
    expected = ", or ".join(reader.EXPECTED for reader in (mantid, *_HDF5_READERS, nxdata))
    raise InputError(f"the HDF5 file has {found} at its root; expected {expected}")


def list_coordinates(
    path: Path, name: str, options: ReadOptions, cell: Cell | None = None
) -> tuple[float, ...]:
    """List the values along a fourth axis of the data in a file, such as temperature.

    Args:
        path: the file.
        name: the axis.
        options: what the user says about the file.
        cell: unit cell, used when the file has no valid one.

    Raises:
        InputError: the file cannot be opened, or has no such axis.
    """
    if simulated_stores.recognises(path):
        axis = simulated_stores.AXIS
        choices = {axis: tuple(map(float, range(simulated_stores.count_planes(path))))}
    else:
        with open_volume(path, replace(options, at=ANY), cell) as volume:
            choices = dict(volume.choices)
    for each, values in choices.items():
        if each.lower() == name.lower():
            return values
    found = ", ".join(choices) or "no fourth axis"
    with name_file_in_errors(path):
        raise InputError(f"--at {name}=all: the file has {found}; expected an axis {name}")
