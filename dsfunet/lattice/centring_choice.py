"""The centring of the lattice of sites, found from the repeat of a plane's own short-range order.

Each centring gives a layer its own harmonics of I_SRO. Two joint fits, on the lattice of the given cell and on a
centred one, are compared by their evidence (MacKay, Neural Comput. 4, 415, 1992), with the same noise. Real planes hold
more than noise: a molecular form factor, a twin or a background may look a little like another repeat. So a centring is
found only if it gains much evidence for the number of pixels, and removes most of the misfit of the given cell. Several
sites in a primitive cell also ask for more vectors than it has; a centring does not have them all, and what it leaves
is still correlated over vectors that it lacks (`FoldedResidual`). Then the given cell is kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict, Unpack

import numpy as np

from dsfunet._typing import Array, Mask
from dsfunet.lattice.centring_candidates import (
    asks_for,
    group_centrings,
    has_impossible_phases,
    is_testable,
    list_candidates,
    list_short_series,
    list_signature,
)
from dsfunet.lattice.joint_fit import JointFit, fit_both_factors, fit_plane
from dsfunet.lattice.joint_fit.misfit import DOUBTED, exceeds_noise
from dsfunet.lattice.joint_fit.noise import Variance, noise_above_counts
from dsfunet.lattice.residual_fold import STRENGTH, FoldedResidual
from dsfunet.physics.centring import Centring
from dsfunet.planes.measured import PlaneGrid

# Gains in log evidence that convince: this much, and this much per measured pixel (benchmarks/centring.md).
_LEAST_GAIN = 50.0
_LEAST_GAIN_PER_PIXEL = 0.003
# Share of it that short series must gain before full ones are compared; they gain 0.4 of it, mostly more than 0.8.
_PROMISING = 0.3
_TRIAL_ROUNDS = 12  # of a fit with a short series: right centrings need fewer
# A centring that leaves more than noise must remove this share of the misfit of the given cell. On virtual crystals
# right ones remove 0.58 or more, with a twin, displacements or Bragg peaks; wrong ones 0.29 or less.
_MOST_OF_MISFIT = 0.45
# A centring that leaves this share of the correlations over vectors off the lattice lacks vectors itself. Right ones
# leave 0.29 or less, wrong ones mostly 0.65 or more.
_LEFT_OVER = 0.5
# Power of the residual at the vectors that a centring adds, in that of noise: 2.2 or more where it is right, at 20
# counts on small planes, 1.6 or less where it only makes up for a form factor that is not smooth enough.
_CORRELATED = 2.0
_HARDLY_ORDER = 0.1  # sum of squared correlations, in that of another fit
# A centring with fewer vectors that gains the first share in short series is tried, too, and preferred if the other one
# gains less than the second share beyond it: 0.04 or less where it is wrong, 0.45 or more where it is right.
_NEARLY_AS_MUCH, _LITTLE_MORE = 0.7, 0.1


class FitOptions(TypedDict, total=False):
    """Arguments of `fit_plane` that all fits of a comparison share."""

    sigma: Array | None
    knots: float | tuple[float, float]
    initial_form_factor: Array | None
    prior_form_factor: Array | None
    prior_weight: Array | None


@dataclass(frozen=True, eq=False)
class CentringChoice:
    """The centring that a plane shows.

    Attributes:
        centring: the centring; P, the given cell, unless another one is convincing.
        found: whether the data show it; False if P is assumed because nothing else is convincing.
        fit: the joint fit with this centring.
        gains: log evidence of each tested centring above that of P: of full series for P and the chosen or most
            promising centring, of short series for the others.
        alike: other conventional centrings that give this layer the same harmonics, at least if a mirror or a two-fold
            axis makes them real, as in most crystals.
        note: a sentence for the user.
    """

    centring: Centring
    found: bool
    fit: JointFit
    gains: Mapping[Centring, float]
    alike: tuple[Centring, ...]
    note: str


def choose_centring(
    intensity: Array, mask: Mask, grid: PlaneGrid, **options: Unpack[FitOptions]
) -> CentringChoice:
    """Choose the centring from the repeat of a plane's own short-range order.

    Centrings that are conventional for the shape of the cell are compared: P, I and F for a cubic cell, P and R for a
    hexagonal one, all but R and H for others. Of those with the same harmonics on this layer only one is fitted.
    Centrings that the plane cannot test, because it shows less than two zones or has too coarse pixels, are passed
    over.

    A structure with several sites in a cell may repeat as a centred lattice does on one layer: on hk0, hexagonal close
    packing repeats as R does. Where it does not, the given cell is kept, though a centring explains the plane better.

    Args:
        intensity: measured intensities in any unit, shape (n, m); ignored where missing.
        mask: True where measured.
        grid: where the pixels lie, with the conventional cell.
        **options: further arguments of `fit_plane`, the same for all fits.

    Raises:
        InputError: the plane cannot test P either, or as of `fit_plane`.

    Examples:
        >>> import numpy as np
        >>> from dsfunet.lattice.centring_choice import choose_centring
        >>> from dsfunet.physics import Cell
        >>> from dsfunet.planes.measured import PlaneGrid
        >>> from dsfunet.planes.names import parse_plane
        >>> axis = np.linspace(-3, 3, 91)
        >>> h, k = np.meshgrid(axis, axis, indexing="ij")
        >>> order = 1 - 0.4 * np.cos(np.pi * h) * np.cos(np.pi * k)
        >>> counts = np.random.default_rng(0).poisson(900 * np.exp(-(h**2 + k**2) / 9) * order).astype(float)
        >>> grid = PlaneGrid(Cell(4, 4, 4), parse_plane("hk0"), axis, axis)
        >>> found = choose_centring(counts, np.full(h.shape, True), grid)
        >>> found.centring, found.found
        ('I', True)
    """
    groups = group_centrings(grid, list_candidates(grid.cell))
    others = [group[0] for group in groups if "P" not in group and is_testable(grid, group[0])]
    found = _compare(intensity, mask, grid, "P", others, None, options)
    chosen: Centring = found.best if found.best is not None and found.convincing else "P"
    visible = list_signature(grid, chosen, symmetric=True)
    alike = tuple(
        each
        for each in list_candidates(grid.cell)
        if each not in (chosen, "P") and list_signature(grid, each, symmetric=True) == visible
    )
    return CentringChoice(
        chosen,
        chosen != "P",
        found.best_fit if chosen != "P" and found.best_fit is not None else found.fit,
        {"P": 0.0, **found.gains},
        alike,
        _describe(chosen, found, alike, bool(others)),
    )


def find_contradiction(
    intensity: Array,
    mask: Mask,
    grid: PlaneGrid,
    centring: Centring,
    fit: JointFit | None = None,
    **options: Unpack[FitOptions],
) -> str | None:
    """Return a sentence if a plane contradicts a centring, None if not.

    It does if another repeat of short-range order is convincing, as in `choose_centring`. Only centrings with harmonics
    that the given one lacks are compared: a plane cannot contradict a lattice with more vectors than it needs, because
    correlations at some of them may be 0.

    Args:
        intensity: measured intensities in any unit, shape (n, m); ignored where missing.
        mask: True where measured.
        grid: where the pixels lie, with the conventional cell.
        centring: the given centring.
        fit: a fit of the plane with it, to save another one.
        **options: further arguments of `fit_plane`, the same for all fits.

    Raises:
        InputError: the plane cannot test the given centring, or as of `fit_plane`.
    """
    own = list_signature(grid, centring)[0]
    groups = group_centrings(grid, list_candidates(grid.cell))
    others = [
        group[0]
        for group in groups
        if not set(list_signature(grid, group[0])[0]) <= set(own) and is_testable(grid, group[0])
    ]
    found = _compare(intensity, mask, grid, centring, others, fit, options)
    if found.best is None or not found.convincing:
        return None
    return (
        f"centring {centring}: the plane does not repeat that way; centring {found.best} explains it better (log"
        f" evidence {found.gains[found.best]:.0f} above {centring}; chi-squared {found.best_chi_squared:.2f} instead of"
        f" {found.chi_squared:.2f})"
    )


@dataclass(frozen=True, eq=False)
class _Comparison:
    """A centring compared with others: the fit with it, and the best of the others where one is promising."""

    fit: JointFit
    gains: dict[Centring, float]
    best: Centring | None = None
    best_fit: JointFit | None = None
    convincing: bool = False
    lacks_vectors: bool = False

    @property
    def chi_squared(self) -> float:
        return self.fit.chi_squared

    @property
    def best_chi_squared(self) -> float:
        return self.chi_squared if self.best_fit is None else self.best_fit.chi_squared


def _compare(
    intensity: Array,
    mask: Mask,
    grid: PlaneGrid,
    reference: Centring,
    others: list[Centring],
    fit: JointFit | None,
    options: FitOptions,
) -> _Comparison:
    fit = fit or fit_plane(intensity, mask, grid, reference, **options)
    others = [each for each in others if asks_for(fit, grid, each)]
    if not others:
        return _Comparison(fit, {})
    short = _fit_short_series(intensity, mask, grid, fit, reference, others, options)
    evidence = short[reference].log_evidence
    gains = {each: short[each].log_evidence - evidence for each in others if each in short}
    best = max(gains, key=lambda each: gains[each], default=None)
    pixels = int(np.count_nonzero(mask))
    needed = max(_LEAST_GAIN, _LEAST_GAIN_PER_PIXEL * pixels)
    if best is None or gains[best] < _PROMISING * needed:
        return _Comparison(fit, gains, best)
    # Short series may mislead where order reaches far; full ones decide, with the noise of the one with more harmonics.
    best_fit = fit_plane(intensity, mask, grid, best, start=short[best], **options)
    noise = best_fit.noise
    fewer = _find_sublattice(grid, best, gains)
    if fewer is not None:
        trial = fit_plane(intensity, mask, grid, fewer, noise=noise, start=short[fewer], **options)
        if best_fit.log_evidence - trial.log_evidence < _LITTLE_MORE * gains[best]:
            best, best_fit = fewer, trial
    fit = fit_plane(intensity, mask, grid, reference, noise=noise, start=fit, **options)
    gains[best] = best_fit.log_evidence - fit.log_evidence
    needed *= max(best_fit.chi_squared, 1.0)
    before, after = (FoldedResidual(each, intensity, mask, grid) for each in (fit, best_fit))
    lacks_vectors = after.strength >= max(STRENGTH, _LEFT_OVER * before.strength)
    convincing = (
        gains[best] >= needed
        and _lacks(fit, best_fit, before)
        and not lacks_vectors
        and _explains(best_fit, fit, after.strength, intensity, mask)
    )
    return _Comparison(fit, gains, best, best_fit, convincing, lacks_vectors)


def _find_sublattice(grid: PlaneGrid, best: Centring, gains: Mapping[Centring, float]) -> Centring | None:
    """Return the centring that gains most of those with some of the best one's harmonics; None if it gains little."""
    every = set(list_signature(grid, best)[0])
    inside = [each for each in gains if set(list_signature(grid, each)[0]) < every]
    second = max(inside, key=lambda each: gains[each], default=None)
    return second if second is not None and gains[second] > _NEARLY_AS_MUCH * gains[best] else None


