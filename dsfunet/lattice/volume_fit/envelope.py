"""The envelope of a form factor: a first fit of F as the exponential of a spline that follows only its fall-off."""

from dataclasses import replace

import numpy as np

from dsfunet._typing import Array
from dsfunet.lattice.volume_fit.iteration import shorten_step
from dsfunet.lattice.volume_fit.model import Envelope, Noise, Problem, State, linearise, model_block
from dsfunet.lattice.volume_fit.modes import ModePrior
from dsfunet.lattice.volume_fit.series import CosineSeries
from dsfunet.lattice.volume_fit.solver import Preconditioner, Prior, solve
from dsfunet.lattice.volume_fit.splines import SplineVolume
from dsfunet.lattice.volume_fit.voxels import Voxels

SHORTEST_DISTANCE = 1.6
"""The envelope follows no structure that belongs to longer distances [Angstrom]: atoms and molecules make those."""

_ORDER_AMPLITUDE = 0.05
_ORDER_ROUNDS, _MOST_ROUNDS = 3, 12
_LARGEST_STEP = 2.0  # of log F in one round
_SETTLED = 1e-3  # relative change of chi-squared


def fit_envelope(
    voxels: Voxels,
    splines: SplineVolume,
    modes: ModePrior,
    series: CosineSeries,
    noise: Noise,
    spacing: float,
) -> tuple[Envelope, Array]:
    """Fit the envelope of F, and S with it.

    Args:
        voxels: the data.
        splines: coarse splines on the same voxels.
        modes: their modes.
        series: the harmonics of S.
        noise: model of the noise.
        spacing: distance between neighbouring sites [Angstrom], about.

    Returns:
        the envelope on these voxels, and the correlations that go with it.
    """
    problem = Problem(voxels, splines, series)
    coefficients = _smooth_log(voxels, splines)
    level = float(coefficients.mean())
    lengths = series.vectors.lengths
    variances = np.maximum(_ORDER_AMPLITUDE * np.exp(-lengths / (2 * spacing)), 1e-30)
    state = State(coefficients, np.zeros(series.count), noise)
    prior = Prior(modes, np.zeros(len(modes.sizes)), level, variances)
    for _ in range(_ORDER_ROUNDS):
        system = linearise(problem, state, fixed_field=True)
        order = system.order_pull - state.alphas / variances
        _, alphas = solve(
            system, prior, Preconditioner(system, prior), (np.zeros(splines.shape), order), 1e-2, 20
        )
        state = replace(state, alphas=state.alphas + alphas)
    last = np.inf
    for _ in range(_MOST_ROUNDS):
        system = linearise(problem, state)
        if abs(system.chi_squared - last) < _SETTLED * last:
            break
        last = system.chi_squared
        information = modes.local_weights(system.local_information())
        stiff = float(information.max()) * (modes.distances / SHORTEST_DISTANCE) ** 6
        prior = replace(prior, precisions=np.maximum(stiff, 1e-4))
        preconditioner = Preconditioner(system, prior)
        right = (
            system.field_pull + prior.pull(state.coefficients),
            system.order_pull - state.alphas / variances,
        )
        changes, alphas = solve(system, prior, preconditioner, right)
        changes = np.clip(changes, -_LARGEST_STEP, _LARGEST_STEP)
        state = shorten_step(problem, state, prior, (changes, alphas))
    largest = 0.0
    for block in voxels.blocks:
        measured = voxels.count[block] > 0
        if measured.any():
            largest = max(largest, float(model_block(problem, state, block).form_factor[measured].max()))
    return Envelope(splines, state.coefficients, largest), state.alphas


def _smooth_log(voxels: Voxels, splines: SplineVolume) -> Array:
    """Return coefficients of about the logarithm of the intensity, smoothed over a few splines."""
    total, weight = np.zeros(splines.shape), np.zeros(splines.shape)
    for block in voxels.blocks:
        measured = (voxels.count[block] > 0).astype(np.float32)
        splines.project(voxels.intensity[block] * measured, block, total)
        splines.project(measured, block, weight)
    known = weight > 1e-3 * weight.max()
    mean = np.where(known, total / np.maximum(weight, 1e-30), 0.0)
    least = 1e-3 * float(mean.max())
    typical = float(np.median(mean[known]))
    return np.asarray(np.log(np.where(known, np.maximum(mean, least), max(typical, least))))
