"""Both components of a plane whose lattice is known: I_SRO settled by the lattice, I_FF by the network and the data.

On a plane that reciprocal axes span, I_SRO is a cosine series (`dsfunet.physics.cosine_series`), clipped at zero where
its truncation dips below, and one weighted linear fit to the measured pixels gives it (SPEC section 6). The network
says how I_FF runs across the plane, which is what the fit has to divide by; what the series explains is then divided
out of the measured plane, and corrects the network's I_FF wherever there are data.
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
"""Widths of the Gaussians that level a plane, in standard deviations of the reciprocal cell."""

CORRECTION_SCALES = (0.25, 0.5, 1.0)
"""Widths of those that correct the network's form factor, likewise."""

CORRECTION_WEAK = 0.003
"""Share of the mean weight below which the data yield to a wider Gaussian, and in the end to the network, ..."""

SMALLEST_PRIOR_VARIANCE = 0.01
"""... more where the plane is noisy: relative variance of I_FF that a Gaussian is expected to correct, at least."""

CLIPPED_FITS = 4
"""How often the series is fitted again without the pixels at which it is below zero."""

WORST_RATIO = 1.05
"""The lattice is accepted where its wR2 is at most so many times that of the networks' components, ..."""

GOOD_RESIDUAL = 0.03
"""... or at most this, whatever the networks reach."""

# No quotient runs away where hardly anything scatters; its weight is small there anyway.
_SMALLEST_LEVEL = 0.01


@dataclass(frozen=True, eq=False)
class LatticeAnswer:
    """Both components of a plane on its lattice, and whether the lattice explains the plane.

    Attributes:
        form_factor: I_FF, (256, 256), linear, in [0, 1], normalised as the network's is: where it was corrected its own
            minimum and maximum are not exactly 0 and 1.
        short_range_order: I_SRO, likewise; its own minimum and maximum are 0 and 1.
        series: the cosine series of I_SRO before clipping, in units in which its maximum on the plane is 1.
        residual: wR2 of both components against the measured plane, 0 is perfect.
        residual_of_networks: wR2 of the networks' two components, their I_FF corrected by the plane in the same way,
            since that alone lowers it.
        accepted: whether the first is at most WORST_RATIO times the second, or GOOD_RESIDUAL; if not, the networks'
            own answer is the better one.
    """

    form_factor: Planes
    short_range_order: Planes
    series: CosineSeries
    residual: float
    residual_of_networks: float
    accepted: bool


def split_on_lattice(
    scattering: npt.NDArray[np.floating],
    mask: Mask,
    lattice: LatticePlane,
    form_factor: Planes,
    short_range_order: Planes,
    look_again: Callable[[Planes], Planes] | None = None,
) -> LatticeAnswer:
    """Components of a plane on its lattice, from the networks' two answers.

    1. the series, fitted to the plane levelled by its own low pass (`levelled`), and shown to the network where it
       takes it;
    2. the network's I_FF brought to the scale and floor with which its product with that series explains the plane;
    3. the series again, to the plane divided by that I_FF, the weight of each pixel being that I_FF;
    4. I_FF corrected by what the second series leaves of the plane, smoothed where there are data, the more so the
       noisier they are.

    Where the plane holds -Q beside Q, both components are made centrosymmetric.

    Args:
        scattering: the measured plane (256, 256), 0 or more, any unit; what lies outside the mask is not looked at.
        mask: True = measured.
        lattice: the cell and where the plane lies.
        form_factor: the network's I_FF, linear, in [0, 1].
        short_range_order: the network's I_SRO, for judging the lattice only.
        look_again: gives the network's I_FF anew, shown I_SRO (256, 256), linear, its maximum 1 and its minimum not
            taken away; None for a network that is shown none.

    Raises:
        InputError: no pixel was measured.
    """
    shown = np.where(mask, scattering, 0).astype(np.float32)
    shown /= max(float(shown.max()), 1e-30)
    order = fit_order(shown, mask, levelled(shown, mask, lattice), lattice)
    smooth = _centred(form_factor if look_again is None else look_again(order), lattice)
    prior, _, _ = _scaled(shown, mask, smooth, order)
    series = _fit(shown, mask, prior, lattice, CLIPPED_FITS)
    order = _clipped(series, lattice)
    prior, scale, floor = _scaled(shown, mask, smooth, order)
    corrected = prior * _correction(shown, mask, prior, order, lattice)
    residual = _residual(shown, mask, corrected, order)
    of_networks = _residual_of_networks(shown, mask, form_factor, short_range_order, lattice)
    return LatticeAnswer(
        # Not by its own extremes: these are single pixels, and the network knows better.
        form_factor=np.clip((corrected - np.float32(floor)) / np.float32(scale), 0, 1),
        short_range_order=unit_range(order),
        series=series,
        residual=residual,
        residual_of_networks=of_networks,
        accepted=residual <= max(WORST_RATIO * of_networks, GOOD_RESIDUAL),
    )


def levelled(scattering: Planes, mask: Mask, lattice: LatticePlane) -> Planes:
    """The plane's own low pass over about two reciprocal cells: a stand-in for I_FF, of which the series averages out.

    Fitting I / A with weight A minimises sum (I - A S)^2 / A, so that the few cells where I_FF is strongest do not
    decide alone.
    """
    measured = mask.astype(np.float32)
    return smooth_ratio(measured * scattering, measured, cell_smoothers(lattice, LEVEL_SCALES))


