"""Whether R is what the noise of a plane alone would give, and what usually causes the rest.

Chi-squared of a refinement compares what is left with the scatter between zones or with an estimated noise, both of
which grow with the errors of the model. R is judged on its own: R of noise alone follows from second differences of
what is left of the plane, in which smooth errors cancel (`dsfunet.planes.noise`).
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from dsfunet._typing import Array, Mask
from dsfunet.analysis.refinement.data import PlaneData
from dsfunet.analysis.refinement.fit import FittedPlane, Refinement
from dsfunet.analysis.refinement.settings import RefinementSettings
from dsfunet.planes.noise import estimate_noise_variance_by_level

Source = Literal["data", "model", "result"]
"""Where the form factor of a refinement comes from: the plane itself, two known species, or the result."""

# Round numbers: good planes of benchmarks.pulls have 0.9 % beyond noise at most.
LIMITS: dict[Source, float] = {"data": 0.03, "model": 0.05, "result": 0.05}
"""R beyond noise above which a remark is due, by source."""

_CAUSES: dict[Source, str] = {
    "data": "usual causes are Bragg peaks or background left in the plane, a lattice with another centring or several"
    " sites, and atoms displaced by their neighbours",
    "model": "usual causes are a form factor of the wrong species or radiation, background or Bragg peaks left in the"
    " plane, another centring, and vectors that are missing",
    "result": "the usual cause is the form factor of the networks, which is wrong for single atoms and for molecules"
    " that fill the cell: use --form-factor data for one plane, or --model; others are background or Bragg peaks left"
    " in the plane, another centring, and vectors that are missing",
}


def with_noise(
    refinement: Refinement, planes: Sequence[PlaneData], settings: RefinementSettings
) -> Refinement:
    """Return a refinement to measured planes with the R of their noise alone.

    Args:
        refinement: of the planes.
        planes: the data.
        settings: of the refinement; a fit to I_SRO has no noise of its own and is returned as it is.
    """
    if settings.fit_to != "measured":
        return refinement
    fitted = [
        replace(each, noise_r_factor=_estimate_noise(plane, each))
        for plane, each in zip(planes, refinement.planes, strict=True)
    ]
    return replace(refinement, planes=tuple(fitted))


def _estimate_noise(plane: PlaneData, fitted: FittedPlane) -> float | None:
    """Return R of the noise of a plane whose values are intensities divided by the root of the weights."""
    used, envelope = plane.used, np.sqrt(plane.weights)
    measured = np.where(used, plane.values * envelope, 0.0)
    calculated = np.where(used, fitted.calculated * envelope, 0.0)
    return r_factor_of_noise(measured, estimate_noise_variance_by_level(measured, used, calculated), used)


def r_factor_of_noise(measured: Array, variance: Array, used: Mask) -> float | None:
    """Return R of normal noise with known variances, shape (n, m), over the pixels that count; None without noise."""
    total = float(np.abs(measured[used]).sum())
    if total <= 0 or not np.any(variance[used] > 0):
        return None
    return float(np.sqrt(2 / np.pi * np.maximum(variance[used], 0)).sum()) / total


def r_factor_beyond_noise(r_factor: float, of_noise: float | None) -> float:
    """Return the part of R that noise does not explain, as if squares added up; R itself if noise is unknown."""
    return math.sqrt(max(0.0, r_factor**2 - (of_noise or 0.0) ** 2))


def note_misfit(r_factor: float, of_noise: float | None, source: Source, plane: str) -> str | None:
    """Return a sentence about R above the limit of its source, with what usually causes it; None below the limit.

    Args:
        r_factor: sum |o - c| / sum |o|.
        of_noise: R that noise alone would give; None if it is not known.
        source: of the form factor.
        plane: name of the plane.
    """
    beyond = r_factor_beyond_noise(r_factor, of_noise)
    if beyond <= LIMITS[source]:
        return None
    noise = "" if of_noise is None else f" where noise alone would give {100 * of_noise:.1f} %"
    return f"R of {plane} is {100 * r_factor:.1f} %{noise}: the fit leaves more than noise; {_CAUSES[source]}"
