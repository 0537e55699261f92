"""The joint fit of a measured plane: which harmonics it needs is found by the evidence."""

from collections.abc import Callable

import numpy as np

from dsfunet._typing import Array, Mask
from dsfunet.errors import InputError
from dsfunet.lattice.joint_fit.fit import DEFAULT_KNOTS, report, solve_from, solve_from_nothing
from dsfunet.lattice.joint_fit.harmonics import Harmonics, list_harmonics
from dsfunet.lattice.joint_fit.iteration import CONVINCING, Solution
from dsfunet.lattice.joint_fit.noise import Variance
from dsfunet.lattice.joint_fit.resolution import Resolution, check_resolution
from dsfunet.lattice.joint_fit.result import JointFit
from dsfunet.lattice.joint_fit.start import FitInput
from dsfunet.lattice.joint_fit.thickness import widen_errors
from dsfunet.lattice.joint_fit.threads import use_one_thread
from dsfunet.physics.centring import Centring
from dsfunet.planes.measured import PlaneGrid

HARMONICS = (100, 200, 400, 800)
"""About how many harmonics a fit takes: more as long as the longest of them are seen.

Too few do harm: the form factor then follows the sharp part of the short-range order.
"""

SHORTEST_PERIOD = 2.2
"""Shortest period of a harmonic that pixels resolve, in pixels; two in theory."""

FEWEST_ZONES = 2.0
"""Fewest zones in which I_SRO repeats that a plane must show."""


def fit_plane(
    intensity: Array,
    mask: Mask,
    grid: PlaneGrid,
    centring: Centring = "P",
    sigma: Array | None = None,
    knots: float | tuple[float, float] = DEFAULT_KNOTS,
    initial_form_factor: Array | None = None,
    prior_form_factor: Array | None = None,
    prior_weight: Array | None = None,
    most_harmonics: int = HARMONICS[-1],
    noise: Variance | None = None,
    resolution: Resolution | None = None,
    start: JointFit | None = None,
) -> JointFit:
    """Fit both factors of a plane with as many harmonics as the data settle; see `fit_both_factors`.

    Args:
        intensity: measured intensities in any unit, shape (n, m); ignored where missing.
        mask: True where measured.
        grid: where the pixels lie, with the conventional cell.
        centring: one of `dsfunet.physics.centring.CENTRINGS`.
        sigma: standard uncertainties of the intensities, shape (n, m); None estimates the noise from the plane.
        knots: spacing of the knots of F along both axes, or along each [r.l.u.].
        initial_form_factor: where to start, shape (n, m).
        prior_form_factor: prior mean of F, shape (n, m).
        prior_weight: inverse variance of its logarithm in each pixel, shape (n, m).
        most_harmonics: largest number of harmonics, about.
        noise: model of the noise; None takes `sigma` or estimates it.
        resolution: of the instrument, and thickness of the layer; None for sharp pixels of a sharp layer. Both factors
            are then those of the crystal, and what the detector sees of them is `JointFit.intensity`.
        start: another fit of the same plane and centring, with the same `knots`, to start from, which saves time. At
            least as many harmonics as it has are fitted.

    Raises:
        InputError: the pixels are coarser than half a zone or the plane shows less than two zones in which I_SRO
            repeats, the resolution is wider than a zone, or as of `list_harmonics`, `fit_both_factors` and
            `widen_errors`.

    Examples:
        >>> import numpy as np
        >>> from dsfunet.lattice.joint_fit import fit_plane
        >>> from dsfunet.physics import Cell
        >>> from dsfunet.planes.measured import PlaneGrid
        >>> from dsfunet.planes.names import parse_plane
        >>> axis = np.linspace(-3, 3, 91)
        >>> h, k = np.meshgrid(axis, axis, indexing="ij")
        >>> order = 1 - 0.4 * np.cos(np.pi * h) * np.cos(np.pi * k)
        >>> counts = np.random.default_rng(0).poisson(900 * np.exp(-(h**2 + k**2) / 9) * order).astype(float)
        >>> grid = PlaneGrid(Cell(4, 4, 4), parse_plane("hk0"), axis, axis)
        >>> fit = fit_plane(counts, np.full(h.shape, True), grid, "I")
        >>> bool(abs(fit.alphas[0] + 0.1) < 0.003)
        True
    """

    def list_up_to(radius: float) -> Harmonics:
        return resolved(list_harmonics(grid.cell, grid.name, centring, radius), grid)

    spacing = list_harmonics(grid.cell, grid.name, centring, 0.0).spacing
    first = list_up_to(spacing * _radius(HARMONICS[0]))
    check_zones(first, grid)
    if resolution is not None:
        check_resolution(resolution, first, grid)
    given = FitInput(
        intensity,
        mask,
        grid.rows,
        grid.columns,
        knots,
        sigma,
        initial_form_factor,
        prior_form_factor,
        prior_weight,
        noise,
        None if resolution is None else resolution.blur(grid),
    )
    fit = fit_settled_harmonics(
        given, list_up_to, spacing, most_harmonics, None if start is None else start.solution
    )
    return fit if resolution is None else widen_errors(fit, grid, centring, resolution)


