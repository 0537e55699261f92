"""Planes outside the networks' training range: notes about them, and refusal of the worst.

The numbers come from benchmarks/ranges.md, which measures the shipped networks on all these kinds of planes.
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
"""Half the width of the smallest plane that is accepted [1/Angstrom].

At 2, the errors of lattice mode are well under the paper's thresholds; at 1, those of the networks alone are far above
them, and so is the error of I_FF in lattice mode.
"""

FEWEST_PIXELS = 1024
"""The smallest number of measured pixels that is accepted."""

# From here on the mean errors of the networks alone are under the paper's thresholds: 0.014 (I_FF), 0.032 (I_SRO).
_TRUSTED_REACH = 3.0
_TRUSTED_SPACING = 10.0
_UNSURE_OWN_PIXELS, _FEWEST_OWN_PIXELS = 5.0, 2.5


def check_range(measured: MeasuredPlane) -> None:
    """Refuse a plane for which the answer would be worthless.

    Raises:
        InputError: Very few pixels were measured, or the plane covers too little of reciprocal space to separate form
            factor and short-range order.
    """
    mask = measured_pixels(measured.intensity)
    if not mask.any():
        raise InputError("the plane has no measured pixel; expected finite, non-negative intensities")
    if mask.sum() < FEWEST_PIXELS:
        raise InputError(
            f"the plane has {mask.sum()} measured pixels; expected {FEWEST_PIXELS} or more, such as 32 x 32"
        )
    if measured.grid is not None:
        _check_widths(measured.grid, mask)


def check_extent(grid: PlaneGrid) -> None:
    """Refuse a plane by its place alone, before its pixels are read: interpolating large planes takes long.

    Raises:
        InputError: As `check_range`, even if every pixel was measured.
    """
    count = grid.shape[0] * grid.shape[1]
    if count < FEWEST_PIXELS:
        raise InputError(f"the plane has {count} pixels; expected {FEWEST_PIXELS} or more, such as 32 x 32")
    _check_widths(grid, np.broadcast_to(True, grid.shape))


def _check_widths(grid: PlaneGrid, mask: Mask) -> None:
    widths = _widths(grid, mask)
    if widths.max() / 2 < SMALLEST_REACH:
        raise InputError(
            f"the measured part of the plane is {widths[0]:.3g} x {widths[1]:.3g} 1/Angstrom wide; expected"
            f" {2 * SMALLEST_REACH:g} or more, to separate form factor and short-range order"
        )


def trained_range_notes(measured: MeasuredPlane, plane: Plane | None) -> list[str]:
    """Notes on how a plane differs from the training planes; an empty list if it does not.

    Args:
        measured: The plane as it was read.
        plane: The networks' input square, the second result of `to_network_grid`.
    """
    grid, mask = measured.grid, measured_pixels(measured.intensity)
    if grid is None or plane is None or not mask.any():
        return []
    notes = []
    widths = _widths(grid, mask)
    side = float(np.linalg.norm(plane.step_u)) * PIXELS
    if widths.max() > side * (1 + 1e-6):
        notes.append(
            f"the plane is {widths.max():.1f} 1/Angstrom wide and the networks were trained on 12 to 16; they process"
            f" the central {side:.1f} 1/Angstrom; beyond it components come from the data alone, or are missing"
        )
    elif side / 2 > LARGEST_SQUARE * (1 + 1e-6):
        notes.append(
            f"the networks process all {side:.1f} 1/Angstrom of the plane and were trained on 12 to 16; the form factor"
            " is less certain"
        )
    if widths.max() / 2 < _TRUSTED_REACH:
        notes.append(
            f"the plane is only {widths.max():.1f} 1/Angstrom wide; the networks' components are reliable from"
            f" {2 * _TRUSTED_REACH:g} 1/Angstrom on"
        )
    return notes + _notes_on_cells(grid, plane)


def _notes_on_cells(grid: PlaneGrid, plane: Plane) -> list[str]:
    """Notes for a plane on which a reciprocal cell is only a few pixels wide."""
    try:
        spacing, own = (min(make_lattice_plane(grid, each).line_spacings()) for each in (plane, grid.plane))
    except InputError:  # no two lattice periods lie in this plane
        return []
    if own < _UNSURE_OWN_PIXELS:
        verdict = "is not resolved" if own < _FEWEST_OWN_PIXELS else "is uncertain, in lattice mode too"
        return [
            f"a reciprocal cell is only {own:.1f} pixels wide (at least {_UNSURE_OWN_PIXELS:g} are needed): short-range"
            f" order {verdict}"
        ]
    if spacing < _TRUSTED_SPACING:
        return [
            f"a reciprocal cell is only {spacing:.1f} pixels wide on the networks' grid, where"
            f" {_TRUSTED_SPACING:g} are needed: use the short-range order of lattice mode, not that of the networks"
        ]
    return []


def _widths(grid: PlaneGrid, mask: Mask) -> npt.NDArray[np.float64]:
    low, high = find_measured_bounds(grid, mask)
    return np.asarray(high - low)
