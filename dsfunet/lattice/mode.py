"""Lattice mode: both components of a plane whose lattice is known, I_SRO fitted to the plane and I_FF corrected by it.

On a plane that reciprocal axes span, I_SRO is a cosine series (`dsfunet.physics.cosine_series`), clipped at zero where
the truncated series is negative; a weighted linear fit to the measured pixels finds its coefficients. The fit divides
the plane by I_FF, which the network predicts. The measured plane is then divided by the fitted series, which corrects
the I_FF of the network wherever there are data.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Mask, Planes
from dsfunet.lattice.smoothing import cell_smoothers, smooth_ratio, unit_range
from dsfunet.physics.cosine_series import CosineSeries, fit_cosine_series
from dsfunet.physics.lattice_plane import LatticePlane
from dsfunet.physics.product import fit_product
from dsfunet.planes.noise import estimate_mean_noise_variance

Scalar = TypeVar("Scalar", bound=np.generic)

LEVEL_SCALES = (2.0, 4.0)
"""Widths of the Gaussians that smooth a plane over its cells, in standard deviations of the reciprocal cell."""

CORRECTION_SCALES = (0.25, 0.5, 1.0)
"""Widths of the Gaussians that correct the form factor of the network, in the same unit."""

CORRECTION_WEAK = 0.003
"""Share of the mean weight below which a wider Gaussian, and in the end the network, takes over from the data.

Noise adds to this share."""

SMALLEST_PRIOR_VARIANCE = 0.01
"""Smallest relative variance of I_FF that the correction is expected to have; noise is compared with it."""

CLIPPED_FITS = 4
"""Number of repeated fits of the series without the pixels at which it is negative."""

WORST_RATIO = 1.05
"""The lattice is accepted if its wR2 is at most this multiple of that of the networks' components, or if ..."""

GOOD_RESIDUAL = 0.03
"""... its wR2 is at most this."""

# Limits the quotient where hardly anything scatters; its weight is small there anyway.
_SMALLEST_LEVEL = 0.01


@dataclass(frozen=True, eq=False)
class LatticeAnswer:
    """Both components of a plane on its lattice, and whether the lattice explains the plane.

    Attributes:
        form_factor: I_FF, (256, 256), linear, in [0, 1], normalised like that of the network; after the correction its
            minimum and maximum are not exactly 0 and 1.
        short_range_order: I_SRO, (256, 256), linear, with minimum 0 and maximum 1.
        residual: wR2 of both components against the measured plane; 0 is perfect.
        residual_of_networks: wR2 of the two components of the networks, with their I_FF corrected by the plane in the
            same way, because the correction alone lowers wR2.
        accepted: whether residual is at most WORST_RATIO times residual_of_networks, or at most GOOD_RESIDUAL; if not,
            the components of the networks are the better ones.
    """

    form_factor: Planes
    short_range_order: Planes
    residual: float
    residual_of_networks: float
    accepted: bool


def split_on_lattice(
    scattering: npt.NDArray[np.floating],
    mask: Mask,
    lattice: LatticePlane,
    form_factor: Planes,
    short_range_order: Planes,
    predict_form_factor: Callable[[Planes], Planes] | None = None,
) -> LatticeAnswer:
    """Split a plane into its components on a lattice, starting from the components of the networks.

    1. Fit the series to the plane divided by its own low pass (`smooth_over_cells`), and give it to the network, if the
       network accepts I_SRO as input.
    2. Scale I_FF of the network, and add a floor, so that its product with the series explains the plane best.
    3. Fit the series again, to the plane divided by this I_FF, with this I_FF as the weight of each pixel.
    4. Correct I_FF by the smoothed quotient of plane and product where there are data; noisy data are smoothed more.

    If the plane contains -Q for each Q, both components are made centrosymmetric.

    Args:
        scattering: measured plane (256, 256), 0 or more, any unit; pixels outside the mask are ignored.
        mask: True = measured.
        lattice: the cell and the position of the plane.
        form_factor: I_FF of the network, linear, in [0, 1].
        short_range_order: I_SRO of the network; it is only compared with the lattice.
        predict_form_factor: function that returns I_FF of the network for a given I_SRO (256, 256), linear, with
            maximum 1 and its minimum not subtracted; None for a network without that input.

    Raises:
        InputError: the plane has no measured pixel.
    """
    shown = np.where(mask, scattering, 0).astype(np.float32)
    shown /= max(float(shown.max()), 1e-30)
    order = fit_order(shown, mask, smooth_over_cells(shown, mask, lattice), lattice)
    smooth = _make_centrosymmetric(
        form_factor if predict_form_factor is None else predict_form_factor(order), lattice
    )
    prior, _, _ = _scale_form_factor(shown, mask, smooth, order)
    series = _fit_series(shown, mask, prior, lattice, CLIPPED_FITS)
    order = _clip_series(series, lattice)
    prior, scale, floor = _scale_form_factor(shown, mask, smooth, order)
    corrected = prior * _correct_form_factor(shown, mask, prior, order, lattice)
    residual = _measure_residual(shown, mask, corrected, order)
    of_networks = _measure_residual_of_networks(shown, mask, form_factor, short_range_order, lattice)
    return LatticeAnswer(
        # Not normalised by its own extremes: these are single pixels, and less reliable than the network.
        form_factor=np.clip((corrected - np.float32(floor)) / np.float32(scale), 0, 1),
        short_range_order=unit_range(order),
        residual=residual,
        residual_of_networks=of_networks,
        accepted=residual <= max(WORST_RATIO * of_networks, GOOD_RESIDUAL),
    )


