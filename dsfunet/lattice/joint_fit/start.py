"""What a joint fit starts from: checked data, splines, and a first form factor with its noise."""

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from scipy import ndimage

from dsfunet._typing import Array, Mask
from dsfunet.errors import InputError
from dsfunet.lattice.joint_fit.evidence import FieldPrior
from dsfunet.lattice.joint_fit.harmonics import Harmonics
from dsfunet.lattice.joint_fit.iteration import COARSENING, fit_envelope, prior_over_envelope
from dsfunet.lattice.joint_fit.model import FitData, FitState
from dsfunet.lattice.joint_fit.noise import Variance, estimate_variance, variance_of_sigma
from dsfunet.lattice.joint_fit.series import Blur, HarmonicSeries
from dsfunet.lattice.joint_fit.spline import SplineAxis, SplineSurface

_FEWEST_PIXELS = 100
_START_WIDTH = 0.7  # of the first form factor, in spacings of the reciprocal lattice of the harmonics


@dataclass(frozen=True, eq=False)
class FitInput:
    """What `fit_both_factors` is given besides the harmonics; see there.

    Raises:
        InputError: shapes differ, fewer than 100 pixels were measured, a measured intensity is not finite, or the mean
            intensity is 0 or less.
    """

    intensity: Array
    mask: Mask
    rows: Array
    columns: Array
    knots: float | tuple[float, float]
    sigma: Array | None = None
    initial_form_factor: Array | None = None
    prior_form_factor: Array | None = None
    prior_weight: Array | None = None
    noise: Variance | None = None
    blur: Blur | None = None

    def __post_init__(self) -> None:
        shape = (len(self.rows), len(self.columns))
        if self.intensity.shape != shape or self.mask.shape != shape:
            raise InputError(
                f"intensity and mask: found shapes {self.intensity.shape} and {self.mask.shape}; expected {shape}"
            )
        if np.count_nonzero(self.mask) < _FEWEST_PIXELS:
            raise InputError(
                f"plane: found {np.count_nonzero(self.mask)} measured pixels; expected {_FEWEST_PIXELS} or more"
            )
        values = np.where(self.mask, self.intensity, 0.0)
        if not np.isfinite(values).all():
            raise InputError("plane: found NaN or infinity in measured pixels; expected finite intensities")
        mean = float(values[self.mask].mean())
        if mean <= 0:
            raise InputError(f"plane: the mean of the intensity is {mean:g}; expected a positive number")
        object.__setattr__(self, "intensity", values)
        if self.prior_form_factor is not None and self.prior_weight is not None:
            known = np.isfinite(self.prior_form_factor) & np.isfinite(self.prior_weight)
            known &= self.prior_weight > 0
            object.__setattr__(self, "prior_form_factor", np.where(known, self.prior_form_factor, 0.0))
            object.__setattr__(self, "prior_weight", np.where(known, self.prior_weight, 0.0))

    @property
    def knots_along_axes(self) -> tuple[float, float]:
        """Spacing of the knots of F along each axis."""
        return (self.knots, self.knots) if isinstance(self.knots, int | float) else self.knots

    @cached_property
    def given_noise(self) -> Variance | None:
        """Noise that is not to be estimated; uncertainties of which none is above 0 do not count."""
        if self.sigma is None or not (self.sigma[self.mask] > 0).any():
            return self.noise
        return Variance(variance_of_sigma(self.sigma, self.mask))


