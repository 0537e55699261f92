"""Score tests of a joint fit: what further terms of the intensity the plane asks for, without fitting them."""

from dataclasses import dataclass

import numpy as np

from dsfunet._typing import Array
from dsfunet.lattice.joint_fit.iteration import Solution
from dsfunet.lattice.joint_fit.model import follow_blur, model_of
from dsfunet.lattice.joint_fit.threads import use_one_thread


@dataclass(frozen=True, eq=False)
class Score:
    """What a plane says on further terms t_1 ... t_k in I = F S + sum a_i t_i.

    Attributes:
        amplitudes: estimates of a, to first order, shape (k,).
        covariance: of the amplitudes, with everything that F and S can make up for allowed for, shape (k, k).
        gain: log likelihood that the terms would gain; half a number of chi-squared with k degrees of freedom if the
            plane holds none of them.
        slope: of the log likelihood with the amplitudes at 0, shape (k,).
        information: inverse of the covariance, shape (k, k).
        response: by how much the parameters of S change with each amplitude, shape (parameters, k).
    """

    amplitudes: Array
    covariance: Array
    gain: float
    slope: Array
    information: Array
    response: Array


@use_one_thread
def score_terms(solution: Solution, terms: Array) -> Score:
    """Return the score test of further terms at a solution (Rao, Proc. Camb. Phil. Soc. 44, 50, 1948).

    Args:
        solution: of a joint fit.
        terms: any functions of the pixels, shape (k, n, m).
    """
    data, state = follow_blur(solution.data, solution.state), solution.state
    model, surface, series = model_of(data, state), data.surface, data.series
    precision = np.where(model.used, 1 / model.variance, 0.0)
    residual = precision * np.where(model.used, data.intensity - model.intensity, 0.0)
    scale = np.sqrt(np.einsum("kij,ij->k", terms**2, precision))
    terms = terms / np.maximum(scale, 1e-300)[:, None, None]
    weighted = precision * terms
    on_field = np.stack(
        [np.asarray(surface.project(model.slope * model.order * each)) for each in weighted], axis=2
    )
    on_order = np.stack([series.gradient(model.form_factor * each) for each in weighted], axis=1)
    padded = surface.pad(on_field)
    by_field = solution.reduced.factor.solve(padded)
    left = on_order - solution.reduced.modes[:, :-1].T @ padded
    information = np.einsum("kij,lij->kl", weighted, terms, optimize=True)
    information = information - padded.T @ by_field - left.T @ solution.covariance @ left
    information[np.diag_indices_from(information)] += 1e-9
    score = np.einsum("kij,ij->k", terms, residual)
    covariance = np.linalg.inv((information + information.T) / 2)
    amplitudes = covariance @ score
    back = np.maximum(scale, 1e-300)
    return Score(
        amplitudes / back,
        covariance / np.outer(back, back),
        0.5 * float(score @ amplitudes),
        score * back,
        (information + information.T) / 2 * np.outer(back, back),
        -(solution.covariance @ left) * back,
    )