def smooth_over_cells(scattering: Planes, mask: Mask, lattice: LatticePlane) -> Planes:
    """Smooth a plane over about two reciprocal cells, over which the series averages out: an estimate of I_FF.

    A fit to I / A with weight A minimises sum (I - A S)^2 / A, so that the few cells with the strongest I_FF do not
    decide alone.
    """
    measured = mask.astype(np.float32)
    return smooth_ratio(measured * scattering, measured, cell_smoothers(lattice, LEVEL_SCALES))


def fit_order(
    scattering: Planes, mask: Mask, level: Planes, lattice: LatticePlane, clipped: int = 0
) -> Planes:
    """Fit I_SRO as a cosine series to I / level with level as weight; returns it clipped at 0, with maximum 1.

    Its minimum is not subtracted, because it is part of I and needed for division by I_SRO.

    Args:
        scattering: plane, 0 where missing.
        mask: True = measured.
        level: I_FF or an estimate of it; any unit.
        lattice: the cell and the position of the plane.
        clipped: number of repeated fits without the pixels at which the series is negative.

    Raises:
        InputError: the plane has no measured pixel.
    """
    return _clip_series(_fit_series(scattering, mask, level, lattice, clipped), lattice)


def _fit_series(
    scattering: Planes, mask: Mask, level: Planes, lattice: LatticePlane, clipped: int
) -> CosineSeries:
    """Fit the series of I / level, scaled to maximum 1.

    I_SRO is clipped at zero where its truncated series is negative. The plane holds no other information there, so the
    fit is repeated without those pixels: these are Gauss-Newton steps of least squares for max(series, 0).
    """
    divisor = np.maximum(level, _SMALLEST_LEVEL * float(level.max()))
    divisor = np.where(divisor > 0, divisor, np.float32(1))
    quotient, weight = scattering / divisor, np.where(mask, divisor, np.float32(0))
    where = (lattice.cell, lattice.plane, lattice.axes)
    series = fit_cosine_series(quotient, weight, *where, max_index=lattice.max_index)
    values = series.evaluate(lattice.plane)
    for _ in range(clipped):
        dips = values < 0
        if not (dips & mask).any():
            break
        series = fit_cosine_series(quotient, np.where(dips, 0, weight), *where, max_index=lattice.max_index)
        values = series.evaluate(lattice.plane)
    highest = max(float(values.max()), 1e-30)
    return CosineSeries(series.coefficients / highest, series.cell, series.axes)


def _clip_series(series: CosineSeries, lattice: LatticePlane) -> Planes:
    order: Planes = np.maximum(series.evaluate(lattice.plane), 0).astype(np.float32)
    return _make_centrosymmetric(order, lattice)


def _scale_form_factor(
    scattering: Planes, mask: Mask, smooth: Planes, order: Planes
) -> tuple[Planes, float, float]:
    """Return s F + f > 0, s > 0 and f >= 0 for which (s F + f) S is closest to the measured plane."""
    first, second = (smooth * order)[mask].astype(np.float64), order[mask].astype(np.float64)
    target = scattering[mask].astype(np.float64)
    gram = np.array([[first @ first, first @ second], [first @ second, second @ second]])
    right = np.array([first @ target, second @ target])
    scale, floor = np.linalg.lstsq(gram, right, rcond=None)[0]
    if scale <= 0 or floor < 0:
        scale, floor = right[0] / gram[0, 0] if right[0] > 0 else 1.0, 0.0
    scaled: Planes = np.float32(scale) * smooth + np.float32(floor)
    positive: Planes = np.maximum(scaled, np.float32(1e-6) * scaled.max())
    return positive, float(scale), float(floor)