def fit_order(
    scattering: Planes, mask: Mask, level: Planes, lattice: LatticePlane, clipped: int = 0
) -> Planes:
    """I_SRO as the cosine series fitted to I / level with level as weight; 0 or more, its maximum is 1.

    Its minimum is not taken away: it is part of I, and who divides by I_SRO needs it.

    Args:
        scattering: the plane, 0 where missing.
        mask: True = measured.
        level: I_FF, or what stands for it; any unit.
        lattice: the cell and where the plane lies.
        clipped: how often the fit is repeated for the sake of clipping (see `split_on_lattice`).

    Raises:
        InputError: no pixel was measured.
    """
    return _clipped(_fit(scattering, mask, level, lattice, clipped), lattice)


def _fit(scattering: Planes, mask: Mask, level: Planes, lattice: LatticePlane, clipped: int) -> CosineSeries:
    """The series of I / level, scaled to maximum 1.

    I_SRO is clipped at zero where its truncated series is negative. There the plane says no more than that, so
    the fit is repeated without those pixels: Gauss-Newton steps of least squares for max(series, 0).
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


def _clipped(series: CosineSeries, lattice: LatticePlane) -> Planes:
    order: Planes = np.maximum(series.evaluate(lattice.plane), 0).astype(np.float32)
    return _centred(order, lattice)


def _scaled(scattering: Planes, mask: Mask, smooth: Planes, order: Planes) -> tuple[Planes, float, float]:
    """s F + f > 0 with the s > 0 and f >= 0 that bring (s F + f) S closest to the plane where it was measured; s, f."""
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


def _correction(
    scattering: Planes, mask: Mask, prior: Planes, order: Planes, lattice: LatticePlane
) -> Planes:
    """What to multiply I_FF by: the least-squares factor of prior x order around each pixel, 1 far from data."""
    model = mask * prior * order
    numerator, denominator = model * scattering, model * model
    residual = (scattering - model) * mask
    # What the model misses beyond the noise: the larger that is, the less the network's form factor is worth.
    missed = np.sum(residual**2, dtype=np.float64) - mask.sum() * estimate_mean_noise_variance(
        residual, mask, mask.astype(np.float32)
    )
    variance = max(missed / max(np.sum(denominator, dtype=np.float64), 1e-30), SMALLEST_PRIOR_VARIANCE)
    noise = estimate_mean_noise_variance(residual, mask, denominator) / variance
    if lattice.inverts_onto_itself:
        numerator, denominator = numerator + inverted(numerator), denominator + inverted(denominator)
        noise *= 2  # per pair
    smoothers = cell_smoothers(lattice, CORRECTION_SCALES)
    mean = max(float(denominator.mean(dtype=np.float64)), 1e-30)
    weak = [CORRECTION_WEAK + noise / (each.pixels * mean) for each in smoothers]
    return smooth_ratio(numerator, denominator, smoothers, unseen=1.0, weak=weak)


def _centred(plane: Planes, lattice: LatticePlane) -> Planes:
    if not lattice.inverts_onto_itself:
        return plane
    mean: Planes = (plane + inverted(plane)) / np.float32(2)
    return mean


def with_partners(
    scattering: npt.NDArray[np.floating], mask: Mask, lattice: LatticePlane
) -> tuple[npt.NDArray[np.floating], Mask]:
    """The plane and its mask, each pixel joined by that at -Q: their mean, or the one of them that was measured.

    Both are one number by Friedel's law, so what one detector gap hides is often seen at -Q. As they are where the
    plane does not hold -Q beside Q. `scattering` is not looked at outside the mask, and 0 where neither was measured.
    """
    if not lattice.inverts_onto_itself:
        return scattering, mask
    known = np.where(mask, scattering, 0)
    count = mask.astype(known.dtype) + inverted(mask)
    return (known + inverted(known)) / np.maximum(count, 1), count > 0


def inverted(plane: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    """The plane at -Q, where its centre, pixel (n/2, n/2), is Q = 0; row and column 0, which have no partner, stay."""
    partner = np.roll(plane[::-1, ::-1], (1, 1), (0, 1))
    result = np.array(partner)
    result[0], result[:, 0] = plane[0], plane[:, 0]
    return result


def _residual_of_networks(
    scattering: Planes, mask: Mask, form_factor: Planes, short_range_order: Planes, lattice: LatticePlane
) -> float:
    plane, first, second = (each.astype(np.float64) for each in (scattering, form_factor, short_range_order))
    found = fit_product(plane, first, second, mask)
    smooth = (found.scale * (form_factor + found.form_factor_floor)).astype(np.float32)
    smooth = np.maximum(smooth, 1e-6 * max(float(smooth.max()), 1e-30))
    order = (short_range_order + found.short_range_order_floor).astype(np.float32)
    corrected = smooth * _correction(scattering, mask, smooth, order, lattice)
    return _residual(scattering, mask, corrected, order)


def _residual(scattering: Planes, mask: Mask, form_factor: Planes, order: Planes) -> float:
    """wR2 = sqrt(sum (I_o - I_c)^2 / sum I_o^2) of the product with its best scale and floors."""
    plane, smooth, periodic = (each.astype(np.float64) for each in (scattering, form_factor, order))
    difference = (plane - fit_product(plane, smooth, periodic, mask).intensity)[mask]
    return float(np.sqrt(np.sum(difference**2) / np.sum(plane[mask] ** 2)))