def _lacks(fit: JointFit, best: JointFit, residual: FoldedResidual) -> bool:
    """Whether a fit lacks vectors that a better one has, so that these do not merely make up for its form factor.

    Its residual is then correlated over them; or its form factor takes up all order.
    """
    if residual.measure_at(best.harmonics) >= _CORRELATED:
        return True
    return float(np.sum(fit.alphas**2)) < _HARDLY_ORDER * float(np.sum(best.alphas**2))


def _explains(best: JointFit, other: JointFit, left: float, intensity: Array, mask: Mask) -> bool:
    """Whether a fit explains a plane, leaves nothing off its lattice, or removes most of the misfit of another one.

    Args:
        best: the fit.
        other: what it is compared with, with the same noise.
        left: strength of what the fit leaves off its lattice.
        intensity: of the plane, shape (n, m).
        mask: True where measured.
    """
    if left < _CORRELATED:
        return True
    # The estimate of the noise may hold some of what is left; counts say how much noise there should be.
    unfitted = noise_above_counts(best.variance, best.intensity, intensity, mask)
    chi_squared, before = unfitted * best.chi_squared, unfitted * other.chi_squared
    if not exceeds_noise(chi_squared, int(np.count_nonzero(mask)), DOUBTED):
        return True
    return before - chi_squared >= _MOST_OF_MISFIT * (before - 1)


