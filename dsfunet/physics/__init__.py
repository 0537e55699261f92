"""The forward model of Fuller & Rudden (2024) in numpy: cells, planes of Q, form factors and short-range order."""

from dsfunet.physics.form_factor import Molecule, form_factor_intensity, molecular_form_factor
from dsfunet.physics.lattice import Cell, Plane, plane_through
from dsfunet.physics.short_range_order import ALPHA_SHAPE, MAX_INDEX, short_range_order_intensity

__all__ = [
    "ALPHA_SHAPE",
    "MAX_INDEX",
    "Cell",
    "Molecule",
    "Plane",
    "form_factor_intensity",
    "molecular_form_factor",
    "plane_through",
    "short_range_order_intensity",
]
