"""Standard uncertainties of the components, from several passes and a calibration.

Rotating and flipping a plane should rotate and flip the answer. Where it does not, the answer is uncertain. The scatter
of such passes ranks pixels and planes by their error, but it is several times too small, because the passes share most
of their errors. A calibration, fitted on simulated planes with known truth, turns that scatter into a standard
uncertainty, together with how well the answer explains the plane and how far away the nearest measured pixel is. All
this happens in spread space, s = 2 sqrt(x) - 1, where errors vary least over a plane; `linear_sigma` converts to linear
intensity.

Other ways were tried on 96 planes: random holes in the mask, and leaving out blocks of the plane in lattice mode. They
made the mean worse, and their calibrated uncertainties were less informative. Eight passes were no better than four.
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
"""With few passes the variance of a single pixel is mostly chance; it is averaged over a Gaussian this wide."""


# Floors under deviations, misfits and noise, so that their logarithms stay finite.
_SMALLEST_DEVIATION, _SMALLEST_MISFIT = 1e-3, 3e-3


class Passes(NamedTuple):
    """Mean and standard deviation of the passes over a plane, (2, 256, 256) in spread space; None for one pass."""

    mean: Planes
    deviation: Planes | None


def summarise_passes(outputs: Planes) -> Passes:
    """Return mean and standard deviation (n - 1 in the denominator) of passes (n, 2, 256, 256)."""
    if len(outputs) == 1:
        return Passes(outputs[0], None)
    return Passes(outputs.mean(axis=0), outputs.std(axis=0, ddof=1))


def describe_answer(
    answer: Planes, deviation: Planes | None, scattering: npt.NDArray[np.floating[Any]], mask: Mask
) -> Planes:
    """Return the features of every pixel that the calibration uses, for both components.

    They are: 1; the logarithm of the smoothed deviation between passes, and of its rms over the plane (both 0 for a
    single pass); the logarithms of the misfit between product and measured plane beyond the noise, and of that noise,
    both relative to the root of sum I^2; the logarithm of 1 + the distance [pixels] to the nearest measured pixel; and
    the component itself, s and s^2.

    Args:
        answer: Both components (2, 256, 256) in spread space, [-1, 1].
        deviation: Standard deviation of the passes, same shape; None for a single pass.
        scattering: The measured plane (256, 256), any unit; pixels outside the mask are ignored.
        mask: True where a pixel was measured.

    Returns:
        (2, features, 256, 256); the features are those of `dsfunet.networks.calibration.FEATURES`.
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
    """Return the standard uncertainty of linear intensity x in [0, 1], given that of s = 2 sqrt(x) - 1.

    The error is assumed to be Gaussian in sqrt(x), with deviation t = sigma / 2. The variance of x is then exactly
    4 x t^2 + 2 t^4. Away from 0 this is the linear rule, 2 sqrt(x) t; at x = 0, where the linear rule gives 0, it is
    sqrt(2) t^2.
    """
    half = 0.5 * sigma
    linear: Planes = (half * np.sqrt((answer + 1) ** 2 + 2 * half**2)).astype(np.float32)
    return linear


def sqrt_sigma(intensity: Planes, sigma: Planes) -> Planes:
    """Return the standard uncertainty of sqrt(x), which is half that of s: the inverse of `linear_sigma`."""
    square = intensity.astype(np.float64) ** 2
    half: Planes = np.sqrt(np.sqrt(square + sigma.astype(np.float64) ** 2 / 2) - intensity).astype(np.float32)
    return half


def estimate_sigmas(
    calibration: Calibration | None,
    mode: Mode,
    passes: int,
    answers: Sequence[Passes],
    scattering: npt.NDArray[np.floating[Any]],
    mask: Mask,
) -> Planes | None:
    """Return the standard uncertainties of answers to planes (n, 256, 256), (2, n, 256, 256) in linear intensity.

    Without a calibration they are the deviation between passes. The result is None if there are no passes, or a single
    pass and no calibration.
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


def describe_joint_uncertainty(passes: int) -> str:
    """Say what the uncertainties of a joint fit are, for the record."""
    if passes < 1:
        return "none: 0 passes were requested"
    return (
        "standard uncertainty of linear intensity from the joint fit to the measured pixels (Laplace approximation),"
        " joined with that of the networks for the form factor where data are missing or weak"
    )


def describe_uncertainty(calibration: Calibration | None, passes: int) -> str:
    """Say what the uncertainties of an answer are, for the record."""
    if passes < 1:
        return "none: 0 passes were requested"
    count = "1 pass" if passes == 1 else f"{passes} passes over rotated and flipped copies of the plane"
    if calibration is not None:
        return (
            f"standard uncertainty of linear intensity, Gaussian in its square root, from {count}, calibrated on"
            " simulated planes"
        )
    if passes == 1:
        return "none: these weights have no calibration, and a single pass has no scatter"
    return (
        f"uncalibrated, since these weights have no calibration: the standard deviation of {count}; errors are likely"
        " to be several times larger"
    )
