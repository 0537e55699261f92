"""Gauss-Newton iterations on both factors of a volume, with priors chosen by the evidence on the way."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dsfunet._typing import Array
from dsfunet.lattice.volume_fit.model import LinearSystem, Problem, State, linearise, sum_misfit
from dsfunet.lattice.volume_fit.priors import update_order, update_precisions
from dsfunet.lattice.volume_fit.solver import (
    MOST_STEPS,
    Preconditioner,
    Prior,
    solve,
)

_MOST_ROUNDS = 12
_PRIOR_ROUNDS = 6
_DRAW_TOLERANCE = 3e-2
_LEAST_SHARE = 1 / 64  # of a step: both factors at once can overshoot far from the solution
_LARGEST_CORRELATION = 1.0  # of any crystal
_CONVERGED = 0.3  # change of a correlation in its smallest possible standard uncertainty


@dataclass(frozen=True, eq=False)
class Solution:
    """Where the iterations ended.

    Attributes:
        state: the estimate.
        prior: what the evidence chose.
        chi_squared: mean squared residual in units of its variance at the last linearisation.
        used: number of voxels in it.
        effective: number of modes of the form factor that the data settled, by the last random draw.
        rounds: number of iterations.
    """

    state: State
    prior: Prior
    chi_squared: float
    used: int
    effective: float
    rounds: int


@dataclass(frozen=True, eq=False)
class Point:
    """Where the iterations stand after a round.

    Attributes:
        solution: the present one, with the number of rounds so far.
        settled: whether the priors are chosen.
        finished: whether no round is left.
        random: state of the generator of random draws.
        change: largest change of a correlation in the last round, in its smallest standard uncertainty.
    """

    solution: Solution
    settled: bool
    finished: bool
    random: Any = None
    change: float = float("inf")


def iterate(
    problem: Problem,
    state: State,
    prior: Prior,
    spacing: float,
    seed: int,
    estimate_noise: Callable[[State], State] | None = None,
    report: Callable[[float], None] = lambda share: None,
    most: int = _MOST_ROUNDS,
    start: Point | None = None,
    keep: Callable[[Point], None] = lambda point: None,
) -> Solution:
    """Iterate on voxels in memory from a state with an envelope, and choose the priors.

    Args:
        problem: what is fitted.
        state: first estimate.
        prior: where the choice of priors starts.
        spacing: distance between neighbouring sites [Angstrom], about.
        seed: of the random draws of the posterior.
        estimate_noise: returns a state with the noise that its residual shows; None keeps the noise.
        report: called with the share that is done.
        most: largest number of rounds.
        start: where earlier iterations stopped; the state and the priors are then those of this point.
        keep: called with the point after each round.
    """
    random = np.random.default_rng(seed)
    lengths = problem.series.vectors.lengths
    effective, first, settled = 0.0, 1, False
    if start is not None:
        if start.finished:
            return start.solution
        state, prior, effective = start.solution.state, start.solution.prior, start.solution.effective
        first, settled = start.solution.rounds + 1, start.settled
        random.bit_generator.state = start.random
    solution: Solution | None = None
    for rounds in range(first, most + 1):
        if estimate_noise is not None and rounds in (2, 4, 6):
            state = estimate_noise(state)
        system = linearise(problem, state)
        preconditioner = Preconditioner(system, prior)
        state, change = step_from(system, state, prior, preconditioner)
        settled = settled or rounds > _PRIOR_ROUNDS
        if not settled:
            draw = draw_posterior(system, prior, preconditioner, random)
            size = prior.modes.sizes.astype(np.float64)
            effective = float(np.sum(np.maximum(size - prior.precisions * prior.modes.power(draw[0]), 0)))
            precisions = update_precisions(
                prior, state.coefficients, draw[0], preconditioner.field.information
            )
            prior = update_order(prior, state.alphas, draw[1], lengths, spacing)
            moved = float(np.max(np.abs(np.log(precisions / prior.precisions))))
            prior = replace(prior, precisions=precisions)
            settled = moved < 0.3 and rounds > 3
        report(rounds / most)
        solution = Solution(state, prior, system.chi_squared, system.used, effective, rounds)
        finished = rounds == most or (settled and change < _CONVERGED)
        keep(Point(solution, settled, finished, random.bit_generator.state, change))
        if finished:
            break
    assert solution is not None
    return solution


def step_from(
    system: LinearSystem,
    state: State,
    prior: Prior,
    preconditioner: Preconditioner,
    most: int = MOST_STEPS,
) -> tuple[State, float]:
    """Return the next state, and the largest change of a correlation in its smallest standard uncertainty.

    Args:
        system: the linearised problem.
        state: the present state.
        prior: the priors.
        preconditioner: an approximate inverse.
        most: largest number of steps of the solver.
    """
    right = (
        system.field_pull + prior.pull(state.coefficients),
        system.order_pull - state.alphas / prior.order_variances,
    )
    changes, alphas = solve(system, prior, preconditioner, right, most=most)
    least = np.sqrt(1 / (2 * system.order_sum + 1 / prior.order_variances))
    moved = float(np.max(np.abs(alphas) / least, initial=0.0))

    return shorten_step(system.problem, state, prior, (changes, alphas)), moved


def shorten_step(problem: Problem, state: State, prior: Prior, step: tuple[Array, Array]) -> State:
    """Return the state after a step, halved until it makes the misfit smaller and leaves correlations possible.

    Args:
        problem: what is fitted.
        state: the present state, which is returned if no share of the step helps.
        prior: the priors.
        step: changes of the coefficients and of the correlations.
    """

    def cost(candidate: State) -> float:
        squares = sum_misfit(problem, candidate, state)
        order = float(np.sum(candidate.alphas**2 / prior.order_variances))
        return squares + prior.penalty(candidate.coefficients) + order

    before, share = cost(state), 1.0
    while share >= _LEAST_SHARE:
        found = replace(
            state, coefficients=state.coefficients + share * step[0], alphas=state.alphas + share * step[1]
        )
        possible = float(np.abs(found.alphas).max(initial=0.0)) <= _LARGEST_CORRELATION
        if possible and cost(found) <= before:
            return found
        share /= 2
    return state


def draw_posterior(
    system: LinearSystem, prior: Prior, preconditioner: Preconditioner, random: np.random.Generator
) -> tuple[Array, Array]:
    """Return a random deviation of the coefficients and correlations by the posterior of the linearised problem."""
    field, order = system.sample(random)
    field += prior.modes.sample(prior.precisions, random)
    order += random.standard_normal(len(order)) / np.sqrt(prior.order_variances)
    return solve(system, prior, preconditioner, (field, order), _DRAW_TOLERANCE)
