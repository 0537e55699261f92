"""The model I = F S of a volume at an estimate, and its linearisation."""

from dataclasses import dataclass

import numpy as np

from dsfunet._typing import Array
from dsfunet.lattice.volume_fit.series import CosineSeries
from dsfunet.lattice.volume_fit.splines import SplineVolume
from dsfunet.lattice.volume_fit.voxels import Float32, Rows, Voxels

_DARK = 0.02  # the variance does not fall further where the model is below this share of the envelope
_LARGEST_LOG = 80.0


@dataclass(frozen=True, eq=False)
class Envelope:
    """The smooth fall-off E of a form factor: the exponential of a coarse spline, at most a largest value.

    Attributes:
        splines: the coarse splines.
        coefficients: of log E, shape of the splines.
        largest: largest value of E; an extrapolation may grow without bound.
    """

    splines: SplineVolume
    coefficients: Array
    largest: float = np.inf

    def evaluate(self, block: slice) -> Float32:
        """Return E at the voxels of a block of layers."""
        logarithm = self.splines.evaluate(self.coefficients, block)
        values: Float32 = np.exp(np.clip(logarithm, -_LARGEST_LOG, _LARGEST_LOG))
        return np.minimum(values, np.float32(self.largest))

    def take(self, rows: Rows) -> "Envelope":
        """Return the same envelope at some of the voxels along each axis."""
        return Envelope(self.splines.take(rows), self.coefficients, self.largest)


@dataclass(frozen=True)
class Noise:
    """Variance v_0 + phi m of one voxel of expected intensity m.

    Attributes:
        ratio: phi, above 0: 1 for raw counts.
        offset: v_0, 0 or more.
    """

    ratio: float
    offset: float = 0.0


@dataclass(frozen=True, eq=False)
class Problem:
    """What is fitted: F = E u with a spline u, or F = exp(u) where there is no envelope yet, and the series of S.

    Attributes:
        voxels: the data.
        splines: the splines of u.
        series: the harmonics of S.
        envelope: E; None for F = exp(u).
        scale: number of voxels that each voxel stands for, where `voxels` is a subset.
    """

    voxels: Voxels
    splines: SplineVolume
    series: CosineSeries
    envelope: Envelope | None = None
    scale: float = 1.0

    def take(self, rows: Rows, scale: float = 1.0) -> "Problem":
        """Return the problem of some of the voxels."""
        envelope = None if self.envelope is None else self.envelope.take(rows)
        return Problem(
            self.voxels.take(rows), self.splines.take(rows), self.series.take(rows), envelope, scale
        )


@dataclass(frozen=True, eq=False)
class State:
    """An estimate.

    Attributes:
        coefficients: of the spline u.
        alphas: correlations, shape (k,).
        noise: model of the noise.
    """

    coefficients: Array
    alphas: Array
    noise: Noise


@dataclass(frozen=True, eq=False)
class BlockModel:
    """The model of a block of layers, each of shape (layers, m, o).

    Attributes:
        form_factor: F, of any sign.
        slope: derivative of F with respect to u.
        series: the series of S, of any sign.
        envelope: E, or F where there is none.
    """

    form_factor: Float32
    slope: Float32
    series: Float32
    envelope: Float32


def model_block(problem: Problem, state: State, block: slice) -> BlockModel:
    """Return the model of a block of layers at a state."""
    spline = problem.splines.evaluate(state.coefficients, block)
    series = problem.series.evaluate(state.alphas, block)
    if problem.envelope is None:
        form_factor = np.exp(np.clip(spline, -_LARGEST_LOG, _LARGEST_LOG))
        return BlockModel(form_factor, form_factor, series, form_factor)
    envelope = problem.envelope.evaluate(block)
    return BlockModel(envelope * spline, envelope, series, envelope)


