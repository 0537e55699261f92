"""The noise of a plane, estimated from the plane itself by second differences, which smooth scattering hardly enters.

Three estimates share this idea, each for what is known where it is needed: `estimate_noise` needs the intensity alone,
`estimate_noise_variance_by_level` has a model of the plane, and `estimate_mean_noise_variance` gives one number for weighted pixels.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from dsfunet._typing import Array, Mask, Planes

# Immerkaer (Comput. Vis. Image Underst. 64, 300, 1996): blind to planes, slopes and products of slopes, so that what
# is left of a plane of scattering is noise; the weights' squares add up to 36.
_KERNEL = np.outer([1.0, -2.0, 1.0], [1.0, -2.0, 1.0]) / 6.0
# The square of a mixed second difference (1, -2, 1 along rows and columns) of independent noise of variance v is
# 36 v on average; smooth structure hardly counts in it.
_STENCIL_VARIANCE = 36.0
_NOISE_BINS = 8
# Mean square of a normal variable of variance 1 without the largest fiftieth of its squares.
_KEPT_VARIANCE = 0.8735
_LEVELS = 24
_FEWEST = 64
# What no Gaussian reaches in so many draws is structure, a peak or a bad pixel.
_TRIM_QUANTILE = 0.98


@dataclass(frozen=True, eq=False)
class NoiseModel:
    """Standard deviation of one pixel as a function of the intensity expected there, both in the plane's unit.

    Taken to be independent from pixel to pixel: in a plane that was interpolated from another grid it is not, and comes
    out too small. `levels` (k,) increase, `deviations` (k,) belong to them; between, it is linear.
    """

    levels: Array
    deviations: Array

    def __call__(self, expected: Array) -> Array:
        """Standard deviation at an expected intensity, of its shape; beyond the levels that of the outermost."""
        return np.interp(expected, self.levels, self.deviations)


def estimate_noise(intensity: Array) -> NoiseModel:
    """The noise of a plane (n, m), NaN where missing; zero everywhere where too little was measured to say."""
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
        deviations.append(np.sqrt(np.pi / 2) * values.mean())  # of a Gaussian; MAD would be 0 for few counts
    found = NoiseModel(np.array(levels), np.array(deviations))
    # Counts scatter by the root of what is expected, and other noise grows no faster: what does, in the brightest
    # quarter of the plane, is the shape of sharp peaks.
    usual = slice(parts // 2, max(parts // 2 + 1, 3 * parts // 4))
    if found.levels[usual].min() > 0:
        growth = float((found.deviations[usual] / np.sqrt(found.levels[usual])).max())
        most = np.where(np.arange(parts) < parts // 2, np.inf, growth * np.sqrt(np.maximum(found.levels, 0)))
        found = NoiseModel(found.levels, np.minimum(found.deviations, most))
    return found


def smooth_measured(intensity: Array, deviation_pixels: float) -> Array:
    """A plane smoothed by a Gaussian, missing pixels taking no part; NaN where they are."""
    known = np.isfinite(intensity)
    total = ndimage.gaussian_filter(np.where(known, intensity, 0.0), deviation_pixels, mode="constant")
    weight = ndimage.gaussian_filter(known.astype(np.float64), deviation_pixels, mode="constant")
    return np.where(known, total / np.maximum(weight, 1e-12), np.nan)


def estimate_noise_variance_by_level(plane: Array, mask: Mask, product: Array) -> Array:
    """Variance of each pixel's noise as a rising function of what the product expects there.

    From mixed second differences of the residual in eight classes of equally many pixels, the largest fiftieth of each
    left out: spots and edges are no noise.
    """
    inner = ndimage.minimum_filter(mask, 3, mode="constant", cval=False)
    if inner.sum() < 8 * _NOISE_BINS:
        return np.zeros(plane.shape)
    squares = take_second_differences(np.where(mask, plane - product, 0.0))[inner] ** 2 / _STENCIL_VARIANCE
    expected = product[inner]
    order = np.argsort(expected, kind="stable")
    levels, variances = [], []
    for part in np.array_split(order, _NOISE_BINS):
        values = np.sort(squares[part])
        levels.append(float(np.mean(expected[part])))
        variances.append(float(np.mean(values[: max(int(0.98 * len(values)), 1)])) / _KEPT_VARIANCE)
    rising = np.maximum.accumulate(variances)
    found: Array = np.interp(product, levels, rising)
    # Brighter than the brightest class: as counts go.
    return found * np.maximum(product / max(levels[-1], 1e-9), 1.0)


def take_second_differences(values: Array) -> Array:
    """Mixed second differences, 1 -2 1 along rows and along columns."""
    along = np.array([1.0, -2.0, 1.0])
    once: Array = ndimage.correlate1d(values, along, axis=0, mode="nearest")
    twice: Array = ndimage.correlate1d(once, along, axis=1, mode="nearest")
    return twice


def estimate_mean_noise_variance(residual: Planes, mask: Mask, weight: Planes) -> float:
    """Variance of a pixel's noise, weighted mean over the plane, from second differences of the residual along rows.

    What the model misses is smooth beside the noise and hardly counts in these. Independent noise of variance v has
    second differences x - 2 y + z of variance 6 v.
    """
    three = mask[:, 2:] & mask[:, 1:-1] & mask[:, :-2]
    if not three.any():
        return 0.0
    middle = weight[:, 1:-1][three].astype(np.float64)
    squares = np.diff(residual, 2, axis=1)[three].astype(np.float64) ** 2 / 6
    return float(middle @ squares / max(middle.sum(), 1e-300))
