"""The clean-up as a whole: its steps, and the reasons for their order.

1. Masks: pixels that were not measured must not influence any later step.
2. Negative values of the file: they are flags, or the noise of an earlier subtraction. After our own background
   subtraction they would mean something else.
3. Bragg peaks: before the background, because peaks would pull its lower envelope and its scale, and before symmetry
   averaging, which would smear them. Holes are filled while the noise is still that of the counts.
4. Background: before symmetry averaging, because scattering of a mount or of air need not have the crystal's symmetry.
5. Symmetry: last, on signed values, so that noise about zero cancels.
6. Pixels that the background took below zero: zero within noise, missing beyond.
"""

import dataclasses

import numpy as np

from dsfunet._typing import Array
from dsfunet.cleanup.background import replace_below_background, subtract_background
from dsfunet.cleanup.bragg import remove_bragg
from dsfunet.cleanup.masks import apply_mask_file, mask_values, replace_negative
from dsfunet.cleanup.record import CleanUpRecord, StepRecord
from dsfunet.cleanup.settings import CleanUp
from dsfunet.cleanup.symmetry import average_symmetry
from dsfunet.errors import InputError
from dsfunet.io import MeasuredPlane, PlaneGrid
from dsfunet.planes.preprocessing import check_brightest

_INTERPOLATED = (
    "mask: the plane is interpolated, so pixels next to masked voxels hold mixtures that no value matches; mark missing"
    " voxels in the file as NaN or negative, which are left out of the interpolation"
)


def clean(measured: MeasuredPlane, settings: CleanUp) -> tuple[MeasuredPlane, CleanUpRecord]:
    """Clean up a plane, and record what was done.

    Missing pixels are NaN in the returned plane, never zero. Notes of the steps are added to the plane's own. Without
    any step the plane itself is returned.

    Raises:
        InputError: a step needs the axes of a plane that has none, a file cannot be used, a radius or a Laue class
            does not suit the cell, or no measured pixel is left.
    """
    if not settings.is_on:
        return measured, CleanUpRecord({})
    sigma, grid = measured.sigma, measured.grid
    intensity, steps = _mask(measured, settings)
    if not np.isfinite(intensity).any():
        raise InputError(
            "clean-up: masks and negative values leave no measured pixel; check --mask-value and --mask-file"
        )
    check_brightest(intensity[np.isfinite(intensity)])  # before anything is squared
    if settings.bragg_radius is not None:
        lattice = _require_grid(grid, "Bragg peaks")
        intensity, sigma, record = remove_bragg(
            intensity,
            sigma,
            lattice.plane,
            lattice.cell,
            settings.bragg_radius,
            settings.bragg_radius_unit,
            settings.bragg_centring,
            settings.bragg_fill,
            settings.seed,
        )
        steps.append(record)
    if settings.background is not None:
        radial = settings.background == "radial"
        intensity, record = subtract_background(
            intensity,
            settings.background,
            _require_grid(grid, "radial background").plane if radial else None,
            grid,
            settings.background_quantile,
            settings.background_scale,
            measured.from_picture,
        )
        steps.append(record)
    if settings.laue is not None:
        lattice = _require_grid(grid, "symmetry averaging")
        intensity, sigma, record = average_symmetry(
            intensity, sigma, lattice.plane, lattice.cell, settings.laue, settings.unique_axis
        )
        steps.append(record)
    if settings.background is not None:
        intensity, below = replace_below_background(intensity)
        steps += [] if below is None else [below]
    if not np.isfinite(intensity).any():
        raise InputError("clean-up: no measured pixel is left; use fewer or milder steps")
    if sigma is not None:
        sigma = np.where(np.isfinite(intensity), sigma, np.nan)
    done = CleanUpRecord(settings.as_plain(), tuple(steps))
    notes = (*measured.notes, *done.notes)
    return dataclasses.replace(measured, intensity=intensity, sigma=sigma, notes=notes), done


def _mask(measured: MeasuredPlane, settings: CleanUp) -> tuple[Array, list[StepRecord]]:
    """Steps 1 and 2: the intensity without pixels that were not measured, and the records."""
    intensity = np.where(np.isfinite(measured.intensity), measured.intensity, np.nan)
    steps: list[StepRecord] = []
    if (settings.mask_value, settings.mask_below, settings.mask_above) != (None, None, None):
        intensity, record = mask_values(
            measured.intensity, settings.mask_values, settings.mask_below, settings.mask_above
        )
        intensity = np.where(np.isfinite(intensity), intensity, np.nan)
        if measured.interpolated:
            record = dataclasses.replace(record, notes=(*record.notes, _INTERPOLATED))
        steps.append(record)
    if settings.mask_file is not None:
        intensity, record = apply_mask_file(
            intensity, settings.mask_file, settings.mask_file_marks, measured.grid, measured.from_picture
        )
        steps.append(record)
    intensity, negative = replace_negative(intensity, settings.negative)
    return intensity, steps if negative is None else [*steps, negative]


def _require_grid(grid: PlaneGrid | None, step: str) -> PlaneGrid:
    if grid is None:
        raise InputError(f"{step}: the plane has no axes and no cell; give them with options or in the file")
    return grid
