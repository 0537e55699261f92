"""The clean-up as a whole: which steps there are, in which order they are taken, and why in that one.

1. Masks: what was not measured must tell nothing to what follows.
2. Negative values of the file, which are flags or the noise of somebody's subtraction; after a background of ours they
   would mean something else.
3. Bragg peaks: before the background, whose floor and scale they would pull, and before symmetry, which would smear
   them. They are filled with noise while that is still of the counts.
4. Background: before symmetry, because that of a mount or of air need not have the crystal's.
5. Symmetry: last, on signed values, so that noise about zero cancels.
6. What the background took below zero: to zero within noise, missing beyond.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from dsfunet.cleanup.background import settle_below_zero, subtract_background
from dsfunet.cleanup.bragg import Fill, parse_radius, remove_bragg
from dsfunet.cleanup.bragg_positions import Centring, RadiusUnit
from dsfunet.cleanup.masks import Marks, Negative, apply_mask_file, mask_values, parse_values, settle_negative
from dsfunet.cleanup.record import CleanUpRecord, StepRecord
from dsfunet.cleanup.symmetry import average_symmetry
from dsfunet.errors import InputError
from dsfunet.io import MeasuredPlane, PlaneGrid
from dsfunet.physics.symmetry import laue_rotations
from dsfunet.planes.preprocessing import check_brightest

_MIXED = (
    "mask: the plane is interpolated, so pixels beside voxels of such values hold mixtures that no value meets;"
    " expected NaN or negative values in the file, which take no part"
)


@dataclass(frozen=True)
class CleanUp:
    """What is to be done to a plane before it is factorised; by default nothing.

    Attributes:
        mask_value: pixels of this value are missing; several as "-1, 65535".
        mask_below: pixels below are missing.
        mask_above: pixels above are missing.
        mask_file: file of the plane's shape that says which pixels were measured.
        mask_file_marks: what values that are not zero (True) mark in it: measured pixels, or missing ones.
        negative: what negative values of the file are taken for: missing, or zero intensity.
        bragg_radius: pixels so near to integer hkl are punched out: a number, "auto", or three along h, k, l in r.l.u.
        bragg_radius_unit: inv-angstrom, of a sphere in Q, or rlu, of an ellipsoid along h, k and l.
        bragg_centring: P, A, B, C, I, F or R (obverse); reflections that it forbids are not punched.
        bragg_fill: what becomes of punched pixels: missing, which the networks know, or filled from surroundings with
            noise that matches.
        background: what is subtracted: a constant, "radial" for the plane's floor over |Q|, or a file of the same grid.
        background_quantile: low quantile that is taken for the floor.
        background_scale: scale of a background file; by default as much as the plane bears.
        laue: Laue class of the measured intensities, such as mmm, to average over.
        unique_axis: of the Laue class; by default b for 2/m and c for tetragonal, trigonal and hexagonal classes.
        seed: of the noise that fills holes.

    Raises:
        InputError: a setting is not one of those, or says something of a step that is not asked for.
    """

    mask_value: str | float | None = None
    mask_below: float | None = None
    mask_above: float | None = None
    mask_file: str | None = None
    mask_file_marks: Marks = "measured"
    negative: Negative = "missing"
    bragg_radius: str | float | None = None
    bragg_radius_unit: RadiusUnit = "inv-angstrom"
    bragg_centring: Centring = "P"
    bragg_fill: Fill = "missing"
    background: str | float | None = None
    background_quantile: float = 0.02
    background_scale: float | None = None
    laue: str | None = None
    unique_axis: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, kind in (
            ("mask_file_marks", Marks),
            ("negative", Negative),
            ("bragg_radius_unit", RadiusUnit),
            ("bragg_centring", Centring),
            ("bragg_fill", Fill),
        ):
            if getattr(self, name) not in get_args(kind):
                raise InputError(f"{name} {getattr(self, name)!r}: expected {' or '.join(get_args(kind))}")
        if self.mask_value is not None:
            parse_values(self.mask_value)
        for name in ("mask_below", "mask_above"):
            limit = getattr(self, name)
            if limit is not None and not np.isfinite(float(limit)):
                raise InputError(f"{name} {limit}: expected a finite number")
        if self.bragg_radius is not None:
            radius = parse_radius(self.bragg_radius)
            if radius and len(radius) == 3 and self.bragg_radius_unit != "rlu":
                raise InputError(
                    f"Bragg radius {self.bragg_radius}: three numbers are in r.l.u., expected unit rlu"
                )
        elif (self.bragg_centring, self.bragg_fill, self.bragg_radius_unit) != (
            "P",
            "missing",
            "inv-angstrom",
        ):
            raise InputError(
                "bragg_centring, fill or unit without a radius: expected bragg_radius, such as auto"
            )
        if isinstance(constant := self.background_kind, float) and not 0 <= constant < np.inf:
            raise InputError(f"background {constant:g}: expected a constant of 0 or more, radial or a file")
        if not 0 < self.background_quantile <= 0.5:
            raise InputError(f"background_quantile {self.background_quantile}: expected above 0, up to 0.5")
        if self.background_scale is not None:
            if not isinstance(self.background_kind, str) or self.background_kind == "radial":
                raise InputError("background_scale without a background file: expected one to scale")
            if not 0 < self.background_scale < np.inf:
                raise InputError(f"background_scale {self.background_scale}: expected a positive number")
        if self.laue is not None:
            laue_rotations(self.laue, self.unique_axis)
        elif self.unique_axis is not None:
            raise InputError(f"unique axis {self.unique_axis}: expected a Laue class with it")
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}: expected 0 or more")

    @property
    def is_on(self) -> bool:
        """Whether anything is to be done."""
        return self != CleanUp(seed=self.seed)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files whose content the answer depends on: mask and background, where these are files."""
        background = self.background_kind
        of_background = background if isinstance(background, str) and background != "radial" else None
        return tuple(Path(each) for each in (self.mask_file, of_background) if each is not None)

    @property
    def background_kind(self) -> str | float | None:
        """The background as a number where it is one, "radial", a file, or None."""
        if self.background is None:
            return None
        try:
            return float(self.background)
        except ValueError:
            return str(self.background).strip()


