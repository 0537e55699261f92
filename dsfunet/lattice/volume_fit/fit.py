"""The joint fit of a whole volume: form factor and short-range order from the data and the lattice alone."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.lattice.volume_fit.covariance import Uncertainty, find_uncertainty
from dsfunet.lattice.volume_fit.envelope import fit_envelope
from dsfunet.lattice.volume_fit.iteration import HIDDEN, Solution, iterate, step_from
from dsfunet.lattice.volume_fit.model import Envelope, Noise, Problem, State, linearise, model_block
from dsfunet.lattice.volume_fit.modes import ModePrior
from dsfunet.lattice.volume_fit.noise import estimate_noise
from dsfunet.lattice.volume_fit.priors import first_precisions
from dsfunet.lattice.volume_fit.result import VolumeFit
from dsfunet.lattice.volume_fit.series import (
    CosineSeries,
    LatticeVectors,
    keep_resolved,
    list_half_vectors,
    radius_of_count,
)
from dsfunet.lattice.volume_fit.solver import FieldPreconditioner, Preconditioner, Prior, find_coarse_space
from dsfunet.lattice.volume_fit.splines import SplineVolume
from dsfunet.lattice.volume_fit.voxels import Axes, Voxels
from dsfunet.physics import Cell
from dsfunet.physics.centring import Centring, centring_translations

VECTORS = 1200
"""About how many pairs of lattice vectors a fit has."""

_SUBSET = 600_000  # voxels on which priors and uncertainties are found
_KNOTS = 0.31  # spacing of the knots of F [r.l.u.]: a molecule as long as the cell needs it
_LONGEST = 14.0  # distance that the form factor may hold structure of [Angstrom], where the cell is longer
_ENVELOPE_DISTANCE = 4.0  # distance that the splines of the envelope can follow [Angstrom]
_MARGIN = 3.0  # of the splines around the voxels, in spacings of the knots
_FULL_ROUNDS = 3
_FEWEST_ZONES = 2.0


class Progress(Protocol):
    """Called with what is being done and the share of it that is done, 0 to 1."""

    def __call__(self, stage: str, share: float) -> None: ...  # noqa: D102


def fit_volume(
    voxels: Voxels,
    cell: Cell,
    centring: Centring = "P",
    most_vectors: int = VECTORS,
    seed: int = 0,
    progress: Progress = lambda stage, share: None,
) -> VolumeFit:
    """Fit form factor and short-range order jointly to a volume, without any network and without the structure.

    I = F S, with F a smooth envelope times a spline field u, and S = 1 + 2 sum of alpha_r cos 2 pi r . q over the
    lattice vectors r. The prior variance of u depends on the distance in real space that its waves belong to; it and
    the range of the order are found by the evidence, on a random subset of a large volume. Uncertainties are those of
    Laplace's approximation for all voxels, multiplied by the root of chi-squared where that exceeds 1.

    Args:
        voxels: the data; Friedel mates may have been averaged.
        cell: the conventional cell.
        centring: one of `dsfunet.physics.centring.CENTRINGS`.
        most_vectors: about how many pairs of lattice vectors the series has.
        seed: of the subset and of the random draws of the posterior.
        progress: called with what is being done.

    Raises:
        InputError: the volume shows less than two zones in which I_SRO repeats along some axis, its voxels are coarser
            than half a zone, its mean intensity is 0 or less, or fewer voxels were measured than the fit has parameters.
    """
    spacing = float((np.linalg.det(cell.direct) / len(centring_translations(centring))) ** (1 / 3))
    vectors = list_half_vectors(cell, centring, radius_of_count(cell, centring, most_vectors))
    vectors = keep_resolved(vectors, voxels.axes)
    check_volume(voxels, vectors)
    full = _Grid.of(voxels, cell, vectors)
    rows = voxels.choose_rows(_SUBSET, seed)
    is_whole = all(len(chosen) == n for chosen, n in zip(rows, voxels.shape, strict=True))
    share = int(np.prod([len(chosen) for chosen in rows])) / voxels.intensity.size
    small = voxels if is_whole else voxels.take(rows)
    series = full.series if is_whole else full.series.take(rows)
    noise = estimate_noise(voxels) if voxels.precision is None else Noise(1.0)
    progress("envelope", 0.0)
    coarse = full.coarse if is_whole else full.coarse.take(rows)
    envelope, alphas = fit_envelope(small, coarse, full.coarse_modes, series, noise, spacing)
    envelope = Envelope(full.coarse, envelope.coefficients, envelope.largest)
    problem = Problem(voxels, full.splines, full.series, envelope)
    subset = problem if is_whole else problem.take(rows)
    state = State(np.ones(full.splines.shape), alphas, noise)
    precisions = first_precisions(full.modes, linearise(subset, state))
    variances = np.maximum(0.05 * np.exp(-vectors.lengths / (2 * spacing)), 1e-30)
    prior = Prior(full.modes, precisions, 1.0, variances)
    update = None if voxels.precision is not None else _noise_update(problem)
    solution = iterate(
        subset, state, prior, spacing, seed, update, lambda done: progress("both factors", done)
    )
    scaled = subset if is_whole else problem.take(rows, 1 / share)
    if not is_whole:
        solution = _refine_on_all(problem, scaled, solution, update, progress)
    progress("uncertainties", 0.0)
    uncertainty = _uncertainty(scaled, solution, full)
    return VolumeFit(problem, cell, centring, solution, uncertainty, full.linear)


def check_volume(voxels: Voxels, vectors: LatticeVectors) -> None:
    """Raise an InputError for a volume that cannot be fitted."""
    if not vectors.count:
        raise InputError(
            "volume: its voxels are coarser than half a zone in which short-range order repeats; expected finer ones"
        )
    measured = int(np.count_nonzero(voxels.count))
    if measured < 10 * vectors.count:
        raise InputError(
            f"volume: found {measured} measured voxels for {vectors.count} correlations; expected ten times as many"
        )
    for label, axis, steps in zip("hkl", voxels.axes, np.abs(vectors.vectors).T, strict=True):
        zones = float(np.ptp(axis)) * float(steps[steps > 0].min(initial=np.inf))
        if zones < _FEWEST_ZONES / 2:
            raise InputError(
                f"volume: it spans {np.ptp(axis):g} r.l.u. along {label}, {zones:.1f} of the zones in which short-range"
                " order repeats; expected one or more of each half, or the layers one by one without --volume"
            )
    if not float(voxels.intensity.sum(dtype=np.float64)) > 0:
        raise InputError("volume: the mean of its intensity is 0 or less; expected a positive number")


@dataclass(frozen=True, eq=False)
class _Grid:
    """Splines and series on the whole grid."""

    splines: SplineVolume
    modes: ModePrior
    coarse: SplineVolume
    coarse_modes: ModePrior
    series: CosineSeries
    centres: tuple[Array, Array, Array]
    linear: SplineVolume

    @classmethod
    def of(cls, voxels: Voxels, cell: Cell, vectors: LatticeVectors) -> "_Grid":
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


def _spline_centres(axis: Array, matrix: Array) -> Array:
    """Return the mean coordinate of each spline over the voxels, in increasing order."""
    weight = matrix.sum(axis=0)
    centres = (axis @ matrix) / np.maximum(weight, 1e-12)
    # Splines of the margin have no voxels; they lie beyond the first and the last one.
    known = np.flatnonzero(weight > 0)
    centres[: known[0]], centres[known[-1] + 1 :] = axis[0], axis[-1]
    return np.asarray(centres)


def _linear_weights(axis: Array, at: Array) -> Array:
    """Return the weights of linear interpolation from some points to voxels, constant beyond, shape (voxels, points)."""
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
    problem: Problem,
    scaled: Problem,
    solution: Solution,
    update: Callable[[State], State] | None,
    progress: Progress,
) -> Solution:
    """Return the solution after a few rounds on all voxels, with the preconditioner of the subset."""
    state, prior = solution.state, solution.prior
    small = linearise(scaled, state)
    field = FieldPreconditioner(small, prior)
    coarse = find_coarse_space(small, prior, field, HIDDEN)
    preconditioner = Preconditioner(small, prior, field, coarse)
    for done in range(_FULL_ROUNDS):
        progress("all voxels", done / _FULL_ROUNDS)
        system = linearise(problem, state)
        state, change = step_from(system, state, prior, preconditioner)
        if update is not None and done == 0:
            state = update(state)
        if done and change < 0.3:
            break
    return replace(
        solution, state=state, chi_squared=system.chi_squared, used=system.used, rounds=solution.rounds + done + 1
    )


def _uncertainty(scaled: Problem, solution: Solution, full: _Grid) -> Uncertainty:
    system = linearise(scaled, solution.state)
    inflation = max(solution.chi_squared, 1.0)
    return find_uncertainty(system, solution.prior, solution.state.coefficients, full.centres, inflation)
