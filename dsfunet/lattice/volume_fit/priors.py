"""Priors of both factors by the evidence: expectations from the estimate and one random draw of its posterior."""

from dataclasses import replace

import numpy as np
from scipy import optimize

from dsfunet._typing import Array
from dsfunet.lattice.volume_fit.model import LinearSystem
from dsfunet.lattice.volume_fit.modes import ModePrior
from dsfunet.lattice.volume_fit.solver import Prior

_FIRST_DISTANCE = 1.5  # at which prior and data weigh the same [Angstrom]
_LEAST = 1e-3
_CEILING = 1e4  # of the largest information: such a mode is as good as fixed
_LARGEST_STEP = 5.0  # of a logarithm
_OVERSHOOT = 1.5  # MacKay's update alone approaches its fixed point from one side, slowly
_STIFF = 0.02  # of the modes of a shell: where fewer are determined, a random draw does not tell how many
_TINY = 1e-30


def first_precisions(modes: ModePrior, system: LinearSystem) -> tuple[Array, float]:
    """Return the prior precisions that the iterations start with, and the largest that they may get.

    They grow with the sixth power of distance and reach what typical data tell at a bond length: whatever repeats
    from zone to zone goes into the short-range order first.

    Args:
        modes: of the form factor.
        system: the problem linearised at the start.
    """
    information = modes.local_weights(system.local_information())
    typical, ceiling = float(np.median(information[information > 0])), _CEILING * float(information.max())
    return np.clip(typical * (modes.distances / _FIRST_DISTANCE) ** 6, 1e-2, ceiling), ceiling


def update_precisions(prior: Prior, coefficients: Array, draw: Array, information: Array) -> Array:
    """Return the precision of each shell with a larger evidence (MacKay's update), never falling with distance.

    Args:
        prior: the present prior.
        coefficients: the estimate of u.
        draw: a random deviation from it by the posterior.
        information: local information of the data on u, one value for each spline.
    """
    modes = prior.modes
    size = modes.sizes.astype(np.float64)
    known = information.reshape(-1)
    # The mean over the volume of the share that the data have in the posterior, as if the information changed slowly.
    local = np.array([float(np.mean(known / (known + each))) for each in prior.precisions])
    drawn = np.maximum(1 - prior.precisions * modes.power(draw) / size, _STIFF)
    determined = size * np.where(local < _STIFF, local, drawn)
    wanted = determined / np.maximum(modes.power(coefficients - prior.level), _TINY)
    step = np.clip(_OVERSHOOT * np.log(wanted / prior.precisions), -_LARGEST_STEP, _LARGEST_STEP)
    found = np.clip(prior.precisions * np.exp(step), _LEAST, prior.ceiling)
    return np.asarray(np.maximum.accumulate(found))


def update_order(prior: Prior, alphas: Array, draw: Array, lengths: Array, spacing: float) -> Prior:
    """Return the prior with variances a exp(-r / l) of the correlations whose a and l have the largest expectation.

    Args:
        prior: the present prior.
        alphas: the estimate.
        draw: a random deviation from it by the posterior.
        lengths: of the vectors [Angstrom].
        spacing: distance between neighbouring sites [Angstrom], about.
    """
    squares = alphas**2 + draw**2

    def cost(logarithms: Array) -> float:
        exponent = logarithms[0] - lengths / np.exp(logarithms[1])
        return float(np.sum(exponent + squares * np.exp(np.minimum(-exponent, 600.0))))

    start = np.array([np.log(0.05), np.log(2 * spacing)])
    amplitude, decay = optimize.minimize(cost, start, method="Nelder-Mead").x
    variances = np.maximum(np.exp(amplitude - lengths / np.exp(decay)), _TINY)
    return replace(prior, order_variances=variances)


def extend_variances(variances: Array, lengths: Array) -> Array:
    """Return prior variances for more vectors than they were found for: those of the longest go on.

    Args:
        variances: of the shorter vectors, in order of length.
        lengths: of all vectors, in the same order [Angstrom].
    """
    known = len(variances)
    if known >= len(lengths):
        return variances[: len(lengths)]
    return np.concatenate([variances, np.full(len(lengths) - known, variances[-1])])