def clean(measured: MeasuredPlane, settings: CleanUp) -> tuple[MeasuredPlane, CleanUpRecord]:
    """A plane cleaned up as the settings say, and what was done; the plane itself where they say nothing.

    Missing pixels are NaN in what comes back, never zero. Notes of the steps are added to the plane's.

    Raises:
        InputError: a step needs the lattice of a plane that has no axes, a file cannot be used, a radius or a Laue
            class does not go with the cell, or nothing is left.
    """
    if not settings.is_on:
        return measured, CleanUpRecord({})
    plain = {name: value for name, value in dataclasses.asdict(settings).items() if value is not None}
    for name in ("mask_file", "background"):  # a name, and no folder of this machine
        if isinstance(plain.get(name), str):
            plain[name] = Path(plain[name]).name
    intensity, sigma, grid = measured.intensity, measured.sigma, measured.grid
    intensity = np.where(np.isfinite(intensity), intensity, np.nan)
    steps: list[StepRecord | None] = []

    if (settings.mask_value, settings.mask_below, settings.mask_above) != (None, None, None):
        values = () if settings.mask_value is None else parse_values(settings.mask_value)
        intensity, record = mask_values(measured.intensity, values, settings.mask_below, settings.mask_above)
        intensity = np.where(np.isfinite(intensity), intensity, np.nan)
        if measured.interpolated:
            record = dataclasses.replace(record, notes=(*record.notes, _MIXED))
        steps.append(record)
    if settings.mask_file is not None:
        intensity, record = apply_mask_file(
            intensity, settings.mask_file, settings.mask_file_marks, grid, measured.from_picture
        )
        steps.append(record)
    intensity, settled = settle_negative(intensity, settings.negative)
    steps.append(settled)
    if not np.isfinite(intensity).any():
        raise InputError("clean-up: no measured pixel is left after masks and negative values")
    check_brightest(intensity[np.isfinite(intensity)])  # before anything is squared
    if settings.bragg_radius is not None:
        lattice = _needs_lattice(grid, "Bragg peaks")
        intensity, sigma, record = remove_bragg(
            intensity,
            sigma,
            lattice.plane,
            lattice.cell,
            parse_radius(settings.bragg_radius),
            settings.bragg_radius_unit,
            settings.bragg_centring,
            settings.bragg_fill,
            settings.seed,
        )
        steps.append(record)
    kind = settings.background_kind
    if kind is not None:
        plane = _needs_lattice(grid, "radial background").plane if kind == "radial" else None
        intensity, record = subtract_background(
            intensity,
            kind,
            plane,
            grid,
            settings.background_quantile,
            settings.background_scale,
            measured.from_picture,
        )
        steps.append(record)
    if settings.laue is not None:
        lattice = _needs_lattice(grid, "symmetry averaging")
        intensity, sigma, record = average_symmetry(
            intensity, sigma, lattice.plane, lattice.cell, settings.laue, settings.unique_axis
        )
        steps.append(record)
    if kind is not None:
        intensity, settled = settle_below_zero(intensity)
        steps.append(settled)
    if not np.isfinite(intensity).any():
        raise InputError("clean-up: no measured pixel is left")
    if sigma is not None:
        sigma = np.where(np.isfinite(intensity), sigma, np.nan)
    done = CleanUpRecord(plain, tuple(step for step in steps if step is not None))
    notes = (*measured.notes, *done.notes)
    return dataclasses.replace(measured, intensity=intensity, sigma=sigma, notes=notes), done


def _needs_lattice(grid: PlaneGrid | None, step: str) -> PlaneGrid:
    if grid is None:
        raise InputError(
            f"{step}: the plane has no axes and no cell, expected a file or options that give them"
        )
    return grid
