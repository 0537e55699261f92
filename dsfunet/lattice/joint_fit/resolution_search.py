"""An estimate of the resolution from a plane itself, by the evidence.

A Gaussian resolution does two things. It damps far harmonics, which short-range order that fades with distance does as
well, so that this tells nothing. And it shifts the pattern of each harmonic along the slope of the form factor, which
nothing else does where the form factor is smooth. Only the second decides here: the prior is one of the damped
harmonics. With a form factor of little slope, as that of single atoms, the width stays undetermined.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from dsfunet._typing import Array, Mask
from dsfunet.lattice.joint_fit.fit import DEFAULT_KNOTS, fit_both_factors
from dsfunet.lattice.joint_fit.harmonics import Harmonics
from dsfunet.lattice.joint_fit.noise import Variance
from dsfunet.lattice.joint_fit.plane import fit_plane
from dsfunet.lattice.joint_fit.resolution import FULL_WIDTH, Resolution
from dsfunet.lattice.joint_fit.series import Blur
from dsfunet.physics.centring import Centring
from dsfunet.planes.measured import PlaneGrid

_CONVINCING = 6.0  # gain in log evidence over sharp pixels
_HOPELESS = 6.0  # loss below the best, after which wider ones are not tried
_NARROWEST, _FACTOR = 0.05, 1.4  # of the widths tried, the first as a share of the widest
_REFINEMENTS = 3
_CLOSE = 8.0  # below the largest log evidence, of the points that tell its curvature
_MOST_HARMONICS = 200
_WIDEST = 1 / FULL_WIDTH  # half maxima within one zone
# Pulls of the width over virtual crystals are this (see the tests); the evidence follows from an approximation.
_INFLATION = 1.5


@dataclass(frozen=True)
class ResolutionEstimate:
    """What a plane says on its own resolution.

    Attributes:
        resolution: with the relative uncertainty of its widths; None if the plane does not determine it.
        limits: standard deviations along both axes above which a resolution is excluded [r.l.u.].
        log_evidence_gain: gain in log evidence over sharp pixels.
        axes: labels of the axes of the plane.
        widths: standard deviations along both axes [r.l.u.], the best ones even if they are not determined.
    """

    resolution: Resolution | None
    limits: tuple[float, float]
    log_evidence_gain: float
    axes: tuple[str, str]
    widths: tuple[float, float]

    def describe(self) -> str:
        """Return a sentence for the user."""
        if self.resolution is None:
            limits = " and ".join(
                f"{width:.2g} r.l.u. along {axis}" for width, axis in zip(self.limits, self.axes, strict=True)
            )
            return (
                f"resolution: not determined by the plane (standard deviations above {limits} are excluded); pixels are"
                " taken as sharp"
            )
        share = self.resolution.uncertainty
        widths = " and ".join(
            f"{width:.3f}({width * share:.3f}) r.l.u. along {axis}"
            for width, axis in zip(self.widths, self.axes, strict=True)
        )
        return f"resolution: standard deviations of {widths}, estimated from the plane"


def estimate_resolution(
    intensity: Array,
    mask: Mask,
    grid: PlaneGrid,
    centring: Centring = "P",
    sigma: Array | None = None,
    knots: float | tuple[float, float] = DEFAULT_KNOTS,
    noise: Variance | None = None,
) -> ResolutionEstimate:
    """Estimate a Gaussian resolution from a plane: alike along both axes in r.l.u., or in all directions of Q.

    Takes about ten joint fits, twice as many where the two kinds differ.

    Args:
        intensity: measured intensities in any unit, shape (n, m); ignored where missing.
        mask: True where measured.
        grid: where the pixels lie, with the conventional cell.
        centring: of the cell.
        sigma: standard uncertainties of the intensities, shape (n, m); None estimates the noise from the plane.
        knots: spacing of the knots of F along both axes, or along each [r.l.u.].
        noise: model of the noise; None takes `sigma` or estimates it.

    Raises:
        InputError: as of `fit_plane`.
    """
    first = fit_plane(
        intensity, mask, grid, centring, sigma, knots, most_harmonics=_MOST_HARMONICS, noise=noise
    )

    def evidence(covariance: Array | None) -> float:
        blur = None if covariance is None else Blur(covariance, undone=False)
        fit = fit_both_factors(
            intensity,
            mask,
            grid.rows,
            grid.columns,
            first.harmonics,
            knots=knots,
            noise=first.noise,
            blur=blur,
        )
        return fit.log_evidence

    sharp = evidence(None)
    found: list[tuple[Resolution, _Peak]] = []
    for unit in _units(grid):
        covariance = unit.covariance(grid)
        assert covariance is not None
        widest = _widest(first.harmonics, covariance)
        found.append((unit, _find_peak(partial(_scaled, evidence, covariance), sharp, widest)))
    unit, peak = max(found, key=lambda each: each[1].gain)
    sizes = np.array(unit.widths(grid))
    best, limits = (tuple(map(float, sizes * np.sqrt(square))) for square in (peak.square, peak.limit))
    resolution = None
    if peak.gain >= _CONVINCING:
        width, share = float(np.sqrt(peak.square)), peak.error / (2 * peak.square)
        resolution = (
            Resolution((width, width), uncertainty=share)
            if unit.rlu is not None
            else Resolution(inv_angstrom=width, uncertainty=share)
        )
    return ResolutionEstimate(
        resolution, (limits[0], limits[1]), peak.gain, grid.name.labels, (best[0], best[1])
    )


def _scaled(evidence: Callable[[Array], float], covariance: Array, square: float) -> float:
    return evidence(square * covariance)


def _units(grid: PlaneGrid) -> list[Resolution]:
    """Return resolutions of width 1 that are alike along the axes in r.l.u. and, where they differ, in Q."""
    kinds = [Resolution((1.0, 1.0)), Resolution(inv_angstrom=1.0)]
    covariance = kinds[1].covariance(grid)
    assert covariance is not None
    alike = np.abs(covariance / covariance[0, 0] - np.eye(2)).max() < 0.02
    return kinds[:1] if alike else kinds


def _widest(harmonics: Harmonics, covariance: Array) -> float:
    """Return the largest width that keeps the half maxima within one zone, in units of that of the covariance."""
    return _WIDEST / float(np.sqrt(harmonics.indices[0] @ covariance @ harmonics.indices[0]))


@dataclass(frozen=True)
class _Peak:
    """The maximum of the evidence as a function of the squared width.

    Attributes:
        square: where it is, 0 or more.
        error: its standard uncertainty.
        limit: squared width beyond which the evidence is below that of two standard uncertainties.
        gain: of the log evidence over sharp pixels.
    """

    square: float
    error: float
    limit: float
    gain: float


def _find_peak(evaluate: Callable[[float], float], sharp: float, widest: float) -> _Peak:
    """Find the maximum of the log evidence, which is close to a parabola of the squared width."""
    found = {0.0: sharp}
    width = _NARROWEST * widest
    while width < widest and found[max(found)] >= max(found.values()) - _HOPELESS:
        found[width**2] = evaluate(width**2)
        width *= _FACTOR
    narrowest = _NARROWEST * widest
    while len(found) < 3 or (found[narrowest**2] < sharp - _HOPELESS and narrowest > 1e-3 * widest):
        narrowest /= 2
        found[narrowest**2] = evaluate(narrowest**2)
    for _ in range(_REFINEMENTS):
        squares, values = _sorted(found)
        start = int(np.clip(values.argmax() - 1, 0, len(values) - 3))
        near = slice(start, start + 3)
        bend, slope = _fit_parabola(squares[near], values[near])
        vertex = float(np.clip(-slope / (2 * bend), *squares[near][[0, 2]])) if bend < 0 else 0.0
        if bend >= 0 or np.abs(squares - vertex).min() < 0.05 * np.sqrt(-0.5 / bend):
            break
        found[vertex] = evaluate(vertex)
    squares, values = _sorted(found)
    best, top = float(squares[values.argmax()]), float(values.max())
    close = np.argsort(-values)[: max(int(np.count_nonzero(values > top - _CLOSE)), 3)]
    bend, _ = _fit_parabola(squares[close], values[close])
    error = _INFLATION * float(np.sqrt(-0.5 / bend)) if bend < 0 else widest**2
    beyond = np.flatnonzero((squares > best) & (values < top - 2))
    limit = widest**2
    if len(beyond):
        pair = slice(int(beyond[0]) - 1, int(beyond[0]) + 1)
        limit = float(np.interp(2 - top, -values[pair], squares[pair]))
    return _Peak(best, error, max(limit, best + 2 * error) if best else limit, top - sharp)


def _fit_parabola(squares: Array, values: Array) -> tuple[float, float]:
    """Return the coefficients of the square and of the linear term of a parabola through three or more points."""
    scale = float(np.ptp(squares))
    bend, slope, _ = np.polyfit(squares / scale, values, 2)
    return float(bend) / scale**2, float(slope) / scale


def _sorted(found: dict[float, float]) -> tuple[Array, Array]:
    squares = np.array(sorted(found))
    return squares, np.array([found[each] for each in squares])
