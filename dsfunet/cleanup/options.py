"""The clean-up as the command line gives it: options in text, parsed once into a `CleanUp`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from dsfunet.cleanup.bragg import Fill
from dsfunet.cleanup.bragg_positions import Radius, RadiusUnit
from dsfunet.cleanup.masks import Marks, Negative
from dsfunet.cleanup.settings import CleanUp
from dsfunet.errors import InputError
from dsfunet.physics.centring import Centring


@dataclass(frozen=True)
class CleanUpOptions:
    """Clean-up of a plane before it is factorised; by default nothing is changed.

    Attributes:
        mask_value: pixels of this value are missing; several values as "-1, 65535"
        mask_below: pixels below this value are missing
        mask_above: pixels above this value are missing
        mask_file: file of the plane's shape that marks which pixels were measured
        mask_file_marks: what non-zero (True) values in the mask file mark: measured or missing pixels
        negative: whether negative values in the file become missing pixels or zero intensity
        bragg_radius: punch out the pixels within this radius of integer hkl: a number, three numbers along h, k and
            l [r.l.u.], or "auto"
        bragg_radius_unit: unit of the radius: inv-angstrom for a sphere in Q, rlu for an ellipsoid along h, k and l
        bragg_centring: lattice centring, P, A, B, C, I, F or R (obverse); reflections that it forbids are not punched
        bragg_fill: leave punched pixels missing, which the networks can handle, or fill them from their surroundings
            with matching noise
        background: background to subtract: a constant, "radial" for the plane's lower envelope over |Q|, or a file
            on the same grid
        background_quantile: quantile of the intensity in each shell of |Q| that counts as background
        background_scale: factor on a background file; by default the largest that the plane allows
        laue: average over this Laue class of the measured intensities, such as mmm
        unique_axis: unique axis of the Laue class; by default b for 2/m and c for tetragonal, trigonal and hexagonal
            classes
        seed: seed of the noise in filled holes
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

    def parse(self) -> CleanUp:
        """Return the settings that the options describe.

        Raises:
            InputError: an option cannot be parsed, or as `CleanUp`.
        """
        return CleanUp(
            mask_value=None if self.mask_value is None else parse_mask_value(self.mask_value),
            mask_below=self.mask_below,
            mask_above=self.mask_above,
            mask_file=None if self.mask_file is None else Path(self.mask_file),
            mask_file_marks=self.mask_file_marks,
            negative=self.negative,
            bragg_radius=None if self.bragg_radius is None else parse_radius(self.bragg_radius),
            bragg_radius_unit=self.bragg_radius_unit,
            bragg_centring=self.bragg_centring,
            bragg_fill=self.bragg_fill,
            background=None if self.background is None else parse_background(self.background),
            background_quantile=self.background_quantile,
            background_scale=self.background_scale,
            laue=self.laue,
            unique_axis=self.unique_axis,
            seed=self.seed,
        )


def parse_mask_value(text: str | float) -> tuple[float, ...]:
    """Parse one or more numbers, such as "-1" or "-1, 65535".

    Raises:
        InputError: the text holds no number, or a word that is none.
    """
    values = _numbers(text)
    if not values:
        raise InputError(f"--mask-value is {text!r}; expected one or more numbers, such as -1 or '-1, 65535'")
    return values


def parse_radius(text: str | float) -> Literal["auto"] | Radius:
    """Parse a radius: "auto", one positive number, or three of them.

    Raises:
        InputError: the text is anything else.
    """
    if str(text).strip().lower() == "auto":
        return "auto"
    radius = _numbers(text)
    if len(radius) not in (1, 3) or not all(0 < each < np.inf for each in radius):
        raise InputError(
            f"--bragg-radius is {text!r}; expected auto, a positive number, or three of them along h, k and l"
        )
    return radius[0] if len(radius) == 1 else (radius[0], radius[1], radius[2])


def parse_background(text: str | float) -> Literal["radial"] | float | Path:
    """Parse a background: a number, "radial", or else the path of a file."""
    try:
        return float(text)
    except ValueError:
        name = str(text).strip()
    return "radial" if name == "radial" else Path(name)


def _numbers(text: str | float) -> tuple[float, ...]:
    """The numbers in a text, separated by commas or spaces; none where a word is not a number."""
    try:
        return tuple(float(word) for word in str(text).replace(",", " ").split())
    except ValueError:
        return ()
