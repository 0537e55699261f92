"""Windows on reciprocal space, and how wide a peak each of them leaves in real space."""

from functools import cache
from typing import Literal, get_args

import numpy as np

from dsfunet._typing import Array, Float32

WindowName = Literal["gauss", "hann", "blackman", "sphere", "none"]
"""Windows: smooth ones, which end at a radius; a sharp edge there; or the whole box of voxels."""

WINDOWS: tuple[WindowName, ...] = get_args(WindowName)

_AT_EDGE = 0.01
"""Value of the window gauss at its radius, beyond which it is 0."""


def window_values(name: WindowName, squared: Float32) -> Float32:
    """Return the values of a window, from 1 at the origin to 0 beyond its radius.

    Args:
        name: of the window; "none" is 1 everywhere.
        squared: (|Q| / radius)^2.
    """
    if name == "none":
        return np.ones_like(squared)
    inside = squared <= 1.0
    if name == "sphere":
        return inside.astype(np.float32)
    if name == "gauss":
        values = np.exp(np.float32(np.log(_AT_EDGE)) * squared)
    else:
        angle = np.float32(np.pi) * np.sqrt(squared)
        if name == "hann":
            values = 0.5 + 0.5 * np.cos(angle)
        else:
            values = 0.42 + 0.5 * np.cos(angle) + 0.08 * np.cos(2 * angle)
    result: Float32 = np.where(inside, values, 0.0).astype(np.float32)
    return result


@cache
def peak_shape(name: WindowName) -> tuple[float, float]:
    """Return the shape of the peak that a point-like correlation gets from a spherical window.

    Returns:
        the full width at half maximum times the radius, dimensionless, and the deepest ripple as a share of the
        height; both NaN for "none", whose peak depends on the box.
    """
    if name == "none":
        return float("nan"), float("nan")
    radius = np.linspace(0, 1, 2001)
    weight = window_values(name, (radius**2).astype(np.float32)) * radius**2
    distance = np.linspace(0, 40, 4001)
    # The transform of a function of |Q| alone: the integral of w(s) s^2 sin(s x) / (s x).
    peak: Array = np.array([np.trapezoid(weight * np.sinc(radius * x / np.pi), radius) for x in distance])
    peak /= peak[0]
    half = int(np.argmax(peak < 0.5))
    # Linear between the two samples around the half.
    width = distance[half] - (0.5 - peak[half]) / (peak[half - 1] - peak[half]) * (distance[1] - distance[0])
    return 2 * float(width), float(-peak.min())