@dataclass(frozen=True, eq=False)
class LinearSystem:
    """The linearised problem: derivatives of the model in each voxel, in units of its standard uncertainty.

    Attributes:
        problem: what is fitted.
        field: derivative with respect to u, shape of the volume.
        order: derivative with respect to S, same shape.
        field_pull: gradient of the log likelihood with respect to the coefficients.
        order_pull: gradient with respect to the correlations.
        chi_squared: mean squared residual in units of its variance.
        used: number of voxels.
        order_sum: sum of the squared derivative with respect to S.
    """

    problem: Problem
    field: Float32
    order: Float32
    field_pull: Array
    order_pull: Array
    chi_squared: float
    used: int
    order_sum: float

    def multiply(self, coefficients: Array, alphas: Array) -> tuple[Array, Array]:
        """Return the information matrix times changes of the coefficients and of the correlations."""
        problem = self.problem
        field_total, order_total = np.zeros(problem.splines.shape), np.zeros(problem.series.count)
        for block in problem.voxels.blocks:
            change = self.field[block] * problem.splines.evaluate(coefficients, block)
            change += self.order[block] * problem.series.evaluate(alphas, block, 0.0)
            problem.splines.project(self.field[block] * change, block, field_total)
            problem.series.project(self.order[block] * change, block, order_total)
        return field_total, order_total

    def multiply_field(self, coefficients: Array) -> Array:
        """Return the information matrix of the coefficients alone times a change of them."""
        total = np.zeros(self.problem.splines.shape)
        for block in self.problem.voxels.blocks:
            change = self.field[block] ** 2 * self.problem.splines.evaluate(coefficients, block)
            self.problem.splines.project(change, block, total)
        return total

    def couple(self, alphas: Array) -> Array:
        """Return the information between the coefficients and the correlations times a change of the latter."""
        total = np.zeros(self.problem.splines.shape)
        for block in self.problem.voxels.blocks:
            change = self.field[block] * self.order[block]
            change *= self.problem.series.evaluate(alphas, block, 0.0)
            self.problem.splines.project(change, block, total)
        return total

    def sample(self, random: np.random.Generator) -> tuple[Array, Array]:
        """Return random vectors whose covariance is the information matrix."""
        problem = self.problem
        field_total, order_total = np.zeros(problem.splines.shape), np.zeros(problem.series.count)
        for block in problem.voxels.blocks:
            noise = random.standard_normal(self.field[block].shape, dtype=np.float32)
            problem.splines.project(self.field[block] * noise, block, field_total)
            problem.series.project(self.order[block] * noise, block, order_total)
        return field_total, order_total

    def local_information(self) -> Array:
        """Return the sums over voxels of each spline times the squared derivative with respect to u."""
        total = np.zeros(self.problem.splines.shape)
        for block in self.problem.voxels.blocks:
            self.problem.splines.project(self.field[block] ** 2, block, total)
        return total


def linearise(problem: Problem, state: State, fixed_field: bool = False) -> LinearSystem:
    """Linearise the model around a state (Gauss-Newton, Fisher's information of quasi-likelihood).

    Voxels at which the series of S is negative are left out: a truncated series can be so where short-range order
    vanishes, and they hold no information on it.

    Args:
        problem: what is fitted.
        state: the estimate.
        fixed_field: whether the coefficients are kept.
    """
    voxels, splines, series = problem.voxels, problem.splines, problem.series
    field_slope, order_slope = (np.empty(voxels.shape, np.float32) for _ in range(2))
    field_pull, order_pull = np.zeros(splines.shape), np.zeros(series.count)
    squares, order_sum, used = 0.0, 0.0, 0
    for block in voxels.blocks:
        root = np.sqrt(np.float32(problem.scale) * voxels.share(block))
        model = model_block(problem, state, block)
        counted = voxels.count[block] > 0
        order = model.series
        expected = model.form_factor * order
        weight = _root_precision(voxels, state.noise, block, np.maximum(expected, _DARK * model.envelope))
        weight = np.where(counted, weight, np.float32(0))
        residual = weight * (voxels.intensity[block] - expected)
        squares += float(np.einsum("ijk,ijk->", residual, residual, dtype=np.float64))
        weight, residual = weight * root, residual * root
        order_slope[block] = weight * model.form_factor
        if fixed_field:
            field_slope[block] = 0
        else:
            field_slope[block] = weight * model.slope * order
            splines.project(field_slope[block] * residual, block, field_pull)
        series.project(order_slope[block] * residual, block, order_pull)
        order_sum += float(np.einsum("ijk,ijk->", order_slope[block], order_slope[block], dtype=np.float64))
        used += int(np.count_nonzero(counted))
    return LinearSystem(
        problem,
        field_slope,
        order_slope,
        field_pull,
        order_pull,
        squares / max(used, 1),
        used,
        order_sum,
    )


def sum_misfit(problem: Problem, state: State, reference: State) -> float:
    """Return the weighted sum of squared residuals at a state, with the variances of a reference state.

    Args:
        problem: what is fitted.
        state: where the residuals are taken.
        reference: the estimate that the variances belong to.
    """
    voxels, total = problem.voxels, 0.0
    for block in voxels.blocks:
        before = model_block(problem, reference, block)
        expected = np.maximum(before.form_factor * before.series, _DARK * before.envelope)
        weight = np.where(
            voxels.count[block] > 0, _root_precision(voxels, reference.noise, block, expected), np.float32(0)
        )
        model = before if state is reference else model_block(problem, state, block)
        residual = weight * (voxels.intensity[block] - model.form_factor * model.series)
        residual *= np.sqrt(np.float32(problem.scale) * voxels.share(block))
        total += float(np.einsum("ijk,ijk->", residual, residual, dtype=np.float64))
    return total


def _root_precision(voxels: Voxels, noise: Noise, block: slice, expected: Float32) -> Float32:
    """Return the square roots of the inverse variances of the means in a block."""
    if voxels.precision is not None:
        return np.sqrt(voxels.precision[block])
    values: Float32 = np.sqrt(
        voxels.count[block] / (np.float32(noise.offset) + np.float32(noise.ratio) * expected)
    )
    return values
