"""Conjugate gradients for the linearised problem.

The information on the form factor falls by orders of magnitude from the centre of a volume to its corners: the
preconditioner inverts data and prior exactly in the modes of the splines for several levels of information, joined by
smooth windows. What repeats from zone to zone can be put into either factor: the norm of the preconditioner hardly sees
these directions, one for each short lattice vector, so the solver must go on until far below one standard uncertainty.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from dsfunet._typing import Array
from dsfunet.lattice.volume_fit.model import LinearSystem
from dsfunet.lattice.volume_fit.modes import ModePrior
from dsfunet.lattice.volume_fit.splines import multiply_along_axes

_LEVEL_STEP = 4.0  # between the levels of information
_LEVEL_SMOOTHING = 0.7  # of the windows [splines]
_LEAST_INFORMATION = 1e-4  # of the median
_REACH = 3.0  # of data beyond their edge [splines]: a smooth field goes on there
_SETTLED = 2e-7  # squared deviation of each unknown that is left, in its variance
_PATIENCE = 12  # correlations in turn that the form factor cannot hide
_PATIENCE_OF_STEPS = 100
MOST_STEPS = 300
"""Largest number of steps of a solver."""


@dataclass(frozen=True, eq=False)
class Prior:
    """Prior precisions.

    Attributes:
        modes: modes of the form factor.
        precisions: of each shell of modes, about a mean of u.
        level: that mean: 1 for F = E u.
        order_variances: prior variance of each correlation, shape (k,).
        ceiling: largest precision of a mode.
    """

    modes: ModePrior
    precisions: Array
    level: float
    order_variances: Array
    ceiling: float = np.inf

    def pull(self, coefficients: Array) -> Array:
        """Return the gradient of the log prior density with respect to the coefficients."""
        return -self.modes.apply(self.precisions, coefficients - self.level)

    def penalty(self, coefficients: Array) -> float:
        """Return twice the negative log prior density of the coefficients, up to a constant."""
        away = coefficients - self.level
        return float(np.vdot(away, self.modes.apply(self.precisions, away)))


class FieldPreconditioner:
    """An approximate inverse of the information and prior of the form factor."""

    def __init__(self, system: LinearSystem, prior: Prior) -> None:
        modes = prior.modes
        information = np.maximum(modes.local_weights(system.local_information()), 0)
        known = information[information > 0]
        typical = float(np.median(known)) if len(known) else 1.0
        reach = ndimage.gaussian_filter(information, _REACH)
        information = np.maximum(np.maximum(information, reach), _LEAST_INFORMATION * typical)
        self.information = information
        self._modes, self._root = modes, np.sqrt(information)
        logarithm = ndimage.gaussian_filter(np.log(information), _LEVEL_SMOOTHING)
        stiffness = 1 + prior.precisions[modes.shells] / float(information.max())
        # Windows break what is smooth into what is not. Modes too stiff for any data are damped before and after.
        self._damping = 1 / np.sqrt(stiffness)
        self._levels = [
            (np.sqrt(window), stiffness / (1 + prior.precisions[modes.shells] / level))
            for level, window in split_levels(logarithm)
        ]

    def __call__(self, residual: Array) -> Array:
        """Return the approximate solution for a right-hand side."""
        first, second, third = self._modes.modes
        back, forth = (first, second, third), (first.T, second.T, third.T)
        duals = self._modes.duals
        damped = multiply_along_axes(duals, self._damping * multiply_along_axes(forth, residual))
        scaled, total = damped / self._root, np.zeros_like(residual)
        for window, ratio in self._levels:
            amplitudes = multiply_along_axes(forth, window * scaled)
            total += window * multiply_along_axes(back, ratio * amplitudes)
        amplitudes = multiply_along_axes((duals[0].T, duals[1].T, duals[2].T), total / self._root)
        return multiply_along_axes(back, self._damping * amplitudes)


def split_levels(logarithm: Array) -> Iterator[tuple[float, Array]]:
    """Yield levels of a positive field a factor of 4 apart, and how much of each point belongs to each, 0 to 1.

    The shares of a point sum to 1; it has at most two levels.

    Args:
        logarithm: of the field.
    """
    step, low = np.log(_LEVEL_STEP), float(logarithm.min())
    count = int(np.ceil((float(logarithm.max()) - low) / step)) + 1
    for level in low + step * np.arange(count):
        window = np.clip(1 - np.abs(logarithm - level) / step, 0, 1)
        if window.max() > 0:
            yield float(np.exp(level)), window


class Preconditioner:
    """An approximate inverse of the whole linearised problem."""

    def __init__(self, system: LinearSystem, prior: Prior) -> None:
        self.field = FieldPreconditioner(system, prior)
        self._diagonal = 2 * system.order_sum + 1 / prior.order_variances

    def __call__(self, field: Array, order: Array) -> tuple[Array, Array]:
        """Return the approximate solution for a right-hand side."""
        return self.field(field), order / self._diagonal


@dataclass(frozen=True, eq=False)
class HiddenDirections:
    """Directions in which a change of a correlation is made up for by the form factor.

    Attributes:
        places: the correlations.
        changes: change of the form factor that best hides a unit change of each, shape (q, coefficients).
        order_columns: columns of the information of all correlations after that change, shape (k, q).
        information: information of these directions, without the prior of the correlations, shape (q, q).
    """

    places: np.ndarray[tuple[int], np.dtype[np.intp]]
    changes: Array
    order_columns: Array
    information: Array


def find_hidden_directions(
    system: LinearSystem, prior: Prior, field: FieldPreconditioner, threshold: float, tolerance: float
) -> HiddenDirections:
    """Find the correlations that the form factor can hide, from the shortest vector on.

    Args:
        system: the linearised problem.
        prior: the priors.
        field: the preconditioner of the form factor.
        threshold: share of its information that a correlation keeps if the form factor is free; those that keep less
            are returned.
        tolerance: relative accuracy of each direction; that of its information is of second order in it.
    """
    places, changes = [], []
    unit, missed = np.zeros(system.problem.series.count), 0
    alone = 2 * system.order_sum
    for place in range(len(unit)):
        unit[:] = 0
        unit[place] = 1
        coupling = system.couple(unit)
        change = solve_field(system, prior, field, coupling, tolerance)
        if 1 - float(np.vdot(coupling, change)) / alone < threshold:
            places.append(place)
            changes.append(change.reshape(-1))
            missed = 0
        else:
            missed += 1
            if missed >= _PATIENCE:
                break
    count = len(places)
    hidden = np.array(changes).reshape(count, int(np.prod(system.problem.splines.shape)))
    information, columns = np.zeros((count, count)), np.zeros((len(unit), count))
    for column, place in enumerate(places):
        unit[:] = 0
        unit[place] = 1
        change = -hidden[column].reshape(system.problem.splines.shape)
        field_part, order_part = system.multiply(change, unit)
        field_part += prior.modes.apply(prior.precisions, change)
        columns[:, column] = order_part
        information[:, column] = order_part[places] - hidden @ field_part.reshape(-1)
    information = np.asarray((information + information.T) / 2, dtype=np.float64)
    return HiddenDirections(np.array(places, dtype=np.intp), hidden, columns, information)


def solve_field(
    system: LinearSystem,
    prior: Prior,
    field: FieldPreconditioner,
    right: Array,
    tolerance: float,
    most: int = MOST_STEPS,
) -> Array:
    """Solve for the coefficients alone, with the correlations fixed."""

    def product_of(values: Array) -> Array:
        return system.multiply_field(values) + prior.modes.apply(prior.precisions, values)

    limit = tolerance**2 * float(np.vdot(right, field(right)))
    solution, residual = np.zeros_like(right), right.copy()
    direction = scaled = field(residual)
    energy = float(np.vdot(residual, scaled))
    for _ in range(most):
        if energy <= limit:
            break
        product = product_of(direction)
        step = energy / float(np.vdot(direction, product))
        solution = solution + step * direction
        residual -= step * product
        scaled = field(residual)
        before, energy = energy, float(np.vdot(residual, scaled))
        direction = scaled + energy / before * direction
    return solution


def solve(
    system: LinearSystem,
    prior: Prior,
    preconditioner: Preconditioner,
    right: tuple[Array, Array],
    tolerance: float = 1e-2,
    most: int = MOST_STEPS,
) -> tuple[Array, Array]:
    """Solve the linearised problem with its priors by conjugate gradients.

    Args:
        system: the linearised problem.
        prior: the priors.
        preconditioner: an approximate inverse.
        right: right-hand sides of the coefficients and of the correlations.
        tolerance: relative accuracy in the norm of the problem.
        most: largest number of iterations.

    Returns:
        changes of the coefficients and of the correlations.
    """
    field, order = right[0].copy(), right[1].copy()
    changes, alphas = np.zeros_like(field), np.zeros_like(order)
    scaled = preconditioner(field, order)
    direction, along = scaled
    energy = first = best = _dot(field, order, *scaled)
    since_best = 0
    for _ in range(most):
        if energy <= max(tolerance**2 * first, _SETTLED * field.size) or since_best > _PATIENCE_OF_STEPS:
            break
        field_part, order_part = system.multiply(direction, along)
        field_part += prior.modes.apply(prior.precisions, direction)
        order_part += along / prior.order_variances
        step = energy / _dot(direction, along, field_part, order_part)
        changes, alphas = changes + step * direction, alphas + step * along
        field -= step * field_part
        order -= step * order_part
        scaled = preconditioner(field, order)
        before, energy = energy, _dot(field, order, *scaled)
        direction, along = scaled[0] + energy / before * direction, scaled[1] + energy / before * along
        since_best = 0 if energy < 0.7 * best else since_best + 1
        best = min(best, energy)
    return changes, alphas


def _dot(field: Array, order: Array, other_field: Array, other_order: Array) -> float:
    return float(np.vdot(field, other_field) + order @ other_order)
