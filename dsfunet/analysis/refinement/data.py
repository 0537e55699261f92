"""What of a result a refinement is made to: which pixels count, with what weight, and the floor under I_SRO.

A result holds I_SRO normalised to [0, 1], its minimum taken away. `dsfunet.physics.product.fit_product` fits that
back as the
floor g in I = s (F + f) (S + g), and S + g = s' (1 + sum alpha cos) is what is refined: an error dg shifts the constant
term, and so all alphas by one and the same factor.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array
from dsfunet.analysis.refinement.least_squares import check_rank, fit
from dsfunet.analysis.refinement.zones import Zones
from dsfunet.errors import InputError
from dsfunet.io import PlaneGrid, Result
from dsfunet.physics.product import fit_product

FitTo = Literal["measured", "short-range-order"]
ErrorsFrom = Literal["zones", "pixels"]

# On 60 simulated crystals (found - true) / s.u. had a standard deviation of 3.5, and of 1.4 with the networks' own form
# factor, which took no share of the residuals to itself; the errors themselves were the same.
_CORRECTED = (
    "lattice mode corrected the form factor by the plane itself, which leaves residuals, and so uncertainties,"
    " two to four times too small; a result of `dsfunet factorize --lattice false` has honest ones"
)


@dataclass(frozen=True, eq=False)
class PlaneData:
    """What of one plane is fitted.

    Attributes:
        grid: where the pixels lie.
        zones: of the same grid.
        values: I_SRO with its floor, in any unit, shape (n, m); NaN where there is none.
        weights: shape (n, m), 0 where a pixel does not count.
        inverse_variances: whether the weights are 1 / sigma^2.
        floor: what was put back under the normalised I_SRO, in its units.
        floor_influence: what each window of the zones adds to the error of the floor, shape (groups,) with its variance
            the sum of squares (with errors from pixels: independent contributions of any number); None when the
            floor counts as exact.
        notes: sentences about what had to be assumed.
    """

    grid: PlaneGrid
    zones: Zones
    values: Array
    weights: Array
    inverse_variances: bool = False
    floor: float = 0.0
    floor_influence: Array | None = None
    notes: tuple[str, ...] = ()

    @property
    def used(self) -> npt.NDArray[np.bool_]:
        """Which pixels count, shape (n, m)."""
        counts: npt.NDArray[np.bool_] = self.weights > 0
        return counts

    @property
    def groups(self) -> int:
        """Number of groups of equivalent zones with a pixel that counts."""
        return len(np.unique(self.zones.group[self.used]))

    @property
    def floor_uncertainty(self) -> float:
        """Standard uncertainty of the floor."""
        return 0.0 if self.floor_influence is None else float(np.linalg.norm(self.floor_influence))


def prepare_data(
    result: Result,
    grid: PlaneGrid,
    zones: Zones,
    exclude_below: float = 0.05,
    fit_to: FitTo = "measured",
    floor: float | None = None,
    errors_from: ErrorsFrom = "zones",
    known_form_factor: Array | None = None,
) -> PlaneData:
    """Values and weights of a result for `refinement.refine`.

    Args:
        result: of a factorisation.
        grid: of its pixels, with the cell to refine on.
        zones: of the grid.
        exclude_below: share of the largest value below which pixels do not count, in [0, 1): of the form factor for
            measured, of the intensity for short-range-order.
        fit_to: measured takes I / (s (F + f)) weighted by (F + f)^2, which is a fit to I itself; short-range-order
            takes the normalised I_SRO, weighted by its uncertainties where the result has them and else evenly,
            with its floor put back.
        floor: of I_SRO, taken for exact; by default the recorded one, with its uncertainty.
        errors_from: as in `refinement.refine`.
        known_form_factor: I_FF in any unit, shape (n, m), in place of the result's; measured is then fitted by it.

    Raises:
        InputError: a setting is out of its range, nothing was measured, or I_SRO does not vary.
    """
    measured = _measured(result, exclude_below)
    intensity, periodic = result.input.astype(np.float64), result.short_range_order.astype(np.float64)
    notes: tuple[str, ...] = ()
    recorded = {
        name: float(result.process[name])
        for name in ("scale", "form_factor_floor", "short_range_order_floor")
        if name in result.process
    }
    if len(recorded) < 3:
        notes = ("the file does not record scale and floors: fitted here from its planes",)
        product = fit_product(intensity, result.form_factor.astype(np.float64), periodic, result.mask)
        recorded = {
            "scale": product.scale,
            "form_factor_floor": product.form_factor_floor,
            "short_range_order_floor": product.short_range_order_floor,
        }
    form_factor = result.form_factor.astype(np.float64) + recorded["form_factor_floor"]
    if known_form_factor is not None:
        if fit_to != "measured":
            raise InputError("a model's form factor goes with --fit-to measured: expected one or the other")
        form_factor, recorded["scale"], notes = known_form_factor, 1.0, ()
    elif fit_to == "measured" and result.form_factor_of_networks is not None:
        # Lattice mode corrected the form factor by the plane itself, which takes a share of the residuals away.
        alone = result.form_factor_of_networks.astype(np.float64)
        product = fit_product(intensity, alone, periodic, result.mask)
        form_factor, recorded["scale"] = alone + product.form_factor_floor, product.scale
    if fit_to == "measured":
        if floor is not None:
            raise InputError(
                "a floor of I_SRO goes with --fit-to short-range-order: expected one or the other"
            )
        # What is dark in I is so for its I_SRO or its noise: to leave that out would leave out low values of what is
        # fitted. Where the form factor is dark nothing is to be seen, whatever I_SRO.
        used = measured & np.isfinite(form_factor) & (form_factor > 0)
        if not used.any():
            raise InputError("the form factor is 0 where anything was measured: expected one above 0")
        used &= form_factor >= exclude_below * form_factor[used].max()
        # I = s (F + f) I_SRO: dividing by the form factor and weighting by its square is a fit to I itself.
        envelope = recorded["scale"] * np.where(used, form_factor, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.where(envelope > 0, intensity / envelope, np.nan)
        weights = (envelope / max(float(envelope.max()), 1e-300)) ** 2
        corrected = str(result.process.get("lattice_mode", "")).startswith("used")
        if corrected and result.form_factor_of_networks is None and known_form_factor is None:
            notes += (_CORRECTED,)
        return PlaneData(grid, zones, values, weights, notes=notes)
    used = measured & (result.input >= exclude_below * result.input[measured].max())
    sigma = result.sigma_short_range_order
    if sigma is None:
        weights = used.astype(np.float64)
    else:
        known = used & np.isfinite(sigma) & (sigma > 0)
        weights = np.zeros(used.shape)
        weights[known] = 1 / sigma[known].astype(np.float64) ** 2
    influence = None
    if floor is None:
        floor = recorded["short_range_order_floor"]
        influence = _floor_influence(result, form_factor, zones, errors_from)
    elif not 0 <= floor < np.inf:
        raise InputError(f"floor {floor:g}: expected zero or a positive number, in units of I_SRO")
    return PlaneData(
        grid, zones, periodic + floor, weights, sigma is not None, float(floor), influence, notes
    )


def _measured(result: Result, exclude_below: float) -> npt.NDArray[np.bool_]:
    """Pixels that were measured and have an I_SRO, which varies."""
    if not 0 <= exclude_below < 1:
        raise InputError(
            f"exclude_below {exclude_below:g}: expected a share of the brightest pixel, 0 or more and below 1"
        )
    used: npt.NDArray[np.bool_] = (
        result.mask & np.isfinite(result.input) & np.isfinite(result.short_range_order)
    )
    if not used.any() or not result.input[used].max() > 0:
        raise InputError("no pixel was measured above 0: expected a plane with some intensity")
    if np.ptp(result.short_range_order[used]) == 0:
        raise InputError(
            f"I_SRO is {result.short_range_order[used][0]:g} in every pixel that counts: expected one that varies"
        )
    return used


def _floor_influence(result: Result, form_factor: Array, zones: Zones, errors_from: ErrorsFrom) -> Array:
    """Error of the floor g in I = s (F + f) (S + g), from the same zones: linear in s and s g."""
    used = result.mask & np.isfinite(result.input) & np.isfinite(result.short_range_order)
    used &= np.isfinite(form_factor)
    smooth = form_factor[used]
    design = np.column_stack([smooth * result.short_range_order[used], smooth])
    windows = zones.windows[:, np.flatnonzero(used)] if errors_from == "zones" else None
    intensity = result.input[used].astype(np.float64)
    check_rank(design, np.ones(len(smooth)), ("I_SRO", "its floor"))
    found = fit(design, intensity / intensity.max(), np.ones(len(smooth)), windows)
    scale, scaled_floor = found.coefficients
    influence: Array = (found.influence[:, 1] - scaled_floor / scale * found.influence[:, 0]) / scale
    return influence
