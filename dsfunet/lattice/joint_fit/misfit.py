"""What chi-squared may exceed 1 by before a joint fit is said to leave more of a plane than noise does."""

import numpy as np

UNKNOWN_NOISE = 0.03
"""Share by which chi-squared exceeds 1 because the noise itself has to be estimated, at most.

On planes of virtual crystals that are products of both factors, chi-squared reaches 1.028.
"""

LOOKED_AT, DOUBTED = 2.0, 4.0
"""Standard deviations of chi-squared for the number of pixels, beyond that share.

From the first on, a closer look is worth its time, since other tests decide in the end. From the second on, the verdict
is that the fit does not explain the plane: it is to be wrong on fewer than one good plane in a thousand.
"""


def allow_misfit(pixels: int, deviations: float) -> float:
    """Return what chi-squared may exceed 1 by.

    Args:
        pixels: number of measured pixels.
        deviations: standard deviations of chi-squared that are allowed, `LOOKED_AT` or `DOUBTED`.
    """
    return UNKNOWN_NOISE + deviations * float(np.sqrt(2 / max(pixels, 1)))


def exceeds_noise(chi_squared: float, pixels: int, deviations: float) -> bool:
    """Whether chi-squared, the mean over so many pixels, is larger than noise explains; see `allow_misfit`."""
    return chi_squared - 1 > allow_misfit(pixels, deviations)
