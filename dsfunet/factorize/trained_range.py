"""Planes unlike those that the networks were trained on: what a user is told of them, and which are refused.

All numbers here come from benchmarks/ranges.md, where the shipped networks are judged on planes of all these kinds.
"""

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Mask
from dsfunet.errors import InputError
from dsfunet.physics import Plane
from dsfunet.planes.geometry import make_lattice_plane
from dsfunet.planes.measured import MeasuredPlane, PlaneGrid
from dsfunet.planes.preprocessing import PIXELS, measured_pixels
from dsfunet.planes.resampling import LARGEST_SQUARE, find_measured_bounds

SMALLEST_REACH = 1.5
"""Half the width of the smallest plane that is not refused [1/Angstrom].

At 2 lattice mode is well under the paper's marks; at 1 the networks alone are far above them, lattice mode in I_FF.
"""

FEWEST_PIXELS = 1024
"""The fewest measured pixels with which a plane is not refused."""

# From here on the networks alone keep, on average, to the paper's marks: 0.014 (form factor), 0.032 (I_SRO).
_TRUSTED_REACH = 3.0
_TRUSTED_SPACING = 10.0
_UNSURE_OWN_PIXELS, _FEWEST_OWN_PIXELS = 5.0, 2.5


def check_range(measured: MeasuredPlane) -> None:
    """Refuse a plane on which the networks' answer would be worth nothing.

    Raises:
        InputError: hardly anything was measured, or so small a part of reciprocal space that form factor and
            short-range order cannot be told apart on it.
    """
    mask = measured_pixels(measured.intensity)
    if mask.sum() < FEWEST_PIXELS:
        raise InputError(
            f"plane has {mask.sum()} measured pixels: expected {FEWEST_PIXELS} or more, such as 32 x 32"
        )
    if measured.grid is None:
        return
    widths = _widths(measured.grid, mask)
    if widths.max() / 2 < SMALLEST_REACH:
        raise InputError(
            f"plane is {widths[0]:.3g} x {widths[1]:.3g} 1/Angstrom wide where it was measured: expected"
            f" {2 * SMALLEST_REACH:g} or more, as on less the form factor cannot be told from short-range order"
        )


def trained_range_notes(measured: MeasuredPlane, plane: Plane | None) -> list[str]:
    """What a user should know where a plane is unlike those of training; nothing where it is like them.

    Args:
        measured: as a reader gives it.
        plane: the networks' square, the second result of `to_network_grid`.
    """
    grid, mask = measured.grid, measured_pixels(measured.intensity)
    if grid is None or plane is None or not mask.any():
        return []
    notes = []
    widths = _widths(grid, mask)
    side = float(np.linalg.norm(plane.step_u)) * PIXELS
    if widths.max() > side * (1 + 1e-6):
        notes.append(
            f"the plane is {widths.max():.1f} 1/Angstrom wide and the networks were trained on 12 to 16, so they are"
            f" shown the {side:.1f} around its centre: beyond there are no components"
        )
    elif side / 2 > LARGEST_SQUARE * (1 + 1e-6):
        notes.append(
            f"the networks are shown all {side:.1f} 1/Angstrom of the plane and were trained on 12 to 16: the form"
            " factor is less sure"
        )
    if widths.max() / 2 < _TRUSTED_REACH:
        notes.append(
            f"the plane is {widths.max():.1f} 1/Angstrom wide, less than the {2 * _TRUSTED_REACH:g} from which the"
            " networks' components can be believed: there is little to tell form factor from short-range order by"
        )
    return notes + _notes_on_cells(grid, plane)


def _notes_on_cells(grid: PlaneGrid, plane: Plane) -> list[str]:
    """What is to be said where a reciprocal cell is a few pixels wide."""
    try:
        spacing, own = (min(make_lattice_plane(grid, each).line_spacings()) for each in (plane, grid.plane))
    except InputError:  # a plane on which nothing repeats
        return []
    if own < _UNSURE_OWN_PIXELS:
        verdict = "is not resolved" if own < _FEWEST_OWN_PIXELS else "is unsure, whichever way it is found"
        return [
            f"a reciprocal cell is {own:.1f} pixels of the plane wide, fewer than {_UNSURE_OWN_PIXELS:g}: short-range"
            f" order {verdict}"
        ]
    if spacing < _TRUSTED_SPACING:
        return [
            f"a reciprocal cell is {spacing:.1f} pixels wide as the networks see it, fewer than the"
            f" {_TRUSTED_SPACING:g} from which their own short-range order can be believed: trust that of lattice mode"
        ]
    return []


def _widths(grid: PlaneGrid, mask: Mask) -> npt.NDArray[np.float64]:
    low, high = find_measured_bounds(grid, mask)
    return np.asarray(high - low)
