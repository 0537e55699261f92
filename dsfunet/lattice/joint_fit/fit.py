"""The joint fit I = F S of a plane: F the exponential of a spline, S = I_SRO a sum of in-plane harmonics."""

from dataclasses import replace

import numpy as np

from dsfunet._typing import Array, Mask
from dsfunet.lattice.joint_fit.blur import remove_blur
from dsfunet.lattice.joint_fit.harmonics import Harmonics
from dsfunet.lattice.joint_fit.iteration import MOST_ROUNDS, Solution, first_prior, iterate
from dsfunet.lattice.joint_fit.model import follow_blur, model_of
from dsfunet.lattice.joint_fit.noise import Variance
from dsfunet.lattice.joint_fit.result import JointFit
from dsfunet.lattice.joint_fit.series import Blur, HarmonicSeries
from dsfunet.lattice.joint_fit.start import FitInput, prepare
from dsfunet.lattice.joint_fit.threads import use_one_thread

DEFAULT_KNOTS = 0.31
"""Default spacing of the knots of F [r.l.u. of the conventional cell], which a molecule as long as the cell needs."""


@use_one_thread
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
    start: JointFit | None = None,
    most_rounds: int = MOST_ROUNDS,
    roughly: bool = False,
) -> JointFit:
    """Fit form factor and short-range order jointly to one plane on a known lattice, without any network.

    F is a smooth spline times an envelope, I_SRO a sum of harmonics whose prior variance decays with their length. The
    smoothness of F along each axis, the prior amplitude of the harmonics and its decay maximise the evidence. Errors
    are those of the Laplace approximation, multiplied by the root of chi-squared where that exceeds 1; that of F counts
    its bias by smoothing too.

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
        start: another fit of the same plane and lattice, with the same `knots`, to start from, which saves time.
        most_rounds: number of iterations after which to stop anyway.
        roughly: whether to stop as soon as the evidence is right to about 1, for a fit that is only compared.

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
    given = FitInput(
        intensity,
        mask,
        rows,
        columns,
        knots,
        sigma,
        initial_form_factor,
        prior_form_factor,
        prior_weight,
        noise,
        blur,
    )
    if start is not None:
        return report(solve_from(given, start.solution, harmonics, False, most_rounds, roughly))
    return report(solve_from_nothing(given, harmonics, False, most_rounds, roughly))


def solve_from_nothing(
    given: FitInput,
    harmonics: Harmonics,
    may_extend: bool,
    most_rounds: int = MOST_ROUNDS,
    roughly: bool = False,
) -> Solution:
    """Fit with some harmonics; see `iterate` for `may_extend` and `roughly`."""
    data, state = prepare(given, harmonics)
    estimates = given.given_noise is None
    return iterate(data, state, first_prior(data), estimates, may_extend, most_rounds, roughly=roughly)


def solve_from(
    given: FitInput,
    previous: Solution,
    harmonics: Harmonics,
    may_extend: bool,
    most_rounds: int = MOST_ROUNDS,
    roughly: bool = False,
) -> Solution:
    """Fit with more or fewer harmonics of the same lattice, or other noise, from where a previous fit ended."""
    before = previous.data.series.harmonics
    series = HarmonicSeries(harmonics, given.rows, given.columns, given.blur)
    coefficients = np.zeros(harmonics.count, np.complex128)
    here, there = harmonics.shared_with(before)
    coefficients[here] = previous.data.series.coefficients(previous.state.parameters)[there]
    parameters = np.concatenate([coefficients.real, coefficients.imag[harmonics.with_sine]])
    data = replace(previous.data, series=series)
    noise = previous.state.variance if given.given_noise is None else given.given_noise
    state = replace(previous.state, parameters=parameters, variance=noise)
    estimates = given.given_noise is None
    return iterate(data, state, previous.prior, estimates, may_extend, most_rounds, True, roughly)


def report(solution: Solution) -> JointFit:
    """Return both factors at a solution."""
    state, data = solution.state, follow_blur(solution.data, solution.state)
    model = model_of(data, state)
    misfit = (data.intensity - model.intensity)[model.used]
    chi_squared = float(np.mean(misfit**2 / model.variance[model.used]))
    inflation = max(chi_squared, 1.0)
    return JointFit(
        form_factor=np.maximum(remove_blur(model.form_factor, data.series), 0.0),
        short_range_order=np.maximum(data.series.evaluate_sharp(state.parameters), 0.0),
        intensity=np.maximum(model.intensity, 0.0),
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
        solution=solution,
    )
