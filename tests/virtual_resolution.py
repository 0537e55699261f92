"""What an instrument makes of an exact intensity: a layer with a thickness, blurred by a Gaussian."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def blur_layer(
    intensity: Callable[[Array, Array, float], Array],
    rows: Array,
    columns: Array,
    offset: float,
    resolution: tuple[float, float],
    thickness: float,
) -> Array:
    """Return the intensity of a layer averaged over its thickness and blurred, shape (rows, columns).

    Args:
        intensity: exact intensity at indices along both axes of a plane and along the third axis.
        rows: indices of the pixels along the first axis, evenly spaced.
        columns: indices along the second axis.
        offset: index of the middle of the layer along the third axis.
        resolution: standard deviations along both axes [r.l.u.].
        thickness: full width of the layer along the third axis [r.l.u.].
    """
    fine, blurs = [], []
    for values, sigma in zip((rows, columns), resolution, strict=True):
        half = float(values[1] - values[0]) / 2
        margin = int(np.ceil(5 * sigma / half))
        points = np.arange(-margin, 2 * len(values) - 1 + margin) * half + values[0] if sigma else values
        weights = np.exp(-0.5 * ((values[:, None] - points) / sigma) ** 2) if sigma else np.eye(len(values))
        fine.append(points)
        blurs.append(weights / weights.sum(axis=1, keepdims=True))
    nodes, weights = np.polynomial.legendre.leggauss(5 if thickness else 1)
    layers = [intensity(fine[0], fine[1], offset + thickness / 2 * node) for node in nodes]
    return np.asarray(blurs[0] @ np.tensordot(weights / 2, np.array(layers), 1) @ blurs[1].T)