@use_one_thread
def fit_settled_harmonics(
    given: FitInput,
    list_up_to: Callable[[float], Harmonics],
    spacing: float,
    most_harmonics: int,
    start: Solution | None = None,
) -> JointFit:
    """Fit with more and more harmonics as long as the longest of them are seen.

    Args:
        given: what is fitted.
        list_up_to: lists the harmonics up to a length.
        spacing: their spacing, in the unit of that length.
        most_harmonics: largest number of harmonics, about.
        start: another fit to start from, with as many harmonics at least; None starts from nothing with the fewest.
    """
    counts = [count for count in HARMONICS if count < most_harmonics]
    counts.append(min(most_harmonics, HARMONICS[-1]))
    solution, harmonics = start, list_up_to(spacing * _radius(counts[0]))
    while start is not None and len(counts) > 1 and harmonics.count < start.data.series.harmonics.count:
        counts = counts[1:]
        harmonics = list_up_to(spacing * _radius(counts[0]))
    for count in [*counts[1:], None]:
        longer = None if count is None else list_up_to(spacing * _radius(count))
        more = longer is not None and longer.count > harmonics.count
        if solution is None:
            solution = solve_from_nothing(given, harmonics, more)
        else:
            solution = solve_from(given, solution, harmonics, more)
        if longer is None or not more or solution.outer_evidence < CONVINCING:
            break
        harmonics = longer
    assert solution is not None
    return report(solution)


def _radius(count: int) -> float:
    """Return the radius that holds a number of harmonics, half a circle, in units of their spacing."""
    return float(np.sqrt(2 * count / np.pi))


def resolved(harmonics: Harmonics, grid: PlaneGrid) -> Harmonics:
    """Return the harmonics whose period is at least 2.2 pixels along both axes; shorter ones are aliases."""
    steps = np.abs(np.array(grid.steps))
    return harmonics.select((np.abs(harmonics.indices) * steps <= 1 / SHORTEST_PERIOD).all(axis=1))


def check_zones(harmonics: Harmonics, grid: PlaneGrid) -> None:
    """Raise an InputError if the plane shows too little of the repeat of I_SRO, or with too few pixels."""
    if not harmonics.count:
        raise InputError(
            f"plane {grid.name.title}: its pixels are {abs(grid.steps[0]):g} by {abs(grid.steps[1]):g} r.l.u.; expected"
            " more than two pixels in a zone in which short-range order repeats"
        )
    extent = np.abs(np.array(grid.steps)) * np.array(grid.shape)
    area = harmonics.spacing**2 * float(np.linalg.norm(np.cross(*grid.vectors))) / (4 * np.pi**2)
    zones = float(np.prod(extent)) * area
    if zones < FEWEST_ZONES:
        raise InputError(
            f"plane {grid.name.title}: it shows {zones:.1f} zones in which short-range order repeats; expected two or"
            " more, or another cell or centring"
        )