def _correct_form_factor(
    scattering: Planes, mask: Mask, prior: Planes, order: Planes, lattice: LatticePlane
) -> Planes:
    """Return the factor on I_FF: the least-squares scale of prior x order around each pixel, 1 far from data."""
    model = mask * prior * order
    numerator, denominator = model * scattering, model * model
    residual = (scattering - model) * mask
    # Residual of the model beyond the noise: the larger it is, the less the form factor of the network is trusted.
    missed = np.sum(residual**2, dtype=np.float64) - mask.sum() * estimate_mean_noise_variance(
        residual, mask, mask.astype(np.float32)
    )
    variance = max(missed / max(np.sum(denominator, dtype=np.float64), 1e-30), SMALLEST_PRIOR_VARIANCE)
    noise = estimate_mean_noise_variance(residual, mask, denominator) / variance
    if lattice.inverts_onto_itself:
        numerator, denominator = numerator + invert_plane(numerator), denominator + invert_plane(denominator)
        noise *= 2  # per pair
    smoothers = cell_smoothers(lattice, CORRECTION_SCALES)
    mean = max(float(denominator.mean(dtype=np.float64)), 1e-30)
    weak = [CORRECTION_WEAK + noise / (each.pixels * mean) for each in smoothers]
    return smooth_ratio(numerator, denominator, smoothers, unseen=1.0, weak=weak)


def _make_centrosymmetric(plane: Planes, lattice: LatticePlane) -> Planes:
    if not lattice.inverts_onto_itself:
        return plane
    mean: Planes = (plane + invert_plane(plane)) / np.float32(2)
    return mean


def average_friedel_mates(
    scattering: npt.NDArray[np.floating], mask: Mask, lattice: LatticePlane
) -> tuple[npt.NDArray[np.floating], Mask]:
    """Average each pixel with its Friedel mate at -Q, or take the one that was measured; returns plane and mask.

    By Friedel's law both have the same intensity, so a mate is often measured where a detector gap hides a pixel.
    Planes that do not contain -Q for each Q are returned as they are. Pixels outside the mask are ignored; the result
    is 0 where neither mate was measured.
    """
    if not lattice.inverts_onto_itself:
        return scattering, mask
    known = np.where(mask, scattering, 0)
    count = mask.astype(known.dtype) + invert_plane(mask)
    return (known + invert_plane(known)) / np.maximum(count, 1), count > 0


def invert_plane(plane: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    """Invert a plane through Q = 0 at pixel (n/2, n/2); row and column 0, which have no Friedel mates, stay."""
    mates = np.roll(plane[::-1, ::-1], (1, 1), (0, 1))
    result = np.array(mates)
    result[0], result[:, 0] = plane[0], plane[:, 0]
    return result


def measure_residuals(
    scattering: npt.NDArray[np.floating],
    mask: Mask,
    lattice: LatticePlane,
    on_lattice: tuple[Planes, Planes],
    of_networks: tuple[Planes, Planes],
) -> tuple[float, float]:
    """Return wR2 of two components on a lattice and of those of the networks, whose I_FF is corrected by the plane.

    Args:
        scattering: measured plane (256, 256), 0 or more, any unit; pixels outside the mask are ignored.
        mask: True = measured.
        lattice: the cell and the position of the plane.
        on_lattice: I_FF and I_SRO on the lattice.
        of_networks: I_FF and I_SRO of the networks.
    """
    shown = np.where(mask, scattering, 0).astype(np.float32)
    shown /= max(float(shown.max()), 1e-30)
    return (
        _measure_residual(shown, mask, *on_lattice),
        _measure_residual_of_networks(shown, mask, *of_networks, lattice),
    )


def _measure_residual_of_networks(
    scattering: Planes, mask: Mask, form_factor: Planes, short_range_order: Planes, lattice: LatticePlane
) -> float:
    plane, first, second = (each.astype(np.float64) for each in (scattering, form_factor, short_range_order))
    found = fit_product(plane, first, second, mask)
    smooth = (found.scale * (form_factor + found.form_factor_floor)).astype(np.float32)
    smooth = np.maximum(smooth, 1e-6 * max(float(smooth.max()), 1e-30))
    order = (short_range_order + found.short_range_order_floor).astype(np.float32)
    corrected = smooth * _correct_form_factor(scattering, mask, smooth, order, lattice)
    return _measure_residual(scattering, mask, corrected, order)


def _measure_residual(scattering: Planes, mask: Mask, form_factor: Planes, order: Planes) -> float:
    """Return wR2 = sqrt(sum (I_o - I_c)^2 / sum I_o^2) of the product with its best scale and floors."""
    plane, smooth, periodic = (each.astype(np.float64) for each in (scattering, form_factor, order))
    difference = (plane - fit_product(plane, smooth, periodic, mask).intensity)[mask]
    return float(np.sqrt(np.sum(difference**2) / np.sum(plane[mask] ** 2)))
