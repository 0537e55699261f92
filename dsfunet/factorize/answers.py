"""A plane that is ready to be factorised, and its answer on the user's own grid."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from dsfunet._typing import Array, Float32, Mask
from dsfunet.factorize.components import Components
from dsfunet.physics import Plane
from dsfunet.physics.product import Product, fit_product
from dsfunet.planes.measured import MeasuredPlane
from dsfunet.planes.resampling import to_network_grid, to_user_grid
from dsfunet.verdict.judge import Verdict


@dataclass(frozen=True, eq=False)
class CleanPlane:
    """A plane that is ready to be factorised.

    Attributes:
        measured: The plane after its clean-up.
        mask: True where it was measured, shape (n, m).
        shown: The plane on the networks' grid, NaN where missing, (256, 256).
        square: Where the networks' grid lies; None for a plane without axes.
        whole: Whether all of a wide plane is on the networks' grid.
        repeats: How often each datum occurs in the plane: above 1 after it was averaged over its symmetry.
    """

    measured: MeasuredPlane
    mask: Mask
    shown: Array
    square: Plane | None
    whole: bool = False
    repeats: float = 1.0

    def to_own_grid(self, values: npt.NDArray[np.floating[Any]]) -> Float32:
        """Bring values (256, 256) from the networks' grid to the plane's own, NaN where that grid does not reach."""
        return to_user_grid(values, self.square, self.measured.grid).astype(np.float32)

    def all_to_own_grid(self, values: Mapping[str, npt.NDArray[np.floating[Any]]]) -> dict[str, Float32]:
        """Bring several planes (256, 256), by name, to the plane's own grid; uncertainties stay 0 or more."""
        # The first plane is done by itself: it fills the cache of what all planes on this grid share. The others are
        # done in parallel, since scipy's splines release Python's lock.
        (first, plane), *others = values.items()
        planes = {first: self.to_own_grid(plane)}
        with ThreadPoolExecutor(torch.get_num_threads()) as threads:
            brought = threads.map(self.to_own_grid, [each for _, each in others])
            planes |= dict(zip([name for name, _ in others], brought, strict=True))
        return {
            name: np.maximum(each, 0) if name.startswith("sigma") else each for name, each in planes.items()
        }

    def to_networks(self, values: Array) -> Float32:
        """Bring values (n, m), 0 or more, from the plane's own grid to the networks', NaN beyond the plane."""
        shown, _ = to_network_grid(MeasuredPlane(values, self.measured.grid), self.whole)
        return shown.astype(np.float32)

    def fit_product(self, form_factor: Float32, short_range_order: Float32) -> Product:
        """Fit the product of two components on the plane's own grid to the plane (`fit_product`)."""
        # A plane that is wider than the networks' square has no components far from its centre.
        known = self.mask & np.isfinite(form_factor) & np.isfinite(short_range_order)
        first, second = form_factor.astype(np.float64), short_range_order.astype(np.float64)
        return fit_product(self.measured.intensity, first, second, known)


@dataclass(frozen=True, eq=False)
class Answer:
    """Both components of a plane on its own grid, and what is known about them; planes have shape (n, m).

    Attributes:
        planes: Components, their uncertainties and the other answer, by their names in a result.
        product: I_FF x I_SRO with their scale and floors, in the unit of the plane.
        verdict: Whether the components explain the plane.
        lattice_use: Whether the lattice was used, and how far the two answers differ, in words.
        lattice: The same in numbers and words, for the record.
        uncertainty: What the uncertainties are, in words.
        notes: Warnings, a sentence each.
    """

    planes: Mapping[str, Float32]
    product: Product
    verdict: Verdict
    lattice_use: str
    lattice: Mapping[str, Any]
    uncertainty: str
    notes: tuple[str, ...] = ()


def name_sigmas(components: Components) -> dict[str, Float32]:
    """Return the uncertainties of components by their names in a result; empty if there are none."""
    if components.sigmas is None:
        return {}
    return {
        "sigma_form_factor": components.sigmas[0],
        "sigma_short_range_order": components.sigmas[1],
    }
