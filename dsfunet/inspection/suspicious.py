"""Suspicious values in a measured plane: zeros that may be gaps, spikes, coarse pixels, a plane off the centre."""

import numpy as np

from dsfunet.io.gap_marks import describe_negative_marks
from dsfunet.io.scales import recognise_scale
from dsfunet.planes.measured import MeasuredPlane
from dsfunet.planes.preprocessing import measured_pixels

_MANY_ZEROS = 0.05
_FEW_PIXELS_PER_CELL = 6
_SPIKE = 30.0
"""Ratio of the brightest pixel to the 99th percentile above which it looks like a Bragg peak."""


_OR = {"log": ", or log1p if 1 was added to the counts"}
_SCALES = {
    "sqrt": "square roots",
    "log": "natural logarithms",
    "log10": "logarithms to base 10",
    "log1p": "logarithms ln(1 + x)",
}


def find_suspicious_values(measured: MeasuredPlane) -> list[str]:
    """Return sentences about what a user may want to correct before factorising."""
    intensity = measured.intensity
    values = intensity[measured_pixels(intensity)]
    if not values.size:
        return ["the plane has no measured pixel"]
    found = []
    if float(values.max()) == float(values.min()):
        found.append(f"all measured pixels are {values.max():g}")
    negative = intensity[np.isfinite(intensity) & (intensity < 0)]
    marks = describe_negative_marks(intensity)
    found += marks
    if negative.size and not marks:
        found.append(f"negative pixels, down to {negative.min():.4g}, count as missing, not as zero")
    scale = recognise_scale(intensity)
    if scale is not None:
        found.append(
            f"the values are {_SCALES[scale]} of whole counts; give --scale {scale}{_OR.get(scale, '')}"
        )
    zeros = float(np.mean(values == 0))
    if zeros > _MANY_ZEROS:
        found.append(
            f"{100 * zeros:.0f} % of the measured pixels are exactly 0; if they are gaps, set them to NaN or give"
            " --mask-value 0"
        )
    bright = float(np.percentile(values, 99))
    if bright > 0 and values.max() > _SPIKE * bright:
        found.append(
            f"the brightest pixel is {values.max() / bright:.0f} times as bright as 99 % of the pixels; are Bragg peaks"
            " left in the plane?"
        )
    grid = measured.grid
    if grid is not None:
        for label, step, coordinates in zip(
            grid.name.labels, grid.steps, (grid.rows, grid.columns), strict=True
        ):
            if abs(step) * _FEW_PIXELS_PER_CELL > 1:
                found.append(f"only {1 / abs(step):.1f} pixels per reciprocal cell along {label}")
            low, high = float(coordinates.min()), float(coordinates.max())
            if max(-low, high) > 0 and min(-low, high) < 0.5 * max(-low, high):
                found.append(
                    f"{label} from {low:g} to {high:g} is not centred on 0; the uncovered side counts as missing"
                )
    return found
