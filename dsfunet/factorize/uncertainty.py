"""How far off each pixel of an answer is likely to be: the plane asked several times, turned, and a calibration.

Of a plane turned and flipped the networks should say the same, turned and flipped. Where they do not, they are unsure.
The spread of such passes ranks pixels and planes by their error but is several times too small, because the passes
share most of their errors: a calibration, fitted on simulated planes whose truth is known, makes a standard uncertainty
of that spread, of how well the answer explains the plane, and of how far away the nearest measured pixel is. All this
happens in spread space, s = 2 sqrt(x) - 1, where errors are most alike over a plane; `linear_sigma` brings it to linear
intensity. On 96 planes random holes in the mask, with or without turns, and leaving out blocks of the plane in lattice
mode made the mean worse, and calibrated sigmas that say less than those of turns; eight turns said no more than four.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt, gaussian_filter

from dsfunet._typing import Mask, Planes
from dsfunet.networks.calibration import FEATURES, Calibration, Mode
from dsfunet.physics.product import fit_product
from dsfunet.planes.noise import estimate_mean_noise_variance
from dsfunet.planes.preprocessing import unspread

SMOOTHING_PIXELS = 3.0
"""Of few passes a pixel's own variance is mostly chance: it is averaged over a Gaussian of this deviation."""


# No logarithm runs away: below these deviations, misfits and noises nothing changes any more.
_SMALLEST_DEVIATION, _SMALLEST_MISFIT = 1e-3, 3e-3


class Passes(NamedTuple):
    """Both components of a plane, spread (2, 256, 256): mean and standard deviation of the passes, None of one."""

    mean: Planes
    deviation: Planes | None


def summarised(outputs: Planes) -> Passes:
    """Mean and standard deviation (n - 1 in the denominator) of passes (n, 2, 256, 256)."""
    if len(outputs) == 1:
        return Passes(outputs[0], None)
    return Passes(outputs.mean(axis=0), outputs.std(axis=0, ddof=1))


def describe_answer(
    answer: Planes, deviation: Planes | None, scattering: npt.NDArray[np.floating[Any]], mask: Mask
) -> Planes:
    """FEATURES of every pixel of both components, (2, features, 256, 256).

    They are: 1; the logarithms of the deviation between passes, smoothed, and of its rms over the plane (both 0 for a
    single pass); those of the misfit of the answer's product to the measured plane, beyond the noise, and of that
    noise, both as parts of the plane's root of sum I^2; the logarithm of 1 + the distance [pixels] to the next measured
    pixel; and the component itself, s and s^2.

    Args:
        answer: both components (2, 256, 256), spread, in [-1, 1].
        deviation: standard deviation of the passes, likewise; None for a single pass.
        scattering: the measured plane (256, 256), any unit; what lies outside the mask is not looked at.
        mask: True = measured.
    """
    features = np.empty((2, len(FEATURES), *mask.shape), np.float32)
    features[:, 0] = 1
    features[:, 1:3] = 0
    if deviation is not None:
        for component, each in enumerate(deviation):
            variance = gaussian_filter(each**2, SMOOTHING_PIXELS)
            features[component, 1] = 0.5 * np.log(np.maximum(variance, 0) + _SMALLEST_DEVIATION**2)
            features[component, 2] = 0.5 * np.log(np.mean(each**2) + _SMALLEST_DEVIATION**2)
    misfit, noise = _misfit_and_noise(answer, scattering, mask)
    features[:, 3], features[:, 4] = np.log(misfit), np.log(noise)
    features[:, 5] = 0 if mask.all() else np.log1p(distance_transform_edt(~mask))
    features[:, 6], features[:, 7] = answer, answer**2
    return features


def _misfit_and_noise(
    answer: Planes, scattering: npt.NDArray[np.floating[Any]], mask: Mask
) -> tuple[float, float]:
    shown = np.where(mask, scattering, 0).astype(np.float64)
    shown /= max(float(shown.max()), 1e-30)
    form_factor, order = unspread(answer.astype(np.float64))
    residual = np.where(mask, shown - fit_product(shown, form_factor, order, mask).intensity, 0)
    whole = max(float(np.sum(shown**2)), 1e-30)
    noise = (
        estimate_mean_noise_variance(residual, mask, np.ones(mask.shape, np.float32))
        * float(mask.sum())
        / whole
    )
    misfit = max(float(np.sum(residual**2)) / whole - noise, 0.0)
    return float(np.sqrt(misfit + _SMALLEST_MISFIT**2)), float(np.sqrt(noise + _SMALLEST_MISFIT**2))


def linear_sigma(answer: Planes, sigma: Planes) -> Planes:
    """Standard uncertainty of linear intensity x in [0, 1] from that of s = 2 sqrt(x) - 1, any shape.

    The error is taken as Gaussian in sqrt(x), with deviation t = sigma / 2. Then x has variance 4 x t^2 + 2 t^4,
    exactly: away from 0 that is the linear rule, 2 sqrt(x) t; at x = 0, where the linear rule says 0, sqrt(2) t^2.
    """
    half = 0.5 * sigma
    linear: Planes = (half * np.sqrt((answer + 1) ** 2 + 2 * half**2)).astype(np.float32)
    return linear


def sqrt_sigma(intensity: Planes, sigma: Planes) -> Planes:
    """Standard uncertainty of sqrt(x) from x and that of x, the inverse of `linear_sigma`: half that of s."""
    square = intensity.astype(np.float64) ** 2
    half: Planes = np.sqrt(np.sqrt(square + sigma.astype(np.float64) ** 2 / 2) - intensity).astype(np.float32)
    return half


def sigmas_of(
    calibration: Calibration | None,
    mode: Mode,
    passes: int,
    answers: Sequence[Passes],
    scattering: npt.NDArray[np.floating[Any]],
    mask: Mask,
) -> Planes | None:
    """Standard uncertainties of linear intensity, (2, n, 256, 256), of answers to planes (n, 256, 256).

    None where there are none: no passes, or a single one and no calibration. Of several without a calibration, it is
    their deviation.
    """
    if not passes or (passes == 1 and calibration is None):
        return None
    sigmas = np.empty((2, *mask.shape), np.float32)
    for place, (answer, plane, its_mask) in enumerate(zip(answers, scattering, mask, strict=True)):
        if calibration is not None:
            sigma = calibration.sigma(mode, passes, describe_answer(*answer, plane, its_mask))
        else:
            assert answer.deviation is not None
            sigma = answer.deviation
        sigmas[:, place] = linear_sigma(answer.mean, sigma)
    return sigmas


def uncertainty_in_words(calibration: Calibration | None, passes: int) -> str:
    """What the sigmas of an answer are, for the record."""
    if passes < 1:
        return "not asked for"
    count = "1 pass" if passes == 1 else f"{passes} passes, the plane turned and flipped"
    if calibration is not None:
        return (
            f"standard uncertainty of linear intensity, Gaussian in its square root, from {count}, calibrated on"
            " simulated planes"
        )
    if passes == 1:
        return "none: these weights have no calibration, and one pass says nothing of its error"
    return (
        f"uncalibrated, since these weights have no calibration: the standard deviation of {count}; errors are likely"
        " to be several times larger"
    )
