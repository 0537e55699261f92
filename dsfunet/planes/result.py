"""What factorising a plane gives: both components, their uncertainties and the record, on the user's grid."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Float32
from dsfunet.errors import InputError
from dsfunet.planes.measured import PlaneGrid

Scalar = str | int | float


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
"""The planes of a result, in order, and what each is called on a label."""


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
    """What a measured plane came apart into, everything (n, m) on the user's own grid.

    `input`, `product` and `residual` = input - product share one scale, that of the measurement;
    `form_factor` and `short_range_order` are in [0, 1]. Intensities are float32, NaN where there is no value.
    `mask` is True where measured. `grid` is None when the pixels' place is unknown. `process` says how it was
    made: seed, digest of the weights, scale numbers, recipe as JSON, whatever belongs on record, under the
    names it is to have in the file.

    Where a lattice was tried there are two answers: `form_factor` and `short_range_order` are the one that is believed,
    and the other stands beside it, `..._of_networks` or `..._on_lattice`.

    Raises:
        InputError: the planes differ in shape from one another or from the grid.
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
                raise InputError(f"result {name} of shape {plane.shape}: expected a plane of shape {shape}")
            object.__setattr__(self, name, plane)

    def planes(self) -> dict[str, npt.NDArray[Any]]:
        """The planes by name, in the order of `TITLES`, without those that were not given."""
        planes = {name: getattr(self, name) for name in TITLES}
        return {name: plane for name, plane in planes.items() if not (name in _OPTIONAL and plane is None)}
