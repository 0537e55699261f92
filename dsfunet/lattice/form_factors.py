"""Form factors of one plane from two sources, and from Friedel mates, combined by their uncertainties."""

from dataclasses import dataclass

import numpy as np

from dsfunet._typing import Array, Mask
from dsfunet.planes.measured import PlaneGrid

_ON_A_PIXEL = 1e-3
_ROUNDS = 3
# Uncertainty of a form factor whose own is not known, as a share of its largest value; the comparison scales it.
_UNKNOWN = 0.03
# Smallest uncertainty of the networks in a comparison, as a share of the largest form factor.
_SMALLEST_SHARE = 2e-3
_SMALLEST = 1e-9


@dataclass(frozen=True, eq=False)
class FormFactor:
    """A form factor with its uncertainty.

    Attributes:
        values: I_FF, in any unit, shape (n, m).
        sigma: its standard uncertainty in the same unit, above 0; infinite where nothing is known, shape (n, m).
    """

    values: Array
    sigma: Array


def combine_friedel_mates(form_factor: FormFactor, grid: PlaneGrid) -> FormFactor:
    """Combine each pixel with its Friedel mate at -Q, weighted by 1 / sigma^2.

    By Friedel's law both have the same form factor, while their noise is independent. Pixels whose mate lies outside
    the grid are returned as they are, as are all pixels of a plane that does not contain Q = 0.

    Args:
        form_factor: on the grid.
        grid: where its pixels lie.
    """
    if np.abs(grid.name.origin).max() > _ON_A_PIXEL:
        return form_factor
    rows, columns = (_find_mates(axis) for axis in (grid.rows, grid.columns))
    paired = np.ix_(rows >= 0, columns >= 0)
    mates = np.ix_(rows[rows >= 0], columns[columns >= 0])
    weight = 1 / form_factor.sigma**2
    total = weight[paired] + weight[mates]
    weighted = weight * form_factor.values
    values, sigma = form_factor.values.copy(), form_factor.sigma.copy()
    known = total > 0
    values[paired] = np.where(
        known, (weighted[paired] + weighted[mates]) / np.where(known, total, 1.0), values[paired]
    )
    sigma[paired] = np.where(known, 1 / np.sqrt(np.where(known, total, 1.0)), np.inf)
    # A pixel at Q = 0, or on it along both axes, is its own mate.
    own = np.ix_(rows == np.arange(len(rows)), columns == np.arange(len(columns)))
    values[own], sigma[own] = form_factor.values[own], form_factor.sigma[own]
    return FormFactor(values, sigma)


def _find_mates(coordinates: Array) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Return the number of the coordinate at -x for each coordinate x, -1 where there is none."""
    step = (coordinates[-1] - coordinates[0]) / (len(coordinates) - 1)
    place = (-coordinates - coordinates[0]) / step
    nearest = np.rint(place).astype(np.intp)
    there = (np.abs(place - nearest) < _ON_A_PIXEL) & (nearest >= 0) & (nearest < len(coordinates))
    return np.where(there, nearest, -1)


def combine_form_factors(data: FormFactor, networks: FormFactor, mask: Mask) -> FormFactor:
    """Combine the form factor that the data give with that of the networks: each decides where it knows more.

    The networks' form factor has a scale and a floor of its own; both are fitted to that of the data where there are
    data. There the two are also compared, and the networks' uncertainty is enlarged if they differ by more than both
    uncertainties explain. Far from the training planes the networks therefore count for little.

    Args:
        data: of the joint fit, with uncertainties that grow away from the data.
        networks: in any unit; NaN where the networks have no answer. An uncertainty that is NaN is not known.
        mask: True where measured.

    Returns:
        the combination, in the unit of the data, 0 or more.
    """
    known = np.isfinite(networks.values)
    compared = mask & known & np.isfinite(data.sigma)
    largest = float(data.values[mask].max(initial=0.0))
    values = np.where(known, networks.values, 0.0)
    is_given = bool(np.isfinite(networks.sigma[compared]).all())
    typical = _UNKNOWN * float(values.max(initial=0.0))
    sigma = np.where(np.isfinite(networks.sigma), networks.sigma, typical) if is_given else typical
    sigma = np.maximum(np.broadcast_to(sigma, values.shape), _SMALLEST * max(typical, _SMALLEST))
    if np.count_nonzero(compared) < 3 or largest <= 0 or typical <= 0:
        return FormFactor(np.maximum(data.values, 0.0), data.sigma)
    own_variance = np.maximum(data.sigma, _SMALLEST * largest) ** 2
    weights = 1 / (own_variance[compared] + (0.02 * largest) ** 2)
    for _ in range(_ROUNDS):
        scale, floor = _fit_scale_and_floor(values[compared], data.values[compared], weights)
        weights = 1 / (own_variance[compared] + (scale * sigma[compared]) ** 2)
    if scale <= 0:
        return FormFactor(np.maximum(data.values, 0.0), data.sigma)
    scaled, variance = scale * values + floor, (scale * sigma) ** 2
    # By how much the networks' variance must grow to explain the differences that the data's own does not.
    beyond = (scaled - data.values)[compared] ** 2 - own_variance[compared]
    least = np.maximum(variance[compared], (_SMALLEST_SHARE * largest) ** 2)
    excess = float(np.mean(beyond / least))
    variance = variance * (max(excess, 1.0) if is_given else max(excess, _SMALLEST))
    own, other = 1 / own_variance, np.where(known, 1 / variance, 0.0)
    combined = (own * data.values + other * scaled) / (own + other)
    return FormFactor(np.maximum(combined, 0.0), 1 / np.sqrt(own + other))


def _fit_scale_and_floor(values: Array, target: Array, weights: Array) -> tuple[float, float]:
    design = np.stack([values, np.ones_like(values)], axis=1)
    weighted = design * weights[:, None]
    gram = weighted.T @ design
    gram[np.diag_indices(2)] *= 1 + 1e-12
    scale, floor = np.linalg.lstsq(gram, weighted.T @ target, rcond=None)[0]
    return float(scale), float(floor)
