"""What the fit of a volume found, evaluated block by block."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dsfunet._typing import Array
from dsfunet.lattice.volume_fit.covariance import Uncertainty
from dsfunet.lattice.volume_fit.iteration import Solution
from dsfunet.lattice.volume_fit.model import Problem, model_block
from dsfunet.lattice.volume_fit.series import CosineSeries, LatticeVectors
from dsfunet.lattice.volume_fit.splines import SplineVolume
from dsfunet.lattice.volume_fit.voxels import Float32
from dsfunet.physics import Cell
from dsfunet.physics.centring import Centring


@dataclass(frozen=True, eq=False)
class FactorBlock:
    """Both factors of a block of layers, each of shape (layers, m, o).

    Attributes:
        form_factor: F, 0 or more, in the unit of the intensity.
        short_range_order: S, 0 or more, with a mean of 1 over a zone.
        form_factor_sigma: standard uncertainty of F.
        short_range_order_sigma: standard uncertainty of S.
    """

    form_factor: Float32
    short_range_order: Float32
    form_factor_sigma: Float32
    short_range_order_sigma: Float32


@dataclass(frozen=True, eq=False)
class VolumeFit:
    """Form factor and short-range order of a volume, fitted jointly.

    Attributes:
        problem: what was fitted.
        cell: the conventional cell.
        centring: its lattice type.
        solution: where the iterations ended.
        uncertainty: of all that was found.
        linear: interpolation of the variance of u to the voxels.
    """

    problem: Problem
    cell: Cell
    centring: Centring
    solution: Solution
    uncertainty: Uncertainty
    linear: SplineVolume

    @property
    def vectors(self) -> LatticeVectors:
        """Lattice vectors of the correlations, k of them."""
        return self.problem.series.vectors

    @property
    def alphas(self) -> Array:
        """Warren-Cowley parameters of the crystal, on the scale alpha_000 = 1."""
        return self.solution.state.alphas

    @property
    def covariance(self) -> Array:
        """Covariance of the first k alphas, at most 1500, shape (k, k)."""
        return self.uncertainty.covariance

    @property
    def bias(self) -> Array:
        """Change of each alpha by the prior of the form factor, to first order, shape (k,): a systematic error."""
        return self.uncertainty.bias

    @property
    def sigmas(self) -> Array:
        """Standard uncertainties of the alphas, with the change by the prior, shape (k,)."""
        return np.sqrt(np.maximum(np.diagonal(self.covariance), 0) + self.bias**2)

    @property
    def chi_squared(self) -> float:
        """Mean of (measured - model)^2 / variance over the measured voxels."""
        return self.solution.chi_squared

    @cached_property
    def _variance_terms(self) -> CosineSeries:
        """The series of the variance of S, whose phases are computed once for all blocks."""
        return CosineSeries(self.uncertainty.order_terms, self.problem.voxels.axes)

    def evaluate(self, block: slice) -> FactorBlock:
        """Return both factors of a block of layers of constant h, with their standard uncertainties."""
        state = self.solution.state
        model = model_block(self.problem, state, block)
        spread = self.linear.evaluate(self.uncertainty.field_variance, block)
        order = self._variance_terms.evaluate(
            self.uncertainty.order_amplitudes, block, self.uncertainty.order_constant
        )
        # Where the form factor stands far above its envelope, the envelope does not tell how large it can be.
        scale = np.maximum(model.envelope, model.form_factor)
        return FactorBlock(
            np.maximum(model.form_factor, 0),
            np.maximum(model.series, 0),
            scale * np.sqrt(np.maximum(spread, 0)),
            np.sqrt(np.maximum(order, 0)),
        )
