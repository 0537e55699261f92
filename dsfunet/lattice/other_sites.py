"""Signs that the disordered sites form no Bravais lattice, in what a joint fit leaves of a plane.

If they form one, I = F S, and correlations lie at lattice vectors only. Several sites in a primitive cell, as in
hexagonal close packing, add correlations at d + r, where r is any lattice vector and d joins two sites, or atoms on
them. I_SRO then does not repeat on the reciprocal lattice. Other reasons for a misfit are told apart: correlations over
a twin's vectors have no offset d in common; displacements, thermal scattering, Bragg peaks and background explain the
misfit better than further sites.
"""

from dataclasses import dataclass

import numpy as np

from dsfunet._typing import Array, Mask
from dsfunet.lattice.joint_fit.harmonics import period_across
from dsfunet.lattice.joint_fit.misfit import LOOKED_AT, exceeds_noise
from dsfunet.lattice.joint_fit.model import follow_blur, model_of
from dsfunet.lattice.joint_fit.noise import noise_above_counts
from dsfunet.lattice.joint_fit.result import JointFit
from dsfunet.lattice.joint_fit.score import score_terms
from dsfunet.lattice.joint_fit.series import HarmonicSeries
from dsfunet.lattice.joint_fit.threads import use_one_thread
from dsfunet.lattice.residual_fold import STRENGTH, FoldedResidual
from dsfunet.physics.centring import Centring
from dsfunet.planes.measured import PlaneGrid
from dsfunet.planes.names import PlaneName

# All limits lie between what virtual crystals with two sites reach and what other ones do, faulty or not
# (`benchmarks/centring.md`). They are ratios within one residual, so that it does not matter how much of the misfit the
# estimate of the noise takes up.
_CONTRAST = 4.0  # 8 or more at 200 counts, mostly 3 or more at 20
# Gains in log likelihood in that of two further pairs of factors F S.
_DISPLACEMENT_SHARE = 0.25  # 0.09 or less; 0.3 or more for displacements
# Few vectors may stand for the strength: of several sites, if counts are low, and of a twin. These are told apart by
# the displacements, which explain more of a twin.
_FEW_VECTORS = 0.55  # typical power, in the strength; 0.5 or less for twins
_TWIN_SHARE = 0.05  # 0.03 or less at 200 counts, mostly 0.05 or less at 20; 0.06 or more for twins
_BACKGROUND_SHARE = 0.4  # 0.34 or less; 0.5 or more for thermal scattering and backgrounds
# The strength is to outlast Bragg peaks, pixels so near to which are taken out, and they may hold this share of the
# misfit: 0.21 or less; 0.31 or more with Bragg peaks and thermal scattering.
_NODE_WIDTH, _BRAGG_SHARE = 0.1, 0.27  # [r.l.u.]

_SHORTEST_HARMONICS, _RINGS = 6, 8
_PAIRS, _FACTOR_HARMONICS, _ROUNDS = 2, 24, 5
_SURE, _LEAST_OUT_OF_PHASE = 6.0, 0.2
# Axial ratio c/a of close-packed metals, from 1.57 (beryllium) to 1.89 (cadmium); of R lattices that are close packed,
# 2.45.
_CLOSE_PACKED = 1.5, 1.95


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
        note: clause for the user; empty if there is nothing to say.
        caution: clause for the verdict on a plane that a Bravais lattice explains, but that several sites would explain
            as well; empty if there is nothing to say.
    """

    found: bool
    vectors: Array
    strength: float = 1.0
    contrast: float = 1.0
    likelihood_gain: float = 0.0
    note: str = ""
    caution: str = ""


@use_one_thread
def find_other_sites(
    fit: JointFit, intensity: Array, mask: Mask, grid: PlaneGrid, centring: Centring = "P"
) -> OtherSites:
    """Find out whether the disordered sites of a plane form no Bravais lattice.

    They do not if the residual is correlated over vectors that are no lattice vectors (`FoldedResidual`), and if
    neither Bragg peaks nor displacements, a background or a twin explain that better. At 20 counts, several sites are
    seen on a third of all planes. An R lattice gives layers at whole l phases that two sites in a cell do not have. On
    hk0 and hk3 these phases are 1, so that nothing is found, but a note says so.

    Independent sublattices with the same short-range order have a product of both factors, and are not found.

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
    caution = _CAUTION if phases == "unknown" and _may_be_close_packed(grid) else ""
    folded = FoldedResidual(fit, intensity, mask, grid)
    strength, contrast = folded.strength, folded.contrast
    gain = 0.0
    if _stands_out(folded):
        gain = _gain_of_further_factors(fit)
        terms = _known_terms(fit, grid)
        displacement, background = (score_terms(fit.solution, each).gain for each in terms)
        few = folded.typical < _FEW_VECTORS * strength
        if (
            displacement < (_TWIN_SHARE if few else _DISPLACEMENT_SHARE) * gain
            and background < _BACKGROUND_SHARE * gain
            and not _holds_bragg_peaks(fit, intensity, mask, grid)
        ):
            vectors = folded.list_vectors()
            return OtherSites(True, vectors, strength, contrast, gain, _describe(vectors, grid))
    return OtherSites(False, nothing, strength, contrast, gain, note, caution)


def _stands_out(folded: FoldedResidual) -> bool:
    """Whether a residual is correlated over some vectors off the lattice, and over these in particular."""
    return folded.strength >= STRENGTH and folded.contrast >= _CONTRAST


def _may_be_close_packed(grid: PlaneGrid) -> bool:
    """Whether a hexagonal cell has the axial ratio of close-packed layers, two of them in a cell."""
    a, _, c, *_, gamma = grid.cell.parameters
    return abs(gamma - 120) < 1 and _CLOSE_PACKED[0] <= c / a <= _CLOSE_PACKED[1]


_CAUTION = (
    "with this c/a it could as well be hexagonal close packing, with two sites in a primitive cell, which one layer"
    " like this cannot tell from an R lattice"
)

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


def _holds_bragg_peaks(fit: JointFit, intensity: Array, mask: Mask, grid: PlaneGrid) -> bool:
    """Whether the residual lies near points of the reciprocal lattice of the cell."""
    hkl = grid.hkl()
    near = (np.abs(hkl - np.round(hkl)) <= _NODE_WIDTH).all(axis=-1)
    if not _stands_out(FoldedResidual(fit, intensity, mask & ~near, grid)):
        return True
    known = np.where(mask, intensity, 0.0)
    # An estimate of the noise may hold what was not fitted; counts say how much noise there should be.
    unfitted = noise_above_counts(fit.variance, fit.intensity, known, mask)
    if not exceeds_noise(unfitted * fit.chi_squared, int(np.count_nonzero(mask)), LOOKED_AT):
        return False  # the share of nothing is not known
    excess = np.where(mask, unfitted * (known - fit.intensity) ** 2 / fit.variance - 1, 0.0)
    return float(excess[near].sum()) > _BRAGG_SHARE * float(excess.sum())


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
