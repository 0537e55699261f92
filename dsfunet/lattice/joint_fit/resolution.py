"""The resolution of an instrument and the thickness of a layer, as a user states them."""

import re
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.lattice.joint_fit.harmonics import Harmonics
from dsfunet.lattice.joint_fit.series import Blur
from dsfunet.planes.measured import PlaneGrid

AUTO: Literal["auto"] = "auto"
"""The word that asks for an estimate from the data."""

FULL_WIDTH = float(np.sqrt(8 * np.log(2)))
"""Full width at half maximum of a Gaussian, in standard deviations."""

_UNITS = {
    "rlu": ("", "rlu", "r.l.u.", "r.l.u"),
    "inverse": ("1/a", "/a", "a-1", "a^-1", "1/angstrom", "/angstrom", "angstrom-1", "angstrom^-1"),
}
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_WIDTHS = re.compile(rf"\s*({_NUMBER}(?:(?:\s*,\s*|\s+){_NUMBER})*)\s*(.*?)\s*", re.DOTALL)
_EXPECTED = (
    "expected the standard deviation of a Gaussian, such as 0.04 (r.l.u., both axes), '0.04 0.06' (r.l.u., each axis) or"
    " '0.03 1/A' (all directions), or auto"
)


@dataclass(frozen=True)
class Resolution:
    """Gaussian resolution of a plane, and the thickness of its layer.

    Widths are standard deviations, which are full widths at half maximum divided by 2.355.

    Attributes:
        rlu: standard deviations along both axes of the plane [r.l.u.], 0 for sharp; None with `inv_angstrom`.
        inv_angstrom: standard deviation of Q along all directions [1/Angstrom], with the factor 2 pi in Q.
        thickness: full width of the third index over which the layer was averaged [r.l.u.], 0 for a sharp layer.
        uncertainty: standard uncertainty of the widths, as a share of them; 0 for known ones.

    Raises:
        InputError: a width is negative or not finite, or both `rlu` and `inv_angstrom` are given.

    Examples:
        >>> from dsfunet.lattice.joint_fit.resolution import Resolution
        >>> Resolution((0.04, 0.04), thickness=0.25).rlu
        (0.04, 0.04)
    """

    rlu: tuple[float, float] | None = None
    inv_angstrom: float | None = None
    thickness: float = 0.0
    uncertainty: float = 0.0

    def __post_init__(self) -> None:
        if self.rlu is not None and self.inv_angstrom is not None:
            raise InputError("resolution: found widths in r.l.u. and in 1/Angstrom; expected one of them")
        widths = self.rlu if self.rlu is not None else (self.inv_angstrom or 0.0,)
        for name, value in (*(("resolution", width) for width in widths), ("thickness", self.thickness)):
            if not (np.isfinite(value) and value >= 0):
                raise InputError(f"{name}: found {value:g}; expected a finite number, 0 or more")

    def covariance(self, grid: PlaneGrid) -> Array | None:
        """Return the covariance along the axes of a plane, shape (2, 2) [squared r.l.u.]; None if it is 0."""
        if self.inv_angstrom:
            return np.asarray(self.inv_angstrom**2 * np.linalg.inv(grid.vectors @ grid.vectors.T))
        if self.rlu is None or not any(self.rlu):
            return None
        return np.diag(np.square(self.rlu))

    def blur(self, grid: PlaneGrid) -> Blur | None:
        """Return what blurs the plane; None if nothing does."""
        covariance = self.covariance(grid)
        return None if covariance is None else Blur(covariance)

    def widths(self, grid: PlaneGrid) -> tuple[float, float]:
        """Return the standard deviations along both axes of a plane [r.l.u.]."""
        covariance = self.covariance(grid)
        if covariance is None:
            return 0.0, 0.0
        first, second = np.sqrt(np.diagonal(covariance))
        return float(first), float(second)

    def describe(self, grid: PlaneGrid) -> str:
        """Return a phrase for the user, such as 'resolution 0.04 by 0.04 r.l.u., thickness 0.25 r.l.u.'."""
        first, second = self.widths(grid)
        layer = f", thickness {self.thickness:g} r.l.u." if self.thickness else ""
        return f"resolution {first:.3g} by {second:.3g} r.l.u. (standard deviations){layer}"


