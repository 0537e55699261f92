"""The variance of the counts in a pixel: given with the data, or v_0 + phi m of the expected intensity m."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage, optimize

from dsfunet._typing import Array, Mask
from dsfunet.planes.noise import (
    STENCIL_VARIANCE,
    average_without_outliers,
    smooth_measured,
    take_second_differences,
)

_LEVELS = 24
_FEWEST = 64
_FEW_COUNTS = 10.0
_DARK_CLASS = 0.1
_LEAST_NOISE = 5e-7  # least phi, in the brightest intensity: no model is more exact than 2 million counts
_SMOOTHING_PIXELS = 1.5


@dataclass(frozen=True, eq=False)
class Variance:
    """Variance of the noise in each pixel as a function of the expected intensity.

    Attributes:
        given: variances that do not depend on the model, shape (n, m); None for v_0 + phi m.
        offset: v_0, 0 or more, in squared units of the intensity.
        ratio: phi, above 0, in units of the intensity: 1 for raw counts.
    """

    given: Array | None = None
    offset: float = 0.0
    ratio: float = 1.0

    def __call__(self, expected: Array) -> Array:
        """Return the variances at expected intensities above 0, same shape."""
        return self.offset + self.ratio * expected if self.given is None else self.given

    def log_likelihood(self, intensity: Array, expected: Array, floor: Array, mask: Mask) -> float:
        """Return the (quasi-)likelihood of the measured intensities, up to a constant: the integral of (y - m) / V.

        Args:
            intensity: measured intensities y, shape (n, m).
            expected: of the model, of any sign.
            floor: expected intensities, above 0, below which the variance stays constant.
            mask: True where measured.
        """
        y, m = intensity[mask], expected[mask]
        if self.given is not None:
            return float(-0.5 * np.sum((y - m) ** 2 / self.given[mask]))
        least = floor[mask]
        bright, shift = np.maximum(m, least), self.offset / self.ratio
        value = np.sum((y + shift) * np.log(bright + shift) - bright) / self.ratio
        dark = m < least
        below, at = (y - m)[dark], (y - least)[dark]
        return float(value + 0.5 * np.sum((at**2 - below**2) / self(least[dark])))


def variance_of_sigma(sigma: Array, mask: Mask) -> Array:
    """Return variances from standard uncertainties, averaged over neighbouring pixels, shape (n, m).

    Uncertainties that were computed from the counts themselves are small where the counts are low by chance, and would
    bias a weighted fit; their local mean does not. Pixels with a sigma of 0 take that of their neighbours.

    Args:
        sigma: standard uncertainties, 0 or more where measured, shape (n, m).
        mask: True where measured.
    """
    known = mask & np.isfinite(sigma) & (sigma >= 0)
    squares = smooth_measured(np.where(known, sigma**2, np.nan), _SMOOTHING_PIXELS)
    known &= squares > 0
    if not known.any():
        return np.ones(sigma.shape)
    typical = float(np.median(squares[known]))
    return np.where(known, np.maximum(squares, 1e-3 * typical), typical)


def estimate_variance(intensity: Array, expected: Array, mask: Mask) -> Variance:
    """Estimate v_0 and phi from mixed second differences of measured minus expected intensities.

    Smooth errors of the expectation nearly cancel in these differences. Planes without noise, from a calculation, get
    that of two million counts in the brightest pixel.

    Args:
        intensity: measured intensities, shape (n, m).
        expected: intensities of a model or a smoothed plane, 0 or more, shape (n, m).
        mask: True where measured.
    """
    inner = ndimage.minimum_filter(mask, 3, mode="constant", cval=False)
    residual = np.where(mask, intensity - expected, 0.0)
    if inner.sum() >= _FEWEST:
        squares = take_second_differences(residual)[inner] ** 2 / STENCIL_VARIANCE
        levels = ndimage.uniform_filter(expected, 3)[inner]
    else:
        squares, levels = residual[mask] ** 2, expected[mask]
    levels = np.maximum(levels, 1e-4 * levels.max(initial=1e-300))
    order = np.argsort(levels)
    parts = np.array_split(order, max(min(_LEVELS, len(order) // _FEWEST), 1))
    means = np.array([levels[part].mean() for part in parts])
    whole = np.array([squares[part].mean() for part in parts])
    trimmed = means * np.array([average_without_outliers(squares[part] / levels[part]) for part in parts])
    bright = means >= 0.5 * means.mean()
    least = _LEAST_NOISE * max(float(expected[mask].max()), 1e-300)
    if not (bright.any() and trimmed[bright].min() > 0):
        return Variance(ratio=least)
    typical = float(np.median(trimmed[bright] / means[bright]))
    # A few counts are far from normal: their largest squares are no outliers.
    found = np.where(means > _FEW_COUNTS * typical, trimmed, whole)
    # Classes have alike relative errors; in dark ones the expected intensity itself is uncertain.
    relative = np.maximum(found, _DARK_CLASS * found.mean())
    scale = typical * float(means.mean())
    design = np.stack([np.full(len(means), scale), means * typical], axis=1) / relative[:, None]
    (offset, ratio), _ = optimize.nnls(design, found / relative)
    if ratio < 0.02:  # nearly constant noise; keep a slope so that the likelihood stays defined
        offset, ratio = max(offset, 0.98), 0.02
    return Variance(None, float(offset * scale), max(float(ratio * typical), least))


def noise_above_counts(variance: Array, expected: Array, intensity: Array, mask: Mask) -> float:
    """Return the variance of the noise in that of raw counts, 1 or more; 1 if the intensities are no whole numbers.

    Args:
        variance: of the noise, as found, shape (n, m).
        expected: intensities of a model, shape (n, m).
        intensity: measured intensities, shape (n, m).
        mask: True where measured.
    """
    values = intensity[mask]
    if not np.array_equal(values, np.round(values)):
        return 1.0
    return max(float(variance[mask].mean()) / max(float(expected[mask].mean()), 1e-300), 1.0)
