"""The result of factorising a plane: both components, their uncertainties and the record, on the user's grid."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Float32
from dsfunet.errors import InputError
from dsfunet.planes.measured import PlaneGrid

Scalar = str | int | float
"""A value of the record in a result."""

TITLES = {
    "input": "measured scattering",
    "form_factor": "form factor",
    "short_range_order": "short-range order",
    "product": "form factor \N{MULTIPLICATION SIGN} short-range order",
    "residual": "measured \N{MINUS SIGN} product",
    "mask": "mask (1 measured, 0 missing)",
    "sigma_form_factor": "standard uncertainty of the form factor",
    "sigma_short_range_order": "standard uncertainty of the short-range order",
    "form_factor_of_networks": "form factor, networks alone",
    "short_range_order_of_networks": "short-range order, networks alone",
    "form_factor_on_lattice": "form factor, lattice mode",
    "short_range_order_on_lattice": "short-range order, lattice mode",
}
"""The planes of a result, in order, with their labels."""

_SIGMAS = ("sigma_form_factor", "sigma_short_range_order")


_OPTIONAL = (
    *_SIGMAS,
    "form_factor_of_networks",
    "short_range_order_of_networks",
    "form_factor_on_lattice",
    "short_range_order_on_lattice",
)


@dataclass(frozen=True, eq=False)
class Result:
    """The result of factorising a measured plane; all planes have shape (n, m) and lie on the user's own grid.

    Intensities are float32, NaN where there is no value. Where a lattice was tried there are two answers:
    `form_factor` and `short_range_order` are the accepted one, and the other is kept as `..._of_networks` or
    `..._on_lattice`.

    Attributes:
        input: measured intensities, in the unit of the file.
        form_factor: I_FF, in [0, 1].
        short_range_order: I_SRO, in [0, 1].
        product: I_FF x I_SRO, scaled to the measured intensities, in the unit of the file.
        residual: input - product, in the unit of the file.
        mask: True where measured.
        grid: where the pixels lie; None if the file does not say.
        process: the record of how the result was made: seed, digest of the weights, scale, recipe as JSON and so on,
            under the names they have in the file.
        sigma_form_factor: standard uncertainty of I_FF; None if it was not estimated.
        sigma_short_range_order: standard uncertainty of I_SRO; None if it was not estimated.
        form_factor_of_networks: I_FF of the networks alone, where lattice mode was accepted.
        short_range_order_of_networks: I_SRO of the networks alone, where lattice mode was accepted.
        form_factor_on_lattice: I_FF of lattice mode, where the networks were accepted.
        short_range_order_on_lattice: I_SRO of lattice mode, where the networks were accepted.

    Raises:
        InputError: the planes differ in shape from one another or from the grid.

    Examples:
        >>> import numpy as np
        >>> from dsfunet.planes.result import Result
        >>> form_factor, order = np.full((4, 4), 0.5), np.ones((4, 4))
        >>> measured = np.full((4, 4), 30.0)
        >>> result = Result(measured, form_factor, order, measured, 0 * measured, measured > 0)
        >>> list(result.planes())
        ['input', 'form_factor', 'short_range_order', 'product', 'residual', 'mask']
        >>> result.form_factor.dtype
        dtype('float32')
    """

    input: Float32
    form_factor: Float32
    short_range_order: Float32
    product: Float32
    residual: Float32
    mask: npt.NDArray[np.bool_]
    grid: PlaneGrid | None = None
    process: Mapping[str, Scalar] = field(default_factory=dict)
    sigma_form_factor: Float32 | None = None
    sigma_short_range_order: Float32 | None = None
    form_factor_of_networks: Float32 | None = None
    short_range_order_of_networks: Float32 | None = None
    form_factor_on_lattice: Float32 | None = None
    short_range_order_on_lattice: Float32 | None = None

    def __post_init__(self) -> None:
        shape = np.shape(self.input) if self.grid is None else self.grid.shape
        for name, values in self.planes().items():
            plane = np.asarray(values, dtype=np.bool_ if name == "mask" else np.float32)
            if plane.shape != shape or plane.ndim != 2:
                raise InputError(
                    f"{name} of the result has shape {plane.shape}; expected a plane of shape {shape}"
                )
            object.__setattr__(self, name, plane)

    def planes(self) -> dict[str, npt.NDArray[Any]]:
        """Return the planes by name, in the order of `TITLES`, without those that are None."""
        planes = {name: getattr(self, name) for name in TITLES}
        return {name: plane for name, plane in planes.items() if not (name in _OPTIONAL and plane is None)}


def count_repeats(steps: Iterable[Mapping[str, Any]]) -> float:
    """Return how often each datum occurs in a cleaned plane: the mean redundancy of symmetry averaging, else 1.

    Args:
        steps: of the clean-up, as the record of a result holds them.
    """
    return max([1.0, *(float(each["mean_redundancy"] or 1) for each in steps if each["step"] == "symmetry")])
