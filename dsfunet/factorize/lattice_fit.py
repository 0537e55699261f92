"""Both components of a plane from its own data on the lattice, with the networks where data are missing.

The joint fit of `dsfunet.lattice.joint_fit` works on the user's own pixels. It settles I_SRO everywhere, because that
repeats, and I_FF where there are data. Given this I_SRO, the form-factor network predicts I_FF on the whole plane, and
both form factors are combined by their uncertainties.
"""

from dataclasses import dataclass

import numpy as np

from dsfunet._typing import Array, Float32, Mask
from dsfunet.errors import InputError
from dsfunet.lattice.form_factors import FormFactor, combine_form_factors, combine_friedel_mates
from dsfunet.lattice.joint_fit import JointFit
from dsfunet.physics.product import Product
from dsfunet.planes.measured import PlaneGrid

_LARGEST_SIGMA = 0.05
"""Uncertainty of an extrapolated form factor, as a share of the largest one, above which there is no answer."""

_GOOD_CHI_SQUARED = 1.1
"""A fit that leaves no more than this is accepted whatever the networks leave."""


@dataclass(frozen=True, eq=False)
class LatticeFit:
    """Both components of a plane on its lattice, on the user's own grid; all arrays have shape (n, m).

    Attributes:
        fit: the joint fit.
        form_factor: I_FF, normalised to [0, 1]; NaN far from all data where the networks have no answer either.
        short_range_order: I_SRO, normalised to [0, 1].
        sigma_form_factor: standard uncertainty of the normalised I_FF.
        sigma_short_range_order: standard uncertainty of the normalised I_SRO.
        product: I_FF x I_SRO in the unit of the plane, with the scale and floors of the normalised components.
        chi_squared: mean of (measured - product)^2 / variance over the measured pixels.
        chi_squared_of_networks: the same for the components of the networks alone; NaN if they have none.
    """

    fit: JointFit
    form_factor: Array
    short_range_order: Array
    sigma_form_factor: Array
    sigma_short_range_order: Array
    product: Product
    chi_squared: float
    chi_squared_of_networks: float

    @property
    def explains(self) -> bool:
        """Whether it leaves no more of the plane than noise does, or than the networks do."""
        best = self.chi_squared_of_networks
        return bool(np.isnan(best) or self.chi_squared <= max(_GOOD_CHI_SQUARED, best))


def combine_with_networks(
    fit: JointFit,
    intensity: Array,
    mask: Mask,
    grid: PlaneGrid,
    networks: tuple[Float32, Float32 | None],
    product_of_networks: Array,
    repeats: float = 1.0,
) -> LatticeFit:
    """Combine a joint fit with the form factor of the networks.

    Args:
        fit: of the plane.
        intensity: of the plane; ignored where missing.
        mask: True where measured.
        grid: of the plane.
        networks: the networks' I_FF given this fit's I_SRO, NaN where they have none, and its uncertainty.
        product_of_networks: product of both components of the networks alone in the unit of the plane, NaN where they
            have none.
        repeats: how often each datum occurs in the plane, above 1 after it was averaged over its symmetry.
    """
    order, order_sigma = fit.short_range_order, fit.short_range_order_sigma * np.sqrt(repeats)
    own = FormFactor(fit.form_factor, np.maximum(fit.form_factor_sigma, 1e-9 * fit.form_factor.max()))
    # After averaging over the symmetry, mates hold the same data.
    own = own if repeats > 1 else combine_friedel_mates(own, grid)
    values, sigma = networks
    unknown = np.full(mask.shape, np.nan)
    predicted = FormFactor(values.astype(np.float64), unknown if sigma is None else sigma.astype(np.float64))
    combined = combine_form_factors(own, predicted, mask)
    # With a resolution, what the detector sees is not the product of both factors.
    seen = np.divide(fit.intensity, fit.form_factor, out=order.copy(), where=fit.form_factor > 0)
    product = combined.values * seen
    # Far from all data, and where the networks have no answer either, the fit only extrapolates.
    brightest = float(combined.values[mask].max())
    reliable = mask | np.isfinite(predicted.values) | (combined.sigma < _LARGEST_SIGMA * brightest)
    product = np.where(reliable, product, np.nan)
    low, high = float(combined.values[reliable].min()), float(combined.values[reliable].max())
    least, most = float(order.min()), float(order.max())
    if not (high > low and most > least):
        raise InputError(
            "plane: form factor or short-range order is the same in every pixel; expected both to vary"
        )
    width, depth = high - low, most - least
    compared = mask & np.isfinite(product_of_networks)
    return LatticeFit(
        fit=fit,
        form_factor=np.where(reliable, (combined.values - low) / width, np.nan),
        short_range_order=(order - least) / depth,
        sigma_form_factor=np.where(reliable, combined.sigma / width, np.nan),
        sigma_short_range_order=order_sigma / depth,
        product=Product(product, width * depth, low / width, least / depth),
        chi_squared=_chi_squared(intensity, product, fit.variance, mask),
        chi_squared_of_networks=_chi_squared(intensity, product_of_networks, fit.variance, compared),
    )


def _chi_squared(intensity: Array, expected: Array, variance: Array, mask: Mask) -> float:
    if not mask.any():
        return float("nan")
    return float(np.mean((intensity - expected)[mask] ** 2 / variance[mask]))
