"""The verdict on a joint fit to the measured pixels: what it leaves beyond noise, and which further terms it lacks.

All limits are above what planes of virtual crystals reach that obey the assumptions: four crystals of another forward
model, complete, with 29 % missing, at 20 and at 20,000 counts, two seeds each. Their largest values are 1.025
(chi-squared), 1.3 (smoothed), 5 (background) and 13 (displacement).
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from dsfunet._typing import Array, Mask
from dsfunet.lattice.joint_fit import JointFit
from dsfunet.lattice.joint_fit.misfit import DOUBTED, allow_misfit
from dsfunet.lattice.joint_fit.score import score_terms
from dsfunet.planes.measured import PlaneGrid

_SMOOTH = 0.6
"""What chi-squared of the residual smoothed over 1.5 pixels may exceed 1 by."""

_BACKGROUND_GAIN = 15.0
_DISPLACEMENT_GAIN = 30.0
"""Gains in log likelihood by a constant background, and by first-order displacements (Warren; Borie and Sparks)."""

_DISPLACEMENT_SHARE = 0.08
"""Share of the misfit that displacements must explain to be named as the reason."""

_LARGE_MISFIT = 10.0
"""Misfit in units of its limit from which the appearance of the plane names the reason, not a term of the fit."""

_LEAST_CONTRAST = 3.0
"""Standard deviation of I_SRO, in its standard uncertainties, below which the plane shows no order."""

_SMOOTH_PIXELS = 1.5
_SHORTEST_HARMONICS = 6


@dataclass(frozen=True)
class DataFit:
    """How well a joint fit explains the measured pixels.

    Attributes:
        pixels: number of measured pixels.
        chi_squared: mean of (measured - model)^2 / variance; 1 for noise alone.
        smooth_chi_squared: the same for the residual smoothed over 1.5 pixels; 1 for noise alone.
        background_share: constant background that the plane asks for, as a share of its mean intensity.
        background_gain: log likelihood that this background would gain.
        displacement_gain: log likelihood that first-order displacements would gain.
        contrast: standard deviation of I_SRO over its median standard uncertainty.
    """

    pixels: int
    chi_squared: float
    smooth_chi_squared: float
    background_share: float
    background_gain: float
    displacement_gain: float
    contrast: float

    @property
    def numbers(self) -> dict[str, float]:
        """The numbers by name, for the record."""
        return {name: float(value) for name, value in vars(self).items()}


def measure_data_fit(fit: JointFit, intensity: Array, mask: Mask, grid: PlaneGrid) -> DataFit:
    """Measure how well a joint fit explains the measured pixels, and test for further terms.

    Args:
        fit: of the plane.
        intensity: measured intensities, shape (n, m); ignored where missing.
        mask: True where measured.
        grid: where the pixels lie.
    """
    known = np.where(mask, intensity, 0.0)
    residual = np.where(mask, (known - fit.intensity) / np.sqrt(fit.variance), 0.0)
    weight = ndimage.gaussian_filter(mask.astype(np.float64), _SMOOTH_PIXELS)
    inside = mask & (weight > 0.5)
    smooth = ndimage.gaussian_filter(residual, _SMOOTH_PIXELS)[inside] / weight[inside]
    shared = 4 * np.pi * _SMOOTH_PIXELS**2
    background = score_terms(fit.solution, np.ones((1, *mask.shape)))
    displacement = score_terms(fit.solution, _displacement_terms(fit, grid))
    return DataFit(
        pixels=int(mask.sum()),
        chi_squared=fit.chi_squared,
        smooth_chi_squared=float(np.mean(smooth**2)) * shared if len(smooth) else 1.0,
        background_share=float(background.amplitudes[0]) / float(known[mask].mean()),
        background_gain=background.gain,
        displacement_gain=displacement.gain,
        contrast=float(fit.short_range_order.std() / max(np.median(fit.short_range_order_sigma), 1e-12)),
    )


def _displacement_terms(fit: JointFit, grid: PlaneGrid) -> Array:
    """Return F h_i sin 2 pi p . q for both axes and the shortest p: first-order displacements, shape (k, n, m)."""
    rows, columns = grid.rows[:, None], grid.columns[None, :]
    terms = []
    for first, second in fit.harmonics.indices[:_SHORTEST_HARMONICS]:
        wave = fit.form_factor * np.sin(2 * np.pi * (first * rows + second * columns))
        terms += [wave * rows, wave * columns]
    return np.stack(terms)


def score_data_fit(found: DataFit, other_sites: bool = False) -> dict[str, float]:
    """Return scores of the reasons that apply to a joint fit, the foremost first; above 1 is beyond the limit.

    Keys are those of `dsfunet.verdict.reasons.REASONS`; "left over" stands for a misfit without a known reason.

    Args:
        found: the fit.
        other_sites: whether correlations between sites that no lattice vector joins were found.
    """
    allowed = allow_misfit(found.pixels, DOUBTED)
    misfit = max((found.chi_squared - 1) / allowed, (found.smooth_chi_squared - 1) / _SMOOTH)
    scores: dict[str, float] = {}
    if other_sites:
        scores["several sites"] = max(2.0, misfit)
    if misfit > _LARGE_MISFIT:  # further terms of a wrong model mean little
        scores["left over"] = misfit
    if found.contrast < _LEAST_CONTRAST:
        scores["no order"] = 1.5
    if found.background_gain > _BACKGROUND_GAIN and found.background_share > 0:
        scores["constant background"] = 1 + 0.25 * np.log2(found.background_gain / _BACKGROUND_GAIN)
    excess = max(found.chi_squared - 1, 0.01)
    share = 2 * found.displacement_gain / found.pixels / excess
    if found.displacement_gain > _DISPLACEMENT_GAIN and share > _DISPLACEMENT_SHARE:
        scores["size effect"] = 1 + 0.25 * np.log2(found.displacement_gain / _DISPLACEMENT_GAIN)
    if misfit > 1:
        scores.setdefault("left over", misfit)
    return {name: float(value) for name, value in scores.items()}
