"""The arrays of a store of simulated planes: their shapes, types and meanings."""

from collections.abc import Iterable
from dataclasses import dataclass

from dsfunet.physics.short_range_order import ALPHA_SHAPE
from dsfunet.planes.preprocessing import PIXELS


@dataclass(frozen=True)
class ArrayLayout:
    """One array of a store: shape of one sample, dtype, whether it is a picture (one chunk per sample), meaning."""

    shape: tuple[int, ...]
    dtype: str
    picture: bool
    meaning: str


LAYOUT: dict[str, ArrayLayout] = {
    "form_factor": ArrayLayout((PIXELS, PIXELS), "float16", True, "I_FF, linear, [0, 1]"),
    "short_range_order": ArrayLayout((PIXELS, PIXELS), "float16", True, "I_SRO, linear, [0, 1]"),
    "mask": ArrayLayout((PIXELS, PIXELS // 8), "uint8", True, "1 = measured, eight pixels of a row a byte"),
    "form_factor_floor": ArrayLayout((), "float32", False, "minimum over range of I_FF, dimensionless"),
    "short_range_order_floor": ArrayLayout(
        (), "float32", False, "minimum over range of I_SRO, dimensionless"
    ),
    "species": ArrayLayout((2,), "int16", False, "A and B: indices into the attribute species_names"),
    "rotations": ArrayLayout(
        (2, 3, 3), "float32", False, "rotation matrices of A and B against their geometry"
    ),
    "cell": ArrayLayout((6,), "float64", False, "a, b, c [Angstrom], alpha, beta, gamma [degrees]"),
    "plane": ArrayLayout((3, 3), "float64", False, "rows origin, step_u, step_v [1/Angstrom], Cartesian"),
    "plane_axes": ArrayLayout((2,), "int8", False, "the two reciprocal axes (0, 1, 2) that span the plane"),
    "plane_offset": ArrayLayout((), "float64", False, "index of the layer along the third axis [r.l.u.]"),
    "concentration": ArrayLayout((), "float32", False, "m_A"),
    "debye_waller_b": ArrayLayout((), "float32", False, "isotropic B of both species on I_FF [Angstrom^2]"),
    "alphas": ArrayLayout(ALPHA_SHAPE, "float32", False, "alpha_v, indexed [i+5, j+5, k+5]"),
    "order_kind": ArrayLayout((), "int8", False, "index into the attribute order_kinds"),
}
"""Arrays of every store."""

OPTIONAL_LAYOUT: dict[str, ArrayLayout] = {
    "scattering": ArrayLayout(
        (PIXELS, PIXELS), "float16", True, "I as measured, with noise, background and residue, linear, [0, 1]"
    ),
}
"""Arrays of some stores, named in the attribute `optional_arrays`."""


def layout_with(optional: Iterable[str]) -> dict[str, ArrayLayout]:
    """Return LAYOUT with the named arrays of OPTIONAL_LAYOUT."""
    return LAYOUT | {name: OPTIONAL_LAYOUT[name] for name in optional}