def parse_resolution(text: str, option: str = "--resolution") -> Resolution | Literal["auto"]:
    """Read a resolution: one or two numbers in r.l.u., one number in 1/Angstrom, or auto.

    Args:
        text: such as '0.04', '0.04 0.06', '0.04 rlu', '0.03 1/A' or 'auto'.
        option: name of the option in errors.

    Raises:
        InputError: the text is none of these, or a number is negative.

    Examples:
        >>> from dsfunet.lattice.joint_fit.resolution import parse_resolution
        >>> parse_resolution("0.04 0.06")
        Resolution(rlu=(0.04, 0.06), inv_angstrom=None, thickness=0.0, uncertainty=0.0)
        >>> parse_resolution("0.03 1/A").inv_angstrom
        0.03
    """
    if text.strip().lower() == AUTO:
        return AUTO
    found = _WIDTHS.fullmatch(text)
    unit = found and found[2].lower().replace(" ", "").replace("å", "a")
    kind = next((name for name, words in _UNITS.items() if unit in words), None)
    if found is None or kind is None:
        raise InputError(f"{option}: found '{text}'; {_EXPECTED}")
    values = [float(each) for each in re.split(r"[\s,]+", found[1].strip())]
    if any(value < 0 or not np.isfinite(value) for value in values):
        raise InputError(f"{option}: found '{text}'; expected finite widths of 0 or more")
    if len(values) > (2 if kind == "rlu" else 1):
        raise InputError(f"{option}: found {len(values)} numbers in '{text}'; {_EXPECTED}")
    return Resolution((values[0], values[-1])) if kind == "rlu" else Resolution(inv_angstrom=values[0])


def parse_thickness(text: str, option: str = "--thickness") -> float:
    """Read the full width of the third index over which a layer was averaged [r.l.u.].

    Args:
        text: such as '0.25', '0.25 rlu', or '+-0.125' for a half width.
        option: name of the option in errors.

    Raises:
        InputError: the text is not such a number, or it is negative.

    Examples:
        >>> from dsfunet.lattice.joint_fit.resolution import parse_thickness
        >>> parse_thickness("0.25"), parse_thickness("+-0.125")
        (0.25, 0.25)
    """
    plain = re.sub(r"(?i)\s*r\.?l\.?u\.?\s*$", "", text).strip()
    half = re.match(r"(\+-|\+/-|±)\s*", plain)
    number = plain[half.end() :] if half else plain
    if not re.fullmatch(_NUMBER, number) or not np.isfinite(float(number)) or float(number) < 0:
        raise InputError(
            f"{option}: found '{text}'; expected the full width of the layer in r.l.u. of its index, such as 0.25 or"
            " +-0.125"
        )
    return float(number) * (2 if half else 1)


def with_thickness(resolution: Resolution | None, thickness: float) -> Resolution | None:
    """Return a resolution with the thickness of a layer; None if both are absent or 0."""
    if resolution is None:
        return Resolution(thickness=thickness) if thickness else None
    return replace(resolution, thickness=thickness)


def check_resolution(resolution: Resolution, harmonics: Harmonics, grid: PlaneGrid) -> None:
    """Raise an InputError if the resolution is wider than a zone in which I_SRO repeats.

    Args:
        resolution: of the plane.
        harmonics: of the plane, the shortest first.
        grid: where the pixels lie.
    """
    covariance = resolution.covariance(grid)
    if covariance is None or not harmonics.count:
        return
    # The zone is 1 / |p| wide along p for the shortest harmonics; p . covariance . p is a variance in these units.
    shortest = harmonics.indices[harmonics.lengths <= 1.01 * _second_length(harmonics)]
    worst = float(np.sqrt(np.einsum("ki,ij,kj->k", shortest, covariance, shortest).max()))
    if FULL_WIDTH * worst >= 1:
        first, second = resolution.widths(grid)
        raise InputError(
            f"resolution: found standard deviations of {first:.3g} by {second:.3g} r.l.u. on plane {grid.name.title}; "
            f"expected less than {0.999 / (FULL_WIDTH * worst) * first:.3g} by "
            f"{0.999 / (FULL_WIDTH * worst) * second:.3g}, half maxima within one zone in which short-range order"
            " repeats"
        )


def _second_length(harmonics: Harmonics) -> float:
    """Return the length of the shortest harmonic that is not parallel to the first [Angstrom]."""
    first = harmonics.indices[0]
    across = np.abs(first[0] * harmonics.indices[:, 1] - first[1] * harmonics.indices[:, 0])
    return float(harmonics.lengths[across > 1e-6].min(initial=harmonics.lengths[-1]))


def narrowest_visible(grid: PlaneGrid) -> tuple[float, float]:
    """Return the widths along both axes below which a resolution cannot be told from pixels, half a pixel [r.l.u.]."""
    first, second = np.abs(grid.steps)
    return float(first / 2), float(second / 2)


def note_unknown_resolution(grid: PlaneGrid) -> str:
    """Return a note for a plane whose resolution was not given."""
    first, second = narrowest_visible(grid)
    return (
        "no resolution was given, so pixels are taken as sharp: widths (standard deviations) narrower than "
        f"{first:.2g} by {second:.2g} r.l.u., half a pixel, cannot be told from the pixels; a wider resolution makes"
        " far correlations too small (--resolution)"
    )
