"""The joint fit of a measured plane: which harmonics it needs is found by the evidence."""

import numpy as np

from dsfunet._typing import Array, Mask
from dsfunet.errors import InputError
from dsfunet.lattice.joint_fit.fit import DEFAULT_KNOTS, fit_both_factors
from dsfunet.lattice.joint_fit.harmonics import Harmonics, list_harmonics
from dsfunet.lattice.joint_fit.noise import Variance
from dsfunet.lattice.joint_fit.resolution import Resolution, check_resolution
from dsfunet.lattice.joint_fit.result import JointFit
from dsfunet.lattice.joint_fit.thickness import widen_errors
from dsfunet.physics.centring import Centring
from dsfunet.planes.measured import PlaneGrid

HARMONICS = (100, 200, 400, 800)
"""About how many harmonics a fit takes: more as long as the longest of them are seen.

Too few do harm: the form factor then follows the sharp part of the short-range order.
"""

# Gain in log evidence of the outer harmonics that calls for longer ones.
_CONVINCING = 3.0
# Shortest period of a harmonic that pixels resolve, in pixels; two in theory.
_SHORTEST_PERIOD = 2.2
_FEWEST_ZONES = 2.0


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
    spacing = list_harmonics(grid.cell, grid.name, centring, 0.0).spacing
    fit = None
    for count in HARMONICS:
        if fit is not None and (count > most_harmonics or fit.outer_evidence < _CONVINCING):
            break
        radius = spacing * float(np.sqrt(2 * min(count, most_harmonics) / np.pi))
        harmonics = resolved(list_harmonics(grid.cell, grid.name, centring, radius), grid)
        _check_zones(harmonics, grid)
        if resolution is not None:
            check_resolution(resolution, harmonics, grid)
        if fit is not None and harmonics.count == fit.harmonics.count:
            break
        fit = fit_both_factors(
            intensity,
            mask,
            grid.rows,
            grid.columns,
            harmonics,
            sigma=sigma,
            knots=knots,
            initial_form_factor=initial_form_factor,
            prior_form_factor=prior_form_factor,
            prior_weight=prior_weight,
            noise=noise,
            blur=None if resolution is None else resolution.blur(grid),
        )
    assert fit is not None
    return fit if resolution is None else widen_errors(fit, grid, centring, resolution)


def resolved(harmonics: Harmonics, grid: PlaneGrid) -> Harmonics:
    """Return the harmonics whose period is at least 2.2 pixels along both axes; shorter ones are aliases."""
    steps = np.abs(np.array(grid.steps))
    return harmonics.select((np.abs(harmonics.indices) * steps <= 1 / _SHORTEST_PERIOD).all(axis=1))


def _check_zones(harmonics: Harmonics, grid: PlaneGrid) -> None:
    """Raise an InputError if the plane shows too little of the repeat of I_SRO, or with too few pixels."""
    if not harmonics.count:
        raise InputError(
            f"plane {grid.name.title}: its pixels are {abs(grid.steps[0]):g} by {abs(grid.steps[1]):g} r.l.u.; expected"
            " more than two pixels in a zone in which short-range order repeats"
        )
    extent = np.abs(np.array(grid.steps)) * np.array(grid.shape)
    area = harmonics.spacing**2 * float(np.linalg.norm(np.cross(*grid.vectors))) / (4 * np.pi**2)
    zones = float(np.prod(extent)) * area
    if zones < _FEWEST_ZONES:
        raise InputError(
            f"plane {grid.name.title}: it shows {zones:.1f} zones in which short-range order repeats; expected two or"
            " more, or another cell or centring"
        )
