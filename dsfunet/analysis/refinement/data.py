"""The data of a refinement: which pixels of a result count, with what weight, and the floor under I_SRO.

A result holds I_SRO normalised to [0, 1], with its minimum subtracted. `dsfunet.physics.product.fit_product` recovers
that minimum as the floor g in I = s (F + f) (S + g). The refinement is to S + g = s' (1 + sum alpha cos), equation (3)
with a scale s'. An error dg shifts the constant term, and so multiplies all alphas by one common factor.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array
from dsfunet.analysis.answers import list_answers
from dsfunet.analysis.refinement.least_squares import check_rank, fit
from dsfunet.analysis.refinement.zones import Zones
from dsfunet.errors import InputError
from dsfunet.physics.product import fit_product
from dsfunet.planes.measured import PlaneGrid
from dsfunet.planes.result import Result

FitTo = Literal["measured", "short-range-order"]
"""What is fitted: the measured intensity, or I_SRO as the result holds it."""

ErrorsFrom = Literal["zones", "pixels"]
"""Where uncertainties come from: the scatter between Brillouin zones, or pixels treated as independent."""

# On 60 simulated crystals (found - true) / s.u. had a standard deviation of 3.5 with the corrected form factor and 1.4
# with the networks' own, which absorbs no residuals; the errors themselves were the same.
_CORRECTED = (
    "the form factor of the result was corrected by this plane, so the residuals, and with them the uncertainties, are"
    " two to four times too small; --form-factor data, or a result of `dsfunet factorize --lattice false`, has no such"
    " bias"
)
_NOT_RECORDED = "the file does not record its scale and floors; they were fitted from its planes"


@dataclass(frozen=True, eq=False)
class PlaneData:
    """The data of one plane in a refinement.

    Attributes:
        grid: position of the pixels.
        zones: Brillouin zones of the same grid.
        values: I_SRO with its floor, in any unit, shape (n, m); NaN where there is no value.
        weights: shape (n, m), 0 for pixels that do not count.
        inverse_variances: whether the weights are 1 / sigma^2.
        floor: amount that was added back to the normalised I_SRO, in its units.
        floor_influence: contribution of each window of the zones to the error of the floor, shape (groups,); the
            variance is the sum of squares. With errors from pixels, any number of independent contributions. None
            when the floor is taken as exact.
        notes: sentences about assumptions that had to be made.
        exponent: |Q|^2 / 8 pi^2 [1/Angstrom^2], shape (n, m), if the B in the form factor was refined, so that its
            error enters those of the alphas; None if not.
        b_angstrom2: that B.
        displacements: names and series (n, m) of further terms that are multiplied by the scale, whose parameters all
            planes share, such as those of a size effect.
        added: names, values (n, m) and shares of terms of this plane alone, such as its background, in the unit of the
            values; the share is the mean of the term in units of the mean intensity.
    """

    grid: PlaneGrid
    zones: Zones
    values: Array
    weights: Array
    inverse_variances: bool = False
    floor: float = 0.0
    floor_influence: Array | None = None
    notes: tuple[str, ...] = ()
    exponent: Array | None = None
    b_angstrom2: float = 0.0
    displacements: tuple[tuple[str, Array], ...] = ()
    added: tuple[tuple[str, Array, float], ...] = ()

    @property
    def used(self) -> npt.NDArray[np.bool_]:
        """Which pixels count, shape (n, m)."""
        counts: npt.NDArray[np.bool_] = self.weights > 0
        return counts

    @property
    def groups(self) -> int:
        """Number of groups of equivalent zones that contain a pixel that counts."""
        return len(np.unique(self.zones.group[self.used]))

    @property
    def floor_uncertainty(self) -> float:
        """Standard uncertainty of the floor; 0 when it is taken as exact."""
        return 0.0 if self.floor_influence is None else float(np.linalg.norm(self.floor_influence))


@dataclass(frozen=True)
class _Normalisation:
    """Scale s and floors f and g of I = s (F + f) (S + g), with notes on how they were found."""

    scale: float
    form_factor_floor: float
    short_range_order_floor: float
    notes: tuple[str, ...] = ()


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
    """Return the values and weights of a result for `dsfunet.analysis.refinement.fit.refine`.

    Args:
        result: of a factorisation.
        grid: of its pixels, with the cell to refine on.
        zones: of the grid.
        exclude_below: fraction in [0, 1) of the largest value below which pixels do not count: of the form factor for
            "measured", of the intensity for "short-range-order".
        fit_to: "measured" takes I / (s (F + f)) with weights (F + f)^2, which is a fit to I itself;
            "short-range-order" takes the normalised I_SRO plus its floor, weighted by its uncertainties where the
            result has them and uniformly otherwise.
        floor: of I_SRO, taken as exact; by default the recorded one with its uncertainty. Only used for
            "short-range-order".
        errors_from: as for `refine`.
        known_form_factor: I_FF in any unit, shape (n, m), that replaces the result's. Only used for "measured".

    Raises:
        InputError: nothing was measured, an I_SRO that is used does not vary, or the form factor is 0 wherever I was
            measured.
    """
    measured = _measured_pixels(result, fit_to == "short-range-order" or known_form_factor is None)
    if fit_to == "measured":
        form_factor, scale, notes = _form_factor(result, known_form_factor)
        return _measured_data(result, grid, zones, measured, exclude_below, form_factor, scale, notes)
    used = measured & (result.input >= exclude_below * result.input[measured].max())
    return _short_range_order_data(result, grid, zones, used, floor, errors_from)


def _measured_pixels(result: Result, with_order: bool) -> npt.NDArray[np.bool_]:
    """Return which pixels were measured and, if it is needed, have a value of I_SRO, shape (n, m)."""
    measured: npt.NDArray[np.bool_] = result.mask & np.isfinite(result.input)
    if with_order:
        measured &= np.isfinite(result.short_range_order)
    if not measured.any() or not result.input[measured].max() > 0:
        raise InputError("found no measured pixel above 0; expected a plane with some intensity")
    if with_order and np.ptp(result.short_range_order[measured]) == 0:
        raise InputError(
            f"I_SRO is {result.short_range_order[measured][0]:g} in every measured pixel; expected values that vary"
        )
    return measured


def _normalisation(result: Result) -> _Normalisation:
    """Return the recorded scale and floors of a result, or fitted ones if the file does not record them."""
    names = ("scale", "form_factor_floor", "short_range_order_floor")
    if all(name in result.process for name in names):
        scale, form_factor_floor, short_range_order_floor = (float(result.process[name]) for name in names)
        return _Normalisation(scale, form_factor_floor, short_range_order_floor)
    product = fit_product(
        result.input.astype(np.float64),
        result.form_factor.astype(np.float64),
        result.short_range_order.astype(np.float64),
        result.mask,
    )
    return _Normalisation(
        product.scale, product.form_factor_floor, product.short_range_order_floor, (_NOT_RECORDED,)
    )


def _form_factor(result: Result, known: Array | None) -> tuple[Array, float, tuple[str, ...]]:
    """Return the form factor F + f by which to divide the measured intensity, its scale s, and notes."""
    if known is not None:
        return known, 1.0, ()
    normalisation = _normalisation(result)
    if result.form_factor_of_networks is not None:
        # Lattice mode corrected the form factor using this plane itself, which absorbs a part of the residuals.
        alone = result.form_factor_of_networks.astype(np.float64)
        product = fit_product(
            result.input.astype(np.float64), alone, result.short_range_order.astype(np.float64), result.mask
        )
        return alone + product.form_factor_floor, product.scale, normalisation.notes
    corrected = list_answers(result)[0] == "lattice"
    form_factor = result.form_factor.astype(np.float64) + normalisation.form_factor_floor
    return (
        form_factor,
        normalisation.scale,
        (*normalisation.notes, _CORRECTED) if corrected else normalisation.notes,
    )


def _measured_data(
    result: Result,
    grid: PlaneGrid,
    zones: Zones,
    measured: npt.NDArray[np.bool_],
    exclude_below: float,
    form_factor: Array,
    scale: float,
    notes: tuple[str, ...],
) -> PlaneData:
    """Return I / (s (F + f)) with weights proportional to (F + f)^2."""
    # A pixel can be dark because its I_SRO is low or by noise: excluding dark pixels of I would exclude low values of
    # the quantity that is fitted. Where the form factor is dark, I says nothing about I_SRO.
    used = measured & np.isfinite(form_factor) & (form_factor > 0)
    if not used.any():
        raise InputError("the form factor is 0 in every measured pixel; expected positive values")
    used &= form_factor >= exclude_below * form_factor[used].max()
    # I = s (F + f) I_SRO: dividing by the form factor and weighting by its square is a fit to I itself.
    envelope = scale * np.where(used, form_factor, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.where(envelope > 0, result.input.astype(np.float64) / envelope, np.nan)
    weights = (envelope / max(float(envelope.max()), 1e-300)) ** 2
    return PlaneData(grid, zones, values, weights, notes=notes)


def _short_range_order_data(
    result: Result,
    grid: PlaneGrid,
    zones: Zones,
    used: npt.NDArray[np.bool_],
    floor: float | None,
    errors_from: ErrorsFrom,
) -> PlaneData:
    """Return the normalised I_SRO plus its floor, with weights 1 / sigma^2 or 1."""
    normalisation = _normalisation(result)
    sigma = result.sigma_short_range_order
    if sigma is None:
        weights = used.astype(np.float64)
    else:
        known = used & np.isfinite(sigma) & (sigma > 0)
        weights = np.zeros(used.shape)
        weights[known] = 1 / sigma[known].astype(np.float64) ** 2
    influence = None
    if floor is None:
        floor = normalisation.short_range_order_floor
        form_factor = result.form_factor.astype(np.float64) + normalisation.form_factor_floor
        influence = _floor_influence(result, form_factor, zones, errors_from)
    return PlaneData(
        grid,
        zones,
        result.short_range_order.astype(np.float64) + floor,
        weights,
        inverse_variances=sigma is not None,
        floor=float(floor),
        floor_influence=influence,
        notes=normalisation.notes,
    )


def _floor_influence(result: Result, form_factor: Array, zones: Zones, errors_from: ErrorsFrom) -> Array:
    """Return contributions to the error of the floor g in I = s (F + f) (S + g), which is linear in s and s g."""
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
