"""How noisy a plane is, from the plane itself: the scatter of a pixel about what its eight neighbours say."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from dsfunet.cleanup.record import Array

# Immerkaer (Comput. Vis. Image Underst. 64, 300, 1996): blind to planes, slopes and products of slopes, so that what
# is left of a plane of scattering is noise; the weights' squares add up to 36.
_KERNEL = np.outer([1.0, -2.0, 1.0], [1.0, -2.0, 1.0]) / 6.0
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


def noise_of(intensity: Array) -> NoiseModel:
    """The noise of a plane (n, m), NaN where missing; zero everywhere where too little was measured to say."""
    expected = smoothed(intensity, 1.5)
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


def smoothed(intensity: Array, deviation_pixels: float) -> Array:
    """A plane smoothed by a Gaussian, missing pixels taking no part; NaN where they are."""
    known = np.isfinite(intensity)
    total = ndimage.gaussian_filter(np.where(known, intensity, 0.0), deviation_pixels, mode="constant")
    weight = ndimage.gaussian_filter(known.astype(np.float64), deviation_pixels, mode="constant")
    return np.where(known, total / np.maximum(weight, 1e-12), np.nan)
