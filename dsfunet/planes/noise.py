"""Estimates of the noise of a plane from second differences, in which smooth scattering almost cancels.

There are three estimators, one for each situation: `estimate_noise` needs only the intensity,
`estimate_noise_variance_by_level` also uses a model of the plane, and `estimate_mean_noise_variance` gives one number
for weighted pixels.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from dsfunet._typing import Array, Mask, Planes

# Immerkaer (Comput. Vis. Image Underst. 64, 300, 1996): constants, slopes and products of slopes cancel, so that mostly
# noise is left of a plane of scattering. The squares of the integer weights add up to 36.
_KERNEL = np.outer([1.0, -2.0, 1.0], [1.0, -2.0, 1.0]) / 6.0
# The square of a mixed second difference (1, -2, 1 along rows and columns) of independent noise of variance v is
# 36 v on average; smooth structure contributes very little to it.
STENCIL_VARIANCE = 36.0
"""Mean square of a mixed second difference of independent noise of variance 1."""

_NOISE_BINS = 8
# Mean square of a normal variable of variance 1 without the largest fiftieth of its squares.
_KEPT_VARIANCE = 0.8735
_LEVELS = 24
_FEWEST = 64
# Values in the upper tail, which Gaussian noise hardly reaches, come from structure, peaks or bad pixels.
_TRIM_QUANTILE = 0.98


@dataclass(frozen=True, eq=False)
class NoiseModel:
    """Standard deviation of the noise in one pixel as a function of the intensity expected there.

    The noise is assumed to be independent from pixel to pixel. In a plane that was interpolated from another grid it is
    not, and the estimate is too small.

    Attributes:
        levels: expected intensities in increasing order, shape (k,), in the unit of the plane.
        deviations: standard deviations at these levels, shape (k,), in the same unit; linear in between.
    """

    levels: Array
    deviations: Array

    def __call__(self, expected: Array) -> Array:
        """Return the standard deviation at expected intensities, same shape; constant beyond the outermost levels."""
        return np.interp(expected, self.levels, self.deviations)


def estimate_noise(intensity: Array) -> NoiseModel:
    """Estimate the noise of a plane as a function of intensity, from the plane alone.

    Args:
        intensity: intensities, shape (n, m); NaN where missing.

    Returns:
        the noise model, which is zero everywhere if fewer than 64 pixels can be used.

    Examples:
        >>> import numpy as np
        >>> from dsfunet.planes.noise import estimate_noise
        >>> plane = np.random.default_rng(0).poisson(100, (128, 128)).astype(float)
        >>> bool(abs(estimate_noise(plane)(np.array(100.0)) - 10) < 1)
        True
    """
    expected = smooth_measured(intensity, 1.5)
    scatter = np.abs(ndimage.convolve(intensity, _KERNEL, mode="constant", cval=np.nan))
    known = np.isfinite(scatter) & np.isfinite(expected)
    if np.count_nonzero(known) < _FEWEST:
        return NoiseModel(np.zeros(1), np.zeros(1))
    order = np.argsort(expected[known], kind="stable")
    parts = max(min(_LEVELS, len(order) // _FEWEST), 1)
    levels, deviations = [], []
    for part in np.array_split(order, parts):
        values = scatter[known][part]
        values = values[values <= np.quantile(values, _TRIM_QUANTILE)]
        levels.append(expected[known][part].mean())
        # The standard deviation of a Gaussian from its mean deviation; the median would be 0 for low counts.
        deviations.append(np.sqrt(np.pi / 2) * values.mean())
    found = NoiseModel(np.array(levels), np.array(deviations))
    # The deviation of counts is the square root of their expectation, and other noise grows no faster. Whatever grows
    # faster in the brightest quarter of the plane is the shape of sharp peaks.
    usual = slice(parts // 2, max(parts // 2 + 1, 3 * parts // 4))
    if found.levels[usual].min() > 0:
        growth = float((found.deviations[usual] / np.sqrt(found.levels[usual])).max())
        most = np.where(np.arange(parts) < parts // 2, np.inf, growth * np.sqrt(np.maximum(found.levels, 0)))
        found = NoiseModel(found.levels, np.minimum(found.deviations, most))
    return found


def smooth_measured(intensity: Array, deviation_pixels: float) -> Array:
    """Smooth a plane with a Gaussian, ignoring missing pixels (NaN), which stay NaN.

    Args:
        intensity: intensities, shape (n, m); NaN where missing.
        deviation_pixels: standard deviation of the Gaussian [pixels].
    """
    known = np.isfinite(intensity)
    total = ndimage.gaussian_filter(np.where(known, intensity, 0.0), deviation_pixels, mode="constant")
    weight = ndimage.gaussian_filter(known.astype(np.float64), deviation_pixels, mode="constant")
    return np.where(known, total / np.maximum(weight, 1e-12), np.nan)


def estimate_noise_variance_by_level(plane: Array, mask: Mask, product: Array) -> Array:
    """Estimate the variance of the noise in each pixel as an increasing function of the intensity the model expects.

    The estimate uses mixed second differences of the residual in eight classes with equally many pixels. The largest
    fiftieth of each class is left out, because spots and edges are not noise.

    Args:
        plane: measured intensities, shape (n, m).
        mask: True where measured, shape (n, m).
        product: intensities that the model expects, shape (n, m).

    Returns:
        variances, shape (n, m); 0 everywhere if too few pixels were measured.
    """
    inner = ndimage.minimum_filter(mask, 3, mode="constant", cval=False)
    if inner.sum() < 8 * _NOISE_BINS:
        return np.zeros(plane.shape)
    squares = take_second_differences(np.where(mask, plane - product, 0.0))[inner] ** 2 / STENCIL_VARIANCE
    expected = product[inner]
    order = np.argsort(expected, kind="stable")
    levels, variances = [], []
    for part in np.array_split(order, _NOISE_BINS):
        levels.append(float(np.mean(expected[part])))
        variances.append(average_without_outliers(squares[part]))
    rising = np.maximum.accumulate(variances)
    found: Array = np.interp(product, levels, rising)
    # Above the brightest class the variance grows in proportion to the intensity, as for counts.
    return found * np.maximum(product / max(levels[-1], 1e-9), 1.0)


def average_without_outliers(squares: Array) -> float:
    """Return the variance of normal values from their squares (n,), the largest fiftieth of which is left out."""
    kept = np.sort(squares)[: max(int(0.98 * len(squares)), 1)]
    return float(kept.mean()) / _KEPT_VARIANCE


def take_second_differences(values: Array) -> Array:
    """Take mixed second differences of an array (n, m): 1, -2, 1 along rows and along columns."""
    along = np.array([1.0, -2.0, 1.0])
    once: Array = ndimage.correlate1d(values, along, axis=0, mode="nearest")
    twice: Array = ndimage.correlate1d(once, along, axis=1, mode="nearest")
    return twice


def estimate_mean_noise_variance(residual: Planes, mask: Mask, weight: Planes) -> float:
    """Estimate the variance of the noise in a pixel, a weighted mean over the plane, from the residual of a model.

    Second differences along rows, x - 2 y + z, have the variance 6 v for independent noise of variance v. The errors of
    the model are smooth compared with the noise and contribute very little to them.

    Args:
        residual: measured minus model, shape (n, m).
        mask: True where measured, shape (n, m).
        weight: weights of the mean, shape (n, m).

    Returns:
        the variance; 0 if no three neighbouring pixels in a row were measured.
    """
    three = mask[:, 2:] & mask[:, 1:-1] & mask[:, :-2]
    if not three.any():
        return 0.0
    middle = weight[:, 1:-1][three].astype(np.float64)
    squares = np.diff(residual, 2, axis=1)[three].astype(np.float64) ** 2 / 6
    return float(middle @ squares / max(middle.sum(), 1e-300))
