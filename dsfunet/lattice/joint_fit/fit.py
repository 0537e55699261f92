"""The joint fit I = F S of a plane: F the exponential of a spline, S = I_SRO a sum of in-plane harmonics."""

from dataclasses import replace

import numpy as np
from scipy import ndimage

from dsfunet._typing import Array, Mask
from dsfunet.errors import InputError
from dsfunet.lattice.joint_fit.blur import remove_blur
from dsfunet.lattice.joint_fit.evidence import FieldPrior, Prior
from dsfunet.lattice.joint_fit.harmonics import Harmonics
from dsfunet.lattice.joint_fit.iteration import Solution, iterate
from dsfunet.lattice.joint_fit.model import FitData, FitState, follow_blur, model_of
from dsfunet.lattice.joint_fit.noise import Variance, estimate_variance, variance_of_sigma
from dsfunet.lattice.joint_fit.result import JointFit
from dsfunet.lattice.joint_fit.series import Blur, HarmonicSeries
from dsfunet.lattice.joint_fit.spline import SplineAxis, SplineSurface

DEFAULT_KNOTS = 0.35
"""Default spacing of the knots of F [r.l.u. of the conventional cell], which a molecule as long as the cell needs."""

_FEWEST_PIXELS = 100
_STIFF = 1e6  # log F then follows only features wider than some cells, which makes it an envelope
_START_WIDTH = 0.7  # of the first form factor, in spacings of the reciprocal lattice of the harmonics


def fit_both_factors(
    intensity: Array,
    mask: Mask,
    rows: Array,
    columns: Array,
    harmonics: Harmonics,
    sigma: Array | None = None,
    knots: float | tuple[float, float] = DEFAULT_KNOTS,
    initial_form_factor: Array | None = None,
    prior_form_factor: Array | None = None,
    prior_weight: Array | None = None,
    noise: Variance | None = None,
    blur: Blur | None = None,
) -> JointFit:
    """Fit form factor and short-range order jointly to one plane on a known lattice, without any network.

    F is a smooth spline times an envelope, I_SRO a sum of harmonics whose prior variance decays with their length. The
    smoothness of F along each axis, the prior amplitude of the harmonics and its decay maximise the evidence. Errors
    are those of the Laplace approximation, multiplied by the root of chi-squared where that exceeds 1.

    Args:
        intensity: measured intensities in any unit, shape (n, m); ignored where missing.
        mask: True where measured.
        rows: coordinates of the pixels along the first axis of the plane, evenly spaced, shape (n,) [r.l.u.].
        columns: coordinates along the second axis, shape (m,) [r.l.u.].
        harmonics: what `list_harmonics` returns.
        sigma: standard uncertainties of the intensities, shape (n, m); None estimates the noise from the plane as
            proportional to the expected intensity plus a constant.
        knots: spacing of the knots of F along both axes, or along each [r.l.u.].
        initial_form_factor: where to start, above 0, shape (n, m); None starts from the smoothed plane.
        prior_form_factor: prior mean of F, above 0, in the unit of the intensity, shape (n, m), such as a network's.
        prior_weight: inverse variance of its logarithm in each pixel, 0 or more, shape (n, m), with correlations
            between pixels already allowed for.
        noise: model of the noise, such as that of another fit to the same pixels, whose evidence is to be compared;
            None takes `sigma` or estimates it.
        blur: Gaussian resolution of the plane; None for sharp pixels.

    Raises:
        InputError: shapes differ, fewer than 100 pixels were measured, a measured intensity is not finite, or all
            intensities are 0 or less.

    Examples:
        >>> import numpy as np
        >>> from dsfunet.lattice.joint_fit import fit_both_factors, list_harmonics
        >>> from dsfunet.physics import Cell
        >>> from dsfunet.planes.names import parse_plane
        >>> axis = np.linspace(-3, 3, 91)
        >>> h, k = np.meshgrid(axis, axis, indexing="ij")
        >>> order = 1 - 0.4 * np.cos(np.pi * h) * np.cos(np.pi * k)
        >>> counts = np.random.default_rng(0).poisson(900 * np.exp(-(h**2 + k**2) / 9) * order).astype(float)
        >>> harmonics = list_harmonics(Cell(4, 4, 4), parse_plane("hk0"), "I", radius=7)
        >>> fit = fit_both_factors(counts, np.full(h.shape, True), axis, axis, harmonics)
        >>> fit.harmonics.indices[0].tolist(), bool(abs(fit.parameters[0] + 0.1) < 0.003)
        ([0.5, -0.5], True)
    """
    series = HarmonicSeries(harmonics, rows, columns, blur)
    data = _prepare(intensity, mask, series, knots, prior_form_factor, prior_weight)
    start = initial_form_factor if initial_form_factor is not None else prior_form_factor
    if start is None:
        coefficients = _fit_log(data, _smoothed(data, _pixels_of_repeat(data)), mask)
    else:
        finite = np.where(np.isfinite(start), start, 0.0)
        coefficients = _fit_log(data, ndimage.gaussian_filter(finite, _pixels_of_repeat(data)), finite > 0)
    given = noise if sigma is None else Variance(variance_of_sigma(sigma, mask))
    state = FitState(
        coefficients,
        np.zeros(data.series.count),
        given or estimate_variance(data.intensity, _smoothed(data, 1.5), mask),
    )
    spacing = harmonics.spacing
    prior = Prior((_STIFF, _STIFF), 0.05, 0.05, 2 * spacing)
    return _report(data, iterate(data, state, prior, given is None))


