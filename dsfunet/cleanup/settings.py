"""The settings of the clean-up as typed values, checked when they are made."""

import numbers
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from dsfunet.cleanup.bragg import Fill
from dsfunet.cleanup.bragg_positions import Radius, RadiusUnit
from dsfunet.cleanup.masks import Marks, Negative
from dsfunet.cleanup.record import Number
from dsfunet.errors import InputError
from dsfunet.physics.centring import Centring
from dsfunet.physics.symmetry import laue_rotations

_CHOICES = {
    "mask_file_marks": Marks,
    "negative": Negative,
    "bragg_radius_unit": RadiusUnit,
    "bragg_centring": Centring,
    "bragg_fill": Fill,
}


@dataclass(frozen=True)
class CleanUp:
    """Clean-up of a plane before it is factorised; by default nothing is changed.

    `dsfunet.cleanup.CleanUpOptions` makes one from the text of the command line.

    Attributes:
        mask_value: pixels of this value, or of any of these, are missing.
        mask_below: pixels below this value are missing.
        mask_above: pixels above this value are missing.
        mask_file: file of the plane's shape that marks which pixels were measured.
        mask_file_marks: what non-zero (True) values of the mask file mark.
        negative: whether negative values of the file become missing pixels or zero intensity.
        bragg_radius: pixels within this radius of an integer hkl are punched out. One number is in the unit below,
            three numbers along h, k and l are in r.l.u.; "auto" finds the radius from the plane.
        bragg_radius_unit: "inv-angstrom" for a sphere in Q, "rlu" for an ellipsoid along h, k and l.
        bragg_centring: lattice type; reflections that it forbids are not punched.
        bragg_fill: whether punched pixels stay missing or are filled from their surroundings, noise included.
        background: what is subtracted: a constant in the plane's unit, "radial" for the lower envelope of the plane
            over |Q|, or the path of a file on the same grid.
        background_quantile: quantile of each shell of |Q|, or of the ratio to the file, that counts as background.
        background_scale: factor on a background file; None fits the largest one that the plane allows.
        laue: Laue class of the measured intensities to average over, one of `dsfunet.physics.symmetry.LAUE_CLASSES`.
        unique_axis: unique axis of the Laue class, "a", "b" or "c"; None for the usual one.
        seed: seed of the noise in filled holes.

    Raises:
        InputError: a setting is out of its range, or belongs to a step that is switched off.

    Examples:
        >>> import numpy as np
        >>> from dsfunet.cleanup import CleanUp, clean
        >>> from dsfunet.io import MeasuredPlane
        >>> measured = MeasuredPlane(np.array([[12.0, 9.0], [-1.0, 65535.0]]))
        >>> cleaned, record = clean(measured, CleanUp(mask_value=(-1.0, 65535.0), background=2.0))
        >>> cleaned.intensity
        array([[10.,  7.],
               [nan, nan]])
        >>> record.sentences()[0]
        'mask: 2 pixels (50 %) set to missing because their value is -1 or 65535'
    """

    mask_value: float | tuple[float, ...] | None = None
    mask_below: float | None = None
    mask_above: float | None = None
    mask_file: Path | None = None
    mask_file_marks: Marks = "measured"
    negative: Negative = "missing"
    bragg_radius: Literal["auto"] | Radius | None = None
    bragg_radius_unit: RadiusUnit = "inv-angstrom"
    bragg_centring: Centring = "P"
    bragg_fill: Fill = "missing"
    background: Literal["radial"] | float | Path | None = None
    background_quantile: float = 0.02
    background_scale: float | None = None
    laue: str | None = None
    unique_axis: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in get_args(choices):
                raise InputError(
                    f"{name} is {getattr(self, name)!r}; expected {' or '.join(get_args(choices))}"
                )
        self._check_masks()
        self._check_bragg()
        self._check_background()
        if self.laue is not None:
            laue_rotations(self.laue, self.unique_axis)
        elif self.unique_axis is not None:
            raise InputError(f"unique_axis is {self.unique_axis!r} without a Laue class; give laue as well")
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}; expected 0 or more")

    def _check_masks(self) -> None:
        if self.mask_value is not None and not (self.mask_values and all(map(_is_number, self.mask_values))):
            raise InputError(f"mask_value is {self.mask_value!r}; expected a number or a tuple of numbers")
        for name in ("mask_below", "mask_above"):
            limit = getattr(self, name)
            if limit is not None and not np.isfinite(float(limit)):
                raise InputError(f"{name} is {limit}; expected a finite number")
        if self.mask_file is not None and not _is_path(self.mask_file):
            raise InputError(f"mask_file is {self.mask_file!r}; expected a pathlib.Path")

    def _check_bragg(self) -> None:
        radius = self.bragg_radius
        if radius is None:
            if (self.bragg_centring, self.bragg_fill, self.bragg_radius_unit) != (
                "P",
                "missing",
                "inv-angstrom",
            ):
                raise InputError(
                    "bragg_centring, bragg_fill or bragg_radius_unit is set without a radius; give bragg_radius, such"
                    " as auto"
                )
            return
        if radius == "auto":
            return
        lengths = radius if isinstance(radius, tuple) else (radius,)
        valid = all(_is_number(each) and 0 < each < np.inf for each in lengths)
        if not valid or (isinstance(radius, tuple) and len(radius) != 3):
            raise InputError(
                f"bragg_radius is {radius!r}; expected auto, a positive number, or three of them along h, k and l"
            )
        if isinstance(radius, tuple) and self.bragg_radius_unit != "rlu":
            raise InputError(
                f"bragg_radius is {_as_text(radius)}; three numbers are in r.l.u., so set bragg_radius_unit to rlu"
            )

    def _check_background(self) -> None:
        background = self.background
        if _is_number(background):
            if not 0 <= float(str(background)) < np.inf:
                raise InputError(
                    f"background is {background}; expected a constant of 0 or more, radial or a file"
                )
        elif background not in (None, "radial") and not _is_path(background):
            raise InputError(f"background is {background!r}; expected a number, 'radial' or a pathlib.Path")
        if not 0 < self.background_quantile <= 0.5:
            raise InputError(
                f"background_quantile is {self.background_quantile}; expected above 0 and at most 0.5"
            )
        if self.background_scale is not None:
            if not _is_path(background):
                raise InputError(
                    "background_scale is set without a background file; give the file to scale as background"
                )
            if not 0 < self.background_scale < np.inf:
                raise InputError(f"background_scale is {self.background_scale}; expected a positive number")

    @property
    def is_on(self) -> bool:
        """Whether any step is switched on."""
        return self != CleanUp(seed=self.seed)

    @property
    def mask_values(self) -> tuple[float, ...]:
        """The values that mark missing pixels, none or more."""
        if self.mask_value is None:
            return ()
        return self.mask_value if isinstance(self.mask_value, tuple) else (self.mask_value,)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that the result depends on: mask and background, where these are files."""
        background = self.background if isinstance(self.background, Path) else None
        return tuple(each for each in (self.mask_file, background) if each is not None)

    def as_plain(self) -> dict[str, Number]:
        """The settings that are not None, in the values that the command line takes; of files the name alone."""
        plain: dict[str, Number] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, Path):
                plain[each.name] = value.name  # a result should not tell the folders of the machine
            elif each.name in ("mask_value", "bragg_radius", "background") and value is not None:
                plain[each.name] = _as_text(value)
            elif value is not None:
                plain[each.name] = value
        return plain


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _is_path(value: object) -> bool:
    return isinstance(value, Path)


def _as_text(value: str | float | tuple[float, ...]) -> str:
    """One or more numbers as the command line takes them: "0.2", "-1, 65535"."""
    if isinstance(value, str):
        return value
    return ", ".join(f"{each:.15g}" for each in (value if isinstance(value, tuple) else (value,)))
