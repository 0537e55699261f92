"""The joint fit of a whole volume: form factor and short-range order from the data and the lattice alone."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from dsfunet._typing import Array
from dsfunet.lattice.volume_fit.checks import check_solution, check_volume
from dsfunet.lattice.volume_fit.covariance import find_uncertainty
from dsfunet.lattice.volume_fit.envelope import fit_envelope
from dsfunet.lattice.volume_fit.iteration import Point, Solution, iterate, step_from
from dsfunet.lattice.volume_fit.memory import FitMemory
from dsfunet.lattice.volume_fit.model import Envelope, Noise, Problem, State, linearise, model_block
from dsfunet.lattice.volume_fit.modes import ModePrior
from dsfunet.lattice.volume_fit.noise import estimate_noise
from dsfunet.lattice.volume_fit.priors import extend_variances, first_precisions
from dsfunet.lattice.volume_fit.result import VolumeFit
from dsfunet.lattice.volume_fit.series import (
    CosineSeries,
    LatticeVectors,
    keep_resolved,
    list_half_vectors,
    radius_of_count,
)
from dsfunet.lattice.volume_fit.solver import Preconditioner, Prior
from dsfunet.lattice.volume_fit.splines import SplineVolume
from dsfunet.lattice.volume_fit.voxels import Float32, Rows, Voxels
from dsfunet.physics import Cell
from dsfunet.physics.centring import Centring, centring_translations

VECTORS = (1000, 3500, 12_000)
"""About how many pairs of lattice vectors a fit takes: more where the longest of them are seen."""

_INNER, _FEWEST_OUTER = 0.75, 50
_SHOWN = (
    1.5  # mean square of the longest correlations, in the variance of their noise, to go on to longer ones
)
_SUBSET = 600_000  # voxels on which priors and uncertainties are found
_KNOTS = 0.31  # spacing of the knots of F [r.l.u.]: a molecule as long as the cell needs it
_LONGEST = 14.0  # distance that the form factor may hold structure of [Angstrom], where the cell is longer
_ENVELOPE_DISTANCE = 4.0  # distance that the splines of the envelope can follow [Angstrom]
_MARGIN = 1.0  # of the splines around the voxels, in spacings of the knots
_FULL_ROUNDS, _FULL_STEPS = 3, 100
_ALL = "all voxels"


Progress = Callable[[str, float], None]
"""Called with what is being done and the share of it that is done, 0 to 1."""


def fit_volume(
    voxels: Voxels,
    cell: Cell,
    centring: Centring = "P",
    most_vectors: int = VECTORS[-1],
    seed: int = 0,
    progress: Progress = lambda stage, share: None,
    memory: FitMemory | None = None,
) -> VolumeFit:
    """Fit form factor and short-range order jointly to a volume, without any network and without the structure.

    I = F S, with F a smooth envelope times a spline field u, and S = 1 + 2 sum of alpha_r cos 2 pi r . q over the
    lattice vectors r. The prior variance of u depends on the distance in real space that its waves belong to; it and
    the range of the order are found by the evidence, on a random subset of a large volume. Uncertainties are those of
    Laplace's approximation for all voxels, multiplied by the root of chi-squared; where the uncertainties of the
    intensities are given, only if that exceeds 1.

    Args:
        voxels: the data; Friedel mates may have been averaged.
        cell: the conventional cell.
        centring: one of `dsfunet.physics.centring.CENTRINGS`.
        most_vectors: largest number of pairs of lattice vectors in the series, about; it has as many as the data show.
        seed: of the subset and of the random draws of the posterior.
        progress: called with what is being done.
        memory: where points of the fit are kept, and from which an interrupted fit of the same voxels goes on.

    Raises:
        InputError: the volume shows less than one zone in which I_SRO repeats along some axis, its voxels are coarser
            than half a zone, its mean intensity is 0 or less, too few voxels were measured, or the fit did not settle.
    """
    counts = [each for each in VECTORS if each < most_vectors] + [most_vectors]
    subset: Subset | None = None
    solution: Solution | None = None
    memory = FitMemory() if memory is None else memory
    for count in counts:
        before = subset, solution
        subset = prepare_subset(voxels, cell, centring, count, seed, progress, before)
        solution = subset.solve(progress, memory=memory)
        if not subset.shows_more(solution) or subset.is_complete(count):
            break
    assert subset is not None and solution is not None
    scaled = subset.scaled()
    if not subset.is_whole:
        solution = _refine_on_all(subset, scaled, solution, progress, memory)
    check_solution(solution, subset.fixed_noise)
    progress("uncertainties", 0.0)
    system = linearise(scaled, solution.state)
    inflation = max(solution.chi_squared, 1.0) if subset.fixed_noise else solution.chi_squared
    uncertainty = find_uncertainty(system, solution.prior, solution.state, subset.grid.centres, inflation)
    return VolumeFit(subset.problem, cell, centring, solution, uncertainty, subset.grid.linear)


@dataclass(frozen=True, eq=False)
class Subset:
    """A volume, a random subset of it on which priors are found, and where the fit of that starts.

    Attributes:
        problem: of all voxels.
        rows: places of the subset along each axis.
        grid: splines and series on the whole grid.
        state: first estimate.
        prior: first priors.
        spacing: distance between neighbouring sites [Angstrom], about.
        seed: of random draws.
        fixed_noise: whether the noise is known.
    """

    problem: Problem
    rows: Rows
    grid: "SplineGrid"
    state: State
    prior: Prior
    spacing: float
    seed: int
    fixed_noise: bool

    @property
    def is_whole(self) -> bool:
        """Whether the subset is the whole volume."""
        return _covers(self.rows, self.problem.voxels)

    def taken(self) -> Problem:
        """Return the problem of the subset."""
        return self.problem if self.is_whole else self.problem.take(self.rows)

    def scaled(self) -> Problem:
        """Return the problem of the subset with the weight of all voxels."""
        if self.is_whole:
            return self.problem
        taken = float(np.prod([len(chosen) for chosen in self.rows]))
        return self.problem.take(self.rows, self.problem.voxels.intensity.size / taken)

    def solve(self, progress: Progress, most: int | None = None, memory: FitMemory | None = None) -> Solution:
        """Return the solution on the subset; with a memory it goes on where an earlier one stopped."""
        kept = FitMemory() if memory is None else memory
        stage = f"{self.problem.series.count} correlations"
        update = None if self.fixed_noise else _noise_update(self.problem)
        return iterate(
            self.taken(),
            self.state,
            self.prior,
            self.spacing,
            self.seed,
            update,
            lambda done: progress("both factors", done),
            start=kept.recall(stage, self.prior.modes, self.problem.series.count),
            keep=lambda point: kept.keep(stage, point),
            **({} if most is None else {"most": most}),
        )

    def shows_more(self, solution: Solution) -> bool:
        """Return whether the longest correlations are larger than noise, so that longer ones are needed."""
        lengths = self.problem.series.vectors.lengths
        outer = lengths > _INNER * lengths.max()
        if np.count_nonzero(outer) < _FEWEST_OUTER:
            return False
        system = linearise(self.taken(), solution.state, fixed_field=True)
        squares = solution.state.alphas[outer] ** 2 * 2 * system.order_sum / max(solution.chi_squared, 1.0)
        return float(squares.mean()) > _SHOWN

    def is_complete(self, count: int) -> bool:
        """Return whether the voxels resolve no more than the present correlations."""
        return self.problem.series.count < 0.6 * count


def prepare_subset(
    voxels: Voxels,
    cell: Cell,
    centring: Centring,
    count: int,
    seed: int,
    progress: Progress,
    before: tuple[Subset | None, Solution | None] = (None, None),
    size: int = _SUBSET,
    noise: Noise | None = None,
) -> Subset:
    """Prepare the fit of a subset, from nothing or from a fit with fewer correlations."""
    spacing = float((np.linalg.det(cell.direct) / len(centring_translations(centring))) ** (1 / 3))
    vectors = list_half_vectors(cell, centring, radius_of_count(cell, centring, count))
    vectors = keep_resolved(vectors, voxels.axes)
    check_volume(voxels, vectors)
    rows = voxels.choose_rows(size, seed)
    fixed = noise is not None or voxels.precision is not None
    previous, solution = before
    if previous is not None and solution is not None:
        grid = replace(previous.grid, series=CosineSeries(vectors, voxels.axes))
        problem = replace(previous.problem, series=grid.series)
        alphas = np.zeros(vectors.count)
        alphas[: len(solution.state.alphas)] = solution.state.alphas
        variances = extend_variances(solution.prior.order_variances, vectors.lengths)
        prior = replace(solution.prior, order_variances=variances)
        return Subset(
            problem, rows, grid, replace(solution.state, alphas=alphas), prior, spacing, seed, fixed
        )
    grid = SplineGrid.of(voxels, cell, vectors)
    is_whole = _covers(rows, voxels)
    small, series, coarse = voxels, grid.series, grid.coarse
    if not is_whole:
        small, series, coarse = small.take(rows), series.take(rows), coarse.take(rows)
    noise = noise or (estimate_noise(voxels) if voxels.precision is None else Noise(1.0))
    progress("envelope", 0.0)
    envelope, alphas = fit_envelope(small, coarse, grid.coarse_modes, series, noise, spacing)
    envelope = Envelope(grid.coarse, envelope.coefficients, envelope.largest)
    problem = Problem(voxels, grid.splines, grid.series, envelope)
    state = State(np.ones(grid.splines.shape), alphas, noise)
    precisions, ceiling = first_precisions(
        grid.modes, linearise(problem if is_whole else problem.take(rows), state)
    )
    variances = np.maximum(0.05 * np.exp(-vectors.lengths / (2 * spacing)), 1e-30)
    prior = Prior(grid.modes, precisions, 1.0, variances, ceiling)
    return Subset(problem, rows, grid, state, prior, spacing, seed, fixed)


def _covers(rows: Rows, voxels: Voxels) -> bool:
    """Return whether the places along all axes are those of all voxels."""
    return all(len(chosen) == n for chosen, n in zip(rows, voxels.shape, strict=True))


@dataclass(frozen=True, eq=False)
class SplineGrid:
    """Splines and series on the whole grid."""

    splines: SplineVolume
    modes: ModePrior
    coarse: SplineVolume
    coarse_modes: ModePrior
    series: CosineSeries
    centres: tuple[Array, Array, Array]
    linear: SplineVolume

    @classmethod
    def of(cls, voxels: Voxels, cell: Cell, vectors: LatticeVectors) -> "SplineGrid":
        """Return splines and series for some voxels and lattice vectors."""
        edges = np.array(cell.parameters[:3])
        fine = np.maximum(_KNOTS, edges / (2 * _LONGEST))
        wide = np.maximum(edges / (2 * _ENVELOPE_DISTANCE), fine)
        margin = tuple(_MARGIN * fine)
        splines, outer = SplineVolume.cover(voxels.axes, tuple(fine), margin)
        coarse, coarse_outer = SplineVolume.cover(voxels.axes, tuple(wide), margin)
        spans = tuple(float(np.ptp(axis)) + 2 * each for axis, each in zip(voxels.axes, margin, strict=True))
        centres, weights = [], []
        for axis, matrix in zip(voxels.axes, splines.matrices, strict=True):
            at = _spline_centres(axis, matrix)
            places = np.abs(axis[:, None] - at).argmin(axis=0)
            centres.append(matrix[places].astype(np.float64))
            weights.append(_linear_weights(axis, at))
        return cls(
            splines,
            ModePrior.of(outer, cell, spans),
            coarse,
            ModePrior.of(coarse_outer, cell, spans),
            CosineSeries(vectors, voxels.axes),
            (centres[0], centres[1], centres[2]),
            SplineVolume((weights[0], weights[1], weights[2])),
        )


def _spline_centres(axis: Array, matrix: Float32) -> Array:
    """Return the mean coordinate of each spline over the voxels, in increasing order."""
    weight = matrix.sum(axis=0)
    centres = (axis @ matrix) / np.maximum(weight, 1e-12)
    # Splines of the margin have no voxels; they lie beyond the first and the last one.
    known = np.flatnonzero(weight > 0)
    centres[: known[0]], centres[known[-1] + 1 :] = axis[0], axis[-1]
    return np.asarray(centres)


def _linear_weights(axis: Array, at: Array) -> Float32:
    """Return weights of linear interpolation from points to voxels, constant beyond, shape (voxels, points)."""
    place = np.clip(np.searchsorted(at, axis) - 1, 0, max(len(at) - 2, 0))
    upper = np.minimum(place + 1, len(at) - 1)
    gap = np.where(upper > place, at[upper] - at[place], 1.0)
    share = np.clip((axis - at[place]) / np.maximum(gap, 1e-12), 0, 1)
    weights = np.zeros((len(axis), len(at)), np.float32)
    rows = np.arange(len(axis))
    np.add.at(weights, (rows, place), 1 - share)
    np.add.at(weights, (rows, upper), share)
    return weights


def _noise_update(problem: Problem) -> Callable[[State], State]:
    def update(state: State) -> State:
        def expected(layer: int) -> Array:
            model = model_block(problem, state, slice(layer, layer + 1))
            return np.asarray((model.form_factor * np.maximum(model.series, 0))[0], dtype=np.float64)

        return replace(state, noise=estimate_noise(problem.voxels, expected))

    return update


def _refine_on_all(
    subset: Subset, scaled: Problem, solution: Solution, progress: Progress, memory: FitMemory
) -> Solution:
    """Return the solution after a few rounds on all voxels, with the preconditioner of the subset."""
    prior, start = solution.prior, solution.state
    preconditioner = Preconditioner(linearise(scaled, start), prior)
    point = memory.recall(_ALL, prior.modes, scaled.series.count)
    before = solution.rounds
    while point is None or not point.finished:
        done = 0 if point is None else point.solution.rounds - before
        progress(_ALL, done / _FULL_ROUNDS)
        state = start if point is None else point.solution.state
        system = linearise(subset.problem, state)
        state, change = step_from(system, state, prior, preconditioner, _FULL_STEPS)
        if not subset.fixed_noise and done == 0:
            state = _noise_update(subset.problem)(state)
        solution = replace(
            solution,
            state=state,
            chi_squared=system.chi_squared,
            used=system.used,
            rounds=before + done + 1,
        )
        point = Point(solution, True, done + 1 == _FULL_ROUNDS or (done > 0 and change < 0.3), change=change)
        memory.keep(_ALL, point)
    return point.solution