def _prepare(
    intensity: Array,
    mask: Mask,
    series: HarmonicSeries,
    knots: float | tuple[float, float],
    prior_form_factor: Array | None,
    prior_weight: Array | None,
) -> FitData:
    shape = (len(series.rows), len(series.columns))
    if intensity.shape != shape or mask.shape != shape:
        raise InputError(
            f"intensity and mask: found shapes {intensity.shape} and {mask.shape}; expected {shape}"
        )
    if np.count_nonzero(mask) < _FEWEST_PIXELS:
        raise InputError(
            f"plane: found {np.count_nonzero(mask)} measured pixels; expected {_FEWEST_PIXELS} or more"
        )
    values = np.where(mask, intensity, 0.0)
    if not np.isfinite(values).all():
        raise InputError("plane: found NaN or infinity in measured pixels; expected finite intensities")
    mean = float(values[mask].mean())
    if mean <= 0:
        raise InputError(f"plane: the mean of the intensity is {mean:g}; expected a positive number")
    first, second = (knots, knots) if isinstance(knots, int | float) else knots
    surface = SplineSurface(SplineAxis.cover(series.rows, first), SplineAxis.cover(series.columns, second))
    level = float(np.log(mean))
    data = FitData(values, mask, surface, series, FieldPrior(level))
    if prior_form_factor is None or prior_weight is None:
        return data
    # The first, stiff exponential is to follow the envelope of the prior, not the depth of its zeros.
    wide = np.maximum(ndimage.gaussian_filter(prior_form_factor, _pixels_of_repeat(data)), 1e-6 * mean)
    return replace(
        data,
        field_prior=FieldPrior.of(surface, level, prior_weight, np.log(wide)),
        prior_form_factor=prior_form_factor,
        prior_weight=prior_weight,
    )


def _smoothed(data: FitData, pixels: float | tuple[float, float]) -> Array:
    """Return the plane smoothed over measured pixels, at least a thousandth of its largest value, everywhere."""
    total = ndimage.gaussian_filter(data.intensity, pixels, mode="constant")
    weight = ndimage.gaussian_filter(data.mask.astype(np.float64), pixels, mode="constant")
    smooth = total / np.maximum(weight, 1e-6)
    known: Array = np.maximum(np.where(weight > 1e-3, smooth, 0.0), 1e-3 * smooth[data.mask].max())
    return known


def _pixels_of_repeat(data: FitData) -> tuple[float, float]:
    """Return the width of a Gaussian that smooths over about the cell in which I_SRO repeats [pixels]."""
    pixels = []
    for axis, coordinates in enumerate((data.series.rows, data.series.columns)):
        step = abs(float(coordinates[-1] - coordinates[0])) / (len(coordinates) - 1)
        indices = np.abs(data.series.harmonics.indices[:, axis])
        shortest = indices[indices > 1e-6].min(initial=1.0)
        pixels.append(_START_WIDTH / shortest / step)
    return pixels[0], pixels[1]


def _fit_log(data: FitData, start: Array, known: Mask) -> Array:
    """Return spline coefficients of the logarithm of a form factor, fitted to the pixels where it is known."""
    surface = data.surface
    logarithm = np.log(np.maximum(start, 1e-3 * start.max()))
    weights = known.astype(np.float64)
    bands = surface.normal_matrix(weights) + 0.01 * sum(surface.roughness_bands)
    bands[0, 0] += 1e-6
    pull = np.asarray(surface.project(weights * logarithm)) + 1e-6 * data.field_prior.level
    return surface.unpad(surface.factorise(bands).solve(surface.pad(pull)))


def _report(data: FitData, solution: Solution) -> JointFit:
    state, data = solution.state, follow_blur(data, solution.state)
    model = model_of(data, state)
    misfit = (data.intensity - model.intensity)[model.used]
    chi_squared = float(np.mean(misfit**2 / model.variance[model.used]))
    inflation = max(chi_squared, 1.0)
    # The coefficients that go with the parameters have the covariance A^-1 + (A^-1 C) covariance (A^-1 C)'.
    root = np.linalg.cholesky(solution.covariance + 1e-12 * np.diag(np.diagonal(solution.covariance)))
    modes = data.surface.unpad(solution.reduced.modes[:, :-1] @ root)
    bands = data.surface.covariance_bands(solution.reduced.factor, modes)
    spline_variance = np.maximum(data.surface.variances(bands), 0)
    order_variance = data.series.variances(solution.covariance)
    return JointFit(
        form_factor=np.maximum(remove_blur(model.form_factor, data.series), 0.0),
        short_range_order=np.maximum(data.series.evaluate_sharp(state.parameters), 0.0),
        intensity=np.maximum(model.intensity, 0.0),
        form_factor_sigma=model.slope * np.sqrt(inflation * spline_variance),
        short_range_order_sigma=np.sqrt(inflation * order_variance),
        harmonics=data.series.harmonics,
        parameters=state.parameters,
        covariance=inflation * solution.covariance,
        prior=solution.prior,
        log_evidence=solution.log_evidence,
        outer_evidence=solution.outer_evidence,
        chi_squared=chi_squared,
        noise=state.variance,
        variance=model.variance,
        iterations=solution.iterations,
    )
