"""The noise of a volume, estimated from a few of its layers."""

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from dsfunet._typing import Array
from dsfunet.lattice.joint_fit.noise import estimate_variance
from dsfunet.lattice.volume_fit.model import Noise
from dsfunet.lattice.volume_fit.voxels import Voxels

_LAYERS = 12
_FEWEST_PIXELS = 400
_SMOOTHING = 1.5


def estimate_noise(voxels: Voxels, expected: Callable[[int], Array] | None = None) -> Noise:
    """Estimate the variance of one voxel from second differences of measured minus expected intensities.

    Args:
        voxels: the data.
        expected: returns the expected intensities of one layer of constant h by its number, shape (m, o); None smooths
            the layer itself.
    """
    ratios, offsets, weights = [], [], []
    for layer in np.unique(np.linspace(0, voxels.shape[0] - 1, _LAYERS).round().astype(int)):
        counts = voxels.count[layer]
        if not counts.any():
            continue
        common = int(np.bincount(counts[counts > 0]).argmax())
        mask = counts == common
        if mask.sum() < _FEWEST_PIXELS:
            continue
        values = voxels.intensity[layer].astype(np.float64)
        if expected is None:
            smooth = ndimage.gaussian_filter(values * mask, _SMOOTHING)
            smooth /= np.maximum(ndimage.gaussian_filter(mask.astype(np.float64), _SMOOTHING), 1e-6)
        else:
            smooth = expected(int(layer))
        if not smooth[mask].max() > 0:
            continue
        found = estimate_variance(values, np.maximum(smooth, 0.0), mask)
        ratios.append(common * found.ratio)
        offsets.append(common * found.offset)
        weights.append(float(smooth[mask].sum()))
    if not ratios:
        return Noise(1.0)
    heavy = np.array(weights) >= 0.2 * max(weights)
    return Noise(float(np.median(np.array(ratios)[heavy])), float(np.median(np.array(offsets)[heavy])))