def _fit_short_series(
    intensity: Array,
    mask: Mask,
    grid: PlaneGrid,
    full: JointFit,
    reference: Centring,
    others: list[Centring],
    options: FitOptions,
) -> dict[Centring, JointFit]:
    """Return fits of centrings with the same noise, with series that reach equally far.

    Args:
        intensity: of the plane, shape (n, m).
        mask: True where measured.
        grid: where the pixels lie.
        full: the fit of the reference with its full series.
        reference: what the others are compared with.
        others: other centrings; those with impossible phases are left out of the answer.
        options: further arguments of the fits.
    """

    def fit(centring: Centring, noise: Variance | None, start: JointFit | None = None) -> JointFit:
        return fit_both_factors(
            intensity,
            mask,
            grid.rows,
            grid.columns,
            list_short_series(grid, centring),
            noise=noise,
            start=start,
            most_rounds=_TRIAL_ROUNDS,
            roughly=True,
            **options,
        )

    first = fit(reference, None, full)
    found = {reference: first}
    for each in others:
        trial = fit(each, first.noise)
        if not has_impossible_phases(trial, grid):
            found[each] = trial
    return found


def _describe(chosen: Centring, found: _Comparison, alike: tuple[Centring, ...], tested: bool) -> str:
    """Return the sentence for the user."""
    undecided = f"; this layer cannot tell it from {' or '.join(alike)}" if alike else ""
    if chosen == "R":
        undecided += "; hexagonal close packing, which is no such lattice, can repeat in the same way"
    elif chosen in ("A", "B", "C"):
        undecided += "; two sites in a primitive cell can repeat in the same way on one layer"
    if chosen != "P":
        gain = found.gains[chosen]
        return f"centring {chosen} was found from the data (log evidence {gain:.0f} above P){undecided}"
    if found.best is not None and found.gains[found.best] > 0:
        but = "leaves correlations over vectors that it lacks" if found.lacks_vectors else "not convincingly"
        return (
            f"centring P is used: {found.best} explains the plane better (log evidence {found.gains[found.best]:.0f}"
            f" above P), but {but}{undecided}"
        )
    if not tested:
        return f"centring P is used: the plane cannot test another one{undecided}"
    return f"centring P is used: no other one explains the plane better{undecided}"