def prepare(given: FitInput, harmonics: Harmonics) -> tuple[FitData, FitState]:
    """Return data and a first state with its envelope, for a fit that starts from nothing."""
    coarse = _data_of(given, harmonics, COARSENING)
    pixels = _pixels_of_repeat(coarse)
    start, known = _smoothed(given, pixels), given.mask
    first = given.initial_form_factor if given.initial_form_factor is not None else given.prior_form_factor
    if first is not None:
        better = np.isfinite(first) & (first > 0)
        start, known = ndimage.gaussian_filter(np.where(better, first, start), pixels), known | better
    coefficients = _fit_log(coarse, start, known)
    noise = given.given_noise
    if noise is None:
        noise = estimate_variance(given.intensity, _smoothed(given, (1.5, 1.5)), given.mask)
    if given.prior_form_factor is not None and given.prior_weight is not None:
        # The stiff exponential is to follow the envelope of the prior, not the depth of its zeros.
        known = given.prior_weight > 0
        wide = ndimage.gaussian_filter(np.where(known, given.prior_form_factor, start), pixels)
        wide = np.log(np.maximum(wide, 1e-6 * np.exp(coarse.field_prior.level)))
        field_prior = FieldPrior.of(coarse.surface, coarse.field_prior.level, given.prior_weight, wide)
        coarse = replace(coarse, field_prior=field_prior)
    state = fit_envelope(coarse, FitState(coefficients, np.zeros(coarse.series.count), noise))
    data = _data_of(given, harmonics, 1)
    assert state.envelope is not None
    data = replace(data, series=coarse.series, field_prior=prior_over_envelope(data, state.envelope))
    return data, replace(state, coefficients=np.ones(data.surface.shape))


def _data_of(given: FitInput, harmonics: Harmonics, coarsening: float) -> FitData:
    first, second = (coarsening * spacing for spacing in given.knots_along_axes)
    surface = _surface_on(_bytes_of(given.rows), _bytes_of(given.columns), first, second)
    return FitData(
        given.intensity,
        given.mask,
        surface,
        HarmonicSeries(harmonics, given.rows, given.columns, given.blur),
        FieldPrior(float(np.log(given.intensity[given.mask].mean()))),
        given.prior_form_factor,
        given.prior_weight,
    )


def _bytes_of(coordinates: Array) -> bytes:
    return np.asarray(coordinates, np.float64).tobytes()


@lru_cache(maxsize=8)
def _surface_on(rows: bytes, columns: bytes, first: float, second: float) -> SplineSurface:
    """Return splines on pixels; all fits of a plane, and of the layers of a volume, have the same."""
    along_rows, along_columns = np.frombuffer(rows), np.frombuffer(columns)
    return SplineSurface(SplineAxis.cover(along_rows, first), SplineAxis.cover(along_columns, second))


def _smoothed(given: FitInput, pixels: tuple[float, float]) -> Array:
    """Return the plane smoothed over measured pixels, at least a thousandth of its largest value, everywhere."""
    total = ndimage.gaussian_filter(given.intensity, pixels, mode="constant")
    weight = ndimage.gaussian_filter(given.mask.astype(np.float64), pixels, mode="constant")
    smooth = total / np.maximum(weight, 1e-6)
    known: Array = np.maximum(np.where(weight > 1e-3, smooth, 0.0), 1e-3 * smooth[given.mask].max())
    return known


def _pixels_of_repeat(data: FitData) -> tuple[float, float]:
    """Return the width of a Gaussian that smooths over about the cell in which I_SRO repeats [pixels]."""
    indices = data.series.harmonics.indices
    away = np.abs(indices[:, 0] * indices[0, 1] - indices[:, 1] * indices[0, 0])
    across = np.flatnonzero(away > 1e-6 * np.abs(indices).max() ** 2)[:1]
    basis = np.abs(indices[[0, *across]])
    pixels = []
    for axis, coordinates in enumerate((data.series.rows, data.series.columns)):
        step = abs(float(coordinates[-1] - coordinates[0])) / (len(coordinates) - 1)
        index = float(basis[:, axis].max()) or float(basis.max())
        pixels.append(_START_WIDTH / index / step)
    return pixels[0], pixels[1]


def _fit_log(data: FitData, start: Array, known: Mask) -> Array:
    """Return spline coefficients of the logarithm of a form factor, fitted to the pixels where it is known."""
    surface = data.surface
    logarithm = np.log(np.maximum(start, 1e-3 * start.max()))
    weights = known.astype(np.float64)
    bands = surface.normal_matrix(weights) + 0.01 * sum(surface.roughness_bands)
    bands[0, 0] += 1e-6
    pull = np.asarray(surface.project(weights * logarithm)) + 1e-6 * data.field_prior.level
    padded: Array = surface.factorise(bands).solve(surface.pad(pull))
    return padded[: pull.size].reshape(pull.shape)
