"""Signs that the disordered sites form no Bravais lattice, in what a joint fit leaves of a plane.

If they form one, I = F S, and correlations lie at lattice vectors only. Several sites in a primitive cell, as in
hexagonal close packing, add correlations at d + r, where r is any lattice vector and d joins two sites, or atoms on
them. I_SRO then does not repeat on the reciprocal lattice. Other reasons for a misfit are told apart: correlations over
a twin's vectors have no offset d in common; displacements, thermal scattering, Bragg peaks and background explain the
misfit better than further sites.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from dsfunet._typing import Array, Mask
from dsfunet.lattice.joint_fit.harmonics import Harmonics, period_across
from dsfunet.lattice.joint_fit.model import follow_blur, model_of
from dsfunet.lattice.joint_fit.phases import phases_of
from dsfunet.lattice.joint_fit.plane import SHORTEST_PERIOD
from dsfunet.lattice.joint_fit.result import JointFit
from dsfunet.lattice.joint_fit.score import score_terms
from dsfunet.lattice.joint_fit.series import HarmonicSeries
from dsfunet.lattice.joint_fit.threads import use_one_thread
from dsfunet.physics.centring import Centring
from dsfunet.planes.measured import PlaneGrid
from dsfunet.planes.names import PlaneName

# All limits lie between what virtual crystals with two sites reach (`tests.virtual_faults`; 100 to 50,000 counts,
# complete and with 29 % missing) and what crystals with one site and other faults do: the first and second numbers.
MISFIT, DEVIATIONS = 0.03, 2.0
"""What chi-squared must exceed 1 by: this much, and so many standard deviations for the number of pixels."""
_STRENGTH = 3.0  # 6.6 or more; 1.3 for planes that are products
_CONTRAST = 5.0  # 7.9 or more; 3.2 or less for twins
# Where one of these two is lower, the other one is higher.
_DISPLACEMENT_SHARE = 0.1  # 0.03 or less; 0.11 or more for displacements and thermal scattering
_BACKGROUND_SHARE = 0.22  # 0.15 or less; 0.31 or more
_BRAGG_SHARE = 0.25  # 0.11 or less; 0.45 or more
_FACTORS_SHARE = 0.3  # 0.35 or more

_DIVISIONS = 24  # of each edge of the primitive cell; holds halves, thirds and quarters
_FINER = 4
# Lengths of the vectors that are looked at, in units of the spacing of the harmonics: F describes the shortest ones,
# and correlations over long ones are weak.
_SHORTEST, _LONGEST = 1.0, 5.5
_LARGEST_POWER = 30.0  # so that a few strong vectors do not stand for all cells
_NEAR = 0.25  # of the spacing: closer to a lattice vector than this is near it
_FEWEST_CELLS = 10
_MOST_VECTORS = 4
_SHORTEST_HARMONICS, _RINGS = 6, 8
_NODE_WIDTH = 0.1  # of a Bragg peak [r.l.u.]
_PAIRS, _FACTOR_HARMONICS, _ROUNDS = 2, 24, 5
_SURE, _LEAST_OUT_OF_PHASE = 6.0, 0.2


@dataclass(frozen=True, eq=False)
class OtherSites:
    """Whether a plane shows that the disordered sites form no Bravais lattice, and by what.

    Attributes:
        found: whether it does.
        vectors: the strongest vectors that join sites, or atoms on them, but are no lattice vectors, strongest first,
            along the two axes of the plane [fractions of the cell's edges], shape (k, 2). Any lattice vector may be
            added, and the opposite vectors are as good. Empty unless found.
        strength: power of the residual at the strongest of them and all lattice vectors added, in that of noise.
        contrast: the same in the power at most other vectors (their tenth percentile), 1 or more.
        likelihood_gain: log likelihood that two further pairs of factors F S gain, beyond what they gain from noise.
        share: share of the misfit beyond noise that this removes.
        note: clause for the user; empty if there is nothing to say.
    """

    found: bool
    vectors: Array
    strength: float = 1.0
    contrast: float = 1.0
    likelihood_gain: float = 0.0
    share: float = 0.0
    note: str = ""


@use_one_thread
def find_other_sites(
    fit: JointFit, intensity: Array, mask: Mask, grid: PlaneGrid, centring: Centring = "P"
) -> OtherSites:
    """Find out whether the disordered sites of a plane form no Bravais lattice.

    A plane that the fit explains shows none, except that an R lattice gives layers at whole l phases that two sites in
    a cell do not have. On hk0 and hk3 these phases are 1, so that nothing is found, but a note says so.

    Args:
        fit: the joint fit of the plane.
        intensity: measured intensities that were fitted, shape (n, m); ignored where missing.
        mask: True where measured.
        grid: where the pixels lie.
        centring: lattice type of the fit.
    """
    nothing = np.zeros((0, 2))
    phases = _compare_phases(fit, grid, centring)
    if phases == "other":
        vector = fit.harmonics.indices[fit.harmonics.with_sine[:1]]
        return OtherSites(
            True, vector, note=_describe(vector, grid) + f", with phases that no {centring} lattice has"
        )
    note = "" if phases is None else _PHASE_NOTES[phases].format(centring=centring)
    pixels = int(np.count_nonzero(mask))
    if fit.chi_squared <= 1 + MISFIT + DEVIATIONS * np.sqrt(2 / max(pixels, 1)):
        return OtherSites(False, nothing, note=note)
    basis = _primitive_basis(fit.harmonics)
    if basis is None:
        return OtherSites(False, nothing, note=note)
    folded = _Folded(intensity, mask, grid, fit, basis)
    strength, contrast = folded.strength, folded.contrast
    if strength < _STRENGTH or contrast < _CONTRAST:
        return OtherSites(False, nothing, strength, contrast, note=note)
    excess = pixels * (fit.chi_squared - 1) / 2
    gain = _gain_of_further_factors(fit)
    displacement, background = (score_terms(fit.solution, terms).gain for terms in _known_terms(fit, grid))
    found = (
        gain > _FACTORS_SHARE * excess
        and displacement < _DISPLACEMENT_SHARE * excess
        and background < _BACKGROUND_SHARE * excess
        and _share_near_nodes(fit, intensity, mask, grid) < _BRAGG_SHARE
    )
    vectors = folded.list_vectors() if found else nothing
    note = _describe(vectors, grid) if found else note
    return OtherSites(found, vectors, strength, contrast, gain, gain / excess, note)


_PHASE_NOTES = {
    "right": "",
    "unknown": (
        "this layer cannot tell an {centring} lattice from a close packing with two sites in a cell; layers at whole l"
        " that are no multiples of 3 can"
    ),
    "reverse": "the phases are those of an {centring} lattice in the reverse setting",
}


def _describe(vectors: Array, grid: PlaneGrid) -> str:
    shown = " and ".join(f"{u:.2f} {v:.2f}" for u, v in vectors[:2])
    name = grid.name
    axes = (
        " and ".join("abc"[axis] for axis in name.axes)
        if isinstance(name, PlaneName)
        else "both axes of the plane"
    )
    return (
        f"sites, or atoms on them, are correlated over vectors that are no lattice vectors (such as {shown} along"
        f" {axes}), so a primitive cell holds several disordered sites"
    )


def _compare_phases(fit: JointFit, grid: PlaneGrid, centring: Centring) -> str | None:
    """Return whether the phases of the harmonics of an R lattice are "right", "reverse", "other" or "unknown".

    None if the lattice does not settle them: lattice vectors with the same projection have different phases.
    """
    if centring != "R":
        return None
    turns = float(period_across(grid.name, centring) @ grid.name.origin)
    if abs(turns - round(turns)) > 1e-4:
        return None
    harmonics = fit.harmonics
    sines = harmonics.with_sine
    if not len(sines):
        return "unknown"
    angles = 2 * np.pi * (harmonics.vectors[sines] @ grid.name.origin)
    places = np.arange(harmonics.count, harmonics.count + len(sines))
    real, imaginary = fit.parameters[sines], fit.parameters[places]
    cov = fit.covariance
    inside = real**2 + imaginary**2
    wrong = []
    for sign in (1, -1):
        c, s = np.cos(angles), sign * np.sin(angles)
        out = imaginary * c - real * s
        variance = c**2 * cov[places, places] + s**2 * cov[sines, sines] - 2 * s * c * cov[places, sines]
        sure = float(np.max(np.abs(out) / np.sqrt(np.maximum(variance, 1e-30)))) > _SURE
        wrong.append(sure and float(np.sum(out**2)) > _LEAST_OUT_OF_PHASE * float(np.sum(inside)))
    return "right" if not wrong[0] else "other" if wrong[1] else "reverse"


def _primitive_basis(harmonics: Harmonics) -> Array | None:
    """Return the two shortest independent harmonics, which span all of them, as rows; None if all are parallel."""
    if not harmonics.count:
        return None
    first = harmonics.indices[0]
    area = np.abs(first[0] * harmonics.indices[:, 1] - first[1] * harmonics.indices[:, 0])
    if area.max() <= 1e-6:
        return None
    return np.stack([first, harmonics.indices[np.argmax(area > 1e-6)]])


class _Folded:
    """Power of the residual, |sum of F (I - F S) / V exp(-2 pi i p . q)|^2, averaged over p = d + r for each offset d.

    Args:
        intensity: measured intensities, shape (n, m).
        mask: True where measured.
        grid: where the pixels lie.
        fit: the joint fit.
        basis: basis of the lattice of harmonics, as rows.
    """

    def __init__(self, intensity: Array, mask: Mask, grid: PlaneGrid, fit: JointFit, basis: Array) -> None:
        misfit = np.where(mask, intensity, fit.intensity) - fit.intensity
        self._weighted = fit.form_factor * misfit / fit.variance
        self._grid, self._basis, self._spacing = grid, basis, fit.harmonics.spacing
        vectors = grid.name.vectors @ grid.cell.reciprocal / (2 * np.pi)
        self._metric = np.linalg.inv(vectors @ vectors.T)
        inverse = np.linalg.inv(basis @ self._metric @ basis.T)
        most = np.ceil(_LONGEST * self._spacing * np.sqrt(np.diagonal(inverse))).astype(int) + 1
        self._cells = np.stack(
            np.meshgrid(*(np.arange(-n, n + 1.0) for n in most), indexing="ij"), -1
        ).reshape(-1, 2)
        steps = np.arange(_DIVISIONS) / _DIVISIONS
        offsets = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1)
        self._noise = 1.0
        power, used = self._power(offsets)
        # The median of exponentially distributed powers is ln 2 times their mean; most vectors show noise alone.
        self._noise = max(float(np.median(power[used])) / np.log(2), 1e-300) if used.any() else 1.0
        folded = self._fold(power / self._noise, used)
        corners = np.stack(np.meshgrid([0, 1], [0, 1], indexing="ij"), axis=-1).reshape(-1, 2)
        away = self._lengths((offsets[:, :, None] - corners) @ basis).min(axis=2)
        self._off = np.where(away > _NEAR * self._spacing, folded, 0.0)
        others = self._off[self._off > 0]
        self.strength = float(self._off.max())
        self.contrast = self.strength / max(float(np.quantile(others, 0.1)), 0.5) if len(others) else 1.0

    def _lengths(self, vectors: Array) -> Array:
        return np.asarray(np.sqrt(np.einsum("...i,ij,...j->...", vectors, self._metric, vectors)))

    def _power(self, offsets: Array) -> tuple[Array, Mask]:
        """Return the power at d + r for offsets in units of the basis, and which of these vectors are of use."""
        vectors = (offsets[..., None, :] + self._cells) @ self._basis
        lengths = self._lengths(vectors)
        resolved = (np.abs(vectors) * np.abs(self._grid.steps) <= 1 / SHORTEST_PERIOD).all(axis=-1)
        used = (lengths > _SHORTEST * self._spacing) & (lengths <= _LONGEST * self._spacing) & resolved
        power = np.zeros(used.shape)
        if used.any():
            different, place = np.unique(np.round(vectors[used], 6), axis=0, return_inverse=True)
            waves = phases_of(different, self._grid.rows, self._grid.columns).transform(self._weighted)
            power[used] = np.abs(waves[place.reshape(-1)]) ** 2
        return power, used

    def _fold(self, power: Array, used: Mask) -> Array:
        count = np.count_nonzero(used, axis=-1)
        total = np.minimum(power, _LARGEST_POWER).sum(axis=-1)
        return np.where(count >= _FEWEST_CELLS, total / np.maximum(count, 1), 0.0)

    def list_vectors(self) -> Array:
        """Return the offsets with the highest peaks, one of each pair d and -d, shape (k, 2)."""
        highest = (self._off == ndimage.maximum_filter(self._off, 5, mode="wrap")) & (self._off >= _STRENGTH)
        rows, columns = np.nonzero(highest)
        chosen: list[tuple[int, int]] = []
        for place in np.argsort(-self._off[rows, columns], kind="stable"):
            here = int(rows[place]), int(columns[place])
            opposite = (-here[0] % _DIVISIONS, -here[1] % _DIVISIONS)
            if opposite not in chosen and len(chosen) < _MOST_VECTORS:
                chosen.append(here)
        steps = np.arange(-_FINER, _FINER + 1) / (_FINER * _DIVISIONS)
        finer = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
        found = []
        for here in chosen:
            offsets = np.array(here) / _DIVISIONS + finer
            power, used = self._power(offsets)
            found.append(offsets[np.argmax((power * used).sum(axis=-1) / np.maximum(used.sum(axis=-1), 1))])
        return np.array(found).reshape(-1, 2) @ self._basis


def _known_terms(fit: JointFit, grid: PlaneGrid) -> tuple[Array, Array]:
    """Return the terms of displacements and thermal scattering, and those of a background that depends on |Q| alone."""
    rows, columns = grid.rows[:, None], grid.columns[None, :]
    u, v = rows / np.abs(rows).max(), columns / np.abs(columns).max()
    terms = []
    for first, second in fit.harmonics.indices[:_SHORTEST_HARMONICS]:
        angle = 2 * np.pi * (first * rows + second * columns)
        sine, cosine = fit.form_factor * np.sin(angle), fit.form_factor * np.cos(angle)
        terms += [sine * u, sine * v, cosine * u**2, cosine * u * v, cosine * v**2]
    radius = np.linalg.norm(grid.hkl() @ grid.cell.reciprocal, axis=-1)
    knots = np.linspace(float(radius.min()), float(radius.max()), _RINGS)
    rings = np.maximum(0.0, 1 - np.abs(radius - knots[:-1, None, None]) / (knots[1] - knots[0]))
    return np.stack(terms), rings


def _share_near_nodes(fit: JointFit, intensity: Array, mask: Mask, grid: PlaneGrid) -> float:
    """Return the share of the misfit beyond noise near points of the reciprocal lattice of the cell."""
    excess = np.where(mask, (np.where(mask, intensity, 0.0) - fit.intensity) ** 2 / fit.variance - 1, 0.0)
    hkl = grid.hkl()
    near = (np.abs(hkl - np.round(hkl)) <= _NODE_WIDTH).all(axis=-1)
    return float(excess[near].sum()) / max(float(excess.sum()), 1e-300)


def _gain_of_further_factors(fit: JointFit) -> float:
    """Return the log likelihood that two further products G s gain, less what they gain from noise.

    The intensity of several sites is a sum of products of a smooth function G, of any sign, and a function s with the
    repeat of the lattice: cos 2 pi d . q of a cross term is smooth. Each product is fitted to what is left by turns.
    """
    data, state = follow_blur(fit.solution.data, fit.solution.state), fit.solution.state
    model, surface = model_of(data, state), data.surface
    envelope = model.slope
    precision = np.where(model.used, 1 / model.variance, 0.0)
    left = np.where(model.used, data.intensity - model.intensity, 0.0)
    harmonics = fit.harmonics.select(np.arange(fit.harmonics.count) < _FACTOR_HARMONICS)
    series = HarmonicSeries(harmonics, data.series.rows, data.series.columns)
    before = float(np.sum(precision * left**2))
    random = np.random.default_rng(0)
    for _ in range(_PAIRS):
        order = series.evaluate_terms(series.coefficients(random.normal(size=series.count)))
        for _ in range(_ROUNDS):
            slope = envelope * order
            bands = surface.normal_matrix(precision * slope**2) + sum(surface.roughness_bands)
            bands[0, 0] += 1e-4 * bands[0, 0].max() + 1e-9
            solution = surface.factorise(bands).solve(
                surface.pad(np.asarray(surface.project(precision * slope * left)))
            )
            factor = envelope * surface.evaluate(surface.unpad(solution))
            order = _fit_order(series, precision * factor**2, precision * factor * left)
        left = left - factor * order
    parameters = _PAIRS * (surface.shape[0] * surface.shape[1] + series.count)
    return (before - float(np.sum(precision * left**2)) - parameters) / 2


def _fit_order(series: HarmonicSeries, weights: Array, pull: Array) -> Array:
    """Return a constant plus harmonics of a weighted fit, shape (n, m).

    Args:
        series: the harmonics.
        weights: weights, shape (n, m).
        pull: weights times what is fitted.
    """
    with_constant = series.gradient(weights)
    matrix = np.block(
        [
            [np.array([[weights.sum()]]), with_constant[None]],
            [with_constant[:, None], series.normal_matrix(weights)],
        ]
    )
    matrix[np.diag_indices_from(matrix)] += 1e-6 * np.trace(matrix) / len(matrix) + 1e-30
    values = np.linalg.solve(matrix, np.concatenate([[pull.sum()], series.gradient(pull)]))
    return np.asarray(values[0] + series.evaluate_terms(series.coefficients(values[1:])))
