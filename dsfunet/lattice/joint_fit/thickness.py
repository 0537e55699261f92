"""What the thickness of a layer does to its correlations, and how uncertain that leaves them.

Averaging over a range t of the third index multiplies the term of each lattice vector r by sin(pi t r_3) / (pi t r_3),
so that the harmonic c_p becomes <c_p> / <c_0>. One layer does not show how a harmonic is divided between the vectors
with the projection p, and it may grow or shrink. Its value therefore stays, and its uncertainty grows by what is
expected of alphas that are independent and whose variance decays with length as that of the harmonics does.
"""

from dataclasses import dataclass, replace

import numpy as np

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.lattice.joint_fit.evidence import Prior
from dsfunet.lattice.joint_fit.harmonics import Harmonics, period_across
from dsfunet.lattice.joint_fit.resolution import Resolution
from dsfunet.lattice.joint_fit.result import JointFit
from dsfunet.lattice.joint_fit.series import HarmonicSeries
from dsfunet.physics.centring import Centring
from dsfunet.planes.measured import PlaneGrid

_REACH = 6.0  # of vectors across the layer, in decay lengths and in periods
_MOST_PERIODS = 60


def widen_errors(fit: JointFit, grid: PlaneGrid, centring: Centring, resolution: Resolution) -> JointFit:
    """Return a fit whose uncertainties allow for the thickness of the layer and for uncertain widths.

    Args:
        fit: of the plane.
        grid: where its pixels lie.
        centring: of the cell.
        resolution: with the thickness, and the resolution across the layer if it is given in 1/Angstrom.

    Raises:
        InputError: a thickness is given and the plane does not run along two axes of the cell, or the layer is as thick
            as the repeat of I_SRO along the third index.
    """
    series = HarmonicSeries(fit.harmonics, grid.rows, grid.columns, resolution.blur(grid))
    # c_p exp(-2 pi^2 p . C p) is what was measured: an error of all widths by a share e is one of c_p by this times e.
    changes = 2 * np.pi * np.sum(fit.harmonics.indices * series.shifts, axis=1)
    changes = np.concatenate([changes, changes[fit.harmonics.with_sine]]) * fit.parameters
    extra = resolution.uncertainty**2 * np.outer(changes, changes)
    if resolution.thickness or resolution.inv_angstrom:
        extra += expect_changes(fit.harmonics, fit.parameters, fit.prior, grid, centring, resolution)
    if not extra.any():
        return fit
    return replace(fit, covariance=fit.covariance + extra)


def expect_changes(
    harmonics: Harmonics,
    parameters: Array,
    prior: Prior,
    grid: PlaneGrid,
    centring: Centring,
    resolution: Resolution,
) -> Array:
    """Return the expected products of the changes of the parameters by the thickness, shape (parameters, parameters).

    Args:
        harmonics: the k harmonics of the layer.
        parameters: their real parts, then the imaginary parts that are not known to be 0.
        prior: with the variance of a harmonic and the length over which it decays.
        grid: where the pixels lie.
        centring: of the cell.
        resolution: with the thickness.

    Raises:
        InputError: as of `widen_errors`.
    """
    across = _Across.of(grid, centring, resolution, prior.decay)
    if not harmonics.count:
        return np.zeros((0, 0))
    _check_thickness(resolution.thickness, harmonics, across)
    factors, weights = across.of_vectors(harmonics.vectors, harmonics.lengths)
    totals = weights.sum(axis=1)
    kept = (weights * factors).sum(axis=1) / totals
    spread = np.maximum((weights * factors**2).sum(axis=1) / totals - kept**2, 0)
    # What all vectors of a harmonic lose on average, c_0 loses too in crystals that were tried (see the tests), with
    # either sign; what differs between them is left.
    variances = prior.variances(harmonics.lengths, harmonics.count) * spread
    own = np.concatenate([variances, variances[harmonics.with_sine]])
    # c_0 = 1 + 2 sum of alpha cos over vectors straight across; its change is common to all harmonics.
    factors, weights = across.of_vectors(np.zeros((1, 3)), np.zeros(1))
    lost = (
        2 * (1 - factors[0]) * np.cos(2 * np.pi * across.periods[:, None] * across.period @ grid.name.origin)
    )
    alpha_variances = prior.amplitude * np.exp(-harmonics.lengths[0] / prior.decay) / totals[0] * weights[0]
    common = float(np.sum((lost**2 * alpha_variances)[across.periods > 0]))
    return np.diag(own) + common * np.outer(parameters, parameters)


@dataclass(frozen=True, eq=False)
class _Across:
    """Vectors across a layer.

    Attributes:
        grid: where the pixels lie.
        resolution: with the thickness.
        third: number of the third index; None if the plane does not run along two axes of the cell.
        period: shortest lattice vector perpendicular to the plane.
        periods: numbers of periods that are added to a vector.
        decay: length over which the variance of alpha falls to 1/e [Angstrom].
    """

    grid: PlaneGrid
    resolution: Resolution
    third: int | None
    period: Array
    periods: Array
    decay: float

    @classmethod
    def of(cls, grid: PlaneGrid, centring: Centring, resolution: Resolution, decay: float) -> "_Across":
        period = period_across(grid.name, centring)
        step = float(np.linalg.norm(period @ grid.cell.direct))
        reach = min(int(np.ceil(_REACH * max(decay / step, 1))), _MOST_PERIODS)
        third = grid.name.layer.fixed_axis if resolution.thickness else None
        return cls(grid, resolution, third, period, np.arange(-reach, reach + 1.0), decay)

    def of_vectors(self, vectors: Array, lengths: Array) -> tuple[Array, Array]:
        """Return what thickness and resolution leave of vectors, and prior weights, shape (k, periods) each.

        Args:
            vectors: one with each projection, shape (k, 3).
            lengths: of their projections [Angstrom], shape (k,).
        """
        all_vectors = vectors[:, None] + self.periods[:, None] * self.period
        squares = np.sum((all_vectors @ self.grid.cell.direct) ** 2, axis=2)
        blur = (self.resolution.inv_angstrom or 0.0) ** 2
        factors = np.exp(-0.5 * blur * np.maximum(squares - lengths[:, None] ** 2, 0))
        if self.third is not None:
            factors *= np.sinc(self.resolution.thickness * all_vectors[:, :, self.third])
        return factors, np.exp(-np.sqrt(squares) / self.decay)


def _check_thickness(thickness: float, harmonics: Harmonics, across: _Across) -> None:
    """Raise an InputError if a layer is as thick as the repeat of I_SRO along the third index."""
    if across.third is None:
        return
    indices = np.abs(np.append(harmonics.vectors[:, across.third], across.period[across.third]))
    repeat = 1 / float(indices[indices > 1e-6].min())
    if thickness >= repeat:
        raise InputError(
            f"thickness: found {thickness:g} r.l.u. on plane {across.grid.name.title}; expected less than {repeat:g},"
            " the repeat of short-range order along the third index"
        )
